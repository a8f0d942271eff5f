//! ID tokens ([OpenID Connect Core, section 2]): read, verified, and believed only then.
//!
//! [OpenID Connect Core, section 2]: https://openid.net/specs/openid-connect-core-1_0.html#IDToken

use std::time::Duration;

use serde_json::Value;
use thiserror::Error;
use vestibule_dpop::{
    Algorithm, Claims, Compact, InvalidClaims, InvalidJws, InvalidSignature, JwkSet, Verifier, sha256,
};
use vestibule_oauth_core::{Secret, UnixTime, base64url};

/// What an ID token has to say to be the answer to one login.
#[derive(Clone, Copy, Debug)]
#[allow(clippy::exhaustive_structs, reason = "meant to be written out by whoever verifies a token")]
pub struct IdTokenRules<'a> {
    /// Who may have issued it: the provider's issuer, and other texts by which it is known to call itself.
    pub issuers: &'a [String],
    /// Whom it has to be for.
    pub client_id: &'a str,
    /// The `nonce` that was sent.
    pub nonce: &'a str,
    /// The access token that came with it, for `at_hash`.
    pub access_token: &'a Secret,
    /// The signatures that are taken.
    pub algorithms: &'a [Algorithm],
    /// The time.
    pub now: UnixTime,
}

/// An ID token that was verified.
///
/// ```
/// use vestibule_dpop::{Algorithm, DefaultVerifier, Es256Secret, JwkEntry, JwkSet, ProtectedHeader, default_signer};
/// use vestibule_oauth_core::{Secret, UnixTime};
/// use vestibule_strategy::{IdToken, IdTokenRules, InvalidIdToken};
///
/// // The provider signs, and publishes its key.
/// let signer = default_signer(&Es256Secret::from_entropy([7; 32]));
/// let claims = r#"{"iss":"https://sso.example","sub":"u-1","aud":"our-app","nonce":"n-1","iat":1700000000,"exp":1700000300}"#;
/// let text = ProtectedHeader::new(&*signer).with_kid("one").encode().sign(claims, &*signer).unwrap();
/// let keys: JwkSet = [JwkEntry::new(signer.public_key().clone(), "one".to_owned(), Algorithm::Es256)].into_iter().collect();
///
/// let rules = IdTokenRules {
///     issuers: &["https://sso.example".to_owned()],
///     client_id: "our-app",
///     nonce: "n-1",
///     access_token: &Secret::new("at".to_owned()),
///     algorithms: &[Algorithm::Es256],
///     now: UnixTime::from_secs(1_700_000_010),
/// };
/// assert_eq!(IdToken::verify(&text, &keys, &DefaultVerifier, &rules).unwrap().subject, "u-1");
/// let other = IdTokenRules { nonce: "n-2", ..rules };
/// assert_eq!(IdToken::verify(&text, &keys, &DefaultVerifier, &other).unwrap_err(), InvalidIdToken::Nonce);
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct IdToken {
    /// `iss`, as it was written.
    pub issuer: String,
    /// `sub`: who the person is there.
    pub subject: String,
    /// Everything it says.
    pub claims: Value,
}

impl IdToken {
    /// How far clocks may be apart: for `exp`, `iat` and `nbf`.
    pub const LEEWAY: Duration = Duration::from_secs(60);

    /// The longest one taken, in octets.
    pub const MAX_OCTETS: usize = Compact::MAX_LENGTH;

    /// The longest `sub`, in octets ([Core, section 2](https://openid.net/specs/openid-connect-core-1_0.html#IDToken)).
    pub const MAX_SUBJECT: usize = 255;

    /// Verifies a token: its signature by one of these keys, and everything that [Core, section 3.1.3.7] has a client look at.
    ///
    /// # Errors
    /// [`InvalidIdToken`], the first rule that is broken. [`InvalidIdToken::UnknownKey`] is worth another look at the provider's keys.
    ///
    /// [Core, section 3.1.3.7]: https://openid.net/specs/openid-connect-core-1_0.html#IDTokenValidation
    pub fn verify(
        text: &str,
        keys: &JwkSet,
        verifier: &(impl Verifier + ?Sized),
        rules: &IdTokenRules<'_>,
    ) -> Result<Self, InvalidIdToken> {
        let jws = Compact::parse(text, Self::MAX_OCTETS).map_err(InvalidIdToken::Jws)?;
        let (kid, algorithm) = (jws.header().kid(), jws.header().algorithm());
        if !rules.algorithms.contains(&algorithm) {
            return Err(InvalidIdToken::Algorithm(algorithm));
        }
        let mut refusal = InvalidIdToken::UnknownKey;
        let mut verified = false;
        for key in keys.fitting(kid, algorithm).take(MAX_TRIES) {
            match jws.verify(verifier, key, rules.algorithms) {
                Ok(()) => {
                    verified = true;
                    break;
                }
                Err(error) => refusal = InvalidIdToken::Signature(error),
            }
        }
        if !verified {
            return Err(refusal);
        }
        Self::believe(jws.payload(), rules)
    }

    /// Looks at what a token says that is signed.
    fn believe(payload: &[u8], rules: &IdTokenRules<'_>) -> Result<Self, InvalidIdToken> {
        let claims = Claims::parse(payload).map_err(InvalidIdToken::Claims)?;
        let issuer = claims.text("iss").map_err(InvalidIdToken::Claims)?;
        if !rules.issuers.iter().any(|known| known == issuer) {
            return Err(InvalidIdToken::Issuer);
        }
        let audience = claims.texts("aud").map_err(InvalidIdToken::Claims)?;
        if !audience.contains(&rules.client_id) {
            return Err(InvalidIdToken::Audience);
        }
        match claims.optional_text("azp").map_err(InvalidIdToken::Claims)? {
            Some(party) if party != rules.client_id => return Err(InvalidIdToken::AuthorizedParty),
            None if audience.len() > 1 => return Err(InvalidIdToken::AuthorizedParty),
            _ => {}
        }
        let (earliest, latest) = (rules.now.before(Self::LEEWAY), rules.now.after(Self::LEEWAY));
        if claims.time("exp").map_err(InvalidIdToken::Claims)? <= earliest {
            return Err(InvalidIdToken::Expired);
        }
        let begins = claims.optional_time("nbf").map_err(InvalidIdToken::Claims)?;
        if claims.time("iat").map_err(InvalidIdToken::Claims)? > latest
            || begins.is_some_and(|time| time > latest)
        {
            return Err(InvalidIdToken::Future);
        }
        if claims.text("nonce").map_err(InvalidIdToken::Claims)? != rules.nonce {
            return Err(InvalidIdToken::Nonce);
        }
        if let Some(hash) = claims.optional_text("at_hash").map_err(InvalidIdToken::Claims)?
            && hash != half_hash(rules.access_token)
        {
            return Err(InvalidIdToken::AccessTokenHash);
        }
        let subject = claims.text("sub").map_err(InvalidIdToken::Claims)?;
        if !(1..=Self::MAX_SUBJECT).contains(&subject.len()) || subject.chars().any(char::is_control) {
            return Err(InvalidIdToken::Subject);
        }
        let (issuer, subject) = (issuer.to_owned(), subject.to_owned());
        let claims = serde_json::from_slice(payload).unwrap_or_default();
        Ok(Self { issuer, subject, claims })
    }
}

/// A token without a `kid` is tried with so many keys that fit, and no more.
const MAX_TRIES: usize = 4;

/// The left half of the token's hash ([Core, section 3.1.3.6]). All algorithms here hash by SHA-256.
///
/// [Core, section 3.1.3.6]: https://openid.net/specs/openid-connect-core-1_0.html#CodeIDToken
fn half_hash(token: &Secret) -> String {
    let hash = sha256(token.expose());
    let (left, _) = hash.split_at(16);
    base64url::encode(left)
}

/// Why an ID token is not believed. No variant repeats what it says.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum InvalidIdToken {
    /// It is no signed text.
    #[error("it is no signed text: {0}")]
    Jws(InvalidJws),
    /// It is signed in a way that is not taken.
    #[error("it is signed with {0}, which is not taken")]
    Algorithm(Algorithm),
    /// It is signed with a key that the provider does not publish.
    #[error("the provider publishes no key that it could be signed with")]
    UnknownKey,
    /// Its signature is wrong.
    #[error("its signature is not the provider's: {0}")]
    Signature(InvalidSignature),
    /// A claim is missing, or of another kind than it has to be.
    #[error("what it says cannot be read: {0}")]
    Claims(InvalidClaims),
    /// It names no tenant.
    #[error("it names no tenant")]
    Tenant,
    /// `iss` is somebody else.
    #[error("it is of another issuer")]
    Issuer,
    /// `aud` is somebody else.
    #[error("it is for another application")]
    Audience,
    /// `azp` is somebody else, or missing where there are several audiences.
    #[error("it was given to another application")]
    AuthorizedParty,
    /// `exp` is past.
    #[error("it has expired")]
    Expired,
    /// `iat` or `nbf` is still to come.
    #[error("it is of the future")]
    Future,
    /// `nonce` is that of another login.
    #[error("it is the answer to another login")]
    Nonce,
    /// `at_hash` is that of another access token.
    #[error("it came with another access token")]
    AccessTokenHash,
    /// `sub` is empty, or longer than 255 octets.
    #[error("it does not say who the person is")]
    Subject,
}
