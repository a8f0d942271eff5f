//! Client assertions: `private_key_jwt` ([RFC 7523, section 2.2], narrowed by [draft-ietf-oauth-rfc7523bis]).
//!
//! [RFC 7523, section 2.2]: https://www.rfc-editor.org/rfc/rfc7523#section-2.2
//! [draft-ietf-oauth-rfc7523bis]: https://datatracker.ietf.org/doc/draft-ietf-oauth-rfc7523bis/

use std::fmt;
use std::time::Duration;

use sha2::{Digest, Sha256};
use vestibule_dpop::{
    Algorithm, Claims, Compact, InvalidSignature, Jwk, JwkEntry, JwkSet, Verifier, VerifyError,
};
use vestibule_oauth_core::UnixTime;

use crate::denial::{AssertionFault, Denial};

/// An assertion as it came: read, and not believed.
pub(crate) struct ClientAssertion {
    text: String,
    client_id: String,
}

/// Without the assertion, which is good until it is used.
impl fmt::Debug for ClientAssertion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientAssertion").field("client_id", &self.client_id).finish_non_exhaustive()
    }
}

/// What an assertion is held to.
#[derive(Debug)]
pub(crate) struct Rules<'a> {
    /// The audiences that are this server.
    pub(crate) audiences: &'a [&'a str],
    /// Whether a list with one audience is as good as that audience alone.
    pub(crate) list: AudienceList,
    /// The algorithms that may be used.
    pub(crate) algorithms: &'a [Algorithm],
}

/// Whether `aud` may be a list of one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum AudienceList {
    Accepted,
    Refused,
}

/// An assertion that holds. It is good once: [`Verified::once`] is to be remembered until [`Verified::until`].
#[derive(Debug)]
pub(crate) struct Verified<'k> {
    pub(crate) key: &'k Jwk,
    pub(crate) once: [u8; 32],
    pub(crate) until: UnixTime,
}

impl ClientAssertion {
    /// The one `client_assertion_type` that is known here.
    pub(crate) const TYPE: &'static str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

    /// Takes an assertion apart as far as to know whose it says it is.
    pub(crate) fn parse(text: &str) -> Result<Self, Denial> {
        let jws = Compact::parse(text, MAX_OCTETS).map_err(Denial::AssertionSyntax)?;
        let claims = Claims::parse(jws.payload()).map_err(Denial::AssertionClaims)?;
        let client_id = claims.text("sub").map_err(Denial::AssertionClaims)?.to_owned();
        Ok(Self { text: text.to_owned(), client_id })
    }

    /// The client it says it is.
    pub(crate) fn client_id(&self) -> &str {
        &self.client_id
    }

    /// Holds it to the rules and to the keys that the client is registered with, the signature last.
    pub(crate) fn verify<'k>(
        &self,
        keys: &'k JwkSet,
        rules: &Rules<'_>,
        verifier: &(impl Verifier + ?Sized),
        now: UnixTime,
    ) -> Result<Verified<'k>, Denial> {
        let jws = Compact::parse(&self.text, MAX_OCTETS).map_err(Denial::AssertionSyntax)?;
        let claims = Claims::parse(jws.payload()).map_err(Denial::AssertionClaims)?;
        let fault = |fault| Err(Denial::Assertion(fault));
        let header = jws.header();
        if header.typ().is_some() && !TYPES.iter().any(|known| header.is_type(known)) {
            return fault(AssertionFault::Type);
        }
        if !rules.algorithms.contains(&header.algorithm()) {
            return fault(AssertionFault::Algorithm);
        }
        if claims.text("iss").map_err(Denial::AssertionClaims)? != self.client_id {
            return fault(AssertionFault::Subject);
        }
        is_for_us(&claims, rules)?;
        let until = times(&claims, now)?;
        let id = claims.text("jti").map_err(Denial::AssertionClaims)?;
        if id.is_empty() || id.len() > MAX_ID_OCTETS {
            return fault(AssertionFault::IdLength);
        }
        let key = signed_by(&jws, keys, rules.algorithms, verifier)?;
        Ok(Verified { key, once: once("client assertion", &self.client_id, id), until })
    }
}

/// What stands for a text that is good once: a hash of what it is, of who says it, and of the name it gave itself, so that
/// nobody can use up the names of another (A39).
pub(crate) fn once(what: &str, whose: &str, id: &str) -> [u8; 32] {
    let length = |text: &str| u64::try_from(text.len()).unwrap_or(u64::MAX).to_be_bytes();
    let hash = Sha256::new().chain_update(length(what)).chain_update(what);
    hash.chain_update(length(whose)).chain_update(whose).chain_update(id).finalize().into()
}

/// `aud` is this server and nobody else: an assertion that is for two could be passed on by one of them (CVE-2025-27370).
fn is_for_us(claims: &Claims<'_>, rules: &Rules<'_>) -> Result<(), Denial> {
    let text = claims.optional_text("aud").ok().flatten();
    let one = match (text, rules.list) {
        (Some(one), _) => one,
        (None, AudienceList::Refused) => return Err(Denial::Assertion(AssertionFault::Audience)),
        (None, AudienceList::Accepted) => {
            match claims.texts("aud").map_err(Denial::AssertionClaims)?.as_slice() {
                [one] if rules.audiences.contains(one) => return Ok(()),
                _ => return Err(Denial::Assertion(AssertionFault::Audience)),
            }
        }
    };
    if rules.audiences.contains(&one) { Ok(()) } else { Err(Denial::Assertion(AssertionFault::Audience)) }
}

/// Its times hold. Gives the time until which it could be sent again.
pub(crate) fn times(claims: &Claims<'_>, now: UnixTime) -> Result<UnixTime, Denial> {
    let fault = |fault| Err(Denial::Assertion(fault));
    let end = claims.time("exp").map_err(Denial::AssertionClaims)?;
    if end <= now {
        return fault(AssertionFault::Expired);
    }
    if end > now.after(MAX_LIFE) {
        return fault(AssertionFault::TooLong);
    }
    for name in ["nbf", "iat"] {
        let from = claims.optional_time(name).map_err(Denial::AssertionClaims)?;
        if from.is_some_and(|from| from > now.after(CLOCKS_APART)) {
            return fault(AssertionFault::FromTheFuture);
        }
    }
    Ok(end)
}

/// The key of the set that signed it: the one it names, or, if it names none, one of the first few that may have.
pub(crate) fn signed_by<'k>(
    jws: &Compact<'_>,
    keys: &'k JwkSet,
    algorithms: &[Algorithm],
    verifier: &(impl Verifier + ?Sized),
) -> Result<&'k Jwk, Denial> {
    let algorithm = jws.header().algorithm();
    let candidates: Vec<&JwkEntry> = match jws.header().kid() {
        Some(kid) => keys.find(kid).into_iter().filter(|entry| entry.fits(algorithm)).collect(),
        None => keys.entries().iter().filter(|entry| entry.fits(algorithm)).take(MAX_TRIES).collect(),
    };
    let mut refused = Denial::Assertion(AssertionFault::NoKey);
    for entry in candidates {
        match jws.verify(verifier, entry.key(), algorithms) {
            Ok(()) => return Ok(entry.key()),
            Err(InvalidSignature::Refused(error)) => refused = Denial::AssertionSignature(error),
            Err(_) => refused = Denial::AssertionSignature(VerifyError::Signature),
        }
    }
    Err(refused)
}

/// An assertion with an RSA signature takes some 800 octets.
pub(crate) const MAX_OCTETS: usize = 8 * 1024;

/// A UUID takes 36. What is remembered is a hash, so this bounds only the reading.
const MAX_ID_OCTETS: usize = 256;

/// How far ahead an assertion may end: its name is remembered until then (T18).
const MAX_LIFE: Duration = Duration::from_secs(300);

/// How far a client's clock may be ahead of ours. Up to 10 seconds must be accepted and more than 60 refused
/// ([FAPI 2.0, section 5.3.2.1](https://openid.net/specs/fapi-security-profile-2_0-final.html#section-5.3.2.1)).
const CLOCKS_APART: Duration = Duration::from_secs(30);

/// How many keys are tried for an assertion that names none: each costs a verification.
const MAX_TRIES: usize = 4;

/// What `typ` may say: the draft's own type, or the general one that most write.
const TYPES: [&str; 2] = ["client-authentication+jwt", "JWT"];
