//! Octets as text, public keys, and nonces.

use http::{HeaderMap, HeaderValue};
use serde_json::Value;
use url::Url;
use vestibule_dpop::{
    Algorithm, Jwk, JwkEntry, JwkSet, KeyMaterial, NonceIssuer, NonceKeys, NonceMemory, NonceSeen, Thumbprint,
};
use vestibule_oauth_core::{Secret, UnixTime};

use super::material::{is_one_line, survives_json, text};
use crate::fixed::NOW;

/// Octets have one text, and a text is of one value or none.
pub fn base64url(data: &[u8]) {
    use vestibule_oauth_core::base64url::{decode, decode_array, encode, encode_into};

    assert_eq!(decode(encode(data)).as_deref(), Some(data));
    let mut text = String::from("before");
    encode_into(data, &mut text);
    assert_eq!(text.strip_prefix("before"), Some(&*encode(data)));
    let decoded = decode(data);
    if let Some(octets) = &decoded {
        assert_eq!(encode(octets).as_bytes(), data);
    }
    let array = |length: usize| decoded.as_deref().filter(|octets| octets.len() == length);
    assert_eq!(decode_array::<16>(data).as_ref().map(<[u8; 16]>::as_slice), array(16));
    assert_eq!(decode_array::<32>(data).as_ref().map(<[u8; 32]>::as_slice), array(32));
}

/// A key is public, is written in one way, and its thumbprint is of that.
pub fn jwk(data: &[u8]) {
    if let Ok(entry) = JwkEntry::parse(data) {
        assert!(entry.kid().is_none_or(|kid| kid.len() <= 256));
        assert!(entry.algorithm().is_none_or(|algorithm| entry.key().fits(algorithm)));
        let mut json = String::new();
        entry.write_json(&mut json);
        assert_eq!(JwkEntry::parse(&json), Ok(entry.clone()), "{json}");
        assert_eq!(Jwk::parse(&json).as_ref(), Ok(entry.key()));
        assert_eq!(Jwk::parse(data).as_ref(), Ok(entry.key()));
    }
    let key = match Jwk::parse(data) {
        Ok(key) => key,
        Err(error) => return is_one_line(&error),
    };
    // Another reader sees one object, and nothing private in it.
    let value: Value = serde_json::from_slice(data).unwrap();
    let members = value.as_object().unwrap();
    assert!(["d", "p", "q", "dp", "dq", "qi", "oth", "k"].iter().all(|name| !members.contains_key(*name)));
    let mut json = String::new();
    key.write_json(&mut json);
    assert_eq!(Jwk::parse(&json).as_ref(), Ok(&key), "{json}");
    let members: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(members.to_string(), json, "the members are in the order of RFC 7638");
    match key.material() {
        KeyMaterial::P256 { x, y, .. } => {
            assert!(key.fits(Algorithm::Es256) && !key.fits(Algorithm::Rs256));
            assert_eq!(Jwk::p256(*x, *y).as_ref(), Ok(&key));
        }
        KeyMaterial::Rsa { n, e, .. } => {
            assert!(key.fits(Algorithm::Rs256) && key.fits(Algorithm::Ps256) && !key.fits(Algorithm::Es256));
            assert!((256..=1024).contains(&n.len()) && e.len() <= 4);
        }
        _ => panic!("a kind of key that this property does not know"),
    }
    let thumbprint = key.thumbprint();
    assert_eq!(thumbprint.as_str().len(), 43);
    assert_eq!(thumbprint.as_str().parse::<Thumbprint>().as_ref(), Ok(&thumbprint));
    survives_json(&thumbprint);
}

/// A set holds what can be used of it, and is written as it was read.
pub fn jwk_set(data: &[u8]) {
    let set = match JwkSet::parse(data) {
        Ok(set) => set,
        Err(error) => return is_one_line(&error),
    };
    assert!(set.entries().len() <= 64);
    for entry in set.entries() {
        let kid = entry.kid();
        assert!(kid.is_none_or(|kid| set.find(kid).is_some()));
        for algorithm in [Algorithm::Es256, Algorithm::Rs256, Algorithm::Ps256] {
            let fits = set.fitting(kid, algorithm).any(|key| key == entry.key());
            assert!(fits || !entry.fits(algorithm));
            assert!(set.fitting(None, algorithm).all(|key| key.fits(algorithm)));
        }
    }
    let mut json = String::new();
    set.write_json(&mut json);
    if json.len() <= JwkSet::MAX_LENGTH {
        assert_eq!(JwkSet::parse(&json).as_ref(), Ok(&set), "{json}");
    }
}

/// Nonces that servers gave, as they are stored and as they come; and those that are ours to give. The octets are JSON, and
/// a header field, and a nonce.
pub fn nonce_memory(data: &[u8]) {
    let stored = serde_json::from_slice::<NonceMemory>(data);
    if let Ok(memory) = &stored {
        survives_json(memory);
    }
    let mut memory = stored.unwrap_or_default();
    let url = Url::parse("https://as.example/token").unwrap();
    if let Ok(field) = HeaderValue::from_bytes(data) {
        let headers = HeaderMap::from_iter([(http::HeaderName::from_static("dpop-nonce"), field)]);
        for port in 1..=12 {
            let elsewhere = Url::parse(&format!("https://other.example:{port}/")).unwrap();
            memory.observe(&elsewhere, &headers, NOW.after(std::time::Duration::from_secs(port)));
        }
        match memory.observe(&url, &headers, NOW.after(std::time::Duration::from_secs(60))) {
            NonceSeen::Kept => {
                let nonce = memory.nonce_for(&url).unwrap();
                assert_eq!(nonce.as_bytes(), data);
                assert!((1..=256).contains(&nonce.len()) && !nonce.contains(['"', '\\', ' ']));
            }
            NonceSeen::Refused => {}
            NonceSeen::Absent => panic!("the header is there"),
        }
        survives_json(&memory);
        let kept = serde_json::to_value(&memory).unwrap().as_array().unwrap().len();
        assert!(kept <= 8, "{kept}");
    }

    let issuer = NonceIssuer::new(NonceKeys::new(Secret::new([3; 32])));
    let step = std::time::Duration::from_secs(60);
    let ours = [NOW.before(step), NOW, NOW.after(step)].map(|now| issuer.issue(now));
    assert!(ours.iter().all(|nonce| issuer.accepts(nonce, NOW)));
    if let Some(text) = text(data) {
        assert_eq!(issuer.accepts(text, NOW), ours.iter().any(|nonce| nonce == text));
        let _at_the_end_of_time = issuer.accepts(text, UnixTime::from_secs(u64::MAX));
    }
}
