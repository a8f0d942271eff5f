//! Who is signed in with a browser: the session cookie, and what hangs on it.

use std::sync::Arc;
use std::time::Duration;

use http::header::{HeaderMap, HeaderValue};
use vestibule_atproto_identity::login::{AtprotoStrategy, Ended, ReadySession, SessionKey, Sessions};
use vestibule_oauth_core::{HttpClient, StoreUnavailable, UnixTime, base64url};
use vestibule_storage::{WebSession, WebSessionId, WebSessionStore};
use vestibule_strategy::Auth;
use vestibule_strategy::cookie::CookiePolicy;

use crate::ambient;

/// The sessions of browsers at this server.
#[derive(Clone)]
pub(crate) struct WebSessions {
    store: Arc<dyn WebSessionStore>,
    cookies: CookiePolicy,
    http: Arc<dyn HttpClient>,
}

/// The name of the session cookie, before the policy's prefix.
const COOKIE: &str = "vestibule.session";

/// How long a browser stays signed in: as long as a public client's session at the person's server may last (R98).
const LIFETIME: Duration = Duration::from_secs(14 * 24 * 3600);

impl WebSessions {
    pub(crate) fn new(
        store: Arc<dyn WebSessionStore>,
        cookies: CookiePolicy,
        http: Arc<dyn HttpClient>,
    ) -> Self {
        Self { store, cookies, http }
    }

    /// The session of the browser that sends these headers.
    pub(crate) async fn current(
        &self,
        headers: &HeaderMap,
        now: UnixTime,
    ) -> Result<Option<WebSession>, StoreUnavailable> {
        match self.id(headers) {
            Some(id) => self.store.load(id, now).await,
            None => Ok(None),
        }
    }

    /// Signs a browser in to the account `subject`, under an id that nobody had before. Gives the cookie to set.
    pub(crate) async fn begin(
        &self,
        subject: String,
        auth: &Auth,
        upstream: Option<SessionKey>,
        now: UnixTime,
    ) -> Result<Option<HeaderValue>, StoreUnavailable> {
        let value = base64url::encode(ambient::octets::<32>());
        let id = WebSessionId::of_cookie(&value);
        let mut session = WebSession::new(id, subject, auth.provider.clone(), now, now.after(LIFETIME));
        session.name = shown_name(auth);
        session.session = upstream;
        self.store.put(session).await?;
        Ok(self.cookies.set(COOKIE, &value, Some(LIFETIME.as_secs())))
    }

    /// Changes which session at a person's server a browser's session uses. Gives it as it is then.
    pub(crate) async fn use_upstream(
        &self,
        mut session: WebSession,
        upstream: Option<SessionKey>,
    ) -> Result<WebSession, StoreUnavailable> {
        session.session = upstream;
        self.store.put(session.clone()).await?;
        Ok(session)
    }

    /// Ends every session of this person but this one.
    pub(crate) async fn leave_elsewhere(
        &self,
        session: &WebSession,
    ) -> Result<Vec<WebSession>, StoreUnavailable> {
        self.store.remove_all(&session.subject, Some(session.id)).await
    }

    /// Ends the session of the browser that sends these headers. Gives the session at the person's server, if no other
    /// browser and no app uses it: it is to be ended next.
    pub(crate) async fn leave(&self, headers: &HeaderMap) -> Result<Option<SessionKey>, StoreUnavailable> {
        let Some(id) = self.id(headers) else { return Ok(None) };
        let Some(upstream) = self.store.remove(id).await?.and_then(|session| session.session) else {
            return Ok(None);
        };
        let used = self.is_used(&upstream, ambient::now()).await?;
        Ok(Some(upstream).filter(|_| !used))
    }

    /// Ends every session of this person, in whichever browser.
    pub(crate) async fn leave_everywhere(&self, subject: &str) -> Result<Vec<WebSession>, StoreUnavailable> {
        self.store.remove_all(subject, None).await
    }

    /// Whether a browser or an app uses this session at the person's server.
    pub(crate) async fn is_used(
        &self,
        session: &SessionKey,
        now: UnixTime,
    ) -> Result<bool, StoreUnavailable> {
        Ok(self.store.uses(session, now).await? > 0)
    }

    /// Ends a session at the person's server. If that server cannot be told, its tokens end by themselves.
    pub(crate) async fn end_upstream(&self, session: &SessionKey, sessions: &Sessions) {
        match sessions.end(session, &ambient::seed(), ambient::now(), &*self.http).await {
            Ok(Ended::HereOnly(why)) => {
                tracing::warn!(%session, why, "signed out here, but tokens were not revoked")
            }
            Ok(_) => tracing::info!(%session, "signed out"),
            Err(error) => tracing::error!(%session, %error, "a session was not ended"),
        }
    }

    /// Ends a session whose server refuses its fresh token.
    pub(crate) async fn end_refused(&self, refused: &ReadySession, sessions: &Sessions) {
        let ended = sessions.end_refused(refused, &ambient::seed(), ambient::now(), &*self.http).await;
        tracing::warn!(session = %refused.record().key, ?ended, "a fresh token was refused");
    }

    /// What is left of a browser's session when the session at the person's server is over: nothing, if that is how they signed in;
    /// who signed in by other means stays signed in.
    pub(crate) async fn without_upstream(
        &self,
        session: WebSession,
    ) -> Result<Option<WebSession>, StoreUnavailable> {
        if session.provider.as_str() == AtprotoStrategy::KIND {
            self.store.remove(session.id).await?;
            return Ok(None);
        }
        self.use_upstream(session, None).await.map(Some)
    }

    /// The cookie that takes the session cookie away.
    pub(crate) fn clear(&self) -> Option<HeaderValue> {
        self.cookies.clear(COOKIE)
    }

    fn id(&self, headers: &HeaderMap) -> Option<WebSessionId> {
        self.cookies.read(headers, COOKIE).map(WebSessionId::of_cookie)
    }
}

/// What a person is shown as, on a page of theirs.
pub(crate) fn person(session: &WebSession) -> String {
    match &session.name {
        Some(handle) if session.provider.as_str() == AtprotoStrategy::KIND => format!("@{handle}"),
        Some(name) => name.clone(),
        None => session.subject.clone(),
    }
}

/// What an identity is shown as: what people know it by there, or the name they go by. A provider may say anything, so it is short
/// and of one line.
pub(crate) fn shown_name(auth: &Auth) -> Option<String> {
    let verified_email = auth.info.email.as_ref().filter(|_| auth.info.email_verified == Some(true));
    let name = auth.info.nickname.as_ref().or(verified_email).or(auth.info.name.as_ref())?;
    let short: String = name.chars().filter(|c| !c.is_control()).take(SHOWN_CHARS).collect();
    Some(short).filter(|name| !name.trim().is_empty())
}

/// A handle has up to 253 octets, all of them ASCII.
const SHOWN_CHARS: usize = 253;
