//! The other grants and the other endpoints.

use serde_json::json;

use crate::oauth::roster::{API, API_B, IDP, IDP_KEY};
use crate::oauth::{At, fresh, jwt};

const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
const DEVICE: &str = "urn:ietf:params:oauth:grant-type:device_code";
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";

super::attacks! {
    async fn a76_a_public_client_for_itself(at, seen) {
        let ask = at.by("app", At::Token).field("grant_type", "client_credentials");
        seen.reply("client_credentials", "400 unauthorized_client", &at.send(ask).await);
    }

    async fn a77_a_password(at, seen) {
        let ask = at.by("web", At::Token).fields(&[("grant_type", "password"), ("username", "alice"), ("password", "x")]);
        seen.reply("password", "400 unsupported_grant_type", &at.send(ask).await);
        seen.arrived("response_type token", "back: unsupported_response_type", &at.ask_for("web", &[("response_type", "token")]).await);
        seen.arrived("response_type code token", "back: unsupported_response_type", &at.ask_for("web", &[("response_type", "code token")]).await);
    }

    async fn a78_a_device_that_asks_too_often(at, seen) {
        let begun = at.send(at.by("tv", At::Device).field("scope", "read")).await;
        seen.reply("it begins", "200", &begun);
        let code = begun.json["device_code"].as_str().unwrap_or_default().to_owned();
        let poll = |id: &str| at.by(id, At::Token).fields(&[("grant_type", DEVICE), ("device_code", &code)]);
        seen.reply("first", "400 authorization_pending", &at.send(poll("tv")).await);
        seen.reply("at once again", "400 slow_down", &at.send(poll("tv")).await);
        seen.reply("another client", "400 invalid_grant", &at.send(poll("tv-too")).await);
        let other = at.by("web", At::Token).fields(&[("grant_type", DEVICE), ("device_code", &code)]);
        seen.reply("a client that may not", "400 unauthorized_client", &at.send(other).await);
        let unknown = at.by("tv", At::Token).fields(&[("grant_type", DEVICE), ("device_code", "no-such-code")]);
        seen.reply("an unknown code", "400 invalid_grant", &at.send(unknown).await);
        seen.reply("no code", "400 invalid_request", &at.send(at.by("tv", At::Token).field("grant_type", DEVICE)).await);
    }

    async fn a79_a_resource_that_is_none(at, seen) {
        for (what, resource) in [("relative", "/a"), ("with a fragment", "https://api.test/a#x"), ("not granted", "https://evil.test/")] {
            let ask = at.by("machine", At::Token).fields(&[("grant_type", "client_credentials"), ("resource", resource)]);
            seen.reply(what, "400 invalid_target", &at.send(ask).await);
            seen.arrived(what, "back: invalid_target", &at.ask_for("web", &[("resource", resource)]).await);
        }
        let code = at.code_with("web", &[("resource", API)]).await;
        let ask = at.redeem("web", &code);
        seen.reply("one that was not asked for", "400 invalid_target", &at.send(ask.clone().field("resource", API_B)).await);
        seen.reply("the one that was", "200", &at.send(ask.field("resource", API)).await);
    }

    async fn a80_an_exchange_that_is_none(at, seen) {
        let tokens = at.tokens("web").await;
        let code = at.code_with("web", &[("resource", API)]).await;
        let token = at.send(at.redeem("web", &code)).await.text("access_token").to_owned();
        let ask = at.by("exchanger", At::Token).fields(&[
            ("grant_type", EXCHANGE),
            ("subject_token", &token),
            ("subject_token_type", ACCESS_TOKEN),
            ("resource", API_B),
        ]);
        let good = at.send(ask.clone()).await;
        seen.reply("one that is", "200", &good);
        seen.note("and what it is is said", ACCESS_TOKEN, good.json["issued_token_type"].as_str().unwrap_or("nothing"));
        seen.reply("no subject token", "400 invalid_request", &at.send(ask.clone().without("subject_token")).await);
        seen.reply("no type of it", "400 invalid_request", &at.send(ask.clone().without("subject_token_type")).await);
        let acting = ask.clone().field("actor_token", &tokens.access);
        seen.reply("an actor without a type", "400 invalid_request", &at.send(acting).await);
        let acting = ask.clone().field("actor_token_type", ACCESS_TOKEN);
        seen.reply("a type without an actor", "400 invalid_request", &at.send(acting).await);
        seen.reply("a foreign audience", "400 invalid_target", &at.send(ask.clone().field("audience", "https://evil.test")).await);
        seen.reply("a foreign resource", "400 invalid_target", &at.send(ask.clone().with("resource", "https://evil.test/")).await);
        seen.reply("a token for somebody else", "400 invalid_request", &at.send(ask.clone().with("subject_token", &tokens.access)).await);
        seen.reply("no resource", "400 invalid_target", &at.send(ask.clone().without("resource")).await);
        seen.reply("a token that is none", "400 invalid_request", &at.send(ask.clone().with("subject_token", "x")).await);
        seen.reply("a refresh token", "400 invalid_request", &at.send(ask.clone().with("subject_token", &tokens.refresh)).await);
        let actor = ask.clone().field("actor_token_type", ACCESS_TOKEN);
        let found = at.tokens("web").await;
        let found = at.send(actor.clone().field("actor_token", &found.access)).await;
        seen.reply("an actor's token that was issued to somebody else", "400 invalid_request", &found);
        let acting = at.code_with("web", &[("resource", API)]).await;
        let acting = at.send(at.redeem("web", &acting)).await.text("access_token").to_owned();
        seen.reply("one that was presented", "200", &at.send(actor.field("actor_token", &acting)).await);
        let wider = at.send(ask.field("scope", "read write admin")).await;
        seen.reply("a wider scope", "400 invalid_scope", &wider);
    }

    async fn t43_an_assertion_as_a_grant(at, seen) {
        let now = at.now().as_secs();
        let claims = |changes: &[(&str, serde_json::Value)]| {
            let mut claims = json!({ "iss": IDP, "sub": "bob", "aud": at.issuer(), "exp": now + 60, "jti": format!("{:?}", fresh::<8>()) });
            for (name, value) in changes {
                claims[*name] = value.clone();
            }
            jwt(&json!({ "alg": "ES256", "kid": IDP_KEY.kid() }), &claims, IDP_KEY)
        };
        let ask = |assertion: &str| at.by("bearer", At::Token).fields(&[("grant_type", BEARER), ("assertion", assertion), ("scope", "read")]);
        let good = claims(&[]);
        seen.reply("one that is good", "200", &at.send(ask(&good)).await);
        seen.reply("the same again", "400 invalid_grant", &at.send(ask(&good)).await);
        for (what, change) in [
            ("of somebody else", ("iss", json!("https://evil.test"))),
            ("for somebody else", ("aud", json!("https://evil.test"))),
            ("ended", ("exp", json!(now - 1))),
            ("about nobody", ("sub", json!(""))),
        ] {
            seen.reply(what, "400 invalid_grant", &at.send(ask(&claims(&[change]))).await);
        }
        let forged = jwt(&json!({ "alg": "ES256", "kid": IDP_KEY.kid() }), &json!({ "iss": IDP, "sub": "bob", "aud": at.issuer(), "exp": now + 60, "jti": "f" }), crate::oauth::Key(66));
        seen.reply("forged", "400 invalid_grant", &at.send(ask(&forged)).await);
        seen.reply("none", "400 invalid_request", &at.send(ask("").without("assertion")).await);
        let other = at.by("web", At::Token).fields(&[("grant_type", BEARER), ("assertion", &good)]);
        seen.reply("by a client that may not", "400 unauthorized_client", &at.send(other).await);
    }

    async fn a81_introspection_of_what_is_not_ones_own(at, seen) {
        let code = at.code_with("web", &[("resource", API)]).await;
        let tokens = at.send(at.redeem("web", &code).field("resource", API)).await;
        let token = tokens.text("access_token").to_owned();
        let active = |reply: &crate::oauth::Reply| reply.json["active"].to_string();
        seen.note("its client", "true", active(&at.introspect("web", &token).await));
        seen.note("its resource", "true", active(&at.introspect("api", &token).await));
        let foreign = at.introspect("api-b", &token).await;
        seen.note("another resource", "200 {\"active\":false}", format!("{} {}", foreign.status, foreign.json));
        seen.note("another client", "false", active(&at.introspect("other", &token).await));
        let bomb = format!("{}.{}.{}", "A".repeat(7_000), "A".repeat(7_000), "A".repeat(100));
        seen.note("a signed text of 14 KB", "false", active(&at.introspect("api", &bomb).await));
        seen.note("nonsense", "false", active(&at.introspect("api", "x").await));
        seen.note("the refresh token, its client", "true", active(&at.introspect("web", tokens.text("refresh_token")).await));
        seen.note("the refresh token, its resource", "false", active(&at.introspect("api", tokens.text("refresh_token")).await));
        seen.reply("by a public client", "400 invalid_client", &at.send(at.by("app", At::Introspect).field("token", &token)).await);
        seen.reply("without credentials", "400 invalid_client", &at.send(crate::oauth::Ask::post(at.url(At::Introspect)).field("token", &token)).await);
        seen.reply("no token", "400 invalid_request", &at.send(at.by("api", At::Introspect)).await);
    }

    async fn a82_revocation_of_what_is_not_ones_own(at, seen) {
        let tokens = at.tokens("web").await;
        let revoke = |id: &str, token: &str| at.by(id, At::Revoke).field("token", token);
        seen.reply("another client's refresh token", "200", &at.send(revoke("other", &tokens.refresh)).await);
        seen.reply("another client's access token", "200", &at.send(revoke("other", &tokens.access)).await);
        seen.reply("an unknown token", "200", &at.send(revoke("other", "x")).await);
        seen.note("untouched", "true", at.is_active("web", &tokens.access).await);
        seen.reply("with a wrong secret", "401 invalid_client", &at.send(revoke("web", &tokens.refresh).basic("web", "wrong")).await);
        let refreshed = at.send(at.refresh("web", &tokens.refresh)).await;
        seen.reply("and it refreshes", "200", &refreshed);
        let newest = refreshed.json["refresh_token"].as_str().unwrap_or_default().to_owned();
        seen.reply("its own", "200", &at.send(revoke("web", &newest)).await);
        seen.reply("and it does not any more", "400 invalid_grant", &at.send(at.refresh("web", &newest)).await);
        seen.reply("again", "200", &at.send(revoke("web", &newest)).await);
        seen.reply("no token", "400 invalid_request", &at.send(at.by("web", At::Revoke)).await);
    }

    async fn a83_revocation_with_a_wrong_hint(at, seen) {
        for (what, hint) in [("the other kind", "access_token"), ("an unknown kind", "id_token")] {
            let tokens = at.tokens("web").await;
            let ask = at.by("web", At::Revoke).field("token", &tokens.refresh).field("token_type_hint", hint);
            seen.reply(what, "200", &at.send(ask).await);
            seen.reply("and it is gone", "400 invalid_grant", &at.send(at.refresh("web", &tokens.refresh)).await);
            seen.note("with its access token", "false", at.is_active("web", &tokens.access).await);
        }
        let tokens = at.tokens("web").await;
        let ask = at.by("web", At::Revoke).field("token", &tokens.access).field("token_type_hint", "refresh_token");
        seen.reply("an access token", "200", &at.send(ask).await);
        seen.note("is gone", "false", at.is_active("web", &tokens.access).await);
        seen.reply("alone", "200", &at.send(at.refresh("web", &tokens.refresh)).await);
        // A public client says who it is and no more (CVE-2016-6582: at others that did nothing).
        let tokens = at.tokens("app").await;
        let ask = at.by("app", At::Revoke).field("token", &tokens.refresh);
        seen.reply("by a public client", "200", &at.send(ask).await);
        seen.reply("and it is gone", "400 invalid_grant", &at.send(at.refresh("app", &tokens.refresh)).await);
    }

    async fn a84_text_for_the_error_page(at, seen) {
        let evil = "<script>alert(1)</script>call+49-30-evil";
        let ask = crate::oauth::Ask::post(at.url(At::Token)).field("grant_type", evil).field("client_id", evil).field("scope", evil);
        let reply = at.send(ask).await;
        seen.note("comes back", "false", String::from_utf8_lossy(&reply.body).contains("evil"));
        let reply = at.send(at.by("web", At::Token).field("grant_type", evil)).await;
        seen.note("comes back from a known client", "false", String::from_utf8_lossy(&reply.body).contains("evil"));
        seen.note("in the challenge", "false", reply.header("www-authenticate").unwrap_or_default().contains("evil"));
    }
}
