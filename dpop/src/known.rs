//! Headers of proofs, read once for each key.

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};

use crate::jwk::{Jwk, Thumbprint};
use crate::jws::{Header, InvalidJws};

/// Remembers the headers of proofs that verified. A client's proofs all begin with the same header, which holds nothing
/// but its key: reading it again costs more than everything else around the signature.
///
/// It decides nothing. Every rule about headers is applied to a known one as to a new one, and a proof is verified
/// whether its header is known or not; only what was verified is remembered, so that a stranger without a key leaves no
/// trace. The memory is bounded: a header that finds its place taken takes it over, and one of more than 1024 octets, which
/// holds more than a key, is not kept.
///
/// ```
/// use http::Method;
/// use vestibule_dpop::{DefaultVerifier, Es256Secret, Expected, KnownHeaders, Proof, ProofKey, TargetUri};
/// use vestibule_oauth_core::UnixTime;
///
/// let known = KnownHeaders::new(1024); // one for the whole server
/// let key = ProofKey::from_secret(Es256Secret::from_entropy([7; 32]));
/// let (url, now) = ("https://server.example.com/token".parse().unwrap(), UnixTime::from_secs(1_700_000_000));
/// let target = TargetUri::from_url(&url).unwrap();
/// for id in [[1; 16], [2; 16]] {
///     let text = key.prove(&Proof::new(&Method::POST, &url, id, now)).unwrap();
///     let expected = Expected::new(&Method::POST, &target).with_known_headers(&known);
///     let proof = expected.read(&text, &DefaultVerifier, now).unwrap();
///     assert_eq!(proof.thumbprint(), key.thumbprint());
/// }
/// ```
pub struct KnownHeaders {
    places: Box<[Place]>,
}

/// A header as it was written, and as it was read.
type Place = Mutex<Option<(Box<str>, Arc<ProofHeader>)>>;

/// A header and all that follows from it.
#[derive(Debug)]
pub(crate) struct ProofHeader {
    pub(crate) header: Header,
    /// Of the key in the header, if there is one.
    pub(crate) thumbprint: Option<Thumbprint>,
}

impl ProofHeader {
    pub(crate) fn read(text: &str) -> Result<Self, InvalidJws> {
        let header = Header::decode(text)?;
        let thumbprint = header.jwk().map(Jwk::thumbprint);
        Ok(Self { header, thumbprint })
    }
}

impl KnownHeaders {
    /// Room for this many headers, at least one. One of a P-256 key takes about 500 octets.
    pub fn new(places: usize) -> Self {
        Self { places: std::iter::repeat_with(Mutex::default).take(places.max(1)).collect() }
    }

    pub(crate) fn get(&self, text: &str) -> Option<Arc<ProofHeader>> {
        let place = self.place(text)?.lock().unwrap_or_else(PoisonError::into_inner);
        place.as_ref().filter(|(known, _)| **known == *text).map(|(_, read)| Arc::clone(read))
    }

    pub(crate) fn keep(&self, text: &str, read: &Arc<ProofHeader>) {
        if let Some(place) = self.place(text) {
            *place.lock().unwrap_or_else(PoisonError::into_inner) = Some((text.into(), Arc::clone(read)));
        }
    }

    /// Where this header is, if it is anywhere. The hash is the same in every process: whoever makes a key whose header meets
    /// another's place slows that one down and no more.
    fn place(&self, text: &str) -> Option<&Place> {
        if text.len() > MAX_LENGTH {
            return None;
        }
        let mut hasher = DefaultHasher::new();
        text.hash(&mut hasher);
        self.places.get(usize::try_from(hasher.finish() % self.places.len() as u64).ok()?)
    }
}

impl Default for KnownHeaders {
    /// Room for 1024 headers.
    fn default() -> Self {
        Self::new(1024)
    }
}

impl fmt::Debug for KnownHeaders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KnownHeaders").field("places", &self.places.len()).finish_non_exhaustive()
    }
}

/// In octets of base64url: a header with an RSA key of 4096 bits takes some 1000, one with a P-256 key 250.
const MAX_LENGTH: usize = 1024;

#[cfg(test)]
mod tests {
    use http::Method;
    use vestibule_oauth_core::UnixTime;

    use super::*;
    use crate::{
        Algorithm, Compact, Es256Secret, Expected, InvalidProof, P256Signer, P256Verifier, Proof, ProofKey,
        ProtectedHeader, Signer, TargetUri,
    };

    const NOW: UnixTime = UnixTime::from_secs(1_700_000_000);

    fn proof(secret: u8) -> (ProofKey, String) {
        let key = ProofKey::from_secret(Es256Secret::from_entropy([secret; 32]));
        let url = "https://server.example.com/token".parse().unwrap();
        let text = key.prove(&Proof::new(&Method::POST, &url, [9; 16], NOW)).unwrap();
        (key, text)
    }

    fn target() -> TargetUri {
        TargetUri::parse("https://server.example.com/token").unwrap()
    }

    fn forged(text: &str) -> String {
        let (input, signature) = text.rsplit_once('.').unwrap();
        format!("{input}.{}", "A".repeat(signature.len()))
    }

    fn header(text: &str) -> &str {
        text.split_once('.').unwrap().0
    }

    #[test]
    fn only_what_verified_is_known() {
        let (known, target) = (KnownHeaders::new(8), target());
        let expected = Expected::new(&Method::POST, &target).with_known_headers(&known);
        let (_, text) = proof(7);
        assert!(matches!(expected.read(&forged(&text), &P256Verifier, NOW), Err(InvalidProof::Signature(_))));
        assert!(known.get(header(&text)).is_none());
        expected.read(&text, &P256Verifier, NOW).unwrap();
        assert!(known.get(header(&text)).is_some());
        assert!(known.get(header(&proof(8).1)).is_none());
    }

    #[test]
    fn t47_a_known_header_is_held_to_every_rule() {
        let (known, target) = (KnownHeaders::new(1), target());
        let expected = Expected::new(&Method::POST, &target).with_known_headers(&known);
        let (key, text) = proof(7);
        expected.read(&text, &P256Verifier, NOW).unwrap();
        assert!(known.get(header(&text)).is_some());

        assert!(matches!(expected.read(&forged(&text), &P256Verifier, NOW), Err(InvalidProof::Signature(_))));
        let (other, _) = proof(8);
        for (expected, why) in [
            (expected.clone().with_algorithms(&[]), InvalidProof::NotAllowed(Algorithm::Es256)),
            (expected.clone().with_thumbprint(other.thumbprint()), InvalidProof::OtherKey),
            (expected.clone().with_access_token("token"), InvalidProof::NoTokenHash),
        ] {
            assert_eq!(expected.read(&text, &P256Verifier, NOW), Err(why));
        }
        let read = expected.with_thumbprint(key.thumbprint()).read(&text, &P256Verifier, NOW).unwrap();
        assert_eq!(read.thumbprint(), key.thumbprint());
    }

    #[test]
    fn a_header_takes_a_place_over() {
        let (known, target) = (KnownHeaders::new(0), target());
        let expected = Expected::new(&Method::POST, &target).with_known_headers(&known);
        let proofs = [proof(7), proof(8)];
        for _ in 0..2 {
            for (key, text) in &proofs {
                let read = expected.read(text, &P256Verifier, NOW).unwrap();
                assert_eq!(read.thumbprint(), key.thumbprint());
            }
        }
        let held = proofs.iter().filter(|(_, text)| known.get(header(text)).is_some()).count();
        assert_eq!(held, 1);
    }
    #[test]
    fn a_long_header_is_accepted_and_not_kept() {
        let (known, target) = (KnownHeaders::new(8), target());
        let expected = Expected::new(&Method::POST, &target).with_known_headers(&known);
        let signer = P256Signer::from_secret(&Es256Secret::from_entropy([7; 32]));
        let (_, text) = proof(7);
        let payload = Compact::parse(&text, text.len()).unwrap().payload().to_owned();
        let signed = |kid: &str| {
            let header = ProtectedHeader::new(&signer).with_typ("dpop+jwt").with_kid(kid);
            header.with_jwk(signer.public_key()).encode().sign(&payload, &signer).unwrap()
        };
        for (kid, kept) in [("k".to_owned(), true), ("k".repeat(1000), false)] {
            let text = signed(&kid);
            expected.read(&text, &P256Verifier, NOW).unwrap();
            assert_eq!(known.get(header(&text)).is_some(), kept);
        }
    }
}
