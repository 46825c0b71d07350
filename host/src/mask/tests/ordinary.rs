//! False positives: lines that programs print every day, full of words about secrets and of bytes that look random.

use super::super::Masker;
use super::generator::{ALNUM, HEX, Random, STANDARD, URL};
use super::masked;

/// Lines written by hand.
const WRITTEN: &str = include_str!("ordinary.txt");
/// The default classifier's golden samples, as they stand in its source.
const GOLDEN: &str = include_str!("../../../../plugins/regex-classifier/src/samples.rs");
/// Lines made of each shape below.
const EACH: usize = 250;

/// Shapes with random values: `%u` a UUID, `%h` 40 hexadecimal digits, `%s` 8 of them, `%n` a number, `%b` base64, `%i`
/// an id of letters and digits, `%w` a word.
const SHAPES: [&str; 40] = [
    "2026-11-20 08:29:25,%n INFO shop.orders order %u paid by user %n",
    "GET /api/token/refresh?next=/orders/%n 200 %n ms",
    "GET /api/keys/%u 200 %n ms - %n",
    "GET /static/js/%n.%s.chunk.js 304 - ms",
    "GET /assets/index-%i.js?v=%s 200",
    "trace=%h span=%s parent=%s sampled=true",
    "{\"level\":\"info\",\"time\":%n,\"reqId\":\"%u\",\"msg\":\"request completed\",\"responseTime\":%n}",
    "{\"level\":\"info\",\"sha\":\"%h\",\"path\":\"/auth/token\",\"ms\":%n}",
    "commit %h",
    "index %s..%s 100644",
    "ETag: W/\"%h\"",
    "\"integrity\": \"sha512-%b%b==\",",
    "data:image/png;base64,iVBORw0KGgo%b%b%b",
    "background: url(data:font/woff2;base64,d09GMgABAAAAA%b%b)",
    "x-request-id: %u",
    "X-Amz-Cf-Id: %b==",
    "cache key=user:%n:%s hit=true",
    "cache key products/%n/%u expired",
    "password reset for user %n requested, mail %u sent",
    "token %n of %n at line %n",
    "max_tokens=%n prompt_tokens=%n total_tokens=%n",
    "session %u closed after %n ms",
    "Task shop.tasks.refresh_tokens[%u] succeeded in 0.%ns: None",
    "    at a.%w (https://localhost:3000/static/js/main.%s.js:2:%n)",
    "  File \"/srv/app/auth/tokens.py\", line %n, in %w_token",
    "level=info msg=\"%w done\" id=%u key_id=%s user=%n",
    "Pulling fs layer sha256:%h%s",
    "Digest: sha256:%h",
    "container %h started",
    "deploy-%s-%i Running 0 %nm",
    "pod/api-%s-%w5 condition met",
    "evt_%i%i cus_%i in_%i%i",
    "arn:aws:secretsmanager:eu-west-1:%n:secret:shop/%w-%i",
    "0x%s%s 0x%s in /usr/lib/lib%w.so.%n",
    "BuildID[sha1]=%h, stripped",
    "%n:%n ERR_%w_%n https://localhost:%n/%w/%u?%w=%n",
    "css-%i ._%w_%i_%n { }",
    "Set-Cookie: %w=%w; Path=/; Max-Age=%n; SameSite=Lax",
    "secret shop/%w version %u unchanged",
    "Connecting to postgres://db-%n.internal:%n/%w?sslmode=require",
];

const WORDS: [&str; 12] = [
    "apple", "river", "window", "orange", "market", "silver", "garden", "planet", "button", "ticket",
    "basket", "letter",
];

fn fill(shape: &str, random: &mut Random) -> String {
    let mut line = String::new();
    let mut rest = shape;
    while let Some(at) = rest.find('%') {
        line.push_str(&rest[..at]);
        let kind = rest.as_bytes()[at + 1];
        line.push_str(&match kind {
            b'u' => random.uuid(),
            b'h' => random.of(HEX, 40),
            b's' => random.of(HEX, 8),
            b'n' => (random.next() % 100_000).to_string(),
            b'b' => random.of(STANDARD, 44),
            b'i' => {
                if random.below(2) == 0 {
                    random.of(ALNUM, 8)
                } else {
                    random.of(URL, 8).replace('-', "0")
                }
            }
            _ => WORDS[random.below(WORDS.len())].to_owned(),
        });
        rest = &rest[at + 2..];
    }
    line + rest
}

/// Returns the texts of the golden samples: what stands between quotes behind a level's letter.
fn golden() -> Vec<String> {
    let text = |line: &str| {
        let begins = line.find("', \"")? + 4;
        let ends = line.rfind("\"),")?;
        Some(line.get(begins..ends)?.replace("\\\"", "\"").replace("\\\\", "\\"))
    };
    GOLDEN.lines().filter_map(text).collect()
}

#[test]
fn ordinary_lines_are_left_as_they_are() {
    let masker = Masker::default();
    let mut random = Random(7);
    let written: Vec<String> = WRITTEN.lines().map(str::to_owned).chain(golden()).collect();
    assert!(written.len() >= 600, "{} lines", written.len());
    let made = SHAPES.iter().flat_map(|shape| (0..EACH).map(move |_| *shape));
    let made: Vec<String> = made.map(|shape| fill(shape, &mut random)).collect();
    let mut wrong = Vec::new();
    for line in written.iter().chain(&made) {
        let shown = masked(&masker, line);
        if shown != *line {
            wrong.push(format!("{line}\n  → {shown}"));
        }
    }
    let lines = written.len() + made.len();
    let share = wrong.len() as f64 / lines as f64 * 100.0;
    println!("false positives: {} of {lines} ordinary lines ({share:.3} %)", wrong.len());
    assert!(share < 0.1, "{} masked:\n{}", wrong.len(), wrong[..wrong.len().min(60)].join("\n"));
}
