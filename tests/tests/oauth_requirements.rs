//! The numbered requirements of a token endpoint, each by its number, against the pure crate. What a wire makes of them is in
//! `oauth_wire.rs`; what attackers make of them, in `oauth_attacks.rs`.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};
use vestibule_dpop::{Claims, Compact, DefaultVerifier, NonceIssuer, NonceKeys};
use vestibule_oauth_core::{Secret, base64url};
use vestibule_tests::oauth::roster::{self, API, API_B, IDP_KEY, SIGNED_KEY, redirect_uri, secret};
use vestibule_tests::oauth::{ALICE, Ask, At, Ground, Key, Lab, Reply, jwt};
use vestibule_tests::{NOW, block_on};
use vestibule_token_endpoint::{
    AssertionAudience, AuthMethod, ClientSecret, ClientState, EndpointKeys, EndpointSetup, EndpointUrls,
    EventKind, GrantType, InvalidSetup, Pepper, Profile, SecretHash, TokenKey, preflight,
};

/// Does this at a laboratory of its own.
fn in_lab(test: impl AsyncFnOnce(&Lab, &dyn Ground)) {
    at_lab(Lab::new(), test);
}

fn at_lab(lab: Lab, test: impl AsyncFnOnce(&Lab, &dyn Ground)) {
    block_on(test(&lab, &lab));
}

/// A request that is right.
fn good(at: &dyn Ground) -> Ask {
    at.by("machine", At::Token).field("grant_type", "client_credentials")
}

async fn said(at: &dyn Ground, ask: Ask) -> String {
    at.send(ask).await.said()
}

/// What a signed token says.
fn claims(token: &str) -> Value {
    let payload = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&base64url::decode(payload).unwrap()).unwrap()
}

/// The endpoints that take forms, with a request of each.
fn forms(at: &dyn Ground) -> [Ask; 5] {
    [
        good(at),
        at.by("web", At::Par).fields(&[("response_type", "token")]),
        at.by("web", At::Revoke).field("token", "x"),
        at.by("web", At::Introspect).field("token", "x"),
        at.by("tv", At::Device),
    ]
}

#[test]
fn t1_post_only() {
    in_lab(async |_, at| {
        for ask in forms(at) {
            for method in ["GET", "HEAD", "PUT", "DELETE", "PATCH"] {
                let reply = at.send(ask.clone().method(method)).await;
                assert_eq!(
                    (reply.said().as_str(), reply.header("allow")),
                    ("405 invalid_request", Some("POST"))
                );
            }
        }
    });
}

#[test]
fn t2_nothing_is_read_from_the_url() {
    in_lab(async |_, at| {
        let bare = Ask::post(at.url(At::Token)).basic("machine", &secret("machine"));
        assert_eq!(said(at, bare.query("grant_type=client_credentials")).await, "400 invalid_request");
        for name in
            ["client_secret", "client_assertion", "code", "code_verifier", "refresh_token", "access_token"]
        {
            assert_eq!(said(at, good(at).query(&format!("{name}=x"))).await, "400 invalid_request", "{name}");
        }
        assert_eq!(said(at, good(at).query("scope=admin&utm_source=x")).await, "200");
    });
}

#[test]
fn t3_a_form_in_utf8_however_it_is_spelt() {
    in_lab(async |_, at| {
        for (media_type, wanted) in [
            ("application/x-www-form-urlencoded", "200"),
            ("application/x-www-form-urlencoded;charset=UTF-8", "200"),
            ("application/x-www-form-urlencoded; charset=utf-8", "200"),
            ("Application/X-WWW-Form-Urlencoded; Charset=\"UTF-8\"", "200"),
            ("application/x-www-form-urlencoded; boundary=x", "200"),
            ("application/x-www-form-urlencoded; charset=latin1", "400 invalid_request"),
            ("application/json", "400 invalid_request"),
            ("text/plain", "400 invalid_request"),
            ("", "400 invalid_request"),
        ] {
            assert_eq!(said(at, good(at).media_type(media_type)).await, wanted, "{media_type}");
        }
        let twice = good(at).header("content-type", "application/x-www-form-urlencoded");
        assert_eq!(said(at, twice).await, "400 invalid_request");
    });
}

#[test]
fn t4_no_parameter_twice_but_those_that_may_be() {
    in_lab(async |_, at| {
        assert_eq!(said(at, good(at).field("foo", "a").field("foo", "a")).await, "400 invalid_request");
        assert_eq!(said(at, good(at).field("resource", API).field("resource", API_B)).await, "200");
    });
}

#[test]
fn t5_an_empty_value_is_none() {
    in_lab(async |_, at| {
        assert_eq!(
            said(at, good(at).field("scope", "").field("resource", "").field("client_id", "")).await,
            "200"
        );
        assert_eq!(said(at, good(at).with("grant_type", "")).await, "400 invalid_request");
    });
}

#[test]
fn t6_what_is_not_known_is_ignored() {
    in_lab(async |_, at| assert_eq!(said(at, good(at).field("data", "None").field("å", "ß")).await, "200"));
}

#[test]
fn t7_everything_has_a_bound() {
    in_lab(async |_, at| {
        let pairs = |count: usize| (0..count).fold(good(at), |ask, n| ask.field(&format!("x{n}"), "y"));
        assert_eq!(said(at, pairs(63)).await, "200");
        assert_eq!(said(at, pairs(64)).await, "400 invalid_request");
        assert_eq!(said(at, good(at).field("x", &"y".repeat(16 * 1024))).await, "200");
        assert_eq!(said(at, good(at).field("x", &"y".repeat(16 * 1024 + 1))).await, "400 invalid_request");
        assert_eq!(said(at, good(at).body("x".repeat(64 * 1024 + 1))).await, "413 invalid_request");
        let assertion = "a".repeat(8 * 1024 + 1);
        assert_eq!(
            said(at, at.asserting(Ask::post(at.url(At::Token)), &assertion)).await,
            "400 invalid_client"
        );
        assert_eq!(
            said(at, good(at).header("dpop", &"a".repeat(8 * 1024 + 1))).await,
            "400 invalid_dpop_proof"
        );
    });
}

#[test]
fn t8_what_does_not_decode_is_refused() {
    in_lab(async |_, at| {
        for body in ["grant_type=%", "grant_type=%zz", "grant_type=%ff", "%c3=x", "x=%C0%80"] {
            assert_eq!(said(at, good(at).body(body)).await, "400 invalid_request", "{body}");
        }
        assert_eq!(said(at, good(at).body("grant_type=client_credentials&x=%e2%82%ac+%26")).await, "200");
    });
}

#[test]
fn t9_characters_that_a_parameter_cannot_have() {
    in_lab(async |_, at| {
        for (name, value) in [
            ("client_id", "mach\u{e9}"),
            ("code", "a\u{1f}"),
            ("refresh_token", "a\tb"),
            ("scope", "read\u{7f}"),
            ("foo", "a\0"),
            ("foo", "a\r\nb"),
        ] {
            assert_eq!(
                said(at, good(at).with(name, value)).await,
                "400 invalid_request",
                "{name}: {value:?}"
            );
        }
        for scope in ["read\"", "a\\b"] {
            assert_eq!(said(at, good(at).with("scope", scope)).await, "400 invalid_scope", "{scope}");
        }
    });
}

#[test]
fn t10_who_asks_comes_before_what_is_asked() {
    in_lab(async |_, at| {
        let code = at.code("web").await;
        for ask in [
            at.redeem("web", &code).basic("web", "wrong").with("code", "x"),
            at.redeem("web", &code).basic("web", "wrong").with("grant_type", "unheard-of"),
            at.redeem("web", &code).basic("web", "wrong").without("code_verifier"),
        ] {
            assert_eq!(said(at, ask).await, "401 invalid_client");
        }
        assert_eq!(said(at, at.redeem("web", &code)).await, "200");
    });
}

#[test]
fn t11_descriptions_have_only_their_characters_and_nothing_that_was_sent() {
    in_lab(async |_, at| {
        let odd = "\u{201c}\"\\<b>";
        for ask in [
            good(at).with("grant_type", "<b>"),
            good(at).field("scope", odd),
            good(at).field("resource", "<b>"),
            good(at).basic("<b>", "<b>"),
            good(at).header("dpop", "<b>"),
        ] {
            let reply = at.send(ask).await;
            let description = reply.text("error_description");
            assert!(
                description.bytes().all(|b| matches!(b, 0x20..=0x21 | 0x23..=0x5b | 0x5d..=0x7e)),
                "{description}"
            );
            assert!(!description.contains("<b>"), "{description}");
        }
    });
}

#[test]
fn t12_one_method_in_a_request() {
    in_lab(async |lab, at| {
        let both = good(at).field("client_id", "machine").field("client_secret", "whatever");
        lab.events();
        assert_eq!(said(at, both.clone()).await, "200");
        assert!(lab.events().iter().any(|event| event.kind == EventKind::BasicBeatBody));
        assert_eq!(
            said(at, good(at).field("client_id", "web").field("client_secret", "x")).await,
            "400 invalid_request"
        );
        let three = at.asserting(both, &at.assertion("machine", &[], SIGNED_KEY));
        assert_eq!(said(at, three).await, "400 invalid_request");
    });
    for profile in [Profile::FAPI2, Profile::ATPROTO] {
        at_lab(Lab::of(profile), async |_, at| {
            let both = good(at).field("client_id", "machine").field("client_secret", &secret("machine"));
            assert_eq!(said(at, both).await, "400 invalid_request", "{}", profile.name());
        });
    }
}

#[test]
fn t13_the_method_is_one_that_is_registered() {
    in_lab(async |lab, at| {
        let ask = || Ask::post(at.url(At::Token)).fields(&[("grant_type", "client_credentials")]);
        let ways = |id: &str| {
            [
                (AuthMethod::ClientSecretBasic, ask().basic(id, &secret(id))),
                (
                    AuthMethod::ClientSecretPost,
                    ask().field("client_id", id).field("client_secret", &secret(id)),
                ),
                (AuthMethod::PrivateKeyJwt, at.with_assertion(ask(), id, SIGNED_KEY)),
                (AuthMethod::None, ask().field("client_id", id)),
            ]
        };
        for registered in
            [AuthMethod::ClientSecretBasic, AuthMethod::ClientSecretPost, AuthMethod::PrivateKeyJwt]
        {
            lab.change("machine", |client| {
                client.auth_methods = BTreeSet::from([registered]);
                client.keys = vestibule_dpop::JwkSet::parse(SIGNED_KEY.jwks()).unwrap();
            });
            for (method, ask) in ways("machine") {
                let wanted = match method {
                    _ if method == registered => "200",
                    AuthMethod::ClientSecretBasic => "401 invalid_client",
                    _ => "400 invalid_client",
                };
                assert_eq!(said(at, ask).await, wanted, "{registered:?} registered, {method:?} used");
            }
        }
    });
}

#[test]
fn t14_a_secret_in_the_header_or_in_the_body() {
    in_lab(async |_, at| {
        assert_eq!(said(at, good(at)).await, "200");
        let post = good(at)
            .bare("authorization")
            .field("client_id", "machine")
            .field("client_secret", &secret("machine"));
        assert_eq!(said(at, post).await, "200");
        // What the kanidm project once advertised and did not serve.
        let methods = &serde_json::from_str::<Value>(&Lab::new().endpoint().metadata().to_json()).unwrap();
        assert_eq!(
            methods["token_endpoint_auth_methods_supported"],
            json!(["client_secret_basic", "client_secret_post", "private_key_jwt", "none"])
        );
    });
}

#[test]
fn t15_basic_in_each_encoding_of_the_field() {
    in_lab(async |lab, at| {
        let odd = secret("odd");
        let percent = |text: &str| text.bytes().map(|b| format!("%{b:02X}")).collect::<String>();
        let ask =
            || Ask::post(at.url(At::Token)).fields(&[("grant_type", "authorization_code"), ("code", "x")]);
        for (what, basic, raw) in [
            ("encoded as a form", ask().basic("odd", &odd), false),
            (
                "every octet encoded",
                ask().basic_as_it_stands(&format!("{}:{}", percent("odd"), percent(&odd))),
                false,
            ),
            ("as it stands", ask().basic_as_it_stands(&format!("odd:{odd}")), true),
        ] {
            lab.events();
            assert_eq!(said(at, basic).await, "400 invalid_grant", "{what}");
            let noticed = lab.events().iter().any(|event| event.kind == EventKind::BasicNotEncoded);
            assert_eq!(noticed, raw, "{what}");
        }
        // In any case of the scheme, and with a plus for a space.
        let encoded =
            ask().basic("odd", &odd).into_request().headers()["authorization"].to_str().unwrap().to_owned();
        let ask = ask().header("authorization", &encoded.replace("Basic", "bAsIc"));
        assert_eq!(said(at, ask).await, "400 invalid_grant");
    });
    // Identifiers and secrets that we give out read the same in all of them.
    let (id, new) = (
        vestibule_token_endpoint::new_client_id([7; 15]),
        vestibule_token_endpoint::new_client_secret([7; 32]),
    );
    assert!(id.bytes().chain(new.expose().bytes()).all(|b| b.is_ascii_alphanumeric() || b == b'_'));
}

#[test]
fn t16_secrets_are_kept_as_hashes_and_two_may_be_live() {
    in_lab(async |lab, at| {
        let peppers = [Pepper::new("pepper-1", &Secret::new([1; 32]))];
        lab.change("machine", |client| {
            let mut old = ClientSecret::new(SecretHash::plain("old-secret"));
            old.expires_at = Some(NOW.after(Duration::from_secs(10)));
            client.secrets = vec![ClientSecret::new(SecretHash::peppered("new-secret", &peppers[0])), old];
            assert!(!format!("{client:?}").contains("old-secret"));
        });
        let ask = |secret: &str| good(at).basic("machine", secret);
        assert_eq!(said(at, ask("new-secret")).await, "200");
        assert_eq!(said(at, ask("old-secret")).await, "200");
        lab.later(Duration::from_secs(10));
        assert_eq!(said(at, ask("old-secret")).await, "401 invalid_client");
        assert_eq!(said(at, ask("new-secret")).await, "200");
    });
}

#[test]
fn t17_unknown_wrong_and_not_registered_look_the_same() {
    in_lab(async |_, at| {
        let ask = || Ask::post(at.url(At::Token)).field("grant_type", "client_credentials");
        let basic =
            [ask().basic("nobody", "x"), ask().basic("machine", "x"), ask().basic("post", &secret("post"))];
        let post = ["nobody", "machine", "basic"].map(|id| {
            ask()
                .field("client_id", id)
                .field("client_secret", &secret(if id == "basic" { "basic" } else { "x" }))
        });
        for (asks, wanted) in [(basic, "401 invalid_client"), (post, "400 invalid_client")] {
            let mut first: Option<Reply> = None;
            for ask in asks {
                let reply = at.send(ask).await;
                assert_eq!(reply.said(), wanted);
                let first = first.get_or_insert_with(|| reply.clone());
                assert_eq!((&first.body, &first.headers), (&reply.body, &reply.headers));
            }
        }
    });
}

#[test]
fn t18_an_assertion_is_for_us_now_and_once() {
    in_lab(async |lab, at| {
        let now = at.now().as_secs();
        let ask = |changes: &[(&str, Value)]| {
            let ask = Ask::post(at.url(At::Token)).field("grant_type", "client_credentials");
            at.asserting(ask, &at.assertion("signed", changes, SIGNED_KEY))
        };
        for (changes, wanted) in [
            (vec![], "200"),
            (vec![("aud", json!([at.issuer()]))], "200"),
            (vec![("aud", json!(at.url(At::Token)))], "400 invalid_client"),
            (vec![("exp", json!(now + 300))], "200"),
            (vec![("exp", json!(now + 301))], "400 invalid_client"),
            (vec![("iat", json!(now + 10)), ("nbf", json!(now + 10))], "200"),
            (vec![("iat", json!(now + 61))], "400 invalid_client"),
            (vec![("nbf", json!(now + 61))], "400 invalid_client"),
            (vec![("iat", Value::Null)], "200"),
            (vec![("jti", json!("j".repeat(256)))], "200"),
            (vec![("jti", json!(7))], "400 invalid_client"),
        ] {
            assert_eq!(said(at, ask(&changes)).await, wanted, "{changes:?}");
        }
        // The switch for clients that were written before 2025.
        lab.change("signed", |client| client.assertion_audience = AssertionAudience::DangerTokenEndpointToo);
        assert_eq!(said(at, ask(&[("aud", json!(at.url(At::Token)))])).await, "200");
        assert_eq!(said(at, ask(&[("aud", json!(at.issuer()))])).await, "200");
        for (typ, wanted) in [
            (json!("client-authentication+jwt"), "200"),
            (json!("JWT"), "200"),
            (Value::Null, "200"),
            (json!("at+jwt"), "400 invalid_client"),
            (json!("dpop+jwt"), "400 invalid_client"),
        ] {
            let mut header = json!({ "alg": "ES256" });
            if !typ.is_null() {
                header["typ"] = typ.clone();
            }
            let claims = json!({ "iss": "signed", "sub": "signed", "aud": at.issuer(), "exp": now + 60, "jti": format!("t-{typ}") });
            let ask = Ask::post(at.url(At::Token)).field("grant_type", "client_credentials");
            assert_eq!(
                said(at, at.asserting(ask, &jwt(&header, &claims, SIGNED_KEY))).await,
                wanted,
                "{typ}"
            );
        }
    });
    // FAPI 2.0: a text, no list.
    at_lab(Lab::of(Profile::FAPI2), async |_, at| {
        let ask = |aud: Value| {
            let ask = Ask::post(at.url(At::Token)).field("grant_type", "client_credentials");
            at.asserting(ask, &at.assertion("signed", &[("aud", aud)], SIGNED_KEY))
        };
        assert_eq!(said(at, ask(json!([at.issuer()]))).await, "400 invalid_client");
        assert_eq!(said(at, at.proven(ask(json!(at.issuer())), Key(1)).await).await, "200");
    });
}

#[test]
fn t19_keys_are_those_that_are_registered() {
    in_lab(async |lab, at| {
        let ask = |header: Value, key: Key| {
            let claims = json!({ "iss": "signed", "sub": "signed", "aud": at.issuer(), "exp": at.now().as_secs() + 60, "jti": header.to_string() });
            at.asserting(
                Ask::post(at.url(At::Token)).field("grant_type", "client_credentials"),
                &jwt(&header, &claims, key),
            )
        };
        assert_eq!(said(at, ask(json!({ "alg": "ES256" }), SIGNED_KEY)).await, "200", "no kid");
        assert_eq!(
            said(at, ask(json!({ "alg": "ES256", "kid": "other" }), SIGNED_KEY)).await,
            "400 invalid_client"
        );
        assert_eq!(said(at, ask(json!({ "alg": "ES384" }), SIGNED_KEY)).await, "400 invalid_client");
        assert_eq!(said(at, ask(json!({ "alg": "PS256" }), SIGNED_KEY)).await, "400 invalid_client");
        // Two keys while one takes the other's place.
        lab.change("signed", |client| {
            let keys = json!({ "keys": [Key(7).jwk(), SIGNED_KEY.jwk()] });
            client.keys = vestibule_dpop::JwkSet::parse(keys.to_string()).unwrap();
        });
        assert_eq!(said(at, ask(json!({ "alg": "ES256", "n": 1 }), SIGNED_KEY)).await, "200");
        assert_eq!(said(at, ask(json!({ "alg": "ES256", "n": 2 }), Key(7))).await, "200");
    });
}

#[test]
fn t20_no_shared_secret_signs() {
    let metadata: Value = serde_json::from_str(&Lab::new().endpoint().metadata().to_json()).unwrap();
    let algorithms = metadata["token_endpoint_auth_signing_alg_values_supported"].to_string();
    assert!(!algorithms.contains("HS256") && algorithms.contains("ES256"), "{algorithms}");
    assert!(!metadata["token_endpoint_auth_methods_supported"].to_string().contains("client_secret_jwt"));
}

#[test]
fn t21_a_public_client_says_its_name_and_no_more() {
    in_lab(async |_, at| {
        let code = at.code("app").await;
        assert_eq!(said(at, at.redeem("app", &code).field("client_secret", "x")).await, "400 invalid_client");
        assert_eq!(said(at, at.redeem("app", &code)).await, "200");
        // One that was registered with a secret may use it or leave it out.
        for (what, change, wanted) in [
            ("left out", None, "200"),
            ("right", Some(secret("half")), "200"),
            ("wrong", Some("wrong".to_owned()), "401 invalid_client"),
        ] {
            let code = at.code("half").await;
            let mut ask = at.redeem("half", &code);
            if let Some(secret) = change {
                ask = ask.without("client_id").basic("half", &secret);
            }
            assert_eq!(said(at, ask).await, wanted, "{what}");
        }
        let code = at.code("half").await;
        let post = at.redeem("half", &code).field("client_secret", &secret("half"));
        assert_eq!(said(at, post).await, "400 invalid_client", "not the method it is registered for");
    });
}

#[test]
fn t22_client_credentials_are_for_confidential_clients() {
    in_lab(async |lab, at| {
        lab.change("app", |client| client.grant_types.extend([GrantType::CLIENT_CREDENTIALS]));
        let ask = at.by("app", At::Token).field("grant_type", "client_credentials");
        assert_eq!(said(at, ask).await, "400 unauthorized_client");
        lab.change("half", |client| client.grant_types.extend([GrantType::CLIENT_CREDENTIALS]));
        let ask = Ask::post(at.url(At::Token))
            .field("grant_type", "client_credentials")
            .basic("half", &secret("half"));
        assert_eq!(said(at, ask).await, "400 unauthorized_client");
    });
}

#[test]
fn t24_a_grant_is_bound_to_its_client_and_to_the_key_it_began_with() {
    at_lab(Lab::of(Profile::ATPROTO), async |lab, at| {
        lab.change("signed", |client| {
            let keys = json!({ "keys": [SIGNED_KEY.jwk(), Key(7).jwk()] });
            client.keys = vestibule_dpop::JwkSet::parse(keys.to_string()).unwrap();
        });
        let with = |ask: Ask, key: Key| at.with_assertion(ask, "signed", key);
        let pushed = at
            .parameters("signed")
            .iter()
            .filter(|(name, _)| name != "client_id")
            .fold(Ask::post(at.url(At::Par)), |ask, (name, value)| ask.field(name, value));
        let nonce = at.nonce().await;
        let ask = with(pushed, SIGNED_KEY).header("dpop", &at.proof(At::Par, Key(1), Some(&nonce)));
        let pushed = at.send(ask).await;
        assert_eq!(pushed.said(), "201", "{}", pushed.json);
        let query = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("client_id", "signed")
            .append_pair("request_uri", pushed.text("request_uri"))
            .finish();
        let code = at.authorize(query).await.value("code").unwrap();
        let redeem = at.redeem("signed", &code);
        let other = at.proven(with(redeem.clone(), Key(7)), Key(1)).await;
        assert_eq!(said(at, other).await, "400 invalid_grant");
        let tokens = at.send(at.proven(with(redeem, SIGNED_KEY), Key(1)).await).await;
        assert_eq!(tokens.said(), "200", "{}", tokens.json);
        assert_eq!(tokens.json["sub"], ALICE);
        let refresh = at.refresh("signed", tokens.text("refresh_token"));
        let other = at.proven(with(refresh.clone(), Key(7)), Key(1)).await;
        assert_eq!(said(at, other).await, "400 invalid_grant");
        assert_eq!(said(at, at.proven(with(refresh, SIGNED_KEY), Key(1)).await).await, "200");
    });
}

#[test]
fn t25_a_code_is_long_random_and_short_lived() {
    in_lab(async |lab, at| {
        let (one, other) = (at.code("web").await, at.code("web").await);
        assert_ne!(one, other);
        // vac_, 256 bits in base32, and a checksum.
        assert!(one.starts_with("vac_") && one.len() >= 4 + 52, "{one}");
        lab.later(Duration::from_secs(60));
        assert_eq!(said(at, at.redeem("web", &one)).await, "400 invalid_grant");
        assert_eq!(Profile::OAUTH21.code_lifetime(), Duration::from_secs(60));
        assert!(Profile::FAPI2.code_lifetime() <= Duration::from_secs(60));
    });
}

#[test]
fn t26_t27_t31_a_code_is_its_clients_once_and_no_failed_try_burns_it() {
    in_lab(async |_, at| {
        let code = at.code("web").await;
        let good = at.redeem("web", &code);
        for (ask, wanted) in [
            (at.redeem("other", &code).with("redirect_uri", &redirect_uri("web")), "400 invalid_grant"),
            (good.clone().with("code_verifier", &"x".repeat(43)), "400 invalid_grant"),
            (good.clone().with("redirect_uri", "https://web.test/"), "400 invalid_grant"),
            (good.clone().basic("web", "wrong"), "401 invalid_client"),
            (good.clone().field("resource", "https://evil.test/"), "400 invalid_target"),
            (good.clone().field("scope", "a\"b"), "400 invalid_scope"),
            (good.clone().header("dpop", "x"), "400 invalid_dpop_proof"),
            (good.clone().header("dpop", &at.proof(At::Token, Key(1), None)), "400 use_dpop_nonce"),
            (good.clone(), "200"),
            (good, "400 invalid_grant"),
        ] {
            assert_eq!(said(at, ask).await, wanted);
        }
    });
}

#[test]
fn t28_replay_revokes_only_if_valid() {
    in_lab(async |lab, at| {
        let code = at.code("web").await;
        let tokens = at.send(at.redeem("web", &code)).await;
        let refresh = tokens.text("refresh_token");
        let wrong = at.redeem("web", &code).with("code_verifier", &"x".repeat(43));
        assert_eq!(said(at, wrong).await, "400 invalid_grant");
        assert!(at.is_active("web", refresh).await);
        // Long after the code would have expired it is still known for what it is.
        lab.later(Duration::from_secs(3600));
        assert_eq!(said(at, at.redeem("web", &code)).await, "400 invalid_grant");
        assert!(!at.is_active("web", refresh).await);
    });
    let clicked_twice = Lab::set_up(|setup| setup.double_submit = Duration::from_secs(20));
    at_lab(clicked_twice, async |lab, at| {
        let code = at.code("web").await;
        let tokens = at.send(at.redeem("web", &code)).await;
        assert_eq!(said(at, at.redeem("web", &code)).await, "400 invalid_grant");
        assert!(at.is_active("web", tokens.text("refresh_token")).await);
        lab.later(Duration::from_secs(20));
        assert_eq!(said(at, at.redeem("web", &code)).await, "400 invalid_grant");
        assert!(!at.is_active("web", tokens.text("refresh_token")).await);
    });
}

#[test]
fn t29_pkce_for_every_code() {
    in_lab(async |_, at| {
        let without = [("code_challenge", ""), ("code_challenge_method", "")];
        for (id, changes, wanted) in [
            ("app", &without[..], "back: invalid_request"),
            ("web", &without, "back: invalid_request"),
            ("exempt", &without, "code"),
            ("exempt", &[], "code"),
            ("web", &[("code_challenge_method", "plain")], "back: invalid_request"),
            ("web", &[("code_challenge", "short")], "back: invalid_request"),
            ("web", &[("code_challenge", ""), ("code_challenge_method", "S256")], "back: invalid_request"),
        ] {
            assert_eq!(at.ask_for(id, changes).await.said(), wanted, "{id} {changes:?}");
        }
        // A client that is exempt and sends a challenge is held to it.
        let code = at.code("exempt").await;
        assert_eq!(said(at, at.redeem("exempt", &code).without("code_verifier")).await, "400 invalid_grant");
        assert_eq!(said(at, at.redeem("exempt", &code)).await, "200");
    });
}

#[test]
fn t30_the_redirect_uri_is_the_same_to_the_letter() {
    in_lab(async |_, at| {
        let code = at.code("wordpress").await;
        let ask = at.redeem("wordpress", &code);
        let bare = "https://wp.test/wp-admin/admin-ajax.php";
        assert_eq!(said(at, ask.clone().with("redirect_uri", bare)).await, "400 invalid_grant");
        assert_eq!(said(at, ask).await, "200");
        // RFC 8252, section 7.3: any port at the authorization endpoint, and then that one.
        let uri = "http://127.0.0.1:61000/app";
        let code = at.code_with("app", &[("redirect_uri", uri)]).await;
        assert_eq!(said(at, at.redeem("app", &code)).await, "400 invalid_grant");
        assert_eq!(said(at, at.redeem("app", &code).with("redirect_uri", uri)).await, "200");
    });
}

#[test]
fn t32_a_nonce_is_asked_for_before_anything_is_used_up() {
    in_lab(async |_, at| {
        let tokens = at.tokens("web").await;
        let assertion = at.by("signed", At::Token).field("grant_type", "client_credentials");
        let code = at.code("web").await;
        for ask in [at.redeem("web", &code), at.refresh("web", &tokens.refresh), assertion] {
            let first = at.send(ask.clone().header("dpop", &at.proof(At::Token, Key(1), None))).await;
            assert_eq!(first.said(), "400 use_dpop_nonce");
            let nonce = first.header("dpop-nonce").unwrap();
            let second = ask.header("dpop", &at.proof(At::Token, Key(1), Some(nonce)));
            // The same code, the same refresh token, the same assertion.
            assert_eq!(said(at, second).await, "200");
        }
    });
}

#[test]
fn t33_the_scope_is_that_of_this_code_or_less() {
    in_lab(async |_, at| {
        let (read, both) = (at.code_with("web", &[("scope", "read")]).await, at.code("web").await);
        let read = at.send(at.redeem("web", &read)).await;
        assert_eq!(read.json["scope"], "read");
        let narrowed = at.send(at.redeem("web", &both).field("scope", "write unheard-of")).await;
        assert_eq!(narrowed.json["scope"], "write");
        // Who asks for less by a word that there is not is not given all.
        let both = at.code("web").await;
        let misspelt = at.redeem("web", &both).field("scope", "redd");
        assert_eq!(said(at, misspelt).await, "400 invalid_scope");
        assert_eq!(said(at, at.redeem("web", &both)).await, "200", "and the code is not spent");
        // What nobody knows here is passed over at the authorization endpoint, and what was granted is said.
        let code = at.code_with("web", &[("scope", "user:email read groups")]).await;
        assert_eq!(at.send(at.redeem("web", &code)).await.json["scope"], "read");
        let code = at.code_with("web", &[("scope", "")]).await;
        assert_eq!(at.send(at.redeem("web", &code)).await.json["scope"], "");
    });
}

#[test]
fn t34_t38_a_refresh_token_is_its_clients() {
    in_lab(async |_, at| {
        let tokens = at.tokens("web").await;
        assert_eq!(said(at, at.refresh("other", &tokens.refresh)).await, "400 invalid_grant");
        assert_eq!(said(at, at.refresh("web", "vrt_nonsense")).await, "400 invalid_grant");
        assert_eq!(said(at, at.refresh("web", "")).await, "400 invalid_request");
        assert_eq!(said(at, at.refresh("web", &tokens.refresh)).await, "200");
        // Rotated, and in another client's hands: still no reason to end anything.
        assert_eq!(said(at, at.refresh("other", &tokens.refresh)).await, "400 invalid_grant");
        assert_eq!(said(at, at.refresh("web", &tokens.refresh)).await, "200");
    });
}

#[test]
fn t35_reuse_ends_the_family() {
    in_lab(async |lab, at| {
        let tokens = at.tokens("app").await;
        let second = at.send(at.refresh("app", &tokens.refresh)).await;
        let third = at.send(at.refresh("app", second.text("refresh_token"))).await;
        lab.events();
        assert_eq!(said(at, at.refresh("app", &tokens.refresh)).await, "400 invalid_grant");
        let told: Vec<String> = lab.events().iter().map(|event| event.kind.to_string()).collect();
        assert!(told.iter().any(|line| line.contains("its successor as well")), "{told:?}");
        assert_eq!(said(at, at.refresh("app", third.text("refresh_token"))).await, "400 invalid_grant");
    });
}

#[test]
fn t36_a_lost_answer_is_given_again() {
    in_lab(async |lab, at| {
        let code = at.code("app").await;
        let tokens = at.send(at.proven(at.redeem("app", &code), Key(1)).await).await;
        let ask = at.refresh("app", tokens.text("refresh_token"));
        let first = at.send(at.proven(ask.clone(), Key(1)).await).await;
        lab.later(Duration::from_secs(30));
        lab.events();
        let again = at.send(at.proven(ask.clone(), Key(1)).await).await;
        assert_eq!(again.json["refresh_token"], first.json["refresh_token"]);
        assert_ne!(again.json["access_token"], first.json["access_token"]);
        assert!(lab.events().iter().any(|event| event.kind == EventKind::Repeated));
        // Another key is another's: it is told nothing, and harms nobody.
        assert_eq!(said(at, at.proven(ask.clone(), Key(2)).await).await, "400 invalid_grant");
        assert_eq!(said(at, ask).await, "400 invalid_grant");
        let next = at.refresh("app", first.text("refresh_token"));
        assert_eq!(said(at, at.proven(next, Key(1)).await).await, "200");
    });
    // Never longer than five minutes.
    let setup = |seconds| {
        let mut setup = EndpointSetup::new(
            "https://as.test".parse().unwrap(),
            EndpointUrls::new("https://as.test/token".parse().unwrap()),
        );
        setup.lost_answer = Duration::from_secs(seconds);
        vestibule_token_endpoint::Endpoint::new(setup, Lab::keys(1)).map(|_| ())
    };
    assert_eq!((setup(300), setup(301)), (Ok(()), Err(InvalidSetup::LostAnswer)));
    // FAPI 2.0: no rotation, since key and client protect the token better.
    at_lab(Lab::of(Profile::FAPI2), async |_, at| {
        let (tokens, _) = fapi_tokens(at).await;
        let token = tokens.text("refresh_token").to_owned();
        for _ in 0..3 {
            let reply = at.send(at.proven(at.refresh("signed", &token), Key(1)).await).await;
            assert_eq!(reply.said(), "200", "{}", reply.json);
            assert!(reply.json.get("refresh_token").is_none_or(|again| *again == json!(token)));
        }
    });
}

/// The tokens of the client `signed` by FAPI 2.0, and its code.
async fn fapi_tokens(at: &dyn Ground) -> (Reply, String) {
    let parameters = at.parameters("signed");
    let ask = parameters.iter().filter(|(name, _)| name != "client_id");
    let ask = ask.fold(at.by("signed", At::Par), |ask, (name, value)| ask.field(name, value));
    let nonce = at.nonce().await;
    let pushed = at.send(ask.header("dpop", &at.proof(At::Par, Key(1), Some(&nonce)))).await;
    assert_eq!(pushed.said(), "201", "{}", pushed.json);
    let query = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("client_id", "signed")
        .append_pair("request_uri", pushed.text("request_uri"))
        .finish();
    let code = at.authorize(query).await.value("code").unwrap();
    let tokens = at.send(at.proven(at.redeem("signed", &code), Key(1)).await).await;
    assert_eq!(tokens.said(), "200", "{}", tokens.json);
    (tokens, code)
}

#[test]
fn t37_a_new_refresh_token_is_for_the_same_scope() {
    in_lab(async |_, at| {
        let tokens = at.tokens("web").await;
        let narrow = at.send(at.refresh("web", &tokens.refresh).field("scope", "read")).await;
        assert_eq!(narrow.json["scope"], "read");
        let facts = at.introspect("web", narrow.text("refresh_token")).await;
        assert_eq!(facts.json["scope"], "read write");
        let full = at.send(at.refresh("web", narrow.text("refresh_token"))).await;
        assert_eq!(full.json["scope"], "read write");
    });
}

#[test]
fn t39_a_bound_refresh_token_needs_its_key() {
    in_lab(async |_, at| {
        let code = at.code("bound").await;
        assert_eq!(said(at, at.redeem("bound", &code)).await, "400 invalid_dpop_proof");
        let tokens = at.send(at.proven(at.redeem("bound", &code), Key(1)).await).await;
        assert_eq!(tokens.json["token_type"], "DPoP");
        let ask = at.refresh("bound", tokens.text("refresh_token"));
        assert_eq!(said(at, at.proven(ask.clone(), Key(2)).await).await, "400 invalid_grant");
        assert_eq!(said(at, at.proven(ask, Key(1)).await).await, "200");
    });
}

#[test]
fn t40_a_store_that_is_down_takes_nothing() {
    in_lab(async |lab, at| {
        let tokens = at.tokens("web").await;
        lab.fail_after(0);
        let reply = at.send(at.refresh("web", &tokens.refresh)).await;
        assert_eq!(reply.said(), "503 temporarily_unavailable");
        assert!(reply.header("retry-after").is_some());
        lab.mend();
        assert_eq!(said(at, at.refresh("web", &tokens.refresh)).await, "200");
    });
}

#[test]
fn t41_client_credentials_are_about_the_client_and_bring_no_refresh_token() {
    in_lab(async |lab, at| {
        lab.change("machine", |client| client.grant_types.extend([GrantType::REFRESH_TOKEN]));
        let reply = at.send(good(at).field("scope", "read")).await;
        assert_eq!(reply.said(), "200");
        assert_eq!(reply.json.get("refresh_token"), None);
        let claims = claims(reply.text("access_token"));
        assert_eq!((&claims["sub"], &claims["client_id"]), (&json!("machine"), &json!("machine")));
        assert_eq!(claims["scope"], "read");
        assert_eq!(said(at, good(at).field("scope", "read admin")).await, "400 invalid_scope");
    });
}

#[test]
fn t42_a_device_in_all_its_states() {
    const GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";
    in_lab(async |lab, at| {
        let begun = at.send(at.by("tv", At::Device).field("scope", "read")).await;
        assert_eq!(begun.said(), "200");
        for name in ["device_code", "user_code", "verification_uri", "verification_uri_complete"] {
            assert!(begun.json[name].is_string(), "{name}");
        }
        let poll = |id: &str| {
            at.by(id, At::Token).fields(&[("grant_type", GRANT), ("device_code", begun.text("device_code"))])
        };
        assert_eq!(said(at, poll("tv")).await, "400 authorization_pending");
        assert_eq!(said(at, poll("tv-too")).await, "400 invalid_grant");
        lab.decide_device(begun.text("user_code"), true).await.unwrap();
        lab.later(Duration::from_secs(10));
        let tokens = at.send(poll("tv")).await;
        assert_eq!(tokens.said(), "200", "{}", tokens.json);
        assert_eq!(said(at, at.refresh("tv", tokens.text("refresh_token"))).await, "200");
        assert_eq!(said(at, poll("tv")).await, "400 invalid_grant");
        assert_eq!(said(at, at.by("web", At::Device)).await, "400 unauthorized_client");
    });
}

#[test]
fn t43_an_assertion_of_somebody_whom_the_client_trusts() {
    in_lab(async |_, at| {
        let ask = |aud: &str, id: &str| {
            let claims = json!({ "iss": roster::IDP, "sub": "bob", "aud": aud, "exp": at.now().as_secs() + 60, "jti": id });
            let assertion = jwt(&json!({ "alg": "ES256" }), &claims, IDP_KEY);
            at.by("bearer", At::Token).fields(&[
                ("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"),
                ("assertion", &assertion),
            ])
        };
        let reply = at.send(ask(&at.issuer(), "1")).await;
        assert_eq!(reply.said(), "200", "{}", reply.json);
        let claims = claims(reply.text("access_token"));
        assert_eq!((&claims["sub"], &claims["client_id"]), (&json!("bob"), &json!("bearer")));
        assert_eq!(reply.json.get("refresh_token"), None);
        assert_eq!(said(at, ask(&at.url(At::Token), "2")).await, "200");
        assert_eq!(said(at, ask(&at.url(At::Token), "2")).await, "400 invalid_grant");
    });
}

#[test]
fn t44_a_token_for_a_token() {
    const TYPE: &str = "urn:ietf:params:oauth:token-type:access_token";
    in_lab(async |lab, at| {
        let code = at.code_with("web", &[("resource", API)]).await;
        let tokens = at.send(at.redeem("web", &code)).await;
        let ask = |id: &str, subject: &str, resource: &str| {
            at.by(id, At::Token).fields(&[
                ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
                ("subject_token", subject),
                ("subject_token_type", TYPE),
                ("resource", resource),
            ])
        };
        let reply = at.send(ask("exchanger", tokens.text("access_token"), API_B)).await;
        assert_eq!(reply.said(), "200", "{}", reply.json);
        assert_eq!(reply.json["issued_token_type"], TYPE);
        let first = claims(reply.text("access_token"));
        assert_eq!((&first["sub"], &first["aud"]), (&json!(ALICE), &json!(API_B)));
        assert_eq!(first["act"], json!({ "sub": "exchanger" }));
        assert!(first["exp"].as_u64() <= claims(tokens.text("access_token"))["exp"].as_u64());
        // Again and again: who acts is a chain with an end.
        lab.change("exchanger", |client| client.serves.extend([API_B.to_owned()]));
        let (mut token, mut depth) = (reply.text("access_token").to_owned(), 1);
        loop {
            // A hop to another service and back.
            let hop = format!("exchanger-{depth}");
            lab.add("exchanger", &hop);
            let ask = ask("exchanger", &token, API_B).basic(&hop, &secret("exchanger"));
            let reply = at.send(ask).await;
            if reply.status != 200 {
                assert_eq!(reply.said(), "400 invalid_request");
                break;
            }
            token = reply.text("access_token").to_owned();
            depth += 1;
            assert!(depth < 20, "act has no end");
        }
        assert!(depth >= 2);
        // What ends the grant ends what came of it.
        let store = lab.ports().store;
        store.end_grants_of(ALICE, vestibule_token_endpoint::EndReason::ByPerson, at.now()).await.unwrap();
        assert!(!at.is_active("exchanger", reply.text("access_token")).await);
    });
}

#[test]
fn t45_t46_grants_that_there_are_not_and_that_a_client_may_not_use() {
    in_lab(async |_, at| {
        for (id, grant_type, wanted) in [
            ("web", "password", "400 unsupported_grant_type"),
            ("web", "implicit", "400 unsupported_grant_type"),
            ("web", "urn:example:grant", "400 unsupported_grant_type"),
            ("web", "client_credentials", "400 unauthorized_client"),
            ("machine", "authorization_code", "400 unauthorized_client"),
            ("machine", "urn:ietf:params:oauth:grant-type:token-exchange", "400 unauthorized_client"),
        ] {
            let ask = at.by(id, At::Token).fields(&[("grant_type", grant_type), ("code", "x")]);
            assert_eq!(said(at, ask).await, wanted, "{id} {grant_type}");
        }
        for response_type in ["token", "id_token", "code token", "none"] {
            let arrived = at.ask_for("web", &[("response_type", response_type)]).await;
            assert_eq!(arrived.said(), "back: unsupported_response_type", "{response_type}");
        }
    });
}

#[test]
fn t47_t48_t49_t50_proofs_and_nonces() {
    in_lab(async |lab, at| {
        let nonce = at.nonce().await;
        let with = |nonce: &str| good(at).header("dpop", &at.proof(At::Token, Key(1), Some(nonce)));
        assert_eq!(said(at, with(&nonce)).await, "200");
        // It lasts a while, and a fresh one comes with each answer to a request that had a proof.
        lab.later(Duration::from_secs(60));
        let reply = at.send(with(&nonce)).await;
        assert_eq!(reply.said(), "200");
        let newer = reply.header("dpop-nonce").unwrap().to_owned();
        assert_ne!(newer, nonce);
        lab.later(Duration::from_secs(600));
        let reply = at.send(with(&nonce)).await;
        assert_eq!(reply.said(), "400 use_dpop_nonce");
        assert_eq!(said(at, with(reply.header("dpop-nonce").unwrap())).await, "200");
        // nbf and exp, if they are there, are honoured.
        let now = at.now().as_secs();
        let nonce = json!(at.nonce().await);
        for (claim, wanted) in [
            (("exp", json!(now - 61)), "400 invalid_dpop_proof"),
            (("nbf", json!(now + 61)), "400 invalid_dpop_proof"),
            (("exp", json!(now + 60)), "200"),
            (("jti", json!("j".repeat(257))), "400 invalid_dpop_proof"),
            (("iat", json!("now")), "400 invalid_dpop_proof"),
        ] {
            let proof = at.odd_proof(&[], &[("nonce", nonce.clone()), claim.clone()], Key(1));
            assert_eq!(said(at, good(at).header("dpop", &proof)).await, wanted, "{claim:?}");
        }
        // Two keys may use one name for their proofs; one key may not use it twice.
        let named = |key| at.odd_proof(&[], &[("nonce", nonce.clone()), ("jti", json!("same"))], key);
        assert_eq!(said(at, good(at).header("dpop", &named(Key(1)))).await, "200");
        assert_eq!(said(at, good(at).header("dpop", &named(Key(2)))).await, "200");
        assert_eq!(said(at, good(at).header("dpop", &named(Key(1)))).await, "400 invalid_dpop_proof");
    });
}

#[test]
fn t51_t52_t53_what_is_bound_says_so() {
    in_lab(async |_, at| {
        let jkt = Key(1).proof_key().thumbprint().to_string();
        let reply = at.send(at.proven(good(at), Key(1)).await).await;
        assert_eq!(reply.json["token_type"], "DPoP");
        assert_eq!(claims(reply.text("access_token"))["cnf"], json!({ "jkt": jkt }));
        let facts = at.introspect("machine", reply.text("access_token")).await;
        assert_eq!((&facts.json["cnf"]["jkt"], &facts.json["token_type"]), (&json!(jkt), &json!("DPoP")));
        let reply = at.send(good(at)).await;
        assert_eq!(
            (&reply.json["token_type"], claims(reply.text("access_token")).get("cnf")),
            (&json!("Bearer"), None)
        );

        let code = at.code_with("web", &[("dpop_jkt", &jkt)]).await;
        assert_eq!(said(at, at.redeem("web", &code)).await, "400 invalid_grant");
        assert_eq!(said(at, at.proven(at.redeem("web", &code), Key(2)).await).await, "400 invalid_grant");
        assert_eq!(said(at, at.proven(at.redeem("web", &code), Key(1)).await).await, "200");
        // A proof at PAR binds the code without another word.
        let parameters = at.parameters("web");
        let ask = parameters.iter().fold(at.by("web", At::Par), |ask, (name, value)| ask.field(name, value));
        let nonce = at.nonce().await;
        let ask = ask.header("dpop", &at.proof(At::Par, Key(1), Some(&nonce)));
        let other = ask.clone().field("dpop_jkt", &Key(2).proof_key().thumbprint().to_string());
        assert_eq!(
            said(at, other.bare("dpop").header("dpop", &at.proof(At::Par, Key(1), Some(&nonce)))).await,
            "400 invalid_grant"
        );
        let pushed = at.send(ask).await;
        let query = format!("client_id=web&request_uri={}", pushed.text("request_uri"));
        let code = at.authorize(query).await.value("code").unwrap();
        assert_eq!(said(at, at.redeem("web", &code)).await, "400 invalid_grant");
        assert_eq!(said(at, at.proven(at.redeem("web", &code), Key(1)).await).await, "200");
    });
}

#[test]
fn t54_resources() {
    in_lab(async |_, at| {
        let both = at.ask_for("web", &[("resource", API)]).await;
        assert_eq!(both.said(), "code");
        let code = both.value("code").unwrap();
        let tokens = at.send(at.redeem("web", &code)).await;
        assert_eq!(claims(tokens.text("access_token"))["aud"], API);
        let wider = at.refresh("web", tokens.text("refresh_token")).field("resource", API_B);
        assert_eq!(said(at, wider).await, "400 invalid_target");
        for resource in ["api.test", "/a", "https://api.test/a#f", "https://elsewhere.test/", ""] {
            let wanted = if resource.is_empty() { "200" } else { "400 invalid_target" };
            assert_eq!(said(at, good(at).field("resource", resource)).await, wanted, "{resource}");
        }
        let reply = at.send(good(at).field("resource", API).field("resource", API_B)).await;
        assert_eq!(claims(reply.text("access_token"))["aud"], json!([API, API_B]));
        // For nothing in particular it is for this server.
        assert_eq!(claims(at.send(good(at)).await.text("access_token"))["aud"], at.issuer());
    });
}

#[test]
fn t55_t57_t58_t59_every_answer_is_json_and_kept_by_nobody() {
    const CODES: [&str; 15] = [
        "invalid_request",
        "invalid_client",
        "invalid_grant",
        "unauthorized_client",
        "unsupported_grant_type",
        "unsupported_response_type",
        "invalid_scope",
        "invalid_target",
        "invalid_dpop_proof",
        "use_dpop_nonce",
        "authorization_pending",
        "slow_down",
        "access_denied",
        "expired_token",
        "temporarily_unavailable",
    ];
    in_lab(async |lab, at| {
        let mut asks: Vec<Ask> = forms(at).into();
        asks.extend([
            good(at).method("GET"),
            good(at).media_type("text/plain"),
            good(at).body("x".repeat(70_000)),
            good(at).basic("machine", "wrong"),
            good(at).with("grant_type", "x"),
            good(at).field("scope", "\""),
            good(at).field("resource", "x"),
            good(at).header("dpop", "x"),
            good(at).header("dpop", &at.proof(At::Token, Key(1), None)),
            at.redeem("web", "x"),
            at.by("app", At::Token).field("grant_type", "client_credentials"),
        ]);
        for down in [false, true] {
            if down {
                lab.fail_after(0);
            }
            for ask in &asks {
                let reply = at.send(ask.clone()).await;
                assert_eq!(reply.header("cache-control"), Some("no-store"), "{ask:?}");
                assert_eq!(reply.header("pragma"), Some("no-cache"), "{ask:?}");
                assert_eq!(reply.header("access-control-allow-origin"), Some("*"));
                assert_eq!(reply.header("access-control-allow-credentials"), None);
                let exposed = reply.header("access-control-expose-headers").unwrap().to_lowercase();
                assert!(exposed.contains("dpop-nonce") && exposed.contains("www-authenticate"), "{exposed}");
                if reply.body.is_empty() {
                    assert_eq!(reply.status, 200, "only a revocation has nothing to say");
                } else {
                    assert_eq!(reply.header("content-type"), Some("application/json"), "{ask:?}");
                    assert!(reply.json.is_object());
                }
                if reply.status >= 400 {
                    assert!(CODES.contains(&reply.text("error")), "{}", reply.json);
                    assert!(!reply.text("error_description").is_empty());
                }
                assert!(!(300..400).contains(&reply.status), "no answer sends anybody anywhere");
            }
        }
    });
    let preflight = preflight();
    assert_eq!(preflight.status(), 204);
    let value = |name: &str| preflight.headers()[name].to_str().unwrap().to_lowercase();
    assert_eq!(value("access-control-allow-headers"), "authorization, content-type, dpop");
    assert!(value("access-control-max-age").parse::<u32>().unwrap() > 0);
}

#[test]
fn t56_a_challenge_answers_the_header_field_and_nothing_else() {
    in_lab(async |_, at| {
        let reply = at.send(good(at).basic("machine", "wrong")).await;
        assert_eq!(reply.said(), "401 invalid_client");
        let challenge = reply.header("www-authenticate").unwrap();
        for part in
            ["Basic realm=\"", "charset=\"UTF-8\"", "error=\"invalid_client\"", "error_description=\""]
        {
            assert!(challenge.contains(part), "{challenge}");
        }
        let post =
            good(at).bare("authorization").field("client_id", "machine").field("client_secret", "wrong");
        let reply = at.send(post).await;
        assert_eq!((reply.said().as_str(), reply.header("www-authenticate")), ("400 invalid_client", None));
    });
}

#[test]
fn t60_t61_what_a_token_answer_holds() {
    in_lab(async |_, at| {
        let code = at.code("web").await;
        let reply = at.send(at.redeem("web", &code)).await;
        let names: BTreeSet<&str> = reply.json.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(
            names,
            BTreeSet::from(["access_token", "token_type", "expires_in", "scope", "refresh_token"])
        );
        assert!(reply.json["expires_in"].is_u64());
        assert!(reply.json.as_object().unwrap().values().all(|value| !value.is_null()));
        let reply = at.send(good(at)).await;
        let names: BTreeSet<&str> = reply.json.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(names, BTreeSet::from(["access_token", "token_type", "expires_in", "scope"]));
    });
}

#[test]
fn t62_access_tokens_in_both_forms() {
    in_lab(async |lab, at| {
        let reply = at.send(good(at).field("resource", API).field("scope", "read")).await;
        let text = reply.text("access_token");
        let jws = Compact::parse(text, 8192).unwrap();
        assert!(jws.header().is_type("at+jwt"));
        let mut set = String::new();
        lab.endpoint().jwks().write_json(&mut set);
        let set: Value = serde_json::from_str(&set).unwrap();
        assert_eq!(set["keys"][0]["kid"].as_str(), jws.header().kid());
        let key = vestibule_dpop::JwkSet::parse(set.to_string()).unwrap();
        jws.verify(&DefaultVerifier, key.entries()[0].key(), &[jws.header().algorithm()]).unwrap();
        assert!(Claims::parse(jws.payload()).is_ok());
        let claims = claims(text);
        let now = at.now().as_secs();
        assert_eq!(claims["iss"], at.issuer());
        assert_eq!((&claims["aud"], &claims["scope"]), (&json!(API), &json!("read")));
        assert_eq!((&claims["iat"], &claims["exp"]), (&json!(now), &json!(now + 600)));
        assert!(claims["jti"].as_str().unwrap().len() >= 22);

        let opaque = at.send(at.by("opaque", At::Token).field("grant_type", "client_credentials")).await;
        let text = opaque.text("access_token");
        assert!(text.starts_with("vat_") && text.len() >= 4 + 52, "{text}");
        assert!(at.is_active("opaque", text).await);
        // The checksum tells a scanner, and us, what was never a token.
        let last = if text.ends_with('a') { 'b' } else { 'a' };
        assert!(!at.is_active("opaque", &format!("{}{last}", &text[..text.len() - 1])).await);
        lab.later(Duration::from_secs(600));
        assert!(!at.is_active("opaque", text).await);
    });
}

/// The other signature of ECDSA that verifies: (r, n - s).
fn twin(jws: &str) -> String {
    let (signed, signature) = jws.rsplit_once('.').unwrap();
    let signature = base64url::decode(signature).unwrap();
    let signature = p256::ecdsa::Signature::from_slice(&signature).unwrap();
    let (r, s) = signature.split_scalars();
    let twin = p256::ecdsa::Signature::from_scalars(r.to_bytes(), (-*s).to_bytes()).unwrap();
    format!("{signed}.{}", base64url::encode(twin.to_bytes()))
}

#[test]
fn t64_a_signed_token_that_was_taken_back_has_no_twin() {
    in_lab(async |_, at| {
        for revoke_the_twin in [false, true] {
            let token = at.send(good(at)).await.text("access_token").to_owned();
            let twin = twin(&token);
            assert_ne!(twin, token);
            for text in [&token, &twin] {
                assert!(at.is_active("machine", text).await, "both verify");
            }
            let taken_back = if revoke_the_twin { &twin } else { &token };
            let ask = at.by("machine", At::Revoke).field("token", taken_back);
            assert_eq!(said(at, ask).await, "200");
            for text in [&token, &twin] {
                assert!(!at.is_active("machine", text).await, "{revoke_the_twin}");
            }
        }
    });
}

#[test]
fn t63_what_a_client_was_issued_ends_with_the_client() {
    in_lab(async |lab, at| {
        let signed = at.send(good(at)).await.text("access_token").to_owned();
        let tokens = at.tokens("web").await;
        assert!(at.is_active("web", &tokens.refresh).await && at.is_active("machine", &signed).await);
        for id in ["machine", "web"] {
            lab.change(id, |client| client.state = ClientState::Disabled);
        }
        // A resource that they are shown to is told so.
        lab.change("api", |client| {
            client.serves.insert(at.issuer().to_owned());
        });
        for token in [&signed, &tokens.access] {
            assert!(!at.is_active("api", token).await);
        }
    });
}

#[test]
fn t63_introspection() {
    in_lab(async |_, at| {
        let code = at.code_with("opaque", &[("resource", API)]).await;
        let tokens = at.send(at.redeem("opaque", &code)).await;
        for id in ["opaque", "api"] {
            let facts = at.introspect(id, tokens.text("access_token")).await.json;
            assert_eq!(facts["active"], true, "{id}");
            assert_eq!((&facts["sub"], &facts["client_id"]), (&json!(ALICE), &json!("opaque")));
            assert_eq!((&facts["aud"], &facts["scope"]), (&json!(API), &json!("read write")));
        }
        for (id, token) in
            [("api-b", tokens.text("access_token")), ("web", tokens.text("access_token")), ("api", "x")]
        {
            let reply = at.introspect(id, token).await;
            assert_eq!((reply.status, &reply.json), (200, &json!({ "active": false })), "{id}");
        }
        // A hint is a hint.
        let ask = at
            .by("api", At::Introspect)
            .fields(&[("token", tokens.text("access_token")), ("token_type_hint", "refresh_token")]);
        assert_eq!(at.send(ask).await.json["active"], true);
    });
}

#[test]
fn t64_revocation() {
    in_lab(async |lab, at| {
        for id in ["web", "opaque", "app"] {
            let tokens = at.tokens(id).await;
            assert_eq!(said(at, at.by(id, At::Revoke).field("token", &tokens.access)).await, "200");
            assert_eq!(said(at, at.refresh(id, &tokens.refresh)).await, "200", "the access token alone");
            let tokens = at.tokens(id).await;
            assert_eq!(said(at, at.by(id, At::Revoke).field("token", &tokens.refresh)).await, "200");
            assert_eq!(said(at, at.refresh(id, &tokens.refresh)).await, "400 invalid_grant");
            if id != "app" {
                assert!(!at.is_active(id, &tokens.access).await, "{id}: the refresh token takes all with it");
            }
        }
        let tokens = at.tokens("web").await;
        lab.fail_after(0);
        let ask = at.by("web", At::Revoke).field("token", &tokens.refresh);
        assert_eq!(said(at, ask).await, "503 temporarily_unavailable", "CVE-2020-15223");
    });
}

#[test]
fn t65_the_metadata_says_what_runs_and_no_more() {
    let read = |lab: &Lab| serde_json::from_str::<Value>(&lab.endpoint().metadata().to_json()).unwrap();
    let full = read(&Lab::new());
    assert_eq!(full["issuer"], "https://as.test");
    assert_eq!(full["code_challenge_methods_supported"], json!(["S256"]));
    assert_eq!(full["authorization_response_iss_parameter_supported"], true);
    for grant in [
        "authorization_code",
        "refresh_token",
        "client_credentials",
        "urn:ietf:params:oauth:grant-type:device_code",
    ] {
        assert!(full["grant_types_supported"].as_array().unwrap().contains(&json!(grant)), "{grant}");
    }
    assert!(full["dpop_signing_alg_values_supported"].as_array().unwrap().contains(&json!("ES256")));
    let bare = Lab::set_up(|setup| {
        setup.urls = EndpointUrls::new(setup.urls.token.clone());
        setup.grant_types = BTreeSet::from([GrantType::CLIENT_CREDENTIALS]);
        setup.extensions.clear();
    });
    let bare = read(&bare);
    for name in [
        "authorization_endpoint",
        "pushed_authorization_request_endpoint",
        "introspection_endpoint",
        "revocation_endpoint",
        "device_authorization_endpoint",
        "response_modes_supported",
        "code_challenge_methods_supported",
    ] {
        assert_eq!(bare.get(name), None, "{name}");
    }
    assert_eq!(bare["grant_types_supported"], json!(["client_credentials"]));
    let fapi = read(&Lab::of(Profile::FAPI2));
    assert_eq!(fapi["require_pushed_authorization_requests"], true);
    assert_eq!(fapi["token_endpoint_auth_methods_supported"], json!(["private_key_jwt"]));
}

#[test]
fn t66_pushed_requests() {
    in_lab(async |lab, at| {
        let push = |changes: &[(&str, &str)]| {
            let mut parameters = at.parameters("web");
            parameters.retain(|(name, _)| changes.iter().all(|(change, _)| change != name));
            let ask =
                parameters.iter().fold(at.by("web", At::Par), |ask, (name, value)| ask.field(name, value));
            ask.fields(changes)
        };
        let pushed = at.send(push(&[])).await;
        assert_eq!(pushed.status, 201);
        assert!(pushed.json["expires_in"].as_u64().unwrap() <= 600);
        let name = pushed.text("request_uri").to_owned();
        assert!(name.starts_with("urn:ietf:params:oauth:request_uri:") && name.len() >= 34 + 52, "{name}");
        let arrive = |id: &str| at.authorize(format!("client_id={id}&request_uri={name}"));
        assert_eq!(arrive("other").await.said(), "page: 400 invalid_request_uri");
        assert_eq!(arrive("web").await.said(), "code");
        assert_eq!(arrive("web").await.said(), "page: 400 invalid_request_uri");
        let late = at.send(push(&[])).await.text("request_uri").to_owned();
        lab.later(Duration::from_secs(600));
        assert_eq!(
            at.authorize(format!("client_id=web&request_uri={late}")).await.said(),
            "page: 400 invalid_request_uri"
        );
        for (changes, wanted) in [
            (&[("request_uri", "urn:x")][..], "400 invalid_request"),
            (&[("redirect_uri", "https://evil.test/")], "400 invalid_request"),
            (&[("response_type", "token")], "400 unsupported_response_type"),
            (&[("code_challenge_method", "plain")], "400 invalid_request"),
            (&[("resource", "https://evil.test/")], "400 invalid_target"),
        ] {
            assert_eq!(said(at, push(changes)).await, wanted, "{changes:?}");
        }
        assert_eq!(said(at, push(&[]).basic("web", "wrong")).await, "401 invalid_client");
    });
}

#[test]
fn t67_the_presets() {
    at_lab(Lab::of(Profile::FAPI2), async |_, at| {
        assert_eq!(at.ask_for("signed", &[]).await.said(), "back: invalid_request", "not pushed");
        assert_eq!(said(at, good(at)).await, "401 invalid_client", "no secrets");
        let (_, code) = fapi_tokens(at).await;
        assert_eq!(said(at, at.proven(at.redeem("signed", &code), Key(1)).await).await, "400 invalid_grant");
        let unbound = at.by("signed", At::Token).field("grant_type", "client_credentials");
        assert_eq!(said(at, unbound).await, "400 invalid_dpop_proof");
    });
    at_lab(Lab::of(Profile::LEGACY20), async |_, at| {
        let without = [("code_challenge", ""), ("code_challenge_method", "")];
        let code = at.code_with("web", &without).await;
        assert_eq!(
            said(at, at.redeem("web", &code).without("code_verifier").without("redirect_uri")).await,
            "400 invalid_request"
        );
        assert_eq!(said(at, at.redeem("web", &code).without("code_verifier")).await, "200");
        assert_eq!(
            at.ask_for("app", &without).await.said(),
            "back: invalid_request",
            "public clients need it even so"
        );
    });
}

#[test]
fn t68_settings_are_looked_at_when_a_server_is_made() {
    let make = |change: &dyn Fn(&mut EndpointSetup)| {
        let urls = EndpointUrls::new("https://as.test/token".parse().unwrap());
        let mut setup = EndpointSetup::new("https://as.test".parse().unwrap(), urls);
        change(&mut setup);
        vestibule_token_endpoint::Endpoint::new(setup, Lab::keys(1)).map(|_| ())
    };
    assert_eq!(make(&|_| ()), Ok(()));
    let devices = make(&|setup| {
        setup.grant_types.insert(GrantType::DEVICE_CODE);
    });
    assert_eq!(devices, Err(InvalidSetup::NoVerification));
    let url = make(&|setup| setup.urls.token = "https://user@as.test/token".parse().unwrap());
    assert!(matches!(url, Err(InvalidSetup::Url(_))), "{url:?}");
    for issuer in ["http://as.test", "https://as.test/?x", "https://as.test#x", "as.test"] {
        assert!(issuer.parse::<vestibule_oauth_core::Issuer>().is_err(), "{issuer}");
    }
}

#[test]
fn t70_keys_are_changed_without_a_pause() {
    in_lab(async |lab, at| {
        let token = at.send(good(at)).await.text("access_token").to_owned();
        let nonce = at.nonce().await;
        // Published, and not used yet.
        let nonces = |keys| NonceIssuer::new(keys);
        let old_nonce = || NonceKeys::new(Secret::new([1; 32]));
        let new_nonce = || NonceKeys::new(Secret::new([2; 32]));
        let key = |number: u8| TokenKey::new(format!("token-{number}"), Key(200 + number).signer());
        let pepper = |number: u8| Pepper::new(format!("pepper-{number}"), &Secret::new([number; 32]));
        let soon = at.now().after(Duration::from_secs(300));
        lab.endpoint().take_up(EndpointKeys::new(
            vec![key(2).used_from(soon), key(1)],
            vec![pepper(2), pepper(1)],
            nonces(new_nonce().with_other(Secret::new([1; 32]))),
        ));
        let kid = |token: &str| Compact::parse(token, 8192).unwrap().header().kid().unwrap().to_owned();
        assert_eq!(lab.endpoint().jwks().entries().len(), 2);
        assert_eq!(kid(at.send(good(at)).await.text("access_token")), "token-1");
        let ask = good(at).header("dpop", &at.proof(At::Token, Key(1), Some(&nonce)));
        assert_eq!(said(at, ask).await, "200", "a nonce of the old key");
        lab.later(Duration::from_secs(300));
        assert_eq!(kid(at.send(good(at)).await.text("access_token")), "token-2");
        assert!(at.is_active("machine", &token).await, "a token of the old key");
        // Retired once nothing is left that needs it.
        lab.endpoint().take_up(EndpointKeys::new(vec![key(2)], vec![pepper(2)], nonces(old_nonce())));
        assert!(!at.is_active("machine", &token).await);
        assert_eq!(lab.endpoint().jwks().entries().len(), 1);
    });
}

#[test]
fn every_requirement_has_its_number() {
    // T23 and half of T54 are later work; T69 is what a deployment has to see to, and is tried on the wire.
    let source = concat!(include_str!("oauth_requirements.rs"), include_str!("oauth_wire.rs"));
    for number in (1..=70).filter(|number| *number != 23) {
        let named = source.contains(&format!("fn t{number}_")) || source.contains(&format!("_t{number}_"));
        assert!(named, "T{number}");
    }
}
