//! The default patterns: what a line looks like, and the level it then has. Data only; build.rs compiles it.
//!
//! The pattern with the highest priority wins; among equals the one whose match ends first in the line, and among
//! those the one listed first. So what stands first in a line is its header, and no word of the message overrules it:
//!
//! | priority | what it is |
//! |---|---|
//! | 90 | whole lines known by shape: access lines, ready lines, a taken port |
//! | 80 | headers: `ERROR:`, `[warn]`, `E/Tag(1):`, `level=info`, `"level":"debug"`, a timestamp and a level |
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

/// Priority of headers: a match at or above it is believed even amid a traceback.
pub const HEADER: i32 = 80;

/// What a line brings with it besides its level.
pub mod facts {
    /// The process says that it is ready.
    pub const READY: u8 = 1;
    /// The process says where it listens.
    pub const LISTENING: u8 = 2;
    /// Something else holds the port.
    pub const PORT_IN_USE: u8 = 4;
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
    (Trace, "V", "trace|trce|verbose|vrb", "TRACE|VERBOSE|FINER|FINEST"),
    (Debug, "D", "debug|dbug|dbg", "DEBUG|DBG|FINE"),
    (Info, "I", "info|inf|information|notice|note|help|log", "INFO|NOTICE|INF"),
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
            all.push(pattern(format!("{form}-{level}"), HEADER, level, "header", &regex));
        }
        let capitals = format!(r"(?:^|[ \t\[(|<>:.])(?:{caps})(?:[ \t\])>|:,]|$)");
        all.push(pattern(format!("capitals-{level}"), 60, level, "header", &capitals));
    }
    for (level, number) in [(Trace, 10), (Debug, 20), (Info, 30), (Warn, 40), (Error, 50), (Fatal, 60)] {
        let regex = format!(r#""(?:level|severity)" ?: ?{number}[ ,}}]"#);
        all.push(pattern(format!("json-number-{level}"), HEADER, level, "header", &regex));
    }
    all.extend(access_lines());
    all.extend(framework_lines());
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
            all.push(pattern(format!("access-{form}-{level}"), priority, level, "access", &regex));
        }
        let regex = format!(r#" HTTP/[\d.]+" {status}(?:[ ,]|$)"#);
        all.push(pattern(format!("access-{level}"), 65, level, "access", &regex));
    }
    all
}

/// Lines that frameworks print without a header.
fn framework_lines() -> Vec<Pattern> {
    use facts::{LISTENING, PORT_IN_USE, READY};
    let known = |name: &str, level, regex| pattern(name, 90, level, "framework", regex);
    let phrase = |name: &str, level, regex| pattern(name, 50, level, "framework", regex);
    vec![
        known(
            "django-ready",
            Info,
            "^Starting (?:development|ASGI/[A-Za-z]+ version [^ ]+ development) server at ",
        )
        .with(READY | LISTENING),
        known("flask-ready", Info, r"^ \* Running on (?:all addresses|<url>)").with(READY | LISTENING),
        known("flask", Info, r"^ \* (?:Serving|Debug|Restarting|Detected|Environment)"),
        known("uvicorn-ready", Info, r"^INFO: +Application startup complete").with(READY),
        known("uvicorn-listening", Info, "^INFO: +Uvicorn running on <url>").with(LISTENING),
        known("gunicorn-ready", Info, r"^<stamp> \[\d+\] \[INFO\] Listening at: ").with(READY | LISTENING),
        known("vite-ready", Info, r"^ *VITE v[^ ]+ +ready in ").with(READY),
        known("local-url", Info, r"^ *(?:➜ +|- )Local: +<url>").with(LISTENING),
        known("next-ready", Info, "^ *✓ Ready in ").with(READY),
        known("webpack-listening", Info, r"^<i> \[webpack-dev-server\] Loopback: ").with(LISTENING),
        known("webpack-ready", Info, r"^webpack [^ ]+ compiled successfully").with(READY),
        known("webpack-warnings", Warn, r"^webpack [^ ]+ compiled with \d+ warning").with(READY),
        known("webpack-errors", Error, r"^webpack [^ ]+ compiled with \d+ error"),
        known("puma-ready", Info, r"^\* Listening on ").with(READY | LISTENING),
        known("php-ready", Info, r"^(?:<ctime> )?PHP [^ ]+ Development Server \(").with(READY | LISTENING),
        known("laravel-ready", Info, r"^ *INFO +Server running on \[").with(READY | LISTENING),
        known(
            "spring-listening",
            Info,
            r"^<stamp>INFO \d+ --- \[[^\]]*\] (?:\[[^\]]*\] )?[^ ]+ +: Tomcat started on port",
        )
        .with(LISTENING),
        known(
            "spring-ready",
            Info,
            r"^<stamp>INFO \d+ --- \[[^\]]*\] (?:\[[^\]]*\] )?[^ ]+ +: Started [^ ]+ in ",
        )
        .with(READY),
        known("phoenix-ready", Info, r"^<stamp>\[info\] Running [^ ]+ with [^ ]+ [^ ]+ at ")
            .with(READY | LISTENING),
        known(
            "phoenix-port-in-use",
            Error,
            r"^<stamp>\[error\] Running [^,]* failed, port (?:\d+ )?already in use",
        )
        .with(PORT_IN_USE),
        known(
            "error-port-in-use",
            Error,
            r"^(?:\[vite\] )?Error: (?:[Tt]hat port is|Port \d+ is|listen EADDRINUSE)",
        )
        .with(PORT_IN_USE),
        known("uvicorn-port-in-use", Error, r"^ERROR: +\[Errno \d+\] error while attempting to bind")
            .with(PORT_IN_USE),
        known("next-port-in-use", Warn, r"^ *⚠ Port \d+ is in use").with(PORT_IN_USE),
        known("vite-port-in-use", Warn, r"^Port \d+ is in use, trying another").with(PORT_IN_USE),
        phrase("port-in-use", Error, r"[Pp]ort (?:\d+ )?(?:is |was )?(?:already )?in use").with(PORT_IN_USE),
        phrase("address-in-use", Error, r"[Aa]ddress already in use|EADDRINUSE|AddrInUse").with(PORT_IN_USE),
        pattern(
            "traceback",
            HEADER,
            Error,
            "traceback",
            r"^[ \t|+]*(?:Exception Group )?Traceback \(most recent call last\):",
        )
        .opening(Opens::Traceback),
        pattern("rust-panic", HEADER, Error, "traceback", r"^thread '[^']*' (?:\(\d+\) )?panicked at ")
            .opening(Opens::Message),
        pattern("go-fatal", HEADER, Fatal, "traceback", "^fatal error: "),
        pattern(
            "frame",
            70,
            None,
            "frame",
            r#"^(?:[ \t]+(?:at |from [^ ]+:\d+:in |\.\.\. \d+ (?:more|common)|File "|\d+: |--> |= (?:note|help): )|[^ :]+\.rb:\d+:in |Caused by: |goroutine \d+ \[|[ \t]*\d*[ \t]*\||stack backtrace:)"#,
        ),
        pattern("mark-error", HEADER, Error, "header", r"^[ \t]*(?:⨯|✗|✘|✖|❌) ?"),
        pattern("mark-warn", HEADER, Warn, "header", "^[ \t]*⚠"),
        pattern("mark-info", HEADER, Info, "header", r"^[ \t]*(?:✓|✔|✅|▲|➜|○|ℹ)"),
        pattern("letter-error", HEADER, Error, "header", "^<e> "),
        pattern("letter-warn", HEADER, Warn, "header", "^<w> "),
        pattern("letter-info", HEADER, Info, "header", "^<i> "),
        pattern("npm-error", HEADER, Error, "header", "^npm (?:ERR!|error)"),
        pattern("npm-warn", HEADER, Warn, "header", "^npm (?:WARN|warn)"),
        pattern("npm-info", HEADER, Info, "header", "^npm (?:notice|info)"),
        pattern(
            "cargo",
            HEADER,
            Info,
            "header",
            "^ +(?:Compiling|Finished|Running|Fresh|Checking|Download(?:ing|ed)|Updating|Locking|Building|Documenting|Doc-tests|Installing|Packaging|Adding) ",
        ),
        pattern("rustc-error", HEADER, Error, "header", r"^error\[E\d+\]: "),
        phrase("django-server-error", Error, "^Internal Server Error: "),
        phrase(
            "django-client-error",
            Warn,
            "^(?:Not Found|Bad Request|Forbidden|Unauthorized|Method Not Allowed)(?: \\([^)]*\\))?: ",
        ),
        phrase(
            "django-migrations",
            Warn,
            r"^(?:You have \d+ unapplied migration|Run 'python manage.py migrate')",
        ),
        phrase(
            "django-checks",
            Info,
            r"^(?:System check identified no issues|Performing system checks|Watching for file changes|Quit the server with|Django version )",
        ),
        phrase("django-reload", Info, r" changed, reloading\."),
        phrase(
            "vite-error",
            Error,
            r"^(?:<stamp>)?\[vite\] (?:\([a-z]+\) )?(?:Internal server error|Pre-transform error|Error)",
        ),
        phrase(
            "vite-info",
            Info,
            r"^(?:<stamp>)?\[vite\] (?:\([a-z]+\) )?(?:page reload|hmr |server restarted|connect|\.env|vite\.config|new dependencies|✨)",
        ),
        phrase(
            "rails-info",
            Info,
            r#"^(?:=> (?:Booting|Rails|Run)|Started <method> "|Processing by |Puma starting|Use Ctrl-C)"#,
        ),
        phrase("php-info", Info, r"^<ctime> <address> (?:Accepted|Closing)"),
        phrase("php-fatal", Fatal, r"PHP (?:Fatal|Parse) error: "),
        phrase("php-warn", Warn, r"PHP (?:Warning|Notice|Deprecated): "),
        phrase("make", Error, r"^g?make(?:\[\d+\])?: \*\*\* "),
        phrase("elixir", Error, r"^\*\* \("),
        pattern("postgres-log", 60, Info, "framework", r"\] LOG:  "),
        phrase("nodemon-crash", Error, r"^\[nodemon\] app crashed"),
        phrase("nodemon", Info, r"^\[nodemon\] (?:starting|restarting|watching|\d|to restart|clean exit)"),
        phrase("spring-failed", Error, "^APPLICATION FAILED TO START"),
        phrase("build-failed", Error, "BUILD FAILED"),
        phrase("build-succeeded", Info, "BUILD SUCCESS"),
    ]
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
