//! Revocation ([RFC 7009]): a client gives a token back.
//!
//! [RFC 7009]: https://www.rfc-editor.org/rfc/rfc7009

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use vestibule_dpop::DefaultVerifier;
use vestibule_oauth_core::UnixTime;

use super::{Denied, Endpoint};
use crate::access_token;
use crate::answer::{self, Answer};
use crate::client::Client;
use crate::client_request::ClientRequest;
use crate::denial::Denial;
use crate::event::{Event, EventKind};
use crate::grant::EndReason;
use crate::store::Ports;
use crate::token::{OpaqueToken, TokenHash, TokenKind};

impl Endpoint {
    /// Answers a revocation request: 200 once the token is good no more, and for what never was one of the client's. With a refresh
    /// token goes its whole grant; with an access token, that token alone. `token_type_hint` is not needed: a token says what it is.
    pub async fn revoke(&self, request: &Request<Bytes>, now: UnixTime, ports: Ports<'_>) -> Answer {
        let outcome = self.take_back(request, now, ports).await;
        self.answer(request, outcome, now)
    }

    async fn take_back(
        &self,
        request: &Request<Bytes>,
        now: UnixTime,
        ports: Ports<'_>,
    ) -> Result<(Response<Bytes>, Vec<Event>), Denied> {
        let form = ClientRequest::parse(request)?;
        let target = self.targets().revocation.as_ref();
        let mut caller = self.caller_once(&form, target, now, ports).await?;
        let mut events = std::mem::take(&mut caller.events);
        let denied = |denial| Denied::by(&form, denial);
        let text = form.required("token").map_err(denied)?;
        let found = self.revoke_text(text, caller.client(), now, ports).await.map_err(denied)?;
        events.extend(found.map(|event| event.of_client(&caller.client().id)));
        Ok((answer::empty(StatusCode::OK), events))
    }

    async fn revoke_text(
        &self,
        text: &str,
        client: &Client,
        now: UnixTime,
        ports: Ports<'_>,
    ) -> Result<Option<Event>, Denial> {
        if let Some(token) = OpaqueToken::parse(TokenKind::Refresh, text) {
            let stored = ports.store.refresh_token(token.hash()).await?;
            let Some(stored) = stored.filter(|stored| stored.grant.client == client.id) else {
                return Ok(None);
            };
            let ended = ports.store.end_grant(stored.grant.id, EndReason::Revoked, now).await?;
            let event = Event::new(EventKind::GrantEnded(EndReason::Revoked)).about(stored.grant.id);
            return Ok(ended.map(|_| event));
        }
        if let Some(token) = OpaqueToken::parse(TokenKind::Access, text) {
            let stored = ports.store.access_token(token.hash()).await?;
            let Some(stored) = stored.filter(|stored| stored.facts.client == client.id) else {
                return Ok(None);
            };
            ports.store.revoke_access_token(token.hash(), stored.facts.expires_at).await?;
            return Ok(Some(revoked(stored.facts.grant)));
        }
        let keys = self.keys();
        let facts = access_token::read(text, self.issuer().as_str(), &keys.tokens, &DefaultVerifier, now);
        let Some(facts) = facts.filter(|facts| facts.client == client.id) else { return Ok(None) };
        ports.store.revoke_access_token(TokenHash::of_signed(text), facts.expires_at).await?;
        Ok(Some(revoked(facts.grant)))
    }
}

fn revoked(grant: Option<crate::grant::GrantId>) -> Event {
    let event = Event::new(EventKind::TokenRevoked);
    match grant {
        Some(grant) => event.about(grant),
        None => event,
    }
}
