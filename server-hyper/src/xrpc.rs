//! `/xrpc/{nsid}`: an app's front end calls the person's server through here, with the session's token, which it never
//! sees.
//!
//! Bodies pass through as they arrive. A small one is kept until its answer is there, so that the call can be made again
//! with the server's nonce or a new token; for a large one both are made sure of before it is sent.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use http::header::{
    ACCEPT, ACCEPT_LANGUAGE, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_ENCODING, CONTENT_LANGUAGE,
    CONTENT_TYPE, ETAG, HeaderMap, HeaderName, HeaderValue, IF_NONE_MATCH, LAST_MODIFIED, RETRY_AFTER,
    SET_COOKIE, VARY,
};
use http::{Method, Request, Response, StatusCode, request};
use http_body::Body as HttpBody;
use http_body_util::Full;
use url::Url;
use vestibule_atproto_identity::Nsid;
use vestibule_atproto_identity::login::{ReadySession, ResourceAnswer, SessionError, SessionKey};
use vestibule_atproto_identity::net::AnswerBody;
use vestibule_oauth_core::{HttpError, HttpErrorKind, Seed, Trust};
use vestibule_storage::WebSession;
use vestibule_strategy::Provenance;

use crate::ambient;
use crate::app::{App, no_own_server, not_signed_in, session_ended, whole};
use crate::body::{Body, BodyError};
use crate::outgoing::{Outgoing, too_large};
use crate::respond::{self, Refusal};

/// The longest silence on either side while a call is under way.
const PATIENCE: Duration = Duration::from_secs(30);

/// What of a request goes on to the person's server. Cookies and `Authorization` are ours and stay here.
const FORWARDED: [HeaderName; 8] = [
    ACCEPT,
    ACCEPT_LANGUAGE,
    CONTENT_ENCODING,
    CONTENT_TYPE,
    IF_NONE_MATCH,
    HeaderName::from_static("atproto-accept-labelers"),
    HeaderName::from_static("atproto-proxy"),
    HeaderName::from_static("x-bsky-topics"),
];

/// What of an answer comes back. Cookies of the person's server are not ours to set, and the
/// length of a body is what arrives of it.
const RETURNED: [HeaderName; 12] = [
    CONTENT_DISPOSITION,
    CONTENT_ENCODING,
    CONTENT_LANGUAGE,
    CONTENT_TYPE,
    ETAG,
    LAST_MODIFIED,
    RETRY_AFTER,
    HeaderName::from_static("atproto-content-labelers"),
    HeaderName::from_static("atproto-repo-rev"),
    HeaderName::from_static("ratelimit-limit"),
    HeaderName::from_static("ratelimit-remaining"),
    HeaderName::from_static("ratelimit-reset"),
];

impl App {
    pub(crate) async fn xrpc<B>(self: Arc<Self>, request: Request<B>) -> Response<Body>
    where
        B: HttpBody<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<BodyError>,
    {
        let (parts, body) = request.into_parts();
        self.try_xrpc(&parts, body).await.unwrap_or_else(|refusal| whole(refusal.into()))
    }

    async fn try_xrpc<B>(self: &Arc<Self>, parts: &request::Parts, body: B) -> Result<Response<Body>, Refusal>
    where
        B: HttpBody<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<BodyError>,
    {
        let name = parts.uri.path().strip_prefix("/xrpc/").unwrap_or_default();
        if name.parse::<Nsid>().is_err() {
            let sentence =
                "the address must be /xrpc/ and the name of a method, like com.atproto.server.getSession";
            return Err(respond::error_answer(StatusCode::BAD_REQUEST, "invalid_request", sentence).into());
        }
        let from = Provenance::of(&parts.headers, &self.public_url);
        if from == Provenance::Elsewhere || (parts.method == Method::POST && !from.may_post()) {
            return Err(self.cross_site(parts).into());
        }
        let current = self.web.current(&parts.headers, ambient::now()).await;
        let web_session =
            current.map_err(|error| self.unavailable(parts, &error))?.ok_or_else(not_signed_in)?;
        let key = web_session.session.clone().ok_or_else(no_own_server)?;

        let outgoing = Outgoing::read(&parts.headers, body, self.body_limit).await?;
        let answered = match self.ready_session(key, None).await {
            Ok(ready) => self.call(Call::of(parts, &ready)?, outgoing, ready).await,
            Err(error) => Err(CallError::Session(error)),
        };
        match answered {
            Ok(response) => Ok(response),
            Err(CallError::Http(error)) => Err(unreachable_server(&error).into()),
            Err(CallError::TooLarge) => Err(too_large(self.body_limit).into()),
            Err(CallError::Session(error)) => {
                Err(self.session_refusal(parts, &web_session, &error).await.into())
            }
        }
    }

    /// Makes the call. A body that passes through cannot be sent twice, so something small is asked before it.
    async fn call(
        self: &Arc<Self>,
        call: Call,
        outgoing: Outgoing,
        ready: ReadySession,
    ) -> Result<Response<Body>, CallError> {
        match outgoing {
            Outgoing::Whole(bytes) => {
                self.repeated(&call, &bytes, ready).await.map(|(response, _)| returned(response))
            }
            Outgoing::Streamed { body, exceeded } => {
                let (_, ready) = self.repeated(&Call::small(&ready)?, &Bytes::new(), ready).await?;
                let sent = self.send(&call, &ready, body).await;
                let response =
                    sent.map_err(
                        |error| if exceeded.load(Ordering::Relaxed) { CallError::TooLarge } else { error },
                    )?;
                ready.observe(&call.url, &response, ambient::now());
                Ok(returned(response))
            }
        }
    }

    /// Makes a call, again with the server's nonce or with new tokens where it asks for them. Gives the session with which
    /// the answer was had.
    async fn repeated(
        self: &Arc<Self>,
        call: &Call,
        body: &Bytes,
        mut ready: ReadySession,
    ) -> Result<(Response<AnswerBody>, ReadySession), CallError> {
        let mut tries = Tries::default();
        loop {
            let response = self.send(call, &ready, Full::new(body.clone())).await?;
            match ready.observe(&call.url, &response, ambient::now()) {
                ResourceAnswer::NonceWanted if tries.may_answer_nonce() => {}
                ResourceAnswer::TimeRefused if tries.may_correct_time() => {}
                ResourceAnswer::TokenRefused if tries.may_renew() => {
                    let key = ready.record().key.clone();
                    ready = self.ready_session(key, Some(ready)).await.map_err(CallError::Session)?;
                }
                // A token so short-lived that it ended on the way says nothing about the session: it may be faster next time.
                ResourceAnswer::TokenRefused if ready.has_ended(ambient::now()) => {
                    let detail = "the access token ended before the person's server had it".to_owned();
                    return Err(CallError::Session(SessionError::Retry { detail, after: None }));
                }
                // A fresh token, refused as well: the server wants no more of this session (R106). A refusal that may be
                // a third server's, to which the call was passed on, says nothing about it.
                ResourceAnswer::TokenRefused if !call.is_passed_on() => {
                    let app = Arc::clone(self);
                    let ending = async move { app.web.end_refused(&ready, app.sessions()).await };
                    // A task that broke off has logged why.
                    let _broken = self.login.carry_out(ending).await;
                    let why = "the person's server refuses its own fresh tokens";
                    return Err(CallError::Session(SessionError::Gone(why.to_owned())));
                }
                _ => return Ok((response, ready)),
            }
        }
    }

    async fn send<B>(
        &self,
        call: &Call,
        ready: &ReadySession,
        body: B,
    ) -> Result<Response<AnswerBody>, CallError>
    where
        B: HttpBody<Data = Bytes> + Send + 'static,
        B::Error: Into<BodyError>,
    {
        let jti = ambient::seed().derive_id("jti");
        let authorization = ready.authorization(&call.method, &call.url, jti, ambient::now());
        let authorization = authorization
            .map_err(|error| CallError::Session(SessionError::Misconfigured(error.to_string())))?;
        let mut request = Request::new(body);
        *request.method_mut() = call.method.clone();
        *request.uri_mut() = call.url.as_str().parse().unwrap_or_default();
        request.headers_mut().extend(call.headers.clone());
        request.headers_mut().extend(authorization);
        self.network.stream(request, Trust::UserSupplied, PATIENCE).await.map_err(CallError::Http)
    }

    /// The session with a good token. Runs to its end even if the browser goes away: a refresh that was sent has to be read
    /// and stored.
    async fn ready_session(
        self: &Arc<Self>,
        key: SessionKey,
        refused: Option<ReadySession>,
    ) -> Result<ReadySession, SessionError> {
        let app = Arc::clone(self);
        let running = self.login.carry_out(async move {
            let (seed, now): (Seed, _) = (ambient::seed(), ambient::now());
            match refused {
                Some(refused) => app.sessions().renewed(&refused, &seed, now, &app.network).await,
                None => app.sessions().ready(&key, &seed, now, &app.network).await,
            }
        });
        running.await.unwrap_or_else(|_| Err(SessionError::Misconfigured("the refresh broke off".to_owned())))
    }

    /// What an app is told of a session that cannot be used.
    async fn session_refusal(
        &self,
        parts: &request::Parts,
        web_session: &WebSession,
        error: &SessionError,
    ) -> Response<Bytes> {
        match error {
            SessionError::Gone(why) => {
                tracing::info!(subject = %web_session.subject, why, "session over");
                match self.web.without_upstream(web_session.clone()).await {
                    Ok(None) => {
                        let mut response = session_ended();
                        response.headers_mut().extend(self.web.clear().map(|cookie| (SET_COOKIE, cookie)));
                        response
                    }
                    Ok(Some(_)) => no_own_server(),
                    Err(error) => self.unavailable(parts, &error),
                }
            }
            SessionError::Store(error) => self.unavailable(parts, error),
            SessionError::Misconfigured(why) => {
                tracing::error!(why, "a session cannot be used");
                let sentence = "This server is not set up correctly. Tell whoever runs it.";
                respond::error_answer(StatusCode::INTERNAL_SERVER_ERROR, "misconfigured", sentence)
            }
            other => {
                tracing::warn!(error = %other, "a session's tokens were not refreshed");
                let after = match other {
                    SessionError::Retry { after: Some(after), .. } => after.as_secs().max(1),
                    _ => 2,
                };
                let sentence = "Your server cannot be asked for new tokens just now. You are still signed in; try again.";
                let mut response = respond::error_answer(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "temporarily_unavailable",
                    sentence,
                );
                response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(after));
                response
            }
        }
    }
}

/// A call to a person's server, without what authorizes it.
struct Call {
    method: Method,
    url: Url,
    headers: HeaderMap,
}

impl Call {
    /// The call that a request stands for, at the person's server.
    fn of(parts: &request::Parts, ready: &ReadySession) -> Result<Self, Refusal> {
        let path =
            parts.uri.path_and_query().map_or_else(|| parts.uri.path(), http::uri::PathAndQuery::as_str);
        let url = ready.record().pds.join(path).parse().map_err(|_| {
            respond::error_answer(StatusCode::BAD_REQUEST, "invalid_request", "the address is not a URL")
        })?;
        Ok(Self { method: parts.method.clone(), url, headers: chosen(&parts.headers, &FORWARDED) })
    }

    /// Whether the person's server is to pass the call on to another.
    fn is_passed_on(&self) -> bool {
        self.headers.contains_key("atproto-proxy")
    }

    /// A call that costs little and that every session may make. Its answer brings the server's nonce, which may have
    /// changed since it was last heard, and tells whether the access token is still taken.
    fn small(ready: &ReadySession) -> Result<Self, CallError> {
        let url = ready.record().pds.join("/xrpc/com.atproto.server.getSession").parse();
        let url = url.map_err(|_| SessionError::Misconfigured("the session's server is no URL".to_owned()));
        let url = url.map_err(CallError::Session)?;
        Ok(Self { method: Method::GET, url, headers: HeaderMap::new() })
    }
}

/// Why a call has no answer.
enum CallError {
    Http(HttpError),
    Session(SessionError),
    TooLarge,
}

/// Which second tries were made: one for a nonce with each token, one for the time, one for a token.
#[derive(Default)]
struct Tries {
    nonce: bool,
    time: bool,
    token: bool,
}

impl Tries {
    fn may_answer_nonce(&mut self) -> bool {
        !std::mem::replace(&mut self.nonce, true)
    }

    fn may_correct_time(&mut self) -> bool {
        !std::mem::replace(&mut self.time, true)
    }

    fn may_renew(&mut self) -> bool {
        self.nonce = false;
        !std::mem::replace(&mut self.token, true)
    }
}

/// What the person's server answered, as far as it is theirs to say on this site.
fn returned<B>(response: Response<B>) -> Response<Body>
where
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<BodyError>,
{
    let (parts, body) = response.into_parts();
    if parts.status.is_informational() {
        // 101 would make the connection between a proxy and this server theirs.
        let sentence = "Your server answered with a status that is no answer.";
        return whole(respond::error_answer(StatusCode::BAD_GATEWAY, "bad_response", sentence));
    }
    let mut answer = Response::new(Body::streamed(body));
    *answer.status_mut() = parts.status;
    let headers = answer.headers_mut();
    *headers = chosen(&parts.headers, &RETURNED);
    // An answer to a session is nobody else's to keep, and of no use to the next person in the same browser.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    headers.insert(VARY, HeaderValue::from_static("cookie"));
    answer
}

/// These fields, each once: a field that is there twice is read in two ways by somebody.
fn chosen(headers: &HeaderMap, names: &[HeaderName]) -> HeaderMap {
    names.iter().filter_map(|name| Some((name.clone(), headers.get(name)?.clone()))).collect()
}

fn unreachable_server(error: &HttpError) -> Response<Bytes> {
    tracing::warn!(%error, "a person's server gave no answer");
    if error.is_timeout() {
        let sentence = "Your server did not answer in time.";
        return respond::error_answer(StatusCode::GATEWAY_TIMEOUT, "transport", sentence);
    }
    let sentence = match error.kind() {
        HttpErrorKind::Blocked => "Your server's address is not on the public internet.",
        _ => "Your server cannot be reached.",
    };
    respond::error_answer(StatusCode::BAD_GATEWAY, "transport", sentence)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(status: u16, fields: &[(&'static str, &'static str)]) -> Response<Body> {
        let mut response = Response::builder().status(status);
        for (name, value) in fields {
            response = response.header(*name, *value);
        }
        returned(response.body(Full::new(Bytes::from_static(b"{}"))).unwrap())
    }

    #[test]
    fn no_server_lets_others_keep_a_persons_answer() {
        for caching in ["public, max-age=31536000", "max-age=60", "private, max-age=60", ""] {
            let answer = answered(200, &[("cache-control", caching)]);
            assert_eq!(answer.headers()[CACHE_CONTROL], "private, no-cache", "{caching:?}");
            assert_eq!(answer.headers()[VARY], "cookie");
        }
    }

    #[test]
    fn a_server_takes_over_no_connection_and_sets_no_cookie() {
        assert_eq!(answered(101, &[("upgrade", "websocket")]).status(), StatusCode::BAD_GATEWAY);
        let fields = [
            ("content-type", "text/html"),
            ("content-type", "text/plain"),
            ("set-cookie", "a=b"),
            ("connection", "x"),
        ];
        let answer = answered(200, &fields);
        let kept: Vec<_> = answer.headers().iter().filter(|(name, _)| *name == CONTENT_TYPE).collect();
        assert_eq!(kept.len(), 1);
        assert!(!answer.headers().contains_key(SET_COOKIE) && !answer.headers().contains_key("connection"));
    }
}
