//! What holds for every text.

use proptest::prelude::*;

use super::*;

/// A traceback with everything in it that differs from time to time.
fn traceback(kind: &str, function: &str, dir: &str, line: u32, id: &str) -> String {
    format!(
        "Traceback (most recent call last):\n  File \"{dir}/shop/views.py\", line {line}, in {function}\n    \
         raise {kind}(x)\n  File \"{dir}/venv/lib/python3.13/site-packages/django/base.py\", line {line}, in get\n\
         shop.{kind}: order {id} of pid {line} on port {line}"
    )
}

fn message(pid: u32, uuid: &str, dir: &str, port: u16, hex: u64) -> String {
    format!("worker {pid} lost job {uuid} in /tmp/{dir}/jobs.db at 0x{hex:x} on 127.0.0.1:{port}: `{dir}`")
}

/// Pieces that traces are made of, so that chance comes upon them.
fn pieces() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("Traceback (most recent call last):".to_owned()),
        Just("  File \"/a/b.py\", line 3, in f".to_owned()),
        Just("    ^^^^".to_owned()),
        Just("  | ".to_owned()),
        Just("  +-+---------------- 1 ----------------".to_owned()),
        Just("ValueError: x".to_owned()),
        Just("    at f (/a/b.js:1:2)".to_owned()),
        Just("    at a.B.c(D.java:1)".to_owned()),
        Just("   at A.B.C(Int32 x) in /a/b.cs:line 3".to_owned()),
        Just(" ---> System.X: y".to_owned()),
        Just("   --- End of inner exception stack trace ---".to_owned()),
        Just("Caused by: a.B: c".to_owned()),
        Just("\tSuppressed: a.B: c".to_owned()),
        Just("a.rb:1:in 'f': boom (RuntimeError)".to_owned()),
        Just("goroutine 1 [running]:".to_owned()),
        Just("main.f(0x1)".to_owned()),
        Just("\t/a/b.go:3 +0x1d".to_owned()),
        Just("thread 'main' (1) panicked at src/main.rs:3:5:".to_owned()),
        Just("stack backtrace:".to_owned()),
        Just("   0: a::b::{{closure}}".to_owned()),
        Just("             at ./src/a.rs:1:2".to_owned()),
        Just("PHP Fatal error:  Uncaught X: y in /a.php:3".to_owned()),
        Just("#0 /a.php(7): f()".to_owned()),
        Just("Next A: b in /a.php:3".to_owned()),
        Just("error[E0308]: x".to_owned()),
        Just(" --> a.rs:1:2".to_owned()),
        "\\PC{0,20}",
        "[ \\t(){}<>:'\"|+#/$.,\u{e4}\u{201c}0-9a-zA-Z-]{0,30}",
    ];
    prop::collection::vec(piece, 0..30).prop_map(|pieces| pieces.join("\n"))
}

/// `text` with one of its lines cut short, as a long event may be.
fn cut(text: &str, at: usize) -> &str {
    &text[..text.floor_char_boundary(at % (text.len() + 1))]
}

proptest! {
    #[test]
    fn any_text_is_read(text in "(?s).{0,300}", bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        for text in [text, String::from_utf8_lossy(&bytes).into_owned()] {
            let shape = read(&text, PROJECT);
            Fingerprint::of("x", &shape);
            shape.place();
            reduce(&text, None);
            read_structured(&text, &[], None);
        }
    }

    #[test]
    fn any_mixture_of_traces_is_read_and_reduced(text in pieces(), at in any::<usize>()) {
        for text in [&text, cut(&text, at)] {
            Fingerprint::of("x", &read(text, PROJECT));
            let reduced = reduce(text, PROJECT);
            prop_assert!(reduced.lines().count() <= text.lines().count());
            // What is reduced has nothing left to leave out but what no frame stands above any more.
            Fingerprint::of("x", &read(&reduced, PROJECT));
        }
    }

    #[test]
    fn the_same_error_has_the_same_fingerprint_wherever_and_whenever(
        line in 1..9999_u32, dir in "/srv/shop|/tmp/[a-z0-9]{4,8}|/home/[a-z]{3,8}", id in "[0-9a-f]{12}",
    ) {
        let one = fingerprint(&traceback("CartError", "cart", "/srv/shop", 3, "77"));
        // Two directories further down its name is all that counts.
        let other = fingerprint(&traceback("CartError", "cart", &dir, line, &id));
        prop_assert_eq!(one, other);
    }

    #[test]
    fn another_type_or_another_function_is_another_error(kind in "[A-Z][a-z]{2,8}Error", function in "[a-z_]{3,9}") {
        prop_assume!(kind != "CartError" && function != "cart");
        let one = fingerprint(&traceback("CartError", "cart", "/srv/shop", 3, "77"));
        prop_assert_ne!(&one, &fingerprint(&traceback(&kind, "cart", "/srv/shop", 3, "77")));
        prop_assert_ne!(&one, &fingerprint(&traceback("CartError", &function, "/srv/shop", 3, "77")));
    }

    #[test]
    fn the_same_message_has_the_same_fingerprint(
        pid in 1..4_000_000_u32, uuid in "[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-8[0-9a-f]{3}-[0-9a-f]{12}",
        dir in "[a-zA-Z0-9_]{1,10}", port in 1..u16::MAX, hex in any::<u64>(),
    ) {
        let one = message(7, "5f0c9a6e-3b1d-4c8e-9f10-aabbccddeeff", "x", 80, 1);
        prop_assert_eq!(fingerprint(&one), fingerprint(&message(pid, &uuid, &dir, port, hex)));
        prop_assert_ne!(fingerprint(&one), fingerprint("worker 7 found job 8"));
    }

    #[test]
    fn a_template_is_its_own_template_or_shorter(text in "(?s).{0,200}") {
        let once = template(&text);
        prop_assert!(once.len() <= 4 * text.len() + 8, "{once}");
    }
}
