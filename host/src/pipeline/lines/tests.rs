//! Tests of the line splitter: the same lines however the bytes are cut, and from wherever reading resumes.

use proptest::prelude::*;

use super::*;

const START: u64 = 1000;

/// One line with what belongs to it.
type Told = (Vec<u8>, bool, u64);

fn told(lines: &Lines) -> Vec<Told> {
    let rest = lines.partial.iter().zip(&lines.after);
    lines.iter().zip(rest).map(|(line, (partial, after))| (line.to_vec(), *partial, *after)).collect()
}

fn split_chunks(chunks: &[&[u8]], start: u64) -> Vec<Told> {
    let (mut splitter, mut lines, mut at) = (LineSplitter::default(), Lines::default(), start);
    for chunk in chunks {
        splitter.push(chunk, at, &mut lines);
        at += chunk.len() as u64;
    }
    splitter.finish(&mut lines);
    assert_eq!(splitter.unfinished_from(), None);
    told(&lines)
}

fn texts(bytes: &[u8]) -> Vec<String> {
    split_chunks(&[bytes], START)
        .into_iter()
        .map(|(line, ..)| String::from_utf8_lossy(&line).into_owned())
        .collect()
}

/// Bytes as terminals see them: sequences whole and broken, line ends, characters of every length, and noise.
fn output() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        4 => "[a-zäß€😀 ]{0,8}".prop_map(String::into_bytes),
        3 => Just(b"\n".to_vec()),
        1 => Just(b"\r\n".to_vec()),
        1 => Just(b"\r".to_vec()),
        2 => "\u{1b}\\[[0-9;?]{0,4}[mKHJ]".prop_map(String::into_bytes),
        1 => "\u{1b}\\]8;;[a-zü:/]{0,8}(\u{7}|\u{1b}\\\\|\u{9c})".prop_map(String::into_bytes),
        1 => "[\u{9b}\u{9d}\u{90}][0-9a-z;]{0,4}".prop_map(String::into_bytes),
        1 => "\u{1b}[(#][AB08]".prop_map(String::into_bytes),
        1 => "\u{1b}[P\\]\\[X_^=78cM]?".prop_map(String::into_bytes),
        2 => proptest::collection::vec(any::<u8>(), 0..6),
        1 => proptest::collection::vec(
            proptest::sample::select(&[0x1b, 0xc2, 0x9b, 0x9c, 0x9d, b'[', b']', b'\\', 7, 0x18, b'\n'][..]),
            0..6,
        ),
    ];
    proptest::collection::vec(piece, 0..30).prop_map(|pieces| pieces.concat())
}

fn cut<'a>(bytes: &'a [u8], cuts: &[prop::sample::Index]) -> Vec<&'a [u8]> {
    let mut places: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
    places.extend([0, bytes.len()]);
    places.sort_unstable();
    places.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn any_chunking_gives_the_same_lines(bytes in output(), cuts: [prop::sample::Index; 6]) {
        let whole = split_chunks(&[&bytes], START);
        prop_assert_eq!(split_chunks(&cut(&bytes, &cuts), START), whole.clone());
        let single: Vec<&[u8]> = bytes.chunks(1).collect();
        prop_assert_eq!(split_chunks(&single, START), whole);
    }

    #[test]
    fn reading_resumes_behind_every_line(bytes in output()) {
        let whole = split_chunks(&[&bytes], START);
        for (index, (_, _, after)) in whole.iter().enumerate() {
            let rest = &bytes[(after - START) as usize..];
            prop_assert_eq!(&split_chunks(&[rest], *after)[..], &whole[index + 1..]);
        }
    }

    #[test]
    fn reading_resumes_behind_a_flushed_partial_line(bytes in output(), cuts: [prop::sample::Index; 1]) {
        let [head, tail] = cut(&bytes, &cuts)[..] else { unreachable!("one cut gives two parts") };
        let (mut splitter, mut lines) = (LineSplitter::default(), Lines::default());
        splitter.push(head, START, &mut lines);
        let unfinished = splitter.unfinished_from();
        let flushed = splitter.flush_partial(&mut lines);
        prop_assert!(unfinished.is_some() || !flushed);
        let before = lines.len();
        splitter.push(tail, START + head.len() as u64, &mut lines);
        splitter.finish(&mut lines);
        let all = told(&lines);
        if let Some((_, _, after)) = before.checked_sub(1).map(|last| &all[last]) {
            let rest = &bytes[(after - START) as usize..];
            prop_assert_eq!(&split_chunks(&[rest], *after)[..], &all[before..]);
        }
        // A partial line and its continuation are together what the line would have been.
        let mut joined: Vec<Vec<u8>> = Vec::new();
        let mut continues = false;
        for (line, partial, _) in all {
            match joined.last_mut().filter(|_| continues) {
                Some(last) => last.extend(line),
                None => joined.push(line),
            }
            continues = partial;
        }
        let whole: Vec<Vec<u8>> = split_chunks(&[&bytes], START).into_iter().map(|(line, ..)| line).collect();
        prop_assert_eq!(joined, whole);
    }

    #[test]
    fn well_formed_sequences_leave_only_the_text(
        pieces in proptest::collection::vec(("[ -~äß€😀\t]{0,9}", proptest::sample::select(SEQUENCES)), 0..20)
    ) {
        let (mut bytes, mut text) = (String::new(), String::new());
        for (plain, sequence) in &pieces {
            bytes += plain;
            bytes += sequence;
            text += plain;
        }
        bytes += "|\n";
        text += "|";
        prop_assert_eq!(texts(bytes.as_bytes()), [text]);
    }

    #[test]
    fn no_escape_survives(bytes in output()) {
        for (line, ..) in split_chunks(&[&bytes], START) {
            prop_assert!(!line.contains(&ESC) && !line.contains(&b'\n'), "{line:?}");
        }
    }
}

const SEQUENCES: &[&str] = &[
    "",
    "\u{1b}[0m",
    "\u{1b}[1;38;2;255;100;0m",
    "\u{1b}[?25l",
    "\u{1b}[2K",
    "\u{1b}[4 q",
    "\u{1b}]0;a title\u{7}",
    "\u{1b}]8;;http://localhost:5173/\u{1b}\\",
    "\u{1b}(B",
    "\u{1b}#8",
    "\u{1b}7",
    "\u{1b}=",
    "\u{1b}Pq#0;2;0\u{1b}\\",
    "\u{1b}_application\u{1b}\\",
    "\u{9b}31m",
    "\u{9d}0;title\u{9c}",
];

#[test]
fn colours_titles_and_hyperlinks_go_and_everything_else_stays() {
    assert_eq!(
        texts(b"\x1b[32m\xe2\x9e\x9c\x1b[39m  Local: \x1b[36mhttp://x/\x1b[0m\n"),
        ["➜  Local: http://x/"]
    );
    assert_eq!(texts(b"a\x00b\x07c\x08\td\n"), ["a\0b\u{7}c\u{8}\td"]);
    assert_eq!(texts("20 °C, 5 µs, © «x»\n".as_bytes()), ["20 °C, 5 µs, © «x»"]);
    assert_eq!(split_chunks(&[b"caf\xe9 \x9b31m\n"], 0), [(b"caf\xe9 \x9b31m".to_vec(), false, 10)]);
}

#[test]
fn line_ends_of_both_kinds_are_dropped_and_other_returns_kept() {
    assert_eq!(texts(b"a\r\nb\n\r\n\n10%\r20%\rdone\nc\r"), ["a", "b", "", "", "10%\r20%\rdone", "c\r"]);
    assert_eq!(texts(b"a\r\x1b[0m\n"), ["a"]);
}

#[test]
fn a_broken_sequence_swallows_no_more_than_its_line() {
    assert_eq!(texts(b"a\x1b]0;never ended\nb\n"), ["a", "b"]);
    assert_eq!(texts(b"a\x1b[12\nb\x1b\nc\xc2\n"), ["a", "b", "c\u{fffd}"]);
    assert_eq!(texts(b"a\x1b[3\xc3\xa4b\x1b\x1b[1mc\x1b[3\x18d\n"), ["aäbcd"]);
    assert_eq!(texts(b"a\x1b]0;cut\x1b[1mb\n"), ["ab"]);
}

#[test]
fn a_sequence_longer_than_any_line_is_given_up() {
    let mut bytes = b"a\x1b]0;".to_vec();
    bytes.resize(2 + bounds::LINE_BYTES, b'x');
    bytes.extend_from_slice(b"end\n");
    assert_eq!(texts(&bytes), ["axend"]);
}

#[test]
fn a_prompt_is_flushed_once_and_continued() {
    let (mut splitter, mut lines) = (LineSplitter::default(), Lines::default());
    assert!(!splitter.flush_partial(&mut lines));
    splitter.push(b"name? \x1b[", 10, &mut lines);
    assert_eq!(splitter.unfinished_from(), Some(10));
    assert!(splitter.flush_partial(&mut lines));
    assert_eq!(splitter.unfinished_from(), Some(16));
    assert!(!splitter.flush_partial(&mut lines));
    splitter.push(b"0mBob\n", 50, &mut lines);
    assert_eq!(splitter.unfinished_from(), None);
    assert_eq!(told(&lines), [(b"name? ".to_vec(), true, 16), (b"Bob".to_vec(), false, 56)]);
}

#[test]
fn half_a_character_and_a_return_wait_for_the_rest() {
    let (mut splitter, mut lines) = (LineSplitter::default(), Lines::default());
    splitter.push(b"5 \xe2\x82", 0, &mut lines);
    assert!(splitter.flush_partial(&mut lines));
    assert_eq!(splitter.unfinished_from(), Some(2));
    splitter.push(b"\xac\r", 100, &mut lines);
    assert!(splitter.flush_partial(&mut lines));
    splitter.push(b"\n", 200, &mut lines);
    let expected = [("5 ", true, 2), ("€", true, 101), ("", false, 201)];
    assert_eq!(
        told(&lines),
        expected.map(|(line, partial, after)| (line.as_bytes().to_vec(), partial, after))
    );
}

/// What long lines must be, one byte after the other.
fn pieces_by_hand(line: &[u8]) -> Vec<usize> {
    let (mut pieces, mut length) = (Vec::new(), 0);
    for byte in line {
        if length + character_bytes(*byte) > bounds::LINE_BYTES {
            pieces.push(std::mem::take(&mut length));
        }
        length += 1;
    }
    pieces.push(length);
    pieces
}

#[test]
fn long_lines_come_in_pieces_that_cut_no_character() {
    let ascii = |length: usize| vec![b'x'; length];
    let euros = |lead: usize, count: usize| [ascii(lead), "€".repeat(count).into_bytes()].concat();
    let max = bounds::LINE_BYTES;
    let long = [
        ascii(max),
        ascii(max + 1),
        ascii(2 * max + 5),
        euros(0, max / 3),
        euros(1, max),
        euros(2, max),
        vec![0xff; 2 * max + 1],
    ];
    for line in long {
        let mut bytes = b"first\n".to_vec();
        bytes.extend_from_slice(&line);
        bytes.extend_from_slice(b"\nlast\n");
        let whole = split_chunks(&[&bytes], 0);
        let lengths: Vec<usize> = whole[1..whole.len() - 1].iter().map(|(piece, ..)| piece.len()).collect();
        assert_eq!(lengths, pieces_by_hand(&line));
        for (index, (piece, partial, _)) in whole[1..whole.len() - 1].iter().enumerate() {
            assert_eq!(*partial, index + 1 < lengths.len());
            assert_eq!(std::str::from_utf8(piece).is_ok(), line[0] != 0xff);
        }
        for size in [65_536, 4093, max, max + 1] {
            let chunks: Vec<&[u8]> = bytes.chunks(size).collect();
            assert_eq!(split_chunks(&chunks, 0), whole);
        }
        for (index, (_, _, after)) in whole.iter().enumerate() {
            assert_eq!(split_chunks(&[&bytes[*after as usize..]], *after), whole[index + 1..]);
        }
    }
}
