//! An assertion for a token ([RFC 7523, section 2.1]): somebody whom the client trusts says who the person is.
//!
//! [RFC 7523, section 2.1]: https://www.rfc-editor.org/rfc/rfc7523#section-2.1

use vestibule_dpop::{Claims, Compact, DefaultVerifier};
use vestibule_oauth_core::{BoxFuture, ScopeSet};

use crate::assertion::{self, MAX_OCTETS, once, signed_by};
use crate::caller::{OneTime, OneTimeKind};
use crate::denial::{AssertionFault, Denial};
use crate::extension::{Approved, Exchange, ExtensionGrant};
use crate::grant_type::GrantType;

/// The jwt-bearer grant, for assertions of a client's [`trusted_issuers`](crate::Client::trusted_issuers). Add it to
/// [`EndpointSetup::extensions`](crate::EndpointSetup::extensions).
///
/// The assertion's `sub` becomes the subject of the token; its `aud` must be this server, by its issuer or by its token endpoint;
/// it is good once.
#[derive(Clone, Copy, Default, Debug)]
#[non_exhaustive]
pub struct JwtBearer;

impl JwtBearer {
    /// The grant.
    pub const fn new() -> Self {
        Self
    }
}

impl ExtensionGrant for JwtBearer {
    fn grant_type(&self) -> GrantType {
        GrantType::JWT_BEARER
    }

    fn decide<'a>(&'a self, asked: &'a Exchange<'a>) -> BoxFuture<'a, Result<Approved, Denial>> {
        Box::pin(std::future::ready(decide(asked)))
    }
}

fn decide(asked: &Exchange<'_>) -> Result<Approved, Denial> {
    let text = asked.required("assertion")?;
    let (subject, one_time) =
        vouched(asked, text).map_err(|denial| Denial::GrantAssertion(Box::new(denial)))?;
    let may = &asked.client().scope;
    let scope = match asked.value("scope") {
        None => may.clone(),
        Some(text) => {
            let scope: ScopeSet = text.parse().map_err(|_| Denial::ScopeSyntax)?;
            if !scope.is_subset_of(may) {
                return Err(Denial::ScopeTooWide);
            }
            scope
        }
    };
    let mut approved = Approved::new(subject, scope);
    approved.one_time.push(one_time);
    Ok(approved)
}

/// Whom the assertion vouches for.
fn vouched(asked: &Exchange<'_>, text: &str) -> Result<(String, OneTime), Denial> {
    let jws = Compact::parse(text, MAX_OCTETS).map_err(Denial::AssertionSyntax)?;
    let claims = Claims::parse(jws.payload()).map_err(Denial::AssertionClaims)?;
    let issuer = claims.text("iss").map_err(Denial::AssertionClaims)?;
    let trusted = asked.client().trusted_issuers.iter().find(|trusted| trusted.issuer == issuer);
    let trusted = trusted.ok_or(Denial::Assertion(AssertionFault::NoKey))?;
    let algorithms = asked.endpoint().profile().assertion_algorithms();
    if !algorithms.contains(&jws.header().algorithm()) {
        return Err(Denial::Assertion(AssertionFault::Algorithm));
    }
    let ours = [asked.endpoint().issuer().as_str(), asked.endpoint().urls().token.as_str()];
    match claims.texts("aud").map_err(Denial::AssertionClaims)?.as_slice() {
        [one] if ours.contains(one) => {}
        _ => return Err(Denial::Assertion(AssertionFault::Audience)),
    }
    let until = assertion::times(&claims, asked.now())?;
    let id = claims.text("jti").map_err(Denial::AssertionClaims)?;
    let subject = claims.text("sub").map_err(Denial::AssertionClaims)?;
    if subject.is_empty() || subject.len() > MAX_SUBJECT_OCTETS || subject.chars().any(char::is_control) {
        return Err(Denial::Assertion(AssertionFault::Subject));
    }
    signed_by(&jws, &trusted.keys, algorithms, &DefaultVerifier)?;
    let one_time = OneTime { key: once("grant assertion", issuer, id), until, kind: OneTimeKind::Grant };
    Ok((subject.to_owned(), one_time))
}

/// A DID has at most 2048.
const MAX_SUBJECT_OCTETS: usize = 2048;
