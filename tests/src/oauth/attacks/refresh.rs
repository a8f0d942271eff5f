//! Refresh tokens used twice, by others, and at once.

use crate::oauth::{At, Key};

super::attacks! {
    async fn a59_again_because_the_answer_was_lost(at, seen) {
        let tokens = at.tokens("web").await;
        let first = at.send(at.refresh("web", &tokens.refresh)).await;
        seen.reply("once", "200", &first);
        let again = at.send(at.refresh("web", &tokens.refresh)).await;
        seen.reply("again", "200", &again);
        seen.note("the same successor", "true", again.json["refresh_token"] == first.json["refresh_token"]);
        let next = at.send(at.refresh("web", first.text("refresh_token"))).await;
        seen.reply("the successor", "200", &next);
        // Now two have been used: either one of them is a thief's, or both are.
        seen.reply("the first one again", "400 invalid_grant", &at.send(at.refresh("web", &tokens.refresh)).await);
        let newest = next.json["refresh_token"].as_str().unwrap_or_default().to_owned();
        seen.reply("and the newest", "400 invalid_grant", &at.send(at.refresh("web", &newest)).await);
    }

    async fn a60_twenty_at_once(at, seen) {
        let tokens = at.tokens("app").await;
        let replies = at.send_at_once(vec![at.refresh("app", &tokens.refresh); 20]).await;
        seen.replies("20 at once", "20 x 200", &replies);
        let mut successors: Vec<&str> = replies.iter().filter_map(|reply| reply.json["refresh_token"].as_str()).collect();
        successors.sort_unstable();
        successors.dedup();
        seen.note("branches", "1", successors.len());
        if let Some(kept) = successors.first() {
            seen.reply("whichever the client kept", "200", &at.send(at.refresh("app", kept)).await);
        }
    }

    async fn a61_another_clients_token(at, seen) {
        let tokens = at.tokens("web").await;
        seen.reply("by another client", "400 invalid_grant", &at.send(at.refresh("other", &tokens.refresh)).await);
        seen.reply("by a public client", "400 invalid_grant", &at.send(at.refresh("app", &tokens.refresh)).await);
        let wrong = at.refresh("web", &tokens.refresh).basic("web", "wrong");
        seen.reply("with a wrong secret", "401 invalid_client", &at.send(wrong).await);
        seen.reply("then by its own", "200", &at.send(at.refresh("web", &tokens.refresh)).await);
        // Once it was rotated, another client that presents it is still a stranger and no replay.
        seen.reply("again by another client", "400 invalid_grant", &at.send(at.refresh("other", &tokens.refresh)).await);
        seen.reply("and its own has its answer again", "200", &at.send(at.refresh("web", &tokens.refresh)).await);
    }

    async fn a62_another_key(at, seen) {
        let code = at.code("bound").await;
        let first = at.send(at.proven(at.redeem("bound", &code), Key(1)).await).await;
        seen.reply("bound to a key", "200", &first);
        let ask = at.refresh("bound", first.text("refresh_token"));
        seen.reply("another key", "400 invalid_grant", &at.send(at.proven(ask.clone(), Key(2)).await).await);
        seen.reply("no key", "400 invalid_grant", &at.send(ask.clone()).await);
        seen.reply("its key", "200", &at.send(at.proven(ask, Key(1)).await).await);
    }

    async fn a63_a_wider_scope(at, seen) {
        let code = at.code_with("web", &[("scope", "read")]).await;
        let first = at.send(at.redeem("web", &code)).await;
        let ask = at.refresh("web", first.text("refresh_token"));
        seen.reply("wider", "400 invalid_scope", &at.send(ask.field("scope", "read write")).await);

        let tokens = at.tokens("web").await;
        let narrow = at.send(at.refresh("web", &tokens.refresh).field("scope", "read")).await;
        seen.note("narrower", "read", narrow.json["scope"].as_str().unwrap_or("nothing"));
        let full = at.send(at.refresh("web", narrow.json["refresh_token"].as_str().unwrap_or_default())).await;
        seen.note("and then all again", "read write", full.json["scope"].as_str().unwrap_or("nothing"));
    }

    async fn a66_a_client_that_may_not_refresh(at, seen) {
        let code = at.code("once").await;
        let first = at.send(at.redeem("once", &code)).await;
        seen.reply("its code", "200", &first);
        seen.note("no refresh token", "null", &first.json["refresh_token"]);
        let ask = at.by("once", At::Token).fields(&[("grant_type", "refresh_token"), ("refresh_token", "x")]);
        seen.reply("it refreshes all the same", "400 unauthorized_client", &at.send(ask).await);
    }
}
