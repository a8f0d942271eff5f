//! What a person has signed in elsewhere: apps, and other browsers. To end all apps' access and to sign out everywhere are two acts:
//! the first leaves every browser signed in, the second leaves every app as it is.

use std::sync::Arc;

use bytes::Bytes;
use http::header::SET_COOKIE;
use http::{Request, Response, StatusCode, request};
use http_body::Body as HttpBody;
use vestibule_atproto_identity::login::SessionKey;
use vestibule_oauth_core::{FormRules, Params, StoreUnavailable, UnixTime};
use vestibule_storage::WebSession;
use vestibule_strategy::Provenance;
use vestibule_token_endpoint::{EndReason, Grant, GrantId};

use crate::ambient;
use crate::app::App;
use crate::body::BodyError;
use crate::form::read_form;
use crate::pages::Connection;
use crate::respond;

impl App {
    /// The apps that this person has let in, for the signed-in page.
    pub(crate) async fn connections(
        &self,
        subject: &str,
        now: UnixTime,
    ) -> Result<Vec<Connection>, StoreUnavailable> {
        let ports = self.oauth.ports();
        let mut connections = Vec::new();
        for grant in ports.store.grants_of(subject, now).await? {
            let client = ports.clients.client(grant.client.as_str()).await?;
            let name = client.and_then(|client| client.name.clone());
            connections.push(Connection {
                grant: grant.id.to_string(),
                name: name.unwrap_or_else(|| grant.client.to_string()),
                scopes: grant.scope.iter().map(str::to_owned).collect(),
            });
        }
        Ok(connections)
    }

    /// `POST /connections/end`: ends one app's access (`grant`), or that of all.
    pub(crate) async fn end_connections<B>(self: Arc<Self>, request: Request<B>) -> Response<Bytes>
    where
        B: HttpBody + Send,
        B::Data: Send,
        B::Error: Into<BodyError>,
    {
        let (parts, body) = request.into_parts();
        let (session, form) = match self.own_form(&parts, body).await {
            Ok(both) => both,
            Err(refusal) => return *refusal,
        };
        let params = Params::parse(&form, &FormRules::DEFAULT).unwrap_or_default();
        let (store, now) = (self.oauth.ports().store, ambient::now());
        let ended = match params.value("grant") {
            None => store.end_grants_of(&session.subject, EndReason::ByPerson, now).await,
            Some(id) => match id.parse::<GrantId>() {
                Ok(id) => self.end_own(&session, id, now).await,
                Err(_) => Ok(Vec::new()),
            },
        };
        match ended {
            Ok(ended) => {
                for grant in &ended {
                    tracing::warn!(target: "vestibule::audit", client = grant.client.as_str(), grant = %grant.id, "grant ended: the person ended it");
                }
                self.release(ended.into_iter().filter_map(|grant| grant.context).collect());
                respond::see_other("/")
            }
            Err(unavailable) => self.unavailable(&parts, &unavailable),
        }
    }

    /// Ends one grant, if it is this person's.
    async fn end_own(
        &self,
        session: &WebSession,
        id: GrantId,
        now: UnixTime,
    ) -> Result<Vec<Grant>, StoreUnavailable> {
        let store = self.oauth.ports().store;
        let stored = store.grant(id).await?;
        if stored.is_none_or(|stored| stored.grant.subject != session.subject) {
            return Ok(Vec::new());
        }
        Ok(store.end_grant(id, EndReason::ByPerson, now).await?.into_iter().collect())
    }

    /// `POST /sessions/end`: signs the person out in every browser, this one included.
    pub(crate) async fn sign_out_everywhere<B>(self: Arc<Self>, request: Request<B>) -> Response<Bytes>
    where
        B: HttpBody + Send,
        B::Data: Send,
        B::Error: Into<BodyError>,
    {
        let (parts, body) = request.into_parts();
        let (session, _) = match self.own_form(&parts, body).await {
            Ok(both) => both,
            Err(refusal) => return *refusal,
        };
        match self.web.leave_everywhere(&session.subject).await {
            Ok(ended) => {
                tracing::info!(subject = %session.subject, browsers = ended.len(), "signed out everywhere");
                self.release(
                    ended
                        .iter()
                        .filter_map(|ended| ended.session.as_ref().map(SessionKey::to_string))
                        .collect(),
                );
                let mut response = respond::see_other("/");
                response.headers_mut().extend(self.web.clear().map(|cookie| (SET_COOKIE, cookie)));
                response
            }
            Err(unavailable) => self.unavailable(&parts, &unavailable),
        }
    }

    /// A form of our own page, and whose it is.
    pub(crate) async fn own_form<B>(
        &self,
        parts: &request::Parts,
        body: B,
    ) -> Result<(WebSession, Bytes), Box<Response<Bytes>>>
    where
        B: HttpBody + Send,
        B::Data: Send,
        B::Error: Into<BodyError>,
    {
        if !Provenance::of(&parts.headers, &self.public_url).may_post() {
            return Err(Box::new(self.cross_site(parts)));
        }
        let form = read_form(parts, body).await.map_err(|refusal| Box::new(refusal.into()))?;
        match self.web.current(&parts.headers, ambient::now()).await {
            Ok(Some(session)) => Ok((session, form)),
            Ok(None) => Err(Box::new(self.nobody(parts))),
            Err(unavailable) => Err(Box::new(self.unavailable(parts, &unavailable))),
        }
    }

    fn nobody(&self, parts: &request::Parts) -> Response<Bytes> {
        if respond::wants_page(&parts.headers) {
            return respond::see_other("/");
        }
        respond::error_answer(
            StatusCode::UNAUTHORIZED,
            "not_signed_in",
            "Nobody is signed in with this browser.",
        )
    }

    /// Ends the sessions at people's servers that these were the last to use. Nobody waits for it.
    pub(crate) fn release(self: &Arc<Self>, contexts: Vec<String>) {
        let app = Arc::clone(self);
        // What is cut short by a crash is found by the next sweep.
        let _unwaited = self.login().carry_out(async move {
            for context in contexts {
                let Ok(session) = context.parse::<SessionKey>() else { continue };
                match app.web.is_used(&session, ambient::now()).await {
                    Ok(false) => app.web.end_upstream(&session, app.sessions()).await,
                    Ok(true) => {}
                    Err(error) => tracing::warn!(%session, %error, "a session was not ended"),
                }
            }
        });
    }
}
