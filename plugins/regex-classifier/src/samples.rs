//! Golden samples: lines as programs print them, and the levels they must get. Checked natively by `cargo test` and
//! through the component by the host.

use ostler_sdk::Info;

/// Lines of one run, each after its level's letter.
type Sample = &'static [(char, &'static str)];

/// Events: captured from real runtimes where those ran, else written as they print. Samples are parted by `---`; each
/// line stands after its level's letter, a capital where it continues the event before, and a space; `+` stands for a
/// line without level that continues.
const TRACES: &str = include_str!("traces.txt");

/// Adds all samples to the plugin's description.
pub fn add_to(info: Info) -> Info {
    TRACES.split("\n---\n").fold(add_lines_to(info), |info, trace| {
        let marks = || trace.lines().filter_map(|line| line.chars().next());
        let level = |mark: char| if mark == '+' { '-' } else { mark.to_ascii_lowercase() };
        let event = |mark: char| if mark == '+' || mark.is_ascii_uppercase() { '|' } else { '-' };
        let (levels, events): (String, String) = marks().map(|mark| (level(mark), event(mark))).unzip();
        let lines: Vec<&str> = trace.lines().map(|line| line.get(2..).unwrap_or_default()).collect();
        info.sample_of_events(&levels, &events, &lines)
    })
}

fn add_lines_to(info: Info) -> Info {
    let groups = [HEADERS, STRUCTURED, WORDS, ACCESS, PYTHON, JAVASCRIPT, OTHERS, TRACEBACKS];
    groups.into_iter().flatten().fold(info, |info, sample| {
        let levels: String = sample.iter().map(|(level, _)| *level).collect();
        let lines: Vec<&str> = sample.iter().map(|(_, line)| *line).collect();
        info.sample(&levels, &lines)
    })
}

/// Headers decide, whatever words follow.
const HEADERS: &[Sample] = &[
    &[
        ('t', "V/Tag( 123): quiet"),
        ('d', "D/Tag(123): an error in the text"),
        ('i', "I/ActivityManager(  585): Starting activity"),
        ('w', "W/Tag(1): careful"),
        ('e', "E/AndroidRuntime( 1234): boom"),
        ('f', "F/libc(99): Fatal signal 11"),
        ('e', "11-20 08:29:25.123  123  456 E Tag: info about it"),
        ('i', "11-20 08:29:25.123  123  456 I Tag: failed nothing"),
        ('w', "11-20 08:29:25.123 W/Tag( 123): x"),
        ('e', "E/Tag: short form"),
    ],
    &[
        ('e', "[error] it broke"),
        ('e', "[ERROR] it broke"),
        ('i', "[INFO] 0 errors found"),
        ('i', "[INFO] Scanning for projects..."),
        ('w', "[WARNING] deprecated API"),
        ('d', "[debug] fatal is only a word here"),
    ],
    &[
        ('e', "ERROR: it broke"),
        ('i', "INFO: 0 errors found"),
        ('e', "Error: That port is already in use."),
        ('e', "error: could not compile `x`"),
        ('w', "warning: unused variable: `x`"),
        ('i', "note: this error originates in the macro"),
        ('i', "info: no failure"),
        ('w', "WARN  retrying after an error"),
        ('e', "ERROR  disk"),
        ('e', "ERROR:root:it broke"),
        ('w', "WARNING:django.request:Not Found: /x"),
        ('i', "INFO:werkzeug:Press CTRL+C to quit"),
        ('f', "CRITICAL:root:gone"),
        ('d', "DEBUG:asyncio:Using selector: EpollSelector"),
        ('f', "fatal: not a git repository"),
        ('e', "fail: Microsoft.AspNetCore.Server.Kestrel[13]"),
        ('i', "info: Microsoft.Hosting.Lifetime[14]"),
        ('w', "warn: Microsoft.AspNetCore[0]"),
    ],
    &[
        ('e', "2026-11-20 08:29:25,123 ERROR module it broke"),
        ('i', "2026-11-20 08:29:25,123 INFO module got an ERROR response"),
        ('e', "2026-11-20T08:29:25.123Z ERROR it broke"),
        ('w', "2026-11-20T08:29:25.123456Z  WARN hyper::proto: error reading"),
        ('i', "2026-11-20T08:29:25+01:00 info: no error"),
        ('d', "2026-11-20 08:29:25 DEBUG fatal flaw"),
        ('e', "[2026-11-20T08:29:25Z ERROR mycrate] it broke"),
        ('i', "[2026-11-20T08:29:25Z INFO  mycrate::io] error count 0"),
        ('e', "2026-11-20 08:29:25,123 - mymodule - ERROR - it broke"),
        ('i', "2026-11-20 08:29:25,123 - mymodule - INFO - error handler set"),
        ('e', "08:29:25.123 [main] ERROR com.example.App - it broke"),
        ('i', "08:29:25.123 [main] INFO  com.example.App - error page set"),
        ('e', "2026/11/20 08:29:25 [error] 12#12: *1 open() failed"),
        ('f', "2026/11/20 08:29:25 [emerg] 12#12: bind() failed"),
        ('w', "2026/11/20 08:29:25 WARN slow error=none"),
        ('e', "[08:29:25 ERR] it broke"),
        ('i', "[08:29:25 INF] fine"),
        ('e', "[2026-11-20 08:29:25] local.ERROR: it broke"),
        ('i', "[2026-11-20 08:29:25,123: INFO/MainProcess] celery@host ready."),
        ('e', "[2026-11-20 08:29:25,123: ERROR/ForkPoolWorker-1] Task failed"),
        ('i', "[2026-11-20 08:29:25 +0000] [123] [INFO] Booting worker with pid: 124"),
        ('e', "[08:29:25.123] ERROR (123): it broke"),
        ('e', "2026-11-20 08:29:25.123 UTC [123] ERROR:  relation \"x\" does not exist"),
    ],
    &[
        ('e', "E1120 08:29:25.123456 1 main.go:12] it broke"),
        ('i', "I1120 08:29:25.123456 1 main.go:12] error budget ok"),
        ('w', "W1120 08:29:25.1 1 x.cc:1] hm"),
        ('e', "E, [2026-11-20T08:29:25.123456 #123] ERROR -- : it broke"),
        ('i', "I, [2026-11-20T08:29:25.123456 #123]  INFO -- : no error"),
        ('e', "Nov 20 08:29:25 host app[123]: error: it broke"),
        ('i', "Nov 20 08:29:25 host app[123]: INFO no error"),
        ('e', "Nov  2 08:29:25 host app: ERROR it broke"),
        ('w', "api-1  | WARN slow"),
        ('e', "[Nest] 123  - 11/20/2026, 8:29:25 AM   ERROR [ExceptionsHandler] boom"),
    ],
];

/// Levels in fields.
const STRUCTURED: &[Sample] = &[
    &[
        ('w', "level=warn msg=\"retrying\""),
        ('i', "level=info msg=\"error budget ok\""),
        ('e', "time=\"2026-11-20T08:29:25Z\" level=error msg=\"boom\""),
        ('e', "ts=2026-11-20T08:29:25Z lvl=error msg=boom"),
        ('d', "time=2026-11-20T08:29:25.123Z level=DEBUG msg=\"failed over\""),
        ('e', "severity=\"ERROR\" x=1"),
    ],
    &[
        ('e', "{\"level\":\"error\",\"msg\":\"boom\"}"),
        ('i', "{\"level\":\"info\",\"msg\":\"fatal\"}"),
        ('i', "{\"msg\":\"fatal error\",\"level\":\"info\"}"),
        ('e', "{\"severity\":\"ERROR\",\"message\":\"x\"}"),
        ('w', "{\"time\":1,\"level\": \"warning\", \"msg\": \"x\"}"),
        ('e', "{\"level\":50,\"time\":1795163365123,\"pid\":1,\"msg\":\"boom\"}"),
        ('i', "{\"level\":30,\"time\":1795163365123,\"msg\":\"error handler ready\"}"),
        ('f', "{\"name\":\"x\",\"level\":60,\"msg\":\"gone\"}"),
        ('t', "{\"level\":10}"),
        ('e', "{\"@timestamp\":\"2026-11-20T08:29:25Z\",\"log.level\":\"ERROR\",\"message\":\"x\"}"),
        ('e', "{\"message\":\"x\",\"context\":{},\"level\":400,\"level_name\":\"ERROR\"}"),
        ('-', "{\"level\":\"\\\"}"),
        ('i', "{\"Level\":\"Information\",\"msg\":\"failed\"}"),
    ],
];

/// Words of the message count where nothing better is known, and only as words.
const WORDS: &[Sample] = &[&[
    ('e', "something failed"),
    ('e', "Connection error."),
    ('e', "an exception occurred"),
    ('w', "this is deprecated"),
    ('w', "(node:123) [DEP0040] DeprecationWarning: The `punycode` module is deprecated."),
    ('f', "Segmentation fault (core dumped)"),
    ('-', "nothing to see"),
    ('-', ""),
    ('-', "GET"),
    ('-', "src/error.rs"),
    ('-', "errorless"),
    ('-', "see /error for more"),
    ('-', "error_count and error-chain"),
    ('i', "Found 0 errors. Watching for file changes."),
    ('e', "Found 2 errors."),
    ('i', "test result: ok. 5 passed; 0 failed; 0 ignored"),
    ('e', "test result: FAILED. 4 passed; 1 failed; 0 ignored"),
    ('e', "ValueError: bad value"),
    ('e', "bash: frobnicate: command not found"),
    ('e', "src/app.ts:1:2 - error TS2304: Cannot find name 'x'."),
]];

/// Access lines go by their status, whatever stands in the path or before it.
const ACCESS: &[Sample] = &[
    &[
        ('e', "[20/Nov/2026 08:29:25] \"GET /boom HTTP/1.1\" 500 57421"),
        ('w', "[20/Nov/2026 08:29:25] \"GET /favicon.ico HTTP/1.1\" 404 2110"),
        ('i', "[20/Nov/2026 08:29:25] \"GET /error HTTP/1.1\" 200 12"),
    ],
    &[
        ('i', "127.0.0.1 - - [20/Nov/2026 08:29:25] \"GET / HTTP/1.1\" 200 -"),
        ('e', "127.0.0.1 - - [20/Nov/2026 08:29:25] \"GET /boom HTTP/1.1\" 500 -"),
        ('w', "::1 - - [20/Nov/2026:08:29:25 +0000] \"GET /error HTTP/1.1\" 404 12 \"-\" \"curl/8.5\""),
        ('i', "INFO:werkzeug:127.0.0.1 - - [20/Nov/2026 08:29:25] \"GET /failed HTTP/1.1\" 302 -"),
        ('e', "INFO:werkzeug:127.0.0.1 - - [20/Nov/2026 08:29:25] \"GET / HTTP/1.1\" 500 -"),
    ],
    &[
        ('i', "INFO:     127.0.0.1:46162 - \"GET / HTTP/1.1\" 200 OK"),
        ('e', "INFO:     127.0.0.1:46162 - \"GET /boom HTTP/1.1\" 500 Internal Server Error"),
        ('w', "INFO:     127.0.0.1:46162 - \"GET /error HTTP/1.1\" 404 Not Found"),
    ],
    &[
        ('e', "GET /boom 500 13.5 ms - 1016"),
        ('i', "GET /error 200 1.5 ms - 16"),
        ('w', "POST /x 404 0.5 ms - 139"),
        ('i', "GET / 304 0.5 ms - -"),
    ],
    &[
        ('i', " GET / 200 in 872ms (next.js: 400ms, application-code: 472ms)"),
        ('e', " GET /boom 500 in 72ms"),
        ('w', " GET /nope 404 in 12ms"),
    ],
    &[
        ('i', "Started GET \"/error\" for 127.0.0.1 at 2026-11-20 08:29:25 +0000"),
        ('i', "Processing by HomeController#error as HTML"),
        ('i', "Completed 200 OK in 2ms (Views: 1.0ms)"),
        ('e', "Completed 500 Internal Server Error in 3ms"),
        ('w', "Completed 404 Not Found in 1ms"),
    ],
    &[
        ('i', "[Fri Nov 20 08:29:25 2026] 127.0.0.1:52000 Accepted"),
        ('i', "[Fri Nov 20 08:29:25 2026] 127.0.0.1:52000 [200]: GET /error.php"),
        ('w', "[Fri Nov 20 08:29:25 2026] 127.0.0.1:52000 [404]: GET /x - No such file or directory"),
        ('i', "[Fri Nov 20 08:29:25 2026] 127.0.0.1:52000 Closing"),
    ],
    &[
        ('i', "08:29:25.123 [info] GET /error"),
        ('i', "08:29:25.135 [info] Sent 200 in 12ms"),
        ('e', "08:29:25.135 [info] Sent 500 in 12ms"),
        ('w', "08:29:25.135 [info] Sent 404 in 1ms"),
        ('d', "08:29:25.135 [debug] QUERY OK"),
        ('w', "08:29:25.135 [warning] x"),
    ],
];

/// Django, Flask, uvicorn.
const PYTHON: &[Sample] = &[
    &[
        ('i', "Watching for file changes with StatReloader"),
        ('i', "Performing system checks..."),
        ('i', "System check identified no issues (0 silenced)."),
        (
            'w',
            "You have 18 unapplied migration(s). Your project may not work properly until you apply the migrations for app(s): admin, auth.",
        ),
        ('w', "Run 'python manage.py migrate' to apply them."),
        ('i', "Django version 5.2.8, using settings 'shop.settings'"),
        ('i', "Starting development server at http://127.0.0.1:8123/"),
        ('i', "Quit the server with CONTROL-C."),
        ('i', "/srv/app/views.py changed, reloading."),
        ('e', "Internal Server Error: /boom"),
        ('w', "Not Found: /favicon.ico"),
        ('e', "Error: That port is already in use."),
    ],
    &[
        ('i', " * Serving Flask app 'app'"),
        ('i', " * Debug mode: on"),
        ('w', "WARNING: This is a development server. Do not use it in a production deployment."),
        ('i', " * Running on http://127.0.0.1:5000"),
        ('i', " * Detected change in '/srv/app.py', reloading"),
        ('e', "Address already in use"),
        (
            'e',
            "Port 5000 is in use by another program. Either identify and stop that program, or start the server with a different port.",
        ),
    ],
    &[
        ('i', "INFO:     Started server process [123]"),
        ('i', "INFO:     Waiting for application startup."),
        ('i', "INFO:     Application startup complete."),
        ('i', "INFO:     Uvicorn running on http://127.0.0.1:8000 (Press CTRL+C to quit)"),
        ('e', "ERROR:    Exception in ASGI application"),
        (
            'e',
            "ERROR:    [Errno 98] error while attempting to bind on address ('127.0.0.1', 8000): address already in use",
        ),
        ('w', "WARNING:  StatReload detected changes in 'app.py'. Reloading..."),
        ('i', "[2026-11-20 08:29:25 +0000] [123] [INFO] Listening at: http://127.0.0.1:8000 (123)"),
    ],
];

/// Vite, Next, webpack, Express, npm.
const JAVASCRIPT: &[Sample] = &[
    &[
        ('i', "  VITE v8.3.8  ready in 304 ms"),
        ('i', "  ➜  Local:   http://localhost:5173/"),
        ('i', "  ➜  Network: use --host to expose"),
        ('i', "8:29:25 AM [vite] (client) page reload b.js"),
        ('i', "8:29:25 AM [vite] (client) hmr update /src/error.js"),
        ('e', "8:29:25 AM [vite] Internal server error: Failed to parse source for import analysis"),
        ('e', "Error: Port 5173 is already in use"),
        ('w', "Port 5173 is in use, trying another one..."),
        ('e', "error during build:"),
    ],
    &[
        ('i', "   ▲ Next.js 16.4.6 (Turbopack)"),
        ('i', "   - Local:        http://localhost:3000"),
        ('i', " ✓ Ready in 490ms"),
        ('i', " ○ Compiling /error ..."),
        ('e', " ⨯ Error: boom"),
        ('e', " ⨯ Failed to start server"),
        ('w', " ⚠ Port 3000 is in use by process 123, using available port 3001 instead."),
    ],
    &[
        ('i', "<i> [webpack-dev-server] Project is running at:"),
        ('i', "<i> [webpack-dev-server] Loopback: http://localhost:8080/"),
        ('w', "<w> [webpack-dev-server] x"),
        ('e', "<e> [webpack-dev-server] x"),
        ('i', "webpack 5.103.0 compiled successfully in 467 ms"),
        ('e', "webpack 5.103.0 compiled with 1 error in 467 ms"),
        ('w', "webpack 5.103.0 compiled with 2 warnings in 467 ms"),
        ('e', "ERROR in ./src/index.js 1:0"),
    ],
    &[
        ('e', "Error: listen EADDRINUSE: address already in use :::8201"),
        ('e', "    at Server.setupListenHandle [as _listen2] (node:net:1940:16)"),
        ('e', "npm ERR! code ELIFECYCLE"),
        ('e', "npm error code ENOENT"),
        ('w', "npm warn deprecated inflight@1.0.6: This module is not supported"),
        ('i', "npm notice New major version of npm available!"),
        ('i', "[nodemon] starting `node app.js`"),
        ('e', "[nodemon] app crashed - waiting for file changes before starting..."),
    ],
];

/// Rails, PHP, Spring, cargo, Phoenix, make.
const OTHERS: &[Sample] = &[
    &[
        ('i', "=> Booting Puma"),
        ('i', "Puma starting in single mode..."),
        ('i', "* Listening on http://0.0.0.0:8302"),
        ('e', "RuntimeError (boom):"),
        ('-', ""),
        ('e', "app/controllers/home_controller.rb:3:in `boom'"),
        ('e', "Address already in use - bind(2) for \"0.0.0.0\" port 8302 (Errno::EADDRINUSE)"),
        ('e', "ActiveRecord::PendingMigrationError ("),
    ],
    &[
        ('i', "[Fri Nov 20 08:29:25 2026] PHP 8.2.35 Development Server (http://127.0.0.1:8000) started"),
        ('i', "PHP 8.2.35 Development Server (http://127.0.0.1:8000) started"),
        ('f', "PHP Fatal error:  Uncaught Exception: boom in /srv/index.php:3"),
        ('w', "PHP Warning:  Undefined variable $x in /srv/index.php on line 3"),
        ('e', "Failed to listen on 127.0.0.1:8000 (reason: Address already in use)"),
        ('i', "   INFO  Server running on [http://127.0.0.1:8000]."),
    ],
    &[
        (
            'i',
            "2026-11-20T08:29:25.123+01:00  INFO 123 --- [shop] [           main] o.s.b.w.embedded.tomcat.TomcatWebServer  : Tomcat started on port 8083 (http) with context path ''",
        ),
        (
            'i',
            "2026-11-20T08:29:25.123+01:00  INFO 123 --- [           main] com.example.ShopApplication              : Started ShopApplication in 2.1 seconds (process running for 2.5)",
        ),
        (
            'e',
            "2026-11-20T08:29:25.123+01:00 ERROR 123 --- [           main] o.s.boot.SpringApplication               : Application run failed",
        ),
        ('e', "APPLICATION FAILED TO START"),
        ('e', "Web server failed to start. Port 8083 was already in use."),
    ],
    &[
        ('i', "   Compiling thiserror v2.0.17"),
        ('i', "    Finished `dev` profile [unoptimized + debuginfo] target(s) in 0.50s"),
        ('i', "     Running `target/debug/x`"),
        ('e', "error[E0308]: mismatched types"),
        ('e', " --> src/main.rs:2:5"),
        ('e', "  |"),
        ('e', "2 |     let x: u32 = \"error\";"),
        ('w', "warning: `x` (bin \"x\") generated 1 warning"),
        ('e', "error: could not compile `x` (bin \"x\") due to 1 previous error"),
    ],
    &[
        ('i', "08:29:25.123 [info] Running ShopWeb.Endpoint with Bandit 1.6.0 at 127.0.0.1:4000 (http)"),
        (
            'e',
            "08:29:25.123 [error] Running ShopWeb.Endpoint with Bandit 1.6.0 at http failed, port 4000 already in use",
        ),
        ('e', "** (Phoenix.Ecto.PendingMigrationError) there are pending migrations for repo: Shop.Repo"),
    ],
    &[
        ('e', "make: *** [Makefile:2: all] Error 2"),
        ('f', "panic: runtime error: index out of range [5] with length 3"),
        ('-', "thread started"),
        ('i', "2026-11-20 08:29:25.123 UTC [1] LOG:  database system is ready to accept connections"),
        ('e', "FAIL src/app.test.js"),
    ],
    &[('-', "| plain | in a table |"), ('e', "| ERROR | in a table |")],
];

/// State that spans lines.
const TRACEBACKS: &[Sample] = &[
    &[
        ('-', "before"),
        ('e', "Traceback (most recent call last):"),
        ('e', "  File \"/srv/app.py\", line 3, in <module>"),
        ('e', "    total = 1 / zero"),
        ('e', "            ~~^~~~~~"),
        ('e', "ZeroDivisionError: division by zero"),
        ('-', "after"),
        ('-', "  indented after"),
    ],
    &[
        ('e', "Traceback (most recent call last):"),
        ('e', "  File \"/srv/app.py\", line 3, in f"),
        ('e', "KeyError: 'x'"),
        ('-', ""),
        ('-', "During handling of it something else went on:"),
        ('-', ""),
        ('e', "Traceback (most recent call last):"),
        ('e', "  File \"/srv/app.py\", line 5, in g"),
        ('e', "shop.models.Gone: no such thing"),
        ('i', "INFO: going on"),
    ],
    &[
        ('e', "Traceback (most recent call last):"),
        ('e', "  File \"/srv/app.py\", line 3, in f"),
        ('i', "INFO: another thread"),
    ],
    &[
        ('e', "  + Exception Group Traceback (most recent call last):"),
        ('e', "  |   File \"/srv/app.py\", line 3, in <module>"),
        ('e', "  | ExceptionGroup: two (2 sub-exceptions)"),
        ('e', "  +-+---------------- 1 ----------------"),
        ('-', "going on with something else"),
    ],
    &[
        ('e', "thread 'main' (31192) panicked at src/main.rs:2:5:"),
        ('e', "the message of it"),
        ('e', "stack backtrace:"),
        ('e', "   0: rust_begin_unwind"),
        ('e', "             at /rustc/library/std/src/panicking.rs:689:5"),
        ('e', "note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace"),
    ],
    &[
        ('e', "thread 'tokio-runtime-worker' panicked at src/x.rs:1:1:"),
        ('e', "warning signs ignored"),
        ('-', "going on"),
    ],
    &[
        ('e', "TypeError: Cannot read properties of undefined (reading 'x')"),
        ('e', "    at boom (/srv/app.js:3:9)"),
        ('e', "    at Layer.handleRequest (/srv/node_modules/router/lib/layer.js:152:17)"),
        ('-', "listening again"),
    ],
    &[
        ('e', "java.lang.IllegalStateException: boom"),
        ('e', "\tat com.example.App.main(App.java:3)"),
        ('e', "Caused by: java.io.IOException: gone"),
        ('e', "\t... 12 more"),
        ('i', "INFO: going on"),
        ('-', "\tat the end of a line that follows nothing"),
    ],
];
