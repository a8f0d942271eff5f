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
