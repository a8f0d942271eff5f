//! The thread that owns the connection.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::thread::{self, JoinHandle};

use rusqlite::{Connection, TransactionBehavior};
use tokio::sync::oneshot;
use vestibule_oauth_core::StoreUnavailable;

use super::{SqliteError, file};

/// Does acts on the database one by one, in the order they are asked for.
///
/// An act that was asked for is done even when nobody waits for its answer any more. Acts that write are functions of a
/// transaction which they do not commit, so that several could share one.
pub(super) struct Writer {
    path: PathBuf,
    acts: Option<SyncSender<Act>>,
    thread: Option<JoinHandle<()>>,
}

type Act = Box<dyn FnOnce(&mut Connection) + Send>;

/// The most acts that may wait. At 0.2 ms each, what an act with a commit takes on a good disk, the last of them waits a
/// fifth of a second, and on a bad one some five seconds; who would come after it is better told at once.
pub(super) const QUEUE: usize = 1024;

impl Writer {
    /// Opens the file on a thread of its own.
    pub(super) async fn start(path: &Path) -> Result<Self, SqliteError> {
        let (acts, queue) = sync_channel::<Act>(QUEUE);
        let (opened, is_open) = oneshot::channel();
        let of_thread = path.to_owned();
        let work = move || match file::open(&of_thread) {
            Ok(mut connection) => {
                if opened.send(Ok(())).is_ok() {
                    queue.into_iter().for_each(|act| act(&mut connection));
                }
            }
            // Whoever asked may be gone; then nobody wants to know.
            Err(error) => drop(opened.send(Err(error))),
        };
        let path = path.to_owned();
        let thread = match thread::Builder::new().name("vestibule-store".to_owned()).spawn(work) {
            Ok(thread) => thread,
            Err(source) => return Err(SqliteError::Thread { path, source }),
        };
        match is_open.await {
            Ok(Ok(())) => Ok(Self { path, acts: Some(acts), thread: Some(thread) }),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(SqliteError::Open { path, detail: "its thread has stopped".to_owned() }),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Does an act that changes nothing.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        act: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreUnavailable> {
        self.answer(self.submit(move |connection| act(connection))?).await
    }

    /// Does an act all of which happens, or nothing. The lock is taken first (`BEGIN IMMEDIATE`): what the act reads stays
    /// true until it is done, whatever other processes do.
    pub(super) async fn write<T: Send + 'static>(
        &self,
        act: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreUnavailable> {
        let whole = move |connection: &mut Connection| {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let outcome = act(&transaction)?;
            transaction.commit()?;
            Ok(outcome)
        };
        self.answer(self.submit(whole)?).await
    }

    /// Puts an act into the queue.
    pub(super) fn submit<T: Send + 'static>(
        &self,
        act: impl FnOnce(&mut Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<oneshot::Receiver<rusqlite::Result<T>>, StoreUnavailable> {
        let (answer, is_done) = oneshot::channel();
        // Whoever asked may be gone; the act is done all the same.
        let act: Act = Box::new(move |connection| drop(answer.send(act(connection))));
        let acts = self.acts.as_ref().ok_or_else(|| self.stopped())?;
        match acts.try_send(act) {
            Ok(()) => Ok(is_done),
            Err(TrySendError::Full(_)) => Err(self.unavailable("too much is waiting to be written")),
            Err(TrySendError::Disconnected(_)) => Err(self.stopped()),
        }
    }

    async fn answer<T>(
        &self,
        is_done: oneshot::Receiver<rusqlite::Result<T>>,
    ) -> Result<T, StoreUnavailable> {
        let outcome = is_done.await.map_err(|_| self.stopped())?;
        outcome.map_err(|error| self.unavailable(&error.to_string()))
    }

    fn stopped(&self) -> StoreUnavailable {
        self.unavailable("its thread has stopped")
    }

    fn unavailable(&self, detail: &str) -> StoreUnavailable {
        StoreUnavailable::new(format!("{}: {detail}", self.path.display()))
    }
}

impl Drop for Writer {
    /// Waits until everything asked for is done and the file is closed.
    fn drop(&mut self) {
        drop(self.acts.take());
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has said so already.
            let _ = thread.join();
        }
    }
}
