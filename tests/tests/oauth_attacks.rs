//! The table of attacks, row by row against the pure crate and in one go against the running program; and the rows that need a clock,
//! a broken store or another setting.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use vestibule_dpop::{JwkSet, TargetUri};
use vestibule_tests::oauth::attacks::{self, Seen};
use vestibule_tests::oauth::{ALICE, Ask, At, Ground, Key, Lab, Live, Reply, VERIFIER, jwt, roster};
use vestibule_tests::{Peers, block_on, own_loopback};
use vestibule_token_endpoint::{
    ClientRequest, ClientState, EndReason, EventKind, Pkce, Profile, RedirectUriAtToken, TokenRequest,
};

/// The steps that came out otherwise than they are wanted.
fn failures(name: &str, seen: &Seen) -> Vec<String> {
    let wrong = seen.steps().iter().filter(|step| step.wanted != step.came);
    wrong.map(|step| format!("{name}: {}: {} and not {}", step.what, step.came, step.wanted)).collect()
}

/// A test of this name for the row of the table with the same name.
macro_rules! rows {
    ($($name:ident)*) => {
        $(#[test]
        fn $name() {
            let row = attacks::all().into_iter().find(|row| row.name == stringify!($name)).expect("a row of this name");
            let seen = block_on(row.run(&Lab::new()));
            assert!(!seen.steps().is_empty());
            let wrong = failures(row.name, &seen);
            assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
        })*

        #[test]
        fn every_row_has_its_test() {
            let rows: Vec<&str> = attacks::all().iter().map(|row| row.name).collect();
            assert_eq!(rows, [$(stringify!($name)),*]);
        }
    };
}

rows! {
    a1_other_methods
    a2_json
    a3_multipart
    a4_another_charset
    a5_no_media_type
    a6_a_body_too_large
    a7_ten_thousand_pairs
    a8_broken_escapes
    a9_broken_utf8
    a10_control_characters
    a11_a_secret_in_the_url
    a12_a_parameter_twice
    a13_names_of_other_languages
    a14_an_empty_grant_type
    a15_two_grant_types_in_one
    a16_a_grant_type_spelt_otherwise
    a17_unknown_parameters
    a18_two_authorization_fields
    a19_basic_and_a_secret_in_the_body
    a20_basic_and_another_client_in_the_body
    a21_basic_and_an_assertion
    a22_another_scheme
    a23_basic_that_is_none
    a24_a_secret_of_all_characters
    a25_an_empty_secret
    a26_a_wrong_secret
    a27_an_unknown_client
    a28_a_public_client_with_a_secret
    a29_a_method_it_is_not_registered_for
    a31_no_algorithm
    a32_a_public_key_as_a_secret
    a33_a_key_of_the_attacker
    a34_something_critical
    a35_an_assertion_for_somebody_else
    a36_another_time
    a37_another_subject
    a38_an_assertion_twice
    a39_a_long_jti_and_somebody_elses
    a40_a_signed_text_that_is_none
    a41_a_signature_that_is_none
    a43_a_code_that_is_none
    a44_another_clients_code
    a45_a_replay_that_is_valid
    a46_a_replay_that_is_not
    a47_a_hundred_at_once
    a48_no_verifier
    a50_a_verifier_that_is_none
    a51_a_verifier_without_a_challenge
    a52_the_challenge_as_verifier
    a53_another_redirect_uri
    a54_no_redirect_uri
    a55_one_thing_for_another
    a56_a_wider_scope
    a59_again_because_the_answer_was_lost
    a60_twenty_at_once
    a61_another_clients_token
    a62_another_key
    a63_a_wider_scope
    a66_a_client_that_may_not_refresh
    a67_two_proofs
    a68_a_header_that_is_none
    a69_another_request
    a70_another_time
    a71_another_nonce
    a72_a_proof_twice
    a74_a_code_for_a_key
    a75_another_host_in_the_headers
    a73_the_clients_own_key
    a76_a_public_client_for_itself
    a77_a_password
    a78_a_device_that_asks_too_often
    a79_a_resource_that_is_none
    a80_an_exchange_that_is_none
    t43_an_assertion_as_a_grant
    a81_introspection_of_what_is_not_ones_own
    a82_revocation_of_what_is_not_ones_own
    a83_revocation_with_a_wrong_hint
    a84_text_for_the_error_page
}

#[tokio::test]
async fn every_row_holds_over_http() {
    let live = Live::start(Peers::shared().await).await;
    let mut wrong = Vec::new();
    for row in attacks::all() {
        // An address of its own for each: failures are counted by address.
        live.send_from(own_loopback());
        wrong.extend(failures(row.name, &row.run(&live).await));
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// Does this at a laboratory of its own.
fn in_lab(test: impl AsyncFnOnce(&Lab, &dyn Ground)) {
    let lab = Lab::new();
    block_on(test(&lab, &lab));
}

const HOUR: Duration = Duration::from_secs(3600);

#[tokio::test]
async fn a30_a_password_spray() {
    let live = Live::start(Peers::shared().await).await;
    let at: &dyn Ground = &live;
    live.send_from(own_loopback());
    let wrong = |secret: &str| {
        Ask::post(at.url(At::Token)).field("grant_type", "client_credentials").basic("spray", secret)
    };
    let replies = at.send_at_once((0..200).map(|n| wrong(&format!("guess-{n}"))).collect()).await;
    let refused = replies.iter().filter(|reply| reply.said() == "401 invalid_client").count();
    let slowed: Vec<_> = replies.iter().filter(|reply| reply.said() == "429 rate_limited").collect();
    assert_eq!(refused + slowed.len(), 200);
    assert!((60..90).contains(&refused), "{refused}");
    for reply in slowed {
        let after: u64 = reply.header("retry-after").unwrap().parse().unwrap();
        assert!((1..=60).contains(&after), "{after}");
    }
    // The client itself is not kept out, from here or from anywhere.
    let code = at.code("spray").await;
    assert_eq!(at.send(at.redeem("spray", &code)).await.said(), "200");
    live.send_from(own_loopback());
    let code = at.code("spray").await;
    assert_eq!(at.send(at.redeem("spray", &code)).await.said(), "200");
}

#[test]
fn a42_keys_that_are_none_are_not_registered() {
    let set = |key: Value| JwkSet::parse(json!({ "keys": [key] }).to_string());
    let modulus = |octets: usize| {
        vestibule_oauth_core::base64url::encode([vec![0xff], vec![0x55; octets - 1]].concat())
    };
    assert!(set(json!({ "kty": "RSA", "n": modulus(256), "e": "AQAB" })).is_ok());
    for (what, key) in [
        ("e = 1", json!({ "kty": "RSA", "n": modulus(256), "e": "AQ" })),
        ("512 bits", json!({ "kty": "RSA", "n": modulus(64), "e": "AQAB" })),
        ("off the curve", json!({ "kty": "EC", "crv": "P-256", "x": modulus(32), "y": modulus(32) })),
    ] {
        let usable = set(key).is_ok_and(|set| !set.entries().is_empty());
        assert!(!usable, "{what}");
    }
    let many: Vec<Value> = (0..5000)
        .map(|n| {
            let mut jwk = Key(1).jwk();
            jwk["kid"] = json!(n.to_string());
            jwk
        })
        .collect();
    let started = Instant::now();
    assert!(JwkSet::parse(json!({ "keys": many }).to_string()).is_err());
    assert!(started.elapsed() < Duration::from_secs(5));
    // An assertion that names no key costs a few tries and not one for each key.
    in_lab(async |lab, at| {
        let keys: Vec<Value> = (100..120).map(|n| Key(n).jwk()).collect();
        lab.change("signed", |client| {
            client.keys = JwkSet::parse(json!({ "keys": keys }).to_string()).unwrap()
        });
        let claims = json!({ "iss": "signed", "sub": "signed", "aud": at.issuer(), "jti": "a", "exp": at.now().as_secs() + 60 });
        let ask = Ask::post(at.url(At::Token)).field("grant_type", "client_credentials");
        let by = |key: Key| at.asserting(ask.clone(), &jwt(&json!({ "alg": "ES256" }), &claims, key));
        assert_eq!(at.send(by(Key(119))).await.said(), "400 invalid_client");
        assert_eq!(at.send(by(Key(100))).await.said(), "200");
    });
}

#[test]
fn a43_an_expired_code() {
    in_lab(async |lab, at| {
        let (early, late) = (at.code("web").await, at.code("web").await);
        lab.later(Duration::from_secs(59));
        assert_eq!(at.send(at.redeem("web", &early)).await.said(), "200");
        lab.later(Duration::from_secs(1));
        assert_eq!(at.send(at.redeem("web", &late)).await.said(), "400 invalid_grant");
    });
}

#[tokio::test]
async fn a49_a_thousand_wrong_verifiers() {
    // The crate refuses each and burns nothing.
    let lab = Lab::new();
    let at: &dyn Ground = &lab;
    let code = at.code("guess").await;
    for n in 0..1000 {
        let wrong = at.redeem("guess", &code).with("code_verifier", &format!("{n:043}"));
        assert_eq!(at.send(wrong).await.said(), "400 invalid_grant");
    }
    assert_eq!(at.send(at.redeem("guess", &code)).await.said(), "200");

    // The server slows whoever does it.
    let live = Live::start(Peers::shared().await).await;
    let at: &dyn Ground = &live;
    live.send_from(own_loopback());
    let code = at.code("guess").await;
    let mut slowed = 0;
    for n in 0..1000 {
        let wrong = at.redeem("guess", &code).with("code_verifier", &format!("{n:043}"));
        match at.send(wrong).await.said().as_str() {
            "400 invalid_grant" => {}
            "429 rate_limited" => slowed += 1,
            other => panic!("{other}"),
        }
    }
    assert!(slowed > 800, "{slowed}");
    assert_eq!(at.send(at.redeem("guess", &code)).await.said(), "200");
}

#[test]
fn a51_a_code_without_a_challenge_of_a_client_that_must() {
    in_lab(async |lab, at| {
        let code = at.code_with("exempt", &[("code_challenge", ""), ("code_challenge_method", "")]).await;
        lab.change("exempt", |client| client.pkce = Pkce::Required);
        let ask = at.redeem("exempt", &code).without("code_verifier");
        assert_eq!(at.send(ask.clone()).await.said(), "400 invalid_grant");
        lab.change("exempt", |client| client.pkce = Pkce::DangerExempt);
        lab.events();
        assert_eq!(at.send(ask).await.said(), "200");
        assert!(lab.events().iter().any(|event| event.kind == EventKind::PkceExemptionUsed));
    });
}

#[test]
fn a54_no_redirect_uri_of_a_client_of_oauth_2_0() {
    in_lab(async |lab, at| {
        lab.change("web", |client| client.redirect_uri_at_token = RedirectUriAtToken::Required);
        let code = at.code("web").await;
        let ask = at.redeem("web", &code);
        assert_eq!(at.send(ask.clone().without("redirect_uri")).await.said(), "400 invalid_request");
        assert_eq!(at.send(ask).await.said(), "200");
        // RFC 6749, section 4.1.3: only if the authorization request had one.
        let code = at.code_with("web", &[("redirect_uri", "")]).await;
        assert_eq!(at.send(at.redeem("web", &code).without("redirect_uri")).await.said(), "200");
    });
}

#[test]
fn a57_a_code_whose_client_or_person_is_gone() {
    in_lab(async |lab, at| {
        let code = at.code("web").await;
        lab.change("web", |client| client.state = ClientState::Disabled);
        assert_eq!(at.send(at.redeem("web", &code)).await.said(), "401 invalid_client");
        lab.change("web", |client| client.state = ClientState::Enabled);
        // The person ends everything between the code and its redemption.
        lab.ports().store.end_grants_of(ALICE, EndReason::ByPerson, at.now()).await.unwrap();
        assert_eq!(at.send(at.redeem("web", &code)).await.said(), "400 invalid_grant");
        let tokens = at.tokens("web").await;
        lab.ports().store.end_grants_of(ALICE, EndReason::ByPerson, at.now()).await.unwrap();
        assert_eq!(at.send(at.refresh("web", &tokens.refresh)).await.said(), "400 invalid_grant");
        assert!(!at.is_active("web", &tokens.access).await);
    });
}

#[test]
fn a58_a_rotated_token_again_after_the_window() {
    in_lab(async |lab, at| {
        let tokens = at.tokens("web").await;
        let first = at.send(at.refresh("web", &tokens.refresh)).await;
        lab.later(Duration::from_secs(59));
        assert_eq!(at.send(at.refresh("web", &tokens.refresh)).await.said(), "200");
        lab.later(Duration::from_secs(1));
        lab.events();
        assert_eq!(at.send(at.refresh("web", &tokens.refresh)).await.said(), "400 invalid_grant");
        let told: Vec<String> = lab.events().iter().map(|event| event.kind.to_string()).collect();
        assert!(told.iter().any(|line| line.contains("grant ended")), "{told:?}");
        assert_eq!(at.send(at.refresh("web", first.text("refresh_token"))).await.said(), "400 invalid_grant");
        assert!(!at.is_active("web", first.text("access_token")).await);
    });
}

#[test]
fn a64_a_refresh_token_that_has_ended() {
    in_lab(async |lab, at| {
        // Idle: 1,000 seconds for this client.
        let idle = at.tokens("short").await;
        lab.later(Duration::from_secs(1000));
        assert_eq!(at.send(at.refresh("short", &idle.refresh)).await.said(), "400 invalid_grant");
        // In all: 3,000 seconds, however often it is used.
        let mut token = at.tokens("short").await.refresh;
        for _ in 0..3 {
            lab.later(Duration::from_secs(900));
            token = at.send(at.refresh("short", &token)).await.text("refresh_token").to_owned();
        }
        lab.later(Duration::from_secs(299));
        let last = at.send(at.refresh("short", &token)).await;
        // What is issued at the end lasts no longer than the grant.
        assert_eq!(last.json["expires_in"], 1);
        lab.later(Duration::from_secs(1));
        assert_eq!(
            at.send(at.refresh("short", last.text("refresh_token"))).await.said(),
            "400 invalid_grant"
        );
    });
}

#[test]
fn a65_a_store_that_goes_down_at_any_moment() {
    in_lab(async |lab, at| {
        // Whichever act fails, the answer says so, and what the client holds is as good as before.
        for acts in 0..8 {
            let code = at.code("web").await;
            lab.fail_after(acts);
            let reply = at.send(at.redeem("web", &code)).await;
            lab.mend();
            let tokens = match reply.said().as_str() {
                "200" => reply,
                "503 temporarily_unavailable" => at.send(at.redeem("web", &code)).await,
                other => panic!("after {acts} acts: {other}"),
            };
            assert_eq!(tokens.said(), "200", "after {acts} acts");
            lab.fail_after(acts);
            let reply = at.send(at.refresh("web", tokens.text("refresh_token"))).await;
            lab.mend();
            let again = match reply.said().as_str() {
                "200" => reply,
                "503 temporarily_unavailable" => {
                    at.send(at.refresh("web", tokens.text("refresh_token"))).await
                }
                other => panic!("after {acts} acts: {other}"),
            };
            assert_eq!(
                at.send(at.refresh("web", again.text("refresh_token"))).await.said(),
                "200",
                "after {acts} acts"
            );
        }
        // A token that could not be revoked is not said to be.
        let tokens = at.tokens("web").await;
        lab.fail_after(1);
        let revoke = at.by("web", At::Revoke).field("token", &tokens.refresh);
        assert_eq!(at.send(revoke).await.said(), "503 temporarily_unavailable");
        lab.mend();
        assert!(at.is_active("web", &tokens.access).await);
    });
}

#[test]
fn a69_the_default_port_and_dot_segments() {
    in_lab(async |_, at| {
        let nonce = json!(at.nonce().await);
        let ask = at.by("machine", At::Token).field("grant_type", "client_credentials");
        for (htu, said) in [
            ("https://as.test:443/oauth2/token", "200"),
            ("HTTPS://AS.test/oauth2/token", "200"),
            ("https://as.test/oauth2/../oauth2/token", "400 invalid_dpop_proof"),
            ("https://as.test/./oauth2/token", "400 invalid_dpop_proof"),
            ("https://as.test:8443/oauth2/token", "400 invalid_dpop_proof"),
            ("https://as.test@evil.test/oauth2/token", "400 invalid_dpop_proof"),
            ("https://evil@as.test/oauth2/token", "400 invalid_dpop_proof"),
        ] {
            let proof = at.odd_proof(&[], &[("nonce", nonce.clone()), ("htu", json!(htu))], Key(1));
            assert_eq!(at.send(ask.clone().header("dpop", &proof)).await.said(), said, "{htu}");
        }
    });
}

#[test]
fn a70_without_any_nonce_to_be_had_the_time_is_looked_at() {
    // A profile that asks for no nonce: then iat is all there is.
    let lab = Lab::of(Profile::LEGACY20);
    let at: &dyn Ground = &lab;
    block_on(async {
        let ask = at.by("machine", At::Token).field("grant_type", "client_credentials");
        let now = at.now().as_secs();
        for (iat, said) in [
            (now - 3600, "400 invalid_dpop_proof"),
            (now + 3600, "400 invalid_dpop_proof"),
            (now - 61, "400 invalid_dpop_proof"),
            (now + 11, "400 invalid_dpop_proof"),
            (now - 59, "200"),
            (now + 9, "200"),
        ] {
            let proof = at.odd_proof(&[], &[("iat", json!(iat))], Key(1));
            assert_eq!(
                at.send(ask.clone().header("dpop", &proof)).await.said(),
                said,
                "{}",
                iat.cast_signed() - now.cast_signed()
            );
        }
    });
}

#[test]
fn a73_the_clients_own_key_in_the_at_protocol() {
    let lab = Lab::of(Profile::ATPROTO);
    let at: &dyn Ground = &lab;
    block_on(async {
        let ask = at.by("signed", At::Token).field("grant_type", "client_credentials");
        let reply = at.send(at.proven(ask.clone(), roster::SIGNED_KEY).await).await;
        assert_eq!(reply.said(), "400 invalid_request");
        let ask = at.by("signed", At::Token).field("grant_type", "client_credentials");
        assert_eq!(at.send(at.proven(ask, Key(1)).await).await.said(), "200");
    });
}

#[test]
fn a78_a_device_waits_as_long_as_it_is_told() {
    const GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";
    in_lab(async |lab, at| {
        let begin = || at.by("tv", At::Device).field("scope", "read");
        let poll = |begun: &Reply| {
            at.by("tv", At::Token)
                .fields(&[("grant_type", GRANT), ("device_code", begun.text("device_code"))])
        };
        let begun = at.send(begin()).await;
        assert_eq!(begun.json["interval"], 5);
        assert_eq!(at.send(poll(&begun)).await.said(), "400 authorization_pending");
        assert_eq!(at.send(poll(&begun)).await.said(), "400 slow_down");
        // Five seconds more from now on: ten.
        lab.later(Duration::from_secs(6));
        assert_eq!(at.send(poll(&begun)).await.said(), "400 slow_down");
        // Fifteen.
        lab.later(Duration::from_secs(15));
        assert_eq!(at.send(poll(&begun)).await.said(), "400 authorization_pending");
        lab.decide_device(begun.text("user_code"), true).await.unwrap();
        assert!(lab.decide_device(begun.text("user_code"), false).await.is_err());
        lab.later(Duration::from_secs(15));
        let replies = at.send_at_once(vec![poll(&begun); 10]).await;
        assert_eq!(replies.iter().filter(|reply| reply.status == 200).count(), 1, "{replies:?}");
        assert!(replies.iter().all(|reply| reply.status == 200 || reply.status == 400));

        let begun = at.send(begin()).await;
        lab.decide_device(begun.text("user_code"), false).await.unwrap();
        assert_eq!(at.send(poll(&begun)).await.said(), "400 access_denied");
        let begun = at.send(begin()).await;
        lab.later(Duration::from_secs(begun.json["expires_in"].as_u64().unwrap()));
        assert_eq!(at.send(poll(&begun)).await.said(), "400 expired_token");
    });
}

#[test]
fn a85_a_clock_that_jumps() {
    in_lab(async |lab, at| {
        let (code, tokens) = (at.code("web").await, at.tokens("web").await);
        lab.earlier(HOUR);
        // A code of the future is one that another node has issued, whose clock is ahead.
        assert_eq!(at.send(at.redeem("web", &code)).await.said(), "200");
        let first = at.send(at.refresh("web", &tokens.refresh)).await;
        assert_eq!(first.said(), "200");
        let proof =
            at.proven(at.by("machine", At::Token).field("grant_type", "client_credentials"), Key(1)).await;
        assert_eq!(at.send(proof.clone()).await.said(), "200");
        lab.later(HOUR);
        // Nothing that was used is fresh again, and nothing that has ended begins again.
        assert_ne!(at.send(proof).await.said(), "200");
        assert_eq!(at.send(at.redeem("web", &code)).await.said(), "400 invalid_grant");
        assert_eq!(at.send(at.refresh("web", first.text("refresh_token"))).await.said(), "200");
        // To 1970 and back: an assertion from then is not for now.
        lab.earlier(Duration::from_secs(at.now().as_secs()));
        let reply = at.send(at.by("signed", At::Token).field("grant_type", "client_credentials")).await;
        assert_eq!(reply.said(), "200");
        lab.later(Duration::from_secs(u32::MAX.into()));
        assert_eq!(
            at.send(at.by("signed", At::Token).field("grant_type", "client_credentials")).await.said(),
            "200"
        );
    });
}

#[test]
fn a86_nothing_that_is_shown_holds_a_secret() {
    in_lab(async |lab, at| {
        let code = at.code("web").await;
        let reply = at.send(at.proven(at.redeem("web", &code), Key(1)).await).await;
        let (access, refresh) = (reply.text("access_token"), reply.text("refresh_token"));
        let assertion = at.assertion("signed", &[], roster::SIGNED_KEY);
        let secrets = [&*code, access, refresh, VERIFIER, &roster::secret("web"), &assertion];
        let ask = at.refresh("web", refresh);
        at.send(ask.clone().with("refresh_token", access)).await;
        at.send(at.redeem("web", &code)).await;
        let asserting =
            at.asserting(Ask::post(at.url(At::Token)).field("grant_type", "client_credentials"), &assertion);
        at.send(asserting.clone()).await;
        at.send(asserting.clone()).await;

        let mut shown: Vec<String> =
            lab.events().iter().map(|event| format!("{event:?} {}", event.kind)).collect();
        for request in [ask.into_request(), at.redeem("web", &code).into_request(), asserting.into_request()]
        {
            let parsed = ClientRequest::parse(&request).unwrap();
            shown.push(format!("{parsed:?}"));
            let client = lab.ports().clients.client(parsed.client_id()).await.unwrap();
            shown.push(format!("{client:?}"));
            let target = TargetUri::from_url(&at.url(At::Token).parse().unwrap()).unwrap();
            let caller = parsed.authenticate(client.as_ref(), lab.endpoint(), &target, at.now());
            shown.push(format!("{caller:?}"));
            shown.push(format!("{:?}", TokenRequest::read(&parsed, lab.endpoint())));
        }
        shown.push(format!("{:?} {:?}", lab.endpoint(), lab.endpoint().keys()));
        for text in shown {
            for secret in secrets {
                assert!(!text.contains(secret), "{text}");
            }
        }
    });
}

#[test]
fn every_attack_has_its_number() {
    let source = include_str!("oauth_attacks.rs");
    for number in 1..=86 {
        let here = source.contains(&format!("fn a{number}_"));
        let row = attacks::all().iter().any(|row| row.number() == format!("A{number}"));
        assert!(here || row, "A{number}");
    }
}
