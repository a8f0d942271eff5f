//! A session in use: what signs the requests to a person's server, and reads what they ask for.

use std::sync::Arc;

use http::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Response};
use url::Url;
use vestibule_dpop::{NonceSeen, Proof, SignError};
use vestibule_oauth_core::UnixTime;

use super::live::Live;
use super::session::SessionRecord;

/// A session whose access token is good, ready to sign requests.
#[derive(Clone)]
pub struct ReadySession {
    pub(super) record: Arc<SessionRecord>,
    pub(super) live: Arc<Live>,
}

impl ReadySession {
    /// The session's record.
    pub fn record(&self) -> &SessionRecord {
        &self.record
    }

    /// Whether the access token is good no more, by its own word.
    pub fn has_ended(&self, now: UnixTime) -> bool {
        self.record.expires_at.is_some_and(|end| end <= now)
    }

    /// The headers that authorize one request to the person's server: `Authorization` and `DPoP` (R88). `jti` is fresh for
    /// every try.
    ///
    /// # Errors
    /// [`SignError`] when the key's backend refuses.
    pub fn authorization(
        &self,
        method: &Method,
        url: &Url,
        jti: [u8; 16],
        now: UnixTime,
    ) -> Result<HeaderMap, SignError> {
        let token = self.record.access_token.expose();
        let nonces = self.live.nonces();
        let proof = Proof::new(method, url, jti, self.live.their_time(now)).with_access_token(token);
        let proof = nonces.nonce_for(url).into_iter().fold(proof, Proof::with_nonce);
        let proof = self.live.key.prove(&proof)?;
        drop(nonces);
        let unprintable = |_| SignError::Failed("the access token does not fit a header".to_owned());
        let mut authorization = HeaderValue::try_from(format!("DPoP {token}")).map_err(unprintable)?;
        authorization.set_sensitive(true);
        let proof = HeaderValue::try_from(proof).map_err(unprintable)?;
        Ok([(AUTHORIZATION, authorization), (HeaderName::from_static("dpop"), proof)].into_iter().collect())
    }

    /// Whether a nonce of the server at `url` is known, so that a request to it need not be sent twice.
    pub fn knows_nonce(&self, url: &Url) -> bool {
        self.live.nonces().nonce_for(url).is_some()
    }

    /// Remembers the nonce of an answer of the server at `url`, and says what the answer asks for.
    pub fn observe(&self, url: &Url, response: &Response<impl Sized>, now: UnixTime) -> ResourceAnswer {
        let seen = self.live.nonces().observe(url, response.headers(), now);
        let challenge = response.headers().get_all(http::header::WWW_AUTHENTICATE);
        let says = |code: &str| {
            let quoted = format!("error=\"{code}\"");
            challenge.iter().any(|value| value.to_str().is_ok_and(|text| text.contains(&quoted)))
        };
        if response.status() != http::StatusCode::UNAUTHORIZED {
            ResourceAnswer::Final
        } else if says("use_dpop_nonce") && seen == NonceSeen::Kept {
            ResourceAnswer::NonceWanted
        } else if says("invalid_dpop_proof") && self.live.learn_skew(response.headers(), now) {
            ResourceAnswer::TimeRefused
        } else if says("invalid_token") {
            ResourceAnswer::TokenRefused
        } else {
            ResourceAnswer::Final
        }
    }
}

impl std::fmt::Debug for ReadySession {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ReadySession").field("key", &self.record.key).finish_non_exhaustive()
    }
}

/// What an answer of a person's server asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum ResourceAnswer {
    /// Nothing: it is the answer.
    Final,
    /// The same request with the nonce it brought.
    NonceWanted,
    /// The same request by the server's clock, which is known now (R94).
    TimeRefused,
    /// The same request with another access token.
    TokenRefused,
}
