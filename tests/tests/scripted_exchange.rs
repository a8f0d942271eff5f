//! The callback phase of the AT Protocol login when a server does something else: no answer, tokens that break a rule,
//! tokens of somebody else. Whatever was issued is given back.

mod scripted_world;

use serde_json::{Value, json};
use vestibule_oauth_core::HttpErrorKind;
use vestibule_strategy::{FailureKind, Phase};
use vestibule_tests::{ScriptedNetwork, redirect, text};

use scripted_world::{
    ALICE, BOB, CAROL, Client, DOCUMENT, HANDLE, ISSUER, Keeping, METADATA, NO_ANSWER, PAR, PDS, RESOURCE,
    REVOKE, TOKEN, World, document, html, ok, resource_metadata, server_metadata, wants_nonce, with_nonce,
};

// The callback phase, when a server does something else.

/// A login whose callback phase fails with this code and status, and leaves nothing behind.
fn failed(row: &str, world: &World, code: &str, status: u16) -> FailureKind {
    let failure = world.failed_login(HANDLE);
    assert_eq!((failure.kind().code(), failure.kind().status().as_u16()), (code, status), "{row}: {failure}");
    assert_eq!(failure.phase(), Phase::Callback, "{row}");
    assert!(world.store.is_empty(), "{row}: something was kept");
    let shown = format!("{failure} {failure:?} {}", failure.for_person());
    world.shows_no_secret(row, &shown);
    failure.kind().clone()
}

#[test]
fn an_exchange_without_answer_is_transport() {
    for (kind, status) in NO_ANSWER.into_iter().chain([(HttpErrorKind::TooLarge, 502)]) {
        let world = World::web();
        world.net.fail("POST", TOKEN, kind);
        failed(&format!("{kind:?}"), &world, "transport", status);
        assert_eq!(world.net.count("POST", TOKEN), 1, "a code is sent once");
    }
}

#[test]
fn an_exchange_that_is_refused_or_not_answered_as_one() {
    let (refused, broken) = ("token_endpoint", "token_answer_malformed");
    for (row, answer, code) in [
        ("invalid_grant", vestibule_tests::json(400, &json!({"error": "invalid_grant"})), refused),
        ("an error with 200", ok(&json!({"error": "invalid_grant"})), refused),
        ("500", text(500, ""), refused),
        ("429", text(429, ""), refused),
        ("a redirect", redirect(307, "https://elsewhere.example.com/"), refused),
        ("a web page", html(200), broken),
        ("nothing", text(200, ""), broken),
        ("a list", ok(&json!([])), broken),
        ("no access_token", ok(&json!({"token_type": "DPoP", "sub": ALICE, "scope": "atproto"})), broken),
    ] {
        let world = World::web();
        world.net.answer("POST", TOKEN, with_nonce(answer, "n"));
        failed(row, &world, code, 502);
        assert_eq!(world.net.count("POST", TOKEN), 1, "{row}");
        assert_eq!(world.net.count("POST", "https://elsewhere.example.com/"), 0, "{row}");
    }
    let world = World::web();
    world.net.answer("POST", TOKEN, wants_nonce("n"));
    failed("always another nonce", &world, "token_endpoint", 502);
    assert_eq!(world.net.count("POST", TOKEN), 2);
}

#[test]
fn r76_to_r81_tokens_that_break_a_rule_are_given_back() {
    type Edit = fn(&mut Value);
    let without: [(&str, Edit, &str); 4] = [
        ("no sub", |answer| _ = answer.as_object_mut().unwrap().remove("sub"), "subject_missing"),
        ("no scope", |answer| _ = answer.as_object_mut().unwrap().remove("scope"), "scope_missing"),
        ("a sub that is null", |answer| answer["sub"] = Value::Null, "subject_missing"),
        (
            "an access token alone",
            |answer| {
                answer.as_object_mut().unwrap().remove("refresh_token");
                answer["token_type"] = json!("Bearer");
            },
            "token_type_mismatch",
        ),
    ];
    let broken: [(&str, Edit, &str); 6] = [
        ("Bearer", |answer| answer["token_type"] = json!("Bearer"), "token_type_mismatch"),
        ("an ID token", |answer| answer["id_token"] = json!("e30.e30."), "id_token_unexpected"),
        ("a sub that is a handle", |answer| answer["sub"] = json!(HANDLE), "subject_invalid"),
        (
            "a sub of another method",
            |answer| answer["sub"] = json!("did:key:zQ3shXjHeiBuRCKm"),
            "subject_invalid",
        ),
        (
            "a scope without atproto",
            |answer| answer["scope"] = json!("transition:generic"),
            "scope_insufficient",
        ),
        (
            "a scope of atproto-like",
            |answer| answer["scope"] = json!("atproto2 transition:generic"),
            "scope_insufficient",
        ),
    ];
    for client in [Client::Loopback, Client::Web] {
        for (row, edit, code) in without.into_iter().chain(broken) {
            let world = World::new(client, Keeping::Store);
            world.server().edit = Some(edit);
            failed(row, &world, code, 502);
            assert!(world.server().has_all_back(), "{row}: R81: {:?}", world.server().revoked);
        }
    }
}

#[test]
fn r77_tokens_of_another_account_are_given_back() {
    for client in [Client::Loopback, Client::Web] {
        let world = World::new(client, Keeping::Store);
        world.server().subject = BOB.to_owned();
        failed("another sub", &world, "account_mismatch", 403);
        assert!(world.server().has_all_back(), "R81");
        assert_eq!(world.net.count("POST", REVOKE), 1);
    }
}

#[test]
fn r81_tokens_that_cannot_be_kept_are_given_back() {
    let world = World::web();
    world.store.breaks("insert");
    failed("insert", &world, "session_store_failed", 500);
    assert!(world.server().has_all_back());
}

#[test]
fn r81_a_revocation_follows_the_nonce_and_changes_no_reason() {
    let world = World::web();
    world.server().subject = BOB.to_owned();
    // The server's nonce changes between exchange and revocation.
    world.net.queue("POST", REVOKE, wants_nonce("nonce-1"));
    failed("another sub", &world, "account_mismatch", 403);
    assert!(world.server().has_all_back());
    assert_eq!(world.net.count("POST", REVOKE), 2);

    for kind in [HttpErrorKind::Connect, HttpErrorKind::AnswerTimeout] {
        let world = World::web();
        world.server().subject = BOB.to_owned();
        world.net.fail("POST", REVOKE, kind);
        failed("cannot be revoked", &world, "account_mismatch", 403);
        assert_eq!(world.net.count("POST", REVOKE), 1);
    }

    let world = World::web();
    world.server().subject = BOB.to_owned();
    let mut metadata = server_metadata(ISSUER, PDS);
    metadata.as_object_mut().unwrap().remove("revocation_endpoint");
    world.net.answer("GET", METADATA, ok(&metadata));
    failed("nowhere to revoke", &world, "account_mismatch", 403);
    assert_eq!(world.net.count("POST", REVOKE), 0);
}

// From a server's address.

#[test]
fn r57_a_login_may_start_from_a_pds_and_from_an_entryway() {
    for (typed, log) in [
        (PDS, [RESOURCE, METADATA]),
        (ISSUER, ["https://as.example.com/.well-known/oauth-protected-resource", METADATA]),
    ] {
        let world = World::web();
        world.net.answer(
            "GET",
            log[0],
            match typed {
                PDS => ok(&resource_metadata(PDS, &[ISSUER])),
                _ => text(404, ""),
            },
        );
        let auth = world.login(typed);
        assert_eq!(auth.uid, ALICE);
        assert_eq!(auth.info.nickname.as_deref(), Some(HANDLE));
        assert_eq!(world.store.only_session().pds.as_str(), PDS);
        assert_eq!(world.net.calls_to("POST", PAR)[1].field("login_hint"), None, "R57");
        assert_eq!(world.net.log()[..2], log.map(|url| format!("GET {url}")), "{typed}");
        assert!(world.net.log().contains(&format!("GET {DOCUMENT}")), "R78: {typed}");
    }
}

#[test]
fn r78_a_server_gives_tokens_of_its_own_accounts_only() {
    for client in [Client::Loopback, Client::Web] {
        let world = World::new(client, Keeping::Store);
        world.account(CAROL, "carol.example.com", "https://pds2.example.com", "https://as2.example.com");
        world.server().subject = CAROL.to_owned();
        let failure = world.failed_login(PDS);
        assert_eq!(
            (failure.kind().code(), failure.kind().status().as_u16()),
            ("account_issuer_mismatch", 400)
        );
        assert!(world.store.is_empty());
        assert!(world.server().has_all_back(), "R81");
    }
    // Another PDS of the same server is fine (an entryway).
    let world = World::web();
    world.account(CAROL, "carol.example.com", "https://pds2.example.com", ISSUER);
    world.server().subject = CAROL.to_owned();
    assert_eq!(world.login(PDS).uid, CAROL);
    assert_eq!(world.store.only_session().pds.as_str(), "https://pds2.example.com");
}

#[test]
fn r78_an_account_that_cannot_be_looked_up_is_not_believed() {
    type Setup = fn(&ScriptedNetwork);
    let rows: [(&str, Setup, &str, u16); 5] = [
        ("directory down", |net| _ = net.fail("GET", DOCUMENT, HttpErrorKind::Connect), "transport", 502),
        (
            "directory slow",
            |net| _ = net.fail("GET", DOCUMENT, HttpErrorKind::AnswerTimeout),
            "transport",
            504,
        ),
        ("unknown", |net| _ = net.answer("GET", DOCUMENT, text(404, "")), "bad_response", 502),
        (
            "another's document",
            |net| _ = net.answer("GET", DOCUMENT, ok(&document(BOB, HANDLE, PDS))),
            "bad_response",
            502,
        ),
        (
            "its PDS names two issuers",
            |net| {
                net.answer("GET", DOCUMENT, ok(&document(ALICE, HANDLE, "https://pds2.example.com")));
                let resource =
                    resource_metadata("https://pds2.example.com", &[ISSUER, "https://as2.example.com"]);
                net.answer(
                    "GET",
                    "https://pds2.example.com/.well-known/oauth-protected-resource",
                    ok(&resource),
                );
            },
            "authorization_server_metadata_failed",
            502,
        ),
    ];
    for (row, setup, code, status) in rows {
        let world = World::web();
        setup(&world.net);
        let failure = world.failed_login(PDS);
        assert_eq!(
            (failure.kind().code(), failure.kind().status().as_u16()),
            (code, status),
            "{row}: {failure}"
        );
        assert!(world.store.is_empty(), "{row}");
        assert!(world.server().has_all_back(), "{row}: R81");
    }
}
