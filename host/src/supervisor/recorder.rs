//! Writes down what was added, so that the next daemon has it too.
//!
//! One task owns the writing, so that what was said last is what stands there in the end. Where the catalogue cannot
//! be written (a full disk), the change holds all the same: it is what the user asked for, and taking something away
//! may be what makes room. What could not be written is written once it can be, without anybody asking again; until
//! then [`Recorder::trouble`] says what would be lost.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tracing::{info, warn};

use super::driver::RECORD_AGAIN;
use crate::store::{Addition, Catalogue};

/// The way to the task; it ends with this.
pub(super) struct Recorder {
    orders: mpsc::Sender<Order>,
    trouble: Trouble,
}

/// What is to stand in the catalogue, and who waits for it.
struct Order {
    rows: Vec<Addition>,
    tried: oneshot::Sender<()>,
}

type Trouble = Arc<Mutex<Option<String>>>;

impl Recorder {
    /// Spawns the task, which makes the catalogue say `rows`. Must be called within the runtime.
    pub(super) fn spawn(catalogue: Arc<Catalogue>, rows: Vec<Addition>) -> Self {
        let (orders, received) = mpsc::channel(1);
        let trouble = Trouble::default();
        let task = Task { catalogue, rows: rows.into(), trouble: Arc::clone(&trouble) };
        tokio::spawn(task.run(received));
        Self { orders, trouble }
    }

    /// Makes the catalogue say `rows`, and returns once it does or could not be made to for now.
    pub(super) async fn record(&self, rows: Vec<Addition>) {
        let (tried, done) = oneshot::channel();
        // Nobody takes orders any more when the daemon ends.
        if self.orders.send(Order { rows, tried }).await.is_ok() {
            let _ = done.await;
        }
    }

    /// Says why the catalogue does not say what was recorded last, if it does not.
    pub(super) fn trouble(&self) -> Option<String> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

struct Task {
    catalogue: Arc<Catalogue>,
    /// What is to stand in the catalogue.
    rows: Arc<[Addition]>,
    trouble: Trouble,
}

impl Task {
    async fn run(mut self, mut orders: mpsc::Receiver<Order>) {
        let mut is_written = self.write().await;
        loop {
            let order = if is_written {
                orders.recv().await
            } else {
                match timeout(RECORD_AGAIN, orders.recv()).await {
                    Ok(order) => order,
                    Err(_) => {
                        is_written = self.write().await;
                        continue;
                    }
                }
            };
            let Some(Order { rows, tried }) = order else { return };
            self.rows = rows.into();
            is_written = self.write().await;
            let _ = tried.send(());
        }
    }

    /// Writes what is to stand there, and returns whether it does.
    async fn write(&self) -> bool {
        let (catalogue, rows) = (Arc::clone(&self.catalogue), Arc::clone(&self.rows));
        let written = tokio::task::spawn_blocking(move || catalogue.record_additions(&rows)).await;
        let problem = match written {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error.to_string()),
            Err(panic) => Some(panic.to_string()),
        };
        let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        match (&problem, trouble.is_some()) {
            (Some(problem), false) => warn!(problem, "what was added cannot be written down yet"),
            (None, true) => info!("what was added is written down"),
            _ => {}
        }
        let is_written = problem.is_none();
        *trouble = problem;
        is_written
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    fn addition(name: &str) -> Addition {
        Addition { kind: "process".to_owned(), name: name.to_owned(), text: String::new() }
    }

    #[tokio::test]
    async fn what_could_not_be_written_is_told_and_written_as_soon_as_it_can_be() {
        let directory = tempfile::tempdir().unwrap();
        let catalogue = Arc::new(Catalogue::open(&directory.path().join("catalogue.sqlite")).unwrap());
        let recorder = Recorder::spawn(Arc::clone(&catalogue), vec![addition("first")]);
        let [two, three] = [["first", "second"].as_slice(), &["first", "second", "third"]]
            .map(|names| names.iter().map(|name| addition(name)).collect::<Vec<_>>());
        recorder.record(two.clone()).await;
        assert_eq!(recorder.trouble(), None);
        assert_eq!(catalogue.additions().unwrap(), two);

        catalogue.refuse_additions(true);
        recorder.record(three.clone()).await;
        let trouble = recorder.trouble().unwrap();
        assert!(trouble.contains("refused by a test"), "{trouble}");
        assert_eq!(catalogue.additions().unwrap(), two);

        catalogue.refuse_additions(false);
        let deadline = Instant::now() + Duration::from_secs(60);
        while recorder.trouble().is_some() {
            assert!(Instant::now() < deadline, "it is not tried again");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(catalogue.additions().unwrap(), three);
    }
}
