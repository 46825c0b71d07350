//! The lines around those that were found: what the same process printed before and after.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Api;
use crate::bounds;
use crate::model::{Line, Seq};
use crate::store::{LogQuery, Store, Take};

impl Api {
    /// Adds to each line up to `before` lines of the same run in front of it and `after` behind it, each line once and
    /// all in order. A page does not grow beyond [`bounds::QUERY_LINES`]: what is found later gets no context then.
    pub(super) async fn with_context(&self, lines: Vec<Line>, before: usize, after: usize) -> Vec<Line> {
        if before == 0 && after == 0 {
            return lines;
        }
        let store = Arc::clone(&self.parts.store);
        let looking = tokio::task::spawn_blocking(move || around(&store, &lines, before, after));
        looking.await.unwrap_or_default()
    }
}

fn around(store: &Store, lines: &[Line], before: usize, after: usize) -> Vec<Line> {
    let mut all: BTreeMap<Seq, Line> = lines.iter().map(|line| (line.seq, line.clone())).collect();
    for line in lines {
        if all.len() + before + after > bounds::QUERY_LINES {
            break;
        }
        let around = LogQuery {
            processes: Some(vec![line.process.clone()]),
            run: Some(line.run),
            ..LogQuery::default()
        };
        let earlier = LogQuery { before: Some(line.seq), limit: before, ..around.clone() };
        let later = LogQuery { after: Some(line.seq), limit: after, take: Take::Oldest, ..around };
        for (query, wanted) in [(earlier, before), (later, after)] {
            let found = if wanted > 0 { store.query(&query).lines } else { Vec::new() };
            all.extend(found.into_iter().map(|line| (line.seq, line)));
        }
    }
    all.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ProcessName, RunId, SpoolPosition};
    use crate::store::{Batch, Pattern};

    /// Appends a line of a process's run.
    fn say(store: &Store, process: &str, run: u64, text: &str) {
        let batch = Batch {
            run: RunId(run),
            process: &ProcessName::new(process).unwrap(),
            text: text.as_bytes(),
            ends: &[text.len() as u32],
            levels: &[0],
            streams: &[1],
            flags: &[0],
            times: &[1],
            position: SpoolPosition::default(),
        };
        store.append(&batch).unwrap();
    }

    fn found(store: &Store, pattern: &str, before: usize, after: usize) -> Vec<String> {
        let pattern = Some(Pattern::new(pattern).unwrap());
        let lines = store.query(&LogQuery { pattern, ..LogQuery::default() }).lines;
        around(store, &lines, before, after).into_iter().map(|line| line.text).collect()
    }

    #[test]
    fn what_stands_around_ends_where_the_run_or_the_log_does() {
        let directory = tempfile::tempdir().unwrap();
        let (store, _) = Store::open(directory.path()).unwrap();
        for (process, run, text) in [
            ("api", 1, "a1"),
            ("api", 1, "a2"),
            ("web", 2, "w1"),
            ("api", 1, "a3"),
            ("api", 3, "b1"),
            ("web", 2, "w2"),
            ("api", 3, "b2"),
        ] {
            say(&store, process, run, text);
        }
        assert_eq!(found(&store, "a2", 100, 100), ["a1", "a2", "a3"]);
        assert_eq!(found(&store, "a1", 3, 1), ["a1", "a2"]);
        assert_eq!(found(&store, "b2", 1, 3), ["b1", "b2"]);
        assert_eq!(found(&store, "w", 1, 1), ["w1", "w2"]);
        // Lines around two that were found are given once, and in order.
        assert_eq!(found(&store, "a1|a3", 1, 1), ["a1", "a2", "a3"]);
        assert_eq!(found(&store, "b1", 0, 1), ["b1", "b2"]);
        assert_eq!(found(&store, "nothing", 5, 5), [""; 0]);
        // What was deleted is not there any more.
        let web = ProcessName::new("web").unwrap();
        store.clear(Some(&[web])).unwrap();
        assert_eq!(found(&store, "a3|b1", 1, 1), ["a2", "a3", "b1", "b2"]);
    }
}
