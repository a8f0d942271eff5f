//! The authorization endpoint as people see it: who signs in, what an app asks for, yes or no.
//!
//! What a browser brings is kept at once under a name, so that the sign-in page, the person's own provider and the consent page carry
//! that name and no parameters. Nothing of an app's link is acted upon before the person has pressed a button of ours.

use bytes::Bytes;
use http::header::{HeaderValue, RETRY_AFTER};
use http::{Request, Response, StatusCode, request};
use http_body::Body as HttpBody;
use url::Url;
use vestibule_oauth_core::{FormRules, Params, UnixTime};
use vestibule_storage::WebSession;
use vestibule_strategy::Provenance;
use vestibule_token_endpoint::{
    Authorization, AuthorizationError, AuthorizationRequest, Client, Consent, Denial, Endpoint, Entropy,
    Event, EventKind, Grant, Redirect,
};

use crate::ambient;
use crate::app::{App, Visitor};
use crate::body::BodyError;
use crate::form::read_form;
use crate::oauth::{path, tell};
use crate::pages::{Asked, SignIn};
use crate::respond;
use crate::web::person;

impl App {
    /// `GET /oauth2/authorize`: an app sends somebody here, or they come back from signing in.
    pub(crate) async fn authorize(&self, parts: request::Parts) -> Response<Bytes> {
        let query = parts.uri.query().unwrap_or_default().as_bytes().to_vec();
        match self.read_authorization(&parts, &query).await {
            Ok(authorization) => self.ask(&parts, &authorization).await,
            Err(refusal) => *refusal,
        }
    }

    /// `POST /oauth2/authorize`: the person's answer; or, as RFC 6749, section 3.1, allows, an app's request in a form.
    pub(crate) async fn authorize_form<B>(&self, request: Request<B>) -> Response<Bytes>
    where
        B: HttpBody + Send,
        B::Data: Send,
        B::Error: Into<BodyError>,
    {
        let (parts, body) = request.into_parts();
        let form = match read_form(&parts, body).await {
            Ok(form) => form,
            Err(refusal) => return refusal.into(),
        };
        let params =
            Params::parse(&form, &FormRules::DEFAULT.with_repeatable(&["resource"])).unwrap_or_default();
        let Some(decision) = params.value("decision").map(str::to_owned) else {
            // A form that stands on another site brings no cookie of ours; the page it leads to does.
            return match self.read_authorization(&parts, &form).await {
                Ok(authorization) => {
                    respond::see_other(&format!("{}?{}", path::AUTHORIZE, authorization.query()))
                }
                Err(refusal) => *refusal,
            };
        };
        if !Provenance::of(&parts.headers, &self.public_url).may_post() {
            return self.cross_site(&parts);
        }
        let authorization = match self.read_authorization(&parts, &form).await {
            Ok(authorization) => authorization,
            Err(refusal) => return *refusal,
        };
        match decision.as_str() {
            "deny" => self.leave(self.oauth.endpoint().refuse(&authorization, Denial::AccessDenied)),
            "allow" => self.allow(&parts, &authorization, params.value("subject")).await,
            _ => self.denied_page(&parts, &Denial::Missing("decision")),
        }
    }

    async fn read_authorization(
        &self,
        parts: &request::Parts,
        query: &[u8],
    ) -> Result<Authorization, Box<Response<Bytes>>> {
        let (entropy, now) = (Entropy::new(ambient::octets()), ambient::now());
        let endpoint = self.oauth.endpoint();
        if !names_a_kept_one(query) && self.oauth.admit_stranger(&parts.extensions, now).is_err() {
            return Err(Box::new(self.too_many_begun(parts)));
        }
        endpoint.read_authorization(query, &entropy, now, self.oauth.ports()).await.map_err(|error| {
            tell(&denied(error.denial().clone()));
            Box::new(match &error {
                AuthorizationError::Client(denial, address) => {
                    respond::see_other(address.refusing(denial, endpoint.issuer()).as_str())
                }
                other => self.denied_page(parts, other.denial()),
            })
        })
    }

    /// One request too many was begun from this address.
    fn too_many_begun(&self, parts: &request::Parts) -> Response<Bytes> {
        let status = StatusCode::TOO_MANY_REQUESTS;
        let sentence =
            "Too many requests were begun from your network. Wait a minute, then start again in the app.";
        let mut response = match respond::wants_page(&parts.headers) {
            true => {
                respond::page(status, self.pages().notice("Too many at once", sentence, Some("rate_limited")))
            }
            false => respond::error_answer(status, "rate_limited", sentence),
        };
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("60"));
        response
    }

    /// The page that this person is to see: to sign in, or to say yes or no.
    async fn ask(&self, parts: &request::Parts, authorization: &Authorization) -> Response<Bytes> {
        let visitor = match self.signed_in(parts).await {
            Ok(visitor) => visitor,
            Err(unavailable) => return self.unavailable(parts, &unavailable),
        };
        let asked = &authorization.request;
        let signed_in = match visitor {
            Visitor::SignedIn(both) => {
                Some(both.0).filter(|session| is_recent(session, authorization, ambient::now()))
            }
            Visitor::Nobody | Visitor::Ended => None,
        };
        match signed_in {
            None if asked.prompt.nothing() => {
                self.leave(self.oauth.endpoint().refuse(authorization, Denial::LoginRequired))
            }
            None => self.sign_in_for(authorization),
            Some(session) if asked.prompt.nothing() => match self.has_agreed(&session, authorization).await {
                Ok(true) => self.issue(parts, authorization, &session).await,
                Ok(false) => self.leave(self.oauth.endpoint().refuse(authorization, Denial::ConsentRequired)),
                Err(denial) => self.denied_page(parts, &denial),
            },
            Some(session) => self.consent_page(authorization, &session),
        }
    }

    /// The sign-in page itself, with whom the app thinks it is filled in. Its form is ours and posts from here.
    fn sign_in_for(&self, authorization: &Authorization) -> Response<Bytes> {
        let return_to = format!("{}?{}", path::AUTHORIZE, authorization.query());
        let client = name_of(&authorization.client);
        let page = SignIn {
            handle: authorization.request.login_hint.as_deref().unwrap_or_default(),
            return_to: Some(&return_to),
            client: Some(client),
            problem: None,
        };
        respond::page(StatusCode::OK, self.pages().sign_in(&page))
    }

    fn consent_page(&self, authorization: &Authorization, session: &WebSession) -> Response<Bytes> {
        let asked: &AuthorizationRequest = &authorization.request;
        let page = Asked {
            client: name_of(&authorization.client),
            client_id: asked.client.as_str(),
            place: place_of(asked.redirect_uri.url()),
            action: path::AUTHORIZE,
            field: ("request_uri", authorization.request_uri()),
            scopes: asked.scope.iter().map(str::to_owned).collect(),
            resources: &asked.resources,
            subject: &session.subject,
            person: person(session),
        };
        respond::page(StatusCode::OK, self.pages().consent(&page))
    }

    /// The person said yes, as whom the page showed.
    async fn allow(
        &self,
        parts: &request::Parts,
        authorization: &Authorization,
        shown: Option<&str>,
    ) -> Response<Bytes> {
        let visitor = match self.signed_in(parts).await {
            Ok(visitor) => visitor,
            Err(unavailable) => return self.unavailable(parts, &unavailable),
        };
        match visitor {
            // Who has to sign in again for this app has not, whatever form they found.
            Visitor::SignedIn(both) if !is_recent(&both.0, authorization, ambient::now()) => {
                self.sign_in_for(authorization)
            }
            Visitor::SignedIn(both) if Some(both.0.subject.as_str()) == shown => {
                self.issue(parts, authorization, &both.0).await
            }
            // Meanwhile somebody else has signed in with this browser, or nobody is: then it is asked again.
            Visitor::SignedIn(both) => self.consent_page(authorization, &both.0),
            Visitor::Nobody | Visitor::Ended => self.sign_in_for(authorization),
        }
    }

    async fn issue(
        &self,
        parts: &request::Parts,
        authorization: &Authorization,
        session: &WebSession,
    ) -> Response<Bytes> {
        let consent = consent_of(session, authorization.request.scope.clone());
        let (entropy, now) = (Entropy::new(ambient::octets()), ambient::now());
        let endpoint = self.oauth.endpoint();
        match endpoint.issue_code(authorization, consent, &entropy, now, self.oauth.ports()).await {
            Ok(redirect) => self.leave(redirect),
            Err(denial) => {
                tell(&denied(denial.clone()));
                self.denied_page(parts, &denial)
            }
        }
    }

    /// Whether this person has a grant to this client that covers what is asked for: then it may be asked for silently.
    async fn has_agreed(&self, session: &WebSession, authorization: &Authorization) -> Result<bool, Denial> {
        let (asked, now) = (&authorization.request, ambient::now());
        let grants = self.oauth.ports().store.grants_of(&session.subject, now).await?;
        // Anybody can be the client on a person's own machine.
        let is_itself = !asked.redirect_uri.is_loopback() && !asked.redirect_uri.is_private_use();
        let covers = |grant: &Grant| {
            grant.client == asked.client
                && asked.scope.is_subset_of(&grant.scope)
                // Without a resource a token is for this server alone, which is another yes than one to a place.
                && asked.resources.is_empty() == grant.resources.is_empty()
                && asked.resources.iter().all(|place| grant.resources.contains(place))
        };
        Ok(is_itself && grants.iter().any(covers))
    }

    /// Sends the browser back to the app.
    fn leave(&self, redirect: Redirect) -> Response<Bytes> {
        redirect.events.iter().for_each(tell);
        respond::see_other(redirect.location.as_str())
    }

    /// A page about a request that nobody can be sent back with.
    pub(crate) fn denied_page(&self, parts: &request::Parts, denial: &Denial) -> Response<Bytes> {
        let row = denial.row();
        if !respond::wants_page(&parts.headers) {
            return respond::error_answer(row.status, row.code.as_str(), row.for_client);
        }
        let (title, sentence) = match denial {
            Denial::RequestUri => (
                "Start again in the app",
                "This request was answered already, or it took too long. Go back to the app and start again there.",
            ),
            Denial::Unavailable(_) | Denial::Full => (
                "Back in a moment",
                "We cannot get at our records just now. Nothing is lost; try again in a little while.",
            ),
            _ => (
                "That app's link does not work",
                "The app that sent you here made a mistake in its request, so we cannot go on. Tell whoever runs the app.",
            ),
        };
        let code = format!("{}: {}", row.code, row.for_client);
        respond::page(row.status, self.pages().notice(title, sentence, Some(&code)))
    }
}

/// Whether this names a request that is kept already, so that none has to be.
fn names_a_kept_one(query: &[u8]) -> bool {
    let rules = FormRules::DEFAULT.with_max_octets(Endpoint::MAX_QUERY_OCTETS).with_repeatable(&["resource"]);
    Params::parse(query, &rules).is_ok_and(|params| params.value("request_uri").is_some())
}

/// Whether somebody who is signed in may go on, or has to sign in again for this request.
fn is_recent(session: &WebSession, authorization: &Authorization, now: UnixTime) -> bool {
    let asked = &authorization.request;
    if session.created_at >= authorization.asked_at() {
        return true;
    }
    let again = asked.prompt.login() || asked.prompt.select_account();
    let too_old = asked.max_age.is_some_and(|max| now.since(session.created_at) > max);
    !again && !too_old
}

/// The yes of whoever has this session, to all that was asked for.
pub(crate) fn consent_of(session: &WebSession, scope: vestibule_oauth_core::ScopeSet) -> Consent {
    let mut consent = Consent::new(session.subject.as_str(), scope, session.created_at);
    consent.context = session.session.as_ref().map(ToString::to_string);
    consent
}

pub(crate) fn name_of(client: &Client) -> &str {
    client.name.as_deref().unwrap_or_else(|| client.id.as_str())
}

/// Where an app lives, as a person can tell: its host, or the scheme of an app on their own machine.
fn place_of(redirect_uri: &Url) -> String {
    redirect_uri.host_str().map_or_else(|| redirect_uri.scheme().to_owned(), str::to_owned)
}

fn denied(denial: Denial) -> Event {
    Event::about_nobody(EventKind::Denied(denial))
}
