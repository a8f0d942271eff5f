//! The interop vectors of AT Protocol, every one of them. Their origin is in `vectors/atproto-interop/README.md`.

use std::fmt::{Debug, Display};
use std::str::FromStr;

use p256::ecdsa::signature::Verifier;
use p256::ecdsa::{Signature, VerifyingKey};
use serde_json::Value;
use vestibule_atproto_identity::{
    AtIdentifier, AtUri, Curve, DevelopmentNames, Did, DidDocument, DidKey, Handle, InvalidPds, Nsid,
    Permission, PermissionEntry, PermissionSet, Resource, SetAudience,
};
use vestibule_oauth_core::base64url;

/// Includes one vector file.
macro_rules! vector {
    ($path:literal) => {
        include_str!(concat!("../vectors/atproto-interop/", $path))
    };
}

/// The cases of a file: its lines, untrimmed, but for empty ones and comments.
///
/// A case may start with `#` too: a comment has a space after it.
fn cases(file: &str) -> Vec<&str> {
    file.split('\n').filter(|line| !line.is_empty() && !line.starts_with("# ")).collect()
}

/// Every good case reads, and what it prints reads back as the same; every bad one is refused, with a message.
fn syntax<T>(good: (&str, usize), bad: (&str, usize))
where
    T: FromStr + Display + PartialEq + Debug,
    T::Err: Display,
{
    assert_eq!((cases(good.0).len(), cases(bad.0).len()), (good.1, bad.1), "number of cases");
    for case in cases(good.0) {
        let value = case.parse::<T>().unwrap_or_else(|why| panic!("{case:?} is refused: {why}"));
        assert!(value.to_string().eq_ignore_ascii_case(case), "{case:?} prints as {value}");
        assert_eq!(value.to_string().parse::<T>().ok(), Some(value), "{case:?}");
    }
    for case in cases(bad.0) {
        match case.parse::<T>() {
            Ok(value) => panic!("{case:?} is read as {value}"),
            Err(why) => assert!(!why.to_string().is_empty(), "{case:?}"),
        }
    }
}

#[test]
fn r30_handles() {
    syntax::<Handle>(
        (vector!("syntax/handle_syntax_valid.txt"), 71),
        (vector!("syntax/handle_syntax_invalid.txt"), 48),
    );
}

#[test]
fn r42_dids() {
    let good = vector!("syntax/did_syntax_valid.txt");
    syntax::<Did>((good, 24), (vector!("syntax/did_syntax_invalid.txt"), 18));
    for case in cases(good) {
        assert_eq!(case.parse::<Did>().unwrap().as_str(), case, "a DID is kept as received");
    }
}

#[test]
fn at_identifiers() {
    syntax::<AtIdentifier>(
        (vector!("syntax/atidentifier_syntax_valid.txt"), 11),
        (vector!("syntax/atidentifier_syntax_invalid.txt"), 22),
    );
}

#[test]
fn nsids() {
    let good = vector!("syntax/nsid_syntax_valid.txt");
    syntax::<Nsid>((good, 25), (vector!("syntax/nsid_syntax_invalid.txt"), 27));
    for case in cases(good) {
        assert_eq!(case.parse::<Nsid>().unwrap().as_str(), case, "an NSID is kept as received");
    }
}

#[test]
fn at_uris() {
    let good = vector!("syntax/aturi_syntax_valid.txt");
    syntax::<AtUri>((good, 23), (vector!("syntax/aturi_syntax_invalid.txt"), 73));
    for case in cases(good) {
        assert_eq!(case.parse::<AtUri>().unwrap().as_str(), case, "an AT URI is kept as received");
    }
}

#[test]
fn r46_r47_did_documents() {
    let read = |file: &str| {
        let fields: Value = serde_json::from_str(file).unwrap();
        let did: Did = fields["id"].as_str().unwrap().parse().unwrap();
        DidDocument::parse(file.as_bytes(), &did).unwrap()
    };
    let current = read(vector!("did-documents-indigo/did_plc_doc.json"));
    let legacy = read(vector!("did-documents-indigo/did_plc_doc_legacy.json"));
    for document in [&current, &legacy] {
        assert_eq!(document.id().as_str(), "did:plc:ewvi7nxzyoun6zhxrhs64oiz");
        assert_eq!(document.claimed_handle().unwrap().as_str(), "atproto.com");
        assert_eq!(document.pds(DevelopmentNames::Refused).unwrap().as_str(), "https://bsky.social");
    }
    let key = current.signing_key().unwrap();
    assert_eq!(key.kind(), "Multikey");
    let key = DidKey::from_multibase(key.public_key_multibase().unwrap()).unwrap();
    assert_eq!(key.curve(), Curve::K256);
    let key = legacy.signing_key().unwrap();
    assert_eq!(key.kind(), "EcdsaSecp256k1VerificationKey2019");
    assert!(DidKey::from_multibase(key.public_key_multibase().unwrap()).is_err(), "the key has no codec");

    let feed = read(vector!("did-documents-indigo/did_web_doc.json"));
    assert_eq!(feed.claimed_handle(), None);
    assert_eq!(feed.signing_key(), None);
    assert_eq!(feed.pds(DevelopmentNames::Refused), Err(InvalidPds::Missing));
    assert_eq!(feed.services()[0].kind(), "BskyFeedGenerator");
    assert_eq!(feed.services()[0].endpoint(), "https://discover.bsky.social");
}

#[test]
fn r119_permission_set() {
    let set = PermissionSet::parse(vector!("lexicon/permission-set.json").as_bytes()).unwrap();
    assert_eq!(set.id().as_str(), "example.lexicon.permissionset");
    assert_eq!(set.title(None), Some("Example for Moderation"));
    assert_eq!(set.title(Some("fr")), Some("Example for Modération"));
    assert_eq!(set.detail(Some("fr-FR")), Some("Créer des rapports de modération"));
    let read: Vec<String> = set
        .entries()
        .iter()
        .map(|entry| match entry {
            PermissionEntry::Repo { collections, actions, .. } => {
                let collections: Vec<&str> = collections.iter().map(Nsid::as_str).collect();
                let actions: Vec<&str> = actions.iter().map(|action| action.as_str()).collect();
                format!("repo {} {}", collections.join(","), actions.join(","))
            }
            PermissionEntry::Rpc { methods, audience, .. } => {
                let methods: Vec<&str> = methods.iter().map(Nsid::as_str).collect();
                let audience = if *audience == SetAudience::Any { "any" } else { "inherited" };
                format!("rpc {} {audience}", methods.join(","))
            }
            other => panic!("{other:?}"),
        })
        .collect();
    // The sixth of the file, all methods of the inherited audience, is a wildcard, which no set may hold.
    assert_eq!(
        read,
        [
            "repo com.example.calendar.event,com.example.calendar.rsvp delete,create",
            "repo com.example.calendar.event,app.bsky.feed.post create,update,delete",
            "repo com.example.calendar.eventV2 create",
            "rpc com.example.calendar.listEvents any",
            "rpc com.example.calendar.listEvents inherited",
        ]
    );
    // And as none of it is in the group of the set's own name, the set allows nothing.
    let scope = "include:example.lexicon.permissionset?aud=did:web:example.com%23svc";
    let scope: Permission = scope.parse().unwrap();
    let Resource::Include(include) = scope.resource() else { panic!("{scope}") };
    assert_eq!(set.expand(include), Ok(Vec::new()));
}

#[test]
fn signatures_on_p256() {
    let fixtures: Value = serde_json::from_str(vector!("crypto/signature-fixtures.json")).unwrap();
    let fixtures = fixtures.as_array().unwrap();
    assert_eq!(fixtures.len(), 6);
    let mut verified = 0;
    for fixture in fixtures {
        let text = |name: &str| fixture[name].as_str().unwrap();
        let key: DidKey = text("publicKeyDid").parse().unwrap();
        assert_eq!(base58(text("publicKeyMultibase").strip_prefix('z').unwrap()), key.compressed_point());
        if text("algorithm") == "ES256K" {
            assert_eq!(key.curve(), Curve::K256);
            continue;
        }
        assert_eq!((text("algorithm"), key.curve()), ("ES256", Curve::P256));
        let good = verify(&key, &base64(text("messageBase64")), &base64(text("signatureBase64")));
        assert_eq!(good, fixture["validSignature"].as_bool().unwrap(), "{}", text("comment"));
        verified += 1;
    }
    assert_eq!(verified, 3);
}

#[test]
fn public_keys_as_did_key() {
    let p256: Value = serde_json::from_str(vector!("crypto/w3c_didkey_P256.json")).unwrap();
    let p256 = p256.as_array().unwrap();
    assert_eq!(p256.len(), 1);
    for row in p256 {
        let key: DidKey = row["publicDidKey"].as_str().unwrap().parse().unwrap();
        let secret = base58(row["privateKeyBytesBase58"].as_str().unwrap());
        let secret = p256::ecdsa::SigningKey::from_slice(&secret).unwrap();
        assert_eq!(key.curve(), Curve::P256);
        assert_eq!(&compressed(secret.verifying_key()), key.compressed_point());
    }
    let k256: Value = serde_json::from_str(vector!("crypto/w3c_didkey_K256.json")).unwrap();
    let k256 = k256.as_array().unwrap();
    assert_eq!(k256.len(), 5);
    for row in k256 {
        let key: DidKey = row["publicDidKey"].as_str().unwrap().parse().unwrap();
        assert_eq!(key.curve(), Curve::K256);
    }
}

/// A signature as AT Protocol accepts it: 64 octets, and of the two values that `s` could have the lower.
fn verify(key: &DidKey, message: &[u8], signature: &[u8]) -> bool {
    let key = VerifyingKey::from_sec1_bytes(key.compressed_point()).unwrap();
    Signature::from_slice(signature).is_ok_and(|signature| {
        signature == signature.normalize_s() && key.verify(message, &signature).is_ok()
    })
}

fn compressed(key: &VerifyingKey) -> [u8; 33] {
    key.to_sec1_point(true).as_bytes().try_into().unwrap()
}

/// Base64 in the alphabet of the fixtures.
fn base64(text: &str) -> Vec<u8> {
    base64url::decode(text.replace('+', "-").replace('/', "_")).unwrap()
}

/// Base58 of any length, by the long way: the oracle for the reader of keys.
fn base58(text: &str) -> Vec<u8> {
    let alphabet = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
    let mut octets: Vec<u8> = Vec::new();
    for c in text.chars() {
        let mut carry = alphabet.find(c).unwrap();
        for octet in octets.iter_mut().rev() {
            carry += usize::from(*octet) * 58;
            *octet = u8::try_from(carry % 256).unwrap();
            carry /= 256;
        }
        if carry > 0 {
            octets.insert(0, u8::try_from(carry).unwrap());
        }
    }
    octets
}
