//! What becomes of events: counted once, written together, found again as what they are.

use tempfile::TempDir;

use super::*;
use crate::model::{ProcessName, RunId, Seq, Time};
use crate::store::{ErrorGroup, ErrorHit, ErrorQuery, ErrorRemark, ErrorState, ErrorsSince, NewRun};

const HOUR: i64 = 3_600_000_000_000;

struct Project {
    _dir: TempDir,
    catalogue: Arc<Catalogue>,
    groups: Groups,
}

impl Project {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let catalogue = Arc::new(Catalogue::open(&dir.path().join("catalogue.sqlite")).unwrap());
        let groups = Groups::start(Arc::clone(&catalogue), Path::new("/srv/shop")).unwrap();
        Self { _dir: dir, catalogue, groups }
    }

    fn take(&self, event: &Event) {
        self.groups.take(event);
    }

    fn hits(&self, query: &ErrorQuery) -> Vec<ErrorHit> {
        self.groups.flush().unwrap();
        self.catalogue.errors(query).unwrap()
    }

    fn all(&self) -> Vec<ErrorGroup> {
        self.hits(&ErrorQuery::default()).into_iter().map(|hit| hit.group).collect()
    }

    /// Asks since when and returns (count, at least, new) of the one kind there is.
    fn since(&self, since: ErrorsSince) -> Option<(u64, bool, bool)> {
        let hits = self.hits(&ErrorQuery { since, ..ErrorQuery::default() });
        assert!(hits.len() <= 1, "{hits:?}");
        hits.first().map(|hit| (hit.since, hit.at_least, hit.is_new))
    }

    fn mark(&self, id: &str, state: ErrorState, at: i64, newest: u64) -> ErrorGroup {
        self.groups.flush().unwrap();
        let said = ErrorRemark { at: Time(at), by: "claude", note: Some("mended") };
        self.catalogue.set_error_state(id, state, said, Seq(newest)).unwrap().unwrap()
    }

    fn begin_run(&self) -> RunId {
        self.catalogue
            .begin_run(NewRun {
                process: &ProcessName::new("api").unwrap(),
                command: &[],
                cwd: Path::new("/"),
                reason: "cli",
                started_at: Time(1),
                boot: None,
            })
            .unwrap()
    }
}

fn event(process: &str, run: u64, seq: u64, time: i64, text: &str) -> Event {
    Event {
        run: RunId(run),
        process: ProcessName::parse(process).unwrap(),
        stream: Stream::Stderr,
        first: Seq(seq),
        last: Seq(seq),
        time: Time(time),
        level: Level::Error,
        lines: 1,
        text: text.to_owned(),
        fields: Vec::new(),
    }
}

#[test]
fn events_of_one_kind_are_counted_together_over_runs_and_replicas() {
    let project = Project::new();
    project.take(&event("api", 1, 5, 100, "ValueError: cart 12 is gone"));
    project.take(&event("api#2", 2, 9, 200, "ValueError: cart 13 is gone"));
    project.take(&event("web", 3, 11, 300, "ValueError: cart 14 is gone"));
    project.take(&event("api", 2, 12, 400, "KeyError: cart 15 is gone"));
    let groups = project.all();
    let told: Vec<_> =
        groups.iter().map(|group| (group.process.as_str(), group.kind.as_str(), group.count)).collect();
    assert_eq!(told, [("api", "KeyError", 1), ("web", "ValueError", 1), ("api", "ValueError", 2)]);
    let api = &groups[2];
    assert_eq!(
        (api.first.seq, api.last.seq, api.first.run, api.last.run),
        (Seq(5), Seq(9), RunId(1), RunId(2))
    );
    assert_eq!((api.sample.as_str(), api.state), ("ValueError: cart 12 is gone", ErrorState::Open));
    assert_eq!(project.catalogue.error_runs(&api.fingerprint).unwrap(), 2);
}

#[test]
fn what_is_written_in_two_goes_adds_up() {
    let project = Project::new();
    for (seq, text) in [(1, "E12: lost"), (2, "E12: lost"), (3, "E12: lost")] {
        project.take(&event("api", 1, seq, 100, text));
        project.groups.flush().unwrap();
    }
    let groups = project.all();
    assert_eq!(
        (groups.len(), groups[0].count, groups[0].first.seq, groups[0].last.seq),
        (1, 3, Seq(1), Seq(3))
    );
}

#[test]
fn chatter_and_remarks_of_ostler_are_no_errors() {
    let project = Project::new();
    project.take(&Event { level: Level::Info, ..event("api", 1, 1, 1, "fine") });
    project.take(&Event { stream: Stream::Ostler, ..event("api", 1, 2, 1, "exit code 1") });
    project.take(&Event { level: Level::Warn, ..event("api", 1, 3, 1, "low disk") });
    assert_eq!(project.all().len(), 1);
    assert!(project.hits(&ErrorQuery { min_level: Level::Error, ..ErrorQuery::default() }).is_empty());
}

#[test]
fn a_flood_is_one_kind_written_in_few_goes_and_counted_to_the_last() {
    const EVENTS: u64 = 30_000;
    let project = Project::new();
    for seq in 1..=EVENTS {
        project.take(&event("api", 1, seq, 100, &format!("worker lost job {seq} of queue 7")));
    }
    let groups = project.all();
    assert_eq!((groups.len(), groups[0].count, groups[0].last.seq), (1, EVENTS, Seq(EVENTS)));
    let events = project.catalogue.error_events(&ErrorQuery::default(), usize::MAX).unwrap();
    assert_eq!(events.len(), bounds::ERROR_EVENTS);
    assert_eq!(events[0].0.first, Seq(EVENTS), "the newest ones are kept");
}

#[test]
fn nothing_has_to_be_asked_for_it_to_be_written() {
    let project = Project::new();
    project.take(&event("api", 1, 1, 100, "boom"));
    let deadline = Instant::now() + Duration::from_secs(60);
    while project.catalogue.errors(&ErrorQuery::default()).unwrap().is_empty() {
        assert!(Instant::now() < deadline, "never written");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn the_end_writes_what_is_left() {
    let Project { _dir, catalogue, groups } = Project::new();
    groups.take(&event("api", 1, 1, 100, "boom"));
    drop(groups);
    assert_eq!(catalogue.errors(&ErrorQuery::default()).unwrap().len(), 1);
}

#[test]
fn a_resolved_error_that_comes_again_has_regressed() {
    let project = Project::new();
    let run = project.begin_run();
    project.take(&event("api", run.0, 10, 100, "boom"));
    let id = project.all()[0].fingerprint.clone();
    let resolved = project.mark(&id, ErrorState::Resolved, 200, 20);
    assert_eq!(
        (resolved.state, resolved.note.as_deref(), resolved.changed_by.as_deref()),
        (ErrorState::Resolved, Some("mended"), Some("claude"))
    );

    // Written before, and taken in after.
    project.take(&event("api", run.0, 21, 150, "boom"));
    assert_eq!(project.all()[0].state, ErrorState::Resolved);
    // A line written after it.
    project.take(&event("api", run.0, 22, 250, "boom"));
    let regressed = &project.all()[0];
    assert_eq!(
        (regressed.state, regressed.count, regressed.changed_at),
        (ErrorState::Regressed, 3, Some(Time(250)))
    );
    assert_eq!(regressed.note.as_deref(), Some("mended"), "what was said of it stays");

    // Resolved again, and seen in a run that began after that, by a clock that was set back.
    project.mark(&id, ErrorState::Resolved, 300, 30);
    project.take(&event("api", project.begin_run().0, 31, 100, "boom"));
    assert_eq!(project.all()[0].state, ErrorState::Regressed);
    assert_eq!(project.mark(&id, ErrorState::Open, 400, 40).state, ErrorState::Open);
}

#[test]
fn errors_are_counted_since_a_line_a_time_or_a_run() {
    let project = Project::new();
    assert_eq!(project.since(ErrorsSince::Line(Seq(0))), None);
    // Three hours with 30 each, a run each.
    for hour in 0..3 {
        for number in 1..=30 {
            let seq = hour * 100 + number;
            let time = hour as i64 * HOUR + number as i64;
            project.take(&event("api", hour + 1, seq, time, "boom"));
        }
    }
    assert_eq!(project.since(ErrorsSince::Ever), Some((90, false, false)));
    assert_eq!(project.since(ErrorsSince::Line(Seq(0))), Some((90, false, true)));
    assert_eq!(project.since(ErrorsSince::Line(Seq(230))), None);
    assert_eq!(project.since(ErrorsSince::Time(Time(i64::MAX))), None);
    assert_eq!(project.since(ErrorsSince::Line(Seq(225))), Some((5, false, false)));
    assert_eq!(project.since(ErrorsSince::Time(Time(2 * HOUR + 26))), Some((5, false, false)));
    // The last hour as a whole, and of the one before at least that.
    assert_eq!(project.since(ErrorsSince::Line(Seq(115))), Some((30, true, false)));
    assert_eq!(project.since(ErrorsSince::Line(Seq(205))), Some((20, true, false)));
    assert_eq!(project.since(ErrorsSince::Run(RunId(2))), Some((60, false, false)));
    assert_eq!(project.since(ErrorsSince::Run(RunId(4))), None);
    assert_eq!(project.since(ErrorsSince::Runs(vec![RunId(1)])), Some((30, false, true)));
    assert_eq!(project.since(ErrorsSince::Runs(Vec::new())), None);
    let id = &project.all()[0].fingerprint;
    assert_eq!(project.catalogue.error_trend(id, Time(3 * HOUR), 4).unwrap(), [30, 30, 30, 0]);
}

#[test]
fn too_many_kinds_push_out_the_oldest_resolved_ones_first() {
    let project = Project::new();
    let word = |number: usize| {
        let letter = |place: u32| char::from(b'a' + u8::try_from(number / 26_usize.pow(place) % 26).unwrap());
        format!("lost {}{}{}", letter(2), letter(1), letter(0))
    };
    for number in 0..bounds::ERROR_GROUPS {
        project.take(&event("api", 1, 1 + number as u64, 100, &word(number)));
    }
    let groups = project.all();
    assert_eq!(groups.len(), bounds::ERROR_GROUPS);
    // One in the middle is resolved: it goes before the oldest, which is open.
    let resolved = groups[500].fingerprint.clone();
    let oldest = groups[bounds::ERROR_GROUPS - 1].fingerprint.clone();
    project.mark(&resolved, ErrorState::Resolved, 200, 5000);
    project.take(&event("api", 1, 6000, 300, "another"));
    let ids = |groups: Vec<ErrorGroup>| groups.into_iter().map(|group| group.fingerprint).collect::<Vec<_>>();
    let left = ids(project.all());
    assert_eq!(left.len(), bounds::ERROR_GROUPS);
    assert!(!left.contains(&resolved) && left.contains(&oldest));
    assert!(project.catalogue.errors_named(&resolved).unwrap().is_empty());
    project.take(&event("api", 1, 6001, 300, "yet another"));
    assert!(!ids(project.all()).contains(&oldest));
}

#[test]
fn a_crash_loop_leaves_a_bounded_number_of_runs() {
    let project = Project::new();
    for run in 1..=500 {
        project.take(&event("api", run, run, 100, "boom"));
        if run % 97 == 0 {
            project.groups.flush().unwrap();
        }
    }
    let group = &project.all()[0];
    assert_eq!(group.count, 500);
    assert_eq!(project.catalogue.error_runs(&group.fingerprint).unwrap(), bounds::ERROR_RUNS as u64);
}

#[test]
fn what_cannot_be_written_is_kept() {
    let project = Project::new();
    project.take(&event("api", 1, 1, 100, "boom"));
    let shared = &project.groups.handle.shared;
    let tallies = std::mem::take(&mut lock(&shared.gathered).tallies);
    project.take(&event("api", 1, 2, 200, "boom"));
    let tallies = tallies.into_iter().map(|(fingerprint, tally)| (fingerprint.to_string(), tally)).collect();
    lock(&shared.gathered).put_back(tallies);
    let groups = project.all();
    assert_eq!(
        (groups.len(), groups[0].count, groups[0].first.seq, groups[0].last.seq),
        (1, 2, Seq(1), Seq(2))
    );
}

#[test]
fn a_long_text_keeps_its_beginning_and_its_end() {
    let text = format!("Traceback (most recent call last):\n{}ValueError: ä", "  line ä\n".repeat(10_000));
    let kept = sample(&text);
    assert!(kept.len() <= bounds::ERROR_SAMPLE_BYTES + 40, "{}", kept.len());
    assert!(
        kept.starts_with("Traceback") && kept.ends_with("ValueError: ä") && kept.contains("bytes left out")
    );
    assert!(sample(&"ä".repeat(100_000)).len() <= bounds::ERROR_SAMPLE_BYTES + 40);
}
