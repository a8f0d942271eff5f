//! A network that is not kind, item by item. Each ends in a code of its own, leaves nothing behind and shows nothing that
//! opens anything.
//!
//! | what the network does | where it is tested |
//! | --- | --- |
//! | two different DIDs in TXT | `scripted_login` `r33_two_dids_in_txt_refuse` |
//! | chunked TXT | here, `r33_the_chunks_of_a_txt_record_are_joined` |
//! | HTML instead of a DID | `scripted_login` `a_handle_that_leads_nowhere_is_the_persons_to_correct` |
//! | a body of 1 GiB | here, `no_step_takes_a_body_without_end_or_waits_for_ever`; the adapter: `atproto-identity/tests/net/limits.rs` `r37_a_body_over_its_limit_is_too_large` |
//! | 30 s of silence at each step | here, the same; the adapter: `limits.rs` `r38_silence_ends_with_the_time_limit`, `look_ups.rs` `r38_a_silent_name_server_is_a_timeout`; TXT: `scripted_login` `a_handle_that_takes_too_long_is_a_timeout` |
//! | a redirect to a private address | here, `r36_a_redirect_to_a_private_address_leads_nowhere` and `r110_no_other_step_follows_a_redirect` |
//! | a DNS answer that changes to a private address between check and dial | the adapter: `atproto-identity/tests/net/trust.rs` `r110_the_address_that_was_judged_is_the_one_dialled` |
//! | metadata with a foreign issuer | `scripted_login` `r53_to_r56_an_authorization_server_is_what_the_protocol_asks_for` |
//! | two authorization servers | `scripted_login` `r49_r50_a_pds_names_itself_and_one_issuer`; at a refresh: `scripted_nodes` `r101_an_account_that_cannot_be_looked_up_keeps_its_session_and_asks_for_no_tokens` |
//! | endpoints on private addresses | here, `r58_r110_addresses_that_a_stranger_may_not_name` |
//! | `iss` missing or foreign | `scripted_callback` `s13_a_callback_of_this_browser_that_breaks_a_rule_ends_the_flow` |
//! | repeated parameters | `scripted_callback` `s13_parameters_that_can_be_read_in_two_ways_are_not_read` |
//! | stale state | `scripted_callback` `s13_a_flow_ends_after_ten_minutes` |
//! | state from another browser | `scripted_callback` `r71_another_browser_cannot_finish_a_login_nor_end_it` |
//! | replayed callback | `scripted_callback` `r70_a_stored_flow_is_finished_once`, `s14_a_copied_cookie_and_callback_are_stopped_by_the_code` |
//! | token answer with another `sub` | `scripted_exchange` `r77_tokens_of_another_account_are_given_back`; refresh: `scripted_sessions` `r100_tokens_of_another_account_or_without_a_key_end_the_session` |
//! | token answer without `atproto`, with `Bearer`, with an `id_token` | `scripted_exchange` `r76_to_r81_tokens_that_break_a_rule_are_given_back`; refresh: as above |
//! | token answer with 1 MiB of scope | here, `r79_a_scope_of_a_mebibyte_is_not_read` |
//! | token answer without `DPoP-Nonce` | here, `r93_tokens_that_come_without_a_nonce_are_given_back` |
//! | 500 on refresh, then recovery | here, `r103_a_server_that_recovers_finds_the_session_as_it_was` |
//! | 429 with `Retry-After` | `scripted_sessions` `r103_a_server_that_asks_for_patience_is_left_alone`; here, with recovery |
//! | lost refresh answer | `scripted_sessions` `r104_a_lost_answer_is_asked_for_once_more`, `r104_a_server_that_acted_on_what_it_did_not_answer_ends_the_session` |
//! | `use_dpop_nonce` for ever | `scripted_login` `r92_a_server_that_always_wants_another_nonce_is_asked_twice`, `scripted_exchange` `an_exchange_that_is_refused_or_not_answered_as_one`, `scripted_sessions` `r92_a_refresh_is_tried_twice_at_most` |
//! | `DPoP-Nonce` of 64 KiB | here, `r91_a_nonce_of_64_kib_is_not_kept` |
//! | a DID document that moves to another PDS between login and refresh | `scripted_nodes` `r80_r101_an_account_that_moved_within_its_server_is_used_where_it_is_now`, `r101_an_account_that_another_server_rules_by_now_ends_its_session_and_gives_its_tokens_back` |

mod scripted_world;

use std::time::Duration;

use bytes::Bytes;
use http::Response;
use serde_json::{Value, json};
use url::Url;
use vestibule_atproto_identity::login::{ResourceAnswer, SessionError};
use vestibule_oauth_core::{HttpErrorKind, Trust, TxtRecord};
use vestibule_strategy::{Failure, FailureKind, Phase, TransportFault};
use vestibule_tests::{ScriptedNetwork, redirect, text};

use scripted_world::{
    ALICE, BOB, Browser, Client, DOCUMENT, HANDLE, ISSUER, KEEPINGS, Keeping, METADATA, PAR, PDS, RESOURCE,
    REVOKE, TOKEN, TXT, WELL_KNOWN, World, document, lock, ok, resource_metadata, server_metadata,
    wants_nonce, with_nonce,
};

/// A login as far as it comes.
fn attempt(world: &World, typed: &str) -> Result<(), Failure> {
    let mut browser = Browser::default();
    let to = world.begin(&mut browser, typed)?;
    let callback = world.consent(&to);
    let finished = world.finish(&mut browser, &callback);
    assert!(browser.cookies.is_empty(), "the flow's cookie outlives the flow");
    finished.outcome.map(|_| ())
}

/// A login fails in this phase with this code and status; nothing is kept, and nothing is shown that opens anything.
fn fails(row: &str, world: &World, phase: Phase, code: &str, status: u16) -> Failure {
    let failure = attempt(world, HANDLE).expect_err(row);
    let kind = failure.kind();
    assert_eq!(
        (failure.phase(), kind.code(), kind.status().as_u16()),
        (phase, code, status),
        "{row}: {failure}"
    );
    assert!(lock(&world.store.sessions).is_empty(), "{row}: a session was kept");
    assert!(lock(&world.store.flows).is_empty(), "{row}: the flow goes on");
    assert!(!failure.for_person().is_empty(), "{row}");
    world.shows_no_secret(row, &format!("{failure} {failure:?} {}", failure.for_person()));
    failure
}

// Names.

#[test]
fn r33_the_chunks_of_a_txt_record_are_joined() {
    let chunked = |text: &str, length: usize| {
        TxtRecord::new(text.as_bytes().chunks(length).map(<[u8]>::to_vec).collect::<Vec<_>>())
    };
    let (alice, bob) = (format!("did={ALICE}"), format!("did={BOB}"));
    for length in [1, 3, 4, 5, 16, 255] {
        let world = World::web();
        world.net.txt_result(TXT, Ok(vec![chunked(&alice, length)])).fail(
            "GET",
            WELL_KNOWN,
            HttpErrorKind::Blocked,
        );
        world.login(HANDLE);
        assert_eq!(world.store.only_session().key.did().as_str(), ALICE, "{length}");
        assert_eq!(world.net.count("GET", WELL_KNOWN), 0);

        // Two are two, however they are cut.
        let world = World::web();
        world.net.txt_result(TXT, Ok(vec![chunked(&alice, length), chunked(&bob, 255)]));
        fails("two", &world, Phase::Request, "invalid_handle", 400);
    }
    // What is cut across records is two records.
    let (head, tail) = alice.split_at(20);
    let world = World::web();
    world.net.txt_records(TXT, &[head, tail]).fail("GET", WELL_KNOWN, HttpErrorKind::UnknownHost);
    fails("cut", &world, Phase::Request, "invalid_handle", 400);
    // And a record without end is no record.
    let world = World::web();
    let endless = TxtRecord::new(vec![b"did=did:plc:".to_vec(); 5000]);
    world.net.txt_result(TXT, Ok(vec![endless])).fail("GET", WELL_KNOWN, HttpErrorKind::UnknownHost);
    fails("endless", &world, Phase::Request, "invalid_handle", 400);
}

// Every step.

/// What a login asks, in order, and then what takes its tokens back.
const STEPS: [(&str, &str, Phase); 7] = [
    ("GET", WELL_KNOWN, Phase::Request),
    ("GET", DOCUMENT, Phase::Request),
    ("GET", RESOURCE, Phase::Request),
    ("GET", METADATA, Phase::Request),
    ("POST", PAR, Phase::Request),
    ("POST", TOKEN, Phase::Callback),
    ("POST", REVOKE, Phase::Callback),
];

#[test]
fn no_step_takes_a_body_without_end_or_waits_for_ever() {
    for (kind, fault, status) in [
        (HttpErrorKind::TooLarge, TransportFault::TooLarge, 502),
        (HttpErrorKind::AnswerTimeout, TransportFault::Timeout, 504),
        (HttpErrorKind::ConnectTimeout, TransportFault::Timeout, 504),
    ] {
        for client in [Client::Loopback, Client::Web] {
            for (method, url, phase) in STEPS {
                let row = format!("{url} {kind:?}");
                let world = World::new(client, Keeping::Store);
                world.net.txt_records(TXT, &[]).fail(method, url, kind);
                match url {
                    REVOKE => {
                        // Why there was anything to give back stays the reason.
                        world.server().subject = BOB.to_owned();
                        _ = fails(&row, &world, phase, "account_mismatch", 403);
                    }
                    // It may have what it says, and nothing that is that long is a DID.
                    WELL_KNOWN if kind == HttpErrorKind::TooLarge => {
                        _ = fails(&row, &world, phase, "invalid_handle", 400);
                    }
                    RESOURCE | METADATA if kind == HttpErrorKind::TooLarge => {
                        _ = fails(&row, &world, phase, "authorization_server_metadata_failed", 502);
                    }
                    _ => {
                        let failure = fails(&row, &world, phase, "transport", status);
                        assert_eq!(failure.kind(), &FailureKind::Transport(fault), "{row}");
                    }
                }
                assert_eq!(world.net.count(method, url), 1, "{row}: asked once");
            }
        }
    }
}

/// The limits that an adapter is told to keep, of every call that is ever made.
#[test]
fn r37_r38_every_call_has_a_limit_on_its_answer_and_its_time() {
    let world = World::web();
    world.net.txt_records(TXT, &[]);
    world.login(HANDLE);
    let key = world.store.only_session().key;
    world.pass(300);
    world.ready(&key).unwrap();
    vestibule_tests::block_on(world.sessions.end(&key, &world.seed(), world.now(), &*world.net)).unwrap();
    for (method, url, _) in STEPS {
        assert!(world.net.count(method, url) > 0, "{url}");
    }
    for call in world.net.calls() {
        let most = if call.url == WELL_KNOWN { 4096 } else { 64 * 1024 };
        assert!(call.body_limit <= most, "{}: {}", call.url, call.body_limit);
        let longest = if call.method == "POST" { 10 } else { 5 };
        assert!(call.timeout <= Duration::from_secs(longest), "{}: {:?}", call.url, call.timeout);
    }
}

#[test]
fn r104_a_refresh_without_end_or_answer_is_tried_again_or_told() {
    for client in [Client::Loopback, Client::Web] {
        let (world, key) = World::due(client);
        world.net.fail("POST", TOKEN, HttpErrorKind::TooLarge);
        let SessionError::Gone(why) = world.ready(&key).unwrap_err() else { panic!() };
        assert!(why.contains("lost twice"), "{why}");
        world.shows_no_secret("endless", &why);
        assert!(world.store.is_empty());
        assert_eq!(world.net.count("POST", TOKEN), 2);

        for kind in [HttpErrorKind::AnswerTimeout, HttpErrorKind::ConnectTimeout] {
            let (world, key) = World::due(client);
            world.net.fail("POST", TOKEN, kind);
            for asked in 1..4 {
                let error = world.ready(&key).unwrap_err();
                assert!(matches!(error, SessionError::Retry { after: None, .. }), "{kind:?}: {error:?}");
                world.shows_no_secret("silence", &format!("{error} {error:?}"));
                assert_eq!(world.net.count("POST", TOKEN), asked, "once for each who asks");
                assert!(!world.store.is_leased(&key));
            }
            assert_eq!(world.store.only_session().generation, 0);
        }
    }
}

// Private addresses.

const PRIVATE: [&str; 4] =
    ["https://10.0.0.1/x", "https://169.254.169.254/x", "https://[fd00::1]/x", "https://localhost/x"];

#[test]
fn r36_a_redirect_to_a_private_address_leads_nowhere() {
    for address in PRIVATE {
        let world = World::web();
        world.net.txt_records(TXT, &[]).answer("GET", WELL_KNOWN, redirect(302, address));
        // Whoever answers there: the adapter does not go there.
        world.net.fail("GET", address, HttpErrorKind::Blocked);
        fails(address, &world, Phase::Request, "invalid_handle", 400);
        let asked = world.net.calls_to("GET", address);
        assert!(asked.iter().all(|call| call.trust == Trust::UserSupplied), "{address}: R36");
        assert!(asked.len() <= 1, "{address}");
        assert_eq!(world.net.count("GET", DOCUMENT), 0);
    }
    for address in
        ["http://10.0.0.1/x", "ftp://10.0.0.1/x", "file:///etc/passwd", "//", "https://a:b@10.0.0.1/"]
    {
        let world = World::web();
        world.net.txt_records(TXT, &[]).answer("GET", WELL_KNOWN, redirect(302, address));
        fails(address, &world, Phase::Request, "invalid_handle", 400);
        assert_eq!(world.net.calls().len(), 1, "{address}: nobody is asked");
    }
}

#[test]
fn r110_no_other_step_follows_a_redirect() {
    for (step, code) in [
        (DOCUMENT, "bad_response"),
        (RESOURCE, "authorization_server_metadata_failed"),
        (METADATA, "authorization_server_metadata_failed"),
        (PAR, "authorization_url_failed"),
        (TOKEN, "token_endpoint"),
        (REVOKE, "account_mismatch"),
    ] {
        let (method, _, phase) = STEPS.into_iter().find(|(_, url, _)| *url == step).unwrap();
        for status in [301, 302, 303, 307, 308] {
            for address in PRIVATE {
                let world = World::web();
                let answer = with_nonce(redirect(status, address), "n");
                world.net.answer(method, step, answer);
                if step == REVOKE {
                    world.server().subject = BOB.to_owned();
                }
                let row = format!("{step} {status} {address}");
                let expected = if step == REVOKE { 403 } else { 502 };
                fails(&row, &world, phase, code, expected);
                assert!(world.net.calls().iter().all(|call| call.url != address), "{row}: followed");
            }
        }
    }
}

/// A stranger's documents name addresses that only the adapter can judge: the flow says whose choice each was, and what
/// becomes of it when the adapter refuses.
#[test]
fn r58_r110_addresses_that_a_stranger_may_not_name() {
    type Setup = fn(&ScriptedNetwork, &str);
    let metadata = |net: &ScriptedNetwork, member: &str, url: &str| {
        let mut metadata = server_metadata(ISSUER, PDS);
        metadata[member] = json!(url);
        net.answer("GET", METADATA, ok(&metadata));
    };
    let rows: [(&str, Setup, Phase); 4] = [
        (
            "the PDS",
            |net, origin| _ = net.answer("GET", DOCUMENT, ok(&document(ALICE, HANDLE, origin))),
            Phase::Request,
        ),
        (
            "the issuer",
            |net, origin| _ = net.answer("GET", RESOURCE, ok(&resource_metadata(PDS, &[origin]))),
            Phase::Request,
        ),
        ("the PAR endpoint", |_, _| {}, Phase::Request),
        ("the token endpoint", |_, _| {}, Phase::Callback),
    ];
    for (row, setup, phase) in rows {
        for origin in ["https://10.0.0.1", "https://169.254.169.254", "https://[fd00::1]", "https://internal"]
        {
            let world = World::web();
            let (method, url) = match row {
                "the PDS" => ("GET", format!("{origin}/.well-known/oauth-protected-resource")),
                "the issuer" => ("GET", format!("{origin}/.well-known/oauth-authorization-server")),
                _ => ("POST", format!("{origin}/x")),
            };
            setup(&world.net, origin);
            match row {
                "the PAR endpoint" => metadata(&world.net, "pushed_authorization_request_endpoint", &url),
                "the token endpoint" => metadata(&world.net, "token_endpoint", &url),
                _ => {}
            }
            world.net.fail(method, &url, HttpErrorKind::Blocked);
            let row = format!("{row} at {origin}");
            let failure = fails(&row, &world, phase, "transport", 502);
            assert_eq!(failure.kind(), &FailureKind::Transport(TransportFault::Blocked), "{row}");
            let asked = world.net.calls_to(method, &url);
            assert_eq!(asked.len(), 1, "{row}");
            assert_eq!(asked[0].trust, Trust::UserSupplied, "{row}: R58");
            assert_eq!(world.server().issued, [""; 0], "{row}");
        }
    }
}

#[test]
fn r58_tokens_are_given_back_to_no_private_address() {
    let url = "https://10.0.0.1/revoke";
    let world = World::web();
    let mut metadata = server_metadata(ISSUER, PDS);
    metadata["revocation_endpoint"] = json!(url);
    world.net.answer("GET", METADATA, ok(&metadata)).fail("POST", url, HttpErrorKind::Blocked);
    world.server().subject = BOB.to_owned();
    fails("revocation", &world, Phase::Callback, "account_mismatch", 403);
    let [call] = &world.net.calls_to("POST", url)[..] else { panic!("asked once") };
    assert_eq!(call.trust, Trust::UserSupplied);
}

// Token answers.

#[test]
fn r79_a_scope_of_a_mebibyte_is_not_read() {
    fn scope(octets: usize) -> Value {
        json!(format!("atproto {}", "x".repeat(octets)))
    }
    type Edit = fn(&mut Value);
    let rows: [(&str, Edit, &str); 4] = [
        ("1 MiB", |answer| answer["scope"] = scope(1024 * 1024), "transport"),
        ("64 KiB", |answer| answer["scope"] = scope(64 * 1024), "transport"),
        ("20 KiB", |answer| answer["scope"] = scope(20 * 1024), "scope_insufficient"),
        ("a thousand", |answer| answer["scope"] = json!(format!("atproto{}", " x".repeat(1000))), ""),
    ];
    for (row, edit, code) in rows {
        for keeping in KEEPINGS {
            let world = World::new(Client::Web, keeping);
            world.server().edit = Some(edit);
            if code.is_empty() {
                // The same word many times is one word.
                world.login(HANDLE);
                assert_eq!(world.store.only_session().scope.to_string(), "atproto x");
                continue;
            }
            let failure = fails(row, &world, Phase::Callback, code, 502);
            assert!(failure.to_string().len() < 500, "{row}: {} octets", failure.to_string().len());
        }
        // At a refresh the session is kept or ended, and never with such a scope.
        let (world, key) = World::due(Client::Web);
        world.server().edit = Some(edit);
        match (code, world.ready(&key)) {
            ("transport", Err(SessionError::Gone(_))) => assert!(world.store.is_empty(), "{row}"),
            // The tokens were readable, so they go back (R81), and the session cannot go on without them.
            ("scope_insufficient", Err(SessionError::Gone(_))) => {
                assert!(world.store.is_empty(), "{row}");
                assert!(!world.server().revoked.is_empty(), "{row}");
            }
            ("", Ok(session)) => assert_eq!(session.record().scope.to_string(), "atproto x"),
            other => panic!("{row}: {other:?}"),
        }
    }
}

#[test]
fn r93_tokens_that_come_without_a_nonce_are_given_back() {
    for keeping in KEEPINGS {
        let world = World::new(Client::Web, keeping);
        let server = std::sync::Arc::clone(&world.server);
        world.net.on("POST", TOKEN, move |call| {
            let mut answer = lock(&server).answer_token(call);
            answer.headers_mut().remove("dpop-nonce");
            Ok(answer)
        });
        fails("no nonce", &world, Phase::Callback, "dpop_nonce_missing", 502);
        assert!(world.server().has_all_back(), "R81");
    }
    // A session that lives bears it.
    let (world, key) = World::due(Client::Web);
    let server = std::sync::Arc::clone(&world.server);
    world.net.on("POST", TOKEN, move |call| {
        let mut answer = lock(&server).answer_token(call);
        answer.headers_mut().remove("dpop-nonce");
        Ok(answer)
    });
    assert_eq!(world.ready(&key).unwrap().record().access_token.expose(), "at-4");
}

// Nonces.

fn huge() -> String {
    "n".repeat(64 * 1024)
}

/// No request is larger than a nonce of ordinary size makes it.
fn sends_nothing_huge(row: &str, world: &World) {
    for call in world.net.calls() {
        let proof = call.header("dpop").map_or(0, str::len);
        assert!(proof < 2048, "{row}: a proof of {proof} octets to {}", call.url);
        assert!(call.body.len() < 4096, "{row}: {} octets to {}", call.body.len(), call.url);
    }
}

#[test]
fn r91_a_nonce_of_64_kib_is_not_kept() {
    for keeping in KEEPINGS {
        // A wish for it cannot be met.
        let world = World::new(Client::Web, keeping);
        world.net.answer("POST", PAR, wants_nonce(&huge()));
        fails("PAR", &world, Phase::Request, "authorization_url_failed", 502);
        assert!(world.net.count("POST", PAR) <= 2);
        sends_nothing_huge("PAR", &world);

        let world = World::new(Client::Web, keeping);
        world.net.answer("POST", TOKEN, wants_nonce(&huge()));
        fails("exchange", &world, Phase::Callback, "token_endpoint", 502);
        assert!(world.net.count("POST", TOKEN) <= 2);
        sends_nothing_huge("exchange", &world);

        // Beside an answer that is good it does no harm, neither here nor to the cookie that the login waits in.
        let world = World::new(Client::Web, keeping);
        let pushed = json!({"request_uri": "urn:a", "expires_in": 300});
        world.net.answer("POST", PAR, with_nonce(vestibule_tests::json(201, &pushed), &huge()));
        let mut browser = Browser::default();
        world.begin(&mut browser, HANDLE).unwrap();
        assert!(browser.cookies.iter().all(|(name, value)| name.len() + value.len() < 4096));
        sends_nothing_huge("a good push", &world);
    }
    let (world, key) = World::due(Client::Web);
    world.net.answer("POST", TOKEN, wants_nonce(&huge()));
    assert!(matches!(world.ready(&key), Err(SessionError::Retry { .. })));
    assert!(world.net.count("POST", TOKEN) <= 2);
    sends_nothing_huge("refresh", &world);
    assert_eq!(world.store.only_session().generation, 0);

    let (world, key) = World::signed_in(Client::Web);
    let session = world.ready(&key).unwrap();
    let url = Url::parse("https://pds.example.com/xrpc/com.atproto.server.getSession").unwrap();
    let mut answer = Response::builder().status(401).header("dpop-nonce", huge());
    answer = answer.header("www-authenticate", "DPoP error=\"use_dpop_nonce\"");
    let answer = answer.body(Bytes::new()).unwrap();
    assert_eq!(session.observe(&url, &answer, world.now()), ResourceAnswer::Final);
    assert!(!session.knows_nonce(&url));
}

// Servers in trouble.

#[test]
fn r103_a_server_that_recovers_finds_the_session_as_it_was() {
    let patience = || {
        let mut answer = text(429, "");
        answer.headers_mut().insert("retry-after", "30".parse().unwrap());
        answer
    };
    for client in [Client::Loopback, Client::Web] {
        for (row, answer, wait) in
            [("500", text(500, "<h1>oops</h1>"), 0), ("503", text(503, ""), 0), ("429", patience(), 30)]
        {
            let (world, key) = World::due(client);
            let before = world.store.only_session().to_octets().unwrap();
            for _ in 0..3 {
                world.net.queue("POST", TOKEN, answer.clone());
                let error = world.ready(&key).unwrap_err();
                let SessionError::Retry { after, .. } = &error else { panic!("{row}: {error:?}") };
                assert_eq!(after.map_or(0, |span| span.as_secs()), wait, "{row}");
                world.shows_no_secret(row, &format!("{error} {error:?}"));
                assert_eq!(world.store.only_session().to_octets().unwrap(), before, "{row}");
                world.pass(wait);
            }
            let session = world.ready(&key).unwrap();
            assert_eq!(session.record().access_token.expose(), "at-4", "{row}");
            assert_eq!(world.net.count("POST", TOKEN), 4, "{row}");
            assert_eq!(world.server().revoked, [""; 0], "{row}");
        }
    }
}
