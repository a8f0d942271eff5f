//! What the public conformance plans try, told again: the FAPI 2.0 security profile and its message signing, and the OAuth 2.0 and
//! OpenID Connect basic plans, as far as they are about a token endpoint. Each test is named after the module it does the work of.

use std::time::Duration;

use serde_json::{Value, json};
use vestibule_tests::block_on;
use vestibule_tests::oauth::roster::{SIGNED_KEY, SIGNED_TOO_KEY};
use vestibule_tests::oauth::{Ask, At, Ground, Key, Lab, Reply};
use vestibule_token_endpoint::Profile;

/// The proof key of the client under test.
const KEY: Key = Key(1);

/// A server that runs FAPI 2.0.
fn fapi(test: impl AsyncFnOnce(&Lab, &dyn Ground)) {
    let lab = Lab::of(Profile::FAPI2);
    block_on(test(&lab, &lab));
}

/// What the client pushes, with these parameters in the place of others.
fn pushing(at: &dyn Ground, changes: &[(&str, &str)]) -> Ask {
    let mut parameters = at.parameters("signed");
    parameters.retain(|(name, _)| name != "client_id" && changes.iter().all(|(change, _)| change != name));
    let ask = parameters.iter().fold(at.by("signed", At::Par), |ask, (name, value)| ask.field(name, value));
    ask.fields(&changes.iter().copied().filter(|(_, value)| !value.is_empty()).collect::<Vec<_>>())
}

async fn with_proof(at: &dyn Ground, to: At, ask: Ask, key: Key) -> Ask {
    let nonce = at.nonce().await;
    ask.header("dpop", &at.proof(to, key, Some(&nonce)))
}

/// A code of the client, bound to [`KEY`] by the proof of the push.
async fn code(at: &dyn Ground) -> String {
    code_with(at, &[]).await
}

async fn code_with(at: &dyn Ground, changes: &[(&str, &str)]) -> String {
    let pushed = at.send(with_proof(at, At::Par, pushing(at, changes), KEY).await).await;
    assert_eq!(pushed.said(), "201", "{}", pushed.json);
    let query = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("client_id", "signed")
        .append_pair("request_uri", pushed.text("request_uri"))
        .finish();
    at.authorize(query).await.value("code").unwrap()
}

async fn redeem(at: &dyn Ground, code: &str) -> Reply {
    at.send(with_proof(at, At::Token, at.redeem("signed", code), KEY).await).await
}

#[test]
fn attempt_reuse_authorization_code_after_one_second() {
    fapi(async |lab, at| {
        let code = code(at).await;
        let first = redeem(at, &code).await;
        assert_eq!(first.said(), "200", "{}", first.json);
        lab.later(Duration::from_secs(1));
        assert_eq!(redeem(at, &code).await.said(), "400 invalid_grant");
        // "The access token should have been revoked": ours is, for whoever asks us.
        let facts = at.introspect("signed", first.text("access_token")).await;
        assert_eq!(facts.json["active"], false, "{}", facts.json);
    });
}

#[test]
fn authorization_code_expires_within_sixty_seconds() {
    fapi(async |lab, at| {
        let code = code(at).await;
        lab.later(Duration::from_secs(60));
        assert_eq!(redeem(at, &code).await.said(), "400 invalid_grant");
    });
}

#[test]
fn ensure_authorization_code_is_bound_to_client() {
    fapi(async |_, at| {
        let code = code(at).await;
        let other = Ask::post(at.url(At::Token)).fields(&[
            ("grant_type", "authorization_code"),
            ("code", &code),
            ("redirect_uri", &vestibule_tests::oauth::roster::redirect_uri("signed")),
            ("code_verifier", vestibule_tests::oauth::VERIFIER),
        ]);
        let other = at.with_assertion(other, "signed-too", SIGNED_TOO_KEY);
        let reply = at.send(with_proof(at, At::Token, other, KEY).await).await;
        assert_eq!(reply.said(), "400 invalid_grant");
        assert_eq!(redeem(at, &code).await.said(), "200");
    });
}

#[test]
fn ensure_holder_of_key_required() {
    fapi(async |_, at| {
        let code = code_with(at, &[]).await;
        let reply = at.send(at.redeem("signed", &code)).await;
        assert!(
            ["400 invalid_grant", "400 invalid_dpop_proof"].contains(&reply.said().as_str()),
            "{}",
            reply.said()
        );
    });
}

#[test]
fn ensure_mismatched_dpop_jkt_fails() {
    fapi(async |_, at| {
        let named = Key(2).proof_key().thumbprint().to_string();
        let reply = at.send(with_proof(at, At::Par, pushing(at, &[("dpop_jkt", &named)]), KEY).await).await;
        assert_eq!(reply.said(), "400 invalid_grant");
        let code = code(at).await;
        let reply = at.send(with_proof(at, At::Token, at.redeem("signed", &code), Key(2)).await).await;
        assert_eq!(reply.said(), "400 invalid_grant");
        assert_eq!(redeem(at, &code).await.said(), "200");
    });
}

#[test]
fn ensure_authorization_code_binding_with_dpop_jkt_alone() {
    fapi(async |_, at| {
        let jkt = KEY.proof_key().thumbprint().to_string();
        let code = code_with(at, &[("dpop_jkt", &jkt)]).await;
        assert_eq!(redeem(at, &code).await.said(), "200");
    });
}

#[test]
fn dpop_negative_tests() {
    fapi(async |_, at| {
        let code = code(at).await;
        let nonce = json!(at.nonce().await);
        let private = {
            let mut jwk = KEY.jwk();
            jwk["d"] = json!("AQAB");
            jwk
        };
        for (what, header, claims) in [
            ("no jti", vec![], vec![("jti", Value::Null)]),
            ("no htm", vec![], vec![("htm", Value::Null)]),
            ("no htu", vec![], vec![("htu", Value::Null)]),
            ("no iat", vec![], vec![("iat", Value::Null)]),
            ("a wrong htm", vec![], vec![("htm", json!("PUT"))]),
            ("a wrong htu", vec![], vec![("htu", json!("https://example.test/token"))]),
            ("a wrong typ", vec![("typ", json!("JWT"))], vec![]),
            ("a private key", vec![("jwk", private)], vec![]),
            ("another key's signature", vec![("jwk", Key(9).jwk())], vec![]),
            ("an algorithm that is not there", vec![("alg", json!("ES999"))], vec![]),
        ] {
            let claims = [vec![("nonce", nonce.clone())], claims].concat();
            let proof = at.odd_proof(&header, &claims, KEY);
            let reply = at.send(at.redeem("signed", &code).header("dpop", &proof)).await;
            assert_eq!(reply.said(), "400 invalid_dpop_proof", "{what}");
        }
        // An hour off, with a nonce: the suite warns of servers that refuse it.
        let early = json!(at.now().as_secs() - 3600);
        let proof = at.odd_proof(&[], &[("nonce", nonce), ("iat", early)], KEY);
        assert_eq!(at.send(at.redeem("signed", &code).header("dpop", &proof)).await.said(), "200");
    });
}

#[test]
fn dpop_proof_replay_is_refused() {
    fapi(async |_, at| {
        let (one, other) = (code(at).await, code(at).await);
        let nonce = at.nonce().await;
        let proof = at.proof(At::Token, KEY, Some(&nonce));
        assert_eq!(at.send(at.redeem("signed", &one).header("dpop", &proof)).await.said(), "200");
        let reply = at.send(at.redeem("signed", &other).header("dpop", &proof)).await;
        assert_eq!(reply.said(), "400 invalid_dpop_proof");
    });
}

#[test]
fn client_assertion_audience_forms() {
    fapi(async |_, at| {
        let issuer = at.issuer();
        for (what, aud, wanted) in [
            ("the issuer", json!(issuer), "201"),
            ("the issuer in a list", json!([issuer]), "400 invalid_client"),
            ("the token endpoint", json!(at.url(At::Token)), "400 invalid_client"),
            ("the endpoint itself", json!(at.url(At::Par)), "400 invalid_client"),
            ("several", json!([issuer, at.url(At::Token), at.url(At::Par)]), "400 invalid_client"),
        ] {
            let assertion = at.assertion("signed", &[("aud", aud)], SIGNED_KEY);
            let ask = at.asserting(pushing(at, &[]), &assertion);
            let reply = at.send(with_proof(at, At::Par, ask, KEY).await).await;
            assert_eq!(reply.said(), wanted, "{what}");
        }
    });
}

#[test]
fn client_assertion_with_times_around_now() {
    fapi(async |_, at| {
        let now = at.now().as_secs();
        for (what, changes, wanted) in [
            ("iat in 10 s", vec![("iat", json!(now + 10))], "201"),
            ("nbf in 10 s", vec![("nbf", json!(now + 10))], "201"),
            ("iat in 61 s", vec![("iat", json!(now + 61))], "400 invalid_client"),
            ("nbf in 61 s", vec![("nbf", json!(now + 61))], "400 invalid_client"),
            ("expired 5 minutes ago", vec![("exp", json!(now - 300))], "400 invalid_client"),
            ("no exp", vec![("exp", Value::Null)], "400 invalid_client"),
            ("another iss", vec![("iss", json!("https://other.test"))], "400 invalid_client"),
            ("another sub", vec![("sub", json!("signed-too"))], "400 invalid_client"),
        ] {
            let assertion = at.assertion("signed", &changes, SIGNED_KEY);
            let ask = at.asserting(pushing(at, &[]), &assertion);
            let reply = at.send(with_proof(at, At::Par, ask, KEY).await).await;
            assert_eq!(reply.said(), wanted, "{what}");
        }
    });
}

#[test]
fn refresh_token_retry_after_thirty_seconds() {
    // The suite refreshes, throws the answer away, waits half a minute, and tries again with the old token.
    let lab = Lab::new();
    let at: &dyn Ground = &lab;
    block_on(async {
        let tokens = at.tokens("web").await;
        let lost = at.send(at.refresh("web", &tokens.refresh)).await;
        assert_eq!(lost.said(), "200");
        lab.later(Duration::from_secs(30));
        let again = at.send(at.refresh("web", &tokens.refresh)).await;
        assert_eq!(again.said(), "200", "{}", again.json);
        assert_eq!(again.json["refresh_token"], lost.json["refresh_token"]);
        let next = at.send(at.refresh("web", again.text("refresh_token"))).await;
        assert_eq!(next.said(), "200");
    });
    fapi(async |lab, at| {
        let tokens = redeem(at, &code(at).await).await;
        let refresh = || at.refresh("signed", tokens.text("refresh_token"));
        assert_eq!(at.send(with_proof(at, At::Token, refresh(), KEY).await).await.said(), "200");
        lab.later(Duration::from_secs(30));
        assert_eq!(at.send(with_proof(at, At::Token, refresh(), KEY).await).await.said(), "200");
    });
}

#[test]
fn pushed_request_rules() {
    fapi(async |_, at| {
        for (what, changes, wanted) in [
            ("no PKCE", &[("code_challenge", ""), ("code_challenge_method", "")][..], "400 invalid_request"),
            ("plain PKCE", &[("code_challenge_method", "plain")], "400 invalid_request"),
            ("a request_uri inside", &[("request_uri", "urn:x")], "400 invalid_request"),
            ("another redirect_uri", &[("redirect_uri", "https://signed.test/other")], "400 invalid_request"),
            (
                "response_type code id_token",
                &[("response_type", "code id_token")],
                "400 unsupported_response_type",
            ),
        ] {
            let reply = at.send(with_proof(at, At::Par, pushing(at, changes), KEY).await).await;
            assert_eq!(reply.said(), wanted, "{what}");
        }
        // Without a push there is no authorization.
        assert_eq!(at.ask_for("signed", &[]).await.said(), "back: invalid_request");
    });
}

#[test]
fn request_uri_is_good_once_and_for_its_client() {
    fapi(async |_, at| {
        let pushed = at.send(with_proof(at, At::Par, pushing(at, &[]), KEY).await).await;
        let query = |id: &str| format!("client_id={id}&request_uri={}", pushed.text("request_uri"));
        assert_eq!(at.authorize(query("signed-too")).await.said(), "page: 400 invalid_request_uri");
        assert_eq!(at.authorize(query("signed")).await.said(), "code");
        assert_eq!(at.authorize(query("signed")).await.said(), "page: 400 invalid_request_uri");
    });
}

#[test]
fn state_and_iss_come_back_whole() {
    let lab = Lab::new();
    let at: &dyn Ground = &lab;
    block_on(async {
        for state in ["x", &"s".repeat(384), "a b&c=d#e%20f+\u{e9}"] {
            let arrived = at.ask_for("web", &[("state", state)]).await;
            assert_eq!(arrived.value("state").as_deref(), Some(state));
            assert_eq!(arrived.value("iss").as_deref(), Some("https://as.test"));
        }
        let arrived = at.ask_for("web", &[("state", "")]).await;
        assert_eq!(arrived.value("state"), None);
        let refused = at.ask_for("web", &[("state", "kept"), ("response_type", "token")]).await;
        assert_eq!(
            (refused.value("state").as_deref(), refused.value("iss").as_deref()),
            (Some("kept"), Some("https://as.test"))
        );
    });
}
