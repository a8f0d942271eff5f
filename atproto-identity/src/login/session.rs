//! A session at a person's server, and the port behind which sessions are kept.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use thiserror::Error;
use url::Url;
use vestibule_dpop::Algorithm;
use vestibule_oauth_core::{BoxFuture, ScopeSet, Secret, StoreUnavailable, UnixTime, base64url};
use zeroize::Zeroizing;

use crate::{Did, Handle, ServerOrigin};

/// Names a session: who, and which of their sessions. One person may have many, a device each, and ending one leaves the
/// others alone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SessionKey {
    did: Did,
    id: SessionId,
}

impl SessionKey {
    /// The session `id` of `did`.
    pub const fn new(did: Did, id: SessionId) -> Self {
        Self { did, id }
    }

    /// Whose session it is.
    pub const fn did(&self) -> &Did {
        &self.did
    }

    /// Which of their sessions.
    pub const fn id(&self) -> &SessionId {
        &self.id
    }
}

impl FromStr for SessionKey {
    type Err = InvalidSessionKey;

    /// Reads what `Display` writes: no DID holds a slash.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (did, id) = text.split_once('/').ok_or(InvalidSessionKey)?;
        match (did.parse(), id.parse()) {
            (Ok(did), Ok(id)) => Ok(Self::new(did, id)),
            _ => Err(InvalidSessionKey),
        }
    }
}

/// The text names no session.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
#[error("a session's name must be a DID and an id with a slash between them")]
pub struct InvalidSessionKey;

impl fmt::Display for SessionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.did, self.id)
    }
}

/// Tells one session of a person from another: 128 random bits as 22 characters of base64url. It opens nothing by itself.
///
/// ```
/// use vestibule_atproto_identity::login::SessionId;
///
/// let id = SessionId::from_entropy([7; 16]);
/// assert_eq!(id.as_str().parse::<SessionId>().unwrap(), id);
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SessionId(String);

impl SessionId {
    /// Encodes 16 fresh octets.
    pub fn from_entropy(entropy: [u8; 16]) -> Self {
        Self(base64url::encode(entropy))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for SessionId {
    type Err = InvalidSessionId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        base64url::decode_array::<16>(text).map(Self::from_entropy).ok_or(InvalidSessionId)
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The text is not base64url of 16 octets.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
#[error("a session id must be the base64url text of 16 octets")]
pub struct InvalidSessionId;

/// Everything a session needs to be used, refreshed and ended, on any node and after any restart.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SessionRecord {
    /// Its name.
    pub key: SessionKey,
    /// The handle that was verified at sign-in; text to show, not a key.
    pub handle: Option<Handle>,
    /// The authorization server, as it names itself.
    pub issuer: String,
    /// Where it exchanges and refreshes tokens.
    pub token_endpoint: Url,
    /// Where it takes tokens back, if it does.
    pub revocation_endpoint: Option<Url>,
    /// The origin of the person's server, from their DID document.
    pub pds: ServerOrigin,
    /// As which client the session was made.
    pub client_id: String,
    /// How that client authenticates: as it did when the session was made, for as long as the session lives.
    pub client_key: Option<ClientKey>,
    /// What was granted.
    pub scope: ScopeSet,
    /// The private key every token of the session is bound to.
    pub dpop_key: Secret<[u8; 32]>,
    /// The access token; opaque.
    pub access_token: Secret,
    /// The refresh token, if there is one; opaque, and good once.
    pub refresh_token: Option<Secret>,
    /// When the tokens were issued, by our clock.
    pub issued_at: UnixTime,
    /// When the access token ends, if the server said.
    pub expires_at: Option<UnixTime>,
    /// How often the tokens were replaced: a store replaces generation `n` by `n + 1` and nothing else.
    pub generation: u64,
}

/// The key a confidential client authenticates with.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ClientKey {
    /// Its `kid` in the client's published set.
    pub kid: String,
    /// The algorithm it signs with.
    pub algorithm: Algorithm,
}

impl ClientKey {
    /// The key called `kid`, used with `algorithm`.
    pub fn new(kid: impl Into<String>, algorithm: Algorithm) -> Self {
        Self { kid: kid.into(), algorithm }
    }
}

impl SessionRecord {
    /// The record as octets for a store, which seals them: they hold every secret of the session.
    ///
    /// # Errors
    /// None in practice: [`InvalidSessionRecord`] if the record cannot be written as JSON.
    pub fn to_octets(&self) -> Result<Zeroizing<Vec<u8>>, InvalidSessionRecord> {
        let dpop_key = Zeroizing::new(base64url::encode(self.dpop_key.expose()));
        let written = Written {
            version: VERSION,
            did: Cow::Borrowed(&self.key.did),
            id: Cow::Borrowed(self.key.id.as_str()),
            handle: self.handle.as_ref().map(Cow::Borrowed),
            issuer: Cow::Borrowed(&self.issuer),
            token_endpoint: Cow::Borrowed(&self.token_endpoint),
            revocation_endpoint: self.revocation_endpoint.as_ref().map(Cow::Borrowed),
            pds: Cow::Borrowed(&self.pds),
            client_id: Cow::Borrowed(&self.client_id),
            client_key: self.client_key.as_ref().map(Cow::Borrowed),
            scope: Cow::Borrowed(&self.scope),
            dpop_key: Cow::Borrowed(dpop_key.as_str()),
            access_token: Cow::Borrowed(self.access_token.expose()),
            refresh_token: self.refresh_token.as_ref().map(|token| Cow::Borrowed(token.expose().as_str())),
            issued_at: self.issued_at,
            expires_at: self.expires_at,
            generation: self.generation,
        };
        serde_json::to_vec(&written).map(Zeroizing::new).map_err(|_| InvalidSessionRecord)
    }

    /// Reads what [`Self::to_octets`] wrote.
    ///
    /// # Errors
    /// [`InvalidSessionRecord`] for anything else.
    pub fn from_octets(octets: &[u8]) -> Result<Self, InvalidSessionRecord> {
        // The error of serde_json may quote a secret, so it is not passed on.
        let written: Written<'_> = serde_json::from_slice(octets).map_err(|_| InvalidSessionRecord)?;
        if written.version != VERSION {
            return Err(InvalidSessionRecord);
        }
        let id = written.id.parse().map_err(|_| InvalidSessionRecord)?;
        let dpop_key = base64url::decode_array(written.dpop_key.as_bytes()).ok_or(InvalidSessionRecord)?;
        Ok(Self {
            key: SessionKey::new(written.did.into_owned(), id),
            handle: written.handle.map(Cow::into_owned),
            issuer: written.issuer.into_owned(),
            token_endpoint: written.token_endpoint.into_owned(),
            revocation_endpoint: written.revocation_endpoint.map(Cow::into_owned),
            pds: written.pds.into_owned(),
            client_id: written.client_id.into_owned(),
            client_key: written.client_key.map(Cow::into_owned),
            scope: written.scope.into_owned(),
            dpop_key: Secret::new(dpop_key),
            access_token: Secret::new(written.access_token.into_owned()),
            refresh_token: written.refresh_token.map(|token| Secret::new(token.into_owned())),
            issued_at: written.issued_at,
            expires_at: written.expires_at,
            generation: written.generation,
        })
    }
}

/// The record's form; another version is not read.
const VERSION: u8 = 1;

/// A record as it is written: borrowed when it is made, owned when it is read.
#[derive(Serialize, Deserialize)]
struct Written<'a> {
    #[serde(rename = "v")]
    version: u8,
    did: Cow<'a, Did>,
    id: Cow<'a, str>,
    handle: Option<Cow<'a, Handle>>,
    issuer: Cow<'a, str>,
    token_endpoint: Cow<'a, Url>,
    revocation_endpoint: Option<Cow<'a, Url>>,
    pds: Cow<'a, ServerOrigin>,
    client_id: Cow<'a, str>,
    client_key: Option<Cow<'a, ClientKey>>,
    scope: Cow<'a, ScopeSet>,
    dpop_key: Cow<'a, str>,
    access_token: Cow<'a, str>,
    refresh_token: Option<Cow<'a, str>>,
    issued_at: UnixTime,
    expires_at: Option<UnixTime>,
    generation: u64,
}

/// The octets are no session record of this version.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
#[error("the stored session cannot be read by this version")]
pub struct InvalidSessionRecord;

/// Keeps sessions. Each act is atomic, and each outcome is total: nobody reads first and writes later.
pub trait SessionStore: Send + Sync {
    /// Keeps a new session.
    ///
    /// # Errors
    /// [`StoreUnavailable`]: it was not kept.
    fn insert<'a>(&'a self, session: &'a SessionRecord) -> BoxFuture<'a, Result<(), StoreUnavailable>>;

    /// The session as it is now; `None` when it has ended.
    ///
    /// # Errors
    /// [`StoreUnavailable`].
    fn load<'a>(
        &'a self,
        key: &'a SessionKey,
    ) -> BoxFuture<'a, Result<Option<SessionRecord>, StoreUnavailable>>;

    /// Takes the right to refresh a session, for [`Lease::LENGTH`], and reads the session in the same act, so that nobody
    /// refreshes what somebody else has just refreshed. A lease that has run out counts for nothing, nor does one that
    /// a clock which was set back has left behind ([`Lease::is_held`]).
    ///
    /// # Errors
    /// [`StoreUnavailable`]: no lease was taken.
    fn lease<'a>(
        &'a self,
        key: &'a SessionKey,
        now: UnixTime,
    ) -> BoxFuture<'a, Result<Leased, StoreUnavailable>>;

    /// Gives a lease back before its time, unless somebody else has taken it since.
    ///
    /// # Errors
    /// [`StoreUnavailable`]: it is still taken, until it runs out.
    fn release<'a>(&'a self, lease: &'a Lease) -> BoxFuture<'a, Result<(), StoreUnavailable>>;

    /// Puts `session` in place of its own predecessor, the record whose generation is one lower, and gives back whatever
    /// lease there is. Whether the lease is still held does not matter: new tokens are stored if they are the newer ones.
    ///
    /// # Errors
    /// [`StoreUnavailable`]: the predecessor is still there.
    fn replace<'a>(&'a self, session: &'a SessionRecord)
    -> BoxFuture<'a, Result<Replaced, StoreUnavailable>>;

    /// Ends a session, and gives what it was to the one caller that ended it.
    ///
    /// # Errors
    /// [`StoreUnavailable`]: it has not ended.
    fn remove<'a>(
        &'a self,
        key: &'a SessionKey,
    ) -> BoxFuture<'a, Result<Option<SessionRecord>, StoreUnavailable>>;
}

/// The right to refresh a session, which one node has at a time.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Lease {
    /// Which session.
    pub key: SessionKey,
    /// Counts the leases of this session: a later one has a higher number.
    pub fence: u64,
}

impl Lease {
    /// How long a lease lasts: several times what a refresh takes. One whose server is slow at every step may outlast it;
    /// what it brings is stored all the same if it is the newer ([`SessionStore::replace`]).
    pub const LENGTH: Duration = Duration::from_secs(45);

    /// The lease of the session `key` with this number.
    pub const fn new(key: SessionKey, fence: u64) -> Self {
        Self { key, fence }
    }

    /// Whether a lease that ends at `until` is held at `now`. One that ends later than twice its length from now was left
    /// behind by a clock that has been set back; within that, nodes may differ about the time.
    pub fn is_held(until: UnixTime, now: UnixTime) -> bool {
        now < until && until <= now.after(Self::LENGTH.saturating_mul(2))
    }
}

/// What came of asking for a lease.
#[derive(Debug)]
#[allow(clippy::exhaustive_enums, reason = "a total outcome: these three are all there is")]
pub enum Leased {
    /// It is the caller's, and the session is as it was in that moment.
    Taken(Lease, Box<SessionRecord>),
    /// Another node has it.
    Held,
    /// The session has ended.
    Missing,
}

/// What came of replacing a session's tokens.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(clippy::exhaustive_enums, reason = "a total outcome: these three are all there is")]
pub enum Replaced {
    /// The new record is the session now.
    Replaced,
    /// Somebody else replaced it in the meantime; the new record was not kept.
    Superseded,
    /// The session has ended.
    Missing,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> SessionRecord {
        SessionRecord {
            key: SessionKey::new(
                "did:plc:ewvi7nxzyoun6zhxrhs64oiz".parse().unwrap(),
                SessionId::from_entropy([1; 16]),
            ),
            handle: Some("alice.example.com".parse().unwrap()),
            issuer: "https://as.example.com".to_owned(),
            token_endpoint: "https://as.example.com/token".parse().unwrap(),
            revocation_endpoint: Some("https://as.example.com/revoke".parse().unwrap()),
            pds: "https://pds.example.com".parse().unwrap(),
            client_id: "https://app.example.com/client-metadata.json".to_owned(),
            client_key: Some(ClientKey::new("k\"1\"", Algorithm::Es256)),
            scope: "atproto transition:generic".parse().unwrap(),
            dpop_key: Secret::new([7; 32]),
            access_token: Secret::new("s3cret \"at\"".to_owned()),
            refresh_token: Some(Secret::new("s3cret-rt".to_owned())),
            issued_at: UnixTime::from_secs(1_700_000_000),
            expires_at: Some(UnixTime::from_secs(1_700_000_300)),
            generation: u64::MAX,
        }
    }

    #[test]
    fn a_record_comes_back_as_it_was() {
        let full = record();
        let mut bare = record();
        bare.handle = None;
        bare.revocation_endpoint = None;
        bare.client_key = None;
        bare.refresh_token = None;
        bare.expires_at = None;
        for record in [full, bare] {
            let octets = record.to_octets().unwrap();
            let again = SessionRecord::from_octets(&octets).unwrap();
            assert_eq!(again.to_octets().unwrap(), octets);
            assert_eq!((again.key, again.handle), (record.key, record.handle));
            assert_eq!((again.client_key, again.generation), (record.client_key, record.generation));
            assert_eq!(again.dpop_key.expose(), record.dpop_key.expose());
            assert_eq!(again.access_token.expose(), record.access_token.expose());
            assert_eq!((again.issued_at, again.expires_at), (record.issued_at, record.expires_at));
        }
    }

    #[test]
    fn what_another_version_wrote_is_not_read() {
        let octets = record().to_octets().unwrap();
        let text = std::str::from_utf8(&octets).unwrap();
        for changed in [
            String::new(),
            "[]".to_owned(),
            text.replace(r#""v":1"#, r#""v":2"#),
            text.replace("did:plc:", "dud:plc:"),
            text.replace("https://as.example.com/token", "no address"),
            text.replace(&base64url::encode([7; 32]), "AAAA"),
            text.replace(&base64url::encode([1; 16]), "AAAA"),
            text.chars().take(text.len() - 1).collect(),
        ] {
            assert_ne!(changed, text);
            let error = SessionRecord::from_octets(changed.as_bytes()).unwrap_err();
            assert!(!error.to_string().contains("s3cret"));
        }
    }

    #[test]
    fn r109_debug_shows_no_secret() {
        let shown = format!("{:?}", record());
        assert!(!shown.contains("s3cret") && !shown.contains("7, 7"), "{shown}");
    }
}
