//! Traces as programs print them, and what must stay the same of an error however it is printed.

mod languages;
mod properties;

use super::*;

const PROJECT: Option<&str> = Some("/srv/shop");

fn fingerprint(text: &str) -> String {
    Fingerprint::of("api", &read(text, PROJECT)).to_string()
}

/// A shape in a few lines; frames of the project's own have a star.
fn told(text: &str) -> String {
    let shape = read(text, PROJECT);
    let mut told = format!("{}: {}\n", shape.kind, shape.message);
    for frame in &shape.frames {
        let star = if frame.in_app { "*" } else { " " };
        let line = frame.line.map(|line| format!(":{line}")).unwrap_or_default();
        told.push_str(&format!("{star} {} | {}{line}\n", frame.module, frame.function));
    }
    for cause in &shape.causes {
        told.push_str(&format!("because {}: {}\n", cause.kind, cause.message));
    }
    told
}

#[test]
fn a_message_without_a_trace_is_read_without_what_comes_before_it() {
    for (line, kind, message) in [
        ("2026-11-20 08:29:25,123 ERROR [shop.cart] cart 12 is gone", "", "cart 12 is gone"),
        ("ERROR:    Application startup failed. Exiting.", "", "Application startup failed. Exiting."),
        ("[2026-11-20T08:29:25Z] warn: low disk", "", "low disk"),
        (
            "Error: listen EADDRINUSE: address already in use :::8201",
            "Error",
            "listen EADDRINUSE: address already in use :::8201",
        ),
        ("shop.errors.CartError: gone", "shop.errors.CartError", "gone"),
        ("error: could not compile `shop`", "", "could not compile `shop`"),
        ("", "", ""),
    ] {
        let shape = read(line, None);
        assert_eq!((shape.kind.as_str(), shape.message.as_str()), (kind, message), "{line}");
    }
}

#[test]
fn messages_lose_what_differs_from_time_to_time() {
    for (message, expected) in [
        ("job 12 of 'nightly' failed at /tmp/x1/y.txt", "job <n> of <q> failed at <path>"),
        ("can't connect to http://127.0.0.1:8000/a?b=1, giving up", "can't connect to <url>, giving up"),
        ("user 5f0c9a6e-3b1d-4c8e-9f10-aabbccddeeff not found", "user <uuid> not found"),
        ("object at 0x7f3a9c40 died after 1.5s", "object at <hex> died after <n>s"),
        ("commit 9fceb02d0ae598e95dc970b74767f19372d61af8 is bad", "commit <hex> is bad"),
        ("connect ECONNREFUSED 127.0.0.1:5432", "connect ECONNREFUSED <n>"),
        ("utf8 and http2 and either/or stay", "utf8 and http2 and either/or stay"),
        ("key=abc, id=req_8fj2kd9x1q77", "key=abc, id=req_<id>"),
        ("\"GET /boom HTTP/1.1\" 500 57421", "<q> <n> <n>"),
    ] {
        assert_eq!(template(message), expected, "{message}");
    }
}

#[test]
fn messages_lose_numbers_alone_where_nothing_else_may_go() {
    for (message, expected) in [
        ("GET /items/12 took 3.5ms", "GET /items/<n> took <n>ms"),
        ("GET /items/a took 3ms", "GET /items/a took <n>ms"),
        ("'x' of job 5f0c9a6e-3b1d-4c8e-9f10-aabbccddeeff", "'x' of job <uuid>"),
        ("2026-11-20 08:29:25,123 at 0x7f3a", "<n> <n> at <hex>"),
        ("über 3 Zeilen", "über <n> Zeilen"),
        ("", ""),
    ] {
        assert_eq!(numberless(message), expected, "{message}");
    }
}

#[test]
fn a_trace_in_a_line_of_json_is_read() {
    let line = r#"{"level":"error","msg":"request failed","err":{"type":"TypeError","message":"x is not a function","stack":"TypeError: x is not a function\n    at cart (/srv/shop/src/cart.js:3:9)\n    at Layer.handle (/srv/shop/node_modules/express/lib/router/layer.js:95:5)"}}"#;
    let shape = read_structured(line, &[], PROJECT);
    assert_eq!((shape.kind.as_str(), shape.place().as_deref()), ("TypeError", Some("src/cart.js:3 in cart")));
    let plain = read_structured(r#"{"level":"error","msg":"cart 12 is gone"}"#, &[], PROJECT);
    assert_eq!(plain.message, "cart 12 is gone");
    let fields = [("msg".to_owned(), "cart 13 is gone".to_owned())];
    let logfmt = read_structured("level=error msg=\"cart 13 is gone\"", &fields, PROJECT);
    assert_eq!(Fingerprint::of("api", &plain), Fingerprint::of("api", &logfmt));
}

#[test]
fn a_reduced_trace_has_the_projects_frames_and_counts_the_others() {
    let text = "\
TypeError: x is not a function
    at cart (/srv/shop/src/cart.js:3:9)
    at Layer.handle (/srv/shop/node_modules/express/lib/router/layer.js:95:5)
    at next (/srv/shop/node_modules/express/lib/router/route.js:149:13)
    at route (/srv/shop/src/routes.js:9:1)
    at node:internal/main:1:1";
    assert_eq!(
        reduce(text, PROJECT),
        "\
TypeError: x is not a function
    at cart (/srv/shop/src/cart.js:3:9)
    … 2 frames of libraries left out
    at route (/srv/shop/src/routes.js:9:1)
    at node:internal/main:1:1"
    );
}

#[test]
fn a_reduced_trace_of_libraries_alone_keeps_the_innermost_frames() {
    let mut text = "Traceback (most recent call last):\n".to_owned();
    for number in 1..=9 {
        text.push_str(&format!(
            "  File \"/usr/lib/python3.13/x.py\", line {number}, in f{number}\n    go()\n"
        ));
    }
    text.push_str("ValueError: bad");
    let reduced = reduce(&text, PROJECT);
    assert!(
        reduced.contains("  … 6 frames of libraries left out\n  File \"/usr/lib/python3.13/x.py\", line 7"),
        "{reduced}"
    );
    assert!(reduced.ends_with("in f9\n    go()\nValueError: bad"), "{reduced}");
}

#[test]
fn what_is_no_trace_is_not_reduced() {
    for text in ["", "one\ntwo", "at last (it works)"] {
        assert_eq!(reduce(text, None), text);
    }
}

#[test]
fn the_scope_and_the_root_cause_are_part_of_what_an_error_is() {
    let shape = read("ValueError: bad", None);
    assert_ne!(Fingerprint::of("api", &shape), Fingerprint::of("web", &shape));
    let with = |kind: &str| Shape {
        causes: vec![Cause { kind: kind.to_owned(), ..Cause::default() }],
        ..shape.clone()
    };
    assert_ne!(Fingerprint::of("api", &with("KeyError")), Fingerprint::of("api", &with("OSError")));
}

#[test]
fn a_fingerprint_is_the_same_tomorrow() {
    // Where this fails the version has to be raised: groups made before would not be found again.
    assert_eq!(FINGERPRINT_VERSION, 1);
    let shape = read(
        "Traceback (most recent call last):\n  File \"/srv/shop/a.py\", line 1, in f\nValueError: bad",
        PROJECT,
    );
    assert_eq!(Fingerprint::of("api", &shape).to_string(), PINNED);
    assert_eq!(PINNED.len(), Fingerprint::DIGITS);
}

const PINNED: &str = "ead631ad5164";
