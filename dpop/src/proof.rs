//! What a proof says, and how it is written.

use std::fmt;
use std::fmt::Write;

use http::Method;
use subtle::ConstantTimeEq;
use url::{Position, Url};
use vestibule_oauth_core::{UnixTime, base64url};

use crate::json::write_text;
use crate::sha256::sha256;

/// What one proof says ([RFC 9449, section 4.2]): which request it is for, and when it was made. Make a new one for every
/// request, retries included; [`ProofKey::prove`](crate::ProofKey::prove) signs it.
///
/// ```
/// use http::Method;
/// use vestibule_dpop::{Es256Secret, Proof, ProofKey};
/// use vestibule_oauth_core::UnixTime;
///
/// let key = ProofKey::from_secret(Es256Secret::from_entropy([7; 32]));
/// let url = "https://pds.example/xrpc/app.bsky.feed.getTimeline?limit=10".parse().unwrap();
/// let now = UnixTime::from_secs(1_562_262_616);
/// let proof = Proof::new(&Method::GET, &url, [9; 16], now).with_nonce("eyJ7S_zG.eyJH0-Z").with_access_token("Kz~8mXK1");
/// assert_eq!(key.prove(&proof).unwrap().split('.').count(), 3);
/// ```
///
/// [RFC 9449, section 4.2]: https://www.rfc-editor.org/rfc/rfc9449#section-4.2
#[derive(Clone, Debug)]
#[must_use]
pub struct Proof<'a> {
    method: &'a Method,
    url: &'a Url,
    id: [u8; 16],
    made: UnixTime,
    nonce: Option<&'a str>,
    token_hash: Option<AccessTokenHash>,
}

impl<'a> Proof<'a> {
    /// A proof for a request with this method to this URL, of which the query, the fragment and the user are left out.
    /// `entropy` becomes the `jti`: draw fresh octets for every proof.
    pub const fn new(method: &'a Method, url: &'a Url, entropy: [u8; 16], now: UnixTime) -> Self {
        Self { method, url, id: entropy, made: now, nonce: None, token_hash: None }
    }

    /// The same proof with the nonce that the server has last given.
    pub const fn with_nonce(mut self, nonce: &'a str) -> Self {
        self.nonce = Some(nonce);
        self
    }

    /// The same proof for a request that carries this access token. Never for a request to an authorization server.
    pub fn with_access_token(mut self, token: &str) -> Self {
        self.token_hash = Some(AccessTokenHash::of(token));
        self
    }

    pub(crate) fn payload(&self) -> String {
        // The names, the jti, the time, the ath and the punctuation take less than 160.
        let guess = 160 + self.url.as_str().len() + self.nonce.map_or(0, str::len);
        let mut json = String::with_capacity(guess);
        json.push_str("{\"jti\":\"");
        base64url::encode_into(self.id, &mut json);
        json.push_str("\",\"htm\":");
        write_text(self.method.as_str(), &mut json);
        json.push_str(",\"htu\":");
        if self.url.username().is_empty() && self.url.password().is_none() {
            write_text(&self.url[..Position::AfterPath], &mut json);
        } else {
            let (start, rest) =
                (&self.url[..Position::BeforeUsername], &self.url[Position::BeforeHost..Position::AfterPath]);
            write_text(&[start, rest].concat(), &mut json);
        }
        json.push_str(",\"iat\":");
        let _ = write!(json, "{}", self.made.as_secs()); // a `String` takes everything
        if let Some(nonce) = self.nonce {
            json.push_str(",\"nonce\":");
            write_text(nonce, &mut json);
        }
        if let Some(hash) = &self.token_hash {
            json.push_str(",\"ath\":\"");
            base64url::encode_into(hash.0, &mut json);
            json.push('"');
        }
        json.push('}');
        json
    }
}

/// The SHA-256 hash of an access token: `ath`. Equality takes constant time.
///
/// ```
/// use vestibule_dpop::AccessTokenHash;
///
/// let hash = AccessTokenHash::of("Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU"); // RFC 9449, section 7.1
/// assert_eq!(hash.to_string(), "fUHyO2r2Z3DZ53EsNrWBb0xWXoaNy59IiKCAqksmQEo");
/// ```
#[derive(Clone, Copy)]
pub struct AccessTokenHash([u8; 32]);

impl AccessTokenHash {
    /// The hash of this token.
    pub fn of(token: &str) -> Self {
        Self(sha256(token))
    }

    /// Whether `text` is this hash in base64url.
    pub fn is(&self, text: &str) -> bool {
        base64url::decode_array(text).is_some_and(|hash| Self(hash) == *self)
    }
}

impl PartialEq for AccessTokenHash {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for AccessTokenHash {}

impl fmt::Display for AccessTokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&base64url::encode(self.0))
    }
}

impl fmt::Debug for AccessTokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AccessTokenHash").field(&self.to_string()).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::key::ProofKey;
    use crate::p256::P256Signer;
    use crate::secret::Es256Secret;

    const NOW: UnixTime = UnixTime::from_secs(1_562_262_616);

    fn payload(url: &str, with: impl FnOnce(Proof<'_>) -> String) -> String {
        with(Proof::new(&Method::POST, &url.parse().unwrap(), [9; 16], NOW))
    }

    #[test]
    fn r87_to_r89_payloads() {
        let start = r#"{"jti":"CQkJCQkJCQkJCQkJCQkJCQ","htm":"POST","htu":"https://a.example/token","iat":1562262616"#;
        for url in [
            "https://a.example/token",
            "https://a.example/token?x=y#z",
            "HTTPS://user:password@A.example:443/token#z",
            "https://user@a.example/token",
        ] {
            assert_eq!(payload(url, |proof| proof.payload()), format!("{start}}}"), "{url}");
        }
        let url = "https://a.example/token";
        assert_eq!(
            payload(url, |proof| proof.with_nonce("a\"b\\c").payload()),
            format!(r#"{start},"nonce":"a\"b\\c"}}"#)
        );
        assert_eq!(
            payload(url, |proof| {
                proof.with_access_token("Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU").payload()
            }),
            format!(r#"{start},"ath":"fUHyO2r2Z3DZ53EsNrWBb0xWXoaNy59IiKCAqksmQEo"}}"#)
        );
    }

    #[test]
    fn one_buffer_holds_a_payload() {
        for (url, nonce) in
            [("https://a.example", ""), ("https://pds.example/xrpc/com.atproto.repo.createRecord", "n")]
        {
            let json = payload(url, |proof| {
                let json = proof.with_nonce(nonce).with_access_token("token").payload();
                assert!(json.capacity() <= 160 + url.len() + 1 + nonce.len(), "grown: {}", json.capacity());
                json
            });
            assert!(serde_json::from_str::<serde_json::Value>(&json).is_ok());
        }
    }

    #[test]
    fn r87_a_whole_proof_octet_for_octet() {
        let signer = P256Signer::from_secret(&Es256Secret::from_entropy([7; 32]));
        let key = ProofKey::from_signer(Arc::new(signer));
        let url = "https://server.example.com/token".parse().unwrap();
        let proof =
            Proof::new(&Method::POST, &url, [9; 16], NOW).with_nonce("nonce").with_access_token("token");
        let text = key.prove(&proof).unwrap();
        assert_eq!(text, key.prove(&proof).unwrap());
        assert_eq!(text, WHOLE);
    }

    /// Checked by a program of other origin: the signature, and that it is the one of RFC 6979.
    const WHOLE: &str = "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7ImNydiI6IlAtMjU2Iiwia3R5IjoiRUMiLCJ4IjoiSGhoVEw5UjFUQUx6QkIyY2RjNnpPNFBfMkJySHprX29nc3l4eVl2RmlXNCIsInkiOiJwR3d4SEU0djlBM1phalpUNXVSVVJkTXRfa2h1enRkY2VwREdvWWlCd0tNIn19.eyJqdGkiOiJDUWtKQ1FrSkNRa0pDUWtKQ1FrSkNRIiwiaHRtIjoiUE9TVCIsImh0dSI6Imh0dHBzOi8vc2VydmVyLmV4YW1wbGUuY29tL3Rva2VuIiwiaWF0IjoxNTYyMjYyNjE2LCJub25jZSI6Im5vbmNlIiwiYXRoIjoiUEVhZW5XeFlkZE42UV9OVDFQaU9ZZno0RXNadTdqUlhSbHBBc05wQlUtQSJ9.B3iJiVyaIWEp2T0mkFmiUHprkP-OQzrfW0fP2Ap2J-oMQnH5HyI8ApqOSR7lg9bNfJGbzp_iY8TZPuQ1B1V4Ww";
}
