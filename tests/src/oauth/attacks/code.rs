//! Codes in other hands, codes twice, codes without what protects them.

use crate::oauth::roster::redirect_uri;

super::attacks! {
    async fn a43_a_code_that_is_none(at, seen) {
        let code = at.code("web").await;
        let other = if code.ends_with('a') { "b" } else { "a" };
        for (what, text) in [
            ("unknown", "no-such-code".to_owned()),
            ("truncated", code[..code.len() - 1].to_owned()),
            ("one letter changed", format!("{}{other}", &code[..code.len() - 1])),
            ("in capitals", code.to_uppercase()),
            ("with a space", format!("{code} ")),
        ] {
            seen.reply(what, "400 invalid_grant", &at.send(at.redeem("web", &text)).await);
        }
        seen.reply("empty", "400 invalid_request", &at.send(at.redeem("web", "")).await);
        seen.reply("and then the code itself", "200", &at.send(at.redeem("web", &code)).await);
    }

    async fn a44_another_clients_code(at, seen) {
        let tokens = at.tokens("web").await;
        let code = at.code("web").await;
        let stolen = at.redeem("other", &code).with("redirect_uri", &redirect_uri("web"));
        seen.reply("by another client", "400 invalid_grant", &at.send(stolen).await);
        let stolen = at.redeem("app", &code).with("redirect_uri", &redirect_uri("web"));
        seen.reply("by a public client", "400 invalid_grant", &at.send(stolen).await);
        seen.reply("then by its own", "200", &at.send(at.redeem("web", &code)).await);
        seen.reply("and the tokens it had", "200", &at.send(at.refresh("web", &tokens.refresh)).await);
    }

    async fn a45_a_replay_that_is_valid(at, seen) {
        let code = at.code("web").await;
        let first = at.send(at.redeem("web", &code)).await;
        seen.reply("once", "200", &first);
        seen.reply("twice", "400 invalid_grant", &at.send(at.redeem("web", &code)).await);
        seen.note("the access token", "false", at.is_active("web", first.text("access_token")).await);
        let refresh = at.refresh("web", first.text("refresh_token"));
        seen.reply("the refresh token", "400 invalid_grant", &at.send(refresh).await);
    }

    async fn a46_a_replay_that_is_not(at, seen) {
        let code = at.code("web").await;
        let first = at.send(at.redeem("web", &code)).await;
        seen.reply("once", "200", &first);
        let again = at.redeem("web", &code);
        let wrong = again.clone().with("code_verifier", &"w".repeat(43));
        seen.reply("with a wrong verifier", "400 invalid_grant", &at.send(wrong).await);
        let wrong = again.clone().without("code_verifier");
        seen.reply("without a verifier", "400 invalid_grant", &at.send(wrong).await);
        let wrong = again.clone().with("redirect_uri", "https://web.test/other");
        seen.reply("with another redirect_uri", "400 invalid_grant", &at.send(wrong).await);
        let wrong = again.clone().basic("web", "wrong");
        seen.reply("with a wrong secret", "401 invalid_client", &at.send(wrong).await);
        let wrong = again.bare("authorization").field("client_id", "web");
        seen.reply("without the secret", "400 invalid_client", &at.send(wrong).await);
        let wrong = at.redeem("other", &code).with("redirect_uri", &redirect_uri("web"));
        seen.reply("by another client", "400 invalid_grant", &at.send(wrong).await);
        let refresh = at.refresh("web", first.text("refresh_token"));
        seen.reply("the refresh token", "200", &at.send(refresh).await);
    }

    async fn a47_a_hundred_at_once(at, seen) {
        let code = at.code("web").await;
        let replies = at.send_at_once(vec![at.redeem("web", &code); 100]).await;
        seen.replies("100 at once", "1 x 200, 99 x 400 invalid_grant", &replies);
        let won = replies.iter().find(|reply| reply.status == 200);
        if let Some(won) = won {
            let refresh = at.refresh("web", won.text("refresh_token"));
            seen.reply("the winner's refresh token", "400 invalid_grant", &at.send(refresh).await);
        }
    }

    async fn a48_no_verifier(at, seen) {
        for id in ["app", "web"] {
            let code = at.code(id).await;
            let ask = at.redeem(id, &code);
            seen.reply(id, "400 invalid_grant", &at.send(ask.clone().without("code_verifier")).await);
            seen.reply("empty", "400 invalid_grant", &at.send(ask.clone().with("code_verifier", "")).await);
            seen.reply("and then with it", "200", &at.send(ask).await);
        }
    }

    async fn a50_a_verifier_that_is_none(at, seen) {
        let code = at.code("app").await;
        let ask = at.redeem("app", &code);
        for (what, verifier) in [
            ("42 characters", "v".repeat(42)),
            ("129 characters", "v".repeat(129)),
            ("a character that it cannot have", format!("{}!", "v".repeat(43))),
            ("padded", format!("{}=", "v".repeat(43))),
        ] {
            seen.reply(what, "400 invalid_grant", &at.send(ask.clone().with("code_verifier", &verifier)).await);
        }
        seen.reply("and then its own", "200", &at.send(ask).await);
    }

    async fn a51_a_verifier_without_a_challenge(at, seen) {
        let without = [("code_challenge", ""), ("code_challenge_method", "")];
        let code = at.code_with("exempt", &without).await;
        let ask = at.redeem("exempt", &code);
        seen.reply("a verifier all the same", "400 invalid_request", &at.send(ask.clone()).await);
        seen.reply("and then without", "200", &at.send(ask.without("code_verifier")).await);
        seen.arrived("a client that must, without", "back: invalid_request", &at.ask_for("web", &without).await);
        seen.arrived("plain", "back: invalid_request", &at.ask_for("web", &[("code_challenge_method", "plain")]).await);
        seen.arrived("no method, which is plain", "back: invalid_request", &at.ask_for("web", &[("code_challenge_method", "")]).await);
    }

    async fn a52_the_challenge_as_verifier(at, seen) {
        let code = at.code("app").await;
        let challenge = at.parameters("app").into_iter().find(|(name, _)| name == "code_challenge");
        let (_, challenge) = challenge.unwrap_or_default();
        let ask = at.redeem("app", &code).with("code_verifier", &challenge);
        seen.reply("the challenge", "400 invalid_grant", &at.send(ask).await);
    }

    async fn a53_another_redirect_uri(at, seen) {
        let code = at.code("web").await;
        let ask = at.redeem("web", &code);
        for uri in [
            "https://WEB.test/cb",
            "https://web.test/CB",
            "https://web.test/cb/",
            "https://web.test/cb?x=1",
            "https://web.test:8443/cb",
            "https://web.test:443/cb",
            "https://web.test/%63b",
            "https://web.test/cb#",
            "https://evil.test/cb",
        ] {
            seen.reply(uri, "400 invalid_grant", &at.send(ask.clone().with("redirect_uri", uri)).await);
        }
        seen.reply("and then the same", "200", &at.send(ask).await);
        // At the authorization endpoint an app on a person's own machine takes any port; here it is the one that was used.
        let code = at.code_with("app", &[("redirect_uri", "http://127.0.0.1:50000/app")]).await;
        let ask = at.redeem("app", &code);
        seen.reply("another port", "400 invalid_grant", &at.send(ask.clone()).await);
        let ask = ask.with("redirect_uri", "http://127.0.0.1:50000/app");
        seen.reply("the port that was used", "200", &at.send(ask).await);
    }

    async fn a54_no_redirect_uri(at, seen) {
        let code = at.code("web").await;
        seen.reply("left out", "200", &at.send(at.redeem("web", &code).without("redirect_uri")).await);
    }

    async fn a55_one_thing_for_another(at, seen) {
        let tokens = at.tokens("web").await;
        let code = at.code("web").await;
        seen.reply("a code as refresh token", "400 invalid_grant", &at.send(at.refresh("web", &code)).await);
        seen.reply("a refresh token as code", "400 invalid_grant", &at.send(at.redeem("web", &tokens.refresh)).await);
        seen.reply("an access token as refresh token", "400 invalid_grant", &at.send(at.refresh("web", &tokens.access)).await);
        seen.reply("and then the code as code", "200", &at.send(at.redeem("web", &code)).await);
        seen.reply("and the refresh token", "200", &at.send(at.refresh("web", &tokens.refresh)).await);
    }

    async fn a56_a_wider_scope(at, seen) {
        let code = at.code_with("web", &[("scope", "read")]).await;
        let ask = at.redeem("web", &code);
        seen.reply("wider", "400 invalid_scope", &at.send(ask.clone().field("scope", "read write")).await);
        let narrow = at.send(ask.field("scope", "read")).await;
        seen.reply("as it was granted", "200", &narrow);
        seen.note("and it is said", "read", narrow.json["scope"].as_str().unwrap_or("nothing"));
        let code = at.code("web").await;
        let narrow = at.send(at.redeem("web", &code).field("scope", "read")).await;
        seen.note("narrower", "read", narrow.json["scope"].as_str().unwrap_or("nothing"));
    }
}
