//! The tools: one file each, with what it takes, what it gives back, and the call.
//!
//! Owns the table of tools and the way from a name to its code. A tool never talks to the protocol: it takes checked
//! arguments and gives a [`Reply`] or a [`Failure`].

use std::sync::Arc;
use std::time::Duration;

use rmcp::model::{Tool, ToolAnnotations};
use serde_json::{Map, Value};

use crate::api::{Api, Caller};
use crate::bounds;

use super::arguments::{self, Argument, Arguments};
use super::reply::{Failure, Reply};
use super::toolset::{Toolset, Toolsets};

mod add_process;
mod add_to_group;
mod check_process_health;
mod clear_logs;
mod create_group;
mod diagnose_process;
mod diagnose_system;
mod get_errors;
mod get_latest_errors;
mod get_log_summary;
mod get_logs;
mod get_process_info;
mod get_process_stats;
mod get_system_stats;
mod kill_process;
mod list_processes;
mod log_filters;
mod mark_error_resolved;
mod outcome;
mod reload_config;
mod reload_process;
mod remove_process;
mod restart_process;
mod run_process;
mod scale_process;
mod search_logs;
mod send_input;
mod start_group;
mod start_process;
mod stop_group;
mod stop_process;
mod tail_logs;
mod wait_for;

/// Which tool it is; a tool without code does not compile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Id {
    ListProcesses,
    StartProcess,
    StopProcess,
    RestartProcess,
    GetLogs,
    GetErrors,
    GetLatestErrors,
    MarkErrorResolved,
    WaitFor,
    SendInput,
    DiagnoseProcess,
    CheckProcessHealth,
    KillProcess,
    ReloadProcess,
    AddProcess,
    RemoveProcess,
    CreateGroup,
    AddToGroup,
    StartGroup,
    StopGroup,
    GetProcessInfo,
    GetProcessStats,
    GetSystemStats,
    DiagnoseSystem,
    RunProcess,
    ScaleProcess,
    ReloadConfig,
    ClearLogs,
    SearchLogs,
    TailLogs,
    GetLogSummary,
}

/// What a client may be told of a tool.
#[derive(Debug)]
pub struct Spec {
    id: Id,
    /// `[a-z_]`, at most 30 characters, or some clients refuse it.
    pub name: &'static str,
    title: &'static str,
    /// What it gives and when to use it, under 300 characters: every turn of every conversation pays for it.
    description: &'static str,
    toolset: Toolset,
    effect: Effect,
    arguments: &'static [Argument],
    output: fn() -> Map<String, Value>,
}

/// What a call does to the project; clients ask people more or less because of it.
#[derive(Debug, Clone, Copy)]
enum Effect {
    /// Nothing.
    Reads,
    /// Brings about a state, and nothing more when it is there already.
    Ensures { destructive: bool },
    /// Something, each time.
    Acts { destructive: bool },
}

/// Every tool, in the order clients list them.
const TOOLS: [&Spec; 31] = [
    &list_processes::SPEC,
    &start_process::SPEC,
    &stop_process::SPEC,
    &restart_process::SPEC,
    &get_logs::SPEC,
    &get_errors::SPEC,
    &wait_for::SPEC,
    &send_input::SPEC,
    &diagnose_process::SPEC,
    &check_process_health::SPEC,
    &kill_process::SPEC,
    &reload_process::SPEC,
    &add_process::SPEC,
    &remove_process::SPEC,
    &create_group::SPEC,
    &add_to_group::SPEC,
    &start_group::SPEC,
    &stop_group::SPEC,
    &get_latest_errors::SPEC,
    &mark_error_resolved::SPEC,
    &get_process_info::SPEC,
    &get_process_stats::SPEC,
    &get_system_stats::SPEC,
    &diagnose_system::SPEC,
    &run_process::SPEC,
    &scale_process::SPEC,
    &reload_config::SPEC,
    &clear_logs::SPEC,
    &search_logs::SPEC,
    &tail_logs::SPEC,
    &get_log_summary::SPEC,
];

/// Returns the tools of `toolsets`.
pub fn of(toolsets: &Toolsets) -> impl Iterator<Item = &'static Spec> {
    TOOLS.into_iter().filter(|spec| toolsets.contains(spec.toolset))
}

/// Returns whether there is a tool of this name, in any toolset, that changes nothing.
pub fn only_reads(name: &str) -> bool {
    TOOLS.iter().any(|spec| spec.name == name && matches!(spec.effect, Effect::Reads))
}

impl Spec {
    /// Returns the tool as the protocol describes it.
    pub fn describe(&self) -> Tool {
        Tool::new(self.name, self.description, Arc::new(arguments::schema(self.arguments)))
            .with_raw_output_schema(Arc::new((self.output)()))
            .with_annotations(self.annotations())
    }

    fn annotations(&self) -> ToolAnnotations {
        let hints = ToolAnnotations::with_title(self.title).open_world(false);
        match self.effect {
            // The other two mean nothing in a tool that only reads.
            Effect::Reads => hints.read_only(true),
            Effect::Ensures { destructive } => {
                hints.read_only(false).destructive(destructive).idempotent(true)
            }
            Effect::Acts { destructive } => hints.read_only(false).destructive(destructive).idempotent(false),
        }
    }

    /// Checks the arguments and calls the tool.
    ///
    /// # Errors
    /// When the arguments do not fit, or the thing asked for could not be done.
    pub async fn call(
        &self,
        api: &Api,
        caller: &Caller,
        sent: Option<Map<String, Value>>,
    ) -> Result<Reply, Failure> {
        let arguments = Arguments::check(self.name, self.arguments, sent).map_err(Failure::new)?;
        match self.id {
            Id::ListProcesses => list_processes::call(api, caller).await,
            Id::StartProcess => start_process::call(api, caller, &arguments).await,
            Id::StopProcess => stop_process::call(api, caller, &arguments).await,
            Id::RestartProcess => restart_process::call(api, caller, &arguments).await,
            Id::GetLogs => get_logs::call(api, caller, &arguments).await,
            Id::GetErrors => get_errors::call(api, caller, &arguments).await,
            Id::GetLatestErrors => get_latest_errors::call(api, caller, &arguments).await,
            Id::MarkErrorResolved => mark_error_resolved::call(api, caller, &arguments).await,
            Id::WaitFor => wait_for::call(api, caller, &arguments).await,
            Id::SendInput => send_input::call(api, caller, &arguments).await,
            Id::DiagnoseProcess => diagnose_process::call(api, caller, &arguments).await,
            Id::CheckProcessHealth => check_process_health::call(api, caller, &arguments).await,
            Id::KillProcess => kill_process::call(api, caller, &arguments).await,
            Id::ReloadProcess => reload_process::call(api, caller, &arguments).await,
            Id::AddProcess => add_process::call(api, caller, &arguments).await,
            Id::RemoveProcess => remove_process::call(api, caller, &arguments).await,
            Id::CreateGroup => create_group::call(api, caller, &arguments).await,
            Id::AddToGroup => add_to_group::call(api, caller, &arguments).await,
            Id::StartGroup => start_group::call(api, caller, &arguments).await,
            Id::StopGroup => stop_group::call(api, caller, &arguments).await,
            Id::GetProcessInfo => get_process_info::call(api, caller, &arguments).await,
            Id::GetProcessStats => get_process_stats::call(api, caller, &arguments).await,
            Id::GetSystemStats => get_system_stats::call(api, caller).await,
            Id::DiagnoseSystem => diagnose_system::call(api, caller).await,
            Id::RunProcess => run_process::call(api, caller, &arguments).await,
            Id::ScaleProcess => scale_process::call(api, caller, &arguments).await,
            Id::ReloadConfig => reload_config::call(api, caller).await,
            Id::ClearLogs => clear_logs::call(api, caller, &arguments).await,
            Id::SearchLogs => search_logs::call(api, caller, &arguments).await,
            Id::TailLogs => tail_logs::call(api, caller, &arguments).await,
            Id::GetLogSummary => get_log_summary::call(api, caller, &arguments).await,
        }
    }
}

/// Returns the milliseconds to wait when a call asks for `seconds`: a moment less than the longest call, so that the
/// answer still gets out in time.
fn wait_ms(seconds: u64) -> u64 {
    let most = bounds::MCP_WAIT.saturating_sub(Duration::from_secs(1));
    Duration::from_secs(seconds).min(most).as_millis().try_into().unwrap_or(u64::MAX)
}

/// Waits for a start as long as a call may take: what it depends on may take longer, or never come.
async fn in_time<T>(
    name: &str,
    start: impl Future<Output = Result<T, crate::api::ApiError>>,
) -> Result<T, Failure> {
    let most = Duration::from_millis(wait_ms(u64::MAX));
    match tokio::time::timeout(most, start).await {
        Ok(started) => Ok(started?),
        Err(_) => Err(Failure::with_lines(
            &format!(
                "`{name}` is not started yet: it waits for what it depends on, and starts when that is so"
            ),
            Some("list_processes shows what it waits for; wait_for goes on waiting"),
            &[],
        )),
    }
}

#[cfg(test)]
mod tests;
