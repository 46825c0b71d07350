//! Input on its way to a child: one request after the other, each in pieces no longer than the shim has room for.
//!
//! # Theory of operation
//!
//! Each run has a feeder task. Requests wait for it in a bounded queue and are carried out in their order, so that two
//! senders never mix. The feeder gives a piece to the shim, hears how much of it was taken, and when not all was, waits
//! until the shim says that there is room. A child that reads nothing for [`bounds::INPUT_WAIT`] has its sender told
//! how much was taken; those who wait behind get no more patience than that, counted from when they came.

use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout_at};

use super::handle::SendError;
use super::link::ShimLink;
use crate::bounds;
use crate::shim::control::Request;

/// How often a shim that does not tell of room, because it is an older one, is asked.
const ASK_AGAIN: Duration = Duration::from_millis(200);
/// Time for a shim to say how much it took; it takes microseconds.
const ANSWER_WAIT: Duration = Duration::from_secs(5);

/// Input for a child, and who wants to hear of it.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) bytes: Vec<u8>,
    /// Ends the input afterwards.
    pub(super) eof: bool,
    pub(super) reply: oneshot::Sender<Result<usize, SendError>>,
}

/// What the shim says of input.
#[derive(Debug, Clone, Copy)]
pub(super) enum Answer {
    Taken { accepted: usize, open: bool },
    Room,
}

/// Where the shim's answers come out; the link puts them in.
#[derive(Debug)]
pub(super) struct Answers(mpsc::UnboundedReceiver<Answer>);

/// Returns the two ends of a way for answers.
pub(super) fn answers() -> (mpsc::UnboundedSender<Answer>, Answers) {
    let (sender, receiver) = mpsc::unbounded_channel();
    (sender, Answers(receiver))
}

/// Hands input to the feeder of one run, which ends when this is dropped and what waits is done.
#[derive(Debug)]
pub(super) struct Feeder(mpsc::Sender<(Instant, Job)>);

impl Feeder {
    /// Spawns the feeder of a run. Must be called within the runtime.
    pub(super) fn spawn(link: ShimLink, answers: Answers) -> Self {
        Self::with_wait(link, answers, bounds::INPUT_WAIT)
    }

    /// Spawns one that waits for `wait` instead of [`bounds::INPUT_WAIT`].
    fn with_wait(link: ShimLink, answers: Answers, wait: Duration) -> Self {
        let (jobs, queue) = mpsc::channel(bounds::INPUT_QUEUE);
        tokio::spawn(feed(link, answers, queue, wait));
        Self(jobs)
    }

    /// Puts a job behind those that wait, or answers it when too many do.
    pub(super) fn feed(&self, job: Job) {
        match self.0.try_send((Instant::now(), job)) {
            Ok(()) => {}
            Err(mpsc::error::TrySendError::Full((_, job))) => {
                let _ = job.reply.send(Err(SendError::QueueFull { waiting: bounds::INPUT_QUEUE }));
            }
            Err(mpsc::error::TrySendError::Closed((_, job))) => {
                let _ = job.reply.send(Err(SendError::ShimGone));
            }
        }
    }
}

async fn feed(
    link: ShimLink,
    mut answers: Answers,
    mut queue: mpsc::Receiver<(Instant, Job)>,
    wait: Duration,
) {
    // When the child last read something, as far as is known.
    let mut progress = Instant::now();
    while let Some((came, job)) = queue.recv().await {
        let patience = Patience { begun: Instant::now(), waits_since: came.max(progress), wait };
        let result = give(&link, &mut answers, &job, patience, &mut progress).await;
        let _ = job.reply.send(result);
    }
}

/// Until when a job waits.
#[derive(Debug, Clone, Copy)]
struct Patience {
    begun: Instant,
    /// When the child last read something, or the job came.
    waits_since: Instant,
    wait: Duration,
}

impl Patience {
    fn until(self) -> Instant {
        (self.waits_since + self.wait).min(self.begun + bounds::INPUT_WAIT_LONGEST)
    }
}

/// Gives one job to the shim.
async fn give(
    link: &ShimLink,
    answers: &mut Answers,
    job: &Job,
    mut patience: Patience,
    progress: &mut Instant,
) -> Result<usize, SendError> {
    let given = job.bytes.len();
    let mut taken = 0;
    loop {
        let piece = &job.bytes[taken..given.min(taken + bounds::STDIN_PENDING_BYTES)];
        // Asked with nothing too: whether the input is open at all.
        let (accepted, open) = offer(link, answers, piece).await?;
        taken += accepted.min(piece.len());
        if !open {
            return Err(SendError::Closed);
        }
        if accepted > 0 {
            *progress = Instant::now();
            patience.waits_since = *progress;
        }
        if taken == given {
            break;
        }
        if accepted < piece.len() && !answers.room(patience.until()).await {
            return Err(SendError::Full { accepted: taken, given });
        }
    }
    if job.eof {
        link.send(Request::CloseStdin).map_err(|_| SendError::ShimGone)?;
    }
    Ok(taken)
}

/// Offers a piece and returns how much of it was taken, and whether the input is open.
async fn offer(link: &ShimLink, answers: &mut Answers, piece: &[u8]) -> Result<(usize, bool), SendError> {
    link.send(Request::Stdin { bytes: piece.to_vec() }).map_err(|_| SendError::ShimGone)?;
    let until = Instant::now() + ANSWER_WAIT;
    loop {
        match timeout_at(until, answers.0.recv()).await {
            Ok(Some(Answer::Taken { accepted, open })) => return Ok((accepted, open)),
            // Of an earlier piece.
            Ok(Some(Answer::Room)) => {}
            Ok(None) | Err(_) => return Err(SendError::ShimGone),
        }
    }
}

impl Answers {
    /// Returns true once it is worth asking again, and false when that is not before `until`.
    async fn room(&mut self, until: Instant) -> bool {
        if Instant::now() >= until {
            return false;
        }
        let again = until.min(Instant::now() + ASK_AGAIN);
        // A shim that is gone is noticed by the next offer.
        let _ = timeout_at(again, self.0.recv()).await;
        true
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;
    use crate::model::RunId;
    use crate::shim::control::Report;
    use crate::supervisor::link::Upward;

    /// A shim whose child reads `reads` bytes each time it is told that there is no room, and never more than `total`.
    async fn shim(socket: UnixStream, room: usize, reads: usize, total: usize) -> (Vec<u8>, bool) {
        socket.set_nonblocking(true).unwrap();
        let mut socket = tokio::net::UnixStream::from_std(socket).unwrap();
        let (mut unread, mut taken, mut read, mut closed) = (Vec::new(), Vec::new(), 0, false);
        loop {
            while let Some((request, length)) = Request::decode(&unread).unwrap() {
                unread.drain(..length);
                let mut out = Vec::new();
                match request {
                    Request::Stdin { bytes } => {
                        let accepted = bytes.len().min(room - (taken.len() - read));
                        taken.extend_from_slice(&bytes[..accepted]);
                        let refused = accepted < bytes.len();
                        let accepted = u32::try_from(accepted).unwrap();
                        Report::StdinTaken { accepted, open: !closed }.encode(&mut out);
                        let now = reads.min(taken.len() - read).min(total - read);
                        read += now;
                        if refused && now > 0 {
                            Report::StdinRoom.encode(&mut out);
                        }
                    }
                    Request::CloseStdin => closed = true,
                    other => panic!("{other:?}"),
                }
                socket.write_all(&out).await.unwrap();
            }
            if socket.read_buf(&mut unread).await.unwrap() == 0 {
                return (taken, closed);
            }
        }
    }

    /// Long enough for the shim of a test to answer, short enough to be waited for.
    const WAIT: Duration = Duration::from_secs(1);

    fn feeder() -> (Feeder, UnixStream) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let (sender, answers) = answers();
        let link = ShimLink::attach(RunId(1), ours, move |upward| match upward {
            Upward::Report(Report::StdinTaken { accepted, open }) => {
                let _ = sender.send(Answer::Taken { accepted: accepted as usize, open });
            }
            Upward::Report(Report::StdinRoom) => drop(sender.send(Answer::Room)),
            _ => {}
        });
        (Feeder::with_wait(link.unwrap(), answers, WAIT), theirs)
    }

    fn send(feeder: &Feeder, bytes: &[u8], eof: bool) -> oneshot::Receiver<Result<usize, SendError>> {
        let (reply, answer) = oneshot::channel();
        feeder.feed(Job { bytes: bytes.to_vec(), eof, reply });
        answer
    }

    fn run<T>(future: impl Future<Output = T>) -> T {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        runtime.enable_all().build().unwrap().block_on(future)
    }

    #[test]
    fn senders_are_served_whole_and_in_order() {
        run(async {
            let (feeder, socket) = feeder();
            let shim = tokio::spawn(shim(socket, 1000, 300, usize::MAX));
            let texts = [vec![b'a'; 200_000], vec![b'b'; 10], vec![b'c'; 100_000]];
            let answers: Vec<_> = texts.iter().map(|text| send(&feeder, text, false)).collect();
            let last = send(&feeder, b"", true);
            for (answer, text) in answers.into_iter().zip(&texts) {
                assert_eq!(answer.await.unwrap(), Ok(text.len()));
            }
            assert_eq!(last.await.unwrap(), Ok(0));
            assert_eq!(send(&feeder, b"more", false).await.unwrap(), Err(SendError::Closed));
            drop(feeder);
            let (taken, closed) = shim.await.unwrap();
            assert!(closed);
            // What the shim of this test took while it was closed is not the feeder's mistake.
            assert_eq!(taken[..300_010], texts.concat());
        });
    }

    #[test]
    fn a_child_that_stops_reading_costs_its_senders_a_bounded_time() {
        run(async {
            let (feeder, socket) = feeder();
            let shim = tokio::spawn(shim(socket, 1000, 100, 5000));
            let begun = Instant::now();
            let first = send(&feeder, &[b'x'; 50_000], true);
            let second = send(&feeder, b"second", false);
            assert_eq!(first.await.unwrap(), Err(SendError::Full { accepted: 6000, given: 50_000 }));
            assert!(begun.elapsed() >= WAIT, "{:?}", begun.elapsed());
            // It came when the first one did, and the child has read nothing for as long already.
            let failed = Instant::now();
            assert_eq!(second.await.unwrap(), Err(SendError::Full { accepted: 0, given: 6 }));
            assert!(failed.elapsed() < WAIT, "{:?}", failed.elapsed());
            drop(feeder);
            assert!(!shim.await.unwrap().1, "the end of input was said though text was missing");
        });
    }

    #[test]
    fn too_many_senders_are_turned_away() {
        run(async {
            let (feeder, _socket) = feeder();
            let answers: Vec<_> = (0..=bounds::INPUT_QUEUE).map(|_| send(&feeder, b"x", false)).collect();
            let refused = answers.into_iter().next_back().unwrap().await.unwrap();
            assert_eq!(refused, Err(SendError::QueueFull { waiting: bounds::INPUT_QUEUE }));
        });
    }
}
