//! One token for another ([RFC 8693]): a service that was called with a person's token calls another service for that person.
//!
//! [RFC 8693]: https://www.rfc-editor.org/rfc/rfc8693

use vestibule_oauth_core::{BoxFuture, ScopeSet};

use crate::access_token::{MAX_ACTORS, TokenFacts};
use crate::denial::Denial;
use crate::extension::{Approved, Exchange, ExtensionGrant};
use crate::grant_type::GrantType;
use crate::target::is_resource;

/// The token-exchange grant, for access tokens of this server. Add it to
/// [`EndpointSetup::extensions`](crate::EndpointSetup::extensions).
///
/// By default nothing may be had: a client exchanges tokens that were issued to it, or for a resource that it serves
/// ([`Client::serves`](crate::Client::serves)), for tokens for a resource that it is registered for
/// ([`Client::resources`](crate::Client::resources)). What it gets is never wider than what it brought, never good for longer, ends
/// with the same grant, and says in `act` who acts for the person.
#[derive(Clone, Copy, Default, Debug)]
#[non_exhaustive]
pub struct TokenExchange;

impl TokenExchange {
    /// The grant.
    pub const fn new() -> Self {
        Self
    }
}

impl ExtensionGrant for TokenExchange {
    fn grant_type(&self) -> GrantType {
        GrantType::TOKEN_EXCHANGE
    }

    fn decide<'a>(&'a self, asked: &'a Exchange<'a>) -> BoxFuture<'a, Result<Approved, Denial>> {
        Box::pin(exchange(asked))
    }
}

async fn exchange(asked: &Exchange<'_>) -> Result<Approved, Denial> {
    if asked.value("requested_token_type").is_some_and(|kind| kind != ACCESS_TOKEN) {
        return Err(Denial::ExchangedToken("only access tokens are issued"));
    }
    let subject = presented(asked, "subject_token", "subject_token_type")
        .await?
        .ok_or(Denial::Missing("subject_token"))?;
    let actor = presented(asked, "actor_token", "actor_token_type").await?;
    let client = asked.client();
    let is_its_own = subject.client == client.id;
    may_bring(asked, &subject)?;

    let mut actors = subject.actors;
    let mut ends_by = subject.expires_at;
    match actor {
        Some(actor) => {
            may_bring(asked, &actor)?;
            if !actor.actors.is_empty() {
                return Err(Denial::ExchangedToken("who acts has to act for itself"));
            }
            ends_by = ends_by.min(actor.expires_at);
            actors.insert(0, actor.subject);
        }
        None if !is_its_own => actors.insert(0, client.id.as_str().to_owned()),
        None => {}
    }
    if actors.len() > MAX_ACTORS {
        return Err(Denial::ExchangedToken("too many act for the subject already"));
    }
    let mut approved = Approved::new(subject.subject, scope(asked, &subject.scope)?);
    approved.resources = resources(asked)?;
    approved.actors = actors;
    approved.grant = subject.grant;
    approved.ends_by = Some(ends_by);
    approved.issued_token_type = Some(ACCESS_TOKEN);
    Ok(approved)
}

/// A client brings what was issued to it, with the key that it is bound to, and what was presented to it as a resource. Anything else it
/// may have found.
fn may_bring(asked: &Exchange<'_>, token: &TokenFacts) -> Result<(), Denial> {
    let client = asked.client();
    let is_its_own = token.client == client.id;
    if !is_its_own && !token.audience.iter().any(|place| client.serves.contains(place)) {
        return Err(Denial::ExchangedToken(
            "it is neither the client's own nor for a resource that it serves",
        ));
    }
    if is_its_own && token.proof_key.is_some() && token.proof_key.as_ref() != asked.proof_key() {
        return Err(Denial::ExchangedToken("it is bound to a key that was not shown"));
    }
    Ok(())
}

/// One of the two tokens with its type: both are there, or neither (section 2.1).
async fn presented(
    asked: &Exchange<'_>,
    token: &'static str,
    kind: &'static str,
) -> Result<Option<TokenFacts>, Denial> {
    match (asked.value(token), asked.value(kind)) {
        (None, None) => Ok(None),
        (Some(_), None) => Err(Denial::Missing(kind)),
        (None, Some(_)) => Err(Denial::Missing(token)),
        (Some(text), Some(ACCESS_TOKEN)) => {
            let facts = asked.access_token(text).await?;
            facts.map(Some).ok_or(Denial::ExchangedToken("it is no good access token of this server"))
        }
        (Some(_), Some(_)) => Err(Denial::ExchangedToken("only access tokens are exchanged")),
    }
}

/// What is asked for, within what was brought; or all of that.
fn scope(asked: &Exchange<'_>, brought: &ScopeSet) -> Result<ScopeSet, Denial> {
    let Some(text) = asked.value("scope") else { return Ok(brought.clone()) };
    let scope: ScopeSet = text.parse().map_err(|_| Denial::ScopeSyntax)?;
    if scope.is_subset_of(brought) { Ok(scope) } else { Err(Denial::ScopeTooWide) }
}

/// Where the token is to be good: each place one that the client is registered for. Without any it is good nowhere new, so there
/// has to be one.
fn resources(asked: &Exchange<'_>) -> Result<Vec<String>, Denial> {
    let mut resources: Vec<String> = Vec::new();
    let named = asked.all("resource").map(|text| (text, is_resource(text)));
    let named = named.chain(asked.all("audience").map(|text| (text, true)));
    for (text, well_formed) in named {
        if !well_formed || !asked.client().resources.contains(text) {
            return Err(Denial::Target);
        }
        if !resources.iter().any(|known| known == text) {
            resources.push(text.to_owned());
        }
    }
    if resources.is_empty() { Err(Denial::Target) } else { Ok(resources) }
}

const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
