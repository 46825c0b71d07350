//! Tokens that are known by how they begin: one table, from the formats their issuers describe.
//!
//! A row says what follows the prefix and how much of it. What is longer than a row's least is masked to its end, since
//! issuers lengthen their tokens. Prefixes that are also syllables or parts of other data are `strict`: they have to
//! begin a word, and the token to end one.

use super::chars::{
    self, Alphabet, alphanumeric, base64, base64_url, byte_at, dotted, hex, hex_dash, upper, word,
};
use super::filter::{Class, Filter, literal};
use super::rules::Trigger;

/// One kind of token.
pub(super) struct Token {
    pub(super) mark: &'static str,
    prefixes: &'static [&'static str],
    alphabet: Alphabet,
    /// Bytes that follow the prefix at least.
    least: usize,
    /// Bytes that follow it at most: with more it is something else.
    most: usize,
    strict: bool,
}

/// Bytes behind a strict prefix that are enough where the text is cut off.
const CUT_OFF: usize = 6;

const fn loose(
    mark: &'static str,
    prefixes: &'static [&'static str],
    alphabet: Alphabet,
    least: usize,
) -> Token {
    Token { mark, prefixes, alphabet, least, most: usize::MAX, strict: false }
}

const fn strict(
    mark: &'static str,
    prefixes: &'static [&'static str],
    alphabet: Alphabet,
    least: usize,
    most: usize,
) -> Token {
    Token { mark, prefixes, alphabet, least, most, strict: true }
}

const NO_END: usize = usize::MAX;

/// Order matters where one prefix begins another: the longer one first.
pub(super) const TOKENS: [Token; 66] = [
    strict("aws-access-key", &["AKIA", "ASIA", "ABIA", "ACCA"], upper, 16, 16),
    strict("aws-bedrock-key", &["ABSK"], base64, 100, NO_END),
    strict("gcp-api-key", &["AIza"], base64_url, 35, NO_END),
    loose("gcp-oauth-token", &["ya29."], dotted, 20),
    loose("gcp-client-secret", &["GOCSPX-"], base64_url, 20),
    strict("gcp-refresh-token", &["1//0"], base64_url, 40, NO_END),
    loose("github-token", &["ghp_", "gho_", "ghu_", "ghs_", "ghr_"], word, 30),
    loose("github-token", &["github_pat_"], word, 40),
    loose("gitlab-token", &["glpat-", "gldt-", "glrt-", "glrtr-", "glptt-", "glft-", "glsoat-"], dotted, 20),
    loose("gitlab-token", &["glcbt-", "glimt-", "glagent-", "gloas-", "glffct-", "GR1348941"], dotted, 20),
    loose("slack-token", &["xoxb-", "xoxp-", "xoxa-", "xoxr-", "xoxs-", "xoxe-"], base64_url, 20),
    loose("slack-token", &["xoxc-", "xoxd-", "xapp-"], base64_url, 20),
    loose("stripe-key", &["sk_live_", "sk_test_", "rk_live_", "rk_test_", "sk_org_live_"], alphanumeric, 16),
    loose("webhook-secret", &["whsec_"], base64, 24),
    loose("anthropic-key", &["sk-ant-"], base64_url, 20),
    loose("openai-key", &["sk-proj-", "sk-svcacct-", "sk-admin-"], base64_url, 20),
    loose("openrouter-key", &["sk-or-v1-"], hex, 32),
    strict("openai-key", &["sk-"], alphanumeric, 32, NO_END),
    loose("npm-token", &["npm_"], alphanumeric, 30),
    loose("pypi-token", &["pypi-AgE"], base64_url, 50),
    strict("twilio-key", &["SK"], hex, 32, 32),
    strict("sendgrid-key", &["SG."], dotted, 60, NO_END),
    loose("digitalocean-token", &["dop_v1_", "doo_v1_", "dor_v1_"], hex, 40),
    loose("heroku-key", &["HRKU-"], base64_url, 30),
    loose("cloudflare-token", &["cfut_", "cfat_"], word, 40),
    strict("cloudflare-token", &["cfk_"], word, 40, NO_END),
    strict("cloudflare-origin-key", &["v1.0-"], hex_dash, 100, NO_END),
    loose("shopify-token", &["shpat_", "shpca_", "shppa_", "shpss_"], hex, 32),
    loose("square-token", &["sq0atp-", "sq0csp-", "sq0idp-"], base64_url, 20),
    strict("square-token", &["EAAA"], base64_url, 55, NO_END),
    strict("mailgun-key", &["key-"], hex, 32, 32),
    strict("huggingface-token", &["hf_", "api_org_"], alphanumeric, 30, NO_END),
    strict("databricks-token", &["dapi"], hex, 32, 34),
    loose("vault-token", &["hvs.", "hvb.", "hvr."], base64_url, 20),
    loose("age-key", &["AGE-SECRET-KEY-1", "AGE-SECRET-KEY-PQ-1"], upper, 50),
    loose("docker-token", &["dckr_pat_", "dckr_oat_"], base64_url, 20),
    loose("grafana-token", &["glsa_", "glc_"], base64_line, 32),
    loose("linear-key", &["lin_api_", "lin_oauth_"], alphanumeric, 32),
    strict("groq-key", &["gsk_"], alphanumeric, 40, NO_END),
    strict("xai-key", &["xai-"], alphanumeric, 60, NO_END),
    strict("replicate-token", &["r8_"], alphanumeric, 30, NO_END),
    loose("perplexity-key", &["pplx-"], alphanumeric, 40),
    loose("nvidia-key", &["nvapi-"], base64_url, 50),
    loose("tailscale-key", &["tskey-"], base64_url, 20),
    loose("figma-token", &["figd_", "figo_"], base64_url, 30),
    strict("newrelic-key", &["NRAK-", "NRJS-", "NRII-"], upper, 20, NO_END),
    loose("atlassian-token", &["ATATT3x", "ATCTT3x"], base64_url_padded, 60),
    loose("postman-key", &["PMAK-"], hex_dash, 50),
    loose("sentry-token", &["sntrys_", "sntryu_"], base64_line, 50),
    loose("rubygems-key", &["rubygems_"], hex, 40),
    loose("doppler-token", &["dp.pt.", "dp.st.", "dp.ct.", "dp.sa."], dotted, 40),
    loose("supabase-key", &["sbp_", "sb_secret_"], base64_url, 30),
    loose("planetscale-token", &["pscale_tkn_", "pscale_pw_", "pscale_oauth_"], dotted, 32),
    loose("netlify-token", &["nfp_"], alphanumeric, 36),
    loose("fly-token", &["fm2_", "fm1r_", "fm1a_"], base64, 60),
    loose("notion-token", &["ntn_"], alphanumeric, 40),
    loose("airtable-token", &["patAT"], dotted, 70),
    loose("shippo-token", &["shippo_live_", "shippo_test_"], hex, 40),
    loose("easypost-key", &["EZAK", "EZTK"], alphanumeric, 54),
    loose("duffel-token", &["duffel_live_", "duffel_test_"], base64_url, 40),
    loose("dynatrace-token", &["dt0c01."], dotted, 80),
    loose("pulumi-token", &["pul-"], hex, 40),
    loose("terraform-token", &[".atlasv1."], base64_url, 60),
    loose("prefect-key", &["pnu_"], alphanumeric, 36),
    loose("readme-key", &["rdme_"], alphanumeric, 60),
    loose("clojars-token", &["CLOJARS_"], alphanumeric, 60),
];

fn base64_url_padded(byte: u8) -> bool {
    base64_url(byte) || byte == b'='
}

fn base64_line(byte: u8) -> bool {
    base64(byte) || byte == b'_'
}

/// Adds the anchors of all tokens.
pub(super) fn add_to(filter: &mut Filter) {
    for (index, token) in TOKENS.iter().enumerate() {
        let follows = Class::where_(token.alphabet);
        for (which, prefix) in token.prefixes.iter().enumerate() {
            let mut classes = literal(prefix);
            while classes.len() < 6 {
                classes.push(follows);
            }
            filter.add(&classes, Trigger::Token { index: index as u8, prefix: which as u8 });
        }
    }
}

/// Returns the end of the token that begins at `at` with the given prefix; `open` says that the text is cut off at its
/// end, so that a token that reaches it may be longer than it seems.
pub(super) fn end(token: &Token, prefix: usize, text: &[u8], at: usize, open: bool) -> Option<usize> {
    let prefix = token.prefixes[prefix].as_bytes();
    if !text[at..].starts_with(prefix) || (token.strict && !chars::starts_word(text, at)) {
        return None;
    }
    let from = at + prefix.len();
    let length = chars::run(text, from, token.alphabet, token.most.saturating_add(1));
    let end = from + length;
    let cut_off = open && end == text.len() && (length >= CUT_OFF || !token.strict);
    if length > token.most || (length < token.least && !cut_off) {
        return None;
    }
    if token.strict && word(byte_at(text, end)) {
        return None;
    }
    // A dot behind a token ends a sentence.
    Some(end - chars::run_before(text, end, |byte| byte == b'.', length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_are_unique_and_bounds_make_sense() {
        let mut seen = std::collections::BTreeSet::new();
        for token in &TOKENS {
            assert!(token.least <= token.most && !token.prefixes.is_empty(), "{}", token.mark);
            for prefix in token.prefixes {
                assert!(seen.insert(*prefix), "{prefix} is in the table twice");
            }
        }
    }

    #[test]
    fn strict_tokens_are_whole_words() {
        let twilio = TOKENS.iter().find(|token| token.mark == "twilio-key").expect("it is in the table");
        let hex = "0123456789abcdef0123456789abcdef";
        for (text, at, found) in [
            (format!("SK{hex}"), 0, true),
            (format!("TASK{hex}"), 2, false),
            (format!("SK{hex}0"), 0, false),
            (format!("SK{hex}z"), 0, false),
            (format!("SK{hex}-"), 0, true),
        ] {
            assert_eq!(end(twilio, 0, text.as_bytes(), at, false).is_some(), found, "{text}");
        }
    }
}
