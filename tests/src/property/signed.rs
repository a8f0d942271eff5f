//! Signed texts: JWS, and DPoP proofs read and made.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use http::Method;
use url::Url;
use vestibule_dpop::{
    Algorithm, AwsLcVerifier, Compact, Es256Secret, Expected, InvalidJws, InvalidProof, NonceIssuer,
    NonceKeys, NonceRule, P256Signer, P256Verifier, Proof, ProofKey, ProtectedHeader, Remembered,
    ReplayWindow, Signer, TargetUri, VerifiedProof, Verifier,
};
use vestibule_oauth_core::{Secret, UnixTime, base64url};

use super::material::{edited, halves, is_one_line, text};
use crate::fixed::NOW;

/// The key whose proofs are in the corpus.
static SIGNER: LazyLock<Arc<P256Signer>> =
    LazyLock::new(|| Arc::new(P256Signer::from_secret(&Es256Secret::from_entropy([7; 32]))));

static KEY: LazyLock<ProofKey> = LazyLock::new(|| ProofKey::from_signer(SIGNER.clone()));

const ALL: [Algorithm; 3] = [Algorithm::Es256, Algorithm::Rs256, Algorithm::Ps256];

/// A JWS is three parts that are the one text of what they hold, and two verifiers agree on it.
pub fn jws(data: &[u8]) {
    let Some(text) = text(data) else { return };
    let jws = match Compact::parse(text, Compact::MAX_LENGTH) {
        Ok(jws) => jws,
        Err(error) => return is_one_line(&error),
    };
    let parts: Vec<&str> = text.split('.').collect();
    assert_eq!(parts.len(), 3);
    assert_eq!(base64url::encode(jws.payload()), parts[1]);
    assert!(matches!(Compact::parse(text, text.len() - 1), Err(InvalidJws::TooLong)));
    let header = jws.header();
    assert!(ALL.contains(&header.algorithm()));
    if let Some(typ) = header.typ() {
        assert!(header.is_type(typ) || typ.to_ascii_lowercase().starts_with("application/"));
    }
    let Some(key) = header.jwk() else { return };
    let input = &text[..parts[0].len() + 1 + parts[1].len()];
    let signature = base64url::decode(parts[2]).unwrap();
    for algorithm in ALL {
        let by_aws = AwsLcVerifier.verify(algorithm, key, input.as_bytes(), &signature);
        if P256Verifier.supports(algorithm) {
            let by_p256 = P256Verifier.verify(algorithm, key, input.as_bytes(), &signature);
            assert_eq!(by_p256, by_aws, "{algorithm}");
        }
        assert!(by_aws.is_err() || key.fits(algorithm));
        let verified = jws.verify(&AwsLcVerifier, key, &[algorithm]).is_ok();
        assert_eq!(verified, by_aws.is_ok() && algorithm == header.algorithm());
    }
}

/// A proof that is accepted keeps every rule, is accepted again under each looser rule, and under no other expectation.
pub fn proof(data: &[u8]) {
    let Some(text) = text(data) else { return };
    let target = TargetUri::parse("https://pds.example/xrpc/com.example.method").unwrap();
    let expected = Expected::new(&Method::POST, &target);
    let issuer = NonceIssuer::new(NonceKeys::new(Secret::new([3; 32])));
    let accepted = [
        read(&expected, text),
        read(&expected.clone().with_nonce(NonceRule::Welcome(&issuer)), text),
        read(&expected.clone().with_nonce(NonceRule::Demanded(&issuer)), text),
    ];
    assert!(
        accepted[2].is_none() || accepted[1].is_some(),
        "who demands a nonce accepts no more than who welcomes one"
    );
    for proof in accepted.into_iter().flatten() {
        assert!((1..=256).contains(&proof.jti().len()));
        assert!(proof.expires() >= NOW);
        let own = proof.thumbprint().clone();
        let welcome = expected.clone().with_nonce(NonceRule::Welcome(&issuer)).with_thumbprint(&own);
        let again =
            read(&welcome, text).or_else(|| read(&expected.clone().with_thumbprint(&own), text)).unwrap();
        assert_eq!(
            (again.jti(), again.iat(), again.replay_key()),
            (proof.jti(), proof.iat(), proof.replay_key())
        );
        let get = Expected::new(&Method::GET, &target);
        assert_eq!(get.read(text, &P256Verifier, NOW), Err(InvalidProof::OtherMethod));
        let elsewhere = TargetUri::parse("https://pds.example/xrpc/com.example.other").unwrap();
        let elsewhere = Expected::new(&Method::POST, &elsewhere);
        assert_eq!(elsewhere.read(text, &P256Verifier, NOW), Err(InvalidProof::OtherTarget));
        let by_rsa = expected.clone().with_algorithms(&[Algorithm::Rs256]);
        assert_eq!(by_rsa.read(text, &P256Verifier, NOW), Err(InvalidProof::NotAllowed(Algorithm::Es256)));
    }
    for token in ["token", ""] {
        let with_token = read(&expected.clone().with_access_token(token), text);
        assert!(with_token.is_none() || read(&expected, text).is_some());
    }
}

/// What is read; an error is one line and has a code that the specification knows.
fn read(expected: &Expected<'_>, text: &str) -> Option<VerifiedProof> {
    match expected.read(text, &P256Verifier, NOW) {
        Ok(proof) => Some(proof),
        Err(error) => {
            is_one_line(&error);
            assert!(matches!(error.code(), "invalid_dpop_proof" | "use_dpop_nonce" | "invalid_token"));
            None
        }
    }
}

/// A proof made is read as what it was made for, once, and changed in any octet it is none. The lines are a method, a path,
/// a nonce and a token; the rest changes the proof, and is signed itself.
pub fn proof_made(data: &[u8]) {
    let (method, rest) = halves(data);
    let (path, rest) = halves(rest);
    let (nonce, rest) = halves(rest);
    let (token, edits) = halves(rest);
    let method = Method::from_bytes(method).unwrap_or(Method::POST);
    let Ok(mut url) = Url::parse("https://pds.example/xrpc/").unwrap().join(&String::from_utf8_lossy(path))
    else {
        return;
    };
    let _without_user = (url.set_username(""), url.set_password(None));
    let Ok(target) = TargetUri::from_url(&url) else { return };
    let (nonce, token) = (text(nonce).unwrap_or_default(), text(token).unwrap_or_default());
    if url.as_str().len() > 2048 || nonce.len() + method.as_str().len() > 512 {
        return; // more than one header field holds
    }
    let entropy = [5; 16];
    let proof = Proof::new(&method, &url, entropy, NOW).with_nonce(nonce).with_access_token(token);
    let made = KEY.prove(&proof).unwrap();
    let expected = Expected::new(&method, &target).with_access_token(token).with_thumbprint(KEY.thumbprint());
    let read = expected.read(&made, &P256Verifier, NOW).unwrap();
    assert_eq!((read.jti(), read.iat()), (&*base64url::encode(entropy), NOW));
    assert_eq!(read.thumbprint(), KEY.thumbprint());
    let payload = Compact::parse(&made, made.len()).unwrap().payload().to_vec();
    let payload: serde_json::Value = serde_json::from_slice(&payload).unwrap();
    assert_eq!((payload["nonce"].as_str(), payload["htm"].as_str()), (Some(nonce), Some(method.as_str())));

    let mut window = ReplayWindow::new(2);
    assert_eq!(window.remember(read.replay_key(), read.expires(), NOW), Remembered::Fresh);
    assert_eq!(window.remember(read.replay_key(), read.expires(), NOW), Remembered::Seen);

    let late = UnixTime::from_secs(read.expires().as_secs() + 1);
    assert_eq!(expected.read(&made, &P256Verifier, late), Err(InvalidProof::TooOld));
    let early = NOW.before(Duration::from_secs(11));
    assert_eq!(expected.read(&made, &P256Verifier, early), Err(InvalidProof::FromTheFuture));
    let other_token = expected.clone().with_access_token(&format!("{token}x"));
    assert_eq!(other_token.read(&made, &P256Verifier, NOW), Err(InvalidProof::OtherToken));
    let changed = edited(made.as_bytes(), edits);
    if let Some(changed) = text(&changed).filter(|changed| **changed != *made) {
        assert!(expected.read(changed, &P256Verifier, NOW).is_err(), "{changed} is accepted like {made}");
    }
    signs_and_verifies(edits, nonce);
}

fn signs_and_verifies(payload: &[u8], kid: &str) {
    if payload.len() > 4096 {
        return;
    }
    let header =
        ProtectedHeader::new(&**SIGNER).with_kid(kid).with_typ(kid).with_jwk(SIGNER.public_key()).encode();
    let signed = header.sign(payload, &**SIGNER).unwrap();
    let jws = Compact::parse(&signed, Compact::MAX_LENGTH).unwrap();
    assert_eq!((jws.payload(), jws.header().kid(), jws.header().typ()), (payload, Some(kid), Some(kid)));
    assert_eq!(jws.header().jwk(), Some(SIGNER.public_key()));
    assert_eq!(jws.verify(&AwsLcVerifier, SIGNER.public_key(), &[Algorithm::Es256]), Ok(()));
}

/// An address has one normal form, whose normal form is itself, and which every reader takes to the same host.
pub fn target_uri(data: &[u8]) {
    let Some(text) = text(data) else { return };
    let target = match TargetUri::parse(text) {
        Ok(target) => target,
        Err(error) => return is_one_line(&error),
    };
    assert_eq!(target.is(text), Ok(true));
    assert!(!target.as_str().contains(['?', '#']));
    let (ours, theirs) = (Url::parse(target.as_str()).unwrap(), Url::parse(text).unwrap());
    assert_eq!(ours.origin(), theirs.origin());
    // Escapes make a text longer, and a text that is too long is refused before it is looked at.
    if target.as_str().len() <= TargetUri::MAX_LENGTH {
        assert_eq!(TargetUri::parse(target.as_str()).as_ref(), Ok(&target), "of {text:?}");
    }
    assert_eq!(TargetUri::from_url(&theirs).as_ref(), Ok(&target));
}
