//! Proofs read from requests of strangers.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderName, Method};
use thiserror::Error;
use vestibule_oauth_core::UnixTime;

use crate::algorithm::Algorithm;
use crate::claims::{Claims, InvalidClaims};
use crate::jwk::Thumbprint;
use crate::jws::{InvalidJws, Parts};
use crate::key::PROOF_TYPE;
use crate::known::{KnownHeaders, ProofHeader};
use crate::nonce::NonceIssuer;
use crate::proof::AccessTokenHash;
use crate::sha256::sha256;
use crate::signer::{Verifier, VerifyError};
use crate::target::{InvalidTargetUri, TargetUri};

/// What a proof must say to be accepted with one request ([RFC 9449, section 4.3]).
///
/// ```
/// use http::Method;
/// use vestibule_dpop::{DefaultVerifier, Es256Secret, Expected, InvalidProof, Proof, ProofKey, TargetUri};
/// use vestibule_oauth_core::UnixTime;
///
/// let key = ProofKey::from_secret(Es256Secret::from_entropy([7; 32]));
/// let url = "https://server.example.com/token".parse().unwrap();
/// let now = UnixTime::from_secs(1_562_262_616);
/// let text = key.prove(&Proof::new(&Method::POST, &url, [9; 16], now)).unwrap();
///
/// let target = TargetUri::from_url(&url).unwrap();
/// let proof = Expected::new(&Method::POST, &target).read(&text, &DefaultVerifier, now).unwrap();
/// assert_eq!(proof.thumbprint(), key.thumbprint());
/// assert_eq!(
///     Expected::new(&Method::GET, &target).read(&text, &DefaultVerifier, now).unwrap_err(),
///     InvalidProof::OtherMethod
/// );
/// ```
///
/// [RFC 9449, section 4.3]: https://www.rfc-editor.org/rfc/rfc9449#section-4.3
#[derive(Clone, Debug)]
#[must_use]
pub struct Expected<'a> {
    method: &'a Method,
    target: &'a TargetUri,
    algorithms: &'a [Algorithm],
    window: ProofWindow,
    nonce: NonceRule<'a>,
    token_hash: Option<AccessTokenHash>,
    thumbprint: Option<&'a Thumbprint>,
    known: Option<&'a KnownHeaders>,
}

impl<'a> Expected<'a> {
    /// A proof for a request with this method to this address, signed with ES256, of any key, within the usual
    /// [`ProofWindow`]; nonces are not looked at.
    pub fn new(method: &'a Method, target: &'a TargetUri) -> Self {
        Self {
            method,
            target,
            algorithms: &[Algorithm::Es256],
            window: ProofWindow::default(),
            nonce: NonceRule::Ignored,
            token_hash: None,
            thumbprint: None,
            known: None,
        }
    }

    /// The same, signed with one of these algorithms.
    pub const fn with_algorithms(mut self, algorithms: &'a [Algorithm]) -> Self {
        self.algorithms = algorithms;
        self
    }

    /// The same, within another time.
    pub const fn with_window(mut self, window: ProofWindow) -> Self {
        self.window = window;
        self
    }

    /// The same, under a rule about nonces.
    pub const fn with_nonce(mut self, nonce: NonceRule<'a>) -> Self {
        self.nonce = nonce;
        self
    }

    /// The same, for a request that carries this access token.
    pub fn with_access_token(mut self, token: &str) -> Self {
        self.token_hash = Some(AccessTokenHash::of(token));
        self
    }

    /// The same, of the key with this thumbprint: the `cnf.jkt` of the token, or the `dpop_jkt` of the code.
    pub const fn with_thumbprint(mut self, thumbprint: &'a Thumbprint) -> Self {
        self.thumbprint = Some(thumbprint);
        self
    }

    /// The same, with headers remembered from one proof of a client to the next.
    pub const fn with_known_headers(mut self, known: &'a KnownHeaders) -> Self {
        self.known = Some(known);
        self
    }

    /// Reads a proof and holds it to all of this, the signature last because it costs most. What is left to do is to
    /// remember [`VerifiedProof::replay_key`].
    ///
    /// # Errors
    /// [`InvalidProof`] says which rule is broken, and [`InvalidProof::code`] what to answer.
    pub fn read(
        &self,
        text: &str,
        verifier: &(impl Verifier + ?Sized),
        now: UnixTime,
    ) -> Result<VerifiedProof, InvalidProof> {
        let parts = Parts::split(text, MAX_LENGTH)?;
        let read = self.known.and_then(|known| known.get(parts.header));
        let is_new = read.is_none();
        let read = match read {
            Some(known) => known,
            None => Arc::new(ProofHeader::read(parts.header)?),
        };
        let (payload, signature) = (parts.payload()?, parts.signature()?);
        if !read.header.is_type(PROOF_TYPE) {
            return Err(InvalidProof::OtherType);
        }
        let algorithm = read.header.algorithm();
        if !self.algorithms.contains(&algorithm) {
            return Err(InvalidProof::NotAllowed(algorithm));
        }
        let (Some(key), Some(thumbprint)) = (read.header.jwk(), &read.thumbprint) else {
            return Err(InvalidProof::NoKey);
        };

        let claims = Claims::parse(&payload)?;
        let id = claims.text("jti")?;
        if id.is_empty() || id.len() > MAX_ID_LENGTH {
            return Err(InvalidProof::IdLength);
        }
        if claims.text("htm")? != self.method.as_str() {
            return Err(InvalidProof::OtherMethod);
        }
        if !self.target.is(claims.text("htu")?).map_err(InvalidProof::Target)? {
            return Err(InvalidProof::OtherTarget);
        }
        let (made, expires) = self.read_times(&claims, now)?;
        if let Some(hash) = &self.token_hash {
            match claims.optional_text("ath")? {
                None => return Err(InvalidProof::NoTokenHash),
                Some(text) if !hash.is(text) => return Err(InvalidProof::OtherToken),
                Some(_) => {}
            }
        }
        if self.thumbprint.is_some_and(|expected| expected != thumbprint) {
            return Err(InvalidProof::OtherKey);
        }

        let verified = verifier.verify(algorithm, key, parts.input.as_bytes(), &signature);
        verified.map_err(InvalidProof::Signature)?;
        if let Some(known) = self.known.filter(|_| is_new) {
            known.keep(parts.header, &read);
        }
        Ok(VerifiedProof { id: id.to_owned(), thumbprint: thumbprint.clone(), made, expires })
    }

    /// When the proof was made, and until when it could be accepted again.
    fn read_times(&self, claims: &Claims<'_>, now: UnixTime) -> Result<(UnixTime, UnixTime), InvalidProof> {
        let made = claims.time("iat")?;
        let (earliest, latest) = (now.before(self.window.past), now.after(self.window.future));
        if claims.optional_time("nbf")?.is_some_and(|start| start > latest) {
            return Err(InvalidProof::NotYet);
        }
        if claims.optional_time("exp")?.is_some_and(|end| end <= now.before(self.window.future)) {
            return Err(InvalidProof::Expired);
        }
        let (nonce, issuer) = match self.nonce {
            NonceRule::Ignored => (None, None),
            NonceRule::Welcome(issuer) => (claims.optional_text("nonce")?, Some(issuer)),
            NonceRule::Demanded(issuer) => {
                (Some(claims.optional_text("nonce")?.ok_or(InvalidProof::NoNonce)?), Some(issuer))
            }
        };
        if let (Some(nonce), Some(issuer)) = (nonce, issuer) {
            if !issuer.accepts(nonce, now) {
                return Err(InvalidProof::OtherNonce);
            }
            // "... as determined by either the iat claim or a server managed timestamp via the nonce claim": a client
            // whose clock is wrong is let in by a nonce, since no nonce lives longer than this.
            return Ok((made, now.after(issuer.lifetime())));
        }
        if made < earliest {
            return Err(InvalidProof::TooOld);
        }
        if made > latest {
            return Err(InvalidProof::FromTheFuture);
        }
        Ok((made, made.after(self.window.past)))
    }
}

/// How far the time of a proof, `iat`, may lie from ours. In whole seconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(clippy::exhaustive_structs, reason = "a span has two ends")]
pub struct ProofWindow {
    /// How old a proof may be.
    pub past: Duration,
    /// How far ahead of ours the client's clock may be.
    pub future: Duration,
}

impl Default for ProofWindow {
    /// One minute back, ten seconds ahead.
    fn default() -> Self {
        Self { past: Duration::from_secs(60), future: Duration::from_secs(10) }
    }
}

/// What is asked of a proof's `nonce`.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum NonceRule<'a> {
    /// It is not looked at.
    Ignored,
    /// If there is one it must be fresh, and then it stands for the time of the proof.
    Welcome(&'a NonceIssuer),
    /// There must be a fresh one, which then stands for the time of the proof.
    Demanded(&'a NonceIssuer),
}

/// A proof that kept every rule.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct VerifiedProof {
    id: String,
    thumbprint: Thumbprint,
    made: UnixTime,
    expires: UnixTime,
}

impl VerifiedProof {
    /// The thumbprint of the key that made it, to bind tokens to.
    pub const fn thumbprint(&self) -> &Thumbprint {
        &self.thumbprint
    }

    /// The id of the proof: 1 to 256 octets that the client chose.
    pub fn jti(&self) -> &str {
        &self.id
    }

    /// When the client says it was made.
    pub const fn iat(&self) -> UnixTime {
        self.made
    }

    /// Until when [`VerifiedProof::replay_key`] must be remembered: past this time the proof is refused for its age.
    pub const fn expires(&self) -> UnixTime {
        self.expires
    }

    /// What stands for this proof where replays are looked for: a hash of the key's thumbprint and the `jti`, so that
    /// no client can use up the ids of another.
    pub fn replay_key(&self) -> [u8; 32] {
        sha256([self.thumbprint.as_hash(), self.id.as_bytes()].concat())
    }
}

/// The one `DPoP` header field of a request, or `None` if there is none.
///
/// ```
/// use http::{HeaderMap, HeaderValue};
/// use vestibule_dpop::{InvalidProof, proof_header};
///
/// let mut headers = HeaderMap::new();
/// assert_eq!(proof_header(&headers), Ok(None));
/// headers.append("dpop", HeaderValue::from_static("a.b.c"));
/// assert_eq!(proof_header(&headers), Ok(Some("a.b.c")));
/// headers.append("dpop", HeaderValue::from_static("a.b.c"));
/// assert_eq!(proof_header(&headers), Err(InvalidProof::Several));
/// ```
///
/// # Errors
/// [`InvalidProof::Several`] if there are more, [`InvalidProof::NotText`] if it is no visible ASCII.
pub fn proof_header(headers: &HeaderMap) -> Result<Option<&str>, InvalidProof> {
    let mut fields = headers.get_all(&DPOP).iter();
    match (fields.next(), fields.next()) {
        (None, _) => Ok(None),
        (Some(field), None) => field.to_str().map(Some).map_err(|_| InvalidProof::NotText),
        (Some(_), Some(_)) => Err(InvalidProof::Several),
    }
}

/// Why a proof was refused: one variant for each rule of [RFC 9449, section 4.3], in the order they are applied.
///
/// [RFC 9449, section 4.3]: https://www.rfc-editor.org/rfc/rfc9449#section-4.3
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum InvalidProof {
    /// More than one `DPoP` header field.
    #[error("there must be one DPoP header field")]
    Several,
    /// A header field with octets that no proof has.
    #[error("the DPoP header field must be visible ascii")]
    NotText,
    /// Not a signed text with a public key in its header.
    #[error("the proof is not read: {0}")]
    Jws(InvalidJws),
    /// Another `typ`, or none.
    #[error("the proof's typ must be dpop+jwt")]
    OtherType,
    /// An `alg` that is not among those allowed.
    #[error("the proof's alg must not be {0} here")]
    NotAllowed(Algorithm),
    /// No `jwk` in the header.
    #[error("the proof's header must have jwk")]
    NoKey,
    /// The payload is not one JSON object of a reasonable size.
    #[error("the proof's payload must be one json object")]
    Payload,
    /// A claim appears twice.
    #[error("the proof must not have a claim twice")]
    DuplicateClaim,
    /// This claim must be there.
    #[error("the proof must have {0}")]
    NoClaim(&'static str),
    /// This claim is of the wrong JSON type.
    #[error("the proof's {0} is of the wrong type")]
    ClaimType(&'static str),
    /// An empty `jti`, or one longer than 256 octets.
    #[error("the proof's jti must have 1 to 256 octets")]
    IdLength,
    /// An `htm` other than the method of the request.
    #[error("the proof's htm must be the method of the request")]
    OtherMethod,
    /// An `htu` that is no address.
    #[error("the proof's address is not read: {0}")]
    Target(InvalidTargetUri),
    /// An `htu` other than the address of the request.
    #[error("the proof's htu must be the address of the request")]
    OtherTarget,
    /// An `nbf` that is still to come.
    #[error("the proof's nbf is still to come")]
    NotYet,
    /// An `exp` that has passed.
    #[error("the proof's exp has passed")]
    Expired,
    /// No `nonce`, where one is demanded.
    #[error("the proof must have a nonce of this server")]
    NoNonce,
    /// A `nonce` that is stale, or of another server.
    #[error("the proof's nonce is not a recent one of this server")]
    OtherNonce,
    /// An `iat` too long ago.
    #[error("the proof's iat is too long ago")]
    TooOld,
    /// An `iat` too far ahead.
    #[error("the proof's iat is in the future")]
    FromTheFuture,
    /// No `ath`, with a request that carries an access token.
    #[error("the proof must have the ath of the access token")]
    NoTokenHash,
    /// The `ath` of another token.
    #[error("the proof's ath must be the hash of the access token")]
    OtherToken,
    /// Another key than the token or the code is bound to.
    #[error("the proof must be made with the key that the token is bound to")]
    OtherKey,
    /// The signature does not verify.
    #[error("the proof is not accepted: {0}")]
    Signature(VerifyError),
}

impl InvalidProof {
    /// Whether the client is to send the request again, in a proof with the nonce of the answer.
    pub const fn wants_nonce(&self) -> bool {
        matches!(self, Self::NoNonce | Self::OtherNonce)
    }

    /// The error code for the answer ([RFC 9449, sections 5, 7.1 and 8]). A code or a refresh token that is bound to
    /// another key is `invalid_grant` at the token endpoint, which is for the caller to say.
    ///
    /// [RFC 9449, sections 5, 7.1 and 8]: https://www.rfc-editor.org/rfc/rfc9449#section-5
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NoNonce | Self::OtherNonce => "use_dpop_nonce",
            Self::OtherKey => "invalid_token",
            Self::Several
            | Self::NotText
            | Self::Jws(_)
            | Self::OtherType
            | Self::NotAllowed(_)
            | Self::NoKey
            | Self::Payload
            | Self::DuplicateClaim
            | Self::NoClaim(_)
            | Self::ClaimType(_)
            | Self::IdLength
            | Self::OtherMethod
            | Self::Target(_)
            | Self::OtherTarget
            | Self::NotYet
            | Self::Expired
            | Self::TooOld
            | Self::FromTheFuture
            | Self::NoTokenHash
            | Self::OtherToken
            | Self::Signature(_) => "invalid_dpop_proof",
        }
    }
}

impl From<InvalidJws> for InvalidProof {
    fn from(error: InvalidJws) -> Self {
        Self::Jws(error)
    }
}

impl From<InvalidClaims> for InvalidProof {
    fn from(error: InvalidClaims) -> Self {
        match error {
            InvalidClaims::Payload => Self::Payload,
            InvalidClaims::Duplicate => Self::DuplicateClaim,
            InvalidClaims::Missing(name) => Self::NoClaim(name),
            InvalidClaims::Type(name) => Self::ClaimType(name),
        }
    }
}

/// A proof of an RSA key of 8192 bits, for the longest address, would take some 11 KiB; one of a P-256 key takes 600
/// octets. Header fields are commonly limited to 8 KiB together.
const MAX_LENGTH: usize = 8 * 1024;

/// A UUID takes 36. What is remembered is a hash, so this bounds only the reading.
const MAX_ID_LENGTH: usize = 256;

/// The field's name, in the lower case that HTTP/2 has.
static DPOP: HeaderName = HeaderName::from_static("dpop");

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use http::HeaderValue;
    use vestibule_oauth_core::{Secret, base64url};

    use super::*;
    use crate::jwk::InvalidJwk;
    use crate::jws::ProtectedHeader;
    use crate::key::ProofKey;
    use crate::nonce::NonceKeys;
    use crate::p256::{P256Signer, P256Verifier};
    use crate::proof::Proof;
    use crate::secret::Es256Secret;
    use crate::signer::Signer;

    const NOW: UnixTime = UnixTime::from_secs(1_562_262_616);
    const JKT: &str = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I";
    /// RFC 9449, figure 2.
    const TOKEN_REQUEST: &str = "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JEQSIsImNydiI6IlAtMjU2In19.eyJqdGkiOiItQndDM0VTYzZhY2MybFRjIiwiaHRtIjoiUE9TVCIsImh0dSI6Imh0dHBzOi8vc2VydmVyLmV4YW1wbGUuY29tL3Rva2VuIiwiaWF0IjoxNTYyMjYyNjE2fQ.2-GxA6T8lP4vfrg8v-FdWP0A0zdrj8igiMLvqRMUvwnQg4PtFLbdLXiOSsX0x7NVY-FNyJK70nfbV37xRZT3Lg";
    /// RFC 9449, figure 5.
    const REFRESH_REQUEST: &str = "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JEQSIsImNydiI6IlAtMjU2In19.eyJqdGkiOiItQndDM0VTYzZhY2MybFRjIiwiaHRtIjoiUE9TVCIsImh0dSI6Imh0dHBzOi8vc2VydmVyLmV4YW1wbGUuY29tL3Rva2VuIiwiaWF0IjoxNTYyMjY1Mjk2fQ.pAqut2IRDm_De6PR93SYmGBPXpwrAk90e8cP2hjiaG5QsGSuKDYW7_X620BxqhvYC8ynrrvZLTk41mSRroapUA";
    /// RFC 9449, figure 12.
    const RESOURCE_REQUEST: &str = "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JEQSIsImNydiI6IlAtMjU2In19.eyJqdGkiOiJlMWozVl9iS2ljOC1MQUVCIiwiaHRtIjoiR0VUIiwiaHR1IjoiaHR0cHM6Ly9yZXNvdXJjZS5leGFtcGxlLm9yZy9wcm90ZWN0ZWRyZXNvdXJjZSIsImlhdCI6MTU2MjI2MjYxOCwiYXRoIjoiZlVIeU8ycjJaM0RaNTNFc05yV0JiMHhXWG9hTnk1OUlpS0NBcWtzbVFFbyJ9.2oW9RP35yRqzhrtNP86L-Ey71EOptxRimPPToA1plemAgR6pxHF8y6-yqyVnmcw6Fy1dqd-jfxSYoMxhAJpLjA";
    const TOKEN: &str = "Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU";
    const GOOD: &str =
        r#""jti":"-BwC3ESc6acc2lTc","htm":"POST","htu":"https://server.example.com/token","iat":1562262616"#;

    static TARGET: LazyLock<TargetUri> =
        LazyLock::new(|| TargetUri::parse("https://server.example.com/token").unwrap());

    fn issuer() -> NonceIssuer {
        NonceIssuer::new(NonceKeys::new(Secret::new([1; 32])))
    }

    fn signer() -> P256Signer {
        P256Signer::from_secret(&Es256Secret::from_entropy([7; 32]))
    }

    /// A proof with these claims, signed.
    fn sign(claims: &str) -> String {
        let signer = signer();
        let header = ProtectedHeader::new(&signer).with_typ("dpop+jwt").with_jwk(signer.public_key());
        header.encode().sign(format!("{{{claims}}}"), &signer).unwrap()
    }

    fn read<'a>(
        text: &str,
        with: impl FnOnce(Expected<'a>) -> Expected<'a>,
    ) -> Result<VerifiedProof, InvalidProof> {
        with(Expected::new(&Method::POST, &TARGET)).read(text, &P256Verifier, NOW)
    }

    fn refusal(claims: &str) -> InvalidProof {
        read(&sign(claims), |expected| expected).unwrap_err()
    }

    #[test]
    fn rfc9449_examples() {
        let jkt: Thumbprint = JKT.parse().unwrap();
        let token = TargetUri::parse("https://server.example.com/token").unwrap();
        let resource = TargetUri::parse("https://resource.example.org/protectedresource").unwrap();
        for (text, expected, now, id) in [
            (TOKEN_REQUEST, Expected::new(&Method::POST, &token), 1_562_262_616, "-BwC3ESc6acc2lTc"),
            (REFRESH_REQUEST, Expected::new(&Method::POST, &token), 1_562_265_296, "-BwC3ESc6acc2lTc"),
            (
                RESOURCE_REQUEST,
                Expected::new(&Method::GET, &resource).with_access_token(TOKEN).with_thumbprint(&jkt),
                1_562_262_618,
                "e1j3V_bKic8-LAEB",
            ),
        ] {
            let now = UnixTime::from_secs(now);
            for verifier in [&P256Verifier as &dyn Verifier, &crate::DefaultVerifier] {
                let proof = expected.read(text, verifier, now).unwrap();
                assert_eq!((proof.jti(), proof.iat(), proof.thumbprint()), (id, now, &jkt));
                assert_eq!(proof.expires(), now.after(Duration::from_secs(60)));
            }
        }
    }

    #[test]
    fn t47_what_is_made_is_accepted() {
        let key = ProofKey::from_secret(Es256Secret::from_entropy([7; 32]));
        let (issuer, url) = (issuer(), "https://Server.example.com:443/token?a=b".parse().unwrap());
        let nonce = issuer.issue(NOW);
        let proof = Proof::new(&Method::POST, &url, [9; 16], NOW).with_nonce(&nonce).with_access_token(TOKEN);
        let text = key.prove(&proof).unwrap();
        let read = read(&text, |expected| {
            expected
                .with_nonce(NonceRule::Demanded(&issuer))
                .with_access_token(TOKEN)
                .with_thumbprint(key.thumbprint())
        });
        assert_eq!(read.unwrap().thumbprint(), key.thumbprint());
    }

    #[test]
    fn t47_one_header_field() {
        let headers = |values: &[&'static [u8]]| {
            values.iter().fold(HeaderMap::new(), |mut headers, value| {
                headers.append("DPoP", HeaderValue::from_bytes(value).unwrap());
                headers
            })
        };
        assert_eq!(proof_header(&headers(&[])), Ok(None));
        assert_eq!(proof_header(&headers(&[b"a"])), Ok(Some("a")));
        assert_eq!(proof_header(&headers(&[b"a", b"a"])), Err(InvalidProof::Several));
        assert_eq!(proof_header(&headers(&[b"\xff"])), Err(InvalidProof::NotText));
    }

    #[test]
    fn t47_headers() {
        let signer = signer();
        let header = ProtectedHeader::new(&signer);
        let jwk = signer.public_key();
        let sign =
            |header: ProtectedHeader<'_>| header.encode().sign(format!("{{{GOOD}}}"), &signer).unwrap();
        for (text, why) in [
            (sign(header.clone().with_jwk(jwk)), InvalidProof::OtherType),
            (sign(header.clone().with_jwk(jwk).with_typ("JWT")), InvalidProof::OtherType),
            (sign(header.with_typ("dpop+jwt")), InvalidProof::NoKey),
            ("a.b".to_owned(), InvalidProof::Jws(InvalidJws::Parts)),
            ("a".repeat(MAX_LENGTH + 1), InvalidProof::Jws(InvalidJws::TooLong)),
            (
                format!("{}.e30.AA", base64url::encode(r#"{"alg":"ES256","jwk":{"kty":"EC","d":"AQ"}}"#)),
                InvalidProof::Jws(InvalidJws::Key(InvalidJwk::PrivateMember("d"))),
            ),
            (
                format!("{}.e30.AA", base64url::encode(r#"{"alg":"none","typ":"dpop+jwt"}"#)),
                InvalidProof::Jws(InvalidJws::Unsigned),
            ),
            (
                format!("{}.e30.AA", base64url::encode(r#"{"alg":"PS256","typ":"dpop+jwt"}"#)),
                InvalidProof::NotAllowed(Algorithm::Ps256),
            ),
        ] {
            let error = read(&text, |expected| expected).unwrap_err();
            assert_eq!((error, error.code()), (why, "invalid_dpop_proof"), "{text}");
        }
        let error =
            read(TOKEN_REQUEST, |expected| expected.with_algorithms(&[Algorithm::Rs256])).unwrap_err();
        assert_eq!(error, InvalidProof::NotAllowed(Algorithm::Es256));
    }

    #[test]
    fn t47_claims() {
        let htu = |htu: &str| GOOD.replace("https://server.example.com/token", htu);
        let id = |id: &str| GOOD.replace("-BwC3ESc6acc2lTc", id);
        for (claims, why) in [
            ("7".to_owned(), InvalidProof::Payload),
            (format!("{GOOD},\"htm\":\"POST\""), InvalidProof::DuplicateClaim),
            (GOOD.replace("jti", "j"), InvalidProof::NoClaim("jti")),
            (GOOD.replace("htm", "h"), InvalidProof::NoClaim("htm")),
            (GOOD.replace("htu", "h"), InvalidProof::NoClaim("htu")),
            (GOOD.replace("iat", "i"), InvalidProof::NoClaim("iat")),
            (GOOD.replace("1562262616", "\"1562262616\""), InvalidProof::ClaimType("iat")),
            (GOOD.replace("1562262616", "-1"), InvalidProof::ClaimType("iat")),
            (GOOD.replace("\"POST\"", "null"), InvalidProof::ClaimType("htm")),
            (id(""), InvalidProof::IdLength),
            (id(&"a".repeat(257)), InvalidProof::IdLength),
            (GOOD.replace("POST", "post"), InvalidProof::OtherMethod),
            (GOOD.replace("POST", "GET"), InvalidProof::OtherMethod),
            (htu("server.example.com"), InvalidProof::Target(InvalidTargetUri::Scheme)),
            (htu("https://server.example.com/"), InvalidProof::OtherTarget),
            (htu("https://server.example.com.evil.example/token"), InvalidProof::OtherTarget),
            (format!("{GOOD},\"nbf\":1562262627"), InvalidProof::NotYet),
            (format!("{GOOD},\"exp\":1562262606"), InvalidProof::Expired),
            (format!("{GOOD},\"exp\":{{}}"), InvalidProof::ClaimType("exp")),
        ] {
            let error = refusal(&claims);
            assert_eq!((error, error.code()), (why, "invalid_dpop_proof"), "{claims}");
        }
        for claims in [
            GOOD.to_owned(),
            htu("HTTPS://server.example.com:443/token?query#fragment"),
            id(&"a".repeat(256)),
            format!("{GOOD},\"nbf\":1562262626,\"exp\":1562262607,\"other\":[null,true,-1]"),
            GOOD.replace("1562262616", "1562262616.5"),
        ] {
            assert!(read(&sign(&claims), |expected| expected).is_ok(), "{claims}");
        }
    }

    #[test]
    fn t49_times() {
        let wide = ProofWindow { past: Duration::from_secs(180), future: Duration::from_secs(30) };
        for (seconds, window, result) in [
            (1_562_262_556, ProofWindow::default(), None),
            (1_562_262_555, ProofWindow::default(), Some(InvalidProof::TooOld)),
            (0, ProofWindow::default(), Some(InvalidProof::TooOld)),
            (1_562_262_626, ProofWindow::default(), None),
            (1_562_262_627, ProofWindow::default(), Some(InvalidProof::FromTheFuture)),
            (u64::MAX, ProofWindow::default(), Some(InvalidProof::FromTheFuture)),
            (1_562_262_436, wide, None),
            (1_562_262_435, wide, Some(InvalidProof::TooOld)),
            (1_562_262_646, wide, None),
            (1_562_262_647, wide, Some(InvalidProof::FromTheFuture)),
        ] {
            let text = sign(&GOOD.replace("1562262616", &seconds.to_string()));
            assert_eq!(read(&text, |expected| expected.with_window(window)).err(), result, "{seconds}");
        }
    }

    #[test]
    fn t48_t49_nonces() {
        let issuer = issuer();
        let (welcome, demanded) = (NonceRule::Welcome(&issuer), NonceRule::Demanded(&issuer));
        let nonce = issuer.issue(NOW);
        let hour_off = GOOD.replace("1562262616", "1562266216");
        let with = |claims: &str, nonce: &str| format!("{claims},\"nonce\":\"{nonce}\"");
        for (claims, rule, result) in [
            (GOOD.to_owned(), NonceRule::Ignored, None),
            (with(GOOD, "other"), NonceRule::Ignored, None),
            (GOOD.to_owned(), welcome, None),
            (with(GOOD, &nonce), welcome, None),
            (with(GOOD, "other"), welcome, Some(InvalidProof::OtherNonce)),
            (hour_off.clone(), welcome, Some(InvalidProof::FromTheFuture)),
            (with(&hour_off, &nonce), welcome, None),
            (with(&hour_off, &nonce), demanded, None),
            (with(&hour_off, &nonce), NonceRule::Ignored, Some(InvalidProof::FromTheFuture)),
            (GOOD.to_owned(), demanded, Some(InvalidProof::NoNonce)),
            (with(GOOD, ""), demanded, Some(InvalidProof::OtherNonce)),
            (format!("{GOOD},\"nonce\":null"), demanded, Some(InvalidProof::ClaimType("nonce"))),
        ] {
            let error = read(&sign(&claims), |expected| expected.with_nonce(rule)).err();
            assert_eq!(error, result, "{claims} {rule:?}");
        }
        assert_eq!(InvalidProof::NoNonce.code(), "use_dpop_nonce");
        assert_eq!(InvalidProof::OtherNonce.code(), "use_dpop_nonce");
        let proof = read(&sign(&with(&hour_off, &nonce)), |expected| expected.with_nonce(demanded)).unwrap();
        assert!(!issuer.accepts(&nonce, proof.expires()));
    }

    #[test]
    fn t47_tokens_and_keys() {
        let jkt: Thumbprint = JKT.parse().unwrap();
        let ath = format!("{GOOD},\"ath\":\"{}\"", AccessTokenHash::of(TOKEN));
        for (claims, token, why, code) in [
            (GOOD, TOKEN, InvalidProof::NoTokenHash, "invalid_dpop_proof"),
            (&ath, "other", InvalidProof::OtherToken, "invalid_dpop_proof"),
            (&ath.replace("fUHy", "fUH"), TOKEN, InvalidProof::OtherToken, "invalid_dpop_proof"),
            (&ath, TOKEN, InvalidProof::OtherKey, "invalid_token"),
        ] {
            let error =
                read(&sign(claims), |e| e.with_access_token(token).with_thumbprint(&jkt)).unwrap_err();
            assert_eq!((error, error.code()), (why, code), "{claims}");
        }
        // A token endpoint has no token to compare with.
        assert!(read(&sign(&ath), |expected| expected).is_ok());
    }

    #[test]
    fn t47_signatures() {
        let refused = InvalidProof::Signature(VerifyError::Signature);
        let (start, signature) = TOKEN_REQUEST.rsplit_once('.').unwrap();
        let other = sign(GOOD);
        for text in [
            format!("{start}."),
            format!("{start}.{}", signature.replace("2-Gx", "2-Gy")),
            format!("{start}.{}", other.rsplit_once('.').unwrap().1),
            REFRESH_REQUEST.rsplit_once('.').map(|(_, other)| format!("{start}.{other}")).unwrap(),
        ] {
            assert_eq!(read(&text, |expected| expected).unwrap_err(), refused, "{text}");
        }
        assert_eq!(refused.code(), "invalid_dpop_proof");
    }

    #[test]
    fn t50_replay_keys_are_of_one_key_and_one_id() {
        let key = |text: &str| read(text, |expected| expected).unwrap().replay_key();
        let first = key(TOKEN_REQUEST);
        assert_eq!(first, key(TOKEN_REQUEST));
        assert_ne!(first, key(&sign(GOOD))); // another key
        assert_ne!(key(&sign(GOOD)), key(&sign(&GOOD.replace("-BwC", "-BwD")))); // another id
        assert_eq!(key(&sign(GOOD)), key(&sign(&GOOD.replace("616", "617")))); // another time
    }
}
