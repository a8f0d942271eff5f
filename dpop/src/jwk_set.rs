//! Sets of public keys: what a `jwks_uri` serves.

use thiserror::Error;

use crate::algorithm::Algorithm;
use crate::json::{Fault, Json, Members};
use crate::jwk::{self, InvalidJwk, Jwk};

/// A public key, and what its owner says about it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct JwkEntry {
    key: Jwk,
    kid: Option<String>,
    algorithm: Option<Algorithm>,
    issuer: Option<String>,
}

impl JwkEntry {
    /// A key for signatures, to be published under the name `kid`.
    pub const fn new(key: Jwk, kid: String, algorithm: Algorithm) -> Self {
        Self { key, kid: Some(kid), algorithm: Some(algorithm), issuer: None }
    }

    /// Reads one public key for signatures, with its `kid` and `alg`.
    ///
    /// # Errors
    /// [`InvalidJwkEntry`] says whether the key, its name or its purpose is at fault.
    pub fn parse(json: impl AsRef<[u8]>) -> Result<Self, InvalidJwkEntry> {
        Self::from_members(&jwk::members(json.as_ref())?)
    }

    /// The key.
    pub const fn key(&self) -> &Jwk {
        &self.key
    }

    /// The name of the key among its owner's keys.
    pub fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    /// The one algorithm the key is for, if its owner says so.
    pub const fn algorithm(&self) -> Option<Algorithm> {
        self.algorithm
    }

    /// Whose tokens the key is for, where one set is that of many issuers, as at Microsoft (`issuer`, in no standard).
    pub fn issuer(&self) -> Option<&str> {
        self.issuer.as_deref()
    }

    /// Whether signatures of that algorithm may be verified with the key.
    pub fn fits(&self, algorithm: Algorithm) -> bool {
        self.key.fits(algorithm) && self.algorithm.is_none_or(|own| own == algorithm)
    }

    /// Appends the key with its `kid`, `alg` and `"use":"sig"` as JSON.
    pub fn write_json(&self, out: &mut String) {
        jwk::write_entry(&self.key, self.kid(), self.algorithm, out);
    }

    fn from_members(members: &Members<'_>) -> Result<Self, InvalidJwkEntry> {
        let key = Jwk::from_members(members)?;
        let kid = jwk::optional(members, "kid")?;
        if kid.is_some_and(|kid| kid.len() > MAX_KID_LENGTH) {
            return Err(InvalidJwkEntry::KidTooLong);
        }
        if jwk::optional(members, "use")?.is_some_and(|purpose| purpose != "sig") {
            return Err(InvalidJwkEntry::OtherUse);
        }
        let algorithm = match jwk::optional(members, "alg")? {
            None => None,
            Some(name) => match name.parse() {
                Ok(algorithm) if key.fits(algorithm) => Some(algorithm),
                _ => return Err(InvalidJwkEntry::Algorithm),
            },
        };
        // In no standard, so one that is no text is as good as none was.
        let issuer = members.text("issuer").ok().flatten().filter(|issuer| issuer.len() <= MAX_KID_LENGTH);
        Ok(Self { key, kid: kid.map(str::to_owned), algorithm, issuer: issuer.map(str::to_owned) })
    }
}

/// Why a text is no entry of a key set that could be used here.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum InvalidJwkEntry {
    /// The key itself.
    #[error(transparent)]
    Key(#[from] InvalidJwk),
    /// A `kid` longer than 256 octets.
    #[error("the jwk's kid must have at most 256 octets")]
    KidTooLong,
    /// A `use` other than `sig`.
    #[error("the jwk's use must be sig")]
    OtherUse,
    /// An `alg` that is unknown, or that does not go with the kind of key.
    #[error("the jwk's alg must be ES256 for an EC key, RS256 or PS256 for an RSA key")]
    Algorithm,
}

/// A set of public keys ([RFC 7517, section 5]), bounded in size and number.
///
/// Keys of unknown kinds and for other purposes are left out, as the section asks. A set that shows a private EC or RSA
/// key is refused whole: its owner's keys are not to be trusted.
///
/// ```
/// use vestibule_dpop::{Algorithm, JwkSet};
///
/// let keys = JwkSet::parse(
///     r#"{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"},
///         {"kty":"EC","crv":"P-256","kid":"one","x":"l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs",
///          "y":"9VE4jf_Ok_o64zbTTlcuNJajHmt6v9TDVrU0CdvGRDA"}]}"#,
/// )
/// .unwrap();
/// assert_eq!(keys.entries().len(), 1);
/// assert!(keys.find("one").is_some_and(|entry| entry.fits(Algorithm::Es256)));
/// ```
///
/// [RFC 7517, section 5]: https://www.rfc-editor.org/rfc/rfc7517#section-5
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct JwkSet(Vec<JwkEntry>);

impl JwkSet {
    /// The longest JSON that is read as a key set, in octets: the body limit of the exchange that fetches it.
    pub const MAX_LENGTH: usize = 64 * 1024;

    /// Reads a key set.
    ///
    /// # Errors
    /// [`InvalidJwkSet`] when it is no set, is too large, or shows a private key.
    pub fn parse(json: impl AsRef<[u8]>) -> Result<Self, InvalidJwkSet> {
        let json = json.as_ref();
        if json.len() > Self::MAX_LENGTH {
            return Err(InvalidJwkSet::TooLong);
        }
        let set = Members::parse(json).map_err(|fault| match fault {
            Fault::Syntax => InvalidJwkSet::Json,
            Fault::Duplicate => InvalidJwkSet::DuplicateMember,
            Fault::TooMany => InvalidJwkSet::TooManyKeys,
        })?;
        let Some(Json::List(list)) = set.get("keys") else { return Err(InvalidJwkSet::Keys) };
        if list.len() > MAX_KEYS {
            return Err(InvalidJwkSet::TooManyKeys);
        }
        let mut entries = Vec::new();
        for item in list {
            let Json::Object(members) = item else { return Err(InvalidJwkSet::Keys) };
            match JwkEntry::from_members(members) {
                Ok(entry) => entries.push(entry),
                // A symmetric key is of a kind unknown here; a private one of a known kind has been given away.
                Err(InvalidJwkEntry::Key(InvalidJwk::PrivateMember(name)))
                    if matches!(members.text("kty"), Ok(Some("EC" | "RSA"))) =>
                {
                    return Err(InvalidJwkSet::PrivateMember(name));
                }
                Err(_) => {}
            }
        }
        Ok(Self(entries))
    }

    /// The keys that could be used, in the order of the set.
    pub fn entries(&self) -> &[JwkEntry] {
        &self.0
    }

    /// The first key of this name.
    pub fn find(&self, kid: &str) -> Option<&JwkEntry> {
        self.0.iter().find(|entry| entry.kid() == Some(kid))
    }

    /// The keys to try for a signature of this algorithm: those named `kid`, or all that fit when the signature names
    /// none.
    pub fn fitting<'a>(
        &'a self,
        kid: Option<&'a str>,
        algorithm: Algorithm,
    ) -> impl Iterator<Item = &'a Jwk> + 'a {
        self.0
            .iter()
            .filter(move |entry| entry.fits(algorithm) && kid.is_none_or(|kid| entry.kid() == Some(kid)))
            .map(JwkEntry::key)
    }

    /// Appends the set as JSON, to be served.
    pub fn write_json(&self, out: &mut String) {
        out.push_str("{\"keys\":[");
        for (n, entry) in self.0.iter().enumerate() {
            if n > 0 {
                out.push(',');
            }
            entry.write_json(out);
        }
        out.push_str("]}");
    }
}

impl FromIterator<JwkEntry> for JwkSet {
    fn from_iter<I: IntoIterator<Item = JwkEntry>>(entries: I) -> Self {
        Self(entries.into_iter().collect())
    }
}

/// Why a text is not read as a key set.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum InvalidJwkSet {
    /// Longer than [`JwkSet::MAX_LENGTH`].
    #[error("jwks must have at most 65536 octets")]
    TooLong,
    /// Not one JSON object.
    #[error("jwks must be one json object")]
    Json,
    /// A member name appears twice in one object.
    #[error("jwks must not name a member twice")]
    DuplicateMember,
    /// No `keys`, or not a list of objects.
    #[error("the jwks' member keys must be a list of objects")]
    Keys,
    /// More than 64 keys, or a key with more than 128 members.
    #[error("jwks must have at most 64 keys")]
    TooManyKeys,
    /// One of the keys is private.
    #[error("jwks must hold public keys only, without the private member {0}")]
    PrivateMember(&'static str),
}

/// The big identity providers publish about ten keys, while one replaces another.
const MAX_KEYS: usize = 64;

/// Most are a date, a hash or a UUID: under 64 octets.
const MAX_KID_LENGTH: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    const X: &str = "l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs";
    const Y: &str = "9VE4jf_Ok_o64zbTTlcuNJajHmt6v9TDVrU0CdvGRDA";

    fn ec(more: &str) -> String {
        format!(r#"{{"kty":"EC","crv":"P-256","x":"{X}","y":"{Y}"{more}}}"#)
    }

    #[test]
    fn entries_say_what_they_are_for() {
        let entry = JwkEntry::parse(ec(r#","kid":"k","alg":"ES256","use":"sig""#)).unwrap();
        assert_eq!((entry.kid(), entry.algorithm()), (Some("k"), Some(Algorithm::Es256)));
        let mut json = String::new();
        entry.write_json(&mut json);
        assert_eq!(
            json,
            format!(
                r#"{{"crv":"P-256","kty":"EC","x":"{X}","y":"{Y}","kid":"k","alg":"ES256","use":"sig"}}"#
            )
        );
        assert_eq!(JwkEntry::parse(json), Ok(entry));
        for (more, why) in [
            (r#","use":"enc""#, InvalidJwkEntry::OtherUse),
            (r#","alg":"RS256""#, InvalidJwkEntry::Algorithm),
            (r#","alg":"ES256K""#, InvalidJwkEntry::Algorithm),
            (r#","kid":1"#, InvalidJwkEntry::Key(InvalidJwk::MemberType("kid"))),
            (&format!(r#","kid":"{}""#, "k".repeat(257)), InvalidJwkEntry::KidTooLong),
        ] {
            assert_eq!(JwkEntry::parse(ec(more)), Err(why), "{more}");
        }
    }

    #[test]
    fn rfc7517_section_5_unusable_keys_are_left_out() {
        let set = JwkSet::parse(format!(
            r#"{{"other":null,"keys":[{{"kty":"oct","k":"AQ"}},{{}},{},{},{},{}]}}"#,
            ec(r#","kid":"a""#),
            ec(r#","kid":"b","use":"enc""#),
            ec(r#","kid":"c","alg":"ES256""#),
            ec(r#","kid":"a","alg":"ES256""#)
        ))
        .unwrap();
        assert_eq!(set.entries().iter().map(|e| e.kid().unwrap()).collect::<Vec<_>>(), ["a", "c", "a"]);
        assert_eq!(set.find("a").unwrap().algorithm(), None);
        assert!(set.find("b").is_none());
        for (kid, algorithm, count) in [
            (None, Algorithm::Es256, 3),
            (Some("a"), Algorithm::Es256, 2),
            (Some("c"), Algorithm::Es256, 1),
            (Some("d"), Algorithm::Es256, 0),
            (None, Algorithm::Rs256, 0),
        ] {
            assert_eq!(set.fitting(kid, algorithm).count(), count, "{kid:?} {algorithm}");
        }
        let mut json = String::new();
        set.write_json(&mut json);
        assert_eq!(JwkSet::parse(json), Ok(set));
    }

    #[test]
    fn sets_that_are_refused_whole() {
        let many = format!(r#"{{"keys":[{}{{}}]}}"#, "{},".repeat(MAX_KEYS));
        let huge = " ".repeat(JwkSet::MAX_LENGTH + 1);
        for (json, why) in [
            ("", InvalidJwkSet::Json),
            ("{}", InvalidJwkSet::Keys),
            (r#"{"keys":{}}"#, InvalidJwkSet::Keys),
            (r#"{"keys":[1]}"#, InvalidJwkSet::Keys),
            (r#"{"keys":[],"keys":[]}"#, InvalidJwkSet::DuplicateMember),
            (&format!(r#"{{"keys":[{}]}}"#, ec(r#","d":"AQ""#)), InvalidJwkSet::PrivateMember("d")),
            (&many, InvalidJwkSet::TooManyKeys),
            (&huge, InvalidJwkSet::TooLong),
        ] {
            assert_eq!(JwkSet::parse(json).unwrap_err(), why, "{json}");
        }
    }
}
