//! A network made of what a test says it answers.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::future;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Response, StatusCode, header};
use url::Url;

use vestibule_oauth_core::{
    BoxFuture, HttpCall, HttpClient, HttpError, HttpErrorKind, Trust, TxtError, TxtLookup, TxtRecord,
};

/// Answers HTTP calls and TXT look-ups from a table, at once, and records them.
///
/// Like the Internet, it does not know what was not said: a call that has no answer fails with
/// [`HttpErrorKind::UnknownHost`], a name without records has none. Like an adapter, it fails an answer that is longer
/// than the call's limit with [`HttpErrorKind::TooLarge`]. It follows no redirect and does not look at
/// [`HttpCall::trust`], which [`Call`] records.
#[derive(Default)]
pub struct ScriptedNetwork(Mutex<Script>);

#[derive(Default)]
struct Script {
    /// Spent one by one, oldest first, before `standing` is asked.
    queued: BTreeMap<(Method, String), VecDeque<Reply>>,
    standing: BTreeMap<(Method, String), Handler>,
    txt: BTreeMap<String, Result<Vec<TxtRecord>, TxtError>>,
    calls: Vec<Call>,
    log: Vec<String>,
}

type Handler = Box<dyn FnMut(&Call) -> Reply + Send>;
type Reply = Result<Response<Bytes>, HttpError>;

/// One HTTP call that was made.
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

impl ScriptedNetwork {
    /// A network that knows nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Answers every such call with this response.
    pub fn answer(&self, method: &str, url: &str, response: Response<Bytes>) -> &Self {
        self.on(method, url, move |_| Ok(response.clone()))
    }

    /// Answers the next such call, once, with this response. Several are spent in the order they were queued.
    pub fn queue(&self, method: &str, url: &str, response: Response<Bytes>) -> &Self {
        self.queue_result(method, url, Ok(response))
    }

    /// Fails the next such call, once.
    pub fn queue_failure(&self, method: &str, url: &str, kind: HttpErrorKind) -> &Self {
        self.queue_result(method, url, Err(HttpError::new(kind, "scripted")))
    }

    /// Fails every such call.
    pub fn fail(&self, method: &str, url: &str, kind: HttpErrorKind) -> &Self {
        self.on(method, url, move |_| Err(HttpError::new(kind, "scripted")))
    }

    /// Lets a function answer every such call. It must not ask this network: the table is locked while it runs.
    pub fn on(
        &self,
        method: &str,
        url: &str,
        handler: impl FnMut(&Call) -> Result<Response<Bytes>, HttpError> + Send + 'static,
    ) -> &Self {
        self.script().standing.insert(key(method, url), Box::new(handler));
        self
    }

    /// Gives a name TXT records, each of one character string.
    pub fn txt_records(&self, name: &str, records: &[&str]) -> &Self {
        let records = records.iter().map(|text| TxtRecord::new([text.as_bytes().to_vec()])).collect();
        self.txt_result(name, Ok(records))
    }

    /// Answers a TXT look-up with records of any shape, or with a failure.
    pub fn txt_result(&self, name: &str, result: Result<Vec<TxtRecord>, TxtError>) -> &Self {
        self.script().txt.insert(name.to_owned(), result);
        self
    }

    /// The HTTP calls made so far, oldest first.
    pub fn calls(&self) -> Vec<Call> {
        self.script().calls.clone()
    }

    /// Such calls made so far, oldest first.
    pub fn calls_to(&self, method: &str, url: &str) -> Vec<Call> {
        let wanted = key(method, url);
        self.calls().into_iter().filter(|call| key(call.method.as_str(), &call.url) == wanted).collect()
    }

    /// How many such calls were made so far.
    pub fn count(&self, method: &str, url: &str) -> usize {
        self.calls_to(method, url).len()
    }

    /// Everything that was asked, oldest first, one line each: `TXT name` or `METHOD url`.
    pub fn log(&self) -> Vec<String> {
        self.script().log.clone()
    }

    /// Forgets the calls made so far, and keeps the answers.
    pub fn forget_calls(&self) {
        let mut script = self.script();
        script.calls.clear();
        script.log.clear();
    }

    fn queue_result(&self, method: &str, url: &str, result: Result<Response<Bytes>, HttpError>) -> &Self {
        self.script().queued.entry(key(method, url)).or_default().push_back(result);
        self
    }

    fn script(&self) -> MutexGuard<'_, Script> {
        // A handler that panicked has failed its test already.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn serve(&self, call: HttpCall) -> Reply {
        let (parts, body) = call.request.into_parts();
        let call = Call {
            method: parts.method,
            url: parts.uri.to_string(),
            headers: parts.headers,
            body,
            trust: call.trust,
            timeout: call.timeout,
            body_limit: call.body_limit,
            purpose: call.purpose,
        };
        let mut script = self.script();
        let line = format!("{} {}", call.method, call.url);
        let key = key(call.method.as_str(), &call.url);
        script.log.push(line.clone());
        script.calls.push(call.clone());
        let queued = script.queued.get_mut(&key).and_then(VecDeque::pop_front);
        let result = match (queued, script.standing.get_mut(&key)) {
            (Some(result), _) => result,
            (None, Some(handler)) => handler(&call),
            (None, None) => Err(HttpError::new(HttpErrorKind::UnknownHost, format!("not scripted: {line}"))),
        };
        match result {
            Ok(response) if response.body().len() > call.body_limit => {
                Err(HttpError::new(HttpErrorKind::TooLarge, line))
            }
            result => result,
        }
    }
}

impl HttpClient for ScriptedNetwork {
    fn send<'a>(&'a self, call: HttpCall) -> BoxFuture<'a, Result<Response<Bytes>, HttpError>> {
        // Nothing happens before the first poll, as with a real network.
        Box::pin(async move { self.serve(call) })
    }
}

impl TxtLookup for ScriptedNetwork {
    fn txt<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Vec<TxtRecord>, TxtError>> {
        let mut script = self.script();
        script.log.push(format!("TXT {name}"));
        let result = script.txt.get(name).cloned().unwrap_or_else(|| Ok(Vec::new()));
        Box::pin(future::ready(result))
    }
}

impl fmt::Debug for ScriptedNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScriptedNetwork").field("log", &self.log()).finish_non_exhaustive()
    }
}

/// An answer of JSON.
pub fn json(status: u16, value: &serde_json::Value) -> Response<Bytes> {
    response(status, "application/json", value.to_string())
}

/// An answer of plain text.
pub fn text(status: u16, body: &str) -> Response<Bytes> {
    response(status, "text/plain", body.to_owned())
}

/// An answer that points elsewhere.
pub fn redirect(status: u16, location: &str) -> Response<Bytes> {
    let mut response = text(status, "");
    response.headers_mut().insert(header::LOCATION, location.parse().expect("a location is a header value"));
    response
}

fn response(status: u16, content_type: &'static str, body: String) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(body));
    *response.status_mut() = StatusCode::from_u16(status).expect("a status has three digits");
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(content_type));
    response
}

/// The URL as the `url` crate prints it, so that `https://a.test` and `https://a.test:443/` are one.
fn key(method: &str, url: &str) -> (Method, String) {
    let method = method.parse().unwrap_or_else(|error| panic!("method {method:?}: {error}"));
    let url = Url::parse(url).unwrap_or_else(|error| panic!("URL {url:?}: {error}"));
    (method, url.as_str().to_owned())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::Request;
    use serde_json::json;

    use vestibule_oauth_core::{HttpCall, HttpClient, HttpErrorKind, Trust, TxtLookup};

    use super::ScriptedNetwork;
    use crate::block_on;

    fn get(network: &ScriptedNetwork, url: &str) -> Result<(u16, Bytes), HttpErrorKind> {
        let request = Request::get(url).body(Bytes::new()).unwrap();
        let call = HttpCall::new(request, "test", Trust::UserSupplied).with_body_limit(10);
        block_on(network.send(call))
            .map(|response| (response.status().as_u16(), response.into_body()))
            .map_err(|error| error.kind())
    }

    #[test]
    fn queued_answers_are_spent_before_the_standing_one() {
        let network = ScriptedNetwork::new();
        network
            .answer("GET", "https://a.test/", super::text(200, "last"))
            .queue("GET", "https://a.test/", super::text(400, "first"))
            .queue_failure("GET", "https://a.test", HttpErrorKind::AnswerLost);
        assert_eq!(get(&network, "https://a.test/"), Ok((400, Bytes::from("first"))));
        assert_eq!(get(&network, "https://a.test/"), Err(HttpErrorKind::AnswerLost));
        assert_eq!(get(&network, "https://a.test/"), Ok((200, Bytes::from("last"))));
        assert_eq!(get(&network, "https://a.test/"), Ok((200, Bytes::from("last"))));
        assert_eq!(network.count("GET", "https://a.test"), 4);
        assert_eq!(network.count("POST", "https://a.test"), 0);
    }

    #[test]
    fn what_was_not_said_is_not_there() {
        let network = ScriptedNetwork::new();
        assert_eq!(get(&network, "https://a.test/"), Err(HttpErrorKind::UnknownHost));
        assert_eq!(block_on(network.txt("_atproto.a.test")), Ok(Vec::new()));
        assert_eq!(network.log(), ["GET https://a.test/", "TXT _atproto.a.test"]);
    }

    #[test]
    fn an_answer_over_the_limit_fails() {
        let network = ScriptedNetwork::new();
        network.answer("GET", "https://a.test/", super::json(200, &json!({"a": 1})));
        assert_eq!(get(&network, "https://a.test/"), Ok((200, Bytes::from(r#"{"a":1}"#))));
        network.answer("GET", "https://a.test/", super::text(200, "eleven octe"));
        assert_eq!(get(&network, "https://a.test/"), Err(HttpErrorKind::TooLarge));
    }

    #[test]
    fn a_handler_sees_the_call() {
        let network = ScriptedNetwork::new();
        network.on("POST", "https://a.test/token", |call| {
            Ok(super::text(200, &call.field("code").unwrap_or_default()))
        });
        let request = Request::post("https://a.test/token").body(Bytes::from("a=b&code=x%20y")).unwrap();
        let response = block_on(network.send(HttpCall::new(request, "token", Trust::Configured))).unwrap();
        assert_eq!(response.body(), "x y");
        assert_eq!(network.calls()[0].purpose, "token");
    }

    #[test]
    fn txt_records_keep_their_order() {
        let network = ScriptedNetwork::new();
        network.txt_records("_atproto.a.test", &["did=did:plc:a", "other"]);
        let records = block_on(network.txt("_atproto.a.test")).unwrap();
        assert_eq!(records.iter().map(|r| r.joined()).collect::<Vec<_>>(), [&b"did=did:plc:a"[..], b"other"]);
    }
}
