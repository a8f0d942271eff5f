//! The wire between a strategy and its provider: records what goes over it, and breaks where it is told to.

use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http::{Response, StatusCode};
use serde_json::Value;
use vestibule_oauth_core::{BoxFuture, HttpCall, HttpClient, HttpError, HttpErrorKind};

use crate::testing::answer::typed;
use crate::testing::call::Call;
use crate::testing::counterpart::Counterpart;
use crate::testing::scripted_http::within_limit;

pub(super) struct Wire<'a> {
    counterpart: &'a dyn Counterpart,
    traffic: Mutex<Traffic>,
}

#[derive(Default)]
struct Traffic {
    calls: Vec<Call>,
    mishap: Option<(Target, Mishap)>,
    /// Whether the mishap has happened.
    struck: bool,
}

/// Calls that are alike: of this method, to this URL.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Target {
    method: String,
    url: String,
}

impl Target {
    pub(super) fn of(call: &Call) -> Self {
        Self { method: call.method.as_str().to_owned(), url: call.url.clone() }
    }
}

/// What goes wrong with an answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Mishap {
    /// There is none.
    Fails(HttpErrorKind),
    /// It is the right one, with status 500.
    ServerError,
    /// It is a page, which repeats what was asked.
    Page,
    /// It is JSON of another kind: a text, which repeats what was asked.
    Text,
    /// It is JSON as long as the call allows, about something else.
    Long,
    /// It is JSON that is nested as deeply as the call allows.
    Deep,
    /// It is the first half of the right one.
    Half,
}

impl Mishap {
    pub(super) const ALL: [Self; 13] = [
        Self::Fails(HttpErrorKind::UnknownHost),
        Self::Fails(HttpErrorKind::Blocked),
        Self::Fails(HttpErrorKind::Connect),
        Self::Fails(HttpErrorKind::ConnectTimeout),
        Self::Fails(HttpErrorKind::AnswerTimeout),
        Self::Fails(HttpErrorKind::AnswerLost),
        Self::Fails(HttpErrorKind::TooLarge),
        Self::ServerError,
        Self::Page,
        Self::Text,
        Self::Long,
        Self::Deep,
        Self::Half,
    ];

    fn befalls(
        self,
        call: &Call,
        right: Result<Response<Bytes>, HttpError>,
    ) -> Result<Response<Bytes>, HttpError> {
        const JSON: &str = "application/json";
        let room = call.body_limit.min(MOST_OCTETS);
        let ok = |content_type, body| Ok(typed(StatusCode::OK, content_type, body));
        match self {
            Self::Fails(kind) => Err(HttpError::new(kind, "the wire is cut")),
            Self::ServerError => {
                let mut answer = right?;
                *answer.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
                Ok(answer)
            }
            Self::Page => ok("text/html", format!("<!doctype html><title>Oops</title><p>{}", echo(call))),
            Self::Text => ok(JSON, Value::from(echo(call)).to_string()),
            Self::Long => {
                let around = r#"{"filler":""}"#.len();
                ok(JSON, format!(r#"{{"filler":"{}"}}"#, "x".repeat(room.saturating_sub(around))))
            }
            Self::Deep => ok(JSON, format!("{}{}", "[".repeat(room / 2), "]".repeat(room / 2))),
            Self::Half => {
                let mut answer = right?;
                let half = answer.body().len() / 2;
                let body = answer.body_mut();
                body.truncate(half);
                Ok(answer)
            }
        }
    }
}

/// The most octets of an answer that is made up, should a call allow more.
const MOST_OCTETS: usize = 1024 * 1024;

/// What was sent, as a careless server repeats it.
fn echo(call: &Call) -> String {
    let fields: Vec<_> = call.fields().into_iter().map(|(name, value)| format!("{name}={value}")).collect();
    format!(
        "{} {} {} {}",
        call.method,
        call.url,
        call.header("authorization").unwrap_or_default(),
        fields.join(" ")
    )
}

impl<'a> Wire<'a> {
    pub(super) fn to(counterpart: &'a dyn Counterpart) -> Self {
        Self { counterpart, traffic: Mutex::default() }
    }

    /// The calls since the last [`Wire::clear`].
    pub(super) fn calls(&self) -> Vec<Call> {
        self.lock().calls.clone()
    }

    /// Forgets the calls, and lets what comes now meet this.
    pub(super) fn clear(&self, mishap: Option<(Target, Mishap)>) {
        *self.lock() = Traffic { calls: Vec::new(), mishap, struck: false };
    }

    /// Whether the mishap has met a call.
    pub(super) fn struck(&self) -> bool {
        self.lock().struck
    }

    fn lock(&self) -> MutexGuard<'_, Traffic> {
        self.traffic.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl HttpClient for Wire<'_> {
    fn send<'a>(&'a self, call: HttpCall) -> BoxFuture<'a, Result<Response<Bytes>, HttpError>> {
        Box::pin(async move {
            let copy = HttpCall::new(call.request.clone(), call.purpose, call.trust);
            let seen = Call::from(copy.with_timeout(call.timeout).with_body_limit(call.body_limit));
            let mishap = {
                let mut traffic = self.lock();
                traffic.calls.push(seen.clone());
                let mishap = traffic.mishap.clone().filter(|(target, _)| *target == Target::of(&seen));
                traffic.struck |= mishap.is_some();
                mishap
            };
            let answer = self.counterpart.send(call).await;
            let answer = match mishap {
                Some((_, mishap)) => mishap.befalls(&seen, answer),
                None => answer,
            };
            within_limit(answer, &seen)
        })
    }
}
