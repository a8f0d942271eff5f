//! The authorization endpoint ([RFC 6749, section 3.1]), as far as it has no page: what a browser brings, and the code it is sent
//! back with. Between the two stands the person, whom the host asks.
//!
//! [RFC 6749, section 3.1]: https://www.rfc-editor.org/rfc/rfc6749#section-3.1

use url::Url;
use vestibule_oauth_core::{ClientId, FormRules, Params, ScopeSet, UnixTime};

use super::Endpoint;
use super::push::{REQUEST_URI, name_of};
use crate::authorization::{AuthorizationError, AuthorizationRequest, Rules, Way};
use crate::client::Client;
use crate::denial::Denial;
use crate::event::{Event, EventKind};
use crate::grant::{Grant, GrantId};
use crate::issue::Entropy;
use crate::store::{Code, CodeIssued, Ports, PushedRequest};
use crate::token::{OpaqueToken, TokenHash, TokenKind};

/// An authorization request that waits for a person. It is kept in the store, whichever way it came, so that the pages between it
/// and its answer carry a name and no parameters.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Authorization {
    /// What is asked for.
    pub request: AuthorizationRequest,
    /// Who asks.
    pub client: std::sync::Arc<Client>,
    name: TokenHash,
    request_uri: String,
    asked_at: UnixTime,
}

impl Authorization {
    /// When the client asked: who has signed in since then has done so for this request.
    pub const fn asked_at(&self) -> UnixTime {
        self.asked_at
    }

    /// The `request_uri` by which it is found again.
    pub fn request_uri(&self) -> &str {
        &self.request_uri
    }

    /// The query with which a browser comes back to the authorization endpoint for this same request.
    ///
    /// It goes into `return_to` while the person signs in.
    pub fn query(&self) -> String {
        url::form_urlencoded::Serializer::new(String::new())
            .append_pair("client_id", self.request.client.as_str())
            .append_pair("request_uri", &self.request_uri)
            .finish()
    }
}

/// The person's yes.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Consent {
    /// Who they are: the account's `sub`.
    pub subject: String,
    /// What they allow: all that was asked for, or less.
    pub scope: ScopeSet,
    /// When they signed in.
    pub auth_time: UnixTime,
    /// What the host ties to the grant, and gets back with it.
    pub context: Option<String>,
}

impl Consent {
    /// A yes of `subject`, who signed in at `auth_time`, to `scope`.
    pub fn new(subject: impl Into<String>, scope: ScopeSet, auth_time: UnixTime) -> Self {
        Self { subject: subject.into(), scope, auth_time, context: None }
    }
}

/// Where the browser goes with its answer, and what happened.
#[derive(Debug)]
#[non_exhaustive]
pub struct Redirect {
    /// The client's redirect URI with the answer in it. It holds a code: it belongs into a `Location`, and nowhere else.
    pub location: Url,
    /// What happened.
    pub events: Vec<Event>,
}

impl Endpoint {
    /// The longest query of an authorization request, in octets: what most servers and proxies take. A longer one can be pushed.
    pub const MAX_QUERY_OCTETS: usize = 16 * 1024;

    /// Reads the query (or the form, which RFC 6749, section 3.1, lets a browser send as well) of an authorization request, and
    /// keeps it unless it was pushed.
    ///
    /// # Errors
    /// [`AuthorizationError`]: whom to tell.
    pub async fn read_authorization(
        &self,
        query: &[u8],
        entropy: &Entropy,
        now: UnixTime,
        ports: Ports<'_>,
    ) -> Result<Authorization, AuthorizationError> {
        let person = AuthorizationError::Person;
        let rules = FormRules::DEFAULT.with_max_octets(Self::MAX_QUERY_OCTETS).with_repeatable(&["resource"]);
        let params = Params::parse(query, &rules).map_err(|error| person(Denial::Form(error)))?;
        let id: ClientId = params
            .value("client_id")
            .ok_or_else(|| person(Denial::Missing("client_id")))?
            .parse()
            .map_err(|_| person(Denial::UnknownClient))?;
        let client = ports.clients.client(id.as_str()).await.map_err(|error| person(error.into()))?;
        let client = client.ok_or_else(|| person(Denial::UnknownClient))?;
        if let Some(request_uri) = params.value("request_uri") {
            return self.pushed(request_uri, client, now, ports).await.map_err(person);
        }
        let rules = Rules { profile: self.profile(), scope: &self.setup().scope };
        let request = AuthorizationRequest::read(&params, &client, &rules, Way::Plain)?;
        let name = OpaqueToken::from_entropy(TokenKind::Request, entropy.first());
        let request_uri = format!("{REQUEST_URI}{}", name.text().expose());
        let name = name.hash();
        let kept =
            PushedRequest { name, request: request.clone(), expires_at: now.after(Self::PUSHED_LIFETIME) };
        ports.store.push(kept).await.map_err(|error| person(error.into()))?;
        Ok(Authorization { request, client, name, request_uri, asked_at: now })
    }

    /// The request of this `request_uri`, of the client that was named beside it.
    async fn pushed(
        &self,
        request_uri: &str,
        client: std::sync::Arc<Client>,
        now: UnixTime,
        ports: Ports<'_>,
    ) -> Result<Authorization, Denial> {
        let name = name_of(request_uri).ok_or(Denial::RequestUri)?;
        let kept = ports.store.pushed(name).await?.ok_or(Denial::RequestUri)?;
        if kept.request.client != client.id || kept.expires_at <= now {
            return Err(Denial::RequestUri);
        }
        if client.state == crate::client::ClientState::Disabled {
            return Err(Denial::UnknownClient);
        }
        let asked_at = kept.expires_at.before(Self::PUSHED_LIFETIME);
        Ok(Authorization {
            request: kept.request,
            client,
            name,
            request_uri: request_uri.to_owned(),
            asked_at,
        })
    }

    /// Issues the code that the person's yes is. Of two answers to one request, one gets a code.
    ///
    /// # Errors
    /// [`Denial::RequestUri`] if the request was answered before, [`Denial::ScopeTooWide`] if more is allowed than was asked for,
    /// [`Denial::Unavailable`].
    pub async fn issue_code(
        &self,
        authorization: &Authorization,
        consent: Consent,
        entropy: &Entropy,
        now: UnixTime,
        ports: Ports<'_>,
    ) -> Result<Redirect, Denial> {
        let request = &authorization.request;
        if !consent.scope.is_subset_of(&request.scope) {
            return Err(Denial::ScopeTooWide);
        }
        let token = OpaqueToken::from_entropy(TokenKind::Code, entropy.first());
        let expires_at = now.after(self.profile().code_lifetime());
        let id = GrantId::from_entropy(entropy.id());
        // It begins when its code is redeemed, and is as long as its tokens then.
        let mut grant =
            Grant::new(id, request.client.clone(), consent.subject, consent.scope, now, expires_at);
        grant.resources.clone_from(&request.resources);
        grant.proof_key.clone_from(&request.proof_key);
        grant.client_key.clone_from(&request.client_key);
        grant.auth_time = Some(consent.auth_time);
        grant.context = consent.context;
        let code = Code {
            hash: token.hash(),
            grant,
            redirect_uri: request.redirect_uri.clone(),
            redirect_uri_sent: request.redirect_uri_sent,
            challenge: request.challenge.clone(),
            nonce: request.nonce.clone(),
            expires_at,
        };
        match ports.store.issue_code(code, Some(authorization.name)).await? {
            CodeIssued::Issued => {}
            CodeIssued::RequestSpent => return Err(Denial::RequestUri),
        }
        let about = |kind| Event::new(kind).of_client(&request.client).about(id);
        let mut events = vec![about(EventKind::CodeIssued)];
        if request.challenge.is_none() {
            events.push(about(EventKind::PkceExemptionUsed));
        }
        Ok(Redirect {
            location: request.return_address().bringing(token.text().expose(), self.issuer()),
            events,
        })
    }

    /// The redirect that tells a client why it gets no code.
    pub fn refuse(&self, authorization: &Authorization, denial: Denial) -> Redirect {
        let location = authorization.request.return_address().refusing(&denial, self.issuer());
        let event = Event::new(EventKind::Denied(denial)).of_client(&authorization.request.client);
        Redirect { location, events: vec![event] }
    }
}
