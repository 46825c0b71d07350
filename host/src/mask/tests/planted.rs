//! Recall: secrets of every kind in every context, whole and cut in parts.

use super::super::{Ending, MaskState, Masker, Rules, Secret, UserRule};
use super::generator::{ALNUM, CONTEXTS, HEX, PROVIDERS, Random, STANDARD, URL};
use super::masked;

/// Secrets of each kind.
const EACH: usize = 24;
/// Bytes in a row of a secret that may be seen at most where a line is cut in parts.
const SEEN: usize = 11;

/// Returns whether so many bytes in a row of a secret are in a text.
fn shows(text: &str, secret: &str, count: usize) -> bool {
    secret
        .as_bytes()
        .windows(count.min(secret.len()))
        .any(|piece| text.as_bytes().windows(piece.len()).any(|window| window == piece))
}

/// The part of a planted text that is secret: of an address its path.
fn secret_part<'s>(kind: &str, text: &'s str) -> &'s str {
    match kind {
        "slack webhook" => &text["hooks.slack.com/services/".len()..],
        "discord webhook" => text.rsplit('/').next().unwrap_or(text),
        "telegram address" => text.trim_start_matches("/bot").trim_end_matches("/getMe"),
        _ => text,
    }
}

/// The same without what stands before it and tells nothing: ids, and the first line of a key.
fn core<'s>(kind: &str, text: &'s str) -> &'s str {
    let behind = |mark: &str| text.split_once(mark).map_or(text, |(_, behind)| behind);
    match kind {
        "discord token" => behind("."),
        "telegram token" | "telegram address" => behind(":"),
        "age key" => behind("KEY-1"),
        "private key in base64" => behind("S0tLS0t"),
        "private key in a line" => &behind("KEY-----\\n")[..64],
        _ => secret_part(kind, text),
    }
}

#[test]
fn tokens_of_every_provider_are_masked_in_every_context() {
    let masker = Masker::default();
    let mut random = Random(1);
    let (mut planted, mut missed) = (0, Vec::new());
    for (kind, make) in PROVIDERS {
        for _ in 0..EACH {
            let text = make(&mut random);
            let secret = secret_part(kind, &text);
            for (context, wrap) in CONTEXTS {
                planted += 1;
                let line = wrap(&text);
                let shown = masked(&masker, &line);
                if shows(&shown, secret, 8) || !shown.contains("[masked:") {
                    missed.push(format!("{kind}, {context}: {line}\n  → {shown}"));
                }
            }
        }
    }
    println!("recall of provider rules: {} of {planted}", planted - missed.len());
    assert!(missed.is_empty(), "{} missed:\n{}", missed.len(), missed[..missed.len().min(20)].join("\n"));
}

#[test]
fn tokens_cut_anywhere_show_almost_nothing() {
    let masker = Masker::default();
    let mut random = Random(2);
    let (mut cuts, mut missed) = (0, Vec::new());
    // What is known by something in its middle shows what stands before it: only this kind has much there.
    for (kind, make) in PROVIDERS.into_iter().filter(|(kind, _)| *kind != "azure common key") {
        let missed_before = missed.len();
        for turn in 0..8 {
            let text = make(&mut random);
            let secret = core(kind, &text);
            let line = CONTEXTS[turn * 2 % CONTEXTS.len()].1(&text);
            for size in [3, 7, 16, 33, 64] {
                cuts += 1;
                let mut state = MaskState::default();
                let bytes = line.as_bytes();
                let offset = random.below(size) + 1;
                let mut at = 0;
                let mut shown = Vec::new();
                while at < bytes.len() {
                    let end = bytes.len().min(if at == 0 { offset } else { at + size });
                    let ending = if end == bytes.len() { Ending::Ends } else { Ending::GoesOn };
                    shown.extend_from_slice(&masker.mask_part(&mut state, &bytes[at..end], ending));
                    at = end;
                }
                let shown = String::from_utf8_lossy(&shown).into_owned();
                if shows(&shown, secret, SEEN + 1) && missed.len() < missed_before + 3 {
                    missed.push(format!("{kind}, {size} from {offset}: {line}\n  → {shown}"));
                }
            }
        }
    }
    println!("recall of provider rules in parts: {} of {cuts}", cuts - missed.len());
    assert!(missed.is_empty(), "{} missed:\n{}", missed.len(), missed[..missed.len().min(20)].join("\n"));
}

/// Shapes in which a name and its value are printed; `%` stands for the value.
const PAIRS: [&str; 27] = [
    "password=%",
    "user=bob password=% port=5432",
    "DB_PASSWORD=%",
    "export DB_PASSWORD=%",
    "export DB_PASSWORD='%'",
    "{\"password\":\"%\",\"user\":\"bob\"}",
    "{\"password\": \"%\"}",
    "{\"body\":\"{\\\"password\\\":\\\"%\\\"}\"}",
    "{'user': 'bob', 'password': '%'}",
    "User(name='bob', password='%')",
    "User { name: \"bob\", password: \"%\" }",
    "User { name: \"bob\", password: Some(\"%\") }",
    "  password: %",
    "password: '%'",
    "POST /login?user=bob&password=%&next=/ 302",
    "q=password%3D%%26user%3Dbob",
    "server --password % --port 80",
    "server --password=% --port 80",
    "<password>%</password>",
    "ALTER USER bob PASSWORD '%'",
    "Server=db;User Id=bob;Password=%;Port=1",
    ":password=>\"%\", :user=>\"bob\"",
    "    connect(host='db', password=\"%\")",
    "client_secret=%",
    "{\"clientSecret\":\"%\"}",
    "aws_secret_access_key = %",
    "  \"SecretAccessKey\": \"%\",",
];

#[test]
fn values_of_secret_names_are_masked_in_every_shape() {
    let masker = Masker::default();
    let mut random = Random(3);
    let (mut planted, mut missed) = (0, Vec::new());
    for shape in PAIRS {
        for turn in 0..20 {
            let value = match turn % 4 {
                0 => format!("hunter{}", random.of(HEX, 4)),
                1 => random.of(ALNUM, 16) + "7",
                2 => random.of(STANDARD, 40),
                _ => random.of(URL, 24) + "3",
            };
            // In a URL these would be encoded, and a slash first makes a path of anything.
            let value = value.replace(['+', '/'], "x");
            let line = shape.replacen("%\"", "\u{1}\"", 1);
            let line = if shape.contains("%3D%%26") {
                shape.replacen("%%26", &format!("{value}%26"), 1)
            } else if line != *shape {
                line.replace('\u{1}', &value)
            } else {
                shape.replacen('%', &value, 1)
            };
            planted += 1;
            let shown = masked(&masker, &line);
            if shows(&shown, &value, 6) {
                missed.push(format!("{line}\n  → {shown}"));
            }
        }
    }
    println!("recall of names and values: {} of {planted}", planted - missed.len());
    assert!(missed.is_empty(), "{} missed:\n{}", missed.len(), missed[..missed.len().min(20)].join("\n"));
}

/// Shapes of tokens and keys; `%` stands for the value.
const KEYS: [&str; 22] = [
    "token=%",
    "auth_token: %",
    "{\"access_token\":\"%\",\"expires_in\":3600}",
    "{'refresh_token': '%'}",
    "GET /items?token=% 200",
    "GET /items?api_key=%&x=1 200",
    "x-api-key: %",
    "X-Auth-Token: %",
    "X-Vault-Token: %",
    "API_KEY=%",
    "STRIPE_KEY=%",
    "apiKey: '%'",
    "AccountName=x;AccountKey=%;EndpointSuffix=y",
    "Endpoint=sb://x/;SharedAccessKeyName=Root;SharedAccessKey=%",
    "Authorization: Bearer %",
    "authorization: Token %",
    "{\"Authorization\":\"Bearer %\"}",
    "(b'authorization', b'Bearer %')",
    "Cookie: theme=dark; sessionid=%; lang=en",
    "set-cookie: connect.sid=%; Path=/; HttpOnly",
    "//registry.example.com/:_authToken=%",
    "curl -H 'Authorization: Bearer %' https://api.example.com",
];

#[test]
fn tokens_without_a_form_are_known_by_their_name() {
    let masker = Masker::default();
    let mut random = Random(4);
    let (mut planted, mut missed) = (0, Vec::new());
    for shape in KEYS {
        for turn in 0..20 {
            let value = match turn % 4 {
                0 => random.of(HEX, 40),
                1 => random.uuid(),
                2 => random.of(ALNUM, 43) + "7",
                _ => random.of(URL, 32) + "x9",
            };
            let line = shape.replacen('%', &value, 1);
            planted += 1;
            let shown = masked(&masker, &line);
            if shows(&shown, &value, 6) {
                missed.push(format!("{line}\n  → {shown}"));
            }
        }
    }
    println!("recall of named tokens: {} of {planted}", planted - missed.len());
    assert!(missed.is_empty(), "{} missed:\n{}", missed.len(), missed[..missed.len().min(20)].join("\n"));
}

#[test]
fn passwords_of_addresses_are_masked() {
    let masker = Masker::default();
    for (line, expected) in [
        (
            "connecting to postgres://app:hunter2@db:5432/shop",
            "connecting to postgres://app:[masked:url-password]@db:5432/shop",
        ),
        (r#"{"u":"redis:\/\/:hunter2@cache\/0"}"#, r#"{"u":"redis:\/\/:[masked:url-password]@cache\/0"}"#),
        ("u=amqp%3A%2F%2Fapp%3Ahunter2%40mq%2Fv", "u=amqp%3A%2F%2Fapp%3A[masked:url-password]%40mq%2Fv"),
        (
            "DATABASE_URL=mysql://root:s3cr3t!@127.0.0.1/x",
            "DATABASE_URL=mysql://root:[masked:url-password]@127.0.0.1/x",
        ),
        (
            "git clone https://bob:hunter2@example.com/x.git",
            "git clone https://bob:[masked:url-password]@example.com/x.git",
        ),
    ] {
        assert_eq!(masked(&masker, line), expected);
    }
}

#[test]
fn private_keys_are_masked_over_lines() {
    let masker = Masker::default();
    let mut random = Random(5);
    for label in
        ["PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY", "OPENSSH PRIVATE KEY", "PGP PRIVATE KEY BLOCK"]
    {
        for prefix in ["", "    ", "web-1  | ", "2026-11-20 08:29:25 INFO "] {
            let mut body: Vec<String> = (0..12).map(|_| random.of(STANDARD, 64)).collect();
            body.push(random.of(STANDARD, 18) + "==");
            let text = format!(
                "{prefix}-----BEGIN {label}-----\n{}\n{prefix}-----END {label}-----\nafterwards all is well",
                body.iter().map(|line| format!("{prefix}{line}")).collect::<Vec<_>>().join("\n")
            );
            let shown = masker.mask_text(&text).into_owned();
            for line in &body {
                assert!(!shows(&shown, line, 8), "{shown}");
            }
            assert_eq!(shown.lines().count(), text.lines().count());
            assert!(shown.ends_with("\nafterwards all is well"), "{shown}");
            assert_eq!(masker.mask_text(&shown), shown);
        }
    }
    let certificate = "-----BEGIN CERTIFICATE-----\nMIIDdzCCAl+gAwIBAgIEAgAAuTANBgkqhkiG9w0BAQUFADBaMQswCQYDVQQGEwJJ\n-----END CERTIFICATE-----";
    assert_eq!(masker.mask_text(certificate), certificate);
}

#[test]
fn known_values_are_masked_in_every_form() {
    let secrets = [
        Secret::new("DB_PASSWORD", "correct-horse/battery 9"),
        Secret::new("ODD", "swordfish"),
        Secret::new("CERT", "-----BEGIN X-----\nfirst-line-7\nsecond-line-8\n-----END X-----"),
        Secret::new("MODE", "production"),
        Secret::new("URL", "postgres://app:hunter2hunter2@db/shop"),
    ];
    let masker = Masker::new(&Rules::default(), &secrets);
    for (line, expected) in [
        ("it was correct-horse/battery 9.", "it was [masked:DB_PASSWORD]."),
        ("x=correct-horse%2Fbattery%209&y", "x=[masked:DB_PASSWORD]&y"),
        ("loves swordfishes", "loves [masked:ODD]es"),
        ("swordfishswordfish", "[masked:ODD][masked:ODD]"),
        ("first-line-7 second-line-8", "[masked:CERT] [masked:CERT]"),
        ("in production", "in production"),
        ("pw hunter2hunter2", "pw [masked:URL]"),
        ("Swordfish", "Swordfish"),
        ("c3dvcmRmaXNo", "[masked:ODD]"),
    ] {
        assert_eq!(masked(&masker, line), expected, "{line}");
    }
    // echo -n user:swordfish | base64
    assert!(!masked(&masker, "dXNlcjpzd29yZGZpc2g=").contains("pzd29yZGZpc2"));
}

#[test]
fn rules_of_the_users_mask_their_group() {
    let rules = Rules::new(vec![
        UserRule::new("ticket", r"TICKET-\d+", None).expect("a rule"),
        UserRule::new("card", r"card (?P<number>\d{4,})", Some("number")).expect("a rule"),
    ])
    .expect("few rules");
    let masker = Masker::new(&rules, &[]);
    assert_eq!(
        masked(&masker, "see TICKET-12 and card 12345678"),
        "see [masked:ticket] and card [masked:card]"
    );
    let all = Rules::new(vec![UserRule::new("all", ".", None).expect("a rule")]).expect("few rules");
    let masker = Masker::new(&all, &[]);
    let once = masked(&masker, "abc");
    assert_eq!(once, "[masked:all][masked:all][masked:all]");
    assert_eq!(masked(&masker, &once), once);
}

#[test]
fn json_stays_json() {
    let masker = Masker::default();
    for (line, expected) in [
        (r#"{"password":12345678,"a":1}"#, r#"{"password":"[masked:password]","a":1}"#),
        (
            r#"{"password":null,"secret":true,"token":false}"#,
            r#"{"password":null,"secret":true,"token":false}"#,
        ),
        (r#"{"api_key=\"s3cr3t-h0rse-9\\":"","a":""}"#, r#"{"api_key=\"[masked:api-key]":"","a":""}"#),
        (r#"{"password\\":12345678}"#, r#"{"password\\":"[masked:password]"}"#),
        (r#"{"a":"{\"password\":12345678}"}"#, r#"{"a":"{\"password\":\"[masked:password]\"}"}"#),
        (r#"{"password":"a\"b\\","a":1}"#, r#"{"password":"[masked:password]","a":1}"#),
        (r#"{"secret":{"a":1}}"#, r#"{"secret":{"a":1}}"#),
        (r#"["--password 'password"]"#, r#"["--password 'password"]"#),
        (r#"{"a":"password 'x1","b":"y'"}"#, r#"{"a":"password 'x1","b":"y'"}"#),
        (r#"["password=",12345678,"x"]"#, r#"["password=",12345678,"x"]"#),
        (
            r#"["-----BEGIN PRIVATE KEY-----","MIIEvQIBADANBgkqhkiG","-----END PRIVATE KEY-----"]"#,
            r#"["[masked:private-key]","[masked:private-key]","[masked:private-key]"]"#,
        ),
    ] {
        assert_eq!(masked(&masker, line), expected);
    }
}
