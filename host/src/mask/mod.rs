//! Masks secrets in what processes print and in what is shown of them, before it is stored or shown.
//!
//! # Theory of operation
//!
//! ```text
//!   line ─▶ filter ─▶ (nothing, for nearly all lines) ───────────────────────▶ the line itself
//!              │ anchors
//!              ▼
//!            look: tokens · shapes · pairs · urls · pem · exact ─▶ spans ─▶ line with [masked:NAME]
//!                                                                   ▲              │
//!                                        user rules ────────────────┘    until nothing more is found
//! ```
//!
//! The [`filter`] finds in one pass the few places where a rule may apply; only that place's rule is asked, and looks at
//! a window around it. A line in which nothing is found costs that pass and no allocation. Spans that overlap become
//! one mark, named by the rule that knows best. A masked line is looked at again, since a mark may have cut a text so
//! that something else is found; marks themselves are never part of a secret, so this ends, and masking what is masked
//! changes nothing.
//!
//! A private key goes on over lines: [`MaskState`] remembers it, one for each stream of each run. A line that comes in
//! parts is masked part by part. Nothing is held back; instead what may be the beginning of a secret at the end of a
//! part is masked however short it is, and the state keeps the last [`bounds::MASK_OVERLAP_BYTES`] of the part to
//! recognise what goes on in the next one. The limits of that: bytes before which nothing tells a secret (a prefix cut
//! in its middle, the bytes before a token that is known by what stands in its middle, the first bytes of a value that
//! is known) may be shown at the end of a part, fewer than twelve; and a state that is lost between two parts, as when
//! the daemon is killed there, is lost for that line.
//!
//! What a rule cannot know stays visible: secrets without a form, a name or a known value; values without quotes beyond
//! their first blank.

mod chars;
mod exact;
mod filter;
mod in_force;
mod look;
mod marks;
mod names;
mod pairs;
mod pem;
mod rules;
mod shapes;
mod tokens;
mod urls;
mod values;

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::LazyLock;

use memchr::memmem;
use regex::bytes::RegexSet;

pub use in_force::{InForce, ProjectRules, RulesInForce};
pub use names::{is_secret_name, may_be_secret_name};
pub use rules::{RuleError, Rules, Secret, UserRule};

use crate::bounds;
use filter::{Class, Filter, literal};
use look::{Look, Rank, Span};
use marks::Marks;
use pem::Block;
use rules::Trigger;

/// How often a line is looked at; one in which there is still something then is masked as a whole.
const PASSES: usize = 8;
/// The mark of such a line.
const LINE: &str = "line";
/// The marks of rules that are not in the table of tokens.
const MARKS: [&str; 18] = [
    "api-key",
    "authorization",
    "aws-secret-key",
    "azure-client-secret",
    "azure-key",
    "cookie",
    "credential",
    "discord-token",
    "jwt",
    LINE,
    "password",
    "private-key",
    "secret",
    "session",
    "signature",
    "telegram-token",
    "token",
    "url-password",
];

/// What is the same in all maskers.
static BUILT_IN: LazyLock<(Filter, Marks)> = LazyLock::new(|| {
    let mut filter = Filter::new();
    tokens::add_to(&mut filter);
    shapes::add_to(&mut filter);
    add_names(&mut filter);
    let mut marks = Marks::default();
    MARKS.iter().for_each(|mark| marks.add(mark));
    marks.add("webhook-url");
    tokens::TOKENS.iter().for_each(|token| marks.add(token.mark));
    (filter, marks)
});

/// Adds the words of names. What ends a name tells `key` from the many other words that end so.
fn add_names(filter: &mut Filter) {
    for word in [
        "password", "passwd", "passphra", "passcode", "secret", "token", "apikey", "api_key", "api-key",
        "authoriz", "cookie", "sessid", "credent", "signatur",
    ] {
        filter.add(&literal(word), Trigger::Pair);
    }
    let ends = Class::of(b"=:\"'\\ ]%>&`");
    let before = Class::where_(|byte| byte.is_ascii_alphabetic() || matches!(byte, b'_' | b'-' | b'.'));
    for word in ["key", "pwd", "sid"] {
        filter.add(&[vec![before], literal(word), vec![ends]].concat(), Trigger::PairBehind);
    }
    for word in ["pwd", "auth", "pass", "session", "sessionid", "csrftoken"] {
        filter.add(&[literal(word), vec![Class::of(b"=:\"'")]].concat(), Trigger::Pair);
    }
    filter
        .add(&[literal("sig"), vec![Class::of(b"="), Class::where_(chars::base64)]].concat(), Trigger::Pair);
}

/// Whether a line ends here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    Ends,
    /// Its next part follows.
    GoesOn,
}

/// What masking remembers of one stream between its lines.
#[derive(Debug, Clone, Default)]
pub struct MaskState {
    /// A private key has begun.
    block: Option<Block>,
    /// The last bytes of an unfinished line.
    carry: Vec<u8>,
    /// A secret reached the end of an unfinished line's part: its mark's name.
    goes_on: Option<String>,
}

impl MaskState {
    fn is_at_rest(&self) -> bool {
        self.block.is_none() && self.carry.is_empty() && self.goes_on.is_none()
    }
}

/// Masks secrets. Made once for each run, since each process has secrets of its own; may be shared by threads.
#[derive(Debug, Clone)]
pub struct Masker {
    filter: Filter,
    /// Forms of secrets, and the index of the secret's name.
    forms: Vec<(Vec<u8>, usize)>,
    names: Vec<String>,
    user: Vec<UserRule>,
    any_user_rule: Option<RegexSet>,
    marks: Marks,
}

impl Default for Masker {
    fn default() -> Self {
        Self::new(&Rules::default(), &[])
    }
}

impl Masker {
    /// Makes a masker of the rules built in, the user's, and secrets known by value. Of more than
    /// [`bounds::MASK_SECRETS`] secrets the first are looked for.
    pub fn new(rules: &Rules, secrets: &[Secret]) -> Self {
        let (filter, marks) = BUILT_IN.clone();
        let user = rules.user().to_vec();
        // The patterns have been compiled one by one before; together they are bounded by their number.
        let any_user_rule = (!user.is_empty())
            .then(|| {
                regex::bytes::RegexSetBuilder::new(user.iter().map(|rule| rule.regex.as_str()))
                    .size_limit(bounds::MASK_REGEX_SIZE * bounds::MASK_RULES)
                    .build()
                    .ok()
            })
            .flatten();
        let mut masker = Self { filter, forms: Vec::new(), names: Vec::new(), user, any_user_rule, marks };
        for rule in &masker.user {
            masker.marks.add(rule.name());
        }
        let secrets = &secrets[..secrets.len().min(bounds::MASK_SECRETS)];
        masker.names = secrets.iter().map(|secret| marks::name(&secret.name)).collect();
        for name in &masker.names {
            masker.marks.add(name);
        }
        let marks = masker.marks.written();
        let mut known = HashSet::new();
        for (index, secret) in secrets.iter().enumerate() {
            for form in exact::forms(secret) {
                if memmem::find(&marks, &form).is_none() && known.insert(form.clone()) {
                    masker.add_form(form, index);
                }
            }
        }
        masker
    }

    fn add_form(&mut self, form: Vec<u8>, name: usize) {
        let anchor: Vec<Class> = form.iter().take(8).map(|byte| Class::of(&[*byte])).collect();
        self.filter.add(&anchor, Trigger::Exact(self.forms.len() as u32));
        self.forms.push((form, name));
    }

    /// Returns a whole line with its secrets masked; the line itself where it has none.
    #[inline]
    pub fn mask_line<'l>(&self, state: &mut MaskState, line: &'l [u8]) -> Cow<'l, [u8]> {
        self.mask_part(state, line, Ending::Ends)
    }

    /// Returns a part of a line, which may be all of it, with its secrets masked.
    pub fn mask_part<'l>(&self, state: &mut MaskState, part: &'l [u8], ending: Ending) -> Cow<'l, [u8]> {
        let open = ending == Ending::GoesOn;
        if state.is_at_rest() && self.any_user_rule.as_ref().is_none_or(|any| !any.is_match(part)) {
            let mut look = Look::new(self, part, open);
            look.run();
            if look.spans.is_empty() {
                if open {
                    state.keep(part);
                }
                return Cow::Borrowed(part);
            }
        }
        let from = state.carry.len();
        let mut text = std::mem::take(&mut state.carry);
        text.extend_from_slice(part);
        if open {
            state.keep(&text);
        }
        let spans = self.first_pass(state, &text, from, open);
        if spans.is_empty() {
            return Cow::Borrowed(part);
        }
        self.rewrite(&mut text, from, spans);
        text.drain(..from);
        Cow::Owned(text)
    }

    /// Returns a text of any number of lines with its secrets masked.
    pub fn mask_text<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let mut state = MaskState::default();
        let mut masked = String::new();
        let mut changed = false;
        for line in text.split_inclusive('\n') {
            let (line, end) = line.strip_suffix('\n').map_or((line, ""), |line| (line, "\n"));
            let shown = self.mask_line(&mut state, line.as_bytes());
            changed |= matches!(shown, Cow::Owned(_));
            masked.push_str(&String::from_utf8_lossy(&shown));
            masked.push_str(end);
        }
        if changed { Cow::Owned(masked) } else { Cow::Borrowed(text) }
    }

    /// Looks at a text for the first time: what goes on from before, and what goes on behind it.
    fn first_pass(&self, state: &mut MaskState, text: &[u8], from: usize, open: bool) -> Vec<Span<'_>> {
        let marked = self.marks.places(text);
        let mut look = Look::new(self, text, open);
        if let Some(name) = state.goes_on.take() {
            let length = chars::run(text, from, goes_on, usize::MAX);
            let mark = self.known_mark(&name);
            look.spans.push(Span::new(from, from + length, mark, Rank::Name));
        }
        if let Some(block) = state.block {
            state.block = pem::continued(block, &text[from..], |start, end| {
                look.spans.push(Span::new(from + start, from + end, "private-key", Rank::Form));
            });
        }
        look.run();
        if look.key_goes_on {
            state.block = Some(Block::BEGUN);
        }
        let mut spans = look.spans;
        look::user_rules(self, text, &marked, &mut spans);
        spans.retain(|span| span.start < span.end);
        look::settle(text, &mut spans, &marked, from);
        let last = spans.last().filter(|span| open && span.end == text.len());
        state.goes_on = last.map(|span| span.mark.to_owned());
        spans
    }

    /// Writes marks into a text until nothing more is found in it.
    fn rewrite(&self, text: &mut Vec<u8>, from: usize, first: Vec<Span<'_>>) {
        let mut spans = first;
        for _ in 0..PASSES {
            let mut masked = text[..from].to_vec();
            look::write(text, from, &spans, &mut masked);
            *text = masked;
            let marked = self.marks.places(text);
            let mut look = Look::new(self, text, false);
            look.run();
            spans = look.spans;
            look::user_rules(self, text, &marked, &mut spans);
            spans.retain(|span| span.start < span.end);
            look::settle(text, &mut spans, &marked, from);
            if spans.is_empty() {
                return;
            }
        }
        text.truncate(from);
        marks::write(text, LINE);
    }

    /// Returns the name of a mark as this masker has it.
    fn known_mark(&self, name: &str) -> &str {
        let own = self.names.iter().map(String::as_str).chain(self.user.iter().map(UserRule::name));
        let tokens = tokens::TOKENS.iter().map(|token| token.mark);
        own.chain(MARKS).chain(tokens).find(|known| *known == name).unwrap_or("secret")
    }
}

/// What a secret that was cut off goes on with.
fn goes_on(byte: u8) -> bool {
    byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\'' | b'`' | b'<' | b'>' | b'&' | b',' | b';' | b'\\')
}

impl MaskState {
    fn keep(&mut self, text: &[u8]) {
        self.carry = text[text.len().saturating_sub(bounds::MASK_OVERLAP_BYTES)..].to_vec();
    }
}
