//! What happens after a login: a session for the browser, or a page that says what went wrong.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{HeaderValue, RETRY_AFTER, SET_COOKIE};
use http::{Response, StatusCode, request};
use vestibule_oauth_core::{BoxFuture, StoreUnavailable};
use vestibule_storage::{Housekeeping, SESSIONS_PER_PERSON};
use vestibule_strategy::{FailureKind, ReturnTo};

use crate::ambient;
use crate::login::{FailedLogin, FinishedLogin, LoginHooks};
use crate::pages::{Pages, Problem, SignIn};
use crate::respond;
use crate::web::WebSessions;

/// What this server answers to a login: a cookie session and the way on, or a page that says what went wrong.
pub(crate) struct Hall {
    pub(crate) web: WebSessions,
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
            let cookie = match self.web.begin(&login.auth, login.session.clone(), ambient::now()).await {
                Ok(cookie) => cookie,
                Err(error) => return self.not_signed_in(&login, request, &error).await,
            };
            self.end_surplus(&login).await;
            // The session this browser had before is over. Its server may be slow to hear of it, so nobody waits.
            match self.web.leave(&request.headers).await {
                Ok(Some(former)) => {
                    let (web, sessions) = (self.web.clone(), Arc::clone(&login.sessions));
                    login.carry_out(async move { web.end_upstream(&former, &sessions).await });
                }
                Ok(None) => {}
                Err(error) => tracing::warn!(%error, "the browser's former session was not ended"),
            }
            let mut response =
                respond::see_other(login.flow.return_to.as_ref().map_or("/", ReturnTo::as_str));
            response.headers_mut().extend(cookie.map(|cookie| (SET_COOKIE, cookie)));
            response
        })
    }

    fn failed<'a>(
        &'a self,
        login: FailedLogin,
        request: &'a request::Parts,
    ) -> BoxFuture<'a, Response<Bytes>> {
        Box::pin(async move {
            let failure = &login.failure;
            let mut response = if respond::wants_page(&request.headers) {
                let problem = Problem { sentence: failure.for_person(), code: failure.kind().code() };
                // What another site wrote into its link is not offered for sending again.
                let own = *failure.kind() != FailureKind::CrossSiteRequest;
                let handle = login.handle.as_deref().filter(|_| own).unwrap_or_default();
                let return_to = login.return_to.as_ref().map(ReturnTo::as_str);
                let page = SignIn { handle, return_to, problem: Some(problem), client: None };
                respond::page(failure.kind().status(), self.pages.sign_in(&page))
            } else {
                respond::failure_answer(failure)
            };
            let after = match response.status() {
                StatusCode::SERVICE_UNAVAILABLE => Some("2"),
                StatusCode::TOO_MANY_REQUESTS => Some("60"),
                _ => None,
            };
            response.headers_mut().extend(after.map(|after| (RETRY_AFTER, HeaderValue::from_static(after))));
            response
        })
    }
}

impl Hall {
    /// Ends the sessions that this person has beyond what anybody needs, those used longest ago first.
    async fn end_surplus(&self, login: &FinishedLogin) {
        match self.housekeeping.surplus(login.session.did()).await {
            Ok(surplus) => {
                for session in surplus {
                    tracing::info!(%session, most = SESSIONS_PER_PERSON, "session over: its person has more than anybody needs");
                    let (web, sessions) = (self.web.clone(), Arc::clone(&login.sessions));
                    login.carry_out(async move { web.end_upstream(&session, &sessions).await });
                }
            }
            Err(error) => tracing::warn!(%error, "surplus sessions were not ended"),
        }
    }

    /// Nothing here holds the session that was just made, so it ends.
    async fn not_signed_in(
        &self,
        login: &FinishedLogin,
        request: &request::Parts,
        error: &StoreUnavailable,
    ) -> Response<Bytes> {
        tracing::error!(%error, "a web session was not stored");
        self.web.end_upstream(&login.session, &login.sessions).await;
        let kind = FailureKind::SessionStoreFailed;
        if respond::wants_page(&request.headers) {
            let problem = Some(Problem { sentence: kind.for_person(), code: kind.code() });
            return respond::page(
                kind.status(),
                self.pages.sign_in(&SignIn { problem, ..SignIn::default() }),
            );
        }
        respond::error_answer(kind.status(), kind.code(), kind.for_person())
    }
}
