//! `stop_group`: stops a group's members in the order of its strategy.

use crate::api::{Api, Caller};

use super::super::arguments::Arguments;
use super::super::reply::{Failure, Reply};
use super::create_group::GROUP;
use super::start_group::{output, render};
use super::{Effect, Id, Spec, Toolset};

pub const SPEC: Spec = Spec {
    id: Id::StopGroup,
    name: "stop_group",
    title: "Stop a group",
    description: "Stop a group's processes with everything they spawned, in the order of its stop strategy. They stay \
                  stopped until started again. Returns them.",
    toolset: Toolset::Groups,
    effect: Effect::Ensures { destructive: true },
    arguments: &[GROUP],
    output,
};

pub async fn call(api: &Api, caller: &Caller, arguments: &Arguments) -> Result<Reply, Failure> {
    render(&api.stop_group(caller, arguments.required("group")).await?)
}
