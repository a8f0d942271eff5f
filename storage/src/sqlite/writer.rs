//! The threads that own the connections: one that writes, and two that read beside it.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::{self, JoinHandle};

use rusqlite::{Connection, TransactionBehavior};
use tokio::sync::oneshot;
use vestibule_oauth_core::StoreUnavailable;

use super::{SqliteError, file};

/// Does acts on the database.
///
/// Acts that write are done one by one, in the order they are asked for. Those that wait at the same time share a transaction: what a
/// commit costs is the disk's answer that all of it is there, and it costs that once for all of them. Each is answered only after that, and
/// one that fails takes back its own work and nobody else's. An act that was asked for is done even when nobody waits for its answer any
/// more.
///
/// Acts that read are done by threads of their own, beside the one that writes. They see what was answered before they were asked for.
pub(super) struct Writer {
    path: PathBuf,
    writing: Worker<WriteAct>,
    reading: [Worker<ReadAct>; READERS],
    /// Whose turn it is to read.
    turn: AtomicUsize,
}

/// Each act is as small as an indexed look-up: two keep up with one writer, and the machine has other things to do.
const READERS: usize = 2;

/// Does its work, and says whether it is good, and how to tell whoever asked once it is known whether it lasts.
type WriteAct = Box<dyn FnOnce(&Connection) -> Done + Send>;

type ReadAct = Box<dyn FnOnce(&Connection) + Send>;

struct Done {
    good: bool,
    tell: Box<Tell>,
}

type Tell = dyn FnOnce(Result<(), &str>);

/// The most acts that may wait. At 0.2 ms each, what an act with a commit of its own takes on a good disk, the last of them waits a
/// fifth of a second, and on a bad one some five seconds; who would come after it is better told at once.
pub(super) const QUEUE: usize = 1024;

/// The most acts that share a transaction, if nothing else is said. Beyond it the disk's answer is a small part of what an act costs, and
/// the first would wait for the last.
pub(super) const BATCH: usize = 64;

impl Writer {
    /// Opens the file on threads of its own. At most `batch` acts share a transaction.
    pub(super) async fn start(path: &Path, batch: usize) -> Result<Self, SqliteError> {
        let write = move |connection: &mut Connection, first: WriteAct, queue: &Receiver<WriteAct>| {
            write_together(connection, first, queue, batch);
        };
        let read = |connection: &mut Connection, act: ReadAct, _: &Receiver<ReadAct>| act(connection);
        let writing = Worker::start(path, "vestibule-store", file::open, write).await?;
        let one = Worker::start(path, "vestibule-read-1", file::open_to_read, read).await?;
        let other = Worker::start(path, "vestibule-read-2", file::open_to_read, read).await?;
        Ok(Self { path: path.to_owned(), writing, reading: [one, other], turn: AtomicUsize::new(0) })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Does an act that changes nothing.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        act: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreUnavailable> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let (answer, is_done) = oneshot::channel();
        // Whoever asked may be gone; the act is done all the same.
        let act: ReadAct = Box::new(move |connection| {
            drop(answer.send(act(connection).map_err(|error| error.to_string())));
        });
        for (place, reader) in self.reading.iter().enumerate() {
            if place == turn % READERS {
                self.submit(reader, act)?;
                break;
            }
        }
        self.answer(is_done).await
    }

    /// Does an act all of which happens, or nothing. The lock is taken first (`BEGIN IMMEDIATE`): what the act reads stays
    /// true until it is done, whatever other processes do.
    pub(super) async fn write<T: Send + 'static>(
        &self,
        act: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreUnavailable> {
        let is_done = self.ask(act)?;
        self.answer(is_done).await
    }

    /// Asks for an act that writes, and does not wait.
    pub(super) fn ask<T: Send + 'static>(
        &self,
        act: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<oneshot::Receiver<Result<T, String>>, StoreUnavailable> {
        let (answer, is_done) = oneshot::channel();
        let act: WriteAct = Box::new(move |connection| {
            let outcome = act(connection).map_err(|error| error.to_string());
            let good = outcome.is_ok();
            let tell = Box::new(move |lasts: Result<(), &str>| {
                drop(answer.send(outcome.and_then(|value| lasts.map(|()| value).map_err(str::to_owned))));
            });
            Done { good, tell }
        });
        self.submit(&self.writing, act)?;
        Ok(is_done)
    }

    fn submit<A>(&self, worker: &Worker<A>, act: A) -> Result<(), StoreUnavailable> {
        let acts = worker.acts.as_ref().ok_or_else(|| self.stopped())?;
        acts.try_send(act).map_err(|error| match error {
            TrySendError::Full(_) => self.unavailable("too much is waiting to be written or read"),
            TrySendError::Disconnected(_) => self.stopped(),
        })
    }

    async fn answer<T>(&self, is_done: oneshot::Receiver<Result<T, String>>) -> Result<T, StoreUnavailable> {
        let outcome = is_done.await.map_err(|_| self.stopped())?;
        outcome.map_err(|detail| self.unavailable(&detail))
    }

    fn stopped(&self) -> StoreUnavailable {
        self.unavailable("its thread has stopped")
    }

    fn unavailable(&self, detail: &str) -> StoreUnavailable {
        StoreUnavailable::new(format!("{}: {detail}", self.path.display()))
    }
}

/// Does `first`, and what waits behind it, in one transaction, and tells everybody once it is on the disk.
fn write_together(connection: &mut Connection, first: WriteAct, queue: &Receiver<WriteAct>, batch: usize) {
    let mut done: Vec<Done> = Vec::new();
    let lasts = in_transaction(connection, |transaction| {
        let mut next = Some(first);
        while let Some(act) = next {
            done.push(apart(transaction, act)?);
            next = if done.len() < batch { queue.try_recv().ok() } else { None };
        }
        Ok(())
    });
    // An act that was not begun tells nobody, and its place in the channel is gone: whoever asked sees that.
    let lasts = lasts.map_err(|error| error.to_string());
    for act in done {
        (act.tell)(lasts.as_ref().copied().map_err(String::as_str));
    }
}

fn in_transaction(
    connection: &mut Connection,
    work: impl FnOnce(&Connection) -> rusqlite::Result<()>,
) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    work(&transaction)?;
    transaction.commit()
}

/// Does an act so that it can be taken back without the others.
fn apart(transaction: &Connection, act: WriteAct) -> rusqlite::Result<Done> {
    transaction.prepare_cached("SAVEPOINT act")?.execute([])?;
    let done = act(transaction);
    if !done.good {
        transaction.prepare_cached("ROLLBACK TO act")?.execute([])?;
    }
    transaction.prepare_cached("RELEASE act")?.execute([])?;
    Ok(done)
}

/// A thread with a connection, and what waits for it.
struct Worker<A> {
    acts: Option<SyncSender<A>>,
    thread: Option<JoinHandle<()>>,
}

impl<A: Send + 'static> Worker<A> {
    async fn start(
        path: &Path,
        name: &str,
        open: impl FnOnce(&Path) -> Result<Connection, SqliteError> + Send + 'static,
        work: impl Fn(&mut Connection, A, &Receiver<A>) + Send + 'static,
    ) -> Result<Self, SqliteError> {
        let (acts, queue) = sync_channel::<A>(QUEUE);
        let (opened, is_open) = oneshot::channel();
        let of_thread = path.to_owned();
        let work = move || match open(&of_thread) {
            Ok(mut connection) => {
                if opened.send(Ok(())).is_ok() {
                    while let Ok(act) = queue.recv() {
                        work(&mut connection, act, &queue);
                    }
                }
            }
            // Whoever asked may be gone; then nobody wants to know.
            Err(error) => drop(opened.send(Err(error))),
        };
        let path = path.to_owned();
        let thread = match thread::Builder::new().name(name.to_owned()).spawn(work) {
            Ok(thread) => thread,
            Err(source) => return Err(SqliteError::Thread { path, source }),
        };
        match is_open.await {
            Ok(Ok(())) => Ok(Self { acts: Some(acts), thread: Some(thread) }),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(SqliteError::Open { path, detail: "its thread has stopped".to_owned() }),
        }
    }
}

impl<A> Drop for Worker<A> {
    /// Waits until everything asked for is done and the file is closed.
    fn drop(&mut self) {
        drop(self.acts.take());
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has said so already.
            let _ = thread.join();
        }
    }
}
