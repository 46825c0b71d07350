//! How many tokens a text takes: an estimate that errs upwards. Pure arithmetic.
//!
//! # Theory of operation
//!
//! Tokenizers differ, and those of some models are not published; this follows what byte-pair encodings have in common.
//! They cut a text into words, groups of three digits, runs of marks and runs of blanks, and then each piece into the
//! longest parts they know. So a piece is judged by its kind:
//!
//! | piece | tokens |
//! |---|---|
//! | a word of [`WORDS`], also with a capital | 1 |
//! | another word | three for each five letters, or more where letters are next to each other that seldom are, as in random text |
//! | digits | one for each three |
//! | a blank before a word or mark | none: it goes with them |
//! | a run of one mark | less than one each |
//! | other marks | 1 |
//! | a character outside ASCII | as many as it has bytes, but few for those common in logs |
//!
//! Two published vocabularies are held against it in `tokens/tests.rs`: on no text there does either need more, and on
//! the logs of the corpus this says about half more than they need.

use std::collections::HashSet;
use std::sync::LazyLock;

use super::words::{WORDS, WORDS_IN_CAPITALS};

#[cfg(test)]
pub(super) mod tests;

/// Returns an estimate of the tokens `text` takes that errs upwards; never less than one for each four bytes.
pub fn tokens(text: &str) -> usize {
    let mut total = 0;
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        // What stands between two texts of a list.
        if let Some(after) = rest.strip_prefix("\",\"") {
            total += 2;
            rest = after;
            continue;
        }
        let length = piece(rest.as_bytes(), first);
        let (piece, after) = rest.split_at(length);
        total += match first {
            'a'..='z' | 'A'..='Z' => word(piece.as_bytes()),
            '0'..='9' => length.div_ceil(3),
            ' ' | '\t' => blanks(length, first, after),
            '\n' => length.div_ceil(8),
            '!'..='~' => marks(length, first),
            '\0'..='\x7f' => length,
            _ => wide(first),
        };
        rest = after;
    }
    total.max(text.len().div_ceil(4))
}

/// Returns how many bytes of `text` are of one piece with the first character.
fn piece(text: &[u8], first: char) -> usize {
    let while_all = |is: fn(&u8) -> bool| text.iter().position(|byte| !is(byte)).unwrap_or(text.len());
    match first {
        'a'..='z' => while_all(u8::is_ascii_lowercase),
        'A'..='Z' => match while_all(u8::is_ascii_uppercase) {
            1 => 1 + text[1..].iter().take_while(|byte| byte.is_ascii_lowercase()).count(),
            // Of `HTTPServer` the `S` goes with the next word.
            capitals if text.get(capitals).is_some_and(u8::is_ascii_lowercase) => capitals - 1,
            capitals => capitals,
        },
        '0'..='9' => while_all(u8::is_ascii_digit),
        '\0'..='\x7f' => text.iter().take_while(|byte| **byte == first as u8).count(),
        _ => first.len_utf8(),
    }
}

fn word(word: &[u8]) -> usize {
    /// Longer than every known word.
    const LONGEST: usize = 16;
    let letters = word.len();
    let in_capitals = word.get(1).is_some_and(u8::is_ascii_uppercase);
    let mut lower = [0; LONGEST];
    if let Some(lower) = lower.get_mut(..letters) {
        lower.copy_from_slice(word);
        lower.make_ascii_lowercase();
        let known = if in_capitals { &*KNOWN_IN_CAPITALS } else { &*KNOWN };
        if known.contains(&*lower) {
            return 1;
        }
    }
    unknown_word(word, in_capitals)
}

/// Whoever reads one letter after the other makes no worse of a word than two parts out of three letters, where each
/// two neighbours are a part that vocabularies have.
fn unknown_word(word: &[u8], in_capitals: bool) -> usize {
    let letters = word.len();
    let count = |table: &[bool; PAIRS]| word.windows(2).filter(|pair| table[place(pair[0], pair[1])]).count();
    let uncommon = letters - 1 - count(&COMMON);
    let tokens = match letters {
        1 => 1,
        2 => 1 + uncommon + usize::from(in_capitals),
        _ if in_capitals => (2 * letters).div_ceil(3) + uncommon.div_ceil(4) + count(&RARE),
        _ if uncommon == 0 => (3 * letters).div_ceil(5),
        _ => (2 * letters).div_ceil(3) + uncommon / 4 + count(&RARE),
    };
    let has_capital = !in_capitals && word[0].is_ascii_uppercase();
    (tokens + usize::from(has_capital)).min(letters)
}

/// Blanks go in long runs, but for the last, which goes with what follows unless that is a digit, or begins no word.
fn blanks(length: usize, blank: char, after: &str) -> usize {
    let joins = after.starts_with(|c: char| match blank {
        ' ' => c.is_ascii_graphic() && !c.is_ascii_digit(),
        _ => c.is_ascii_alphabetic(),
    });
    match (length, blank) {
        (1, ' ') => usize::from(!joins),
        (1, _) => 1,
        _ => 1 + length / 16 + usize::from(!joins),
    }
}

fn marks(length: usize, mark: char) -> usize {
    let often_doubled = "/-=*:.#_&|+<>{}()[]'\"\\".contains(mark);
    match length {
        1 => 1,
        2 => {
            if often_doubled {
                1
            } else {
                2
            }
        }
        // Rules are drawn with these.
        _ if often_doubled => 1 + length.div_ceil(4),
        _ => length.div_ceil(2),
    }
}

fn wide(character: char) -> usize {
    match character {
        // Small letters with accents, Cyrillic ones, quotes, dashes, what stands for bytes that are no text.
        '\u{b7}' | '\u{d7}' | '\u{df}'..='\u{ef}' | '\u{f1}'..='\u{f6}' | '\u{f8}'..='\u{fc}' => 1,
        '\u{430}'..='\u{44f}'
        | '\u{2013}'
        | '\u{2014}'
        | '\u{2018}'
        | '\u{2019}'
        | '\u{201c}'
        | '\u{201d}' => 1,
        '\u{2022}' | '\u{2026}' | '\u{2500}' | '\u{2502}' | '\u{fffd}' => 1,
        // Punctuation, lines and boxes, dingbats, Japanese syllables.
        '\u{2010}'..='\u{2027}'
        | '\u{2500}'..='\u{25ff}'
        | '\u{2700}'..='\u{27bf}'
        | '\u{3001}'..='\u{301f}' => 2,
        '\u{3041}'..='\u{3096}' | '\u{30a1}'..='\u{30fa}' | '\u{ff01}'..='\u{ff5e}' => 2,
        other => other.len_utf8(),
    }
}

static KNOWN: LazyLock<HashSet<&'static [u8]>> =
    LazyLock::new(|| WORDS.split(' ').map(str::as_bytes).collect());
static KNOWN_IN_CAPITALS: LazyLock<HashSet<&'static [u8]>> =
    LazyLock::new(|| WORDS_IN_CAPITALS.split(' ').map(str::as_bytes).collect());

/// Pairs of letters, whatever their case.
const PAIRS: usize = 26 * 26;

fn place(one: u8, other: u8) -> usize {
    let of = |letter: u8| usize::from(letter.to_ascii_lowercase() - b'a');
    of(one) * 26 + of(other)
}

/// Pairs that are next to each other in words.
static COMMON: [bool; PAIRS] = table(
    b"ab ac ad ag ai al am an ap ar as at av ay ba be bi bl bo br bs bu by ca cc ce ch ci ck cl co cr cs ct cu da db de di \
      dl do dr ds du dy ea ec ed ee ef eg ei el em en ep er es et ev ex ey fa fe ff fi fo fr ft fu ga ge gh gi gl gn go gr \
      gs gu ha he hi hm ho hr ht ia ib ic id ie if ig il im in io ip ir is it iv iz ja je jo ju ka ke ki ks la ld le li ll \
      lo ls lt lu lv ly ma me mi mm mo mp ms mu na nc nd ne nf ng ni nk nn no ns nt nu nv oa ob oc od of og oi ok ol om on \
      oo op or os ot ou ov ow pa pe ph pi pl po pp pr ps pt pu qu ra rc rd re rg ri rk rl rm rn ro rp rr rs rt ru rv ry sa \
      sc se sh si sk sl sm sn so sp sq ss st su sw sy ta te th ti tl tm to tr ts tt tu ty ub uc ud ue ug ui ul um un up ur \
      us ut va ve vi wa we wh wi wn wo wr ws xc xe xp ya ye yo yp ys ze ",
);

/// Pairs that are no token of their own in one vocabulary or the other.
static RARE: [bool; PAIRS] = table(
    b"bq cj ey fj fq fv fz gj gk gq gz hj iy jf jg jh jl jn jq ju jv jw jx jy jz kj kq ku kx kz lh lj lq lw lx mz nq oq oz \
      pz qf qg qh qj qk ql qn qo qr qv qw qx qy qz rj rz tj tq uo uq vj vq vz wj wq wv wz xg xh xj xk xq xv xw xz yj yq zg \
      zj zk zq zv zx bz cq cz dq dz ej ",
);

/// Reads pairs of letters, each with a blank behind it.
const fn table(pairs: &[u8]) -> [bool; PAIRS] {
    let mut table = [false; PAIRS];
    let mut at = 0;
    while at + 2 < pairs.len() {
        if pairs[at] == b' ' {
            at += 1;
            continue;
        }
        table[(pairs[at] - b'a') as usize * 26 + (pairs[at + 1] - b'a') as usize] = true;
        at += 3;
    }
    table
}
