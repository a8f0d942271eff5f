//! Authenticated requests to an authorization server, outside the browser: pushed authorization, token, revocation.
//!
//! They differ in their form and in what their answers mean; who asks, with which key and with which nonce is the same
//! for all of them, and is here.

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, HeaderName, HeaderValue};
use http::{Method, Request, Response};
use thiserror::Error;
use url::Url;
use url::form_urlencoded::Serializer;
use vestibule_dpop::{NonceMemory, Proof, ProofKey, SignError};
use vestibule_oauth_core::{
    ErrorCode, ErrorResponse, HttpCall, HttpClient, HttpError, Seed, Trust, UnixTime,
};

use crate::client_auth::{ASSERTION_TYPE, ClientAuth};

/// Who asks an authorization server, and with which key.
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
        body.extend_pairs(&form.fields).append_pair("client_id", self.client_id);
        if let ClientAuth::PrivateKeyJwt(key) = self.client_auth {
            let assertion = key.assert(self.client_id, self.issuer, seed.derive_id("assertion jti"), now)?;
            body.append_pair("client_assertion_type", ASSERTION_TYPE)
                .append_pair("client_assertion", &assertion);
        }
        let mut request = Request::new(Bytes::from(body.finish()));
        *request.method_mut() = Method::POST;
        // Every `Url` of http and https is a `Uri`; should one not be, the empty path leads nowhere.
        *request.uri_mut() = form.endpoint.as_str().parse().unwrap_or_default();
        let headers = request.headers_mut();
        headers.insert(CONTENT_TYPE, FORM_TYPE);
        headers.insert(ACCEPT, JSON_TYPE);
        if let Some(key) = self.proof_key {
            let proof = Proof::new(&Method::POST, form.endpoint, seed.derive_id("proof jti"), now);
            let proof = nonce.into_iter().fold(proof, Proof::with_nonce);
            headers.extend(HeaderValue::try_from(key.prove(&proof)?).ok().map(|text| (DPOP, text)));
        }
        Ok(HttpCall::new(request, form.purpose, self.trust).with_timeout(TIMEOUT))
    }

    /// Sends the form, and once more if the server wants its nonce in the proof (RFC 9449, section 8); the nonce of every
    /// answer is remembered. Whatever else the answer says is the caller's to read.
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
        let first = self.try_post(form, nonces, &seed.child("first try"), now, http).await?;
        if self.proof_key.is_some() && wants_nonce(&first) {
            return self.try_post(form, nonces, &seed.child("second try"), now, http).await;
        }
        Ok(first)
    }

    async fn try_post(
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

/// Whether a refusal asks for the same request again, with the nonce it carries: 400 at an authorization server, and 401
/// where one counts a missing nonce as failed authentication.
fn wants_nonce(response: &Response<Bytes>) -> bool {
    matches!(response.status().as_u16(), 400 | 401)
        && response.headers().contains_key("dpop-nonce")
        && ErrorResponse::read(response.body())
            .is_some_and(|refusal| refusal.code == ErrorCode::USE_DPOP_NONCE)
}

const DPOP: HeaderName = HeaderName::from_static("dpop");
const FORM_TYPE: HeaderValue = HeaderValue::from_static("application/x-www-form-urlencoded");
const JSON_TYPE: HeaderValue = HeaderValue::from_static("application/json");

/// A server may ask others before it answers (client metadata, an account's home), so this is longer than for a document.
const TIMEOUT: std::time::Duration = std::time::Duration::from_secs(10);
