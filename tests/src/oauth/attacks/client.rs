//! Who says they are a client and is not.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::oauth::roster::{SIGNED_KEY, SIGNED_TOO_KEY, secret};
use crate::oauth::{Ask, At, Ground, Key, fresh, jwt, sign};

/// A request by nobody yet.
fn form(at: &dyn Ground) -> Ask {
    Ask::post(at.url(At::Token)).field("grant_type", "client_credentials")
}

/// A request with this text as the client's assertion.
fn asserting(at: &dyn Ground, text: &str) -> Ask {
    at.asserting(form(at), text)
}

/// A request of the client `signed` with these claims in the place of others.
fn claiming(at: &dyn Ground, changes: &[(&str, Value)]) -> Ask {
    asserting(at, &at.assertion("signed", changes, SIGNED_KEY))
}

/// The claims of a good assertion of the client `signed`.
fn claims(at: &dyn Ground) -> Value {
    let now = at.now().as_secs();
    let jti = URL_SAFE_NO_PAD.encode(fresh::<16>());
    json!({ "iss": "signed", "sub": "signed", "aud": at.issuer(), "jti": jti, "iat": now, "exp": now + 60 })
}

super::attacks! {
    async fn a18_two_authorization_fields(at, seen) {
        let right = STANDARD.encode(format!("machine:{}", secret("machine")));
        let wrong = STANDARD.encode("machine:wrong");
        for (what, first, second) in [("right, wrong", &right, &wrong), ("wrong, right", &wrong, &right), ("right, right", &right, &right)] {
            let ask = form(at).header("authorization", &format!("Basic {first}")).header("authorization", &format!("Basic {second}"));
            seen.reply(what, "400 invalid_request", &at.send(ask).await);
        }
    }

    async fn a19_basic_and_a_secret_in_the_body(at, seen) {
        let ask = form(at).basic("machine", &secret("machine")).field("client_secret", &secret("machine"));
        seen.reply("the same secret", "200", &at.send(ask.clone()).await);
        let ask = ask.with("client_secret", "wrong").field("client_id", "machine");
        seen.reply("a wrong secret in the body", "200", &at.send(ask).await);
        let ask = form(at).basic("machine", "wrong").field("client_secret", &secret("machine"));
        seen.reply("a wrong secret in the header", "401 invalid_client", &at.send(ask).await);
    }

    async fn a20_basic_and_another_client_in_the_body(at, seen) {
        let ask = form(at).basic("machine", &secret("machine"));
        seen.reply("another client_id", "400 invalid_request", &at.send(ask.clone().field("client_id", "web")).await);
        seen.reply("the same client_id", "200", &at.send(ask.field("client_id", "machine")).await);
    }

    async fn a21_basic_and_an_assertion(at, seen) {
        let ask = claiming(at, &[]).basic("machine", &secret("machine"));
        seen.reply("both", "400 invalid_request", &at.send(ask).await);
    }

    async fn a22_another_scheme(at, seen) {
        for field in ["Bearer x", "DPoP x", "Digest username=\"machine\"", "Basic"] {
            let ask = form(at).field("client_id", "machine").header("authorization", field);
            let reply = at.send(ask).await;
            seen.reply(field, "401 invalid_client", &reply);
            seen.note("and a challenge", "Basic", scheme(&reply));
        }
    }

    async fn a23_basic_that_is_none(at, seen) {
        let whole = STANDARD.encode(format!("machine:{}", secret("machine")));
        let url_safe = URL_SAFE_NO_PAD.encode("machine:\u{fffd}\u{fffe}>>??");
        for (what, encoded) in [
            ("no colon", STANDARD.encode("machine")),
            ("no base64", "!!!".to_owned()),
            ("url-safe base64", url_safe),
            ("something behind it", format!("{whole} x")),
            ("no UTF-8", STANDARD.encode(b"machine:\xff")),
        ] {
            let reply = at.send(form(at).header("authorization", &format!("Basic {encoded}"))).await;
            seen.reply(what, "401 invalid_client", &reply);
            seen.note("and a challenge", "Basic", scheme(&reply));
        }
    }

    async fn a24_a_secret_of_all_characters(at, seen) {
        // Redeeming no code: who gets as far as that is authenticated.
        let ask = |id: &str| Ask::post(at.url(At::Token)).fields(&[("grant_type", "authorization_code"), ("code", "x"), ("client_id", id)]);
        seen.reply("encoded in the header", "400 invalid_grant", &at.send(ask("odd").basic("odd", &secret("odd"))).await);
        seen.reply("in the body", "400 invalid_grant", &at.send(ask("odd").field("client_secret", &secret("odd"))).await);
        seen.reply("as it stands in the header", "400 invalid_grant", &at.send(ask("odd").basic_as_it_stands(&format!("odd:{}", secret("odd")))).await);
        seen.reply("beyond ASCII, encoded", "400 invalid_grant", &at.send(ask("umlaut").basic("umlaut", &secret("umlaut"))).await);
    }

    async fn a25_an_empty_secret(at, seen) {
        seen.reply("in the header", "401 invalid_client", &at.send(form(at).basic("machine", "")).await);
        let ask = form(at).field("client_id", "machine").field("client_secret", "");
        seen.reply("in the body", "400 invalid_client", &at.send(ask).await);
        seen.reply("none at all", "400 invalid_client", &at.send(form(at).field("client_id", "machine")).await);
    }

    async fn a26_a_wrong_secret(at, seen) {
        let right = secret("machine");
        let same_length = format!("{}X", &right[..right.len() - 1]);
        for (what, wrong) in [("of the same length", same_length), ("shorter", right[..10].to_owned()), ("longer", format!("{right}x"))] {
            seen.reply(what, "401 invalid_client", &at.send(form(at).basic("machine", &wrong)).await);
        }
    }

    async fn a27_an_unknown_client(at, seen) {
        let unknown = at.send(form(at).basic("nobody", "wrong")).await;
        let wrong = at.send(form(at).basic("machine", "wrong")).await;
        let method = at.send(form(at).basic("post", &secret("post"))).await;
        seen.reply("in the header", "401 invalid_client", &unknown);
        seen.note("as with a wrong secret", "true", unknown.body == wrong.body);
        seen.note("as with a wrong method", "true", unknown.body == method.body);
        let ask = form(at).field("client_id", "nobody").field("client_secret", "wrong");
        seen.reply("in the body", "400 invalid_client", &at.send(ask).await);
    }

    async fn a28_a_public_client_with_a_secret(at, seen) {
        let code = at.code("app").await;
        let ask = at.redeem("app", &code);
        seen.reply("in the body", "400 invalid_client", &at.send(ask.clone().field("client_secret", "x")).await);
        seen.reply("in the header", "401 invalid_client", &at.send(ask.clone().basic("app", "x")).await);
        let assertion = at.assertion("app", &[], SIGNED_KEY);
        seen.reply("an assertion", "400 invalid_client", &at.send(at.asserting(ask.clone(), &assertion)).await);
        seen.reply("and then as it should", "200", &at.send(ask).await);
    }

    async fn a29_a_method_it_is_not_registered_for(at, seen) {
        let ask = || Ask::post(at.url(At::Token)).fields(&[("grant_type", "authorization_code"), ("code", "x")]);
        let post = ask().field("client_id", "basic").field("client_secret", &secret("basic"));
        seen.reply("Basic, in the body", "400 invalid_client", &at.send(post).await);
        seen.reply("post, in the header", "401 invalid_client", &at.send(ask().basic("post", &secret("post"))).await);
        let assertion = at.assertion("web", &[], SIGNED_KEY);
        seen.reply("a secret, by assertion", "400 invalid_client", &at.send(at.asserting(ask(), &assertion)).await);
        seen.reply("an assertion, by name alone", "400 invalid_client", &at.send(ask().field("client_id", "signed")).await);
    }

    async fn a31_no_algorithm(at, seen) {
        for alg in ["none", "NoNe", "NONE"] {
            let unsigned = jwt(&json!({ "alg": alg }), &claims(at), SIGNED_KEY);
            let bare = &unsigned[..=unsigned.rfind('.').unwrap_or_default()];
            seen.reply(&format!("{alg}, no signature"), "400 invalid_client", &at.send(asserting(at, bare)).await);
            seen.reply(&format!("{alg}, with a signature"), "400 invalid_client", &at.send(asserting(at, &unsigned)).await);
        }
    }

    async fn a32_a_public_key_as_a_secret(at, seen) {
        for key in [SIGNED_KEY.jwk().to_string(), SIGNED_KEY.jwk()["x"].to_string()] {
            let input = format!(
                "{}.{}",
                URL_SAFE_NO_PAD.encode(json!({ "alg": "HS256", "kid": SIGNED_KEY.kid() }).to_string()),
                URL_SAFE_NO_PAD.encode(claims(at).to_string()),
            );
            let mut mac = Hmac::<Sha256>::new_from_slice(key.as_bytes()).expect("a key of any length");
            mac.update(input.as_bytes());
            let text = format!("{input}.{}", URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()));
            seen.reply("HS256", "400 invalid_client", &at.send(asserting(at, &text)).await);
        }
    }

    async fn a33_a_key_of_the_attacker(at, seen) {
        let evil = Key(66);
        let public = { let mut jwk = evil.jwk(); if let Some(members) = jwk.as_object_mut() { members.remove("kid"); } jwk };
        for (what, header) in [
            ("jwk", json!({ "alg": "ES256", "jwk": public })),
            ("jku", json!({ "alg": "ES256", "jku": "https://evil.test/jwks.json", "kid": evil.kid() })),
            ("x5u", json!({ "alg": "ES256", "x5u": "https://evil.test/cert.pem" })),
            ("the client's kid", json!({ "alg": "ES256", "kid": SIGNED_KEY.kid() })),
            ("no kid", json!({ "alg": "ES256" })),
        ] {
            seen.reply(what, "400 invalid_client", &at.send(asserting(at, &jwt(&header, &claims(at), evil))).await);
        }
    }

    async fn a34_something_critical(at, seen) {
        for crit in [json!(["exp"]), json!([]), json!(["b64"]), json!("b64")] {
            let header = json!({ "alg": "ES256", "crit": crit, "b64": true });
            let text = jwt(&header, &claims(at), SIGNED_KEY);
            seen.reply(&crit.to_string(), "400 invalid_client", &at.send(asserting(at, &text)).await);
        }
    }

    async fn a35_an_assertion_for_somebody_else(at, seen) {
        let issuer = at.issuer();
        for (what, aud) in [
            ("the token endpoint", json!(at.url(At::Token))),
            ("another server as well", json!([issuer, "https://evil.test"])),
            ("nobody", Value::Null),
            ("nobody in a list", json!([])),
            ("the issuer with a slash more", json!(format!("{issuer}/"))),
            ("the issuer twice", json!([issuer, issuer])),
            ("a number", json!(7)),
        ] {
            seen.reply(what, "400 invalid_client", &at.send(claiming(at, &[("aud", aud)])).await);
        }
        seen.reply("the issuer in a list", "200", &at.send(claiming(at, &[("aud", json!([issuer]))])).await);
        seen.reply("the issuer", "200", &at.send(claiming(at, &[("aud", json!(issuer))])).await);
    }

    async fn a36_another_time(at, seen) {
        let now = at.now().as_secs();
        for (what, name, time) in [
            ("ended", "exp", json!(now - 1)),
            ("no end", "exp", Value::Null),
            ("ends in ten years", "exp", json!(now + 315_360_000)),
            ("ends never", "exp", json!(1e300)),
            ("ends as a text", "exp", json!((now + 60).to_string())),
            ("begins in 61 s", "nbf", json!(now + 61)),
            ("made in 61 s", "iat", json!(now + 61)),
        ] {
            seen.reply(what, "400 invalid_client", &at.send(claiming(at, &[(name, time)])).await);
        }
        seen.reply("begins in 9 s", "200", &at.send(claiming(at, &[("nbf", json!(now + 9))])).await);
    }

    async fn a37_another_subject(at, seen) {
        seen.reply("iss is not sub", "400 invalid_client", &at.send(claiming(at, &[("iss", json!("web"))])).await);
        seen.reply("sub is another client", "400 invalid_client", &at.send(claiming(at, &[("sub", json!("web"))])).await);
        let both = [("iss", json!("signed-too")), ("sub", json!("signed-too"))];
        seen.reply("both are", "400 invalid_client", &at.send(claiming(at, &both)).await);
        seen.reply("no sub", "400 invalid_client", &at.send(claiming(at, &[("sub", Value::Null)])).await);
        let ask = claiming(at, &[]).field("client_id", "web");
        seen.reply("client_id is another", "400 invalid_request", &at.send(ask).await);
        seen.reply("client_id is the same", "200", &at.send(claiming(at, &[]).field("client_id", "signed")).await);
    }

    async fn a38_an_assertion_twice(at, seen) {
        let ask = claiming(at, &[]);
        seen.reply("once", "200", &at.send(ask.clone()).await);
        seen.reply("twice", "400 invalid_client", &at.send(ask).await);
        let ask = claiming(at, &[]);
        let replies = at.send_at_once(vec![ask; 50]).await;
        seen.replies("50 at once", "1 x 200, 49 x 400 invalid_client", &replies);
        seen.reply("without jti", "400 invalid_client", &at.send(claiming(at, &[("jti", Value::Null)])).await);
    }

    async fn a39_a_long_jti_and_somebody_elses(at, seen) {
        let large = claiming(at, &[("jti", json!("j".repeat(1024 * 1024)))]);
        seen.reply("1 MB", "413 invalid_request", &at.send(large).await);
        seen.reply("9 KB", "400 invalid_client", &at.send(claiming(at, &[("jti", json!("j".repeat(9 * 1024)))])).await);
        seen.reply("257 octets", "400 invalid_client", &at.send(claiming(at, &[("jti", json!("j".repeat(257)))])).await);
        seen.reply("empty", "400 invalid_client", &at.send(claiming(at, &[("jti", json!(""))])).await);
        let jti = json!(URL_SAFE_NO_PAD.encode(fresh::<16>()));
        seen.reply("one client's", "200", &at.send(claiming(at, &[("jti", jti.clone())])).await);
        let other = at.assertion("signed-too", &[("jti", jti)], SIGNED_TOO_KEY);
        seen.reply("the same of another client", "200", &at.send(asserting(at, &other)).await);
    }

    async fn a40_a_signed_text_that_is_none(at, seen) {
        let good = jwt(&json!({ "alg": "ES256" }), &claims(at), SIGNED_KEY);
        let parts: Vec<&str> = good.split('.').collect();
        let json_form = json!({ "protected": parts[0], "payload": parts[1], "signature": parts[2] }).to_string();
        let twice = format!(r#"{{"iss":"web",{}"#, &claims(at).to_string()[1..]);
        for (what, text) in [
            ("two parts", format!("{}.{}", parts[0], parts[1])),
            ("four parts", format!("{good}.x")),
            ("JSON", json_form),
            ("a claim twice", sign(r#"{"alg":"ES256"}"#, &twice, SIGNED_KEY)),
            ("alg twice", sign(r#"{"alg":"none","alg":"ES256"}"#, &claims(at).to_string(), SIGNED_KEY)),
            ("alg in a list", sign(r#"{"alg":["ES256"]}"#, &claims(at).to_string(), SIGNED_KEY)),
            ("a header of null", sign("null", &claims(at).to_string(), SIGNED_KEY)),
            ("a payload of null", sign(r#"{"alg":"ES256"}"#, "null", SIGNED_KEY)),
            ("padded", format!("{good}=")),
            ("empty parts", "..".to_owned()),
        ] {
            seen.reply(what, "400 invalid_client", &at.send(asserting(at, &text)).await);
        }
        let ask = asserting(at, &good).with("client_assertion_type", "urn:example:other");
        seen.reply("another client_assertion_type", "400 invalid_request", &at.send(ask).await);
        let ask = asserting(at, &good).without("client_assertion_type");
        seen.reply("no client_assertion_type", "400 invalid_request", &at.send(ask).await);
    }

    async fn a41_a_signature_that_is_none(at, seen) {
        let good = jwt(&json!({ "alg": "ES256" }), &claims(at), SIGNED_KEY);
        let input = &good[..good.rfind('.').unwrap_or_default()];
        let with = |signature: &[u8]| asserting(at, &format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature)));
        // A DER SEQUENCE of two INTEGERs, as openssl writes a signature.
        let der = [&[0x30, 0x06, 0x02, 0x01, 0x01, 0x02, 0x01, 0x01][..], &[0; 64]].concat();
        for (what, signature) in [
            ("zeros", vec![0; 64]),
            ("r and s of the order", [[0xff; 32], [0xff; 32]].concat()),
            ("none", Vec::new()),
            ("63 octets", vec![1; 63]),
            ("65 octets", vec![1; 65]),
            ("DER", der[..8].to_vec()),
            ("1,000 octets", vec![1; 1000]),
        ] {
            seen.reply(what, "400 invalid_client", &at.send(with(&signature)).await);
        }
        seen.reply("of another text", "400 invalid_client", &at.send(asserting(at, &jwt(&json!({ "alg": "ES256" }), &json!({ "sub": "signed" }), SIGNED_KEY))).await);
    }
}

/// The scheme of the challenge in an answer.
fn scheme(reply: &crate::oauth::Reply) -> String {
    let challenge = reply.header("www-authenticate").unwrap_or("nothing");
    challenge.split(' ').next().unwrap_or_default().to_owned()
}
