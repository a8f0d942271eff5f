//! Who asks: the client, authenticated, and the key it proves to hold.

use std::sync::Arc;

use http::Method;
use vestibule_dpop::{DefaultVerifier, Expected, NonceRule, TargetUri, Thumbprint, VerifiedProof};
use vestibule_oauth_core::UnixTime;

use crate::assertion::{self, AudienceList, Rules};
use crate::client::{AssertionAudience, AuthMethod, Client, ClientKind, ClientState};
use crate::client_request::{Beside, ClientRequest, Credentials, NameAndSecret, Reading};
use crate::client_secret::SecretHash;
use crate::denial::Denial;
use crate::endpoint::Endpoint;
use crate::event::{Event, EventKind};
use crate::profile::NonceDemand;

/// A client that has shown who it is.
#[derive(Debug)]
pub struct Caller {
    client: Arc<Client>,
    method: AuthMethod,
    key: Option<Thumbprint>,
    proof: Option<VerifiedProof>,
    once: Vec<OneTime>,
    pub(crate) events: Vec<Event>,
}

/// A value that is good once: the id of a proof or of an assertion.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct OneTime {
    /// What stands for it.
    pub key: [u8; 32],
    /// Until when it is to be remembered.
    pub until: UnixTime,
    /// What it is of.
    pub kind: OneTimeKind,
}

/// What is good once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(clippy::exhaustive_enums, reason = "what a request may carry")]
pub enum OneTimeKind {
    /// An assertion of who the client is.
    Assertion,
    /// An assertion that is a grant.
    Grant,
    /// A DPoP proof.
    Proof,
}

impl OneTimeKind {
    /// The denial that a second use is.
    pub fn replayed(self) -> Denial {
        match self {
            Self::Assertion => Denial::AssertionReplayed,
            Self::Grant => Denial::GrantAssertion(Box::new(Denial::AssertionReplayed)),
            Self::Proof => Denial::ProofReplayed,
        }
    }
}

impl Caller {
    /// The client.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// How it authenticated.
    pub const fn method(&self) -> AuthMethod {
        self.method
    }

    /// The key it authenticated with, if it did so by one.
    pub const fn client_key(&self) -> Option<&Thumbprint> {
        self.key.as_ref()
    }

    /// The DPoP key it proved to hold.
    pub fn proof_key(&self) -> Option<&Thumbprint> {
        self.proof.as_ref().map(VerifiedProof::thumbprint)
    }

    /// What was good for this request and must not be good for another: to be remembered before anything is issued.
    pub fn one_time(&self) -> &[OneTime] {
        &self.once
    }
}

impl ClientRequest<'_> {
    /// Holds the request's credentials against `client`, the one that it names ([`ClientRequest::client_id`]), and its proof
    /// against `target`, the address it was sent to.
    ///
    /// An unknown client and a wrong secret take the same time and give the same answer (T17).
    ///
    /// # Errors
    /// A [`Denial`] about the client or about the proof.
    pub fn authenticate(
        &self,
        client: Option<&Arc<Client>>,
        endpoint: &Endpoint,
        target: &TargetUri,
        now: UnixTime,
    ) -> Result<Caller, Denial> {
        let known = client.filter(|client| client.state == ClientState::Enabled);
        let Some(client) = known else {
            self.spend_the_time_of_a_secret(endpoint);
            return Err(Denial::UnknownClient);
        };
        let mut caller = Caller {
            client: Arc::clone(client),
            method: AuthMethod::None,
            key: None,
            proof: None,
            once: Vec::new(),
            events: Vec::new(),
        };
        match self.credentials() {
            Credentials::Name(_) => caller.may_use(AuthMethod::None, endpoint)?,
            Credentials::Post(_, secret) => {
                caller.may_use(AuthMethod::ClientSecretPost, endpoint)?;
                has_secret(client, secret.expose(), endpoint, now)?;
            }
            Credentials::Basic(basic) => {
                if self.body_secret() == Beside::Secret {
                    if endpoint.profile().refuses_two_methods() {
                        return Err(Denial::TwoMethods);
                    }
                    caller.note(EventKind::BasicBeatBody);
                }
                caller.may_use(AuthMethod::ClientSecretBasic, endpoint)?;
                let right = |pair: &NameAndSecret| {
                    pair.name == client.id.as_str()
                        && has_secret(client, pair.secret.expose(), endpoint, now).is_ok()
                };
                let reading = basic.readings().find(|(pair, _)| right(pair)).ok_or(Denial::WrongSecret)?;
                if reading.1 == Reading::AsItStands {
                    caller.note(EventKind::BasicNotEncoded);
                }
            }
            Credentials::Assertion(assertion) => {
                caller.may_use(AuthMethod::PrivateKeyJwt, endpoint)?;
                let (issuer, token_endpoint) = (endpoint.issuer().as_str(), endpoint.urls().token.as_str());
                let both = [issuer, token_endpoint];
                let rules = Rules {
                    audiences: match client.assertion_audience {
                        AssertionAudience::Issuer => both.get(..1).unwrap_or_default(),
                        AssertionAudience::DangerTokenEndpointToo => &both,
                    },
                    list: match endpoint.profile().refuses_audience_lists() {
                        true => AudienceList::Refused,
                        false => AudienceList::Accepted,
                    },
                    algorithms: endpoint.profile().assertion_algorithms(),
                };
                let verified = assertion.verify(&client.keys, &rules, &DefaultVerifier, now)?;
                caller.key = Some(verified.key.thumbprint());
                let assertion::Verified { once: key, until, .. } = verified;
                caller.once.push(OneTime { key, until, kind: OneTimeKind::Assertion });
            }
        }
        if let Some(text) = self.proof() {
            caller.take_proof(text, endpoint, target, now)?;
        }
        Ok(caller)
    }

    fn spend_the_time_of_a_secret(&self, endpoint: &Endpoint) {
        let secret = match self.credentials() {
            Credentials::Post(_, secret) => secret,
            Credentials::Basic(basic) => basic.secret(),
            Credentials::Name(_) | Credentials::Assertion(_) => return,
        };
        let keys = endpoint.keys();
        let nobody = SecretHash::of_nobody(&keys.peppers);
        std::hint::black_box(nobody.is_of(secret.expose(), &keys.peppers));
    }
}

impl Caller {
    fn may_use(&mut self, method: AuthMethod, endpoint: &Endpoint) -> Result<(), Denial> {
        if !self.client.may_use(method) || !endpoint.profile().allows(method) {
            return Err(Denial::MethodNotRegistered(method.as_str()));
        }
        // A confidential client that shows nothing is not one.
        if method == AuthMethod::None && self.client.kind == ClientKind::Confidential {
            return Err(Denial::MethodNotRegistered(method.as_str()));
        }
        self.method = method;
        Ok(())
    }

    fn take_proof(
        &mut self,
        text: &str,
        endpoint: &Endpoint,
        target: &TargetUri,
        now: UnixTime,
    ) -> Result<(), Denial> {
        let keys = endpoint.keys();
        let rule = match endpoint.profile().nonce() {
            NonceDemand::Demanded => NonceRule::Demanded(&keys.nonces),
            NonceDemand::Welcome => NonceRule::Welcome(&keys.nonces),
        };
        let expected = Expected::new(&Method::POST, target)
            .with_algorithms(endpoint.profile().assertion_algorithms())
            .with_nonce(rule)
            .with_known_headers(endpoint.known_headers());
        let proof = expected.read(text, &DefaultVerifier, now).map_err(Denial::Proof)?;
        if endpoint.profile().is_atproto() && self.key.as_ref() == Some(proof.thumbprint()) {
            return Err(Denial::ProofKeyIsClientKey);
        }
        self.once.push(OneTime { key: proof.replay_key(), until: proof.expires(), kind: OneTimeKind::Proof });
        self.proof = Some(proof);
        Ok(())
    }

    fn note(&mut self, kind: EventKind) {
        self.events.push(Event::new(kind).of_client(&self.client.id));
    }
}

/// One of the client's secrets that are good now is this one. All are compared, so that the time does not tell which.
fn has_secret(client: &Client, secret: &str, endpoint: &Endpoint, now: UnixTime) -> Result<(), Denial> {
    let keys = endpoint.keys();
    let live = client.secrets.iter().filter(|kept| kept.is_live(now));
    let right = live.map(|kept| kept.hash.is_of(secret, &keys.peppers)).fold(false, |any, right| any | right);
    if right { Ok(()) } else { Err(Denial::WrongSecret) }
}
