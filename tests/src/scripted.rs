//! A network made of what a test says it answers, name server included.

use std::collections::BTreeMap;
use std::fmt;
use std::future;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http::{Method, Response, StatusCode, header};
use url::Url;

use vestibule_oauth_core::{
    BoxFuture, HttpCall, HttpClient, HttpError, HttpErrorKind, TxtError, TxtLookup, TxtRecord,
};
use vestibule_strategy::testing::{ScriptedHttp, json_answer, text_answer};

pub use vestibule_strategy::testing::Call;

/// Answers HTTP calls and TXT look-ups from a table, at once, and records them: the test kit's [`ScriptedHttp`], with a name server.
///
/// A name without records has none.
#[derive(Default)]
pub struct ScriptedNetwork {
    http: ScriptedHttp,
    names: Mutex<Names>,
}

#[derive(Default)]
struct Names {
    txt: BTreeMap<String, Result<Vec<TxtRecord>, TxtError>>,
    /// What was asked of either, in its order.
    log: Vec<String>,
}

impl ScriptedNetwork {
    /// A network that knows nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Answers every such call with this response.
    pub fn answer(&self, method: &str, url: &str, response: Response<Bytes>) -> &Self {
        self.http.answer(verb(method), known(url), response);
        self
    }

    /// Answers the next such call, once, with this response. Several are spent in the order they were queued.
    pub fn queue(&self, method: &str, url: &str, response: Response<Bytes>) -> &Self {
        self.http.queue(verb(method), known(url), response);
        self
    }

    /// Fails the next such call, once.
    pub fn queue_failure(&self, method: &str, url: &str, kind: HttpErrorKind) -> &Self {
        self.http.queue_failure(verb(method), known(url), kind);
        self
    }

    /// Fails every such call.
    pub fn fail(&self, method: &str, url: &str, kind: HttpErrorKind) -> &Self {
        self.http.fail(verb(method), known(url), kind);
        self
    }

    /// Lets a function answer every such call. It must not ask this network: the table is locked while it runs.
    pub fn on(
        &self,
        method: &str,
        url: &str,
        handler: impl FnMut(&Call) -> Result<Response<Bytes>, HttpError> + Send + 'static,
    ) -> &Self {
        self.http.on(verb(method), known(url), handler);
        self
    }

    /// Gives a name TXT records, each of one character string.
    pub fn txt_records(&self, name: &str, records: &[&str]) -> &Self {
        let records = records.iter().map(|text| TxtRecord::new([text.as_bytes().to_vec()])).collect();
        self.txt_result(name, Ok(records))
    }

    /// Answers a TXT look-up with records of any shape, or with a failure.
    pub fn txt_result(&self, name: &str, result: Result<Vec<TxtRecord>, TxtError>) -> &Self {
        self.names().txt.insert(name.to_owned(), result);
        self
    }

    /// The HTTP calls made so far, oldest first.
    pub fn calls(&self) -> Vec<Call> {
        self.http.calls()
    }

    /// Such calls made so far, oldest first.
    pub fn calls_to(&self, method: &str, url: &str) -> Vec<Call> {
        self.http.calls_to(verb(method), known(url))
    }

    /// How many such calls were made so far.
    pub fn count(&self, method: &str, url: &str) -> usize {
        self.http.count(verb(method), known(url))
    }

    /// Everything that was asked, oldest first, one line each: `TXT name` or `METHOD url`.
    pub fn log(&self) -> Vec<String> {
        self.names().log.clone()
    }

    /// Forgets the calls made so far, and keeps the answers.
    pub fn forget_calls(&self) {
        self.http.forget_calls();
        self.names().log.clear();
    }

    fn names(&self) -> MutexGuard<'_, Names> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl HttpClient for ScriptedNetwork {
    fn send<'a>(&'a self, call: HttpCall) -> BoxFuture<'a, Result<Response<Bytes>, HttpError>> {
        // Nothing happens before the first poll, as with a real network.
        Box::pin(async move {
            self.names().log.push(format!("{} {}", call.request.method(), call.request.uri()));
            self.http.send(call).await
        })
    }
}

impl TxtLookup for ScriptedNetwork {
    fn txt<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Vec<TxtRecord>, TxtError>> {
        let mut names = self.names();
        names.log.push(format!("TXT {name}"));
        let result = names.txt.get(name).cloned().unwrap_or_else(|| Ok(Vec::new()));
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
    json_answer(code(status), value)
}

/// An answer of plain text.
pub fn text(status: u16, body: &str) -> Response<Bytes> {
    text_answer(code(status), body)
}

/// An answer that points elsewhere.
pub fn redirect(status: u16, location: &str) -> Response<Bytes> {
    let mut response = text(status, "");
    response.headers_mut().insert(header::LOCATION, location.parse().expect("a location is a header value"));
    response
}

fn code(status: u16) -> StatusCode {
    StatusCode::from_u16(status).expect("a status has three digits")
}

fn verb(method: &str) -> Method {
    method.parse().unwrap_or_else(|error| panic!("method {method:?}: {error}"))
}

/// A test that asks for what is no URL has a slip of the pen in it.
fn known(url: &str) -> &str {
    Url::parse(url).unwrap_or_else(|error| panic!("URL {url:?}: {error}"));
    url
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
