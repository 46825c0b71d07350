//! What masking costs a line, on one core: ordinary lines, lines full of words that rules look for, lines with secrets.
//!
//! A process with twenty secrets of its own, of which none is in the ordinary lines. The best of several rounds counts:
//! the others measure the neighbours.

mod support;

use std::hint::black_box;
use std::time::Instant;

use ostler::mask::{MaskState, Masker, Rules, Secret, UserRule};

use support::{figure, quick};

const LINES: usize = 100_000;
/// Bytes of a line, as the bars have it.
const LINE_BYTES: usize = 100;

fn main() {
    let rounds = if quick() { 10 } else { 60 };
    let secrets: Vec<Secret> = (0..20)
        .map(|index| Secret::new(format!("SECRET_{index}"), format!("v{index}-9f86d081884c7d65")))
        .collect();
    let begun = Instant::now();
    let masker = Masker::new(&Rules::default(), &secrets);
    let first = begun.elapsed();
    let begun = Instant::now();
    black_box(Masker::new(&Rules::default(), &secrets));
    let next = begun.elapsed();
    let ticket = UserRule::new("ticket", r"TICKET-(\d+)", None).expect("a rule");
    let with_rule = Masker::new(&Rules::new(vec![ticket]).expect("one rule"), &secrets);

    let ordinary = corpus(&ORDINARY);
    let wordy = corpus(&WORDY);
    let secret = corpus(&SECRET);
    let best = |masker: &Masker, lines: &[String]| {
        (0..rounds).map(|_| time(masker, lines)).fold(f64::MAX, f64::min) / lines.len() as f64
    };
    let rate = |seconds: f64| 1.0 / seconds;
    let ordinary = best(&masker, &ordinary);
    println!("{:.0} ns for an ordinary line of {LINE_BYTES} bytes", ordinary * 1e9);
    figure("mask_made_first", first.as_secs_f64() * 1e3, "ms");
    figure("mask_made_next", next.as_secs_f64() * 1e3, "ms");
    figure("mask_secret_lines_per_second", rate(best(&masker, &secret)), "lines/s");
    figure("mask_user_rule_lines_per_second", rate(best(&with_rule, &corpus(&ORDINARY))), "lines/s");
    figure("mask_wordy_lines_per_second", rate(best(&masker, &wordy)), "lines/s");
    figure("mask_bytes_per_second", LINE_BYTES as f64 * rate(ordinary) / 1e6, "MB/s");
    figure("mask_lines_per_second", rate(ordinary), "lines/s");
}

fn time(masker: &Masker, lines: &[String]) -> f64 {
    let mut state = MaskState::default();
    let begun = Instant::now();
    for line in lines {
        black_box(masker.mask_line(&mut state, black_box(line.as_bytes())));
    }
    begun.elapsed().as_secs_f64()
}

const ORDINARY: [&str; 14] = [
    "[20/Nov/2026 08:29:25] \"GET /api/items/{}?page=3&sort=name HTTP/1.1\" 200 57421",
    "INFO:     127.0.0.1:46162 - \"GET /api/orders/{}/items HTTP/1.1\" 200 OK",
    "2026-11-20 08:29:25,{} ERROR shop.views could not reach the payment provider after 3 attempts",
    "{\"level\":\"info\",\"time\":1795163365,\"pid\":4242,\"msg\":\"request {} completed\",\"ms\":12}",
    "level=warn ts=2026-11-20T08:29:25Z caller=store.go:42 msg=\"slow query\" took={}ms rows=12",
    "  compiled module {} in 12 ms (312 modules, 4 warnings, 0 errors)",
    "2026-11-20T08:29:25.123Z  INFO tower_http::trace: finished processing request latency={} ms",
    "GET /static/assets/app.{}.js 304 1.2 ms - - Mozilla/5.0 (X11; Linux x86_64)",
    "worker {} is waiting for jobs in the queues default, mail and reports",
    "DEBUG cache lookup key=user:{} hit=true age=12s backend=redis-1 shard=7",
    "I, [2026-11-20T08:29:25.{} #123]  INFO -- : Completed 200 OK in 12ms (Views: 8.1ms)",
    "    at Object.<anonymous> (/srv/app/src/routes/items/{}.js:12:9)",
    "  User Load (0.3ms)  SELECT users.* FROM users WHERE users.id = {} LIMIT 1",
    "127.0.0.1 - - [20/Nov/2026 08:29:25] \"POST /orders/{} HTTP/1.1\" 500 -",
];

const WORDY: [&str; 8] = [
    "INFO:     127.0.0.1:46162 - \"GET /api/token/refresh/{}?key=name HTTP/1.1\" 200 OK",
    "level=info msg=\"token refreshed\" user=bob{} auth=ok session=new expires_in=3600",
    "2026-11-20 08:29:25,123 WARNING auth.password Invalid password: must contain {} digits",
    "GET https://api.example.com/v1/auth/keys/{} via http://127.0.0.1:8000/api/secrets 200",
    "{\"usage\":{\"prompt_tokens\":{},\"completion_tokens\":567,\"total_tokens\":1801}}",
    "secret shop/db-credentials version {} loaded, api key accepted, authorization not required",
    "    connect(host=host, password=password, token=self.token) # {}",
    "Task shop.tasks.refresh_tokens[{}] succeeded: rotated 2 signing keys and 1 session key",
];

const SECRET: [&str; 4] = [
    "Authorization: Bearer 9f86d081884c7d659a2feaa0c55ad015{} sent to the payment provider",
    "{\"level\":\"info\",\"user\":\"bob\",\"password\":\"hunter2-{}\",\"msg\":\"login\"}",
    "connecting to postgres://app:hunter2-{}@db:5432/shop with 12 connections",
    "using ghp_0123456789abcdefghijklmnopqrstuvwxyz{} to fetch the repository",
];

/// Lines of [`LINE_BYTES`] bytes each.
fn corpus(shapes: &[&str]) -> Vec<String> {
    // A simple generator with a fixed seed: the same lines in every run.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    (0..LINES)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let shape = shapes[(state >> 33) as usize % shapes.len()];
            let mut line = shape.replacen("{}", &(state % 100_000).to_string(), 1);
            line.push(' ');
            while line.len() < LINE_BYTES {
                line.push_str("and so on with more of the same ");
            }
            line.truncate(LINE_BYTES);
            line
        })
        .collect()
}
