//! Every bound of the program, with its default, in one place.
//!
//! Guests, children and clients are not trusted with the size of anything; where a limit is hit, the place that
//! hits it says so with the name used here.

use std::ops::RangeInclusive;
use std::time::Duration;

/// Longest process name, in bytes.
pub const PROCESS_NAME_MAX: usize = 64;
/// Most replicas of one process.
pub const REPLICAS_MAX: u32 = 64;
/// Most globs in one `watch`, and in its `ignore`.
pub const WATCH_GLOBS: usize = 256;
/// Most bytes that a replica's number adds to its process's name: `#64`.
pub const REPLICA_SUFFIX_MAX: usize = 3;
/// Processes that may be added to those of the file.
pub const ADDED_PROCESSES: usize = 256;
/// Groups that may be made, or put more into, besides what the file says.
pub const ADDED_GROUPS: usize = 64;
/// Longest pause between the starts of two members of a group.
pub const GROUP_DELAY: Duration = Duration::from_secs(600);

// ---- spool (written by the shim, one per run) ----

/// Size at which the shim closes a spool file and opens the next, in bytes.
pub const SPOOL_FILE_BYTES: u64 = 16 << 20;
/// Bytes of output that may wait on disk for the daemon, per run; beyond it the oldest file is dropped and counted.
pub const SPOOL_MAX_BYTES: u64 = 1 << 30;
/// Free space the shim leaves on the spool's file system, in bytes; below it output is dropped and counted.
pub const SPOOL_MIN_FREE_BYTES: u64 = 128 << 20;
/// Most bytes of one spool frame's payload.
pub const SPOOL_FRAME_BYTES: usize = 64 << 10;
/// Bytes of input that may wait in a shim for a child that does not read.
pub const STDIN_PENDING_BYTES: usize = 64 << 10;
/// Bytes of input that one request may carry.
pub const INPUT_BYTES: usize = 1 << 20;
/// Requests with input that may wait for one child; they are served one after the other.
pub const INPUT_QUEUE: usize = 64;
/// How long input waits for a child that reads nothing.
pub const INPUT_WAIT: Duration = Duration::from_secs(5);
/// How long one request's input may take in all, however slowly the child reads.
pub const INPUT_WAIT_LONGEST: Duration = Duration::from_secs(40);
/// Lines and columns of a child's terminal until somebody attaches with another.
pub const TERMINAL_ROWS: u16 = 24;
/// See `TERMINAL_ROWS`.
pub const TERMINAL_COLS: u16 = 80;
/// Bytes of output that may wait in a shim for one daemon that follows it; what is beyond is left out and counted.
pub const TAIL_PENDING_BYTES: usize = 256 << 10;
/// Pieces of output, of at most `SPOOL_FRAME_BYTES` each, that may wait in the daemon for one who follows a run.
pub const TAIL_PIECES: usize = 64;
/// Bytes of a run's latest output shown to one who attaches.
pub const TAIL_RECENT_BYTES: usize = 64 << 10;
/// How long a shim goes on reading output after the child's tree is gone, for pipes held by processes that left it.
pub const DRAIN_GRACE: Duration = Duration::from_millis(200);

// ---- what a child says of itself (`sd_notify(3)`) ----

/// Longest `STATUS=` that is kept, in bytes.
pub const NOTIFY_STATUS_BYTES: usize = 256;
/// The most time that `EXTEND_TIMEOUT_USEC=` can add to a start, and to the grace of a stop.
pub const NOTIFY_EXTEND: Duration = Duration::from_secs(600);

// ---- readiness and health ----

/// Time for one look of a readiness check. Generous, because the first request to a development server may compile
/// something.
pub const READY_LOOK: Duration = Duration::from_secs(5);
/// Pause between two looks, by the kernel's table of sockets, at whether a ready process still listens.
pub const READY_RECHECK: Duration = Duration::from_secs(2);
/// Pause between two looks at a ready process that cost it something: a request, a command, a connection.
pub const READY_RECHECK_ASKING: Duration = Duration::from_secs(10);
/// Failed looks in a row after which readiness is withdrawn.
pub const READY_FAILURES: u32 = 3;
/// Bytes of an answer's head and of its body that a check reads.
pub const CHECK_HTTP_BYTES: usize = 64 << 10;
/// Bytes of a check's command's output that are kept, the last ones.
pub const CHECK_OUTPUT_BYTES: usize = 4 << 10;
/// Signs of readiness in a run's output that are looked at in one second.
pub const SIGNS_PER_SECOND: u32 = 20;
/// Results of checks that are remembered of one process.
pub const CHECK_RESULTS: usize = 20;
/// Runs of a process, counted back from the last, from which a new daemon learns how often it was restarted.
pub const RESTART_RUNS: usize = 64;

// ---- processes ----

/// The ports that `port = "auto"` chooses from: below those the kernel hands out by itself
/// (`net.ipv4.ip_local_port_range`, from 32768 by default), above those that well-known servers use.
pub const PORT_RANGE: RangeInclusive<u16> = 20_000..=29_999;

/// Time between two looks at what processes use, while somebody asks.
pub const STATS_EVERY: Duration = Duration::from_secs(2);
/// Looks that are kept of each process: five minutes.
pub const STATS_KEPT: usize = 150;
/// How long after the last question the looks go on.
pub const STATS_LINGER: Duration = Duration::from_secs(600);

// ---- pipeline ----

/// Longest line, in bytes; a longer one is stored in pieces marked as partial.
pub const LINE_BYTES: usize = 1 << 20;
/// How long an unfinished line (a prompt) waits for its end before it is stored as partial.
pub const PARTIAL_LINE_WAIT: Duration = Duration::from_millis(300);
/// Most bytes of spool taken in one step for one run, so that a flood cannot starve its neighbours.
pub const INGEST_STEP_BYTES: usize = 1 << 20;
/// The same when many runs wait for their turns: less would cost more in batches than it saves in waiting.
pub const INGEST_LEAST_BYTES: usize = 128 << 10;
/// How long an event waits for more of its lines, such as the rest of a traceback, before it is taken for whole.
pub const EVENT_WAIT: Duration = Duration::from_millis(300);
/// First lines, and again last lines, of an event that its text holds.
pub const EVENT_TEXT_LINES: usize = 100;
/// Bytes of an event's text.
pub const EVENT_TEXT_BYTES: usize = 64 << 10;
/// Fields of a fact, and so of an event, that are taken from a plugin.
pub const EVENT_FIELDS: usize = 16;
/// Most lines given to a plugin in one call.
pub const BATCH_LINES: usize = 4096;

// ---- requests ----

/// For how long requests are counted together, to tell of the last minute.
pub const REQUEST_SLOT: Duration = Duration::from_secs(10);
/// Such counts that are kept: a minute, and the one that is being made.
pub const REQUEST_SLOTS: usize = 7;
/// The same, to tell of the last 15 minutes.
pub const REQUEST_LONG_SLOT: Duration = Duration::from_secs(60);
/// See `REQUEST_LONG_SLOT`.
pub const REQUEST_LONG_SLOTS: usize = 16;
/// Routes of a process whose requests are counted apart; the one asked for least makes room for another.
pub const REQUEST_ROUTES: usize = 20;
/// Durations that are remembered of a route, the last ones.
pub const REQUEST_ROUTE_DURATIONS: usize = 64;
/// Processes whose requests are counted, by name; the one without a request for longest makes room for another.
pub const REQUEST_PROCESSES: usize = 512;
/// Percentage of requests answered with a status from 500 on, from which on a diagnosis speaks of it.
pub const REQUEST_ERROR_PERCENT: u64 = 5;

// ---- errors ----

/// Bytes of an event's text in which a trace is looked for; of a longer one its first and last lines are.
pub const TRACE_BYTES: usize = 64 << 10;
/// Most frames that are read of one error.
pub const TRACE_FRAMES: usize = 500;
/// Most causes that are read of one error.
pub const TRACE_CAUSES: usize = 16;
/// Characters kept of a type, a message, or a function's name.
pub const TRACE_TEXT: usize = 500;
/// Kinds of errors that are remembered of a project; the oldest resolved ones are forgotten beyond it, then the oldest.
pub const ERROR_GROUPS: usize = 1000;
/// Times that are remembered one by one of each kind of error, the newest.
pub const ERROR_EVENTS: usize = 20;
/// Hours for which is remembered how often an error happened: two weeks, less those in which it did not.
pub const ERROR_HOURS: usize = 336;
/// Runs for which is remembered how often an error happened.
pub const ERROR_RUNS: usize = 100;
/// Bytes kept of the text of an error.
pub const ERROR_SAMPLE_BYTES: usize = 8 << 10;
/// How long errors are gathered before they are written down together.
pub const ERROR_FLUSH: Duration = Duration::from_millis(500);
/// Kinds of errors after which they are written down at once; of one kind any number is gathered.
pub const ERROR_FLUSH_KINDS: usize = 200;
/// Longest remark on an error that somebody resolves, in characters.
pub const ERROR_NOTE: usize = 1000;

// ---- alerts ----

/// Alerts that a project may have.
pub const ALERTS: usize = 64;
/// Most events or lines that an alert waits for; so many moments are remembered of each process.
pub const ALERT_RATE: u32 = 1000;
/// The stretch of time in which an alert counts.
pub const ALERT_WITHIN: RangeInclusive<Duration> =
    Duration::from_millis(100)..=Duration::from_secs(24 * 60 * 60);
/// How long an alert keeps quiet once it was raised, unless it is told otherwise.
pub const ALERT_WINDOW: Duration = Duration::from_secs(300);
/// The shortest it may be told to.
pub const ALERT_WINDOW_LEAST: Duration = Duration::from_secs(1);
/// Longest pattern of an alert, in bytes.
pub const ALERT_REGEX_BYTES: usize = 4096;
/// Memory that one such pattern may take once compiled, in bytes.
pub const ALERT_REGEX_SIZE: usize = 1 << 20;
/// Longest message of an alert, in characters.
pub const ALERT_MESSAGE: usize = 200;
/// Characters kept of the line that an alert is raised by.
pub const ALERT_TEXT: usize = 300;
/// Pairs of an alert and a process that are looked after; what is beyond is not.
pub const ALERT_WATCHED: usize = 4096;
/// Alerts that were raised and are remembered, the newest.
pub const ALERTS_KEPT: usize = 1000;
/// Alerts that wait for a catalogue that cannot be written; the oldest is lost beyond it.
pub const ALERTS_UNWRITTEN: usize = 1000;

// ---- masking ----

/// Rules of the user's for secrets.
pub const MASK_RULES: usize = 64;
/// Longest regular expression of such a rule, in bytes.
pub const MASK_REGEX_BYTES: usize = 4096;
/// Memory that one such expression may take once compiled, in bytes.
pub const MASK_REGEX_SIZE: usize = 1 << 20;
/// Longest name shown in place of a secret, in bytes.
pub const MASK_NAME_BYTES: usize = 64;
/// Secrets of one process that are known by value; more are not looked for.
pub const MASK_SECRETS: usize = 256;
/// Shortest value, or line of one, that is looked for, in bytes.
pub const MASK_SECRET_LEAST: usize = 8;
/// Longest value that is looked for, in bytes; of a longer one its beginning is.
pub const MASK_SECRET_BYTES: usize = 4 << 10;
/// Bytes of an unfinished line that are kept to recognise a secret that goes on in its next part.
pub const MASK_OVERLAP_BYTES: usize = 256;
/// Lines of a private key; after so many without its end it is taken to have ended.
pub const MASK_KEY_LINES: usize = 1024;

// ---- store ----

/// Size at which a segment file is closed, in bytes.
pub const SEGMENT_BYTES: u64 = 64 << 20;
/// Most bytes of all segments of a project; the oldest are deleted beyond it.
pub const LOG_BYTES: u64 = 2 << 30;
/// How old a line of log becomes.
pub const LOG_AGE: Duration = Duration::from_secs(14 * 24 * 60 * 60);
/// How often it is looked at whether lines have become too old.
pub const LOG_AGE_EVERY: Duration = Duration::from_secs(600);
/// Most lines shown before or after one that was searched for.
pub const CONTEXT_LINES: usize = 100;
/// Unpacked bytes of the log that are kept for the next question: twice what a hundred scattered lines need.
pub const UNPACKED_BYTES: usize = 32 << 20;
/// Threads that search the log's text for one question.
pub const QUERY_THREADS: usize = 4;
/// Most lines one query returns.
pub const QUERY_LINES: usize = 100_000;
/// Unpacked bytes of the log, the newest, in which lines are counted for one question: some ten million lines.
pub const TALLY_BYTES: u64 = 2 << 30;
/// Filters on fields in one query.
pub const FIELD_FILTERS: usize = 16;

// ---- plugins ----

/// Largest plugin file, in bytes.
pub const PLUGIN_FILE_BYTES: u64 = 32 << 20;
/// Linear memory of one plugin instance, all its memories together, in bytes.
pub const PLUGIN_MEMORY_BYTES: usize = 64 << 20;
/// Elements of one plugin instance's tables, all together.
pub const PLUGIN_TABLE_ELEMENTS: usize = 100_000;
/// Core instances, tables and memories a component may have.
pub const PLUGIN_INSTANCES: usize = 64;
/// Live resource handles of one plugin instance; each run's session is one.
pub const PLUGIN_HANDLES: usize = 4096;
/// Bytes a plugin may hand to the host in one call.
pub const PLUGIN_HOSTCALL_BYTES: usize = 8 << 20;
/// Time for one call into a plugin; a batch takes about a millisecond.
pub const PLUGIN_CALL: Duration = Duration::from_millis(500);
/// Time for a plugin's start functions and for opening a session, which may compile patterns.
pub const PLUGIN_OPEN: Duration = Duration::from_secs(5);
/// Resolution of plugin time limits.
pub const PLUGIN_TICK: Duration = Duration::from_millis(10);
/// Facts taken from one batch.
pub const PLUGIN_NOTES: usize = 1024;
/// Failed calls of one plugin within `PLUGIN_TRAP_WINDOW` after which it is left out until the daemon restarts.
pub const PLUGIN_TRAPS: usize = 5;
/// See `PLUGIN_TRAPS`.
pub const PLUGIN_TRAP_WINDOW: Duration = Duration::from_secs(60);
/// Wasm stack of a plugin, in bytes.
pub const PLUGIN_STACK_BYTES: usize = 512 << 10;
/// Log lines taken from one plugin in a second.
pub const PLUGIN_LOG_LINES: u32 = 50;
/// Longest log line taken from a plugin, in bytes.
pub const PLUGIN_LOG_BYTES: usize = 2048;

// ---- surfaces ----

/// Longest request line on the daemon's socket, in bytes.
pub const REQUEST_BYTES: usize = 4 << 20;
/// Estimated tokens of one MCP reply's text.
pub const REPLY_TOKENS: usize = 4000;
/// How long, once a line is there, more are waited for at most, so that they come together.
pub const TAIL_LINGER: Duration = Duration::from_secs(2);
/// Newest lines that a summary of the log looks at for what is printed again and again.
pub const SUMMARY_SAMPLE: usize = 5000;
/// Longest wait in one MCP call.
pub const MCP_WAIT: Duration = Duration::from_secs(50);
