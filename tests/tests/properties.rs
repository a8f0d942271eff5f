//! Each property of [`vestibule_tests::property`], held against its corpus and against what proptest makes of it. The
//! third driver is libFuzzer: `tests/fuzz/README.md` says how.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use http::Method;
use proptest::collection::vec;
use proptest::prelude::{Strategy, any, prop_oneof};
use proptest::sample::Index;
use proptest::test_runner::{Config, RngSeed, TestCaseError, TestRunner};
use url::Url;

use vestibule_atproto_identity::login::SessionRecord;
use vestibule_atproto_identity::{DevelopmentNames, DidDocument, PermissionSet};
use vestibule_dpop::{
    Algorithm, AwsLcVerifier, Compact, DefaultVerifier, Expected, JwkSet, NonceIssuer, NonceKeys,
    NonceMemory, NonceRule, TargetUri,
};
use vestibule_oauth_core::client_metadata::{self, RuleSet};
use vestibule_oauth_core::{ResourceMetadata, Secret, ServerMetadata, Transport};
use vestibule_storage::MasterSecret;
use vestibule_strategy::{IdToken, IdTokenRules, Pushed, TokenAnswer};
use vestibule_tests::oauth::{Ask, At, Ground, Key, Lab, roster, sign};
use vestibule_tests::property::{self, Property};
use vestibule_tests::{NOW, block_on};

/// One test for each driver and property, and the list of those that have tests.
macro_rules! properties {
    ($($name:ident)*) => {
        mod corpus {
            $(#[test] fn $name() { super::replay(stringify!($name), super::property::$name) })*
        }

        mod random {
            $(#[test] fn $name() { super::vary(stringify!($name), super::property::$name) })*
        }

        const TESTED: &[&str] = &[$(stringify!($name)),*];
    };
}

properties! {
    at_uri base64url basic_header callback client_assertion client_metadata cookie_header did did_document error_response
    handle host_header id_token issuer jwk jwk_set jws login_input loopback_client master_secret nonce_memory nsid params permission
    permission_set proof proof_made provenance push_answer redirect_uri resource_metadata return_to route scope sealed
    sealed_cookie server_metadata server_origin session_record target_uri token_answer token_form token_proof token_requests
    txt_answer well_known
}

#[test]
fn each_property_has_its_tests_its_target_and_its_corpus() {
    let names: Vec<&str> = property::ALL.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, TESTED);
    let manifest = fs::read_to_string(fuzz().join("Cargo.toml")).unwrap();
    for name in &names {
        assert!(manifest.contains(&format!("path = \"fuzz_targets/{name}.rs\"")), "no [[bin]] of {name}");
        let target = fs::read_to_string(fuzz().join(format!("fuzz_targets/{name}.rs"))).unwrap();
        assert!(target.contains(&format!("property::{name}(")), "the target {name} drives something else");
        assert!(!corpus(name).is_empty());
    }
    for folder in ["corpus", "fuzz_targets"] {
        for path in listed(&fuzz().join(folder)) {
            let name = path.file_stem().unwrap().to_str().unwrap();
            assert!(names.contains(&name), "{} is of no property", path.display());
        }
    }
}

#[test]
fn the_corpus_is_small_enough_to_be_kept() {
    for (name, _) in property::ALL {
        let files = corpus(name);
        assert!(files.len() <= MAX_FILES, "{name} has {} files", files.len());
        for (path, octets) in files {
            assert!(octets.len() <= MAX_OCTETS, "{} has {} octets", path.display(), octets.len());
        }
    }
}

/// Enough for every rule of a parser, and for what is found.
const MAX_FILES: usize = 64;
/// What is longer tells its reader nothing.
const MAX_OCTETS: usize = 4096;

/// A property of what is accepted says nothing while nothing is.
#[test]
fn the_corpus_holds_what_is_accepted() {
    let file = |name: &str| fs::read(fuzz().join("corpus").join(name)).unwrap();
    let text = |name: &str| String::from_utf8(file(name)).unwrap();
    let answer = |name: &str, kind: &'static str| {
        http::Response::builder().header("content-type", kind).body(file(name).into()).unwrap()
    };
    let json = |name| answer(name, "application/json");

    let target = TargetUri::parse("https://pds.example/xrpc/com.example.method").unwrap();
    let expected = Expected::new(&Method::POST, &target);
    for good in ["good", "token", "exp", "oldest", "newest", "query", "port", "upper", "escaped"] {
        expected.read(&text(&format!("proof/{good}")), &DefaultVerifier, NOW).unwrap();
    }
    let issuer = NonceIssuer::new(NonceKeys::new(Secret::new([3; 32])));
    let demanded = expected.clone().with_nonce(NonceRule::Demanded(&issuer));
    for good in ["nonce", "nonce_last", "nonce_old_clock"] {
        demanded.read(&text(&format!("proof/{good}")), &DefaultVerifier, NOW).unwrap();
    }
    for good in ["es256", "rs256", "ps256", "high_s", "low_s"] {
        let signed = text(&format!("jws/{good}"));
        let jws = Compact::parse(&signed, Compact::MAX_LENGTH).unwrap();
        let algorithms = [Algorithm::Es256, Algorithm::Rs256, Algorithm::Ps256];
        jws.verify(&AwsLcVerifier, jws.header().jwk().unwrap(), &algorithms).unwrap();
    }
    assert_eq!(JwkSet::parse(file("jwk_set/two")).unwrap().entries().len(), 2);

    let metadata =
        ServerMetadata::read(&json("server_metadata/good"), &"https://as.example".parse().unwrap());
    metadata.unwrap().into_atproto().unwrap();
    let pds = Url::parse("https://pds.example").unwrap();
    let resource = ResourceMetadata::read(&json("resource_metadata/good"), &pds, Transport::HttpsOnly);
    resource.unwrap().atproto_issuer().unwrap();
    client_metadata::read(&file("client_metadata/confidential"), None, RuleSet::Atproto).unwrap();
    TokenAnswer::read(&json("token_answer/good")).unwrap();
    Pushed::read(&json("push_answer/odd")).unwrap();

    let did = "did:web:example.com".parse().unwrap();
    let document = DidDocument::parse(&file("did_document/small"), &did).unwrap();
    document.pds(DevelopmentNames::Refused).unwrap();
    assert!(!PermissionSet::parse(&file("permission_set/vector")).unwrap().entries().is_empty());
    SessionRecord::from_octets(&file("session_record/good")).unwrap();
    serde_json::from_slice::<NonceMemory>(&file("nonce_memory/eight")).unwrap();
    MasterSecret::parse(&text("master_secret/two")).unwrap();

    let two = |name: &str| text(name).split_once('\n').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
    let (keys, access_token) = (JwkSet::parse(Key(70).jwks()).unwrap(), Secret::new("at-1".to_owned()));
    let rules = IdTokenRules {
        issuers: &["https://sso.test".to_owned()],
        client_id: "our-app",
        nonce: "n-1",
        access_token: &access_token,
        algorithms: &[Algorithm::Es256],
        now: NOW,
    };
    for good in [
        "good",
        "no_kid",
        "typ",
        "aud_list",
        "aud_two_azp",
        "at_hash",
        "exp_59",
        "iat_60",
        "nbf_60",
        "sub_255",
    ] {
        let (header, claims) = two(&format!("id_token/{good}"));
        IdToken::verify(&sign(&header, &claims, Key(70)), &keys, &AwsLcVerifier, &rules).unwrap();
    }

    let lab = Lab::new();
    let ground: &dyn Ground = &lab;
    let form = || Ask::post(ground.url(At::Token)).field("grant_type", "client_credentials");
    let given = |ask: Ask| assert_eq!(block_on(ground.send(ask)).said(), "200");
    let (_, body) = two("token_form/post");
    given(form().body(body));
    given(form().basic_as_it_stands(&text("basic_header/machine")));
    for good in
        ["good", "no_kid", "no_typ", "draft_typ", "long_typ", "aud_list", "exp_300", "exp_fraction", "iat_10"]
    {
        let (header, claims) = two(&format!("client_assertion/{good}"));
        // Each of them has the same name, and none would be good a second time.
        let claims = claims.replace("\"jti\":\"a\"", &format!("\"jti\":\"{good}\""));
        given(ground.asserting(form(), &sign(&header, &claims, roster::SIGNED_KEY)));
    }
}

fn replay(name: &str, property: Property) {
    for (path, octets) in corpus(name) {
        let held = catch_unwind(AssertUnwindSafe(|| property(&octets)));
        assert!(held.is_ok(), "{name} does not hold for {}", path.display());
    }
}

/// What is done to a file of the corpus.
#[derive(Clone, Debug)]
enum Change {
    Insert(Index, Vec<u8>),
    Remove(Index, usize),
    Replace(Index, u8),
    Repeat(Index, usize),
    Splice(Index, Index),
}

fn vary(name: &str, property: Property) {
    let corpus: Vec<Vec<u8>> = corpus(name).into_iter().map(|(_, octets)| octets).collect();
    // The same cases in every run: what is new is libFuzzer's to find.
    let config =
        Config { cases: 256, failure_persistence: None, rng_seed: RngSeed::Fixed(1), ..Config::default() };
    let change = prop_oneof![
        (any::<Index>(), vec(any::<u8>(), 1..8)).prop_map(|(at, octets)| Change::Insert(at, octets)),
        (any::<Index>(), "[ -~]{1,4}").prop_map(|(at, text)| Change::Insert(at, text.into_bytes())),
        (any::<Index>(), 1..40_usize).prop_map(|(at, length)| Change::Remove(at, length)),
        (any::<Index>(), any::<u8>()).prop_map(|(at, octet)| Change::Replace(at, octet)),
        (any::<Index>(), 1..200_usize).prop_map(|(at, length)| Change::Repeat(at, length)),
        (any::<Index>(), any::<Index>()).prop_map(|(file, at)| Change::Splice(file, at)),
    ];
    let input = (any::<Index>(), vec(change, 0..6)).prop_map(|(file, changes)| {
        changes.iter().fold(file.get(&corpus).clone(), |octets, change| changed(octets, change, &corpus))
    });
    TestRunner::new(config)
        .run(&input, |octets| {
            let held = catch_unwind(AssertUnwindSafe(|| property(&octets)));
            held.map_err(|_| TestCaseError::fail(format!("{:?}", String::from_utf8_lossy(&octets))))
        })
        .unwrap_or_else(|error| panic!("{name} does not hold: {error}"));
}

fn changed(mut octets: Vec<u8>, change: &Change, corpus: &[Vec<u8>]) -> Vec<u8> {
    let place = |at: &Index, octets: &[u8]| at.index(octets.len() + 1);
    match change {
        Change::Insert(at, new) => {
            let at = place(at, &octets);
            octets.splice(at..at, new.iter().copied());
        }
        Change::Remove(at, length) => {
            let at = place(at, &octets);
            octets.drain(at..octets.len().min(at + length));
        }
        Change::Replace(at, octet) => {
            let at = place(at, &octets);
            if let Some(place) = octets.get_mut(at) {
                *place = *octet;
            }
        }
        Change::Repeat(at, length) => {
            let at = place(at, &octets);
            octets.extend_from_within(at..octets.len().min(at + length));
        }
        Change::Splice(file, at) => {
            octets.truncate(place(at, &octets));
            let other = file.get(corpus);
            octets.extend(&other[place(at, other)..]);
        }
    }
    octets
}

fn corpus(name: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let files = listed(&fuzz().join("corpus").join(name));
    assert!(!files.is_empty(), "tests/fuzz/corpus/{name} is empty");
    files.into_iter().map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

/// What is in a folder, in an order that does not depend on the machine.
fn listed(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

fn fuzz() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz")
}
