//! Any bytes: no panic, masking twice is masking once, no line takes long.

use std::borrow::Cow;

use proptest::prelude::*;

use super::super::{Ending, MaskState, Masker, Rules, Secret, UserRule};
use super::generator::{CONTEXTS, PROVIDERS, Random};

fn rich() -> Masker {
    let rules = Rules::new(vec![
        UserRule::new("ticket", r"(?i)ticket[-_]?(\w{2,})", Some("1")).expect("a rule"),
        UserRule::new("empty", "x*", None).expect("a rule"),
    ]);
    let secrets = [Secret::new("DB_PASSWORD", "s3cr3t-horse\"9"), Secret::new("token", "masked:token 7")];
    Masker::new(&rules.expect("few rules"), &secrets)
}

/// Pieces that rules look for, so that random texts come near to what they match.
const PIECES: [&str; 45] = [
    "password",
    "secret",
    "token",
    "api_key",
    "Authorization",
    "Bearer ",
    "Basic ",
    "Cookie: ",
    "sid=",
    "=",
    ":",
    ": ",
    "\"",
    "'",
    "\\\"",
    "\\",
    "%3D",
    "%22",
    "&quot;",
    "://",
    "@",
    "u:p@",
    "eyJhbGciOiJI",
    ".",
    "ghp_",
    "sk-",
    "AKIA",
    "0123456789abcdef",
    "hunter2",
    "ABCDEFGHIJKLMNOP",
    "-----BEGIN PRIVATE KEY-----",
    "-----END PRIVATE KEY-----",
    "[masked:token]",
    "[masked:",
    "]",
    " ",
    "--password ",
    "Some(\"",
    "ticket",
    "s3cr3t-horse\"9",
    "\u{1b}[31m",
    "\n",
    "é",
    "TElM",
    "\nightly-horse\\",
];

fn text() -> impl Strategy<Value = Vec<u8>> {
    let piece = (0..PIECES.len()).prop_map(|index| PIECES[index].as_bytes().to_vec());
    let noise = prop::collection::vec(any::<u8>(), 0..4);
    prop::collection::vec(prop_oneof![4 => piece, 1 => noise], 0..24).prop_map(|pieces| pieces.concat())
}

/// Objects whose names and texts come near to what rules match; some texts are JSON themselves.
fn json() -> impl Strategy<Value = serde_json::Value> {
    let words = || text().prop_map(|text| String::from_utf8_lossy(&text).into_owned());
    let leaf = prop_oneof![
        3 => words().prop_map(serde_json::Value::from),
        1 => any::<u32>().prop_map(serde_json::Value::from),
        1 => any::<f64>().prop_map(serde_json::Value::from),
        1 => any::<bool>().prop_map(serde_json::Value::from),
        1 => Just(serde_json::Value::Null),
    ];
    let name = prop_oneof![3 => (0..6_usize).prop_map(|index| PIECES[index].to_owned()), 1 => words()];
    leaf.prop_recursive(3, 12, 4, move |inner| {
        prop_oneof![
            3 => prop::collection::vec((name.clone(), inner.clone()), 0..4)
                .prop_map(|fields| serde_json::Value::Object(fields.into_iter().collect())),
            1 => prop::collection::vec(inner.clone(), 0..4).prop_map(serde_json::Value::from),
            1 => inner.prop_map(|value| serde_json::Value::from(value.to_string())),
        ]
    })
}

#[test]
fn lines_of_json_that_once_did_not_stay_any_do() {
    for line in [
        r#"{"password":{"passwordsid=\\":100}}"#,
        r#"{"password":{"--password \\":100}}"#,
        r#"{"password\\":100000}"#,
    ] {
        let shown = Masker::default().mask_line(&mut MaskState::default(), line.as_bytes()).into_owned();
        let read: Result<serde_json::Value, _> = serde_json::from_slice(&shown);
        assert!(read.is_ok(), "{line} became {}", String::from_utf8_lossy(&shown));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn masking_twice_is_masking_once(line in text()) {
        for masker in [&Masker::default(), &rich()] {
            let once = masker.mask_line(&mut MaskState::default(), &line).into_owned();
            let again = masker.mask_line(&mut MaskState::default(), &once);
            prop_assert_eq!(
                String::from_utf8_lossy(&again), String::from_utf8_lossy(&once), "from {:?}",
                String::from_utf8_lossy(&line)
            );
            prop_assert!(matches!(again, Cow::Borrowed(_)));
        }
    }

    #[test]
    fn a_line_of_json_stays_one(value in json()) {
        let secrets = [Secret::new("DB_PASSWORD", "s3cr3t-horse\"9"), Secret::new("ODD", "nightly-horse\\")];
        let masker = Masker::new(&Rules::default(), &secrets);
        let line = value.to_string();
        let shown = masker.mask_line(&mut MaskState::default(), line.as_bytes()).into_owned();
        let read: Result<serde_json::Value, _> = serde_json::from_slice(&shown);
        prop_assert!(read.is_ok(), "{} became {}", line, String::from_utf8_lossy(&shown));
    }

    #[test]
    fn no_bytes_in_any_parts_panic(parts in prop::collection::vec((text(), any::<bool>()), 0..6)) {
        let masker = rich();
        let mut state = MaskState::default();
        for (part, ends) in parts {
            let ending = if ends { Ending::Ends } else { Ending::GoesOn };
            let _ = masker.mask_part(&mut state, &part, ending);
        }
    }

    #[test]
    fn a_planted_secret_is_never_in_the_output(
        seed in any::<u64>(), before in text(), after in "[ ,;\"'}]{1}[a-z=: ]{0,12}",
    ) {
        // Behind a blank a token begins a word, whatever stands before.
        let mut random = Random(seed);
        let (kind, make) = PROVIDERS[random.below(PROVIDERS.len())];
        let secret = make(&mut random);
        let line = [before.as_slice(), b" ", secret.as_bytes(), after.as_bytes()].concat();
        let shown = Masker::default().mask_line(&mut MaskState::default(), &line).into_owned();
        let shows = shown.windows(secret.len()).any(|window| window == secret.as_bytes());
        prop_assert!(!shows, "{}: {}", kind, String::from_utf8_lossy(&line));
    }

    #[test]
    fn a_value_that_is_known_is_never_in_the_output(before in text(), after in text()) {
        let line = [before.as_slice(), b"s3cr3t-horse\"9", &after].concat();
        let shown = rich().mask_line(&mut MaskState::default(), &line).into_owned();
        prop_assert!(!shown.windows(14).any(|window| window == b"s3cr3t-horse\"9"));
    }
}

#[test]
fn lines_made_of_beginnings_take_no_longer_than_their_length_asks() {
    let masker = rich();
    let timed = |text: &str, bytes: usize| {
        let line = text.repeat(bytes / text.len());
        let begun = std::time::Instant::now();
        let _ = masker.mask_line(&mut MaskState::default(), line.as_bytes());
        begun.elapsed()
    };
    for text in [
        "password=",
        "password=\"",
        "token: a1",
        "eyJ.",
        "eyJhbGciOiJI.",
        "://",
        "a://u:p",
        "ghp_",
        "sk-",
        "Bearer a1",
        "-----BEGIN PRIVATE KEY-----",
        "-----BEGIN PRIVATE KEY-----\"",
        "[masked:token]",
        "[masked:",
        "Cookie: a=b;",
        "MTEy",
        "JQQJ9",
        "%3A%2F%2F",
        "s3cr3t-horse\"",
        "ticket",
        " password: ab",
        "\\\"token\\\":",
        "authorization:",
        "xoxb-1",
    ] {
        let (short, long) = (timed(text, 1 << 14), timed(text, 1 << 19));
        // 32 times the bytes; a square of them would take 1024 times as long. What lies between is the machine's.
        let bound = short.max(std::time::Duration::from_millis(2)) * (32 * 8);
        assert!(long < bound, "{text}: {short:?} for 16 KiB, {long:?} for 512 KiB");
    }
}

#[test]
fn a_rule_that_matches_very_often_masks_the_rest() {
    let rule = UserRule::new("x", "x(?:.*z)?", None).expect("a rule");
    let masker = Masker::new(&Rules::new(vec![rule]).expect("one rule"), &[]);
    let shown = masker.mask_line(&mut MaskState::default(), "x ".repeat(50_000).as_bytes()).into_owned();
    assert!(
        !shown.contains(&b'x') || shown.ends_with(b"[masked:x]"),
        "{}",
        String::from_utf8_lossy(&shown[..99])
    );
}

#[test]
fn lines_within_a_key_take_no_longer_than_others() {
    let masker = Masker::default();
    for byte in [b' ', b'\\', b'a', b'='] {
        let mut state = MaskState::default();
        masker.mask_line(&mut state, b"-----BEGIN PRIVATE KEY-----");
        let begun = std::time::Instant::now();
        masker.mask_line(&mut state, &[byte; 1 << 20]);
        // Milliseconds; a square of the bytes would take minutes.
        assert!(begun.elapsed() < std::time::Duration::from_secs(20), "{}", char::from(byte));
    }
}

#[test]
fn a_private_key_without_end_does_not_hide_the_log() {
    let masker = Masker::default();
    let mut state = MaskState::default();
    let mut shown = Vec::new();
    for line in
        ["-----BEGIN PRIVATE KEY-----", "the server is ready", "a b c", "all is well", "still", "and well"]
    {
        shown.push(String::from_utf8_lossy(&masker.mask_line(&mut state, line.as_bytes())).into_owned());
    }
    assert_eq!(shown[1..], ["the server is ready", "a b c", "all is well", "still", "and well"]);
    assert!(CONTEXTS.len() >= 12);
}
