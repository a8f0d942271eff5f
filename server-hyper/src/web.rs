//! Who is signed in with a browser: the session cookie, and what hangs on it.

use std::sync::Arc;
use std::time::Duration;

use http::header::{HeaderMap, HeaderValue};
use vestibule_atproto_identity::login::{Ended, ReadySession, SessionKey, Sessions};
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

    /// Signs a browser in, under an id that nobody had before. Gives the cookie to set.
    pub(crate) async fn begin(
        &self,
        auth: &Auth,
        upstream: SessionKey,
        now: UnixTime,
    ) -> Result<Option<HeaderValue>, StoreUnavailable> {
        let value = base64url::encode(ambient::octets::<32>());
        let id = WebSessionId::of_cookie(&value);
        let mut session =
            WebSession::new(id, auth.uid.clone(), auth.provider.clone(), now, now.after(LIFETIME));
        session.name = auth.info.nickname.clone();
        session.session = Some(upstream);
        self.store.put(session).await?;
        Ok(self.cookies.set(COOKIE, &value, Some(LIFETIME.as_secs())))
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

    /// Forgets the session of this browser, whose session at the person's server is over.
    pub(crate) async fn forget(&self, session: &WebSession) -> Result<(), StoreUnavailable> {
        self.store.remove(session.id).await.map(drop)
    }

    /// The cookie that takes the session cookie away.
    pub(crate) fn clear(&self) -> Option<HeaderValue> {
        self.cookies.clear(COOKIE)
    }

    fn id(&self, headers: &HeaderMap) -> Option<WebSessionId> {
        self.cookies.read(headers, COOKIE).map(WebSessionId::of_cookie)
    }
}
