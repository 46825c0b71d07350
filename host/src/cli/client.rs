//! Owns a conversation with the daemon: the hello, then requests and their answers, in order.
//!
//! Never starts a daemon (`launch` does), and never prints.

use std::io;

use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};

use super::exit::{CliError, Code};
use super::stream::StreamReader;
use super::wire::{FrameError, FrameReader, Hello, HelloReply, VERSION, frame};
use crate::api::doctor::Check;
use crate::api::{
    AddReply, AddRequest, AlertsReply, AlertsRequest, ApiError, AttachReply, ClearLogsReply,
    ClearLogsRequest, CreateGroup, Diagnosis, DownReply, ErrorKind, ErrorView, ErrorsReply, ErrorsRequest,
    FeedReply, FeedRequest, GroupView, HealthView, Inspection, LatestErrorsReply, LatestErrorsRequest,
    LogSummary, LogSummaryRequest, LogsReply, LogsRequest, MarkError, ProcessView, ReloadConfigReply,
    ReloadReply, RemoveReply, Request, Response, RunEndReply, RunEndRequest, RunReply, RunRequest,
    ScaleReply, SearchReply, SendReply, SendRequest, SignalReply, SignalRequest, StartReply, StatsReply,
    StatsRequest, StatusReply, StopReply, TailRequest, UpReply, UpgradeReply, WaitReply, WaitRequest,
};
use crate::plugins::PluginStatus;

/// Longest answer that is read, in bytes: the daemon bounds its answers, this bounds a mistaken daemon.
const RESPONSE_BYTES: usize = 1 << 30;

/// Why a request has no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The daemon said no.
    #[error(transparent)]
    Refused(#[from] ApiError),
    #[error("the daemon closed the connection before it answered")]
    Closed,
    #[error("the daemon cannot be reached: {0}")]
    Io(#[from] io::Error),
    #[error("the daemon does not serve this command: {0}")]
    Unwelcome(String),
    #[error("the daemon's answer cannot be read: {0}")]
    Malformed(String),
}

impl ClientError {
    /// Returns whether the daemon answered with a no, so that the next request may well get a yes.
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::Refused(error) if error.kind != ErrorKind::Unavailable)
    }

    /// Returns whether the daemon went away, so that another one may answer.
    pub fn is_lost(&self) -> bool {
        matches!(self, Self::Closed | Self::Io(_))
    }
}

impl From<ClientError> for CliError {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::Refused(error) => error.into(),
            error => Self::new(Code::Unreachable, "unreachable", error.to_string())
                .hint("`ostler status` shows where its log is"),
        }
    }
}

/// A connection that has exchanged hellos with the daemon.
pub struct Client {
    reader: FrameReader<OwnedReadHalf>,
    writer: OwnedWriteHalf,
    daemon: HelloReply,
}

/// A connection that was given over to a process.
pub struct Attached {
    pub output: StreamReader<OwnedReadHalf>,
    pub input: OwnedWriteHalf,
}

/// Sends a request and takes its answer apart; the answer to another verb is a mistake of the daemon's.
macro_rules! ask {
    ($client:expr, $request:expr, $verb:ident) => {
        match $client.call(&$request).await? {
            Response::$verb(reply) => Ok(reply),
            _ => Err(ClientError::Malformed(format!("it is not one to `{}`", stringify!($verb)))),
        }
    };
}

impl Client {
    /// Exchanges hellos over a fresh connection.
    pub async fn greet(stream: UnixStream) -> Result<Self, ClientError> {
        let (reader, mut writer) = stream.into_split();
        let mut reader = FrameReader::new(reader, RESPONSE_BYTES);
        writer.write_all(&frame(&Hello::Cli { version: VERSION.to_owned() })?).await?;
        let answer = next(&mut reader).await?;
        let daemon: HelloReply = parse(&answer)?;
        if !daemon.ok {
            let why = daemon.message.unwrap_or_else(|| "it gave no reason".to_owned());
            return Err(ClientError::Unwelcome(why));
        }
        Ok(Self { reader, writer, daemon })
    }

    /// Returns the daemon's pid.
    pub fn daemon_pid(&self) -> u32 {
        self.daemon.pid
    }

    /// Returns the daemon's version when it is not that of this program.
    pub fn other_version(&self) -> Option<&str> {
        (self.daemon.version != VERSION).then_some(self.daemon.version.as_str())
    }

    pub async fn list(&mut self) -> Result<Vec<ProcessView>, ClientError> {
        ask!(self, Request::List {}, List)
    }

    pub async fn up(&mut self, names: Vec<String>) -> Result<UpReply, ClientError> {
        ask!(self, Request::Up { names }, Up)
    }

    /// Stops every process; the daemon stays.
    pub async fn down(&mut self) -> Result<DownReply, ClientError> {
        ask!(self, Request::Down { shutdown: false }, Down)
    }

    /// Stops every process, and the daemon after them.
    pub async fn shut_down(&mut self) -> Result<DownReply, ClientError> {
        ask!(self, Request::Down { shutdown: true }, Down)
    }

    pub async fn start(&mut self, name: String) -> Result<StartReply, ClientError> {
        ask!(self, Request::Start { name }, Start)
    }

    pub async fn stop(&mut self, name: String) -> Result<StopReply, ClientError> {
        ask!(self, Request::Stop { name }, Stop)
    }

    pub async fn restart(&mut self, name: String) -> Result<StartReply, ClientError> {
        ask!(self, Request::Restart { name }, Restart)
    }

    pub async fn restart_all(&mut self) -> Result<UpReply, ClientError> {
        ask!(self, Request::RestartAll {}, RestartAll)
    }

    pub async fn logs(&mut self, request: LogsRequest) -> Result<LogsReply, ClientError> {
        ask!(self, Request::Logs(request), Logs)
    }

    pub async fn search_logs(&mut self, request: LogsRequest) -> Result<SearchReply, ClientError> {
        ask!(self, Request::SearchLogs(request), SearchLogs)
    }

    pub async fn tail_logs(&mut self, request: TailRequest) -> Result<LogsReply, ClientError> {
        ask!(self, Request::TailLogs(request), TailLogs)
    }

    pub async fn log_summary(&mut self, request: LogSummaryRequest) -> Result<LogSummary, ClientError> {
        ask!(self, Request::LogSummary(request), LogSummary).map(|summary| *summary)
    }

    pub async fn wait(&mut self, request: WaitRequest) -> Result<WaitReply, ClientError> {
        ask!(self, Request::Wait(request), Wait).map(|reply| *reply)
    }

    pub async fn send(&mut self, request: SendRequest) -> Result<SendReply, ClientError> {
        ask!(self, Request::Send(request), Send)
    }

    /// Gives the connection over to a process: returns its two directions, with what was read already.
    pub async fn attach(mut self, name: String) -> Result<(AttachReply, Attached), ClientError> {
        let reply = ask!(self, Request::Attach { name }, Attach)?;
        let (source, begun) = self.reader.into_rest();
        Ok((reply, Attached { output: StreamReader::new(source, begun), input: self.writer }))
    }

    pub async fn signal(&mut self, request: SignalRequest) -> Result<SignalReply, ClientError> {
        ask!(self, Request::Signal(request), Signal)
    }

    pub async fn reload(&mut self, name: String) -> Result<ReloadReply, ClientError> {
        ask!(self, Request::ReloadProcess { name }, ReloadProcess)
    }

    pub async fn run_once(&mut self, request: RunRequest) -> Result<RunReply, ClientError> {
        ask!(self, Request::RunOnce(request), RunOnce)
    }

    pub async fn run_end(&mut self, request: RunEndRequest) -> Result<RunEndReply, ClientError> {
        ask!(self, Request::RunEnd(request), RunEnd)
    }

    pub async fn feed(&mut self, request: FeedRequest) -> Result<FeedReply, ClientError> {
        ask!(self, Request::Feed(request), Feed)
    }

    pub async fn diagnose(&mut self, name: String) -> Result<Diagnosis, ClientError> {
        ask!(self, Request::Diagnose { name }, Diagnose).map(|reply| *reply)
    }

    pub async fn health(&mut self, names: Vec<String>) -> Result<Vec<HealthView>, ClientError> {
        ask!(self, Request::Health { names }, Health)
    }

    pub async fn inspect(&mut self, name: String, secrets: bool) -> Result<Inspection, ClientError> {
        ask!(self, Request::Inspect { name, secrets }, Inspect).map(|inspection| *inspection)
    }

    pub async fn stats(&mut self, request: StatsRequest) -> Result<StatsReply, ClientError> {
        ask!(self, Request::Stats(request), Stats).map(|reply| *reply)
    }

    pub async fn errors(&mut self, request: ErrorsRequest) -> Result<ErrorsReply, ClientError> {
        ask!(self, Request::Errors(request), Errors)
    }

    pub async fn error_group(&mut self, id: String) -> Result<ErrorView, ClientError> {
        ask!(self, Request::ErrorGroup { id }, ErrorGroup).map(|view| *view)
    }

    pub async fn latest_errors(
        &mut self,
        request: LatestErrorsRequest,
    ) -> Result<LatestErrorsReply, ClientError> {
        ask!(self, Request::LatestErrors(request), LatestErrors)
    }

    pub async fn resolve_error(&mut self, mark: MarkError) -> Result<ErrorView, ClientError> {
        ask!(self, Request::ResolveError(mark), ResolveError).map(|view| *view)
    }

    pub async fn reopen_error(&mut self, mark: MarkError) -> Result<ErrorView, ClientError> {
        ask!(self, Request::ReopenError(mark), ReopenError).map(|view| *view)
    }

    pub async fn plugins(&mut self) -> Result<Vec<PluginStatus>, ClientError> {
        ask!(self, Request::Plugins {}, Plugins)
    }

    pub async fn status(&mut self) -> Result<StatusReply, ClientError> {
        ask!(self, Request::Status {}, Status)
    }

    pub async fn doctor(&mut self) -> Result<Vec<Check>, ClientError> {
        ask!(self, Request::Doctor {}, Doctor)
    }

    pub async fn add(&mut self, request: AddRequest) -> Result<AddReply, ClientError> {
        ask!(self, Request::Add(request), Add).map(|reply| *reply)
    }

    pub async fn alerts(&mut self, request: AlertsRequest) -> Result<AlertsReply, ClientError> {
        ask!(self, Request::Alerts(request), Alerts)
    }

    pub async fn clear_logs(&mut self, request: ClearLogsRequest) -> Result<ClearLogsReply, ClientError> {
        ask!(self, Request::ClearLogs(request), ClearLogs)
    }

    pub async fn remove(&mut self, name: String) -> Result<RemoveReply, ClientError> {
        ask!(self, Request::Remove { name }, Remove)
    }

    pub async fn scale(&mut self, name: String, replicas: u32) -> Result<ScaleReply, ClientError> {
        ask!(self, Request::Scale { name, replicas }, Scale)
    }

    pub async fn groups(&mut self) -> Result<Vec<GroupView>, ClientError> {
        ask!(self, Request::Groups {}, Groups)
    }

    pub async fn create_group(&mut self, group: CreateGroup) -> Result<GroupView, ClientError> {
        ask!(self, Request::CreateGroup(group), CreateGroup)
    }

    pub async fn add_to_group(
        &mut self,
        group: String,
        names: Vec<String>,
    ) -> Result<GroupView, ClientError> {
        ask!(self, Request::AddToGroup { group, names }, AddToGroup)
    }

    pub async fn reload_config(&mut self) -> Result<ReloadConfigReply, ClientError> {
        ask!(self, Request::ReloadConfig {}, ReloadConfig)
    }

    /// Asks the daemon to make room for the program at the path; it does so after the answer.
    pub async fn upgrade(&mut self, program: String) -> Result<UpgradeReply, ClientError> {
        ask!(self, Request::Upgrade { program: Some(program) }, Upgrade)
    }

    /// Returns once the daemon has closed the connection.
    pub async fn closed(mut self) {
        while next(&mut self.reader).await.is_ok() {}
    }

    /// Sends one request and reads its answer. A call that is given up half-way leaves its answer in the
    /// connection, so drop the client with it.
    async fn call(&mut self, request: &Request) -> Result<Response, ClientError> {
        // A daemon that ends in order says so in its last line, also to whom it does not listen any more: that line
        // tells its end from a crash, so it is read even when nothing can be written.
        let sent = self.writer.write_all(&frame(request)?).await;
        let answer = match (next(&mut self.reader).await, sent) {
            (Err(ClientError::Closed), Err(error)) => return Err(error.into()),
            (answer, _) => answer?,
        };
        match parse(&answer)? {
            Response::Error(error) => Err(error.into()),
            response => Ok(response),
        }
    }
}

async fn next(reader: &mut FrameReader<OwnedReadHalf>) -> Result<Vec<u8>, ClientError> {
    match reader.next().await {
        Ok(Some(frame)) => Ok(frame),
        Ok(None) => Err(ClientError::Closed),
        Err(FrameError::Io(error)) if error.kind() == io::ErrorKind::ConnectionReset => {
            Err(ClientError::Closed)
        }
        Err(FrameError::Io(error)) => Err(error.into()),
        Err(error @ FrameError::TooLong(_)) => Err(ClientError::Malformed(error.to_string())),
    }
}

fn parse<T: serde::de::DeserializeOwned>(frame: &[u8]) -> Result<T, ClientError> {
    serde_json::from_slice(frame).map_err(|error| ClientError::Malformed(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs a client against a daemon that answers each line it gets with the next of `answers`, and then closes.
    fn talk<T, F: Future<Output = T>>(
        answers: &'static [&'static str],
        client: impl FnOnce(UnixStream) -> F,
    ) -> (T, Vec<String>) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (ours, theirs) = UnixStream::pair().unwrap();
            let daemon = async move {
                let (reader, mut writer) = theirs.into_split();
                let mut reader = FrameReader::new(reader, 1 << 20);
                let mut heard = Vec::new();
                for answer in answers {
                    heard.push(String::from_utf8(reader.next().await.unwrap().unwrap()).unwrap());
                    writer.write_all(format!("{answer}\n").as_bytes()).await.unwrap();
                }
                heard
            };
            tokio::join!(client(ours), daemon)
        })
    }

    const WELCOME: &str = r#"{"ok":true,"version":"0.0.1","pid":7}"#;

    #[test]
    fn a_request_is_a_line_and_its_answer_is_taken_apart() {
        let (views, heard) = talk(&[WELCOME, r#"{"list":[]}"#], async |stream| {
            let mut client = Client::greet(stream).await.unwrap();
            assert_eq!(client.other_version(), Some("0.0.1"));
            assert_eq!(client.daemon_pid(), 7);
            client.list().await.unwrap()
        });
        assert!(views.is_empty());
        assert_eq!(heard[1], r#"{"verb":"list"}"#);
    }

    #[test]
    fn a_refusal_keeps_its_kind_and_hint() {
        const REFUSAL: &str = r#"{"error":{"kind":"not-found","message":"no process `ap`","hint":"there is `api`","lines":[]}}"#;
        let (error, _) = talk(&[WELCOME, REFUSAL], async |stream| {
            Client::greet(stream).await.unwrap().diagnose("ap".into()).await.unwrap_err()
        });
        let ClientError::Refused(error) = error else { panic!("{error}") };
        assert_eq!((error.kind, error.hint.as_deref()), (ErrorKind::NotFound, Some("there is `api`")));
    }

    #[test]
    fn a_daemon_that_ends_is_told_from_one_that_refuses() {
        let (error, _) =
            talk(&[WELCOME], async |stream| Client::greet(stream).await.unwrap().list().await.unwrap_err());
        assert!(error.is_lost(), "{error}");
        const FULL: &str = r#"{"ok":false,"version":"0.1.0","pid":7,"message":"256 clients are connected"}"#;
        let (error, _) = talk(&[FULL], async |stream| Client::greet(stream).await.err().unwrap());
        assert!(!error.is_lost());
        assert_eq!(error.to_string(), "the daemon does not serve this command: 256 clients are connected");
    }

    #[test]
    fn an_answer_to_another_verb_is_an_error_not_a_panic() {
        let (error, _) = talk(&[WELCOME, r#"{"list":[]}"#], async |stream| {
            Client::greet(stream).await.unwrap().status().await.unwrap_err()
        });
        assert!(matches!(error, ClientError::Malformed(_)), "{error}");
    }
}
