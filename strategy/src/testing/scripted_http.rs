//! A network made of what a test says it answers.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http::{Method, Response};
use url::Url;
use vestibule_oauth_core::{BoxFuture, HttpCall, HttpClient, HttpError, HttpErrorKind};

use super::call::Call;

/// Answers HTTP calls from a table, at once, and records them.
///
/// Like the Internet, it does not know what was not said: a call that has no answer fails with
/// [`HttpErrorKind::UnknownHost`]. Like an adapter, it fails an answer that is longer than the call's limit with
/// [`HttpErrorKind::TooLarge`]. It follows no redirect and does not look at [`HttpCall::trust`], which [`Call`] records.
///
/// ```
/// use bytes::Bytes;
/// use http::{Method, Request, StatusCode};
/// use vestibule_oauth_core::{HttpCall, HttpClient, HttpErrorKind, Trust};
/// use vestibule_strategy::testing::{ScriptedHttp, run, text_answer};
///
/// let http = ScriptedHttp::new();
/// http.answer(Method::GET, "https://a.example/", text_answer(StatusCode::OK, "last"))
///     .queue(Method::GET, "https://a.example/", text_answer(StatusCode::OK, "first"))
///     .queue_failure(Method::GET, "https://a.example/", HttpErrorKind::AnswerTimeout);
///
/// let get = || {
///     let request = Request::get("https://a.example/").body(Bytes::new()).unwrap();
///     run(http.send(HttpCall::new(request, "a test", Trust::Configured))).unwrap()
/// };
/// assert_eq!(get().unwrap().body(), "first");
/// assert_eq!(get().unwrap_err().kind(), HttpErrorKind::AnswerTimeout);
/// assert_eq!(get().unwrap().body(), "last");
/// assert_eq!(http.count(Method::GET, "https://a.example"), 3);
/// ```
#[derive(Default)]
pub struct ScriptedHttp(Mutex<Script>);

#[derive(Default)]
struct Script {
    /// Spent one by one, oldest first, before `standing` is asked.
    queued: BTreeMap<Key, VecDeque<Reply>>,
    standing: BTreeMap<Key, Handler>,
    calls: Vec<Call>,
}

/// Method and URL.
type Key = (String, String);
type Handler = Box<dyn FnMut(&Call) -> Reply + Send>;
type Reply = Result<Response<Bytes>, HttpError>;

impl ScriptedHttp {
    /// A network that knows nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Answers every such call with this response.
    pub fn answer(&self, method: Method, url: &str, response: Response<Bytes>) -> &Self {
        self.on(method, url, move |_| Ok(response.clone()))
    }

    /// Answers the next such call, once, with this response. Several are spent in the order they were queued.
    pub fn queue(&self, method: Method, url: &str, response: Response<Bytes>) -> &Self {
        self.queue_result(method, url, Ok(response))
    }

    /// Fails the next such call, once.
    pub fn queue_failure(&self, method: Method, url: &str, kind: HttpErrorKind) -> &Self {
        self.queue_result(method, url, Err(HttpError::new(kind, "scripted")))
    }

    /// Fails every such call.
    pub fn fail(&self, method: Method, url: &str, kind: HttpErrorKind) -> &Self {
        self.on(method, url, move |_| Err(HttpError::new(kind, "scripted")))
    }

    /// Lets a function answer every such call. It must not ask this network: the table is locked while it runs.
    pub fn on(
        &self,
        method: Method,
        url: &str,
        handler: impl FnMut(&Call) -> Result<Response<Bytes>, HttpError> + Send + 'static,
    ) -> &Self {
        self.script().standing.insert(key(&method, url), Box::new(handler));
        self
    }

    /// The calls made so far, oldest first.
    pub fn calls(&self) -> Vec<Call> {
        self.script().calls.clone()
    }

    /// Such calls made so far, oldest first.
    pub fn calls_to(&self, method: Method, url: &str) -> Vec<Call> {
        let wanted = key(&method, url);
        self.calls().into_iter().filter(|call| key(&call.method, &call.url) == wanted).collect()
    }

    /// How many such calls were made so far.
    pub fn count(&self, method: Method, url: &str) -> usize {
        self.calls_to(method, url).len()
    }

    /// Forgets the calls made so far, and keeps the answers.
    pub fn forget_calls(&self) {
        self.script().calls.clear();
    }

    fn queue_result(&self, method: Method, url: &str, result: Reply) -> &Self {
        self.script().queued.entry(key(&method, url)).or_default().push_back(result);
        self
    }

    fn script(&self) -> MutexGuard<'_, Script> {
        // A handler that panicked has failed its test already.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn serve(&self, call: HttpCall) -> Reply {
        let call = Call::from(call);
        let mut script = self.script();
        let line = format!("{} {}", call.method, call.url);
        let key = key(&call.method, &call.url);
        script.calls.push(call.clone());
        let queued = script.queued.get_mut(&key).and_then(VecDeque::pop_front);
        let result = match (queued, script.standing.get_mut(&key)) {
            (Some(result), _) => result,
            (None, Some(handler)) => handler(&call),
            (None, None) => Err(HttpError::new(HttpErrorKind::UnknownHost, format!("not scripted: {line}"))),
        };
        within_limit(result, &call)
    }
}

/// An answer as an adapter hands it over: not if it is longer than the call allows.
pub(super) fn within_limit(result: Reply, call: &Call) -> Reply {
    match result {
        Ok(response) if response.body().len() > call.body_limit => {
            Err(HttpError::new(HttpErrorKind::TooLarge, format!("{} {}", call.method, call.url)))
        }
        result => result,
    }
}

impl HttpClient for ScriptedHttp {
    fn send<'a>(&'a self, call: HttpCall) -> BoxFuture<'a, Result<Response<Bytes>, HttpError>> {
        // Nothing happens before the first poll, as with a real network.
        Box::pin(async move { self.serve(call) })
    }
}

impl fmt::Debug for ScriptedHttp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let asked: Vec<_> =
            self.script().calls.iter().map(|call| format!("{} {}", call.method, call.url)).collect();
        f.debug_struct("ScriptedHttp").field("asked", &asked).finish_non_exhaustive()
    }
}

/// The URL as the `url` crate prints it, so that `https://a.test` and `https://a.test:443/` are one. What is no URL is
/// called by nobody.
fn key(method: &Method, url: &str) -> Key {
    let url = Url::parse(url).map_or_else(|_| url.to_owned(), String::from);
    (method.as_str().to_owned(), url)
}
