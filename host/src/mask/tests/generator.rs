//! Random secrets of each kind, from a fixed seed, in the forms their issuers describe.

/// A simple generator: the same numbers in every run.
pub(super) struct Random(pub(super) u64);

pub(super) const ALNUM: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
pub(super) const URL: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
pub(super) const STANDARD: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
pub(super) const HEX: &str = "0123456789abcdef";
const BASE32: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
const BECH32: &str = "QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L";
const DIGITS: &str = "0123456789";
const AZURE: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_~-";

impl Random {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 ^ self.0 >> 31) >> 16
    }

    pub(super) fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }

    /// Returns so many characters of an alphabet.
    pub(super) fn of(&mut self, alphabet: &str, count: usize) -> String {
        (0..count).map(|_| char::from(alphabet.as_bytes()[self.below(alphabet.len())])).collect()
    }

    fn one<'a>(&mut self, choices: &[&'a str]) -> &'a str {
        choices[self.below(choices.len())]
    }

    pub(super) fn uuid(&mut self) -> String {
        [8, 4, 4, 4, 12].map(|count| self.of(HEX, count)).join("-")
    }
}

/// A kind of secret: its name here, and one of it.
pub(super) type Kind = (&'static str, fn(&mut Random) -> String);

/// Secrets that are known by their own form.
pub(super) const PROVIDERS: [Kind; 56] = [
    ("aws access key", |r| format!("{}{}", r.one(&["AKIA", "ASIA", "ABIA", "ACCA"]), r.of(BASE32, 16))),
    ("aws bedrock key", |r| format!("ABSK{}", r.of(STANDARD, 128))),
    ("gcp api key", |r| format!("AIza{}{}", r.of(URL, 34), r.of(ALNUM, 1))),
    ("gcp oauth", |r| format!("ya29.{}{}", r.of(URL, 100), r.of(ALNUM, 1))),
    ("gcp client secret", |r| format!("GOCSPX-{}{}", r.of(URL, 27), r.of(ALNUM, 1))),
    ("gcp refresh token", |r| format!("1//0{}{}", r.of(URL, 98), r.of(ALNUM, 1))),
    ("azure client secret", |r| format!("{}8Q~{}", r.of(ALNUM, 3), r.of(AZURE, 34))),
    ("azure common key", |r| format!("{}JQQJ99{}AAAA{}", r.of(ALNUM, 52), r.of(ALNUM, 14), r.of(ALNUM, 8))),
    ("github token", |r| format!("{}{}", r.one(&["ghp_", "gho_", "ghu_", "ghs_", "ghr_"]), r.of(ALNUM, 36))),
    ("github fine-grained", |r| format!("github_pat_{}_{}", r.of(ALNUM, 22), r.of(ALNUM, 59))),
    ("gitlab token", |r| {
        format!("{}{}", r.one(&["glpat-", "gldt-", "glrt-", "glptt-", "glft-", "glsoat-"]), r.of(URL, 20))
    }),
    ("gitlab routable", |r| format!("glpat-{}.01.{}", r.of(URL, 27), r.of(ALNUM, 9))),
    ("slack bot", |r| {
        format!("{}{}-{}-{}", r.one(&["xoxb-", "xoxp-"]), r.of(DIGITS, 12), r.of(DIGITS, 13), r.of(ALNUM, 24))
    }),
    ("slack app", |r| format!("xapp-1-A{}-{}-{}", r.of(BASE32, 10), r.of(DIGITS, 13), r.of(HEX, 64))),
    ("slack webhook", |r| {
        format!("hooks.slack.com/services/T{}/B{}/{}", r.of(BASE32, 8), r.of(BASE32, 10), r.of(ALNUM, 24))
    }),
    ("stripe key", |r| {
        format!("{}{}", r.one(&["sk_live_", "sk_test_", "rk_live_", "rk_test_"]), r.of(ALNUM, 24))
    }),
    ("stripe long key", |r| format!("sk_live_51{}", r.of(ALNUM, 97))),
    ("webhook secret", |r| format!("whsec_{}", r.of(ALNUM, 32))),
    ("openai old key", |r| format!("sk-{}T3BlbkFJ{}", r.of(ALNUM, 20), r.of(ALNUM, 20))),
    ("openai project key", |r| {
        format!("{}{}", r.one(&["sk-proj-", "sk-svcacct-", "sk-admin-"]), r.of(ALNUM, 120))
    }),
    ("anthropic key", |r| format!("sk-ant-{}-{}AA", r.one(&["api03", "admin01", "oat01"]), r.of(URL, 93))),
    ("npm token", |r| format!("npm_{}", r.of(ALNUM, 36))),
    ("pypi token", |r| format!("pypi-AgEIcHlwaS5vcmc{}{}", r.of(URL, 130), r.of(ALNUM, 1))),
    ("twilio key", |r| format!("SK{}", r.of(HEX, 32))),
    ("sendgrid key", |r| format!("SG.{}.{}{}", r.of(URL, 22), r.of(URL, 42), r.of(ALNUM, 1))),
    ("digitalocean token", |r| format!("{}{}", r.one(&["dop_v1_", "doo_v1_", "dor_v1_"]), r.of(HEX, 64))),
    ("heroku key", |r| format!("HRKU-AA{}{}", r.of(URL, 57), r.of(ALNUM, 1))),
    ("heroku old key", |r| format!("HRKU-{}", r.uuid())),
    ("cloudflare token", |r| format!("{}{}", r.one(&["cfut_", "cfat_", "cfk_"]), r.of(ALNUM, 48))),
    ("cloudflare origin key", |r| format!("v1.0-{}-{}", r.of(HEX, 24), r.of(HEX, 146))),
    ("discord token", discord),
    ("discord webhook", |r| {
        format!("discord.com/api/webhooks/{}/{}{}", r.of(DIGITS, 19), r.of(URL, 67), r.of(ALNUM, 1))
    }),
    ("telegram token", |r| format!("1{}:AA{}{}", r.of(DIGITS, 9), r.of(URL, 32), r.of(ALNUM, 1))),
    ("telegram address", |r| format!("/bot1{}:{}{}/getMe", r.of(DIGITS, 8), r.of(URL, 34), r.of(ALNUM, 1))),
    ("shopify token", |r| format!("{}{}", r.one(&["shpat_", "shpca_", "shppa_", "shpss_"]), r.of(HEX, 32))),
    ("square token", |r| format!("{}{}{}", r.one(&["sq0atp-", "sq0csp-"]), r.of(URL, 42), r.of(ALNUM, 1))),
    ("square access token", |r| format!("EAAA{}{}", r.of(URL, 59), r.of(ALNUM, 1))),
    ("mailgun key", |r| format!("key-{}", r.of(HEX, 32))),
    ("huggingface token", |r| format!("hf_{}", r.of(ALNUM, 34))),
    ("databricks token", |r| format!("dapi{}", r.of(HEX, 32))),
    ("vault token", |r| format!("{}{}{}", r.one(&["hvs.", "hvb.", "hvr."]), r.of(URL, 90), r.of(ALNUM, 1))),
    ("age key", |r| format!("AGE-SECRET-KEY-1{}", r.of(BECH32, 58))),
    ("jwt", |r| {
        format!(
            "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJ{}.{}{}",
            r.of(URL, 60),
            r.of(URL, 42),
            r.of(ALNUM, 1)
        )
    }),
    ("jwe", |r| {
        format!(
            "eyJhbGciOiJkaXIi{}..{}.{}.{}{}",
            r.of(URL, 20),
            r.of(URL, 16),
            r.of(URL, 60),
            r.of(URL, 21),
            r.of(ALNUM, 1)
        )
    }),
    ("private key in base64", |r| format!("LS0tLS1CRUdJTiBQUklWQVRFIEtFWS0tLS0t{}", r.of(ALNUM, 200))),
    ("private key in a line", |r| {
        format!(
            "-----BEGIN PRIVATE KEY-----\\n{}\\n{}\\n-----END PRIVATE KEY-----",
            r.of(STANDARD, 64),
            r.of(STANDARD, 40)
        )
    }),
    ("docker token", |r| format!("dckr_pat_{}{}", r.of(URL, 26), r.of(ALNUM, 1))),
    ("grafana token", |r| format!("glsa_{}_{}", r.of(ALNUM, 32), r.of(HEX, 8))),
    ("linear key", |r| format!("lin_api_{}", r.of(ALNUM, 40))),
    ("groq key", |r| format!("gsk_{}", r.of(ALNUM, 52))),
    ("tailscale key", |r| format!("tskey-auth-{}CNTRL-{}", r.of(ALNUM, 9), r.of(ALNUM, 32))),
    ("newrelic key", |r| format!("NRAK-{}", r.of(BASE32, 27))),
    ("atlassian token", |r| format!("ATATT3x{}={}", r.of(URL, 180), r.of("0123456789ABCDEF", 8))),
    ("postman key", |r| format!("PMAK-{}-{}", r.of(HEX, 24), r.of(HEX, 34))),
    ("sentry token", |r| format!("sntryu_{}", r.of(HEX, 64))),
    ("supabase key", |r| format!("sbp_{}", r.of(HEX, 40))),
];

/// The id of a bot in base64, a time, a signature.
fn discord(random: &mut Random) -> String {
    // Base64 of eighteen digits, of which the first is one of the ids of today.
    let digits: Vec<u8> = format!("1{}", random.of(DIGITS, 17)).into_bytes();
    let id: String = digits
        .chunks(3)
        .flat_map(|bytes| {
            let bits = u32::from(bytes[0]) << 16 | u32::from(bytes[1]) << 8 | u32::from(bytes[2]);
            [18, 12, 6, 0].map(|shift| char::from(STANDARD.as_bytes()[(bits >> shift) as usize & 63]))
        })
        .collect();
    format!("{id}.G{}.{}{}", random.of(URL, 5), random.of(URL, 37), random.of(ALNUM, 1))
}

/// A context: what a line looks like with a secret in it.
pub(super) type Context = (&'static str, fn(&str) -> String);

/// Places in which secrets are printed.
pub(super) const CONTEXTS: [Context; 18] = [
    ("plain", |s| format!("using {s} to connect")),
    ("alone", |s| s.to_owned()),
    ("json", |s| format!("{{\"level\":\"info\",\"value\":\"{s}\",\"n\":1}}")),
    ("json in json", |s| format!("{{\"body\":\"{{\\\"value\\\":\\\"{s}\\\"}}\"}}")),
    ("escaped lines", |s| format!("{{\"body\":\"first\\n{s}\\nlast\"}}")),
    ("url query", |s| format!("GET https://api.example.com/v1/items?x=1&v={s}&page=2 200")),
    ("encoded query", |s| format!("GET /callback?v%3D{s}%26page%3D2 302")),
    ("header", |s| format!("> X-Custom: {s}")),
    ("python traceback", |s| format!("    client = Client(\"{s}\", timeout=3)")),
    ("python repr", |s| format!("{{'value': '{s}', 'n': 1}}")),
    ("env dump", |s| format!("SOME_VALUE={s}")),
    ("export", |s| format!("export SOME_VALUE='{s}'")),
    ("yaml", |s| format!("  value: {s}")),
    ("logfmt", |s| format!("level=info value={s} took=3ms")),
    ("colours", |s| format!("\u{1b}[1;31m{s}\u{1b}[0m done")),
    ("brackets", |s| format!("[{s}] ({s}) <{s}>")),
    ("sentence", |s| format!("The value was {s}. It works, {s}, really: {s}!")),
    ("debug form", |s| format!("Config {{ value: Some(\"{s}\"), n: 1 }}")),
];
