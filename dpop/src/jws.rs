//! Signed texts: JWS in its compact form ([RFC 7515]), written and read. Proofs, client assertions, ID tokens and access
//! tokens are all made and read here.
//!
//! [RFC 7515]: https://www.rfc-editor.org/rfc/rfc7515

use thiserror::Error;
use vestibule_oauth_core::base64url;

use crate::algorithm::Algorithm;
use crate::json::{self, Fault, Members, WrongType};
use crate::jwk::{InvalidJwk, Jwk};
use crate::signer::{SignError, Signer, Verifier, VerifyError};

/// What a protected header says, before it is encoded once and for all texts that a key will sign.
///
/// ```
/// use vestibule_dpop::{Compact, DefaultVerifier, Es256Secret, ProtectedHeader, default_signer};
///
/// let signer = default_signer(&Es256Secret::from_entropy([7; 32]));
/// let header = ProtectedHeader::new(signer.as_ref()).with_typ("at+jwt").with_kid("one").encode(); // once
/// let text = header.sign(br#"{"sub":"a"}"#, signer.as_ref()).unwrap(); // for each token
///
/// let read = Compact::parse(&text, 1024).unwrap();
/// assert!(read.header().is_type("at+jwt"));
/// assert_eq!(read.header().kid(), Some("one"));
/// read.verify(&DefaultVerifier, signer.public_key(), &[signer.algorithm()]).unwrap();
/// assert_eq!(read.payload(), br#"{"sub":"a"}"#);
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct ProtectedHeader<'a> {
    algorithm: Algorithm,
    typ: Option<&'a str>,
    kid: Option<&'a str>,
    jwk: Option<&'a Jwk>,
}

impl<'a> ProtectedHeader<'a> {
    /// A header for what this key signs: its `alg`, and nothing else yet.
    pub fn new(signer: &(impl Signer + ?Sized)) -> Self {
        Self { algorithm: signer.algorithm(), typ: None, kid: None, jwk: None }
    }

    /// The same header with a media type, such as `dpop+jwt`.
    pub const fn with_typ(mut self, typ: &'a str) -> Self {
        self.typ = Some(typ);
        self
    }

    /// The same header with the name of the key.
    pub const fn with_kid(mut self, kid: &'a str) -> Self {
        self.kid = Some(kid);
        self
    }

    /// The same header with the public key itself, as in a DPoP proof.
    pub const fn with_jwk(mut self, jwk: &'a Jwk) -> Self {
        self.jwk = Some(jwk);
        self
    }

    /// The header as it stands in every signed text.
    pub fn encode(&self) -> EncodedHeader {
        let mut header = String::with_capacity(256);
        header.push('{');
        if let Some(typ) = self.typ {
            header.push_str("\"typ\":");
            json::write_text(typ, &mut header);
            header.push(',');
        }
        header.push_str("\"alg\":\"");
        header.push_str(self.algorithm.as_str());
        header.push('"');
        if let Some(kid) = self.kid {
            header.push_str(",\"kid\":");
            json::write_text(kid, &mut header);
        }
        if let Some(jwk) = self.jwk {
            header.push_str(",\"jwk\":");
            jwk.write_json(&mut header);
        }
        header.push('}');
        EncodedHeader { algorithm: self.algorithm, text: base64url::encode(header) }
    }
}

/// A protected header in base64url, to be kept beside its key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EncodedHeader {
    algorithm: Algorithm,
    text: String,
}

impl EncodedHeader {
    /// The text, without the dot that follows it.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Signs `payload` under this header: one buffer, one signature.
    ///
    /// # Errors
    /// [`SignError`] when the key is for another algorithm than the header says, or its backend refuses.
    pub fn sign(
        &self,
        payload: impl AsRef<[u8]>,
        signer: &(impl Signer + ?Sized),
    ) -> Result<String, SignError> {
        if signer.algorithm() != self.algorithm {
            return Err(SignError::OtherAlgorithm);
        }
        let payload = payload.as_ref();
        // Three octets make four characters; 88 more hold two dots and an ES256 signature.
        let mut text = String::with_capacity(self.text.len() + payload.len().div_ceil(3) * 4 + 88);
        text.push_str(&self.text);
        text.push('.');
        base64url::encode_into(payload, &mut text);
        let signature = signer.sign(text.as_bytes())?;
        text.push('.');
        base64url::encode_into(&signature, &mut text);
        Ok(text)
    }
}

/// A signed text taken apart, its header read. **Nothing in it can be believed until [`Compact::verify`] says so**, the
/// header least of all: it says which key to try, and no more.
#[derive(Clone, Debug)]
pub struct Compact<'a> {
    input: &'a str,
    header: Header,
    payload: Vec<u8>,
    signature: Vec<u8>,
}

impl<'a> Compact<'a> {
    /// The longest text that is read in any case, in octets: what servers commonly take as one header field.
    pub const MAX_LENGTH: usize = 16 * 1024;

    /// Takes a text apart: three parts of canonical base64url, the first of them a header that is understood. `limit` is
    /// the most octets it may have, never more than [`Compact::MAX_LENGTH`].
    ///
    /// # Errors
    /// [`InvalidJws`] says which rule is broken.
    pub fn parse(text: &'a str, limit: usize) -> Result<Self, InvalidJws> {
        let parts = Parts::split(text, limit)?;
        Ok(Self {
            input: parts.input,
            header: Header::decode(parts.header)?,
            payload: parts.payload()?,
            signature: parts.signature()?,
        })
    }

    /// The protected header.
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// The octets of the payload.
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// Accepts the text as signed by `key`, or refuses it. The algorithm is the one of the header, if it is among those
    /// `allowed` and goes with the key.
    ///
    /// # Errors
    /// [`InvalidSignature`] says whether the algorithm is not allowed, or why the signature is refused.
    pub fn verify(
        &self,
        verifier: &(impl Verifier + ?Sized),
        key: &Jwk,
        allowed: &[Algorithm],
    ) -> Result<(), InvalidSignature> {
        let algorithm = self.header.algorithm;
        if !allowed.contains(&algorithm) {
            return Err(InvalidSignature::NotAllowed(algorithm));
        }
        verifier.verify(algorithm, key, self.input.as_bytes(), &self.signature)?;
        Ok(())
    }
}

/// The three parts of a signed text, as they were written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Parts<'a> {
    /// What the signature covers: header, dot, payload.
    pub(crate) input: &'a str,
    pub(crate) header: &'a str,
    payload: &'a str,
    signature: &'a str,
}

impl<'a> Parts<'a> {
    pub(crate) fn split(text: &'a str, limit: usize) -> Result<Self, InvalidJws> {
        if text.len() > limit.min(Compact::MAX_LENGTH) {
            return Err(InvalidJws::TooLong);
        }
        let (input, signature) = text.rsplit_once('.').ok_or(InvalidJws::Parts)?;
        let (header, payload) = input.split_once('.').ok_or(InvalidJws::Parts)?;
        if payload.contains('.') {
            return Err(InvalidJws::Parts);
        }
        Ok(Self { input, header, payload, signature })
    }

    pub(crate) fn payload(&self) -> Result<Vec<u8>, InvalidJws> {
        base64url::decode(self.payload).ok_or(InvalidJws::PayloadEncoding)
    }

    pub(crate) fn signature(&self) -> Result<Vec<u8>, InvalidJws> {
        base64url::decode(self.signature).ok_or(InvalidJws::SignatureEncoding)
    }
}

/// The members of a protected header that matter here. `jku`, `x5u` and `x5c` are passed over: no key is ever fetched
/// from where a stranger says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Header {
    algorithm: Algorithm,
    typ: Option<String>,
    kid: Option<String>,
    jwk: Option<Jwk>,
}

impl Header {
    /// Reads the first part of a signed text.
    pub(crate) fn decode(text: &str) -> Result<Self, InvalidJws> {
        Self::parse(&base64url::decode(text).ok_or(InvalidJws::HeaderEncoding)?)
    }

    fn parse(json: &[u8]) -> Result<Self, InvalidJws> {
        let members = Members::parse(json).map_err(|fault| match fault {
            Fault::Syntax | Fault::TooMany => InvalidJws::HeaderJson,
            Fault::Duplicate => InvalidJws::DuplicateMember,
        })?;
        let text = |name| members.text(name).map_err(|WrongType(name)| InvalidJws::MemberType(name));
        let algorithm = match text("alg")?.ok_or(InvalidJws::NoAlgorithm)? {
            name if name.eq_ignore_ascii_case("none") => return Err(InvalidJws::Unsigned),
            name if name.starts_with("HS") => return Err(InvalidJws::Symmetric),
            name => name.parse().map_err(|_| InvalidJws::UnknownAlgorithm)?,
        };
        if members.has("crit") {
            return Err(InvalidJws::Critical);
        }
        if members.has("b64") {
            return Err(InvalidJws::Unencoded);
        }
        let jwk = match members.get("jwk") {
            None => None,
            Some(json::Json::Object(members)) => Some(Jwk::from_members(members)?),
            Some(_) => return Err(InvalidJws::MemberType("jwk")),
        };
        let owned = |name| text(name).map(|text| text.map(str::to_owned));
        Ok(Self { algorithm, typ: owned("typ")?, kid: owned("kid")?, jwk })
    }

    /// The algorithm the text says it is signed with.
    pub const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The media type, as it was written.
    pub fn typ(&self) -> Option<&str> {
        self.typ.as_deref()
    }

    /// Whether `typ` is this media type. Letter case and a leading `application/` make no difference
    /// ([RFC 7515, section 4.1.9]).
    ///
    /// [RFC 7515, section 4.1.9]: https://www.rfc-editor.org/rfc/rfc7515#section-4.1.9
    pub fn is_type(&self, media_type: &str) -> bool {
        let Some(typ) = self.typ() else { return false };
        match typ.split_at_checked(APPLICATION.len()) {
            Some((prefix, rest)) if prefix.eq_ignore_ascii_case(APPLICATION) => rest,
            _ => typ,
        }
        .eq_ignore_ascii_case(media_type)
    }

    /// The name of the key.
    pub fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    /// The public key that came with the text.
    pub const fn jwk(&self) -> Option<&Jwk> {
        self.jwk.as_ref()
    }
}

const APPLICATION: &str = "application/";

/// Why a text is not read as a signed one.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum InvalidJws {
    /// Longer than the limit.
    #[error("the jws is too long")]
    TooLong,
    /// Not three parts with a dot between them.
    #[error("the jws must have three parts separated by dots")]
    Parts,
    /// The first part is not base64url.
    #[error("the jws header must be base64url without padding")]
    HeaderEncoding,
    /// The second part is not base64url.
    #[error("the jws payload must be base64url without padding")]
    PayloadEncoding,
    /// The third part is not base64url.
    #[error("the jws signature must be base64url without padding")]
    SignatureEncoding,
    /// The header is not one JSON object of a reasonable size.
    #[error("the jws header must be one json object")]
    HeaderJson,
    /// A member name appears twice in one object of the header.
    #[error("the jws header must not name a member twice")]
    DuplicateMember,
    /// A member of the header is of the wrong JSON type.
    #[error("the jws header's member {0} is of the wrong type")]
    MemberType(&'static str),
    /// No `alg`.
    #[error("the jws header must have alg")]
    NoAlgorithm,
    /// The `alg` is `none`.
    #[error("alg must not be none")]
    Unsigned,
    /// An `alg` of the family `HS`, whose keys are shared.
    #[error("alg must be asymmetric")]
    Symmetric,
    /// An `alg` that is not spoken here.
    #[error("alg must be ES256, RS256 or PS256")]
    UnknownAlgorithm,
    /// A `crit`: no extension is understood here, and one that is critical must be.
    #[error("the jws header must not have crit")]
    Critical,
    /// A `b64` ([RFC 7797](https://www.rfc-editor.org/rfc/rfc7797)): payloads are always encoded here.
    #[error("the jws header must not have b64")]
    Unencoded,
    /// The `jwk` is no public key.
    #[error(transparent)]
    Key(#[from] InvalidJwk),
}

/// Why a signed text was not accepted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum InvalidSignature {
    /// The header's `alg` is not among those allowed.
    #[error("alg must not be {0} here")]
    NotAllowed(Algorithm),
    /// The verifier refused.
    #[error(transparent)]
    Refused(#[from] VerifyError),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::p256::{P256Signer, P256Verifier};
    use crate::secret::Es256Secret;

    /// RFC 7515, appendix A.3.
    const A_3: &str = "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";

    fn signer() -> P256Signer {
        P256Signer::from_secret(&Es256Secret::from_entropy([7; 32]))
    }

    #[test]
    fn rfc7515_appendix_a_3() {
        let key = Jwk::parse(r#"{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}"#).unwrap();
        let jws = Compact::parse(A_3, 1024).unwrap();
        assert_eq!(
            jws.payload(),
            b"{\"iss\":\"joe\",\r\n \"exp\":1300819380,\r\n \"http://example.com/is_root\":true}"
        );
        assert_eq!(jws.verify(&P256Verifier, &key, &[Algorithm::Es256]), Ok(()));
        assert_eq!(jws.verify(&crate::DefaultVerifier, &key, &[Algorithm::Es256]), Ok(()));
        for allowed in [&[][..], &[Algorithm::Rs256, Algorithm::Ps256]] {
            assert_eq!(
                jws.verify(&P256Verifier, &key, allowed),
                Err(InvalidSignature::NotAllowed(Algorithm::Es256))
            );
        }
        assert_eq!(
            jws.verify(&P256Verifier, signer().public_key(), &[Algorithm::Es256]),
            Err(InvalidSignature::Refused(VerifyError::Signature))
        );
    }

    #[test]
    fn t47_texts_that_are_no_jws() {
        for (text, why) in [
            ("", InvalidJws::Parts),
            ("a.b", InvalidJws::Parts),
            ("a.b.c.d", InvalidJws::Parts),
            ("a.b.c.d.e", InvalidJws::Parts), // an encrypted one
            ("e30=.e30.AA", InvalidJws::HeaderEncoding),
            (" e30.e30.AA", InvalidJws::HeaderEncoding),
            ("..", InvalidJws::HeaderJson),
            ("e30.e30.AA", InvalidJws::NoAlgorithm),
        ] {
            assert_eq!(Compact::parse(text, 1024).unwrap_err(), why, "{text}");
        }
        for (from, to, why) in [
            ("eyJpc3", "eyJp+3", InvalidJws::PayloadEncoding),
            ("U1Q", "U1R", InvalidJws::SignatureEncoding), // stray bits
            ("U1Q", "U1Q=", InvalidJws::SignatureEncoding),
            ("U1Q", "U1Q\n", InvalidJws::SignatureEncoding),
        ] {
            assert_eq!(Compact::parse(&A_3.replace(from, to), 1024).unwrap_err(), why, "{to}");
        }
        assert!(Compact::parse(A_3, A_3.len()).is_ok());
        assert_eq!(Compact::parse(A_3, A_3.len() - 1).unwrap_err(), InvalidJws::TooLong);
        let long = "a".repeat(Compact::MAX_LENGTH + 1);
        assert_eq!(Compact::parse(&long, usize::MAX).unwrap_err(), InvalidJws::TooLong);
    }

    #[test]
    fn t47_headers_that_are_refused() {
        for (header, why) in [
            ("[]", InvalidJws::HeaderJson),
            (r#"{"alg":"ES256","alg":"ES256"}"#, InvalidJws::DuplicateMember),
            (r#"{"alg":"ES256","x":{"a":1,"a":2}}"#, InvalidJws::DuplicateMember),
            (r#"{"alg":null}"#, InvalidJws::MemberType("alg")),
            (r#"{"alg":"none"}"#, InvalidJws::Unsigned),
            (r#"{"alg":"nOnE"}"#, InvalidJws::Unsigned),
            (r#"{"alg":"HS256"}"#, InvalidJws::Symmetric),
            (r#"{"alg":"ES256K"}"#, InvalidJws::UnknownAlgorithm),
            (r#"{"alg":"ES256","crit":["exp"]}"#, InvalidJws::Critical),
            (r#"{"alg":"ES256","crit":null}"#, InvalidJws::Critical),
            (r#"{"alg":"ES256","b64":true}"#, InvalidJws::Unencoded),
            (r#"{"alg":"ES256","typ":1}"#, InvalidJws::MemberType("typ")),
            (r#"{"alg":"ES256","kid":{}}"#, InvalidJws::MemberType("kid")),
            (r#"{"alg":"ES256","jwk":"{}"}"#, InvalidJws::MemberType("jwk")),
            (r#"{"alg":"ES256","jwk":{"kty":"oct"}}"#, InvalidJws::Key(InvalidJwk::UnknownKeyType)),
            (
                r#"{"alg":"ES256","jwk":{"kty":"oct","k":"AQ"}}"#,
                InvalidJws::Key(InvalidJwk::PrivateMember("k")),
            ),
        ] {
            let text = format!("{}.e30.AA", base64url::encode(header));
            assert_eq!(Compact::parse(&text, 1024).unwrap_err(), why, "{header}");
        }
    }

    #[test]
    fn types_are_media_types() {
        for (typ, same) in [
            ("dpop+jwt", true),
            ("DPoP+JWT", true),
            ("application/dpop+jwt", true),
            ("Application/dpop+jwt", true),
            ("text/dpop+jwt", false),
            ("dpop", false),
            ("", false),
            ("JWT", false),
        ] {
            let signer = signer();
            let text = ProtectedHeader::new(&signer).with_typ(typ).encode().sign("{}", &signer).unwrap();
            assert_eq!(Compact::parse(&text, 1024).unwrap().header().is_type("dpop+jwt"), same, "{typ}");
        }
        assert!(!Compact::parse(A_3, 1024).unwrap().header().is_type("JWT"));
    }

    #[test]
    fn headers_are_written_as_they_will_be_read() {
        let signer = signer();
        let header = ProtectedHeader::new(&signer).with_kid("a\"b").with_jwk(signer.public_key()).encode();
        let text = header.sign("payload", &signer).unwrap();
        assert!(text.starts_with(header.as_str()));
        let read = Compact::parse(&text, 1024).unwrap();
        assert_eq!(read.header().kid(), Some("a\"b"));
        assert_eq!(read.header().jwk(), Some(signer.public_key()));
        assert_eq!((read.header().typ(), read.header().algorithm()), (None, Algorithm::Es256));
        assert_eq!(read.payload(), b"payload");
    }
}
