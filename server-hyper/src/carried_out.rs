//! A future that is carried out although whoever waited for it has gone.

use std::pin::Pin;
use std::task::{Context, Poll};

use tokio_util::task::TaskTracker;
use vestibule_oauth_core::BoxFuture;

/// Runs where it is awaited, as any other. Dropped half-way, as when a connection breaks, it goes on as a task of its own. That costs
/// nothing as long as nobody hangs up, where a task for each would.
pub(crate) struct CarriedOut<T: Send + 'static> {
    /// `None` once it has ended.
    work: Option<BoxFuture<'static, T>>,
    tasks: TaskTracker,
}

impl<T: Send + 'static> CarriedOut<T> {
    /// `work`, whose rest `tasks` counts.
    pub(crate) fn new(work: impl Future<Output = T> + Send + 'static, tasks: TaskTracker) -> Self {
        Self { work: Some(Box::pin(work)), tasks }
    }
}

impl<T: Send + 'static> Future for CarriedOut<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        // A future that has ended is not polled again; should it be, it waits.
        let Some(work) = &mut self.work else { return Poll::Pending };
        let polled = work.as_mut().poll(cx);
        if polled.is_ready() {
            self.work = None;
        }
        polled
    }
}

impl<T: Send + 'static> Drop for CarriedOut<T> {
    fn drop(&mut self) {
        if let (Some(work), Ok(runtime)) = (self.work.take(), tokio::runtime::Handle::try_current()) {
            // Nobody is left to be told.
            let _unwaited = self.tasks.spawn_on(async move { drop(work.await) }, &runtime);
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn what_is_dropped_half_way_is_done_all_the_same() {
        let tasks = TaskTracker::new();
        assert_eq!(CarriedOut::new(async { 7 }, tasks.clone()).await, 7);
        let (go, may_go) = oneshot::channel::<()>();
        let (done, is_done) = oneshot::channel();
        let mut work = Box::pin(CarriedOut::new(
            async move {
                may_go.await.unwrap();
                done.send(()).unwrap();
            },
            tasks.clone(),
        ));
        let waits = std::future::poll_fn(|cx| Poll::Ready(work.as_mut().poll(cx).is_pending()));
        assert!(waits.await);
        drop(work);
        go.send(()).unwrap();
        is_done.await.unwrap();
        tasks.close();
        tasks.wait().await;
    }
}
