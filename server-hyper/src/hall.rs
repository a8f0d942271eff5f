//! What happens after a login: a session for the browser, one identity more for an account, or a page that says what went wrong.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{HeaderValue, RETRY_AFTER, SET_COOKIE};
use http::{Method, Response, StatusCode, request};
use vestibule_atproto_identity::login::SessionKey;
use vestibule_oauth_core::{BoxFuture, StoreUnavailable, base64url};
use vestibule_storage::{
    AccountStore, Housekeeping, Identity, IdentityKey, Linked, SESSIONS_PER_PERSON, WebSession,
};
use vestibule_strategy::{Auth, Failure, FailureKind, Fault, Intent, Phase, ReturnTo};

use crate::ambient;
use crate::login::{FailedLogin, FinishedLogin, LoginHooks};
use crate::pages::{Pages, Problem, SignIn};
use crate::respond;
use crate::web::{WebSessions, shown_name};

/// What this server answers to a login: a cookie session and the way on, or a page that says what went wrong.
pub(crate) struct Hall {
    pub(crate) web: WebSessions,
    pub(crate) accounts: Arc<dyn AccountStore>,
    pub(crate) pages: Arc<Pages>,
    pub(crate) housekeeping: Arc<dyn Housekeeping>,
}

impl LoginHooks for Hall {
    fn signed_in<'a>(
        &'a self,
        login: FinishedLogin,
        request: &'a request::Parts,
    ) -> BoxFuture<'a, Response<Bytes>> {
        Box::pin(async move {
            let done = match &login.flow.intent {
                Intent::Link { subject } => self.link(&login, subject, request).await,
                _ => self.sign_in(&login, request).await,
            };
            match done {
                Ok(response) => response,
                Err(fault) => self.undone(login, fault, request).await,
            }
        })
    }

    fn failed<'a>(
        &'a self,
        login: FailedLogin,
        request: &'a request::Parts,
    ) -> BoxFuture<'a, Response<Bytes>> {
        Box::pin(async move { self.refusal(&login, request) })
    }

    fn account<'a>(
        &'a self,
        request: &'a request::Parts,
    ) -> BoxFuture<'a, Result<Option<String>, StoreUnavailable>> {
        Box::pin(async move {
            let session = self.web.current(&request.headers, ambient::now()).await?;
            Ok(session.map(|session| session.subject))
        })
    }
}

impl Hall {
    /// A session for the browser, in the account of whoever it is.
    async fn sign_in(
        &self,
        login: &FinishedLogin,
        request: &request::Parts,
    ) -> Result<Response<Bytes>, Fault> {
        let (auth, now) = (&login.auth, ambient::now());
        // Nobody but the person can sign in with a DID, so it may name the account for ever.
        let did = login.session.as_ref().map(|session| session.did().to_string());
        let subjects = did.into_iter().chain([base64url::encode(ambient::octets::<16>())]).collect();
        let subject = self.accounts.sign_in(identity(auth), subjects).await.map_err(not_kept)?;
        let begun = self.web.begin(subject, auth, login.session.clone(), now).await;
        let cookie = begun.map_err(not_kept)?;
        self.end_surplus(login).await;
        // The session this browser had before is over. Its server may be slow to hear of it, so nobody waits.
        match self.web.leave(&request.headers).await {
            Ok(Some(former)) => self.end(login, former),
            Ok(None) => {}
            Err(error) => tracing::warn!(%error, "the browser's former session was not ended"),
        }
        let mut response = self.onward(login);
        response.headers_mut().extend(cookie.map(|cookie| (SET_COOKIE, cookie)));
        Ok(response)
    }

    /// One identity more for the account that the linking was begun for.
    async fn link(
        &self,
        login: &FinishedLogin,
        subject: &str,
        request: &request::Parts,
    ) -> Result<Response<Bytes>, Fault> {
        let session = self.web.current(&request.headers, ambient::now()).await.map_err(not_kept)?;
        match &session {
            Some(session) if session.subject == subject => {}
            // With a provider's own form the session cookie does not come; the cookie of the flow does, and the flow was begun by
            // whoever was signed in.
            None if request.method == Method::POST => {}
            _ => {
                let detail = "the browser is not signed in to the account that the linking was begun for";
                return Err(Fault::new(FailureKind::NotSignedIn, detail));
            }
        }
        let key = IdentityKey::of(&login.auth);
        match self.accounts.link(subject, identity(&login.auth)).await.map_err(not_kept)? {
            Linked::Linked => {
                tracing::warn!(target: "vestibule::audit", subject, realm = key.realm, uid = key.uid, "identity linked");
            }
            Linked::Already => {}
            Linked::Taken => {
                return Err(Fault::new(FailureKind::IdentityTaken, "the identity is of another account"));
            }
            Linked::Full => {
                return Err(Fault::new(FailureKind::TooManyIdentities, "the account has as many as it may"));
            }
            Linked::NoAccount => return Err(Fault::new(FailureKind::NotSignedIn, "the account is gone")),
        }
        self.keep_upstream(login, session.as_ref()).await;
        Ok(self.onward(login))
    }

    /// A browser that is signed in by other means has a session at the person's server as well from now on; one that had one keeps it.
    async fn keep_upstream(&self, login: &FinishedLogin, session: Option<&WebSession>) {
        let Some(upstream) = &login.session else { return };
        if let Some(session) = session
            && session.session.is_none()
        {
            match self.web.use_upstream(session.clone(), Some(upstream.clone())).await {
                Ok(_) => return,
                Err(error) => tracing::warn!(%error, "a session was not kept with the browser's"),
            }
        }
        self.end(login, upstream.clone());
    }

    /// What was issued for a login that came to nothing after all is given back; then it is a failed one.
    async fn undone(&self, login: FinishedLogin, fault: Fault, request: &request::Parts) -> Response<Bytes> {
        tracing::warn!(provider = %login.auth.provider, code = fault.kind().code(), detail = fault.detail(), "not signed in");
        if let Some(upstream) = &login.session {
            self.web.end_upstream(upstream, &login.sessions).await;
        }
        let failure = Failure::new(login.auth.provider, Phase::Callback, fault);
        let (return_to, intent) = (login.flow.return_to, login.flow.intent);
        self.refusal(&FailedLogin { failure, handle: None, return_to, intent }, request)
    }

    fn refusal(&self, login: &FailedLogin, request: &request::Parts) -> Response<Bytes> {
        let failure = &login.failure;
        let (kind, sentence) = (failure.kind(), failure.for_person());
        let mut response = if !respond::wants_page(&request.headers) {
            respond::failure_answer(failure)
        } else if matches!(login.intent, Intent::Link { .. }) {
            let page = self.pages.notice("Not linked", sentence, Some(kind.code()));
            respond::page(kind.status(), page)
        } else {
            let problem = Problem { sentence, code: kind.code() };
            // What another site wrote into its link is not offered for sending again.
            let own = *kind != FailureKind::CrossSiteRequest;
            let handle = login.handle.as_deref().filter(|_| own).unwrap_or_default();
            let return_to = login.return_to.as_ref().map(ReturnTo::as_str);
            let page = SignIn { handle, return_to, problem: Some(problem), client: None };
            respond::page(kind.status(), self.pages.sign_in(&page))
        };
        let after = match response.status() {
            StatusCode::SERVICE_UNAVAILABLE => Some("2"),
            StatusCode::TOO_MANY_REQUESTS => Some("60"),
            _ => None,
        };
        response.headers_mut().extend(after.map(|after| (RETRY_AFTER, HeaderValue::from_static(after))));
        response
    }

    fn onward(&self, login: &FinishedLogin) -> Response<Bytes> {
        respond::see_other(login.flow.return_to.as_ref().map_or("/", ReturnTo::as_str))
    }

    /// Ends a session at a person's server. Nobody waits for it.
    fn end(&self, login: &FinishedLogin, session: SessionKey) {
        let (web, sessions) = (self.web.clone(), Arc::clone(&login.sessions));
        login.carry_out(async move { web.end_upstream(&session, &sessions).await });
    }

    /// Ends the sessions that this person has beyond what anybody needs, those used longest ago first.
    async fn end_surplus(&self, login: &FinishedLogin) {
        let Some(session) = &login.session else { return };
        match self.housekeeping.surplus(session.did()).await {
            Ok(surplus) => {
                for session in surplus {
                    tracing::info!(%session, most = SESSIONS_PER_PERSON, "session over: its person has more than anybody needs");
                    self.end(login, session);
                }
            }
            Err(error) => tracing::warn!(%error, "surplus sessions were not ended"),
        }
    }
}

/// What is kept of who signed in.
fn identity(auth: &Auth) -> Identity {
    Identity::new(IdentityKey::of(auth), auth.provider.clone(), shown_name(auth), ambient::now())
}

fn not_kept(error: StoreUnavailable) -> Fault {
    tracing::error!(%error, "a sign-in was not kept");
    Fault::new(FailureKind::SessionStoreFailed, "the store is not available")
}
