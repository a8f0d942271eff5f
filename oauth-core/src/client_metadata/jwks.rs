//! The public keys in a client's metadata, kept for whoever can read keys.

use std::fmt;
use std::str::FromStr;

use serde_json::{Map, Value};
use thiserror::Error;

use crate::client_metadata::RuleSet;
use crate::client_metadata::draft::RFC7591;
use crate::finding::{Findings, shown};
use crate::json_answer::clipped;

/// A JWK set ([RFC 7517, section 5]) whose keys are not read here, except that none of them is private.
///
/// Its text ([`Display`](fmt::Display)) is JSON again, for the crate that verifies assertions.
///
/// [RFC 7517, section 5]: https://www.rfc-editor.org/rfc/rfc7517#section-5
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Jwks(Value);

impl Jwks {
    /// The set, from its JSON text.
    ///
    /// # Errors
    ///
    /// If it is not a set, or holds a private key.
    fn from_value(value: Value) -> Result<Self, InvalidJwks> {
        let keys = keys(&value).ok_or(InvalidJwks::Shape)?;
        if keys.len() > MAX_KEYS {
            return Err(InvalidJwks::TooMany);
        }
        if keys.iter().any(|key| private_members(key).next().is_some()) {
            return Err(InvalidJwks::Private);
        }
        Ok(Self(value))
    }

    pub(super) const fn value(&self) -> &Value {
        &self.0
    }

    /// Takes a set that [`look_at`] had nothing to say against.
    pub(super) fn reviewed(value: Value) -> Option<Self> {
        Self::from_value(value).ok()
    }
}

impl FromStr for Jwks {
    type Err = InvalidJwks;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::from_value(
            serde_json::from_str(text).map_err(|error| InvalidJwks::Json(clipped(&error.to_string())))?,
        )
    }
}

impl fmt::Display for Jwks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Why a text is not a set of public keys. No variant shows a key.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum InvalidJwks {
    /// Not JSON; what the reader said.
    #[error("jwks must be JSON: {0}")]
    Json(String),
    /// Not an object with a list of objects called `keys`.
    #[error("jwks must be an object with a list of keys")]
    Shape,
    /// A private or a secret key among them.
    #[error("jwks must hold public keys only")]
    Private,
    /// More than 64 keys.
    #[error("jwks must have at most 64 keys")]
    TooMany,
}

/// What is wrong with a client's keys. A key without `kid` is a finding of the AT Protocol only.
pub(super) fn look_at(jwks: &Value, signing_alg: Option<&str>, rules: RuleSet, findings: &mut Findings) {
    let rule = match rules {
        RuleSet::Generic => RFC7591,
        RuleSet::Atproto => "R12",
    };
    let Some(keys) = keys(jwks) else {
        findings.error(
            rule,
            "jwks",
            "is not a JWK set",
            r#"write {"keys": [...]} with a public key in the list"#,
        );
        return;
    };
    if keys.is_empty() {
        findings.error(rule, "jwks.keys", "is empty", "write at least one public key");
    }
    if keys.len() > MAX_KEYS {
        findings.error(
            rule,
            "jwks.keys",
            "has more than 64 keys",
            "leave out the keys that are no longer used",
        );
    }
    for (at, key) in keys.iter().enumerate().take(MAX_KEYS) {
        let field = format!("jwks.keys[{at}]");
        let private: Vec<&str> = private_members(key).collect();
        if !private.is_empty() {
            let problem = format!("holds the private part of a key ({})", private.join(", "));
            findings.error(
                rule,
                &field,
                problem,
                "make a new key, publish only its public part, and forget this one",
            );
        }
        match key.get("kid") {
            Some(Value::String(kid)) if !kid.is_empty() => {
                if keys.iter().take(at).any(|other| other.get("kid").and_then(Value::as_str) == Some(kid)) {
                    findings.error(
                        rule,
                        &field,
                        format!("has the kid {} a second time", shown(kid)),
                        "give each key its own",
                    );
                }
            }
            Some(_) => findings.error(
                rule,
                &field,
                "has a kid that is not a text",
                "write a text, such as the key's thumbprint",
            ),
            None if rules == RuleSet::Generic => {}
            None => findings.error(
                rule,
                &field,
                "has no kid",
                "write one, such as the key's thumbprint: assertions name their key by it",
            ),
        }
    }
    let is_p256 = |key: &&Map<String, Value>| {
        key.get("kty").and_then(Value::as_str) == Some("EC")
            && key.get("crv").and_then(Value::as_str) == Some("P-256")
    };
    if signing_alg == Some("ES256") && !keys.is_empty() && !keys.iter().any(is_p256) {
        findings.error(
            rule,
            "jwks.keys",
            "has no key for ES256",
            r#"write a key with "kty": "EC" and "crv": "P-256""#,
        );
    }
}

fn keys(jwks: &Value) -> Option<Vec<&Map<String, Value>>> {
    jwks.as_object()?.get("keys")?.as_array()?.iter().map(Value::as_object).collect()
}

/// The members that only a private or a secret key has ([RFC 7518, section 6]).
///
/// [RFC 7518, section 6]: https://www.rfc-editor.org/rfc/rfc7518#section-6
fn private_members<'a>(key: &'a Map<String, Value>) -> impl Iterator<Item = &'static str> + 'a {
    ["d", "p", "q", "dp", "dq", "qi", "oth", "k"].into_iter().filter(|name| key.contains_key(*name))
}

/// The most keys of a client: a few while they rotate, and room for those who keep one per node.
const MAX_KEYS: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r12_no_private_key_passes() {
        for (text, why) in [
            ("[]", InvalidJwks::Shape),
            (r#"{"keys":{}}"#, InvalidJwks::Shape),
            (r#"{"keys":[1]}"#, InvalidJwks::Shape),
            (r#"{"keys":[{"kty":"EC","d":""}]}"#, InvalidJwks::Private),
            (r#"{"keys":[{"kty":"oct","k":"AA"}]}"#, InvalidJwks::Private),
        ] {
            assert_eq!(text.parse::<Jwks>(), Err(why), "{text}");
        }
        assert!(matches!("{".parse::<Jwks>(), Err(InvalidJwks::Json(_))));
        let many = format!(r#"{{"keys":[{}]}}"#, vec!["{}"; 65].join(","));
        assert_eq!(many.parse::<Jwks>(), Err(InvalidJwks::TooMany));
    }

    #[test]
    fn a_set_is_json_again() {
        let text = r#"{"keys":[{"crv":"P-256","kid":"1","kty":"EC"}]}"#;
        assert_eq!(text.parse::<Jwks>().unwrap().to_string(), text);
    }
}
