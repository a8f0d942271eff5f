//! Proofs that prove nothing.

use serde_json::{Value, json};

use crate::oauth::roster::{SIGNED_KEY, secret};
use crate::oauth::{Ask, At, Ground, Key};

/// A request that is right but for its proof.
fn good(at: &dyn Ground) -> Ask {
    at.by("machine", At::Token).field("grant_type", "client_credentials")
}

super::attacks! {
    async fn a67_two_proofs(at, seen) {
        let nonce = at.nonce().await;
        let proof = || at.proof(At::Token, Key(1), Some(&nonce));
        let ask = good(at).header("dpop", &proof()).header("dpop", &proof());
        seen.reply("two header fields", "400 invalid_dpop_proof", &at.send(ask).await);
        let ask = good(at).header("dpop", &format!("{}, {}", proof(), proof()));
        seen.reply("two in one", "400 invalid_dpop_proof", &at.send(ask).await);
        seen.reply("an empty one", "400 invalid_dpop_proof", &at.send(good(at).header("dpop", "")).await);
        seen.reply("and then one", "200", &at.send(good(at).header("dpop", &proof())).await);
    }

    async fn a68_a_header_that_is_none(at, seen) {
        let nonce = json!(at.nonce().await);
        let mut private = Key(1).jwk();
        private["d"] = json!("AQAB");
        for (what, header) in [
            ("no typ", ("typ", Value::Null)),
            ("typ jwt", ("typ", json!("jwt"))),
            ("alg none", ("alg", json!("none"))),
            ("alg HS256", ("alg", json!("HS256"))),
            ("no jwk", ("jwk", Value::Null)),
            ("a private jwk", ("jwk", private)),
            ("a secret jwk", ("jwk", json!({ "kty": "oct", "k": "AQAB" }))),
            ("another jwk", ("jwk", Key(2).jwk())),
            ("something critical", ("crit", json!(["b64"]))),
        ] {
            let proof = at.odd_proof(&[header], &[("nonce", nonce.clone())], Key(1));
            seen.reply(what, "400 invalid_dpop_proof", &at.send(good(at).header("dpop", &proof)).await);
        }
    }

    async fn a69_another_request(at, seen) {
        let nonce = json!(at.nonce().await);
        let url = at.url(At::Token);
        let (scheme, rest) = url.split_once("://").unwrap_or_default();
        let (host, path) = rest.split_once('/').unwrap_or_default();
        let other_scheme = if scheme == "https" { "http" } else { "https" };
        for (what, claim) in [
            ("htm get", ("htm", json!("GET"))),
            ("htm post", ("htm", json!("post"))),
            ("no htm", ("htm", Value::Null)),
            ("another host", ("htu", json!(format!("{scheme}://evil.test/{path}")))),
            ("another scheme", ("htu", json!(format!("{other_scheme}://{host}/{path}")))),
            ("a slash more", ("htu", json!(format!("{url}/")))),
            ("another path", ("htu", json!(format!("{scheme}://{host}/oauth2/other")))),
            ("no text", ("htu", json!([url]))),
            ("no htu", ("htu", Value::Null)),
            ("no jti", ("jti", Value::Null)),
            ("no iat", ("iat", Value::Null)),
        ] {
            let proof = at.odd_proof(&[], &[("nonce", nonce.clone()), claim], Key(1));
            seen.reply(what, "400 invalid_dpop_proof", &at.send(good(at).header("dpop", &proof)).await);
        }
        for (what, htu) in [
            ("a query", format!("{url}?a=b")),
            ("a fragment", format!("{url}#a")),
            ("the host in capitals", format!("{scheme}://{}/{path}", host.to_uppercase())),
        ] {
            let proof = at.odd_proof(&[], &[("nonce", nonce.clone()), ("htu", json!(htu))], Key(1));
            seen.reply(what, "200", &at.send(good(at).header("dpop", &proof)).await);
        }
    }

    async fn a70_another_time(at, seen) {
        let now = at.now().as_secs();
        for (what, iat) in [("an hour ago", now - 3600), ("in an hour", now + 3600)] {
            let proof = at.odd_proof(&[], &[("iat", json!(iat))], Key(1));
            seen.reply(what, "400 use_dpop_nonce", &at.send(good(at).header("dpop", &proof)).await);
            // With the server's own nonce it is the nonce that says when: clocks may be wrong by that much.
            let nonce = json!(at.nonce().await);
            let proof = at.odd_proof(&[], &[("iat", json!(iat)), ("nonce", nonce)], Key(1));
            seen.reply("with a nonce", "200", &at.send(good(at).header("dpop", &proof)).await);
        }
    }

    async fn a71_another_nonce(at, seen) {
        let code = at.code("app").await;
        let ask = at.redeem("app", &code);
        let good = at.nonce().await;
        let last = if good.ends_with('A') { 'Q' } else { 'A' };
        let forged = format!("{}{last}", &good[..good.len() - 1]);
        for (what, nonce) in [("none", None), ("made up", Some("made-up")), ("forged", Some(&*forged))] {
            let proof = at.proof(At::Token, Key(1), nonce);
            let reply = at.send(ask.clone().header("dpop", &proof)).await;
            seen.reply(what, "400 use_dpop_nonce", &reply);
            seen.note("and a nonce", "true", reply.header("dpop-nonce").is_some());
            let exposed = reply.header("access-control-expose-headers").unwrap_or_default().to_lowercase();
            seen.note("that scripts may read", "true", exposed.contains("dpop-nonce"));
        }
        seen.reply("and the code is as it was", "200", &at.send(at.proven(ask, Key(1)).await).await);
    }

    async fn a72_a_proof_twice(at, seen) {
        let ask = at.proven(good(at), Key(1)).await;
        seen.reply("once", "200", &at.send(ask.clone()).await);
        seen.reply("twice", "400 invalid_dpop_proof", &at.send(ask).await);
        let ask = at.proven(good(at), Key(1)).await;
        let replies = at.send_at_once(vec![ask; 50]).await;
        seen.replies("50 at once", "1 x 200, 49 x 400 invalid_dpop_proof", &replies);
    }

    async fn a74_a_code_for_a_key(at, seen) {
        let jkt = Key(1).proof_key().thumbprint().to_string();
        let code = at.code_with("app", &[("dpop_jkt", &jkt)]).await;
        let ask = at.redeem("app", &code);
        seen.reply("no proof", "400 invalid_grant", &at.send(ask.clone()).await);
        seen.reply("another key", "400 invalid_grant", &at.send(at.proven(ask.clone(), Key(2)).await).await);
        let reply = at.send(at.proven(ask, Key(1)).await).await;
        seen.reply("its key", "200", &reply);
        seen.note("and the tokens are bound", "DPoP", reply.json["token_type"].as_str().unwrap_or("nothing"));
        seen.arrived("a dpop_jkt that is none", "back: invalid_request", &at.ask_for("app", &[("dpop_jkt", "x")]).await);
    }

    async fn a75_another_host_in_the_headers(at, seen) {
        let nonce = json!(at.nonce().await);
        let path = at.url(At::Token).splitn(4, '/').nth(3).unwrap_or_default().to_owned();
        let htu = format!("https://evil.test/{path}");
        let proof = at.odd_proof(&[], &[("nonce", nonce.clone()), ("htu", json!(htu))], Key(1));
        for name in ["x-forwarded-host", "forwarded", "host"] {
            let value = if name == "forwarded" { "host=evil.test;proto=https" } else { "evil.test" };
            let ask = good(at).header(name, value).header("x-forwarded-proto", "https").header("dpop", &proof);
            seen.reply(name, "400 invalid_dpop_proof", &at.send(ask).await);
        }
        // And the right address is right whatever the headers say.
        let proof = at.odd_proof(&[], &[("nonce", nonce)], Key(1));
        let ask = Ask::post(at.url(At::Token)).field("grant_type", "client_credentials").basic("machine", &secret("machine"));
        let ask = ask.header("host", "evil.test").header("dpop", &proof);
        seen.reply("the right address, another host", "200", &at.send(ask).await);
    }

    async fn a73_the_clients_own_key(at, seen) {
        // The AT Protocol refuses it, and so does RFC 9449, section 5, in words: a key that proves who the client is proves nothing
        // about who holds a token.
        let ask = at.by("signed", At::Token).field("grant_type", "client_credentials");
        let reply = at.send(at.proven(ask, SIGNED_KEY).await).await;
        seen.reply("in OAuth 2.1 it may be", "200", &reply);
    }
}
