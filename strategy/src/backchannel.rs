//! Authenticated requests to an authorization server, outside the browser: pushed authorization, token, revocation.
//!
//! They differ in their form and in what their answers mean; who asks, with which key and with which nonce is the same
//! for all of them, and is here.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue};
use http::{Method, Request, Response};
use thiserror::Error;
use url::Url;
use url::form_urlencoded::{Serializer, byte_serialize};
use vestibule_dpop::{NonceMemory, Proof, ProofKey, SignError};
use vestibule_oauth_core::{
    ErrorCode, ErrorResponse, HttpCall, HttpClient, HttpError, Secret, Seed, Trust, UnixTime,
};

use crate::client_auth::{ASSERTION_TYPE, ClientAuth};
use crate::clock_skew::ClockSkew;

/// Who asks an authorization server, and with which key.
///
/// ```
/// use url::Url;
/// use vestibule_dpop::{Es256Secret, ProofKey};
/// use vestibule_oauth_core::{Secret, Seed, Trust, UnixTime};
/// use vestibule_strategy::token::refresh_form;
/// use vestibule_strategy::{Backchannel, ClientAuth};
///
/// let key = ProofKey::from_secret(Es256Secret::from_entropy([7; 32]));
/// let auth = ClientAuth::Public;
/// let channel = Backchannel::new("https://as.example", "https://app.example/client.json", &auth, Trust::UserSupplied)
///     .with_proof_key(&key);
///
/// let endpoint = Url::parse("https://as.example/token").unwrap();
/// let refresh_token = Secret::new("rt-1".to_owned());
/// let form = refresh_form(&endpoint, &refresh_token);
/// let seed = Seed::from_entropy([9; 32]); // fresh for every try
/// let call = channel.request(&form, Some("nonce"), &seed, UnixTime::from_secs(1_700_000_000)).unwrap();
/// assert!(call.request.headers().contains_key("dpop"));
/// assert_eq!(
///     call.request.body(),
///     "grant_type=refresh_token&refresh_token=rt-1&client_id=https%3A%2F%2Fapp.example%2Fclient.json"
/// );
/// ```
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Backchannel<'a> {
    /// The server, as it names itself: the `aud` of assertions.
    pub issuer: &'a str,
    /// Who asks.
    pub client_id: &'a str,
    /// How that is proved.
    pub client_auth: &'a ClientAuth,
    /// The key that tokens are bound to ([RFC 9449](https://www.rfc-editor.org/rfc/rfc9449)), if they are.
    pub proof_key: Option<&'a ProofKey>,
    /// Who named the server's endpoints.
    pub trust: Trust,
}

impl<'a> Backchannel<'a> {
    /// How long one request may take. A server may ask others before it answers (client metadata, an account's home), so
    /// this is longer than for a document.
    pub const TIMEOUT: Duration = Duration::from_secs(10);

    /// The most requests that [`Self::post`] makes of one form.
    pub const MAX_POSTS: u32 = 3;

    /// A client without a key for tokens.
    pub const fn new(issuer: &'a str, client_id: &'a str, client_auth: &'a ClientAuth, trust: Trust) -> Self {
        Self { issuer, client_id, client_auth, proof_key: None, trust }
    }

    /// The same client, its tokens bound to `key`.
    #[must_use]
    pub const fn with_proof_key(mut self, key: &'a ProofKey) -> Self {
        self.proof_key = Some(key);
        self
    }

    /// One try of a request: the form with the client's identity, a new assertion and a new proof. `seed` serves this try
    /// and no other.
    ///
    /// # Errors
    /// [`SignError`] when a key's backend refuses.
    pub fn request(
        &self,
        form: &Form<'_>,
        nonce: Option<&str>,
        seed: &Seed,
        now: UnixTime,
    ) -> Result<HttpCall, SignError> {
        let mut body = Serializer::new(String::with_capacity(1024));
        body.extend_pairs(&form.fields);
        let mut authorization = None;
        match self.client_auth {
            ClientAuth::Public => {
                body.append_pair("client_id", self.client_id);
            }
            // The name is in the header field; a second one in the form would be one too many for some servers.
            ClientAuth::SecretBasic(secret) => authorization = basic(self.client_id, secret),
            ClientAuth::SecretPost(secret) => {
                body.append_pair("client_id", self.client_id).append_pair("client_secret", secret.expose());
            }
            ClientAuth::SignedSecret(key) => {
                let secret = key.sign(self.client_id, now)?;
                body.append_pair("client_id", self.client_id).append_pair("client_secret", secret.expose());
            }
            ClientAuth::PrivateKeyJwt(key) => {
                let jti = seed.derive_id("assertion jti");
                let assertion = key.assert(self.client_id, self.issuer, jti, now)?;
                body.append_pair("client_id", self.client_id)
                    .append_pair("client_assertion_type", ASSERTION_TYPE)
                    .append_pair("client_assertion", &assertion);
            }
        }
        let mut request = Request::new(Bytes::from(body.finish()));
        *request.method_mut() = Method::POST;
        // Every `Url` of http and https is a `Uri`; should one not be, the empty path leads nowhere.
        *request.uri_mut() = form.endpoint.as_str().parse().unwrap_or_default();
        let headers = request.headers_mut();
        headers.insert(CONTENT_TYPE, FORM_TYPE);
        headers.insert(ACCEPT, JSON_TYPE);
        headers.extend(authorization.map(|field| (AUTHORIZATION, field)));
        if let Some(key) = self.proof_key {
            let proof = Proof::new(&Method::POST, form.endpoint, seed.derive_id("proof jti"), now);
            let proof = nonce.into_iter().fold(proof, Proof::with_nonce);
            if let Ok(mut text) = HeaderValue::try_from(key.prove(&proof)?) {
                text.set_sensitive(true);
                headers.insert(DPOP, text);
            }
        }
        Ok(HttpCall::new(request, form.purpose, self.trust).with_timeout(Self::TIMEOUT))
    }

    /// Sends the form, once more if the server wants its nonce in the proof (RFC 9449, section 8), and once more by the
    /// server's clock if it refuses what was signed by ours (R94). The nonce of every answer is remembered. Whatever else
    /// the answer says is the caller's to read.
    ///
    /// # Errors
    /// [`PostError`] when no answer was had.
    pub async fn post(
        &self,
        form: &Form<'_>,
        nonces: &mut NonceMemory,
        seed: &Seed,
        now: UnixTime,
        http: &dyn HttpClient,
    ) -> Result<Response<Bytes>, PostError> {
        let mut response = self.post_once(form, nonces, &seed.child("first try"), now, http).await?;
        if self.proof_key.is_some() && wants_nonce(&response) {
            response = self.post_once(form, nonces, &seed.child("with the nonce"), now, http).await?;
        }
        match refused_time(&response, now) {
            Some(skew) => {
                let their_time = skew.their_time(now);
                self.post_once(form, nonces, &seed.child("by their clock"), their_time, http).await
            }
            None => Ok(response),
        }
    }

    /// Sends the form once, with the nonce that is known, and remembers the nonce of the answer, whatever it asks for.
    ///
    /// # Errors
    /// [`PostError`] when no answer was had.
    pub async fn post_once(
        &self,
        form: &Form<'_>,
        nonces: &mut NonceMemory,
        seed: &Seed,
        now: UnixTime,
        http: &dyn HttpClient,
    ) -> Result<Response<Bytes>, PostError> {
        let call = self.request(form, nonces.nonce_for(form.endpoint), seed, now).map_err(PostError::Sign)?;
        let response = http.send(call).await.map_err(PostError::Http)?;
        nonces.observe(form.endpoint, response.headers(), now);
        Ok(response)
    }
}

/// A form for one endpoint, without what says who sends it.
///
/// Its fields may be secrets, so its `Debug` names them only.
///
/// ```
/// use vestibule_strategy::Form;
///
/// let endpoint = "https://as.example/par".parse().unwrap();
/// let form = Form::new(&endpoint, "device authorization", [("scope", "atproto"), ("secret", "s3cret")]);
/// assert_eq!(format!("{form:?}"), r#"Form { endpoint: "https://as.example/par", fields: ["scope", "secret"] }"#);
/// ```
pub struct Form<'a> {
    endpoint: &'a Url,
    purpose: &'static str,
    fields: Vec<(&'static str, &'a str)>,
}

impl<'a> Form<'a> {
    /// A form for `endpoint`; `purpose` says in errors and logs what it is for.
    pub fn new(
        endpoint: &'a Url,
        purpose: &'static str,
        fields: impl IntoIterator<Item = (&'static str, &'a str)>,
    ) -> Self {
        Self { endpoint, purpose, fields: fields.into_iter().collect() }
    }
}

impl std::fmt::Debug for Form<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<_> = self.fields.iter().map(|(name, _)| name).collect();
        f.debug_struct("Form").field("endpoint", &self.endpoint.as_str()).field("fields", &names).finish()
    }
}

/// Why a form has no answer.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum PostError {
    /// It was not signed, and not sent.
    #[error("{0}")]
    Sign(SignError),
    /// It was not answered.
    #[error("{0}")]
    Http(HttpError),
}

/// Basic credentials, each half encoded as a form's value ([RFC 6749, section 2.3.1]).
///
/// [RFC 6749, section 2.3.1]: https://www.rfc-editor.org/rfc/rfc6749#section-2.3.1
fn basic(client_id: &str, secret: &Secret) -> Option<HeaderValue> {
    let mut text = String::new();
    text.extend(byte_serialize(client_id.as_bytes()));
    text.push(':');
    text.extend(byte_serialize(secret.expose().as_bytes()));
    let mut field = HeaderValue::try_from(format!("Basic {}", STANDARD.encode(text))).ok()?;
    field.set_sensitive(true);
    Some(field)
}

/// Whether a refusal asks for the same request again, with the nonce it carries: 400 at an authorization server, and 401
/// where one counts a missing nonce as failed authentication.
fn wants_nonce(response: &Response<Bytes>) -> bool {
    matches!(response.status().as_u16(), 400 | 401)
        && response.headers().contains_key("dpop-nonce")
        && ErrorResponse::read(response.body())
            .is_some_and(|refusal| refusal.code == ErrorCode::USE_DPOP_NONCE)
}

/// How far the server's clock is from ours, if that may be why it refused a proof or an assertion.
fn refused_time(response: &Response<Bytes>, now: UnixTime) -> Option<ClockSkew> {
    let refusal =
        matches!(response.status().as_u16(), 400 | 401).then(|| ErrorResponse::read(response.body()))??;
    let signed = [ErrorCode::INVALID_DPOP_PROOF, ErrorCode::INVALID_CLIENT].contains(&refusal.code);
    ClockSkew::learn(response.headers(), now).filter(|_| signed)
}

const DPOP: HeaderName = HeaderName::from_static("dpop");
const FORM_TYPE: HeaderValue = HeaderValue::from_static("application/x-www-form-urlencoded");
const JSON_TYPE: HeaderValue = HeaderValue::from_static("application/json");

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, nonce: Option<&str>, body: &str) -> Response<Bytes> {
        let mut response = Response::builder().status(status);
        if let Some(nonce) = nonce {
            response = response.header("dpop-nonce", nonce);
        }
        response.body(Bytes::copy_from_slice(body.as_bytes())).unwrap()
    }

    #[test]
    fn r92_a_wish_for_a_nonce_comes_with_one() {
        let wish = r#"{"error":"use_dpop_nonce"}"#;
        for (status, nonce, body, expected) in [
            (400, Some("n"), wish, true),
            (401, Some("n"), wish, true),
            (400, None, wish, false),
            (400, Some("n"), r#"{"error":"invalid_dpop_proof"}"#, false),
            (400, Some("n"), "use_dpop_nonce", false),
            (200, Some("n"), wish, false),
            (500, Some("n"), wish, false),
        ] {
            assert_eq!(wants_nonce(&answer(status, nonce, body)), expected, "{status} {nonce:?} {body}");
        }
    }

    #[test]
    fn the_same_seed_makes_the_same_request_and_another_seed_another_proof() {
        // By the backend that draws no randomness of its own, whichever others are compiled in.
        let secret = vestibule_dpop::Es256Secret::from_entropy([7; 32]);
        let signer = vestibule_dpop::P256Signer::from_secret(&secret);
        let key = ProofKey::from_signer(std::sync::Arc::new(signer));
        let endpoint = Url::parse("https://as.example/token?tenant=1").unwrap();
        let channel = Backchannel::new("https://as.example", "c", &ClientAuth::Public, Trust::UserSupplied)
            .with_proof_key(&key);
        let form = Form::new(&endpoint, "test", [("a", "b c&d")]);
        let call = |seed| {
            let seed = Seed::from_entropy([seed; 32]);
            channel.request(&form, None, &seed, UnixTime::from_secs(7)).unwrap()
        };
        let (first, again, other) = (call(1), call(1), call(2));
        assert_eq!(first.request.uri(), "https://as.example/token?tenant=1");
        assert_eq!(first.request.body(), "a=b+c%26d&client_id=c");
        assert_eq!(first.trust, Trust::UserSupplied);
        assert_eq!(first.request.headers(), again.request.headers());
        assert_ne!(first.request.headers()["dpop"], other.request.headers()["dpop"]);
    }

    #[test]
    fn a_secret_goes_where_the_client_says_and_nowhere_else() {
        let endpoint = Url::parse("https://as.example/token").unwrap();
        let form = Form::new(&endpoint, "test", [("a", "b")]);
        let secret = || Secret::new("s:e cr%t".to_owned());
        for (auth, body, field) in [
            (ClientAuth::SecretBasic(secret()), "a=b", Some("Basic YyUyRjE6cyUzQWUrY3IlMjV0")),
            (ClientAuth::SecretPost(secret()), "a=b&client_id=c%2F1&client_secret=s%3Ae+cr%25t", None),
            (ClientAuth::Public, "a=b&client_id=c%2F1", None),
        ] {
            let channel = Backchannel::new("https://as.example", "c/1", &auth, Trust::Configured);
            let seed = Seed::from_entropy([1; 32]);
            let call = channel.request(&form, None, &seed, UnixTime::from_secs(7)).unwrap();
            assert_eq!(call.request.body(), body);
            let sent = call.request.headers().get(AUTHORIZATION);
            assert_eq!(sent.map(|field| field.to_str().unwrap()), field); // base64 of c%2F1:s%3Ae+cr%25t
            assert!(!format!("{auth:?} {call:?}").contains("cr%"), "{auth:?}");
        }
    }

    #[test]
    fn a_client_without_a_key_for_tokens_proves_nothing() {
        let endpoint = Url::parse("https://as.example/token").unwrap();
        let channel = Backchannel::new("https://as.example", "c", &ClientAuth::Public, Trust::Configured);
        let form = Form::new(&endpoint, "test", []);
        let call =
            channel.request(&form, Some("n"), &Seed::from_entropy([1; 32]), UnixTime::from_secs(7)).unwrap();
        assert!(!call.request.headers().contains_key("dpop"));
    }
}
