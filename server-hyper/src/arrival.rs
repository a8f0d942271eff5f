//! Bodies that are read whole, within bounds of size and time.

use std::pin::pin;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use http_body::Body as HttpBody;
use http_body_util::BodyExt;

/// Why a body did not arrive.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum NotArrived {
    TooLarge,
    TooSlow,
    BrokeOff,
}

/// How long a form may take to arrive.
pub(crate) const FORM_TIMEOUT: Duration = Duration::from_secs(10);

/// How much of a body that is too large is read and thrown away, in octets, so that who sends it comes to the answer: most senders look
/// for one only when they are done.
const THROWN_AWAY: usize = 2 * 1024 * 1024;

/// Reads a body of at most `most` octets.
pub(crate) async fn arrive<B>(body: B, most: usize) -> Result<Bytes, NotArrived>
where
    B: HttpBody,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let mut body = pin!(body);
    let reading = async {
        let (mut whole, mut length) = (BytesMut::new(), 0_usize);
        while let Some(frame) = body.frame().await {
            // An error here is the listener's own limit, or the sender's end.
            let frame = frame.map_err(|_| NotArrived::BrokeOff)?;
            let Ok(mut data) = frame.into_data() else { continue };
            length = length.saturating_add(data.remaining());
            if length > THROWN_AWAY {
                break;
            }
            if length <= most {
                whole.extend_from_slice(&data.copy_to_bytes(data.remaining()));
            }
        }
        if length > most { Err(NotArrived::TooLarge) } else { Ok(whole.freeze()) }
    };
    tokio::time::timeout(FORM_TIMEOUT, reading).await.unwrap_or(Err(NotArrived::TooSlow))
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use http_body::Frame;
    use http_body_util::Full;

    use super::*;

    fn full(length: usize) -> Full<Bytes> {
        Full::new(Bytes::from(vec![7; length]))
    }

    #[tokio::test]
    async fn a_body_is_read_up_to_its_bound() {
        assert_eq!(arrive(full(0), 8).await.unwrap().len(), 0);
        assert_eq!(arrive(full(8), 8).await.unwrap().len(), 8);
        assert_eq!(arrive(full(9), 8).await, Err(NotArrived::TooLarge));
        assert_eq!(arrive(full(THROWN_AWAY + 1), 8).await, Err(NotArrived::TooLarge));
    }

    /// A body of which nothing comes.
    struct Never;

    impl HttpBody for Never {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            Poll::Pending
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_never_comes_is_given_up() {
        assert_eq!(arrive(Never, 8).await, Err(NotArrived::TooSlow));
    }
}
