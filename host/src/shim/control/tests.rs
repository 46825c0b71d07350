//! Tests of the control frames.

use proptest::prelude::*;

use super::*;

fn sizes() -> impl Strategy<Value = TerminalSize> {
    (1u16.., 1u16..).prop_map(|(rows, cols)| TerminalSize::new(rows, cols).unwrap())
}

fn requests() -> impl Strategy<Value = Request> {
    prop_oneof![
        (any::<i32>(), 0u8..3)
            .prop_map(|(signal, scope)| Request::Signal { signal, scope: scope_from_u8(scope).unwrap() }),
        proptest::collection::vec(any::<u8>(), 0..300).prop_map(|bytes| Request::Stdin { bytes }),
        Just(Request::CloseStdin),
        any::<u64>().prop_map(|seen| Request::Arm { seen }),
        Just(Request::Ping),
        sizes().prop_map(|size| Request::Resize { size }),
        any::<bool>().prop_map(|on| Request::Tail { on }),
    ]
}

fn reports() -> impl Strategy<Value = Report> {
    let number = || proptest::option::of(0i32..256);
    prop_oneof![
        any::<(u32, u64)>().prop_map(|(pid, start_ticks)| Report::Started { pid, start_ticks }),
        (1u8..9, any::<i32>()).prop_map(|(what, errno)| Report::SpawnFailed(SpawnFailure {
            what: SpawnFault::from_u8(what),
            errno
        })),
        any::<(u32, bool)>().prop_map(|(accepted, open)| Report::StdinTaken { accepted, open }),
        any::<u64>().prop_map(|end| Report::Doorbell { end }),
        (number(), number(), any::<i64>()).prop_map(|(code, signal, time)| Report::Exited {
            exit: Exit { code, signal },
            time: Time(time)
        }),
        any::<(u64, u64)>().prop_map(|(oom_kills, refused_forks)| Report::LimitHits(LimitHits {
            oom_kills,
            memory_limit: oom_kills.checked_sub(1),
            refused_forks,
            pids_limit: refused_forks.checked_sub(1),
        })),
        any::<u32>().prop_map(|leftovers| Report::Gone { leftovers }),
        any::<(u64, u32, u64, u64)>().prop_map(|(end, leftovers, lost_bytes, lost_lines)| Report::Done {
            end,
            leftovers,
            lost_bytes,
            lost_lines
        }),
        any::<(u32, i32)>().prop_map(|(reached, errno)| Report::Signalled { reached, errno }),
        Just(Report::Pong),
        sizes().prop_map(|size| Report::Terminal { size }),
        any::<(bool, u64)>().prop_map(|(on, end)| Report::Tailing { on, end }),
        (0u8..3, proptest::collection::vec(any::<u8>(), 0..200))
            .prop_map(|(stream, bytes)| Report::Output { stream: Stream::from_u8(stream).unwrap(), bytes }),
        any::<u64>().prop_map(|bytes| Report::OutputGap { bytes }),
        Just(Report::StdinRoom),
        notified().prop_map(Report::Notified),
        any::<bool>().prop_map(|application| Report::CursorKeys { application }),
    ]
}

fn notified() -> impl Strategy<Value = Notified> {
    let most = u64::try_from(bounds::NOTIFY_EXTEND.as_millis()).unwrap();
    (any::<[bool; 4]>(), proptest::option::of(any::<u32>()), 0..most, "[a-zA-Z ü]{0,60}").prop_map(
        |([ready, reloading, stopping, triggered], age, extended, status)| Notified {
            ready,
            reloading,
            stopping,
            triggered,
            watchdog_age: age.map(|age| Duration::from_millis(age.into())),
            extended: Duration::from_millis(extended),
            status,
        },
    )
}

proptest! {
    #[test]
    fn requests_come_back_as_they_went(requests in proptest::collection::vec(requests(), 0..5)) {
        let mut bytes = Vec::new();
        requests.iter().for_each(|request| request.encode(&mut bytes));
        let (mut at, mut back) = (0, Vec::new());
        while let Some((request, length)) = Request::decode(&bytes[at..]).unwrap() {
            back.push(request);
            at += length;
        }
        prop_assert_eq!(back, requests);
        prop_assert_eq!(at, bytes.len());
    }

    #[test]
    fn reports_come_back_as_they_went(report in reports()) {
        let mut bytes = Vec::new();
        report.encode(&mut bytes);
        let length = bytes.len();
        prop_assert_eq!(Report::decode(&bytes), Ok(Some((report, length))));
        for cut in 0..length {
            prop_assert_eq!(Report::decode(&bytes[..cut]), Ok(None));
        }
    }

    #[test]
    fn fields_of_later_versions_are_ignored(report in reports(), extra in 1u8..9) {
        let mut bytes = Vec::new();
        report.encode(&mut bytes);
        bytes[0] += extra;
        bytes.extend(std::iter::repeat_n(7, usize::from(extra)));
        let length = bytes.len();
        prop_assert_eq!(Report::decode(&bytes), Ok(Some((report, length))));
    }

    #[test]
    fn foreign_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
        let _ = Request::decode(&bytes);
        let _ = Report::decode(&bytes);
    }
}

#[test]
fn a_frame_that_lies_about_its_length_is_refused() {
    assert_eq!(Request::decode(&u32::MAX.to_le_bytes()), Err(FrameError::TooLong { length: u32::MAX }));
    assert_eq!(Request::decode(&[0; 4]), Err(FrameError::Empty));
    assert_eq!(Request::decode(&[2, 0, 0, 0, tag::ARM, 0]), Err(FrameError::Malformed { tag: tag::ARM }));
    assert_eq!(Request::decode(&[2, 0, 0, 0, 200, 9]), Ok(Some((Request::Unknown { tag: 200 }, 6))));
}

#[test]
fn a_terminal_without_a_side_is_refused() {
    let frame = [5, 0, 0, 0, tag::RESIZE, 24, 0, 0, 0];
    assert_eq!(Request::decode(&frame), Err(FrameError::Malformed { tag: tag::RESIZE }));
}

#[test]
fn the_longest_output_fits_into_a_frame() {
    let mut bytes = Vec::new();
    Report::Output { stream: Stream::Stdout, bytes: vec![b'x'; bounds::SPOOL_FRAME_BYTES] }
        .encode(&mut bytes);
    assert!(Report::decode(&bytes).unwrap().is_some());
}

#[test]
fn the_longest_input_fits_into_a_frame() {
    let mut bytes = Vec::new();
    Request::Stdin { bytes: vec![b'x'; bounds::STDIN_PENDING_BYTES] }.encode(&mut bytes);
    assert!(Request::decode(&bytes).unwrap().is_some());
}

#[test]
fn failures_name_the_program_or_the_directory() {
    let describe = |what, errno| SpawnFailure { what, errno }.describe("djang", "/srv/shop");
    assert_eq!(
        describe(SpawnFault::ProgramNotFound, libc::ENOENT),
        "program `djang` is not in PATH: install it, or give its path"
    );
    assert_eq!(
        describe(SpawnFault::BadCwd, libc::ENOENT),
        "working directory `/srv/shop` cannot be entered: No such file or directory (os error 2)"
    );
}
