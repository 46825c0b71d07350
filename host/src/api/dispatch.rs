//! One match from requests to verbs, for surfaces that speak in requests.

use super::Api;
use super::types::{ApiError, Caller, ErrorKind, Request, Response};

impl Api {
    /// Carries out a request.
    pub async fn dispatch(&self, caller: &Caller, request: Request) -> Response {
        let result = match request {
            Request::List {} => self.list(caller).await.map(Response::List),
            Request::Up { names } => self.up(caller, &names).await.map(Response::Up),
            Request::Down { shutdown } => self.down(caller, shutdown).await.map(Response::Down),
            Request::Start { name } => self.start(caller, &name).await.map(Response::Start),
            Request::Stop { name } => self.stop(caller, &name).await.map(Response::Stop),
            Request::Restart { name } => self.restart(caller, &name).await.map(Response::Restart),
            Request::RestartAll {} => self.restart_all(caller).await.map(Response::RestartAll),
            Request::Logs(request) => self.logs(caller, request).await.map(Response::Logs),
            Request::SearchLogs(request) => self.search_logs(caller, request).await.map(Response::SearchLogs),
            Request::TailLogs(request) => self.tail_logs(caller, request).await.map(Response::TailLogs),
            Request::LogSummary(request) => {
                self.log_summary(caller, request).await.map(|summary| Response::LogSummary(Box::new(summary)))
            }
            Request::ClearLogs(request) => self.clear_logs(caller, request).await.map(Response::ClearLogs),
            Request::Wait(request) => {
                self.wait(caller, request).await.map(|reply| Response::Wait(Box::new(reply)))
            }
            Request::Send(request) => self.send(caller, request).await.map(Response::Send),
            // Who can serve it does so before it comes here.
            Request::Attach { .. } => {
                Err(ApiError::new(ErrorKind::Invalid, "attaching needs a connection of its own"))
            }
            Request::Signal(request) => self.signal(caller, request).await.map(Response::Signal),
            Request::ReloadProcess { name } => self.reload(caller, &name).await.map(Response::ReloadProcess),
            Request::RunOnce(request) => self.run_once(caller, request).await.map(Response::RunOnce),
            Request::RunEnd(request) => self.run_end(caller, request).await.map(Response::RunEnd),
            Request::Feed(request) => self.feed(caller, request).await.map(Response::Feed),
            Request::Diagnose { name } => {
                self.diagnose(caller, &name).await.map(|diagnosis| Response::Diagnose(Box::new(diagnosis)))
            }
            Request::Health { names } => self.health(caller, &names).await.map(Response::Health),
            Request::Inspect { name, secrets } => self
                .inspect(caller, &name, secrets)
                .await
                .map(|inspection| Response::Inspect(Box::new(inspection))),
            Request::Stats(request) => {
                self.stats(caller, request).await.map(|reply| Response::Stats(Box::new(reply)))
            }
            Request::Errors(request) => self.error_groups(caller, request).await.map(Response::Errors),
            Request::ErrorGroup { id } => {
                self.error(caller, &id).await.map(|view| Response::ErrorGroup(Box::new(view)))
            }
            Request::LatestErrors(request) => {
                self.latest_errors(caller, request).await.map(Response::LatestErrors)
            }
            Request::ResolveError(mark) => {
                self.resolve_error(caller, mark).await.map(|view| Response::ResolveError(Box::new(view)))
            }
            Request::ReopenError(mark) => {
                self.reopen_error(caller, mark).await.map(|view| Response::ReopenError(Box::new(view)))
            }
            Request::Alerts(request) => self.alerts(caller, request).await.map(Response::Alerts),
            Request::Plugins {} => self.plugins(caller).await.map(Response::Plugins),
            Request::Doctor {} => self.doctor(caller).await.map(Response::Doctor),
            Request::Status {} => self.status(caller).await.map(Response::Status),
            Request::Add(request) => {
                self.add(caller, request).await.map(|reply| Response::Add(Box::new(reply)))
            }
            Request::Remove { name } => self.remove(caller, &name).await.map(Response::Remove),
            Request::Scale { name, replicas } => {
                self.scale(caller, &name, replicas).await.map(Response::Scale)
            }
            Request::Groups {} => self.groups(caller).await.map(Response::Groups),
            Request::CreateGroup(request) => {
                self.create_group(caller, request).await.map(Response::CreateGroup)
            }
            Request::AddToGroup { group, names } => {
                self.add_to_group(caller, &group, &names).await.map(Response::AddToGroup)
            }
            Request::StartGroup { name } => self.start_group(caller, &name).await.map(Response::StartGroup),
            Request::StopGroup { name } => self.stop_group(caller, &name).await.map(Response::StopGroup),
            Request::ReloadConfig {} => self.reload_config(caller).await.map(Response::ReloadConfig),
            Request::Upgrade { program } => self.upgrade(caller, program).await.map(Response::Upgrade),
        };
        result.unwrap_or_else(Response::Error)
    }
}
