//! How a client proves who it is.

use std::sync::Arc;
use std::time::Duration;

use vestibule_dpop::{EncodedHeader, ProtectedHeader, SignError, Signer};
use vestibule_oauth_core::{Secret, UnixTime, base64url};

/// The way a client authenticates at the back-channel endpoints of an authorization server.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ClientAuth {
    /// Not at all (`none`): a public client says its `client_id` and no more.
    Public,
    /// By a secret in the `Authorization` header field (`client_secret_basic`).
    SecretBasic(Secret),
    /// By a secret in the form (`client_secret_post`).
    SecretPost(Secret),
    /// By a secret in the form that it signs afresh for every request, as Apple has it.
    SignedSecret(SignedSecret),
    /// By an assertion that it signs afresh for every request (`private_key_jwt`).
    PrivateKeyJwt(AssertionKey),
}

/// The `client_assertion_type` of [RFC 7523, section 2.2](https://www.rfc-editor.org/rfc/rfc7523#section-2.2).
pub const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// A key that signs client assertions, its protected header made once.
///
/// ```
/// use std::sync::Arc;
/// use vestibule_dpop::{Compact, DefaultVerifier, Es256Secret, Signer, default_signer};
/// use vestibule_oauth_core::UnixTime;
/// use vestibule_strategy::AssertionKey;
///
/// let signer = default_signer(&Es256Secret::from_entropy([7; 32]));
/// let key = AssertionKey::new("key-1", Arc::clone(&signer));
/// let now = UnixTime::from_secs(1_700_000_000);
/// let jwt = key.assert("https://app.example/client-metadata.json", "https://as.example", [9; 16], now).unwrap();
///
/// let read = Compact::parse(&jwt, 4096).unwrap();
/// assert_eq!(read.header().kid(), Some("key-1"));
/// read.verify(&DefaultVerifier, signer.public_key(), &[signer.algorithm()]).unwrap();
/// ```
#[derive(Clone, Debug)]
pub struct AssertionKey {
    kid: String,
    header: EncodedHeader,
    signer: Arc<dyn Signer>,
    used_from: UnixTime,
}

impl AssertionKey {
    /// How long an assertion is good for; RFC 7523 wants an end, the AT Protocol one within a minute.
    pub const LIFETIME: Duration = Duration::from_secs(60);

    /// How far `iat` is set back: servers refuse an assertion from their future, and clocks differ by seconds.
    pub const BACK_DATED: Duration = Duration::from_secs(5);

    /// The key that the client publishes under the name `kid`.
    pub fn new(kid: impl Into<String>, signer: Arc<dyn Signer>) -> Self {
        let kid = kid.into();
        let header = ProtectedHeader::new(&*signer).with_typ("JWT").with_kid(&kid).encode();
        Self { kid, header, signer, used_from: UnixTime::from_secs(0) }
    }

    /// The same key, published at once and used for new sessions from `time` on. Servers remember a client's published
    /// keys for a while, and refuse one that they have not seen yet.
    #[must_use]
    pub const fn used_from(mut self, time: UnixTime) -> Self {
        self.used_from = time;
        self
    }

    /// Whether new sessions may be made with it.
    pub fn may_be_used(&self, now: UnixTime) -> bool {
        self.used_from <= now
    }

    /// The name.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// The signer behind the name.
    pub fn signer(&self) -> &dyn Signer {
        &*self.signer
    }

    /// One assertion ([RFC 7523, section 3]), for one request: that the client `client_id` is asking the server that calls
    /// itself `audience`. `jti` is fresh.
    ///
    /// # Errors
    /// [`SignError`] when the key's backend refuses.
    ///
    /// [RFC 7523, section 3]: https://www.rfc-editor.org/rfc/rfc7523#section-3
    pub fn assert(
        &self,
        client_id: &str,
        audience: &str,
        jti: [u8; 16],
        now: UnixTime,
    ) -> Result<String, SignError> {
        let quoted = |text: &str| serde_json::Value::from(text).to_string();
        let (client, audience, jti) = (quoted(client_id), quoted(audience), base64url::encode(jti));
        let issued = now.before(Self::BACK_DATED);
        let expires = issued.after(Self::LIFETIME);
        let payload = format!(
            r#"{{"iss":{client},"sub":{client},"aud":{audience},"jti":"{jti}","iat":{issued},"exp":{expires}}}"#
        );
        self.header.sign(payload, &*self.signer)
    }
}

/// A key that signs client secrets. Such a secret is a JWT that says whose key it is, and for which client; it stands in the form as
/// `client_secret`, where any other secret would.
///
/// ```
/// use vestibule_dpop::{Compact, DefaultVerifier, Es256Secret, default_signer};
/// use vestibule_oauth_core::UnixTime;
/// use vestibule_strategy::SignedSecret;
///
/// let signer = default_signer(&Es256Secret::from_entropy([7; 32]));
/// let key = SignedSecret::new("TEAM123456", "https://appleid.apple.com", "KEY1234567", signer.clone());
/// let secret = key.sign("com.example.app", UnixTime::from_secs(1_700_000_000)).unwrap();
/// let read = Compact::parse(secret.expose(), 4096).unwrap();
/// assert_eq!(read.header().kid(), Some("KEY1234567"));
/// read.verify(&DefaultVerifier, signer.public_key(), &[signer.algorithm()]).unwrap();
/// ```
#[derive(Clone, Debug)]
pub struct SignedSecret {
    owner: String,
    audience: String,
    header: EncodedHeader,
    signer: Arc<dyn Signer>,
}

impl SignedSecret {
    /// How long a secret is good for. Apple would take half a year; it is used at once.
    pub const LIFETIME: Duration = Duration::from_secs(300);

    /// The key `kid` of this owner, for the server that calls itself `audience`.
    pub fn new(
        owner: impl Into<String>,
        audience: impl Into<String>,
        kid: &str,
        signer: Arc<dyn Signer>,
    ) -> Self {
        let header = ProtectedHeader::new(&*signer).with_kid(kid).encode();
        Self { owner: owner.into(), audience: audience.into(), header, signer }
    }

    /// The signer behind it.
    pub fn signer(&self) -> &dyn Signer {
        &*self.signer
    }

    /// One secret, for one request.
    ///
    /// # Errors
    /// [`SignError`] when the key's backend refuses.
    pub fn sign(&self, client_id: &str, now: UnixTime) -> Result<Secret, SignError> {
        let quoted = |text: &str| serde_json::Value::from(text).to_string();
        let (owner, client, audience) = (quoted(&self.owner), quoted(client_id), quoted(&self.audience));
        let issued = now.before(AssertionKey::BACK_DATED);
        let expires = issued.after(Self::LIFETIME);
        let payload =
            format!(r#"{{"iss":{owner},"sub":{client},"aud":{audience},"iat":{issued},"exp":{expires}}}"#);
        self.header.sign(payload, &*self.signer).map(Secret::new)
    }
}
