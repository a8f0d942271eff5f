//! Public keys on the wire: one JWK, its thumbprint, and sets of them.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use subtle::ConstantTimeEq;
use thiserror::Error;
use vestibule_oauth_core::base64url;

use crate::algorithm::Algorithm;
use crate::json::{Fault, Members, WrongType};
use crate::sha256::sha256;

/// A public key: a point on P-256 or an RSA modulus and exponent ([RFC 7517], [RFC 7518, section 6]).
///
/// There is no place in it for a private member, a point is on the curve, and an RSA modulus has 2048 to 8192 bits:
/// whoever holds a `Jwk` need not ask again.
///
/// ```
/// use vestibule_dpop::Jwk;
///
/// let key = Jwk::parse(
///     r#"{"kty":"EC","crv":"P-256","x":"l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs",
///         "y":"9VE4jf_Ok_o64zbTTlcuNJajHmt6v9TDVrU0CdvGRDA"}"#,
/// )
/// .unwrap();
/// assert_eq!(key.thumbprint().as_str(), "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"); // RFC 9449, figure 8
/// ```
///
/// [RFC 7517]: https://www.rfc-editor.org/rfc/rfc7517
/// [RFC 7518, section 6]: https://www.rfc-editor.org/rfc/rfc7518#section-6
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Jwk {
    kind: Kind,
    #[cfg(feature = "aws-lc-rs")]
    loaded: crate::aws::LoadedKey,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Kind {
    P256 { x: [u8; 32], y: [u8; 32] },
    Rsa { n: Vec<u8>, e: Vec<u8> },
}

/// What a [`Jwk`] is made of, for whoever writes a [`Verifier`](crate::Verifier).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum KeyMaterial<'a> {
    /// A point on P-256.
    #[non_exhaustive]
    P256 {
        /// The first coordinate, big-endian.
        x: &'a [u8; 32],
        /// The second coordinate, big-endian.
        y: &'a [u8; 32],
    },
    /// An RSA key.
    #[non_exhaustive]
    Rsa {
        /// The modulus, big-endian, without leading zeros.
        n: &'a [u8],
        /// The exponent, big-endian, without leading zeros.
        e: &'a [u8],
    },
}

impl Jwk {
    /// The longest JSON that is read as one key, in octets: an RSA key of 8192 bits takes some 1400, and a certificate
    /// chain in `x5c` may follow it.
    pub const MAX_LENGTH: usize = 16 * 1024;

    /// Reads one public key from JSON. Members that say nothing about the key itself (`kid`, `use`, `x5c`) are passed
    /// over; [`JwkEntry`](crate::JwkEntry) reads them.
    ///
    /// # Errors
    /// [`InvalidJwk`] says which rule is broken. A private member, of whatever value, is one.
    pub fn parse(json: impl AsRef<[u8]>) -> Result<Self, InvalidJwk> {
        Self::from_members(&members(json.as_ref())?)
    }

    /// The key at this point of P-256.
    ///
    /// # Errors
    /// [`InvalidJwk::NotOnCurve`].
    pub fn p256(x: [u8; 32], y: [u8; 32]) -> Result<Self, InvalidJwk> {
        // The one look at the curve, whichever backend verifies later; both look again when they load the point.
        match p256::ecdsa::VerifyingKey::from_sec1_bytes(&sec1(&x, &y)) {
            Ok(_) => Ok(Self::of(Kind::P256 { x, y })),
            Err(_) => Err(InvalidJwk::NotOnCurve),
        }
    }

    /// The key that a private key on P-256 belongs to.
    pub(crate) fn from_p256(key: &p256::ecdsa::VerifyingKey) -> Self {
        use p256::elliptic_curve::point::AffineCoordinates;

        let point = key.as_affine();
        Self::of(Kind::P256 { x: point.x().into(), y: point.y().into() })
    }

    /// The RSA key of this modulus and exponent, both big-endian without leading zeros.
    ///
    /// # Errors
    /// [`InvalidJwk::Integer`], [`InvalidJwk::ModulusSize`] or [`InvalidJwk::Exponent`].
    pub fn rsa(n: Vec<u8>, e: Vec<u8>) -> Result<Self, InvalidJwk> {
        let (Some(&first), Some(&last)) = (n.first(), n.last()) else { return Err(InvalidJwk::Integer("n")) };
        if first == 0 || last % 2 == 0 {
            return Err(InvalidJwk::Integer("n")); // an even modulus is no product of two odd primes
        }
        let bits = n.len() * 8 - first.leading_zeros() as usize;
        if !(MIN_MODULUS_BITS..=MAX_MODULUS_BITS).contains(&bits) {
            return Err(InvalidJwk::ModulusSize);
        }
        match e.as_slice() {
            [] | [0, ..] => Err(InvalidJwk::Integer("e")),
            [1] => Err(InvalidJwk::Exponent),
            [.., last] if last % 2 == 0 || e.len() > MAX_EXPONENT_OCTETS => Err(InvalidJwk::Exponent),
            _ => Ok(Self::of(Kind::Rsa { n, e })),
        }
    }

    fn of(kind: Kind) -> Self {
        Self {
            kind,
            #[cfg(feature = "aws-lc-rs")]
            loaded: crate::aws::LoadedKey::default(),
        }
    }

    /// The key as AWS-LC has loaded it.
    #[cfg(feature = "aws-lc-rs")]
    pub(crate) const fn loaded(&self) -> &crate::aws::LoadedKey {
        &self.loaded
    }

    /// The numbers of the key.
    pub fn material(&self) -> KeyMaterial<'_> {
        match &self.kind {
            Kind::P256 { x, y } => KeyMaterial::P256 { x, y },
            Kind::Rsa { n, e } => KeyMaterial::Rsa { n, e },
        }
    }

    /// Whether this kind of key is used with that algorithm.
    pub fn fits(&self, algorithm: Algorithm) -> bool {
        match (&self.kind, algorithm) {
            (Kind::P256 { .. }, Algorithm::Es256)
            | (Kind::Rsa { .. }, Algorithm::Rs256 | Algorithm::Ps256) => true,
            (Kind::P256 { .. }, Algorithm::Rs256 | Algorithm::Ps256)
            | (Kind::Rsa { .. }, Algorithm::Es256) => false,
        }
    }

    /// Appends the key as JSON: the required members only, in alphabetical order and without white space, which is the
    /// form that [RFC 7638, section 3] hashes.
    ///
    /// [RFC 7638, section 3]: https://www.rfc-editor.org/rfc/rfc7638#section-3
    pub fn write_json(&self, out: &mut String) {
        out.push('{');
        self.write_members(out);
        out.push('}');
    }

    fn write_members(&self, out: &mut String) {
        match &self.kind {
            Kind::P256 { x, y } => {
                out.push_str(r#""crv":"P-256","kty":"EC","x":""#);
                base64url::encode_into(x, out);
                out.push_str(r#"","y":""#);
                base64url::encode_into(y, out);
            }
            Kind::Rsa { n, e } => {
                out.push_str(r#""e":""#);
                base64url::encode_into(e, out);
                out.push_str(r#"","kty":"RSA","n":""#);
                base64url::encode_into(n, out);
            }
        }
        out.push('"');
    }

    /// The thumbprint of the key ([RFC 7638]): what `cnf.jkt` and `dpop_jkt` hold.
    ///
    /// [RFC 7638]: https://www.rfc-editor.org/rfc/rfc7638
    pub fn thumbprint(&self) -> Thumbprint {
        let mut json = String::with_capacity(128);
        self.write_json(&mut json);
        Thumbprint::from_hash(sha256(json))
    }

    pub(crate) fn from_members(members: &Members<'_>) -> Result<Self, InvalidJwk> {
        if let Some(name) = members.names().find_map(private_member) {
            return Err(InvalidJwk::PrivateMember(name));
        }
        match required(members, "kty")? {
            "EC" => {
                if required(members, "crv")? != "P-256" {
                    return Err(InvalidJwk::UnknownCurve);
                }
                let coordinate = |name| {
                    base64url::decode_array(required(members, name)?).ok_or(InvalidJwk::Coordinate(name))
                };
                Self::p256(coordinate("x")?, coordinate("y")?)
            }
            "RSA" => {
                let integer =
                    |name| base64url::decode(required(members, name)?).ok_or(InvalidJwk::Integer(name));
                Self::rsa(integer("n")?, integer("e")?)
            }
            _ => Err(InvalidJwk::UnknownKeyType),
        }
    }
}

impl FromStr for Jwk {
    type Err = InvalidJwk;

    fn from_str(json: &str) -> Result<Self, Self::Err> {
        Self::parse(json)
    }
}

/// Why a text is no public key. No variant repeats what the key holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum InvalidJwk {
    /// Longer than [`Jwk::MAX_LENGTH`].
    #[error("jwk must have at most 16384 octets")]
    TooLong,
    /// Not one JSON object of a reasonable size.
    #[error("jwk must be one json object")]
    Json,
    /// A member name appears twice.
    #[error("jwk must not name a member twice")]
    DuplicateMember,
    /// This member must be there.
    #[error("jwk must have the member {0}")]
    Missing(&'static str),
    /// This member must be a text.
    #[error("the jwk's member {0} must be a string")]
    MemberType(&'static str),
    /// This member belongs to private or symmetric keys.
    #[error("jwk must be a public key, without the private member {0}")]
    PrivateMember(&'static str),
    /// A `kty` other than `EC` and `RSA`.
    #[error("the jwk's kty must be EC or RSA")]
    UnknownKeyType,
    /// A `crv` other than `P-256`.
    #[error("the jwk's crv must be P-256")]
    UnknownCurve,
    /// A coordinate that is not the base64url text of 32 octets.
    #[error("the jwk's {0} must be the base64url text, without padding, of 32 octets")]
    Coordinate(&'static str),
    /// The point is not on the curve, or is its neutral element.
    #[error("the jwk's x and y must be a point on the curve P-256")]
    NotOnCurve,
    /// An integer that is not canonical base64url, begins with a zero octet, or is an even modulus.
    #[error("the jwk's {0} must be the shortest base64url text of an odd positive integer")]
    Integer(&'static str),
    /// A modulus shorter than 2048 bits (RFC 7518, section 3.3) or longer than 8192 bits.
    #[error("the jwk's n must have 2048 to 8192 bits")]
    ModulusSize,
    /// An exponent that is even, 1, or longer than 32 bits.
    #[error("the jwk's e must be an odd integer from 3 to 4294967295")]
    Exponent,
}

/// The SHA-256 thumbprint of a public key, 43 characters of base64url ([RFC 7638]). Equality takes constant time.
///
/// [RFC 7638]: https://www.rfc-editor.org/rfc/rfc7638
#[derive(Clone)]
pub struct Thumbprint {
    hash: [u8; 32],
    text: String,
}

impl Thumbprint {
    /// The thumbprint with this hash.
    pub fn from_hash(hash: [u8; 32]) -> Self {
        Self { hash, text: base64url::encode(hash) }
    }

    /// The text, as `jkt` has it.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The hash itself.
    pub const fn as_hash(&self) -> &[u8; 32] {
        &self.hash
    }
}

impl FromStr for Thumbprint {
    type Err = InvalidThumbprint;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        base64url::decode_array(text)
            .map(|hash| Self { hash, text: text.to_owned() })
            .ok_or(InvalidThumbprint)
    }
}

impl fmt::Display for Thumbprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Thumbprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Thumbprint").field(&self.text).finish()
    }
}

impl PartialEq for Thumbprint {
    fn eq(&self, other: &Self) -> bool {
        self.hash.ct_eq(&other.hash).into()
    }
}

impl Eq for Thumbprint {}

impl Hash for Thumbprint {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.hash.hash(state);
    }
}

impl Serialize for Thumbprint {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for Thumbprint {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// The text is not base64url, without padding, of 32 octets.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[error("jkt must be the base64url text, without padding, of a SHA-256 hash: 43 characters")]
#[non_exhaustive]
pub struct InvalidThumbprint;

/// [RFC 7518, section 3.3](https://www.rfc-editor.org/rfc/rfc7518#section-3.3): "A key of size 2048 bits or larger MUST
/// be used".
const MIN_MODULUS_BITS: usize = 2048;

/// What AWS-LC verifies with; each doubling makes a verification four times slower.
const MAX_MODULUS_BITS: usize = 8192;

/// 65537 is what everybody uses; longer exponents only make verification slow.
const MAX_EXPONENT_OCTETS: usize = 4;

/// The uncompressed form of a point ([SEC 1](https://www.secg.org/sec1-v2.pdf), section 2.3.3).
pub(crate) fn sec1(x: &[u8; 32], y: &[u8; 32]) -> [u8; 65] {
    let mut point = [4; 65];
    let coordinates = x.iter().chain(y);
    point.iter_mut().skip(1).zip(coordinates).for_each(|(to, from)| *to = *from);
    point
}

/// The name, if it is one that [RFC 7518, section 6](https://www.rfc-editor.org/rfc/rfc7518#section-6) gives to a member
/// of private keys, or the `k` of symmetric ones.
fn private_member(name: &str) -> Option<&'static str> {
    Some(match name {
        "d" => "d",
        "p" => "p",
        "q" => "q",
        "dp" => "dp",
        "dq" => "dq",
        "qi" => "qi",
        "oth" => "oth",
        "k" => "k",
        _ => return None,
    })
}

pub(crate) fn members(json: &[u8]) -> Result<Members<'_>, InvalidJwk> {
    if json.len() > Jwk::MAX_LENGTH {
        return Err(InvalidJwk::TooLong);
    }
    Members::parse(json).map_err(|fault| match fault {
        Fault::Syntax | Fault::TooMany => InvalidJwk::Json,
        Fault::Duplicate => InvalidJwk::DuplicateMember,
    })
}

/// The text of an optional member.
pub(crate) fn optional<'m>(
    members: &'m Members<'_>,
    name: &'static str,
) -> Result<Option<&'m str>, InvalidJwk> {
    members.text(name).map_err(|WrongType(name)| InvalidJwk::MemberType(name))
}

fn required<'m>(members: &'m Members<'_>, name: &'static str) -> Result<&'m str, InvalidJwk> {
    optional(members, name)?.ok_or(InvalidJwk::Missing(name))
}

/// Appends the members of `key` and what is known about it, as one object.
pub(crate) fn write_entry(key: &Jwk, kid: Option<&str>, algorithm: Option<Algorithm>, out: &mut String) {
    out.push('{');
    key.write_members(out);
    if let Some(kid) = kid {
        out.push_str(",\"kid\":");
        crate::json::write_text(kid, out);
    }
    if let Some(algorithm) = algorithm {
        out.push_str(",\"alg\":\"");
        out.push_str(algorithm.as_str());
        out.push('"');
    }
    out.push_str(",\"use\":\"sig\"}");
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(crate) const X: &str = "l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs";
    pub(crate) const Y: &str = "9VE4jf_Ok_o64zbTTlcuNJajHmt6v9TDVrU0CdvGRDA";

    #[test]
    fn rfc7638_section_3_1() {
        let n = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw";
        let key =
            Jwk::parse(format!(r#"{{"kty":"RSA","n":"{n}","e":"AQAB","alg":"RS256","kid":"2011-04-29"}}"#))
                .unwrap();
        let mut json = String::new();
        key.write_json(&mut json);
        assert_eq!(json, format!(r#"{{"e":"AQAB","kty":"RSA","n":"{n}"}}"#));
        assert_eq!(key.thumbprint().as_str(), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
        assert!(key.fits(Algorithm::Ps256) && !key.fits(Algorithm::Es256));
    }

    #[test]
    fn rfc9449_section_6_1() {
        let key = Jwk::parse(format!(r#"{{"y":"{Y}","kty":"EC","x":"{X}","crv":"P-256"}}"#)).unwrap();
        let mut json = String::new();
        key.write_json(&mut json);
        assert_eq!(json, format!(r#"{{"crv":"P-256","kty":"EC","x":"{X}","y":"{Y}"}}"#));
        assert_eq!(key.thumbprint().as_str(), "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I");
        assert_eq!(Jwk::parse(&json), Ok(key));
    }

    #[test]
    fn r87_private_members_refuse_whatever_their_value() {
        for name in ["d", "p", "q", "dp", "dq", "qi", "oth", "k"] {
            for value in ["\"AQAB\"", "null", "\"\"", "[]"] {
                let json = format!(r#"{{"kty":"EC","crv":"P-256","x":"{X}","y":"{Y}","{name}":{value}}}"#);
                assert_eq!(Jwk::parse(json), Err(InvalidJwk::PrivateMember(name)), "{name}: {value}");
            }
        }
    }

    #[test]
    fn r87_broken_keys() {
        let ec = |x: &str, y: &str| format!(r#"{{"kty":"EC","crv":"P-256","x":"{x}","y":"{y}"}}"#);
        let rsa = |n: &[u8], e: &[u8]| {
            format!(r#"{{"kty":"RSA","n":"{}","e":"{}"}}"#, base64url::encode(n), base64url::encode(e))
        };
        let modulus = |octets| vec![0xff; octets];
        for (json, why) in [
            (String::new(), InvalidJwk::Json),
            ("[]".to_owned(), InvalidJwk::Json),
            (format!("{{\"a\":\"{}\"}}", "a".repeat(Jwk::MAX_LENGTH)), InvalidJwk::TooLong),
            ("{\"kty\":\"EC\",\"kty\":\"EC\"}".to_owned(), InvalidJwk::DuplicateMember),
            ("{}".to_owned(), InvalidJwk::Missing("kty")),
            ("{\"kty\":1}".to_owned(), InvalidJwk::MemberType("kty")),
            ("{\"kty\":\"oct\"}".to_owned(), InvalidJwk::UnknownKeyType),
            ("{\"kty\":\"EC\"}".to_owned(), InvalidJwk::Missing("crv")),
            ("{\"kty\":\"EC\",\"crv\":\"P-384\"}".to_owned(), InvalidJwk::UnknownCurve),
            ("{\"kty\":\"EC\",\"crv\":\"P-256\"}".to_owned(), InvalidJwk::Missing("x")),
            (ec(X, ""), InvalidJwk::Coordinate("y")),
            (ec(&format!("{X}="), Y), InvalidJwk::Coordinate("x")),
            (ec(&X.replace("WBFs", "WBFt"), Y), InvalidJwk::Coordinate("x")), // stray bits
            (ec(&base64url::encode([0; 31]), Y), InvalidJwk::Coordinate("x")),
            (ec(&base64url::encode([0; 33]), Y), InvalidJwk::Coordinate("x")),
            (ec(Y, X), InvalidJwk::NotOnCurve),
            (ec(&base64url::encode([0; 32]), &base64url::encode([0; 32])), InvalidJwk::NotOnCurve),
            (ec(&base64url::encode([0xff; 32]), Y), InvalidJwk::NotOnCurve), // not below the field's prime
            (rsa(&[], &[3]), InvalidJwk::Integer("n")),
            (rsa(&[&[0], modulus(256).as_slice()].concat(), &[3]), InvalidJwk::Integer("n")),
            (rsa(&[modulus(255).as_slice(), &[0xfe]].concat(), &[3]), InvalidJwk::Integer("n")),
            (rsa(&modulus(255), &[3]), InvalidJwk::ModulusSize),
            (rsa(&[&[0x7f], modulus(255).as_slice()].concat(), &[3]), InvalidJwk::ModulusSize), // 2047 bits
            (rsa(&modulus(1025), &[3]), InvalidJwk::ModulusSize),
            (rsa(&modulus(256), &[]), InvalidJwk::Integer("e")),
            (rsa(&modulus(256), &[0, 3]), InvalidJwk::Integer("e")),
            (rsa(&modulus(256), &[1]), InvalidJwk::Exponent),
            (rsa(&modulus(256), &[4]), InvalidJwk::Exponent),
            (rsa(&modulus(256), &[1, 0, 0, 0, 1]), InvalidJwk::Exponent),
        ] {
            assert_eq!(Jwk::parse(&json).unwrap_err(), why, "{json}");
        }
        assert!(Jwk::parse(rsa(&modulus(256), &[3])).is_ok());
        assert!(Jwk::parse(rsa(&modulus(1024), &[1, 0, 1])).is_ok());
    }

    #[test]
    fn thumbprints_are_read_strictly() {
        let text = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I";
        let thumbprint: Thumbprint = text.parse().unwrap();
        assert_eq!(thumbprint, Thumbprint::from_hash(*thumbprint.as_hash()));
        assert_ne!(thumbprint, Thumbprint::from_hash([0; 32]));
        assert_eq!(serde_json::from_str::<Thumbprint>(&format!("\"{text}\"")).unwrap(), thumbprint);
        assert_eq!(serde_json::to_string(&thumbprint).unwrap(), format!("\"{text}\""));
        for text in ["", "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4J", "AQAB"] {
            assert_eq!(text.parse::<Thumbprint>().unwrap_err(), InvalidThumbprint, "{text}");
        }
    }
}
