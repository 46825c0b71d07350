//! The pump between an agent and daemons that are played: what each side says is what the test says.

use std::io::{BufRead, BufReader, PipeReader, PipeWriter, Read, Write, pipe};
use std::os::unix::net::UnixStream as StdStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::*;

/// Daemons that come up one after the other, each when it is asked for.
#[derive(Clone, Default)]
struct Stable {
    /// Those that run without having been asked for.
    running: Arc<Mutex<Vec<UnixStream>>>,
    startable: Arc<Mutex<Vec<UnixStream>>>,
    /// How often it was looked for one that runs.
    looks: Arc<watch::Sender<u32>>,
    /// The last one has died, and was not taken down.
    has_died: Arc<AtomicBool>,
}

impl Daemons for Stable {
    fn last_has_died(&self) -> bool {
        self.has_died.load(Ordering::SeqCst)
    }

    async fn find(&self) -> Option<UnixStream> {
        self.looks.send_modify(|looks| *looks += 1);
        self.running.lock().unwrap().pop()
    }

    async fn find_or_start(&self) -> Result<UnixStream, String> {
        self.startable.lock().unwrap().pop().ok_or_else(|| "ostler.toml:1:1: no".to_owned())
    }
}

struct Played {
    input: Option<PipeWriter>,
    output: BufReader<PipeReader>,
    pump: JoinHandle<io::Result<()>>,
    stable: Stable,
}

impl Played {
    fn say(&mut self, message: Value) {
        self.input.as_mut().unwrap().write_all(format!("{message}\n").as_bytes()).unwrap();
    }

    fn hears(&mut self) -> Value {
        serde_json::from_str(&line(&mut self.output)).unwrap()
    }

    /// Has another daemon run already when the present one goes.
    fn next_runs(&self) -> Daemon {
        let (ours, next) = pair();
        self.stable.running.lock().unwrap().push(ours);
        next
    }

    /// Has another daemon there for whoever starts one.
    fn next_can_be_started(&self) -> Daemon {
        let (ours, next) = pair();
        self.stable.startable.lock().unwrap().insert(0, ours);
        next
    }

    /// Returns once the pump knows that its daemon is gone.
    async fn is_alone(&self) {
        self.stable.looks.subscribe().wait_for(|looks| *looks > 0).await.unwrap();
    }
}

/// The daemon's end of a connection.
struct Daemon(BufReader<StdStream>);

impl Daemon {
    fn say(&mut self, message: Value) {
        self.0.get_mut().write_all(format!("{message}\n").as_bytes()).unwrap();
    }

    fn hears(&mut self) -> String {
        line(&mut self.0).trim_end().to_owned()
    }
}

fn pair() -> (UnixStream, Daemon) {
    let (ours, theirs) = StdStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    (UnixStream::from_std(ours).unwrap(), Daemon(BufReader::new(theirs)))
}

fn started(linger: Duration) -> (Played, Daemon) {
    let (ours, daemon) = pair();
    let (stdin, input) = pipe().unwrap();
    let (output, stdout) = pipe().unwrap();
    let stable = Stable::default();
    let agent = Agent::new(stdin, stdout).unwrap();
    let mut pump = Pump::new(stable.clone(), "hello\n".to_owned(), agent);
    pump.look_every = Duration::from_millis(5);
    let pump = tokio::spawn(async move { pump.carry(ours, linger).await });
    (Played { input: Some(input), output: BufReader::new(output), pump, stable }, daemon)
}

fn line(reader: &mut impl BufRead) -> String {
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    line
}

fn call(id: u64) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "method": "tools/call"})
}

fn call_of(id: u64, tool: &str) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": {"name": tool}})
}

fn answer(id: u64) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "result": {}})
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_go_both_ways_after_the_hello() {
    let (mut agent, mut daemon) = started(LINGER);
    agent.say(call(1));
    assert_eq!((daemon.hears(), daemon.hears()), ("hello".to_owned(), call(1).to_string()));
    daemon.say(answer(1));
    assert_eq!(agent.hears(), answer(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_under_way_get_out_after_the_agent_closed_its_end() {
    let (mut agent, mut daemon) = started(Duration::from_secs(60));
    agent.input = None;
    assert_eq!((daemon.hears().as_str(), daemon.hears().as_str()), ("hello", ""));
    daemon.say(answer(1));
    drop(daemon);
    assert_eq!(agent.hears(), answer(1));
    agent.pump.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_that_keeps_the_connection_open_does_not_keep_the_pump() {
    let (mut agent, daemon) = started(Duration::from_millis(10));
    agent.input = None;
    agent.pump.await.unwrap().unwrap();
    drop(daemon);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_daemon_is_introduced_and_lost_calls_are_told() {
    let (mut agent, mut daemon) = started(LINGER);
    let initialize = json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {"x": 1}});
    let initialized = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
    agent.say(initialize.clone());
    assert_eq!((daemon.hears().as_str(), daemon.hears()), ("hello", initialize.to_string()));
    daemon.say(answer(0));
    assert_eq!(agent.hears(), answer(0));
    agent.say(initialized.clone());
    agent.say(call(1));
    assert_eq!((daemon.hears(), daemon.hears()), (initialized.to_string(), call(1).to_string()));

    let (ours, mut next) = pair();
    agent.stable.running.lock().unwrap().push(ours);
    // Half an answer is none.
    daemon.0.get_mut().write_all(b"{\"jsonrpc\":\"2.0\",\"id\":1,").unwrap();
    drop(daemon);
    let lost = agent.hears();
    assert_eq!((&lost["id"], &lost["error"]["code"]), (&json!(1), &json!(-32000)), "{lost}");
    assert_eq!((next.hears().as_str(), next.hears()), ("hello", initialize.to_string()));
    next.say(answer(0));
    assert_eq!(next.hears(), initialized.to_string());
    agent.say(call(2));
    assert_eq!(next.hears(), call(2).to_string());
    next.say(answer(2));
    assert_eq!(agent.hears(), answer(2), "the second answer to `initialize` was not swallowed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_is_started_only_once_the_agent_asks_for_something() {
    let (mut agent, mut daemon) = started(LINGER);
    let (ours, mut next) = pair();
    agent.stable.startable.lock().unwrap().push(ours);
    assert_eq!(daemon.hears(), "hello");
    drop(daemon);
    agent.is_alone().await;
    assert_eq!(agent.stable.startable.lock().unwrap().len(), 1);
    agent.say(call(1));
    assert_eq!((next.hears().as_str(), next.hears()), ("hello", call(1).to_string()));
}

#[tokio::test(flavor = "multi_thread")]
async fn that_no_daemon_can_be_had_is_an_error_in_one_line() {
    let (mut agent, daemon) = started(LINGER);
    drop(daemon);
    agent.is_alone().await;
    agent.say(call(1));
    let error = agent.pump.await.unwrap().unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionAborted);
    assert!(!error.to_string().contains('\n'));
}

#[tokio::test(flavor = "multi_thread")]
async fn daemons_that_say_nothing_are_given_up() {
    let (agent, daemon) = started(LINGER);
    for _ in 0..SILENT_ENDS {
        agent.stable.running.lock().unwrap().push(pair().0);
    }
    drop(daemon);
    let error = agent.pump.await.unwrap().unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionAborted);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_leaves_while_it_is_alone_ends_the_pump() {
    let (mut agent, daemon) = started(LINGER);
    drop(daemon);
    agent.input = None;
    agent.pump.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_told_to_people_and_not_to_the_agent() {
    let (mut agent, mut daemon) = started(LINGER);
    daemon.say(json!({"ok": false, "version": "0", "pid": 1, "message": "256 clients are connected"}));
    let error = agent.pump.await.unwrap().unwrap_err();
    assert_eq!(error.to_string(), "256 clients are connected");
    assert_eq!(line(&mut agent.output), "");
}

#[tokio::test]
async fn an_unknown_toolset_sends_nothing() {
    let (ours, mut daemon) = UnixStream::pair().unwrap();
    let error = pump(ours, Stable::default(), "cor").await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    let mut sent = Vec::new();
    tokio::io::AsyncReadExt::read_to_end(&mut daemon, &mut sent).await.unwrap();
    assert!(sent.is_empty());
}

#[test]
fn the_hello_is_one_line_of_json() {
    let hello = hello(&Toolsets::default());
    let value: Value = serde_json::from_str(hello.strip_suffix('\n').unwrap()).unwrap();
    assert_eq!((&value["hello"], &value["toolsets"]), (&"mcp".into(), &json!(["core"])));
    assert_eq!(value["version"], env!("CARGO_PKG_VERSION"));
}

/// Far more than a socket takes of what nobody reads.
const LARGE: usize = 2 << 20;

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_was_not_wholly_written_goes_to_the_next_daemon() {
    // From none of its bytes to more than a socket holds at once.
    for taken in [0, 1, 100, 300_000] {
        let (mut agent, mut daemon) = started(LINGER);
        let mut next = agent.next_can_be_started();
        assert_eq!(daemon.hears(), "hello");
        let text = "x".repeat(LARGE);
        let typed = json!({
            "jsonrpc": "2.0", "id": 1, "method": "tools/call",
            "params": {"name": "send_input", "arguments": {"name": "api", "text": text}},
        });
        agent.say(typed.clone());
        daemon.0.read_exact(&mut vec![0; taken]).unwrap();
        drop(daemon);
        assert_eq!(next.hears(), "hello");
        let (heard, said) = (next.hears(), typed.to_string());
        assert!(heard == said, "{taken}: the next daemon hears {} bytes of {}", heard.len(), said.len());
        next.say(answer(1));
        assert_eq!(agent.hears(), answer(1), "{taken}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_daemon_had_wholly_got_is_made_again_only_if_it_only_reads() {
    let (mut agent, mut daemon) = started(LINGER);
    let mut next = agent.next_runs();
    for (id, tool) in [(1, "get_logs"), (2, "start_process"), (3, "wait_for"), (4, "list_processes")] {
        agent.say(call_of(id, tool));
    }
    assert_eq!(daemon.hears(), "hello");
    for id in 1..=4 {
        assert!(daemon.hears().contains(&format!("\"id\":{id}")));
    }
    daemon.say(answer(4));
    drop(daemon);
    assert_eq!(agent.hears(), answer(4));
    let told = agent.hears();
    assert_eq!((&told["id"], &told["error"]["code"]), (&json!(2), &json!(-32000)), "{told}");
    assert_eq!(next.hears(), "hello");
    agent.say(call_of(5, "stop_process"));
    let heard: Vec<String> = (0..3).map(|_| next.hears()).collect();
    let expected = [(1, "get_logs"), (3, "wait_for"), (5, "stop_process")];
    assert_eq!(heard, expected.map(|(id, tool)| call_of(id, tool).to_string()));
    next.say(answer(1));
    assert_eq!(agent.hears(), answer(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_that_has_died_is_replaced_for_a_call_that_only_reads_but_not_for_ever() {
    let (mut agent, first) = started(LINGER);
    agent.stable.has_died.store(true, Ordering::SeqCst);
    let daemons = [first, agent.next_can_be_started(), agent.next_can_be_started()];
    let unused = agent.next_can_be_started();
    agent.say(call_of(1, "get_logs"));
    for mut daemon in daemons {
        assert_eq!((daemon.hears().as_str(), daemon.hears()), ("hello", call_of(1, "get_logs").to_string()));
    }
    let told = agent.hears();
    assert!(told["error"]["message"].as_str().unwrap().contains("nothing was changed"), "{told}");
    assert_eq!(agent.stable.startable.lock().unwrap().len(), 1);
    drop(unused);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_that_was_taken_down_is_not_started_for_a_call_that_only_reads() {
    let (mut agent, mut daemon) = started(LINGER);
    let mut next = agent.next_can_be_started();
    agent.say(call_of(1, "wait_for"));
    assert_eq!((daemon.hears().as_str(), daemon.hears()), ("hello", call_of(1, "wait_for").to_string()));
    drop(daemon);
    let told = agent.hears();
    assert_eq!((&told["id"], &told["error"]["code"]), (&json!(1), &json!(-32000)), "{told}");
    assert_eq!(agent.stable.startable.lock().unwrap().len(), 1);
    // It still comes when it is asked for.
    agent.say(call(2));
    assert_eq!((next.hears().as_str(), next.hears()), ("hello", call(2).to_string()));
}

#[tokio::test(flavor = "multi_thread")]
async fn that_no_daemon_can_be_started_for_a_call_that_only_reads_does_not_end_the_pump() {
    let (mut agent, mut daemon) = started(LINGER);
    agent.stable.has_died.store(true, Ordering::SeqCst);
    agent.say(call_of(1, "get_logs"));
    assert_eq!((daemon.hears().as_str(), daemon.hears()), ("hello", call_of(1, "get_logs").to_string()));
    drop(daemon);
    assert_eq!(agent.hears()["error"]["code"], -32000);
    let mut next = agent.next_can_be_started();
    agent.say(call(2));
    assert_eq!((next.hears().as_str(), next.hears()), ("hello", call(2).to_string()));
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_get_through_while_the_daemon_takes_nothing() {
    let (mut agent, mut daemon) = started(LINGER);
    agent.say(call(1));
    assert_eq!((daemon.hears(), daemon.hears()), ("hello".to_owned(), call(1).to_string()));
    agent.say(json!({"jsonrpc": "2.0", "id": 2, "method": "ping", "params": {"x": "x".repeat(LARGE)}}));
    daemon.say(answer(1));
    assert_eq!(agent.hears(), answer(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_to_be_said_still_gets_out_after_the_agent_closed_its_end() {
    let (mut agent, mut daemon) = started(Duration::from_secs(60));
    let large = json!({"jsonrpc": "2.0", "id": 2, "method": "ping", "params": {"x": "x".repeat(LARGE)}});
    agent.say(large.clone());
    agent.input = None;
    assert_eq!(daemon.hears(), "hello");
    let (heard, said) = (daemon.hears(), large.to_string());
    assert!(heard == said, "the daemon hears {} bytes of {}", heard.len(), said.len());
    assert_eq!(daemon.hears(), "");
    daemon.say(answer(2));
    assert_eq!(agent.hears(), answer(2));
    drop(daemon);
    agent.pump.await.unwrap().unwrap();
}
