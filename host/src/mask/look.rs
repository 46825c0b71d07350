//! One look at a text: from anchors to the places of secrets, without overlaps, and the text with marks in it.

use super::pairs::{self, Found};
use super::rules::Trigger;
use super::tokens::{self, TOKENS};
use super::{Masker, chars, marks, pem, shapes, urls};

/// Matches of one rule of the user's in one line; with more the rest of the line is masked, since a rule that reads to
/// the line's end for each match would read it as often.
const MATCHES: usize = 4096;

/// How well a rule knows what it found; of two that overlap the better one names the mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rank {
    /// By the name before it, or its place in an address.
    Name,
    User,
    /// By its own form.
    Form,
    /// By its value.
    Value,
}

/// A secret's place in a text.
#[derive(Debug, Clone, Copy)]
pub(super) struct Span<'m> {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) mark: &'m str,
    pub(super) rank: Rank,
    /// The quote to put around the mark, as a place in the text.
    pub(super) quote: Option<(usize, usize)>,
}

impl<'m> Span<'m> {
    pub(super) fn new(start: usize, end: usize, mark: &'m str, rank: Rank) -> Self {
        Self { start, end, mark, rank, quote: None }
    }
}

/// What a look at one text finds.
pub(super) struct Look<'m, 't> {
    masker: &'m Masker,
    text: &'t [u8],
    /// The text is cut off at its end.
    open: bool,
    pub(super) spans: Vec<Span<'m>>,
    /// A private key has begun and goes on in the next line.
    pub(super) key_goes_on: bool,
    /// A private key may end somewhere behind here.
    key_may_end: bool,
    /// Tokens and values that begin before these places have been found already. Without them a text made of nothing but
    /// beginnings would be read once for each.
    tokens_until: usize,
    values_until: usize,
}

impl<'m, 't> Look<'m, 't> {
    pub(super) fn new(masker: &'m Masker, text: &'t [u8], open: bool) -> Self {
        Self {
            masker,
            text,
            open,
            spans: Vec::new(),
            key_goes_on: false,
            key_may_end: true,
            tokens_until: 0,
            values_until: 0,
        }
    }

    /// Finds what built-in rules and known values find.
    #[inline]
    pub(super) fn run(&mut self) {
        let masker = self.masker;
        masker.filter.scan(self.text, |at, trigger| self.on(at, trigger));
    }

    #[inline(never)]
    fn on(&mut self, at: usize, trigger: Trigger) {
        let (text, open) = (self.text, self.open);
        match trigger {
            Trigger::Pair => self.pair(at),
            Trigger::PairBehind => self.pair(at + 1),
            Trigger::Exact(form) => self.exact(at, form as usize),
            Trigger::Url => self.url(at + "://".len(), at),
            Trigger::EscapedUrl => self.url(at + r":\/\/".len(), at),
            Trigger::EncodedUrl => {
                if let Some((start, end)) = urls::encoded_password(text, at + "%3A%2F%2F".len()) {
                    self.spans.push(Span::new(start, end, "url-password", Rank::Name));
                }
            }
            _ if at < self.tokens_until => {}
            Trigger::Token { index, prefix } => {
                let token = &TOKENS[usize::from(index)];
                let end = tokens::end(token, usize::from(prefix), text, at, open);
                self.form(end.map(|end| (at, end)), token.mark);
            }
            Trigger::Jwt => self.form(shapes::jwt(text, at, open), "jwt"),
            Trigger::Pem => self.key(at),
            Trigger::PemInBase64 => {
                self.form(pem::in_base64(text, at, open).map(|end| (at, end)), "private-key")
            }
            Trigger::Discord => self.form(shapes::discord(text, at, open), "discord-token"),
            Trigger::Telegram => self.form(shapes::telegram(text, at, open), "telegram-token"),
            Trigger::TelegramUrl => self.form(shapes::telegram_url(text, at, open), "telegram-token"),
            Trigger::AzureSecret => self.form(shapes::azure_secret(text, at, open), "azure-client-secret"),
            Trigger::AzureKey => self.form(shapes::azure_key(text, at, open), "azure-key"),
            Trigger::Webhook => self.form(shapes::webhook(text, at, open), "webhook-url"),
            Trigger::Scheme => self.scheme(at),
        }
    }

    fn form(&mut self, place: Option<(usize, usize)>, mark: &'static str) {
        if let Some((start, end)) = place {
            self.tokens_until = end;
            self.spans.push(Span::new(start, end, mark, Rank::Form));
        }
    }

    fn pair(&mut self, at: usize) {
        if at < self.values_until {
            return;
        }
        let (spans, until) = (&mut self.spans, &mut self.values_until);
        pairs::look(self.text, at, self.open, |Found { start, end, mark, quote }| {
            *until = end;
            spans.push(Span { quote, ..Span::new(start, end, mark, Rank::Name) });
        });
    }

    fn scheme(&mut self, at: usize) {
        if at < self.values_until {
            return;
        }
        if let Some((start, end)) = shapes::scheme(self.text, at, self.open) {
            self.values_until = end;
            self.spans.push(Span::new(start, end, "authorization", Rank::Name));
        }
    }

    fn url(&mut self, user: usize, colon: usize) {
        if !urls::has_scheme(self.text, colon) || user > self.text.len() {
            return;
        }
        if let Some((start, end)) = urls::password(self.text, user, self.open) {
            self.spans.push(Span::new(start, end, "url-password", Rank::Name));
        }
    }

    fn key(&mut self, at: usize) {
        if let Some(opening) = pem::opening(self.text, at, &mut self.key_may_end) {
            self.key_goes_on |= opening.goes_on;
            let (from, until) = (opening.end, opening.pieces_until);
            let spans = &mut self.spans;
            pem::continued(pem::Block::BEGUN, &self.text[from..until], |start, end| {
                spans.push(Span::new(from + start, from + end, "private-key", Rank::Form));
            });
            self.form(Some((opening.start, opening.end)), "private-key");
            self.tokens_until = until;
        }
    }

    fn exact(&mut self, at: usize, form: usize) {
        let (form, name) = &self.masker.forms[form];
        let rest = &self.text[at..];
        // Where the text is cut off, the beginning of a secret is one too.
        let cut_off = self.open && rest.len() < form.len() && form.starts_with(rest);
        if rest.starts_with(form) || cut_off {
            let end = at + rest.len().min(form.len());
            self.spans.push(Span::new(at, end, &self.masker.names[*name], Rank::Value));
        }
    }
}

/// Finds what the user's rules find, between the marks at `marked`.
pub(super) fn user_rules<'m>(
    masker: &'m Masker,
    text: &[u8],
    marked: &[(usize, usize)],
    spans: &mut Vec<Span<'m>>,
) {
    let Some(any) = &masker.any_user_rule else { return };
    for index in any.matches(text) {
        let rule = &masker.user[index];
        let mut start = 0;
        let mut matches = 0;
        for (end, next) in marked.iter().copied().chain([(text.len(), 0)]) {
            // A search up to a mark, which also sees what stands before its beginning.
            let before = &text[..end];
            while start < end {
                let Some(captures) = rule.regex.captures_at(before, start) else { break };
                matches += 1;
                if matches > MATCHES {
                    spans.push(Span::new(start, text.len(), rule.name(), Rank::User));
                    break;
                }
                let whole = captures.get_match();
                if let Some(secret) = captures.get(rule.group).filter(|secret| !secret.is_empty()) {
                    spans.push(Span::new(secret.start(), secret.end(), rule.name(), Rank::User));
                }
                start = if whole.is_empty() { whole.end() + 1 } else { whole.end() };
            }
            if matches > MATCHES {
                break;
            }
            start = next;
        }
    }
}

/// Joins spans that overlap, and takes from them what lies before `from` and in marks; what is left is in order.
pub(super) fn settle<'m>(text: &[u8], spans: &mut Vec<Span<'m>>, marked: &[(usize, usize)], from: usize) {
    spans.iter_mut().for_each(|span| take_escapes(text, span));
    spans.sort_by_key(|span| (span.start, span.end));
    let mut joined: Vec<Span<'m>> = Vec::with_capacity(spans.len());
    for span in spans.drain(..) {
        match joined.last_mut() {
            Some(last) if span.start < last.end => {
                if span.rank > last.rank {
                    (last.mark, last.rank) = (span.mark, span.rank);
                }
                last.end = last.end.max(span.end);
            }
            _ => joined.push(span),
        }
    }
    let mut marks = marked.iter().copied().peekable();
    for span in joined {
        let mut start = span.start.max(from);
        while marks.next_if(|(_, end)| *end <= start).is_some() {}
        while let Some((begins, ends)) = marks.peek().copied().filter(|(begins, _)| *begins < span.end) {
            if start < begins {
                spans.push(Span { start, end: begins, ..span });
            }
            start = ends;
            if ends > span.end {
                break;
            }
            marks.next();
        }
        if start < span.end {
            spans.push(Span { start, ..span });
        }
    }
}

/// Takes into a span the halves of escapes at its ends, so that what is left of a string of JSON stays one.
fn take_escapes(text: &[u8], span: &mut Span<'_>) {
    let is_escaped = |at: usize| chars::run_before(text, at, |byte| byte == b'\\', usize::MAX) % 2 == 1;
    if is_escaped(span.start) {
        span.start -= 1;
    }
    if is_escaped(span.end) && span.end < text.len() {
        span.end += 1;
    }
}

/// Appends the text from `from` on with marks in place of the spans.
pub(super) fn write(text: &[u8], from: usize, spans: &[Span<'_>], out: &mut Vec<u8>) {
    let mut at = from;
    for span in spans {
        out.extend_from_slice(&text[at..span.start]);
        let quote = span.quote.map(|(start, end)| &text[start..end]).unwrap_or_default();
        out.extend_from_slice(quote);
        marks::write(out, span.mark);
        out.extend_from_slice(quote);
        at = span.end;
    }
    out.extend_from_slice(&text[at..]);
}
