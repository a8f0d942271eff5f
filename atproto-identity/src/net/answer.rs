//! The body of an answer that is handed on piece by piece.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep, sleep};
use vestibule_oauth_core::{HttpError, HttpErrorKind};

use super::client::{Asked, innermost};

/// The body of a [`Network::stream`](super::Network::stream) answer.
///
/// Its pieces come as they arrive. When none arrives for as long as the call had patience, it ends with
/// [`HttpErrorKind::AnswerTimeout`]; when the connection breaks, with [`HttpErrorKind::AnswerLost`]. The time in which
/// nobody asks for a piece does not count.
pub struct AnswerBody {
    body: Incoming,
    asked: Asked,
    patience: Duration,
    silence: Pin<Box<Sleep>>,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// A piece was just given, or none was asked for yet.
    Flowing,
    /// A piece was asked for and is not here; `silence` is running.
    Waiting,
    /// There is no more.
    Ended,
}

/// A day: more than anybody waits for one piece, and little enough to add to any clock.
const LONGEST_PATIENCE: Duration = Duration::from_secs(86_400);

impl AnswerBody {
    pub(super) fn new(body: Incoming, asked: Asked, patience: Duration) -> Self {
        Self { body, asked, patience, silence: Box::pin(sleep(patience)), state: State::Flowing }
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = HttpError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        let this = &mut *self;
        if this.state == State::Ended {
            return Poll::Ready(None);
        }
        match Pin::new(&mut this.body).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                this.state = State::Flowing;
                return Poll::Ready(Some(Ok(frame)));
            }
            Poll::Ready(Some(Err(error))) => {
                this.state = State::Ended;
                let cause = innermost(&error).to_string();
                return Poll::Ready(Some(Err(this.asked.error(HttpErrorKind::AnswerLost, &cause))));
            }
            Poll::Ready(None) => {
                this.state = State::Ended;
                return Poll::Ready(None);
            }
            Poll::Pending => {}
        }
        if this.state == State::Flowing {
            this.state = State::Waiting;
            let now = Instant::now();
            this.silence.as_mut().reset(now.checked_add(this.patience.min(LONGEST_PATIENCE)).unwrap_or(now));
        }
        if this.silence.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        this.state = State::Ended;
        Poll::Ready(Some(Err(this.asked.error(HttpErrorKind::AnswerTimeout, "the body stopped coming"))))
    }

    fn is_end_stream(&self) -> bool {
        self.state == State::Ended || self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        if self.state == State::Ended { SizeHint::with_exact(0) } else { self.body.size_hint() }
    }
}

impl fmt::Debug for AnswerBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AnswerBody").field("state", &self.state).finish_non_exhaustive()
    }
}
