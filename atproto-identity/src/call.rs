//! How the requests of this crate are made.

use bytes::Bytes;
use http::{HeaderValue, Request, Uri, header};
use vestibule_oauth_core::{HttpCall, Trust};

/// A GET of `url` that accepts `media`.
///
/// Callers hand in URLs that were put together from checked parts. Should one not be a URI all the same, the request
/// goes out with `/`, which names no host, and which every adapter refuses.
pub(crate) fn get(url: &str, media: &'static str, purpose: &'static str, trust: Trust) -> HttpCall {
    let mut request = Request::new(Bytes::new());
    *request.uri_mut() = url.parse::<Uri>().unwrap_or_default();
    request.headers_mut().insert(header::ACCEPT, HeaderValue::from_static(media));
    HttpCall::new(request, purpose, trust)
}
