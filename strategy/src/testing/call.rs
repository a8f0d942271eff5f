//! A call to the network, kept to be looked at.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method};
use vestibule_oauth_core::{HttpCall, Trust};

/// One HTTP call that was made. Its `Debug` shows everything, secrets too: it is a test's.
///
/// ```
/// use bytes::Bytes;
/// use vestibule_oauth_core::{HttpCall, Trust};
/// use vestibule_strategy::testing::Call;
///
/// let request = http::Request::post("https://sso.example/token")
///     .header("accept", "application/json")
///     .body(Bytes::from("grant_type=authorization_code&code=c%2B1"))
///     .unwrap();
/// let call = Call::from(HttpCall::new(request, "token exchange", Trust::Configured));
/// assert_eq!((call.method.as_str(), call.url.as_str()), ("POST", "https://sso.example/token"));
/// assert_eq!(call.header("accept"), Some("application/json"));
/// assert_eq!(call.field("code").as_deref(), Some("c+1"));
/// assert_eq!(call.timeout.as_secs(), 5);
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Call {
    /// Its method.
    pub method: Method,
    /// Its whole URL.
    pub url: String,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
    /// Who chose its host.
    pub trust: Trust,
    /// Its time limit.
    pub timeout: Duration,
    /// Its limit on the octets of the answer.
    pub body_limit: usize,
    /// What it was said to be for.
    pub purpose: &'static str,
}

impl Call {
    /// The header's value; `None` when it is absent or not text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The body's form field of this name, decoded; the first one, when there are several.
    pub fn field(&self, name: &str) -> Option<String> {
        self.fields().into_iter().find(|(key, _)| key == name).map(|(_, value)| value)
    }

    /// All form fields of the body, decoded, in order.
    pub fn fields(&self) -> Vec<(String, String)> {
        url::form_urlencoded::parse(&self.body).into_owned().collect()
    }
}

impl From<HttpCall> for Call {
    fn from(call: HttpCall) -> Self {
        let (parts, body) = call.request.into_parts();
        Self {
            method: parts.method,
            url: parts.uri.to_string(),
            headers: parts.headers,
            body,
            trust: call.trust,
            timeout: call.timeout,
            body_limit: call.body_limit,
            purpose: call.purpose,
        }
    }
}
