//! How octets become what a parser is given, and what several properties say.

use std::fmt::{Debug, Display};
use std::str::FromStr;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// A secret that no error, log or debug output may show. It looks like a token and like nothing else.
pub(super) const CANARY: &str = "c4n4ry-that-n0-error-shows";

/// The octets as a parser of text gets them; what is not UTF-8 cannot reach one.
pub(super) fn text(data: &[u8]) -> Option<&str> {
    std::str::from_utf8(data).ok()
}

/// The lines of the octets, for properties of several things at once.
pub(super) fn lines(data: &[u8]) -> impl Iterator<Item = &[u8]> {
    data.split(|octet| *octet == b'\n')
}

/// What stands before the first line feed, and after it.
pub(super) fn halves(data: &[u8]) -> (&[u8], &[u8]) {
    let mut halves = data.splitn(2, |octet| *octet == b'\n');
    (halves.next().unwrap_or_default(), halves.next().unwrap_or_default())
}

/// An answer from the network: the octets are the body of a good JSON answer, or begin with `HTTP`, a status and header
/// lines, and have the body after an empty line.
pub(super) fn answer(data: &[u8]) -> Response<Bytes> {
    let (status, headers, body) = match data.strip_prefix(b"HTTP ") {
        None => {
            let json = HeaderValue::from_static("application/json");
            (StatusCode::OK, HeaderMap::from_iter([(header::CONTENT_TYPE, json)]), data)
        }
        Some(rest) => {
            let end = rest.windows(2).position(|pair| pair == b"\n\n");
            let (head, body) = match end {
                Some(at) => (&rest[..at], &rest[at + 2..]),
                None => (rest, &[][..]),
            };
            let (status, head) = halves(head);
            let status = StatusCode::from_bytes(status).unwrap_or(StatusCode::OK);
            (status, headers(head), body)
        }
    };
    let mut answer = Response::new(Bytes::copy_from_slice(body));
    *answer.status_mut() = status;
    *answer.headers_mut() = headers;
    answer
}

/// The header lines that are header lines.
pub(super) fn headers(data: &[u8]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for line in lines(data).take(64) {
        let mut halves = line.splitn(2, |octet| *octet == b':');
        let (name, value) = (halves.next().unwrap_or_default(), halves.next().unwrap_or_default());
        let (name, value) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value.trim_ascii()));
        if let (Ok(name), Ok(value)) = (name, value) {
            headers.append(name, value);
        }
    }
    headers
}

/// A JSON object with `value` in the place of its member `name`; `None` if the octets are no object with that member.
pub(super) fn with_member(json: &[u8], name: &str, value: &str) -> Option<Vec<u8>> {
    let Ok(Value::Object(mut members)) = serde_json::from_slice(json) else { return None };
    *members.get_mut(name)? = Value::from(value);
    serde_json::to_vec(&members).ok()
}

/// `original`, changed as `edits` say: each three octets change one octet of it, and one left over cuts its end off.
pub(super) fn edited(original: &[u8], edits: &[u8]) -> Vec<u8> {
    let mut edited = original.to_vec();
    for edit in edits.chunks_exact(3).filter(|_| !original.is_empty()) {
        let at = usize::from(u16::from_be_bytes([edit[0], edit[1]])) % original.len();
        edited[at] ^= edit[2];
    }
    if edits.len() % 3 == 1 {
        edited.pop();
    }
    edited
}

/// Printing and parsing gives the same value, which prints the same text.
pub(super) fn prints_and_parses<T>(value: &T)
where
    T: Display + FromStr + PartialEq + Debug,
    T::Err: Debug,
{
    let printed = value.to_string();
    let again: T =
        printed.parse().unwrap_or_else(|error| panic!("{printed:?} is printed and refused: {error:?}"));
    assert_eq!(again, *value);
    assert_eq!(again.to_string(), printed);
}

/// Writing and reading JSON gives the same value.
pub(super) fn survives_json<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: &T) {
    let json = serde_json::to_vec(value).unwrap();
    let again: T = serde_json::from_slice(&json).unwrap();
    assert_eq!(again, *value);
}

/// An error is one line that a log can hold.
pub(super) fn is_one_line(error: &impl Display) {
    let text = error.to_string();
    assert!(!text.is_empty());
    assert!(text.len() <= 8 * 1024, "{} octets of error", text.len());
    assert!(!text.contains(['\n', '\r', '\0']), "{text:?}");
}

/// Neither form shows the canary.
pub(super) fn hides_the_canary(value: &impl Debug) {
    let shown = format!("{value:?}");
    assert!(!shown.contains(CANARY), "{shown}");
}

/// Whether the octets hold the canary already, so that showing it would prove nothing.
pub(super) fn holds_the_canary(data: &[u8]) -> bool {
    data.windows(CANARY.len()).any(|window| window == CANARY.as_bytes())
}
