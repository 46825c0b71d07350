//! `add_to_group`: puts processes into a group.

use crate::api::{Api, Caller};

use super::super::arguments::Arguments;
use super::super::reply::{Failure, Reply};
use super::create_group::{GROUP, MEMBERS, group, output};
use super::{Effect, Id, Spec, Toolset};

pub const SPEC: Spec = Spec {
    id: Id::AddToGroup,
    name: "add_to_group",
    title: "Add to a group",
    description: "Put processes into a group, last in its start order, until `ostler down`. Those that are members already \
                  stay where they are.",
    toolset: Toolset::Groups,
    effect: Effect::Ensures { destructive: false },
    arguments: &[GROUP, MEMBERS],
    output,
};

pub async fn call(api: &Api, caller: &Caller, arguments: &Arguments) -> Result<Reply, Failure> {
    let names = arguments.texts("names");
    let changed = api.add_to_group(caller, arguments.required("group"), &names).await?;
    Ok(Reply::default().with("group", group(&changed)))
}
