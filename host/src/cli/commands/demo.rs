//! `ostler demo`

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use super::{Code, Context, Outcome};
use crate::cli::exit::CliError;

/// Shows the main job on a small web shop of its own: needs nothing else, leaves nothing behind
///
/// Does what a coding agent does, over MCP and for real: starts the shop, waits until it is
/// ready, reads what went wrong, makes it crash, and asks why it died. Prints each call and its
/// answer.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// Is the web shop
    #[arg(long, hide = true)]
    shop: bool,
}

/// The shop's configuration; the program is this one.
const CONFIG: &str = "\
[process.shop]
command = [PROGRAM, \"demo\", \"--shop\"]
env = { RUST_BACKTRACE = \"0\" }
restart = \"never\"
";

/// Runs the tour, or the shop.
pub fn run(args: &Args, context: &Context) -> Outcome {
    if args.shop {
        return shop().map_err(|error| CliError::failed(error.to_string())).map(|()| Code::Failed);
    }
    tour(context).map_err(|trouble| trouble.0)
}

/// What keeps the tour from going on.
struct Trouble(CliError);

impl<E: std::error::Error> From<E> for Trouble {
    fn from(error: E) -> Self {
        no(&format!("the demo did not get to its end: {error}"))
    }
}

impl From<CliError> for Trouble {
    fn from(error: CliError) -> Self {
        Self(error)
    }
}

fn no(message: &str) -> Trouble {
    Trouble(CliError::failed(message.to_owned()))
}

fn tour(context: &Context) -> Result<Code, Trouble> {
    let place = tempdir()?;
    let program = std::env::current_exe()?;
    std::fs::write(
        place.0.join("ostler.toml"),
        CONFIG.replace("PROGRAM", &serde_json::to_string(&program.to_string_lossy())?),
    )?;
    context.print(&format!("A project in {} with this ostler.toml:\n\n", place.0.display()))?;
    context.print(&format!("{}\nWhat follows is what a coding agent sees.\n", indent(CONFIG)))?;

    let mut agent = Agent::start(&program, &place.0)?;
    let result = scenes(context, &mut agent);
    let _ = agent.call("stop_process", &json!({ "name": "shop" }));
    agent.end(&program, &place.0)?;
    result?;
    context.print(
        "\nThat was it; everything is stopped and removed. For your own project: `ostler init`, then `ostler up`,\n\
         and put `ostler mcp` into your agent's MCP configuration.\n",
    )?;
    Ok(Code::Done)
}

fn scenes(context: &Context, agent: &mut Agent) -> Result<(), Trouble> {
    let mut act = |title: &str, tool: &str, arguments: Value| -> Result<Value, Trouble> {
        context.print(&format!("\n# {title}\n> {tool} {arguments}\n"))?;
        let answer = agent.call(tool, &arguments)?;
        context.print(&format!("{}\n", indent(&pretty(&answer))))?;
        Ok(answer)
    };
    act("Start it", "start_process", json!({ "name": "shop" }))?;
    let ready = act("Wait until it really answers", "wait_for", json!({ "name": "shop", "until": "ready" }))?;
    let port = ready
        .pointer("/process/ports/0")
        .and_then(Value::as_u64)
        .ok_or_else(|| no("the shop has no port"))?;
    let port = u16::try_from(port)?;
    for path in ["/", "/cart", "/old"] {
        http_get(port, path)?;
    }
    act("Read only what matters of its output", "get_logs", json!({ "name": "shop", "level": "warn" }))?;
    context.print(&format!("\n# Somebody opens http://127.0.0.1:{port}/checkout …\n"))?;
    http_get(port, "/checkout")?;
    act("… and it is gone", "wait_for", json!({ "name": "shop", "until": "exit" }))?;
    act("Why did it die?", "diagnose_process", json!({ "name": "shop" }))?;
    Ok(())
}

/// An MCP client of the plainest kind, behind which an agent could sit.
struct Agent {
    pump: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    calls: u64,
}

impl Agent {
    fn start(program: &Path, project: &Path) -> Result<Self, Trouble> {
        let mut pump =
            ostler(program, project).arg("mcp").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let input = pump.stdin.take().ok_or_else(|| no("no input"))?;
        let output = BufReader::new(pump.stdout.take().ok_or_else(|| no("no output"))?);
        let mut agent = Self { pump, input, output, calls: 0 };
        let hello = json!({
            "protocolVersion": "2025-11-25",
            "capabilities": {},
            "clientInfo": { "name": "ostler-demo", "version": env!("CARGO_PKG_VERSION") },
        });
        agent.request("initialize", &hello)?;
        writeln!(agent.input, "{}", json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }))?;
        Ok(agent)
    }

    /// Calls a tool; a refusal is an answer too.
    fn call(&mut self, tool: &str, arguments: &Value) -> Result<Value, Trouble> {
        let result = self.request("tools/call", &json!({ "name": tool, "arguments": arguments }))?;
        let text = || result.pointer("/content/0/text").cloned().unwrap_or_default();
        Ok(result.get("structuredContent").cloned().unwrap_or_else(text))
    }

    fn request(&mut self, method: &str, params: &Value) -> Result<Value, Trouble> {
        self.calls += 1;
        let request = json!({ "jsonrpc": "2.0", "id": self.calls, "method": method, "params": params });
        writeln!(self.input, "{request}")?;
        loop {
            let mut line = String::new();
            if self.output.read_line(&mut line)? == 0 {
                return Err(no("`ostler mcp` ended; its message is above"));
            }
            let mut answer: Value = serde_json::from_str(&line)?;
            if answer.get("id").and_then(Value::as_u64) != Some(self.calls) {
                continue;
            }
            return match answer.get("error") {
                Some(error) => Err(no(&error.to_string())),
                None => Ok(answer["result"].take()),
            };
        }
    }

    /// Ends the pump, and the daemon with all it looks after.
    fn end(mut self, program: &Path, project: &Path) -> std::io::Result<()> {
        drop(self.input);
        self.pump.wait()?;
        ostler(program, project).arg("down").stdout(Stdio::null()).status()?;
        Ok(())
    }
}

fn ostler(program: &Path, project: &Path) -> Command {
    let mut command = Command::new(program);
    // The state goes with the project, so that both are gone afterwards.
    command.arg("-C").arg(project).env("OSTLER_STATE_DIR", project.with_extension("state"));
    command
}

/// Removed on drop, with the state beside it.
struct TempDir(std::path::PathBuf);

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
        let _ = std::fs::remove_dir_all(self.0.with_extension("state"));
    }
}

fn tempdir() -> std::io::Result<TempDir> {
    let dir = std::env::temp_dir().join(format!("ostler-demo-{}", std::process::id()));
    std::fs::create_dir(&dir)?;
    Ok(TempDir(dir))
}

fn http_get(port: u16, path: &str) -> std::io::Result<()> {
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    // A shop that dies while it answers resets the connection, which is the point of the tour.
    let _ = stream.read_to_string(&mut answer);
    Ok(())
}

fn pretty(answer: &Value) -> String {
    match answer {
        Value::String(text) => text.clone(),
        value => serde_json::to_string_pretty(value).unwrap_or_default(),
    }
}

fn indent(text: &str) -> String {
    text.lines().map(|line| format!("  {line}\n")).collect()
}

/// The shop: a web server that logs as such servers do, and has a bug in its checkout.
fn shop() -> std::io::Result<()> {
    println!("INFO  reading catalogue");
    println!("WARN  no cache configured, every page is rendered anew");
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    println!("INFO  Listening on http://{}", listener.local_addr()?);
    for stream in listener.incoming() {
        let mut stream = stream?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        let mut request = String::new();
        // A probe connects and says nothing.
        if BufReader::new(&mut stream).read_line(&mut request).unwrap_or(0) == 0 {
            continue;
        }
        let path = request.split(' ').nth(1).unwrap_or("/").to_owned();
        let status = match path.as_str() {
            "/" | "/cart" => "200 OK",
            "/checkout" => checkout(),
            _ => "404 Not Found",
        };
        println!("127.0.0.1 - - \"GET {path} HTTP/1.1\" {} 17", &status[..3]);
        let _ = write!(stream, "HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    }
    Ok(())
}

fn checkout() -> &'static str {
    println!("INFO  paying 3 items");
    eprintln!("ERROR payment provider refused the connection: is PAYMENT_URL set?");
    panic!("no payment provider: cannot sell anything");
}
