//! The lines around those that were found: what the same process printed before and after.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Api;
use crate::bounds;
use crate::model::{Line, Seq};
use crate::store::{LogQuery, Take};

impl Api {
    /// Adds to each line up to `before` lines of the same run in front of it and `after` behind it, each line once and
    /// all in order. A page does not grow beyond [`bounds::QUERY_LINES`]: what is found later gets no context then.
    pub(super) async fn with_context(&self, lines: Vec<Line>, before: usize, after: usize) -> Vec<Line> {
        if before == 0 && after == 0 {
            return lines;
        }
        let store = Arc::clone(&self.parts.store);
        let looking = tokio::task::spawn_blocking(move || {
            let mut all: BTreeMap<Seq, Line> = lines.iter().map(|line| (line.seq, line.clone())).collect();
            for line in &lines {
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
        });
        looking.await.unwrap_or_default()
    }
}
