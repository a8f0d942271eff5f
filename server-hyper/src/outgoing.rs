//! A request's body on its way to a person's server: kept where it is small, passed through where it is not.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_LENGTH, HeaderMap};
use http::{Response, StatusCode};
use http_body::{Body as HttpBody, Frame};
use http_body_util::BodyExt;

use crate::body::{Body, BodyError};
use crate::respond::{self, Refusal};

/// The largest body that is kept for a second try; records and most calls are far below.
const REPLAYABLE: usize = 256 * 1024;

/// How long the part that is kept may take to arrive.
const PATIENCE: Duration = Duration::from_secs(60);

/// A body on its way to the person's server.
pub(crate) enum Outgoing {
    /// Small, and here already.
    Whole(Bytes),
    /// Passing through.
    Streamed { body: Passing, exceeded: Arc<AtomicBool> },
}

impl Outgoing {
    /// Reads what is kept in any case, and leaves the rest where it is.
    pub(crate) async fn read<B>(headers: &HeaderMap, mut body: B, limit: u64) -> Result<Self, Refusal>
    where
        B: HttpBody<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<BodyError>,
    {
        let announced =
            headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
        if announced.is_some_and(|length| length > limit) {
            return Err(too_large(limit).into());
        }
        let deadline = tokio::time::Instant::now() + PATIENCE;
        let mut head = BytesMut::new();
        while head.len() <= REPLAYABLE {
            match tokio::time::timeout_at(deadline, body.frame()).await {
                Ok(Some(Ok(frame))) => {
                    head.extend_from_slice(&frame.into_data().unwrap_or_default());
                    if head.len() as u64 > limit {
                        return Err(too_large(limit).into());
                    }
                }
                Ok(None) => return Ok(Self::Whole(head.freeze())),
                Ok(Some(Err(_))) => return Err(broken_off(StatusCode::BAD_REQUEST, "the body broke off")),
                Err(_) => {
                    return Err(broken_off(StatusCode::REQUEST_TIMEOUT, "the body did not arrive in time"));
                }
            }
        }
        let exceeded = Arc::new(AtomicBool::new(false));
        let left = limit.saturating_sub(head.len() as u64);
        let rest = Body::streamed(body);
        let body = Passing { head: Some(head.freeze()), rest, left, exceeded: Arc::clone(&exceeded) };
        Ok(Self::Streamed { body, exceeded })
    }
}

/// A body whose beginning was read already, and which ends with an error where its limit does.
pub(crate) struct Passing {
    head: Option<Bytes>,
    rest: Body,
    left: u64,
    exceeded: Arc<AtomicBool>,
}

impl HttpBody for Passing {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if let Some(head) = self.head.take() {
            return Poll::Ready(Some(Ok(Frame::data(head))));
        }
        let polled = Pin::new(&mut self.rest).poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &polled {
            let octets = frame.data_ref().map_or(0, |data| data.len() as u64);
            match self.left.checked_sub(octets) {
                Some(left) => self.left = left,
                None => {
                    self.exceeded.store(true, Ordering::Relaxed);
                    return Poll::Ready(Some(Err("the body is larger than the limit".into())));
                }
            }
        }
        polled
    }
}

/// The answer to a body that is larger than `limit`, in octets.
pub(crate) fn too_large(limit: u64) -> Response<Bytes> {
    let sentence = format!("the body is larger than {limit} octets, the limit of this server");
    respond::error_answer(StatusCode::PAYLOAD_TOO_LARGE, "too_large", &sentence)
}

fn broken_off(status: StatusCode, sentence: &str) -> Refusal {
    respond::error_answer(status, "invalid_request", sentence).into()
}
