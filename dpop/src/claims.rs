//! Claims of a signed text, read strictly ([RFC 7519, section 4]).
//!
//! [RFC 7519, section 4]: https://www.rfc-editor.org/rfc/rfc7519#section-4

use thiserror::Error;
use vestibule_oauth_core::UnixTime;

use crate::json::{Fault, Json, Members, WrongType};

/// The claims in a payload: one JSON object of a reasonable size, in which no name stands twice.
///
/// Reading is not believing: verify the text they come from first, or decide nothing by them.
///
/// ```
/// use vestibule_dpop::{Claims, InvalidClaims};
///
/// let claims = Claims::parse(br#"{"iss":"https://as.example","aud":["a","b"],"exp":1700000000.5}"#).unwrap();
/// assert_eq!(claims.text("iss"), Ok("https://as.example"));
/// assert_eq!(claims.texts("aud").unwrap(), ["a", "b"]); // a text, or a list of them
/// assert_eq!(claims.time("exp").unwrap().as_secs(), 1_700_000_000);
/// assert_eq!(claims.text("sub"), Err(InvalidClaims::Missing("sub")));
/// assert_eq!(claims.time("iss"), Err(InvalidClaims::Type("iss")));
/// ```
#[derive(Debug)]
pub struct Claims<'a>(Object<'a>);

/// The whole object, or one inside another.
#[derive(Debug)]
enum Object<'a> {
    Whole(Members<'a>),
    Inner(&'a Members<'a>),
}

impl<'a> Claims<'a> {
    /// Reads a payload.
    ///
    /// # Errors
    /// [`InvalidClaims::Payload`] or [`InvalidClaims::Duplicate`].
    pub fn parse(payload: &'a [u8]) -> Result<Self, InvalidClaims> {
        let members = Members::parse(payload).map_err(|fault| match fault {
            Fault::Syntax | Fault::TooMany => InvalidClaims::Payload,
            Fault::Duplicate => InvalidClaims::Duplicate,
        })?;
        Ok(Self(Object::Whole(members)))
    }

    /// The text of a claim that must be there.
    ///
    /// # Errors
    /// [`InvalidClaims::Missing`] or [`InvalidClaims::Type`].
    pub fn text(&self, name: &'static str) -> Result<&str, InvalidClaims> {
        self.optional_text(name)?.ok_or(InvalidClaims::Missing(name))
    }

    /// The text of a claim, `None` where there is no such claim.
    ///
    /// # Errors
    /// [`InvalidClaims::Type`].
    pub fn optional_text(&self, name: &'static str) -> Result<Option<&str>, InvalidClaims> {
        self.members().text(name).map_err(|WrongType(name)| InvalidClaims::Type(name))
    }

    /// A claim that is a text or a list of texts, as `aud` is, and must be there. A list may be empty.
    ///
    /// # Errors
    /// [`InvalidClaims::Missing`] or [`InvalidClaims::Type`].
    pub fn texts(&self, name: &'static str) -> Result<Vec<&str>, InvalidClaims> {
        let texts = match self.members().get(name).ok_or(InvalidClaims::Missing(name))? {
            Json::List(list) => list.iter().map(as_text).collect(),
            one => as_text(one).map(|text| vec![text]),
        };
        texts.ok_or(InvalidClaims::Type(name))
    }

    /// A time that must be there.
    ///
    /// # Errors
    /// [`InvalidClaims::Missing`] or [`InvalidClaims::Type`].
    pub fn time(&self, name: &'static str) -> Result<UnixTime, InvalidClaims> {
        self.optional_time(name)?.ok_or(InvalidClaims::Missing(name))
    }

    /// A time, `None` where there is no such claim. A fraction of a second is dropped ([RFC 7519, section 2]).
    ///
    /// # Errors
    /// [`InvalidClaims::Type`].
    ///
    /// [RFC 7519, section 2]: https://www.rfc-editor.org/rfc/rfc7519#section-2
    pub fn optional_time(&self, name: &'static str) -> Result<Option<UnixTime>, InvalidClaims> {
        let seconds = self.members().seconds(name).map_err(|WrongType(name)| InvalidClaims::Type(name))?;
        Ok(seconds.map(UnixTime::from_secs))
    }

    /// The claims in a claim that is an object, such as `cnf`; `None` where there is no such claim.
    ///
    /// # Errors
    /// [`InvalidClaims::Type`].
    pub fn object(&self, name: &'static str) -> Result<Option<Claims<'_>>, InvalidClaims> {
        match self.members().get(name) {
            None => Ok(None),
            Some(Json::Object(members)) => Ok(Some(Claims(Object::Inner(members)))),
            Some(_) => Err(InvalidClaims::Type(name)),
        }
    }

    /// The names of all claims, in their order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.members().names()
    }

    const fn members(&self) -> &Members<'_> {
        match &self.0 {
            Object::Whole(members) => members,
            Object::Inner(members) => members,
        }
    }
}

fn as_text<'a>(value: &'a Json<'_>) -> Option<&'a str> {
    match value {
        Json::Text(text) => Some(text),
        _ => None,
    }
}

/// Why claims are not what they must be. No variant holds a value.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum InvalidClaims {
    /// The payload is not one JSON object of a reasonable size.
    #[error("the payload must be one json object")]
    Payload,
    /// A claim appears twice.
    #[error("no claim may be there twice")]
    Duplicate,
    /// This claim must be there.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// This claim is of another JSON type than it must be.
    #[error("{0} is of the wrong type")]
    Type(&'static str),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a40_claims_are_read_in_one_way_or_not_at_all() {
        for (payload, why) in [
            ("", InvalidClaims::Payload),
            ("[]", InvalidClaims::Payload),
            ("{} {}", InvalidClaims::Payload),
            ("{\"a\":1,\"a\":1}", InvalidClaims::Duplicate),
            ("{\"a\":{\"b\":1,\"b\":2}}", InvalidClaims::Duplicate),
        ] {
            assert_eq!(Claims::parse(payload.as_bytes()).unwrap_err(), why, "{payload}");
        }
    }

    #[test]
    fn each_kind_of_claim_is_of_its_type() {
        let claims = Claims::parse(
            br#"{"text":"a","texts":["a","b"],"mixed":["a",1],"none":null,"time":7,"cnf":{"jkt":"x"},"empty":[]}"#,
        )
        .unwrap();
        for name in ["texts", "none", "time", "cnf"] {
            assert_eq!(claims.text(name), Err(InvalidClaims::Type(name)));
        }
        for (name, texts) in [
            ("text", Ok(vec!["a"])),
            ("texts", Ok(vec!["a", "b"])),
            ("empty", Ok(vec![])),
            ("mixed", Err(InvalidClaims::Type("mixed"))),
            ("none", Err(InvalidClaims::Type("none"))),
            ("absent", Err(InvalidClaims::Missing("absent"))),
        ] {
            assert_eq!(claims.texts(name), texts, "{name}");
        }
        assert_eq!(claims.optional_text("absent"), Ok(None));
        assert_eq!(claims.time("time"), Ok(UnixTime::from_secs(7)));
        assert_eq!(claims.time("absent"), Err(InvalidClaims::Missing("absent")));
        assert_eq!(claims.object("cnf").unwrap().unwrap().text("jkt"), Ok("x"));
        assert!(claims.object("absent").unwrap().is_none());
        assert_eq!(claims.object("text").unwrap_err(), InvalidClaims::Type("text"));
        assert_eq!(claims.names().count(), 7);
    }
}
