//! Introspection ([RFC 7662]): what a token says, for whoever it is presented to.
//!
//! [RFC 7662]: https://www.rfc-editor.org/rfc/rfc7662

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use serde::Serialize;
use vestibule_dpop::DefaultVerifier;
use vestibule_oauth_core::{ClientId, ScopeSet, UnixTime};

use super::{Denied, Endpoint};
use crate::access_token::{self, Actor, Confirmation, OneOrMore, TokenFacts};
use crate::answer::{self, Answer};
use crate::client::{Client, ClientKind, ClientState};
use crate::client_request::ClientRequest;
use crate::denial::Denial;
use crate::event::Event;
use crate::store::{Ports, Revoked};
use crate::token::{OpaqueToken, TokenHash, TokenKind};

impl Endpoint {
    /// Answers an introspection request. A client learns of its own tokens, and of those for the resources that it serves; of any
    /// other, of one that has ended, and of what is no token at all it learns the same: that it is not active.
    pub async fn introspect(&self, request: &Request<Bytes>, now: UnixTime, ports: Ports<'_>) -> Answer {
        let outcome = self.look_up(request, now, ports).await;
        self.answer(request, outcome, now)
    }

    async fn look_up(
        &self,
        request: &Request<Bytes>,
        now: UnixTime,
        ports: Ports<'_>,
    ) -> Result<(Response<Bytes>, Vec<Event>), Denied> {
        let form = ClientRequest::parse(request)?;
        let target = self.targets().introspection.as_ref();
        let caller = self.caller_once(&form, target, now, ports).await?;
        let denied = |denial| Denied::by(&form, denial);
        // "The authorization server MUST also require some form of authorization to access this endpoint" (section 2.1).
        if caller.client().kind == ClientKind::Public {
            return Err(denied(Denial::ClientNotAllowed));
        }
        let text = form.required("token").map_err(denied)?;
        let found = match self.live_access_token(text, ports, now).await.map_err(denied)? {
            Some(facts) => Some((facts, Kind::Access)),
            None => self.live_refresh_token(text, ports, now).await.map_err(denied)?,
        };
        let body = match &found {
            Some((facts, kind)) if may_see(caller.client(), facts, *kind) => Body::of(facts, *kind, self),
            _ => Body::INACTIVE,
        };
        Ok((answer::json(StatusCode::OK, &body), caller.events))
    }

    /// What an access token says, if it is one of this server's, has not ended, and was not taken back, and its client is still one.
    pub(crate) async fn live_access_token(
        &self,
        text: &str,
        ports: Ports<'_>,
        now: UnixTime,
    ) -> Result<Option<TokenFacts>, Denial> {
        match self.unended_access_token(text, ports, now).await? {
            Some(facts) if is_a_client(&facts.client, ports).await? => Ok(Some(facts)),
            _ => Ok(None),
        }
    }

    async fn unended_access_token(
        &self,
        text: &str,
        ports: Ports<'_>,
        now: UnixTime,
    ) -> Result<Option<TokenFacts>, Denial> {
        if let Some(token) = OpaqueToken::parse(TokenKind::Access, text) {
            let kept = ports.store.access_token(token.hash()).await?;
            return Ok(kept.map(|kept| kept.facts.clone()).filter(|facts| facts.expires_at > now));
        }
        let keys = self.keys();
        let Some(facts) =
            access_token::read(text, self.issuer().as_str(), &keys.tokens, &DefaultVerifier, now)
        else {
            return Ok(None);
        };
        if ports.store.is_revoked(TokenHash::of_signed(text)).await? == Revoked::Yes {
            return Ok(None);
        }
        let Some(grant) = facts.grant else { return Ok(Some(facts)) };
        let lives = ports.store.grant(grant).await?.is_some_and(|stored| stored.ended.is_none());
        Ok(Some(facts).filter(|_| lives))
    }

    async fn live_refresh_token(
        &self,
        text: &str,
        ports: Ports<'_>,
        now: UnixTime,
    ) -> Result<Option<(TokenFacts, Kind)>, Denial> {
        let Some(token) = OpaqueToken::parse(TokenKind::Refresh, text) else { return Ok(None) };
        let Some(stored) = ports.store.refresh_token(token.hash()).await? else { return Ok(None) };
        let ends = stored.token.expires_at.min(stored.grant.expires_at);
        let is_over = stored.replaced.is_some() || stored.ended.is_some() || ends <= now;
        if is_over || !is_a_client(&stored.grant.client, ports).await? {
            return Ok(None);
        }
        let grant = stored.grant;
        let audience = if grant.resources.is_empty() { vec![self.own_audience()] } else { grant.resources };
        let facts = TokenFacts {
            grant: Some(grant.id),
            client: grant.client,
            subject: grant.subject,
            scope: grant.scope,
            audience,
            proof_key: grant.proof_key,
            actors: Vec::new(),
            issued_at: stored.token.issued_at,
            expires_at: ends,
        };
        Ok(Some((facts, Kind::Refresh)))
    }
}

/// Whether this is a client still, and one that may do something.
async fn is_a_client(id: &ClientId, ports: Ports<'_>) -> Result<bool, Denial> {
    let client = ports.clients.client(id.as_str()).await?;
    Ok(client.is_some_and(|client| client.state == ClientState::Enabled))
}

/// A client sees what was issued to it, and the access tokens for a resource that it is. A refresh token is nobody else's business: who
/// shows one to a resource has lost it.
fn may_see(client: &Client, facts: &TokenFacts, kind: Kind) -> bool {
    let presented_to_it = || facts.audience.iter().any(|place| client.serves.contains(place));
    facts.client == client.id || (kind == Kind::Access && presented_to_it())
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Access,
    Refresh,
}

/// The answer ([RFC 7662, section 2.2](https://www.rfc-editor.org/rfc/rfc7662#section-2.2)).
#[derive(Serialize)]
struct Body<'a> {
    active: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<&'a ScopeSet>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_id: Option<&'a ClientId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    token_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    exp: Option<UnixTime>,
    #[serde(skip_serializing_if = "Option::is_none")]
    iat: Option<UnixTime>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sub: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    aud: Option<OneOrMore<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    iss: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cnf: Option<Confirmation<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    act: Option<Box<Actor<'a>>>,
}

impl<'a> Body<'a> {
    const INACTIVE: Self = Self {
        active: false,
        scope: None,
        client_id: None,
        token_type: None,
        exp: None,
        iat: None,
        sub: None,
        aud: None,
        iss: None,
        cnf: None,
        act: None,
    };

    fn of(facts: &'a TokenFacts, kind: Kind, endpoint: &'a Endpoint) -> Self {
        let bound = facts.proof_key.is_some();
        let token_type = if bound { "DPoP" } else { "Bearer" };
        Self {
            active: true,
            scope: Some(&facts.scope),
            client_id: Some(&facts.client),
            token_type: (kind == Kind::Access).then_some(token_type),
            exp: Some(facts.expires_at),
            iat: Some(facts.issued_at),
            sub: Some(&facts.subject),
            aud: Some(OneOrMore::of(&facts.audience)),
            iss: Some(endpoint.issuer().as_str()),
            cnf: facts.proof_key.as_ref().map(|jkt| Confirmation { jkt }),
            act: Actor::chain(&facts.actors),
        }
    }
}
