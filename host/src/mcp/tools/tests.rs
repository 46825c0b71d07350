//! What every tool has to keep to, and what clients are told of them.

mod hostile;

use super::super::tokens::tests::real_tokens;
use super::*;

#[test]
fn names_and_descriptions_fit_every_client() {
    for spec in TOOLS {
        assert!(spec.name.len() <= 30, "{}", spec.name);
        assert!(spec.name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'_')), "{}", spec.name);
        assert!((40..300).contains(&spec.description.len()), "{}: {}", spec.name, spec.description.len());
    }
}

#[test]
fn every_tool_has_its_own_name_and_code() {
    for (index, spec) in TOOLS.iter().enumerate() {
        assert!(TOOLS[..index].iter().all(|other| other.name != spec.name && other.id != spec.id));
    }
}

#[test]
fn schemas_hold_nothing_that_clients_choke_on() {
    for spec in TOOLS {
        let tool = spec.describe();
        let input = serde_json::to_string(&tool.input_schema).unwrap();
        let output = serde_json::to_string(&tool.output_schema).unwrap();
        for schema in [&input, &output] {
            for word in ["$ref", "$defs", "\"format\"", "\"null\"", "anyOf", "oneOf"] {
                assert!(!schema.contains(word), "{}: {word} in {schema}", spec.name);
            }
        }
        assert_eq!(tool.input_schema["additionalProperties"], false);
        assert_eq!(tool.output_schema.as_ref().unwrap()["type"], "object");
    }
}

#[test]
fn the_core_tools_are_cheap_to_list() {
    let core: Vec<Tool> = of(&Toolsets::default()).map(Spec::describe).collect();
    let cost = real_tokens(&serde_json::to_string(&core).unwrap());
    assert!(cost < 3400, "{cost} tokens");
}

fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).expect("plain data")
}

/// A tool in a few lines.
fn told(tool: &Tool) -> String {
    format!(
        "{}: {}\n  takes {}\n  gives {}\n  hints {}\n",
        tool.name,
        tool.description.as_deref().unwrap_or_default(),
        json(&tool.input_schema),
        json(&tool.output_schema),
        json(&tool.annotations),
    )
}

#[test]
fn clients_are_told_what_they_were_told_before() {
    let core: String = of(&Toolsets::default()).map(|spec| told(&spec.describe())).collect();
    insta::assert_snapshot!(core, @r#"
    list_processes: List the project's processes: state, readiness, pid, uptime, ports, restarts, last exit. Call it first to learn the names.
      takes {"additionalProperties":false,"properties":{},"type":"object"}
      gives {"properties":{"groups":{"items":{"type":"string"},"type":"array"},"hint":{"type":"string"},"others":{"items":{"type":"string"},"type":"array"},"processes":{"items":{"properties":{"exit":{"type":"string"},"name":{"type":"string"},"pid":{"type":"integer"},"ports":{"items":{"type":"integer"},"type":"array"},"ready":{"type":"boolean"},"restarts":{"type":"integer"},"run":{"type":"integer"},"state":{"enum":["stopped","starting","running","ready","unhealthy","stopping","backoff","failed","exited"],"type":"string"},"uptime_s":{"type":"integer"}},"required":["name","state","ready"],"type":"object"},"type":"array"}},"required":["processes"],"type":"object"}
      hints {"title":"List processes","readOnlyHint":true,"openWorldHint":false}
    start_process: Start a process, after what it depends on; one that runs already is left alone. Returns its state and next_cursor, from where get_logs reads this run. With wait_ready a failed start returns its exit and last lines.
      takes {"additionalProperties":false,"properties":{"name":{"type":"string"},"wait_ready":{"description":"Also wait up to 30 s until it is ready","type":"boolean"}},"required":["name"],"type":"object"}
      gives {"properties":{"already_running":{"type":"boolean"},"also_started":{"items":{"type":"string"},"type":"array"},"hint":{"type":"string"},"next_cursor":{"type":"string"},"outcome":{"enum":["met","timed-out"],"type":"string"},"process":{"type":"object"},"reason":{"type":"string"},"tail":{"items":{"type":"string"},"type":"array"}},"required":["process","next_cursor"],"type":"object"}
      hints {"title":"Start a process","readOnlyHint":false,"destructiveHint":false,"idempotentHint":true,"openWorldHint":false}
    stop_process: Stop a process with everything it spawned: its stop signal, a grace, then SIGKILL. It stays stopped until started again. Returns how it ended.
      takes {"additionalProperties":false,"properties":{"name":{"type":"string"}},"required":["name"],"type":"object"}
      gives {"properties":{"also_stopped":{"items":{"type":"string"},"type":"array"},"how":{"type":"string"},"process":{"type":"object"},"was_running":{"type":"boolean"}},"required":["process","was_running"],"type":"object"}
      hints {"title":"Stop a process","readOnlyHint":false,"destructiveHint":true,"idempotentHint":true,"openWorldHint":false}
    restart_process: Stop a process with everything it spawned, and start it anew; one that does not run is started. For changed configuration, or code that is not reloaded. Returns what start_process returns.
      takes {"additionalProperties":false,"properties":{"name":{"type":"string"},"wait_ready":{"description":"Also wait up to 30 s until it is ready","type":"boolean"}},"required":["name"],"type":"object"}
      gives {"properties":{"next_cursor":{"type":"string"},"process":{"type":"object"}},"required":["process","next_cursor"],"type":"object"}
      hints {"title":"Restart a process","readOnlyHint":false,"destructiveHint":true,"idempotentHint":false,"openWorldHint":false}
    get_logs: Read the newest log lines, or with a cursor in since the ones after it, nothing twice or skipped. Lines read `time level process| text`; the time shows when the second changes, ×N marks repeats. Pass next_cursor as since to read on.
      takes {"additionalProperties":false,"properties":{"fields":{"description":"status=500, ms>=200, path~^/api","items":{"type":"string"},"type":"array"},"full":{"description":"With frames of libraries, alike lines unfolded","type":"boolean"},"grep":{"description":"Regex the text must match","type":"string"},"level":{"description":"At least this serious","enum":["trace","debug","info","warn","error","fatal"],"type":"string"},"limit":{"default":50,"description":"Most lines","maximum":500,"minimum":1,"type":"integer"},"name":{"description":"Process name; all when left out","type":"string"},"run":{"description":"One run only; default all","minimum":1,"type":"integer"},"since":{"description":"A next_cursor, a duration like 10m, or an RFC 3339 time","type":"string"},"stream":{"enum":["stdout","stderr"],"type":"string"}},"type":"object"}
      gives {"properties":{"hint":{"type":"string"},"left_out":{"type":"integer"},"lines":{"items":{"type":"string"},"type":"array"},"missing":{"type":"integer"},"more":{"type":"boolean"},"next_cursor":{"type":"string"}},"required":["lines","next_cursor","more"],"type":"object"}
      hints {"title":"Get logs","readOnlyHint":true,"openWorldHint":false}
    get_errors: List kinds of errors, each once: id, count, place, state, last seen. since=restart tells what is wrong with the present runs; new ones are marked. With id: that one with its trace.
      takes {"additionalProperties":false,"properties":{"full":{"description":"With id: with frames of libraries","type":"boolean"},"id":{"type":"string"},"level":{"default":"error","enum":["warn","error","fatal"],"type":"string"},"limit":{"default":20,"maximum":100,"minimum":1,"type":"integer"},"name":{"type":"string"},"since":{"description":"restart, file:PATH (its last change), a next_cursor, 10m","type":"string"},"state":{"default":"unresolved","enum":["unresolved","regressed","resolved","all"],"type":"string"}},"type":"object"}
      gives {"properties":{"errors":{"items":{"type":"object"},"type":"array"},"hint":{"type":"string"},"more":{"type":"integer"},"new":{"type":"integer"},"next_cursor":{"type":"string"}},"required":["errors","next_cursor"],"type":"object"}
      hints {"title":"Get errors","readOnlyHint":true,"openWorldHint":false}
    wait_for: Wait until a process is ready, has exited, prints a line that matches pattern, or raises an alert. Returns outcome met, timed-out (call again) or impossible (it ended first), with the matching line or the last ones.
      takes {"additionalProperties":false,"properties":{"name":{"type":"string"},"pattern":{"description":"Regex for until=log; name for until=alert, default any","type":"string"},"since":{"description":"Cursor for until=log and alert: what is later counts; default the current run","type":"string"},"timeout_seconds":{"default":30,"maximum":50,"minimum":1,"type":"integer"},"until":{"default":"ready","enum":["ready","exit","log","alert"],"type":"string"}},"required":["name"],"type":"object"}
      gives {"properties":{"alert":{"type":"string"},"hint":{"type":"string"},"line":{"type":"string"},"next_cursor":{"type":"string"},"outcome":{"enum":["met","timed-out","impossible"],"type":"string"},"process":{"type":"object"},"reason":{"type":"string"},"tail":{"items":{"type":"string"},"type":"array"}},"required":["outcome","reason","process","next_cursor"],"type":"object"}
      hints {"title":"Wait for a process","readOnlyHint":true,"openWorldHint":false}
    send_input: Type text into a running process, such as the answer to a prompt, then press keys. Returns next_cursor: since for wait_for or get_logs to read the answer.
      takes {"additionalProperties":false,"properties":{"enter":{"default":true,"description":"End the text with enter; not with keys","type":"boolean"},"eof":{"description":"Then close standard input","type":"boolean"},"keys":{"description":"enter, ctrl-c, up, …","items":{"type":"string"},"type":"array"},"name":{"type":"string"},"text":{"type":"string"}},"required":["name"],"type":"object"}
      gives {"properties":{"bytes":{"type":"integer"},"next_cursor":{"type":"string"},"note":{"type":"string"},"process":{"type":"object"}},"required":["process","bytes","next_cursor"],"type":"object"}
      hints {"title":"Send input to a process","readOnlyHint":false,"destructiveHint":true,"idempotentHint":false,"openWorldHint":false}
    diagnose_process: Explain why a process is as it is: summary with the exit in words, command, recent runs, last error lines, last lines, and hints what to do next. Call it when something failed, before reading logs.
      takes {"additionalProperties":false,"properties":{"name":{"type":"string"}},"required":["name"],"type":"object"}
      gives {"properties":{"command":{"type":"string"},"cwd":{"type":"string"},"errors":{"items":{"type":"string"},"type":"array"},"hints":{"items":{"type":"string"},"type":"array"},"next_cursor":{"type":"string"},"process":{"type":"object"},"runs":{"items":{"type":"string"},"type":"array"},"summary":{"type":"string"},"tail":{"items":{"type":"string"},"type":"array"}},"required":["summary","process","command","cwd","next_cursor"],"type":"object"}
      hints {"title":"Diagnose a process","readOnlyHint":true,"openWorldHint":false}
    add_process: Add a process and start it. It is used like any other, until `ostler down`; keep is what to write into ostler.toml to have it for longer.
      takes {"additionalProperties":false,"properties":{"autostart":{"default":true,"type":"boolean"},"command":{"description":"Run without a shell","type":"string"},"cwd":{"type":"string"},"env":{"description":"NAME=value each","items":{"type":"string"},"type":"array"},"name":{"type":"string"},"ready":{"description":"http://…, host:port or log:regex","type":"string"},"restart":{"enum":["on-failure","always","never"],"type":"string"},"shell":{"description":"An sh script","type":"boolean"},"start":{"default":true,"type":"boolean"}},"required":["name","command"],"type":"object"}
      gives {"properties":{"existed":{"type":"boolean"},"hint":{"type":"string"},"keep":{"type":"string"},"next_cursor":{"type":"string"},"process":{"type":"object"}},"required":["process","next_cursor","keep"],"type":"object"}
      hints {"title":"Add a process","readOnlyHint":false,"destructiveHint":false,"idempotentHint":true,"openWorldHint":false}
    "#);
}

#[test]
fn what_only_reads_is_known_by_its_name_in_any_toolset() {
    for name in ["get_logs", "wait_for", "get_process_stats", "diagnose_system"] {
        assert!(only_reads(name), "{name}");
    }
    for name in ["start_process", "send_input", "kill_process", "reload_config", "no_such_tool", ""] {
        assert!(!only_reads(name), "{name}");
    }
}

#[test]
fn what_the_command_line_can_do_has_a_tool() {
    let others: String = TOOLS
        .iter()
        .filter(|spec| {
            ["run_process", "scale_process", "reload_config", "diagnose_system"].contains(&spec.name)
        })
        .map(|spec| told(&spec.describe()))
        .collect();
    insta::assert_snapshot!(others, @r#"
    diagnose_system: Check what Ostler relies on: ostler.toml, cgroups and the limits they keep, open files, file watches, disk, sockets, plugins. Returns problems with remedies, and what is in order. For when limits, watch or starts do not work as they should.
      takes {"additionalProperties":false,"properties":{},"type":"object"}
      gives {"properties":{"in_order":{"type":"string"},"more":{"type":"integer"},"problems":{"items":{"type":"string"},"type":"array"}},"required":["problems","in_order"],"type":"object"}
      hints {"title":"Diagnose the set-up","readOnlyHint":true,"openWorldHint":false}
    run_process: Run a process that does not run once, such as a migration or a test: after what it depends on, with arguments behind its command, without restarts. Waits for its end and returns exit and last lines; it goes on when the time is over.
      takes {"additionalProperties":false,"properties":{"arguments":{"description":"Put behind its command","items":{"type":"string"},"type":"array"},"name":{"type":"string"},"timeout_seconds":{"default":30,"maximum":50,"minimum":1,"type":"integer"}},"required":["name"],"type":"object"}
      gives {"properties":{"ended":{"type":"boolean"},"exit_code":{"type":"integer"},"hint":{"type":"string"},"how":{"type":"string"},"next_cursor":{"type":"string"},"run":{"type":"integer"},"tail":{"items":{"type":"string"},"type":"array"}},"required":["ended","how","run","next_cursor"],"type":"object"}
      hints {"title":"Run a process once","readOnlyHint":false,"destructiveHint":false,"idempotentHint":false,"openWorldHint":false}
    scale_process: Set how many replicas of a process there are: name, name#2, name#3 and so on. Missing ones are started when the process runs, the last ones are stopped; the others are not touched. Returns what was started and removed.
      takes {"additionalProperties":false,"properties":{"name":{"type":"string"},"replicas":{"maximum":64,"minimum":1,"type":"integer"}},"required":["name","replicas"],"type":"object"}
      gives {"properties":{"failed":{"items":{"type":"string"},"type":"array"},"hint":{"type":"string"},"name":{"type":"string"},"removed":{"items":{"type":"string"},"type":"array"},"replicas":{"type":"integer"},"started":{"items":{"type":"object"},"type":"array"}},"required":["name","replicas","started"],"type":"object"}
      hints {"title":"Scale a process","readOnlyHint":false,"destructiveHint":true,"idempotentHint":true,"openWorldHint":false}
    reload_config: Take up changes of ostler.toml now, which otherwise happens by itself a moment after it was written, and tell what became of them: which processes are new, gone, restarted, updated, started. A broken file changes nothing and is told with place and remedy.
      takes {"additionalProperties":false,"properties":{},"type":"object"}
      gives {"properties":{"added":{"items":{"type":"string"},"type":"array"},"changed":{"type":"boolean"},"failed":{"items":{"type":"string"},"type":"array"},"hint":{"type":"string"},"removed":{"items":{"type":"string"},"type":"array"},"restarted":{"items":{"type":"string"},"type":"array"},"settings":{"items":{"type":"string"},"type":"array"},"started":{"items":{"type":"string"},"type":"array"},"updated":{"items":{"type":"string"},"type":"array"}},"required":["changed"],"type":"object"}
      hints {"title":"Reload the configuration","readOnlyHint":false,"destructiveHint":true,"idempotentHint":true,"openWorldHint":false}
    "#);
}

#[test]
fn a_wait_ends_before_the_call_does() {
    assert_eq!(wait_ms(30), 30_000);
    assert!(u128::from(wait_ms(50)) < bounds::MCP_WAIT.as_millis());
    assert_eq!(wait_ms(u64::MAX), wait_ms(50));
}
