//! The default patterns: what a line looks like, and the level it then has. Data only; build.rs compiles it.
//!
//! The pattern with the highest priority wins; among equals the one whose match ends first in the line, and among
//! those the one listed first. So what stands first in a line is its header, and no word of the message overrules it:
//!
//! | priority | what it is |
//! |---|---|
//! | 90 | whole lines known by shape: access lines, ready lines, a taken port |
//! | 80 | headers: `ERROR:`, `[warn]`, `E/Tag(1):`, `level=info`, `"level":"debug"`, a timestamp and a level |
//! | 79 | a carriage return: what stands before it was written over. Not looked for behind a header, which is nearly always the same again |
//! | 70 | lines that belong to the one before: stack frames, source excerpts |
//! | 60 | a level in capitals between delimiters, anywhere |
//! | 50 | phrases of frameworks, without a header |
//! | 40 | counts: `0 errors` is good news, `3 errors` is not |
//! | 30, 25, 20 | words of the message: fatal, error, warning |
//!
//! Patterns at 80 and above begin with `^` where they can: once such a pattern has won, the walk may stop early.
//! Words are written with their delimiters rather than `\b`, so that neither `/error` nor `error.rs` counts.

use ostler_sdk::Level;
use ostler_sdk::Level::{Debug, Error, Fatal, Info, Trace, Warn};

#[path = "frameworks.rs"]
mod frameworks;

/// Priority of headers: a match at or above it is believed even amid a traceback.
pub const HEADER: i32 = 80;
/// Priority of phrases: at or above it, indented lines that follow a warning or worse belong to it.
pub const PHRASE: i32 = 50;

/// What a line brings with it besides its level.
pub mod facts {
    /// The process says that it is ready.
    pub const READY: u8 = 1;
    /// The process says where it listens.
    pub const LISTENING: u8 = 2;
    /// Something else holds the port.
    pub const PORT_IN_USE: u8 = 4;
    /// A request begins or has ended.
    pub const REQUEST: u8 = 8;
    /// Something is being built, or was.
    pub const BUILD: u8 = 16;
    /// A change is taken over.
    pub const RELOAD: u8 = 32;
    /// A database waits for migrations.
    pub const MIGRATION: u8 = 64;
    /// The line is JSON or logfmt: its fields are told when it begins an event.
    pub const FIELDS: u8 = 128;
}

/// What the lines after a match are taken for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Opens {
    /// Stack frames may follow when the line is a warning or worse.
    Nothing = 0,
    /// A Python traceback: indented lines, then the exception's own.
    Traceback = 1,
    /// One line of message, then stack frames.
    Message = 2,
    /// Nothing, whatever follows.
    Alone = 3,
    /// Goroutines.
    Go = 4,
    /// An excerpt of the source, a blank line, then an exception of JavaScript.
    Uncaught = 5,
    /// Any lines up to a blank one.
    Block = 6,
    /// Indented lines, also when the line is less than a warning.
    Indented = 7,
    /// What a bundler found wrong, file by file.
    Issue = 8,
    /// One line that has the level, as the second of two.
    Head = 9,
    /// Nothing by itself: what stands behind the last carriage return counts.
    Rewritten = 10,
}

/// One pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    /// Unique among the patterns.
    pub name: String,
    /// A byte-oriented expression in the syntax of the crate `regex`, unanchored unless it says otherwise.
    pub regex: String,
    /// The level it gives; `None` is the level of the warning or error that it continues.
    pub level: Option<Level>,
    /// The highest wins.
    pub priority: i32,
    /// What kind of thing it recognises.
    pub category: &'static str,
    /// Facts it brings, as bits of [`facts`].
    pub facts: u8,
    /// What it opens.
    pub opens: Opens,
}

fn pattern(
    name: impl Into<String>,
    priority: i32,
    level: impl Into<Option<Level>>,
    category: &'static str,
    regex: &str,
) -> Pattern {
    Pattern {
        name: name.into(),
        regex: format!("(?-u){}", expand(regex)),
        level: level.into(),
        priority,
        category,
        facts: 0,
        opens: Opens::Nothing,
    }
}

impl Pattern {
    fn with(self, facts: u8) -> Self {
        Self { facts, ..self }
    }

    fn opening(self, opens: Opens) -> Self {
        Self { opens, ..self }
    }
}

/// Replaces the names of common parts, such as `<stamp>`, by their expressions.
fn expand(regex: &str) -> String {
    // A stamp is anything of digits, separators and month names with a time in it: telling formats apart would need
    // ten times the states and decide nothing.
    const PARTS: [(&str, &str); 5] = [
        ("<stamp>", r"[\[(]?\d(?:[\d/.,TZ+ -]|[A-Z][a-z]{2})*:\d\d:\d\d[\d:.,TZ+ -]*(?:[AP]M *)?[\])]?"),
        ("<ctime>", r"\[[A-Z][a-z]{2} [A-Z][a-z]{2} [ \d]\d [\d:]+ \d{4}\]"),
        ("<address>", r"(?:\d[\d.]+|\[?::(?:1|ffff:[\d.]+)\]?|localhost)(?::\d+)?"),
        ("<method>", r"(?:GET|POST|PUT|PATCH|DELETE|HEAD|OPTIONS)"),
        ("<url>", r"https?://"),
    ];
    PARTS.iter().fold(regex.to_owned(), |text, (name, part)| text.replace(name, part))
}

/// The words for a level: in any case where brackets or a colon mark them, and in capitals where nothing does.
const WORDS: [(Level, &str, &str, &str); 6] = [
    (Trace, "V", "trace|trce|verbose|vrb|silly", "TRACE|VERBOSE|FINER|FINEST"),
    (Debug, "D", "debug|dbug|dbg", "DEBUG|DBG|FINE"),
    (Info, "I", "info|inf|information|notice|note|help|log", "INFO|NOTICE|INF|SUCCESS"),
    (Warn, "W", "warn|warning|wrn", "WARN|WARNING|WRN"),
    (Error, "E", "error|err|fail|severe", "ERROR|ERR|FAIL|SEVERE"),
    (
        Fatal,
        "FA",
        "fatal|critical|crit|emerg|emergency|alert|panic|ftl",
        "FATAL|CRITICAL|CRIT|EMERG|ALERT|PANIC|FTL",
    ),
];

/// Forms of headers, at priority 80. `<any>` are a level's words in any case, `<caps>` in capitals, `<letter>` is
/// the letter of Android, glog and Ruby.
const HEADERS: [(&str, &str); 8] = [
    // `[error] x`, `error: x`, `ERROR:root:x`, `ERROR  x`
    ("leading", r"^[ \t]*(?:\[(?:<any>)\]|(?:<any>):(?:[ \t]|$)|(?:<caps>)(?::[A-Za-z_]|[ \t]|$))"),
    // a timestamp, then the level with or without brackets, with a thread or a logger between or not
    (
        "stamped",
        r"^<stamp>[|:]?[ \t]*(?:[\[(<|]?(?:<any>)[\])>|:,/ \t]|(?:\[[^\]]*\]|[^ \t\[]+)[ \t]+(?:[-|][ \t]+)?(?:\[(?:<any>)\]|[\[(<|]?(?:<caps>)[\])>|:, \t]))",
    ),
    // `Nov 20 08:29:25 host app[1]: error: x`
    (
        "syslog",
        r"^[A-Z][a-z]{2} [ \d]\d \d\d:[\d:.]+ [^ ]+ [^ :]+: (?:(?:<any>):|\[(?:<any>)\]|(?:<caps>)[ :])",
    ),
    // `E/Tag(123): x`, `11-20 08:29:25.123  123  456 E Tag: x`, `11-20 08:29:25.123 E/Tag( 123): x`
    (
        "logcat",
        r"^(?:\d\d-\d\d \d\d:\d\d:[\d.]+ +(?:\d+ +\d+ [<letter>] |[<letter>]/)|[<letter>]/[^ (:]+(?:\( *\d+\))?:)",
    ),
    // `E1120 08:29:25.123 1 x.cc:1] x`; `E, [2026-11-20T08:29:25.123 #1] ERROR -- : x`
    ("glog", r"^[<letter>]\d{4} \d\d:\d\d:\d\d\.\d"),
    ("ruby", r"^[<letter>], \["),
    // `level=error`, `severity="ERROR"`
    (
        "logfmt",
        r#"(?:^|[ \t,{(])(?:level|lvl|severity|loglevel|levelname|log\.level)=["']?(?:<any>)(?:["', \t)}]|$)"#,
    ),
    // `"level":"error"`
    (
        "json",
        r#""(?:level|lvl|severity|log_?level|log\.level|level_?name|@l|Level|LogLevel)" ?: ?"(?:<any>)""#,
    ),
];

/// Returns the default patterns.
pub fn patterns() -> Vec<Pattern> {
    let mut all = Vec::new();
    for (level, letter, any, caps) in WORDS {
        for (form, regex) in HEADERS {
            let regex = regex
                .replace("<any>", &format!("(?i:{any})"))
                .replace("<caps>", caps)
                .replace("<letter>", letter);
            let (facts, opens) = match form {
                "logfmt" | "json" => (facts::FIELDS, Opens::Alone),
                "stamped" => (0, Opens::Indented),
                _ => (0, Opens::Nothing),
            };
            let header = pattern(format!("{form}-{level}"), HEADER, level, "header", &regex);
            all.push(header.with(facts).opening(opens));
        }
        let capitals = format!(r"(?:^|[ \t\[(|<>:.])(?:{caps})(?:[ \t\])>|:,]|$)");
        all.push(pattern(format!("capitals-{level}"), 60, level, "header", &capitals));
    }
    for (level, number) in [(Trace, 10), (Debug, 20), (Info, 30), (Warn, 40), (Error, 50), (Fatal, 60)] {
        let regex = format!(r#""(?:level|severity)" ?: ?{number}[ ,}}]"#);
        let header = pattern(format!("json-number-{level}"), HEADER, level, "header", &regex);
        all.push(header.with(facts::FIELDS).opening(Opens::Alone));
    }
    let silly = pattern("json-http", HEADER, Debug, "header", r#""level" ?: ?"http""#);
    all.push(silly.with(facts::FIELDS).opening(Opens::Alone));
    all.extend(access_lines());
    all.extend(frameworks::LINES.iter().map(|line| {
        let (name, priority, level, facts, opens, regex) = *line;
        pattern(name, priority, level, "framework", regex).with(facts).opening(opens)
    }));
    all.extend(message_words());
    all
}

/// Access lines by status: 5xx is an error, 4xx a warning, all else information.
fn access_lines() -> Vec<Pattern> {
    // Up to the status, which follows.
    const FORMS: [(&str, i32, &str); 8] = [
        ("common", 90, r#"^(?:INFO:werkzeug:)?<address> - (?:-|[a-z][^ ]*) \[[^\]]*\] "[^"]*" "#),
        ("django", 90, r#"^<stamp> "[^"]*" "#),
        ("uvicorn", 90, r#"^INFO: +<address> - "[^"]*" "#),
        ("morgan", 90, r"^<method> [^ ]+ "),
        ("next", 90, r"^ <method> [^ ]+ "),
        ("rails", 90, r"^Completed "),
        ("php", 90, r"^<ctime> <address> \["),
        ("phoenix", 90, r"^<stamp>\[(?:info|debug)\] Sent "),
    ];
    let mut all = Vec::new();
    for (level, status) in [(Info, r"[123]\d\d"), (Warn, r"4\d\d"), (Error, r"5\d\d")] {
        for (form, priority, regex) in FORMS {
            let regex = format!(r"{regex}{status}(?:[ \]]|$)");
            let access = pattern(format!("access-{form}-{level}"), priority, level, "access", &regex);
            all.push(access.with(facts::REQUEST).opening(Opens::Alone));
        }
        let regex = format!(r#" HTTP/[\d.]+" {status}(?:[ ,]|$)"#);
        let access = pattern(format!("access-{level}"), 65, level, "access", &regex);
        all.push(access.with(facts::REQUEST).opening(Opens::Alone));
    }
    all
}

/// Words of the message, believed only where nothing better is known.
fn message_words() -> Vec<Pattern> {
    const BEFORE: &str = r#"(?:^|[ \t\[({<"'`|:;,=>!*])"#;
    const AFTER: &str = r#"(?:[ \t\])}>"'`|:;,!?]|\.?$|\. )"#;
    let word = |name: &str, priority, level, words: &str| {
        pattern(name, priority, level, "word", &format!("{BEFORE}(?i:{words}){AFTER}"))
    };
    vec![
        word(
            "count-none",
            40,
            Info,
            "(?:0|no|zero|without) (?:errors?|failures?|failed|warnings?|exceptions?|problems?)",
        ),
        pattern(
            "count-errors",
            42,
            Error,
            "word",
            &format!("{BEFORE}[1-9][0-9]* (?:errors?|failed|failures?){AFTER}"),
        ),
        word("fatal-word", 30, Fatal, "fatal|segmentation fault|core dumped|out of memory"),
        word(
            "error-word",
            25,
            Error,
            "errors?|failed|failure|exceptions?|panic|panicked|cannot find|command not found|no such file or directory|permission denied|connection refused|econnrefused|enoent|unhandled|uncaught",
        ),
        pattern(
            "error-type",
            25,
            Error,
            "word",
            &format!(r"[A-Za-z](?:(?:Error|Exception){AFTER}|(?:Invalid|NotFound|NotUnique) \()"),
        ),
        word("warn-word", 20, Warn, "warnings?|deprecated|deprecation"),
        pattern("warn-type", 20, Warn, "word", &format!("[a-z]Warning{AFTER}")),
    ]
}
