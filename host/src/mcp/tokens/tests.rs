//! The estimate against two published vocabularies: never less than either needs, and on logs not much more.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use proptest::prelude::*;
use tiktoken_rs::CoreBPE;

use super::super::words::{WORDS, WORDS_IN_CAPITALS};
use super::*;

static VOCABULARIES: LazyLock<[CoreBPE; 2]> = LazyLock::new(|| {
    [tiktoken_rs::cl100k_base(), tiktoken_rs::o200k_base()]
        .map(|vocabulary| vocabulary.expect("it is built in"))
});

/// Returns the tokens `text` takes with the vocabulary that needs most.
pub fn real_tokens(text: &str) -> usize {
    VOCABULARIES.iter().map(|vocabulary| vocabulary.encode_ordinary(text).len()).max().unwrap_or_default()
}

/// Fails when the estimate is less than what is needed.
fn assert_enough(text: &str) {
    let (estimate, real) = (tokens(text), real_tokens(text));
    assert!(estimate >= real, "{estimate} instead of {real} for {text:?}");
}

/// Returns the texts of the lines of each log of the corpus.
fn corpus() -> Vec<(PathBuf, Vec<String>)> {
    let mut found = Vec::new();
    let mut dirs = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/corpus")];
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(dir).expect("the corpus").flatten() {
            let path = entry.path();
            if path.is_dir() {
                dirs.push(path);
            } else if path.extension().is_some_and(|extension| extension == "log") {
                let text = String::from_utf8_lossy(&std::fs::read(&path).expect("a log")).into_owned();
                found.push((path, text.lines().skip(1).filter_map(printed).collect()));
            }
        }
    }
    assert!(found.len() > 50, "{} logs", found.len());
    found
}

/// Returns what a line of a log of the corpus, `{"out":"…"}`, says was printed.
fn printed(line: &str) -> Option<String> {
    let line: serde_json::Value = serde_json::from_str(line).ok()?;
    line.as_object()?.values().find_map(|text| text.as_str()).map(str::to_owned)
}

#[test]
fn each_known_word_is_one_token_in_each_of_its_forms() {
    let capital = |word: &str| format!("{}{}", word[..1].to_ascii_uppercase(), &word[1..]);
    for word in WORDS.split(' ') {
        for form in [word.to_owned(), capital(word), format!(" {word}"), format!(" {}", capital(word))] {
            assert_eq!(real_tokens(&form), 1, "{form:?}");
        }
    }
    for word in WORDS_IN_CAPITALS.split(' ').map(str::to_ascii_uppercase) {
        assert_eq!((real_tokens(&word), real_tokens(&format!(" {word}"))), (1, 1), "{word}");
    }
}

#[test]
fn logs_take_no_more_than_is_estimated_and_not_much_less() {
    let (mut estimate, mut real, mut ratios) = (0, 0, Vec::new());
    for (path, lines) in corpus() {
        for line in &lines {
            assert_enough(line);
            assert_enough(&serde_json::to_string(line).expect("a text"));
        }
        let whole = serde_json::to_string(&lines).expect("texts");
        assert!(tokens(&whole) >= real_tokens(&whole), "{}", path.display());
        estimate += tokens(&whole);
        real += real_tokens(&whole);
        #[expect(clippy::cast_precision_loss, reason = "thousands of tokens")]
        ratios.push(tokens(&whole) as f64 / real_tokens(&whole).max(1) as f64);
    }
    #[expect(clippy::cast_precision_loss, reason = "a hundred logs")]
    let mean = ratios.iter().sum::<f64>() / ratios.len() as f64;
    println!("{estimate} tokens estimated, {real} needed; the mean of {} logs is {mean:.2}", ratios.len());
    assert!(mean <= 1.6, "{mean:.2}");
    assert!(estimate * 10 <= real * 16, "{estimate} for {real}");
}

#[test]
fn what_logs_are_full_of_is_not_estimated_too_low() {
    for text in [
        "",
        " ",
        "a",
        "GET /static/js/main.8f3b2c1d.chunk.js?v=1763627365 304 - - 0.412 ms",
        "{\"level\":30,\"time\":1763627365123,\"pid\":4242,\"msg\":\"request completed\",\"res\":{\"statusCode\":200}}",
        "at Object.<anonymous> (/srv/shop/node_modules/@scope/pkg/dist/cjs/index.js:1:2345)",
        "\tat org.springframework.boot.SpringApplication.run(SpringApplication.java:1361) ~[spring-boot-3.4.1.jar!/:3.4.1]",
        "!function(e,t){\"object\"==typeof exports?module.exports=t():e.x=t()}(this,(()=>{var e={d:(t,r)=>{for(var n in r)}}}));",
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj",
        "服务器已启动，正在监听端口 8000",
        "サーバーを起動しています 完了しました",
        "ошибка подключения к базе данных",
        "خطأ في الاتصال بقاعدة البيانات",
        "✓ Ready in 490ms ➜ Local: http://localhost:3000/ ▲ Next.js ⨯ Error 🚀🔥👩‍👩‍👧‍👦",
        "├── src\n│   ├── main.rs\n└── target",
        "───────────────────────── ██████░░░░ 60%",
        "\\u001b[31m\\u001b[0m\\n\\t\\\\server\\share",
        "C:\\Users\\dev\\AppData\\Local\\Temp\\npm-12345\\node_modules\\.bin",
    ] {
        assert_enough(text);
    }
}

#[test]
fn an_estimate_is_never_below_a_token_for_four_bytes() {
    assert_eq!(tokens(&"\u{fffd}".repeat(400)), 400);
    assert_eq!(tokens(&"a".repeat(3)), 2);
    assert_eq!(tokens(&" ".repeat(400)), 100);
}

/// Texts of one alphabet, of any length.
fn of(alphabet: &'static str) -> impl Strategy<Value = String> {
    let letters: Vec<char> = alphabet.chars().collect();
    prop::collection::vec(prop::sample::select(letters), 0..300).prop_map(|text| text.into_iter().collect())
}

fn texts() -> impl Strategy<Value = String> {
    prop_oneof![
        of("abcdefghijklmnopqrstuvwxyz"),
        of("ABCDEFGHIJKLMNOPQRSTUVWXYZ"),
        of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+/"),
        of("0123456789abcdef"),
        of("0123456789ABCDEF-"),
        of("eeettaaoinshrdlu "),
        of("abcdeimnoprst/._-:0123456789"),
        of("{}()[];:,.=+-*/!?<>&|\"'`~^%$#@\\_aeinrt "),
        of("\t\n\r  \0\u{1}a1é("),
        of("的一是不了在人有我他这个们中来上大为和国地到以说时要就出会可也你对生能而子那得于着下自之年过"),
        "\\PC{0,120}",
        "(?s).{0,120}",
        "[\u{4e00}-\u{9fff}\u{ac00}-\u{d7a3}\u{3040}-\u{30ff}]{0,80}",
        "[\u{1f300}-\u{1faff}\u{2190}-\u{27bf}\u{fe0f}\u{200d}]{0,60}",
        "[\u{a0}-\u{2af}\u{370}-\u{5ff}\u{600}-\u{6ff}\u{900}-\u{97f}\u{e00}-\u{e7f}]{0,80}",
        prop::collection::vec(any::<u8>(), 0..300)
            .prop_map(|bytes| String::from_utf8_lossy(&bytes).into_owned()),
        prop::collection::vec(prop::sample::select(WORDS.split(' ').collect::<Vec<_>>()), 0..60)
            .prop_map(|words| words.join(" ")),
        prop::collection::vec(prop::sample::select(WORDS.split(' ').collect::<Vec<_>>()), 0..60)
            .prop_map(|words| words.concat()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn no_text_takes_more_than_is_estimated(text in texts()) {
        for text in [serde_json::to_string(&text).expect("a text"), text] {
            let (estimate, real) = (tokens(&text), real_tokens(&text));
            prop_assert!(estimate >= real, "{estimate} instead of {real} for {text:?}");
        }
    }
}
