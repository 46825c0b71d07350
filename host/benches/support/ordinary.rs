//! Ordinary log, made up: access lines, lines of an application, lines of JSON, and tracebacks now and then. The same
//! at every call, and no two stretches alike.

use ostler::model::Level;

/// A source of lines.
pub struct Ordinary {
    seed: u64,
    /// Milliseconds on the clock of the log.
    clock: u64,
    /// Lines of a traceback that are still to come.
    pending: Vec<String>,
}

const PATHS: [&str; 12] = [
    "/",
    "/api/orders/",
    "/api/orders/{}/items",
    "/api/users/{}",
    "/static/js/main.{}.js",
    "/static/css/site.css",
    "/favicon.ico",
    "/login/",
    "/search?q=item+{}&page=2",
    "/api/cart",
    "/healthz",
    "/admin/shop/order/{}/change/",
];
const MODULES: [&str; 8] = [
    "shop.views",
    "shop.db.pool",
    "shop.payments",
    "django.request",
    "celery.worker",
    "shop.mail",
    "urllib3",
    "shop.cache",
];
const DOINGS: [&str; 10] = [
    "order {} placed by user {}",
    "cache miss for key order:{}:total",
    "sent mail to customer {}",
    "query took {} ms: SELECT * FROM shop_order WHERE id = {}",
    "payment {} authorised",
    "retrying connection, attempt {}",
    "session {} expired",
    "loaded {} products from the catalogue",
    "task send_invoice[{}] succeeded",
    "stock of product {} is down to {}",
];
const AGENTS: [&str; 3] = [
    "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
    "curl/8.5.0",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0 Safari/537.36",
];

impl Ordinary {
    pub fn new() -> Self {
        Self { seed: 0x9e37_79b9_7f4a_7c15, clock: 0, pending: Vec::new() }
    }

    /// Returns the next line and its level.
    pub fn next_line(&mut self) -> (String, Level) {
        if let Some(line) = self.pending.pop() {
            return (line, Level::Error);
        }
        self.clock += self.below(40);
        let second = self.clock / 1000;
        let time = format!("{:02}:{:02}:{:02}", second / 3600 % 24, second / 60 % 60, second % 60);
        match self.below(1000) {
            0..=2 => self.traceback(&time),
            3..=449 => self.access(&time),
            450..=549 => self.json(&time),
            _ => self.application(&time),
        }
    }

    fn access(&mut self, time: &str) -> (String, Level) {
        let path = self.any_of(&PATHS);
        let path = self.filled(path);
        let (method, status) = match self.below(20) {
            0 => ("POST", 201),
            1 => ("GET", 404),
            2 => ("POST", 302),
            _ => ("GET", 200),
        };
        let line = format!(
            "10.0.{}.{} - - [20/Nov/2026 {time}] \"{method} {path} HTTP/1.1\" {status} {} \"-\" \"{}\"",
            self.below(4),
            self.below(250),
            self.below(30_000),
            self.any_of(&AGENTS),
        );
        (line, if status == 404 { Level::Warn } else { Level::Info })
    }

    fn application(&mut self, time: &str) -> (String, Level) {
        let (word, level) = match self.below(50) {
            0 => ("ERROR", Level::Error),
            1..=3 => ("WARNING", Level::Warn),
            4..=20 => ("DEBUG", Level::Debug),
            _ => ("INFO", Level::Info),
        };
        let doing = self.any_of(&DOINGS);
        let doing = self.filled(doing);
        let module = self.any_of(&MODULES);
        (format!("2026-11-20 {time},{:03} {word} [{module}] {doing}", self.clock % 1000), level)
    }

    fn json(&mut self, time: &str) -> (String, Level) {
        let doing = self.any_of(&DOINGS);
        let doing = self.filled(doing);
        let line = format!(
            "{{\"ts\":\"2026-11-20T{time}.{:03}Z\",\"level\":\"info\",\"request_id\":\"{:016x}\",\"msg\":\"{doing}\",\"ms\":{}}}",
            self.clock % 1000,
            self.random(),
            self.below(900),
        );
        (line, Level::Info)
    }

    fn traceback(&mut self, time: &str) -> (String, Level) {
        let order = self.below(10_000);
        self.pending.push(format!("KeyError: 'order-{order}'"));
        for _ in 0..3 + self.below(8) {
            let module = self.any_of(&MODULES).replace('.', "/");
            let (line, order) = (self.below(400), self.below(10_000));
            self.pending.push(format!("    return self.handle(request, order_id={order})"));
            self.pending.push(format!("  File \"/app/{module}.py\", line {line}, in dispatch"));
        }
        self.pending.push("Traceback (most recent call last):".to_owned());
        (
            format!(
                "2026-11-20 {time},{:03} ERROR [django.request] Internal Server Error",
                self.clock % 1000
            ),
            Level::Error,
        )
    }

    fn filled(&mut self, template: &str) -> String {
        let mut parts = template.split("{}");
        let mut line = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            line.push_str(&self.below(100_000).to_string());
            line.push_str(part);
        }
        line
    }

    fn any_of(&mut self, texts: &[&'static str]) -> &'static str {
        texts[self.below(texts.len() as u64) as usize]
    }

    fn below(&mut self, count: u64) -> u64 {
        self.random() % count
    }

    /// Xorshift: enough for lines that differ.
    fn random(&mut self) -> u64 {
        self.seed ^= self.seed << 13;
        self.seed ^= self.seed >> 7;
        self.seed ^= self.seed << 17;
        self.seed
    }
}
