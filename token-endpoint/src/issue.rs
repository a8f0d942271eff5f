//! Tokens being made: what every grant type has in common once it is decided that there will be some.

use std::fmt::Write as _;
use std::sync::Arc;

use bytes::Bytes;
use http::{Response, StatusCode};
use vestibule_dpop::Thumbprint;
use vestibule_oauth_core::{ClientId, ScopeSet, Secret, UnixTime};

use crate::access_token::{AccessToken, TokenFacts, mint};
use crate::answer;
use crate::caller::Caller;
use crate::client::{Client, TokenBinding};
use crate::client_request::ClientRequest;
use crate::denial::Denial;
use crate::endpoint::Endpoint;
use crate::event::{Event, EventKind};
use crate::grant::{Grant, GrantId, RefreshToken};
use crate::grant_type::GrantType;
use crate::token::{OpaqueToken, TokenKind};

/// Fresh randomness for one request: 96 octets, each part of which serves one thing.
///
/// ```
/// use vestibule_token_endpoint::Entropy;
///
/// let entropy = Entropy::new([7; 96]); // from a cryptographic random source
/// assert_eq!(format!("{entropy:?}"), "Entropy(..)");
/// ```
pub struct Entropy([u8; 96]);

impl Entropy {
    /// Takes 96 fresh octets.
    pub const fn new(octets: [u8; 96]) -> Self {
        Self(octets)
    }

    /// For the first token: an access token, a code, a device code, the name of a pushed request.
    pub(crate) fn first(&self) -> [u8; 32] {
        self.part(0)
    }

    /// For the second: a refresh token.
    pub(crate) fn second(&self) -> [u8; 32] {
        self.part(32)
    }

    /// For the name of a grant.
    pub(crate) fn id(&self) -> [u8; 16] {
        self.part(64)
    }

    /// For the code that a person types.
    pub(crate) fn short(&self) -> [u8; 16] {
        self.part(80)
    }

    fn part<const N: usize>(&self, from: usize) -> [u8; N] {
        // Every part asked for above is inside; were one not, zeros would be a fixed token: so this is a constant of the tests.
        let mut part = [0; N];
        part.iter_mut().zip(self.0.iter().skip(from)).for_each(|(to, octet)| *to = *octet);
        part
    }
}

impl std::fmt::Debug for Entropy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Entropy(..)")
    }
}

/// A token request whose client is known, while it is decided.
#[derive(Clone, Copy, Debug)]
pub struct Deciding<'a> {
    /// The server.
    pub(crate) endpoint: &'a Endpoint,
    /// Who asks.
    pub(crate) caller: &'a Caller,
    /// What they sent.
    pub(crate) form: &'a ClientRequest<'a>,
    /// Fresh randomness.
    pub(crate) entropy: &'a Entropy,
    /// The time.
    pub(crate) now: UnixTime,
}

impl<'a> Deciding<'a> {
    /// A request by `caller`, who is one that [`ClientRequest::authenticate`] gave for this very form.
    pub const fn new(
        endpoint: &'a Endpoint,
        caller: &'a Caller,
        form: &'a ClientRequest<'a>,
        entropy: &'a Entropy,
        now: UnixTime,
    ) -> Self {
        Self { endpoint, caller, form, entropy, now }
    }

    pub(crate) fn client(&self) -> &'a Client {
        self.caller.client()
    }

    /// The client is registered for this grant, and the server serves it.
    pub(crate) fn may_use(&self, grant_type: &GrantType) -> Result<(), Denial> {
        if self.client().grant_types.contains(grant_type) {
            Ok(())
        } else {
            Err(Denial::GrantTypeNotRegistered)
        }
    }

    /// A proof is there, if the client or the profile wants one.
    pub(crate) fn proof_if_wanted(&self) -> Result<(), Denial> {
        let wanted =
            [self.client().binding, self.endpoint.profile().binding()].contains(&TokenBinding::Required);
        if wanted && self.caller.proof_key().is_none() { Err(Denial::ProofMissing) } else { Ok(()) }
    }

    /// The proof is of the key that is asked for.
    pub(crate) fn holds(&self, key: Option<&Thumbprint>) -> Result<(), Denial> {
        if key.is_some() && key != self.caller.proof_key() { Err(Denial::OtherProofKey) } else { Ok(()) }
    }

    /// The client authenticates with the key that is asked for.
    pub(crate) fn authenticates_with(&self, key: Option<&Thumbprint>) -> Result<(), Denial> {
        if key.is_some() && key != self.caller.client_key() { Err(Denial::OtherClientKey) } else { Ok(()) }
    }

    /// The scope of a token out of what was granted: what the request asks for, if it is within it, or all of it. Words that this
    /// server does not know are passed over, as they are when the person is asked.
    pub(crate) fn narrowed(&self, granted: &ScopeSet) -> Result<ScopeSet, Denial> {
        let Some(text) = self.form.value("scope") else { return Ok(granted.clone()) };
        let written: ScopeSet = text.parse().map_err(|_| Denial::ScopeSyntax)?;
        let asked = self.known(&written);
        // Who asks for less, and for nothing that there is, is not given all.
        if !asked.is_subset_of(granted) || (asked.is_empty() && !written.is_empty()) {
            Err(Denial::ScopeTooWide)
        } else if asked.is_empty() {
            Ok(granted.clone())
        } else {
            Ok(asked)
        }
    }

    fn known(&self, asked: &ScopeSet) -> ScopeSet {
        let server = &self.endpoint.setup().scope;
        let may = if self.client().scope.is_empty() { server } else { &self.client().scope };
        asked.without(&asked.without(may).without(server))
    }

    /// Makes the tokens.
    pub(crate) fn issue(&self, order: Order<'_>) -> Result<Issued, Denial> {
        let Order { grant_type, grant, subject, scope, resources, actors, ends_by } = order;
        let ends = self.now.after(self.client().lifetimes.access);
        let ends = ends_by.map_or(ends, |latest| latest.min(ends));
        let audience = if resources.is_empty() { vec![self.endpoint.own_audience()] } else { resources };
        let facts = TokenFacts {
            grant,
            client: self.client().id.clone(),
            subject: subject.to_owned(),
            scope: scope.clone(),
            audience,
            proof_key: self.caller.proof_key().cloned(),
            actors,
            issued_at: self.now,
            expires_at: ends,
        };
        let keys = self.endpoint.keys();
        let (format, issuer) = (self.client().token_format, self.endpoint.issuer().as_str());
        let minted = mint(facts, format, issuer, &keys.tokens, self.entropy.first(), self.now);
        let minted = minted.map_err(|error| Denial::Signing(error.to_string()))?;
        Ok(Issued {
            client: self.client().id.clone(),
            grant,
            grant_type,
            access_token: minted.text,
            keep: minted.keep.map(Arc::new),
            bound: self.caller.proof_key().is_some(),
            expires_in: ends.since(self.now).as_secs(),
            scope,
            refresh_token: None,
            subject: self.endpoint.profile().is_atproto().then(|| subject.to_owned()),
            token_type_issued: None,
            events: Vec::new(),
        })
    }

    /// Makes a refresh token for a grant.
    pub(crate) fn refresh_token(&self, grant: &Grant) -> (OpaqueToken, RefreshToken) {
        let token = OpaqueToken::from_entropy(TokenKind::Refresh, self.entropy.second());
        let idle = match self.keeps_refresh_token(grant) {
            true => grant.expires_at,
            false => self.now.after(self.client().lifetimes.refresh_idle).min(grant.expires_at),
        };
        let record = RefreshToken::new(token.hash(), grant.id, self.now, idle);
        (token, record)
    }

    /// Whether refresh tokens of this grant are used again and again.
    pub(crate) fn keeps_refresh_token(&self, grant: &Grant) -> bool {
        self.endpoint.profile().keeps_refresh_tokens()
            && grant.proof_key.is_some()
            && self.caller.client_key().is_some()
    }

    /// Whether the client gets refresh tokens at all.
    pub(crate) fn refreshes(&self) -> bool {
        let refresh = &GrantType::REFRESH_TOKEN;
        self.client().grant_types.contains(refresh) && self.endpoint.setup().grant_types.contains(refresh)
    }
}

/// What tokens are to be made.
#[derive(Debug)]
pub(crate) struct Order<'o> {
    pub(crate) grant_type: GrantType,
    /// The grant they belong to.
    pub(crate) grant: Option<GrantId>,
    pub(crate) subject: &'o str,
    pub(crate) scope: ScopeSet,
    pub(crate) resources: Vec<String>,
    pub(crate) actors: Vec<String>,
    /// When they end at the latest.
    pub(crate) ends_by: Option<UnixTime>,
}

/// Tokens that were made and not given out yet.
#[derive(Debug)]
pub struct Issued {
    client: ClientId,
    grant: Option<GrantId>,
    grant_type: GrantType,
    access_token: Secret,
    keep: Option<Arc<AccessToken>>,
    bound: bool,
    expires_in: u64,
    scope: ScopeSet,
    refresh_token: Option<Secret>,
    subject: Option<String>,
    token_type_issued: Option<&'static str>,
    pub(crate) events: Vec<Event>,
}

impl Issued {
    pub(crate) fn with_refresh_token(mut self, token: &OpaqueToken) -> Self {
        self.refresh_token = Some(token.text());
        self
    }

    pub(crate) const fn with_issued_token_type(mut self, name: &'static str) -> Self {
        self.token_type_issued = Some(name);
        self
    }

    /// What a store is to keep of the access token; nothing if it is signed.
    pub(crate) const fn access_record(&mut self) -> Option<Arc<AccessToken>> {
        self.keep.take()
    }

    pub(crate) fn note(&mut self, kind: EventKind) {
        let event = Event::new(kind).of_client(&self.client);
        self.events.push(match self.grant {
            Some(grant) => event.about(grant),
            None => event,
        });
    }

    /// The answer that gives them out ([RFC 6749, section 5.1]), and what happened.
    ///
    /// [RFC 6749, section 5.1]: https://www.rfc-editor.org/rfc/rfc6749#section-5.1
    pub(crate) fn into_answer(mut self) -> (Response<Bytes>, Vec<Event>) {
        let mut body = Object::new();
        body.plain("access_token", self.access_token.expose());
        body.plain("token_type", if self.bound { "DPoP" } else { "Bearer" });
        body.number("expires_in", self.expires_in);
        // A scope word has neither a quotation mark nor a backslash (RFC 6749, section 3.3).
        body.plain("scope", self.scope.as_str());
        if let Some(token) = &self.refresh_token {
            body.plain("refresh_token", token.expose());
        }
        if let Some(name) = self.token_type_issued {
            body.plain("issued_token_type", name);
        }
        if let Some(subject) = &self.subject {
            body.any("sub", subject);
        }
        let response = answer::json_text(StatusCode::OK, body.close());
        self.note(EventKind::Issued(self.grant_type.clone()));
        (response, self.events)
    }
}

/// A JSON object, member by member. This is the answer that is given most, and its members are texts that need no escapes.
struct Object(String);

impl Object {
    fn new() -> Self {
        Self(String::with_capacity(512))
    }

    fn name(&mut self, name: &'static str) {
        self.0.push_str(if self.0.is_empty() { "{\"" } else { ",\"" });
        self.0.push_str(name);
        self.0.push_str("\":");
    }

    /// A text of visible ASCII without a quotation mark or a backslash.
    fn plain(&mut self, name: &'static str, value: &str) {
        debug_assert!(value.bytes().all(|b| matches!(b, 0x20..=0x7e) && b != b'"' && b != b'\\'));
        self.name(name);
        self.0.push('"');
        self.0.push_str(value);
        self.0.push('"');
    }

    fn number(&mut self, name: &'static str, value: u64) {
        self.name(name);
        // A text takes everything.
        let _ = write!(self.0, "{value}");
    }

    /// Any text.
    fn any(&mut self, name: &'static str, value: &str) {
        self.name(name);
        // Only what is not text can fail to be written.
        self.0.push_str(&serde_json::to_string(value).unwrap_or_default());
    }

    fn close(mut self) -> String {
        self.0.push('}');
        self.0
    }
}

/// What is left to do once a request is decided, or once its act was done.
#[derive(Debug)]
#[allow(clippy::exhaustive_enums, reason = "whoever drives the steps has to do each of these")]
pub enum Conclusion {
    /// Give the tokens out.
    Answer(Box<Issued>),
    /// Keep this access token, then give the tokens out.
    Keep(Arc<AccessToken>, Box<Issued>),
    /// Deny.
    Deny(Denial),
    /// End this grant for this reason, then deny.
    EndGrant(GrantId, crate::grant::EndReason, Denial),
}

impl Conclusion {
    /// Gives tokens out, after the store has their access token if it has to.
    pub(crate) fn giving(mut issued: Issued) -> Self {
        match issued.access_record() {
            Some(record) => Self::Keep(record, Box::new(issued)),
            None => Self::Answer(Box::new(issued)),
        }
    }
}
