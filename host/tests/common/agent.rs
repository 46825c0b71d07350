//! An agent at the other end of `ostler mcp`: JSON-RPC by hand.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Instant;

use serde_json::{Value, json};

use super::PATIENCE;

/// A client of one connection. It is gone with this value, however a test ends.
pub struct Agent {
    input: Option<ChildStdin>,
    child: Child,
    messages: Receiver<Value>,
    /// Messages that came before somebody asked for them.
    pub kept: Vec<Value>,
    last_id: u64,
}

impl Agent {
    pub fn start(mut command: Command) -> Self {
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (sender, messages) = channel();
        let output = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                let message = serde_json::from_str(&line).expect("nothing but JSON on standard output");
                if sender.send(message).is_err() {
                    break;
                }
            }
        });
        Self { input: child.stdin.take(), child, messages, kept: Vec::new(), last_id: 0 }
    }

    pub fn write(&mut self, line: &str) {
        self.write_bytes(format!("{line}\n").as_bytes()).unwrap();
    }

    /// Writes what need not be a message; the command may refuse it.
    pub fn write_bytes(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        let input = self.input.as_mut().unwrap();
        input.write_all(bytes)?;
        input.flush()
    }

    pub fn notify(&mut self, method: &str, params: Value) {
        self.write(&json!({"jsonrpc": "2.0", "method": method, "params": params}).to_string());
    }

    /// Sends a request, and returns its id.
    pub fn send(&mut self, method: &str, params: Value) -> u64 {
        self.last_id += 1;
        let request = json!({"jsonrpc": "2.0", "id": self.last_id, "method": method, "params": params});
        self.write(&request.to_string());
        self.last_id
    }

    /// Returns the next message, whatever it is.
    pub fn next(&mut self) -> Value {
        self.messages.recv_timeout(PATIENCE).expect("a message")
    }

    /// Returns the answer to a request; those to others are kept.
    pub fn answer(&mut self, id: u64) -> Value {
        let is_it = |message: &Value| message["id"] == id;
        if let Some(index) = self.kept.iter().position(is_it) {
            return self.kept.remove(index);
        }
        loop {
            let message = self.next();
            if is_it(&message) {
                return message;
            }
            self.kept.push(message);
        }
    }

    pub fn request(&mut self, method: &str, params: Value) -> Value {
        let id = self.send(method, params);
        self.answer(id)
    }

    /// Introduces itself as a client of that version of the protocol, and returns the result.
    pub fn initialize(&mut self, version: &str) -> Value {
        let params = json!({
            "protocolVersion": version, "capabilities": {}, "clientInfo": {"name": "by-hand", "version": "1"},
        });
        let answer = self.request("initialize", params);
        self.notify("notifications/initialized", json!({}));
        answer["result"].clone()
    }

    /// Calls a tool, and returns its result.
    pub fn call(&mut self, tool: &str, arguments: Value) -> Value {
        self.request("tools/call", json!({"name": tool, "arguments": arguments}))["result"].clone()
    }

    /// Calls a tool that must succeed, and returns its structured content.
    pub fn ok(&mut self, tool: &str, arguments: Value) -> Value {
        let result = self.call(tool, arguments);
        assert_eq!(result["isError"], false, "{tool}: {result}");
        let text: Value = serde_json::from_str(result["content"][0]["text"].as_str().unwrap()).unwrap();
        assert_eq!(text, result["structuredContent"], "text and structure differ");
        text
    }

    /// Calls a tool that must fail, and returns the text the agent gets.
    pub fn failed(&mut self, tool: &str, arguments: Value) -> String {
        let result = self.call(tool, arguments);
        assert_eq!(result["isError"], true, "{tool}: {result}");
        result["content"][0]["text"].as_str().unwrap().to_owned()
    }

    /// Closes its end, and returns the exit code of the command.
    pub fn leave(mut self) -> Option<i32> {
        drop(self.input.take());
        self.ended()
    }

    /// Waits for the command to end by itself, and returns its exit code.
    pub fn ended(&mut self) -> Option<i32> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            assert!(Instant::now() < deadline, "`ostler mcp` did not end");
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
