//! A fake provider is strict where it should be, and strange where it is told to be.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{Response, StatusCode};
use serde_json::{Value, json};
use vestibule_oauth_core::{BoxFuture, HttpCall, HttpClient, HttpError, Secret};

use super::{Login, at, forum, issuer, oauth2, openid, secret, sign_in, sso};
use crate::testing::{Counterpart, Endpoint, FakeProvider, NOW, Quirk, json_answer, text_answer};
use crate::{ClientAuth, FailureKind, OAuth2, OpenId, Strategy};

#[test]
fn s25_a_fake_provider_has_the_quirks_of_real_ones() {
    let mut setup = oauth2(&ClientAuth::Public);
    setup.scope = "read write".parse().unwrap();
    let provider = [
        Quirk::CommaSeparatedScopes,
        Quirk::ExpiresInAsText,
        Quirk::NumericIds,
        Quirk::EmailVerifiedAsText,
        Quirk::ErrorsWithStatus200,
    ]
    .into_iter()
    .fold(forum(&ClientAuth::Public), FakeProvider::with_quirk);
    let auth = sign_in(OAuth2::new(setup.clone()), &provider).unwrap();
    assert_eq!((auth.uid.as_str(), auth.info.email_verified), ("248289761001", Some(true)));
    assert_eq!(auth.credentials.scopes.iter().collect::<Vec<_>>(), ["read", "write"]);
    assert_eq!(auth.credentials.expires_at.unwrap().since(NOW), Duration::from_secs(3600));

    // The same callback again: the code is spent, and the refusal has status 200.
    let login = Login::begun(Arc::new(OAuth2::new(setup)), &provider);
    let query = provider.authorize(&login.to).unwrap();
    login.arrived(&query, &provider).unwrap();
    let failure = login.arrived(&query, &provider).unwrap_err();
    let FailureKind::TokenEndpoint { status: 200, error: Some(error) } = failure.kind() else {
        panic!("{failure}")
    };
    assert_eq!(error.as_str(), "invalid_grant");
}

#[test]
fn s24_a_fake_provider_changes_keys_claims_and_answers() {
    let (provider, strategy) = (sso(), Arc::new(OpenId::new(openid())));
    let signed_in =
        || Login::begun(Arc::clone(&strategy) as Arc<dyn Strategy>, &provider).finished(&provider);
    signed_in().unwrap();
    provider.rotate_key();
    assert_eq!(signed_in().unwrap().uid, "248289761001", "the new key is fetched");
    let fetched = provider.address(Endpoint::Keys).unwrap();
    assert_eq!(provider.calls().iter().filter(|call| call.url == fetched).count(), 2);

    let code = || signed_in().unwrap_err().kind().code();
    provider.change_claims(|claims| claims["aud"] = json!("another-app"));
    assert_eq!(code(), "id_token");
    provider.change_claims(|_| {});
    signed_in().unwrap();

    let somebody = json_answer(StatusCode::OK, &json!({ "sub": "eve" }));
    for (endpoint, answer, expected) in [
        (Endpoint::Token, text_answer(StatusCode::BAD_GATEWAY, "<html>"), "token_endpoint"),
        (Endpoint::Userinfo, somebody, "userinfo_mismatch"),
    ] {
        provider.replace(endpoint, answer);
        assert_eq!(code(), expected, "{endpoint:?}");
        provider.restore(endpoint);
        signed_in().unwrap();
    }
}

/// What goes to a token endpoint, after `change`, and what comes back.
fn exchanged(
    client_auth: &ClientAuth,
    strategy_auth: &ClientAuth,
    change: impl Fn(String) -> String + Send + Sync,
) -> Value {
    struct Between<'a, F>(&'a FakeProvider, F, Mutex<Option<Bytes>>);
    impl<F: Fn(String) -> String + Send + Sync> HttpClient for Between<'_, F> {
        fn send<'a>(&'a self, mut call: HttpCall) -> BoxFuture<'a, Result<Response<Bytes>, HttpError>> {
            Box::pin(async move {
                let body = String::from_utf8(call.request.body().to_vec()).unwrap();
                *call.request.body_mut() = Bytes::from((self.1)(body));
                let answer = self.0.send(call).await;
                if let Ok(answer) = &answer {
                    self.2.lock().unwrap().get_or_insert_with(|| answer.body().clone());
                }
                answer
            })
        }
    }
    let provider = forum(client_auth);
    let between = Between(&provider, change, Mutex::new(None));
    let login = Login::begun(Arc::new(OAuth2::new(oauth2(strategy_auth))), &provider);
    let query = provider.authorize(&login.to).unwrap();
    let outcome = login.arrived(&query, &between);
    let said = between.2.lock().unwrap().clone().unwrap();
    let said: Value = serde_json::from_slice(&said).unwrap();
    assert_eq!(outcome.is_ok(), said.get("error").is_none(), "{outcome:?}");
    said
}

#[test]
fn a_fake_provider_is_strict_about_who_spends_what() {
    let (public, post, basic) =
        (ClientAuth::Public, ClientAuth::SecretPost(secret()), ClientAuth::SecretBasic(secret()));
    let wrong = ClientAuth::SecretPost(Secret::new("another-secret".to_owned()));
    let same: fn(String) -> String = |body| body;
    for (row, registered, used, change, error) in [
        ("as it should be", &public, &public, same, None),
        ("no secret", &post, &public, same, Some("invalid_client")),
        ("a wrong secret", &post, &wrong, same, Some("invalid_client")),
        ("a secret in another place", &post, &basic, same, Some("invalid_client")),
        ("a secret in another place", &basic, &post, same, Some("invalid_client")),
        ("a secret nobody asked for", &public, &post, same, Some("invalid_client")),
        (
            "another code",
            &public,
            &public,
            |body: String| body.replace("code=code-", "code=other-"),
            Some("invalid_grant"),
        ),
        (
            "a redirect URI that means the same",
            &public,
            &public,
            |body: String| body.replace("app.example", "APP.example"),
            Some("invalid_grant"),
        ),
        (
            "another verifier",
            &public,
            &public,
            |body: String| body.replace("code_verifier=", "code_verifier=x"),
            Some("invalid_grant"),
        ),
        ("two codes", &public, &public, |body: String| format!("{body}&code=x"), Some("invalid_request")),
        (
            "another grant",
            &public,
            &public,
            |body: String| body.replace("authorization_code", "password"),
            Some("unsupported_grant_type"),
        ),
    ] {
        let said = exchanged(registered, used, change);
        assert_eq!(said.get("error").and_then(Value::as_str), error, "{row}: {said}");
    }
}

#[test]
fn a_fake_provider_is_strict_about_requests() {
    let provider = sso().with_redirect_uri("https://app.example/auth/sso/callback");
    let to = Login::begun(Arc::new(OpenId::new(openid())), &provider).to;
    let callback = provider.authorize(&to).unwrap();
    assert_eq!(callback.value("iss"), Some(issuer().as_str()));
    let cancelled = provider.cancel(&to).unwrap();
    assert_eq!((cancelled.value("error"), cancelled.value("code")), (Some("access_denied"), None));

    let without = |name: &str| {
        let mut changed = to.clone();
        let rest: Vec<_> = to.query_pairs().filter(|(known, _)| known != name).collect();
        changed.query_pairs_mut().clear().extend_pairs(rest);
        changed
    };
    let with = |name: &str, value: &str| {
        let mut changed = without(name);
        changed.query_pairs_mut().append_pair(name, value);
        changed
    };
    let mut twice = to.clone();
    twice.query_pairs_mut().append_pair("state", "x");
    for (row, changed) in [
        ("another page", at("authorize")),
        ("a state twice", twice),
        ("no response_type", without("response_type")),
        ("an implicit flow", with("response_type", "token")),
        ("another client", with("client_id", "another-app")),
        ("no redirect_uri", without("redirect_uri")),
        ("another redirect_uri", with("redirect_uri", "https://app.example/auth/sso/callback/")),
        ("no state", without("state")),
        ("a short state", with("state", "123456789012345678901")),
        ("no challenge", without("code_challenge")),
        ("a challenge that is no hash", with("code_challenge", "x")),
        ("a plain challenge", with("code_challenge_method", "plain")),
        ("no method, which means plain", without("code_challenge_method")),
        ("no nonce", without("nonce")),
    ] {
        assert!(provider.authorize(&changed).is_err(), "{row}");
    }
    // OAuth alone needs no nonce.
    let mut plain = without("nonce");
    plain.query_pairs_mut().append_pair("x", "y");
    assert!(provider.authorize(&with("scope", "profile")).is_ok());
}
