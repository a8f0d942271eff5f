//! Sessions in use, over a scripted token endpoint: refreshed when due, by one at a time, stored before used, and ended on
//! both sides.

mod scripted_world;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Response, StatusCode};
use serde_json::{Value, json};
use url::Url;
use vestibule_atproto_identity::login::{
    ClientKey, Ended, ReadySession, ResourceAnswer, SessionError, SessionKey, SessionRecord,
};
use vestibule_dpop::{DefaultVerifier, Expected, NonceMemory, TargetUri};
use vestibule_oauth_core::{HttpErrorKind, Seed, Trust, UnixTime};
use vestibule_tests::{NOW, block_on, redirect, text};

use scripted_world::{
    ACCESS_LIFE, BOB, Client, HANDLE, LOOK_UPS, PAR, REVOKE, Running, Slow, TOKEN, World, application, join,
    lock, parts,
};

fn signed_in(client: Client) -> (World, SessionKey) {
    World::signed_in(client)
}

fn due(client: Client) -> (World, SessionKey) {
    World::due(client)
}

fn ready(world: &World, key: &SessionKey) -> Result<ReadySession, SessionError> {
    world.ready(key)
}

/// What a refresh asks when nothing is remembered: who rules the account (R101), and then for tokens.
fn whole_refresh() -> Vec<String> {
    LOOK_UPS.map(str::to_owned).into_iter().chain([format!("POST {TOKEN}")]).collect()
}

fn access_token(session: &ReadySession) -> &str {
    session.record().access_token.expose()
}

// When a token is due.

#[test]
fn r105_a_token_is_due_a_tenth_of_its_life_before_its_end() {
    let (world, _) = signed_in(Client::Web);
    let mut record = world.store.only_session();
    let at = |seconds: i64| UnixTime::from_secs(NOW.as_secs().checked_add_signed(seconds).unwrap());
    for (life, seconds, expected) in [
        // Ten seconds before the end of a hundred.
        (Some(100), 0, false),
        (Some(100), 89, false),
        (Some(100), 90, true),
        (Some(100), 100, true),
        (Some(100), 100_000, true),
        // Thirty at most.
        (Some(300), 269, false),
        (Some(300), 270, true),
        (Some(3600), 3569, false),
        (Some(3600), 3570, true),
        // A life too short to have a tenth, and none at all.
        (Some(5), 4, false),
        (Some(5), 5, true),
        (Some(0), 0, true),
        // A server that does not say.
        (None, 0, false),
        (None, 100_000, false),
        // A clock that was set back, and one that is a little behind.
        (Some(3600), -60, false),
        (Some(3600), -61, true),
        (Some(3600), -100_000, true),
    ] {
        record.issued_at = NOW;
        record.expires_at = life.map(|life| NOW.after(Duration::from_secs(life)));
        assert_eq!(record.is_due(at(seconds)), expected, "{life:?} s of life, {seconds} s later");
    }
}

#[test]
fn a_token_that_is_good_is_handed_out_as_it_is() {
    let (world, key) = signed_in(Client::Web);
    world.pass(269);
    assert_eq!(access_token(&ready(&world, &key).unwrap()), "at-3");
    assert_eq!(world.net.log(), [""; 0]);
}

// Refreshing.

#[test]
fn a_due_token_is_replaced_stored_and_handed_out() {
    let (world, key) = due(Client::Web);
    let session = ready(&world, &key).unwrap();
    assert_eq!(world.net.log(), whole_refresh());
    assert_eq!(access_token(&session), "at-4");
    let stored = world.store.only_session();
    assert_eq!(stored.to_octets(), session.record().to_octets(), "what is handed out is what is stored");
    assert_eq!(stored.generation, 1);
    assert_eq!(stored.refresh_token.unwrap().expose(), "rt-4");
    assert_eq!((stored.issued_at, stored.expires_at), (world.now(), Some(world.now().after(ACCESS_LIFE))));

    world.pass(ACCESS_LIFE.as_secs());
    assert_eq!(access_token(&ready(&world, &key).unwrap()), "at-5");
    assert_eq!(world.store.only_session().generation, 2);
}

#[test]
fn r100_a_refresh_is_asked_for_with_the_sessions_own_keys() {
    for (client, more) in
        [(Client::Loopback, &[][..]), (Client::Web, &["client_assertion_type", "client_assertion"])]
    {
        let (world, key) = due(client);
        let before = world.store.only_session();
        ready(&world, &key).unwrap();
        let [refresh] = &world.net.calls_to("POST", TOKEN)[..] else {
            panic!("one request: the nonce is known")
        };
        let names: Vec<_> = refresh.fields().into_iter().map(|(name, _)| name).collect();
        let mut expected = vec!["grant_type", "refresh_token", "client_id"];
        expected.extend(more);
        assert_eq!(names, expected, "{client:?}");
        assert_eq!(refresh.field("refresh_token").as_deref(), Some("rt-3"));
        assert_eq!(refresh.trust, Trust::UserSupplied, "R58");
        let after = world.store.only_session();
        assert_eq!(before.dpop_key.expose(), after.dpop_key.expose());
        assert_eq!((before.client_key, before.key), (after.client_key, after.key));
    }
}

/// After a rotation of the client's keys a session goes on with the one it was made with, for as long as that is there.
#[test]
fn r85_a_refresh_is_signed_by_the_client_key_of_the_session() {
    for (kids, expected) in [(&["newest", "new"][..], Ok("new")), (&["newest"], Err(()))] {
        let (world, key) = due(Client::Web);
        assert_eq!(world.store.only_session().client_key.map(|key| key.kid).as_deref(), Some("new"));
        let redirect_uri = world.site.join("callback").unwrap();
        let client = application(Client::Web, &world.site, &redirect_uri, kids);
        let outcome = world.ready_at(&world.node_of(&Arc::new(client)), &key);
        match expected {
            Ok(kid) => {
                outcome.unwrap();
                assert_eq!(world.server().kids.last().map(String::as_str), Some(kid));
            }
            Err(()) => {
                assert!(matches!(outcome.unwrap_err(), SessionError::Misconfigured(_)));
                assert_eq!(world.net.count("POST", TOKEN), 0, "nothing is sent under another key");
                assert_eq!(world.store.only_session().generation, 0, "the session is kept");
            }
        }
    }
}

/// A process that starts again has the key in the store and no nonce.
#[test]
fn a_session_outlives_the_process() {
    for client in [Client::Loopback, Client::Web] {
        let (world, key) = due(client);
        let octets = world.store.only_session().to_octets().unwrap();
        world.store.put_session(&SessionRecord::from_octets(&octets).unwrap());
        let session = world.ready_at(&world.node(), &key).unwrap();
        assert_eq!(access_token(&session), "at-4");
        assert_eq!(world.net.count("POST", TOKEN), 2, "R92: once more, with the nonce");
    }
}

#[test]
fn what_a_refresh_does_not_say_stays_as_it_was() {
    let (world, key) = due(Client::Web);
    world.server().edit = Some(|answer| {
        for member in ["refresh_token", "scope", "sub", "expires_in"] {
            answer.as_object_mut().unwrap().remove(member);
        }
    });
    let before = world.store.only_session();
    let session = ready(&world, &key).unwrap();
    let record = session.record();
    assert_eq!(record.refresh_token.as_ref().unwrap().expose(), "rt-3");
    assert_eq!(record.scope, before.scope);
    assert_eq!(record.expires_at, None);
    assert_eq!(record.handle, before.handle);
}

// One at a time.

#[test]
fn r99_of_many_who_want_a_token_one_asks_for_it() {
    for stale in [false, true] {
        let (world, key) = signed_in(Client::Web);
        let seen = ready(&world, &key).unwrap();
        if !stale {
            world.pass(ACCESS_LIFE.as_secs());
        }
        let network = Slow(&world.net);
        let (now, seeds) = (world.now(), (0..20).map(|_| world.seed()).collect::<Vec<_>>());
        let futures = seeds.iter().map(|seed| -> Running<'_, _> {
            if stale {
                Box::pin(world.sessions.renewed(&seen, seed, now, &network))
            } else {
                Box::pin(world.sessions.ready(&key, seed, now, &network))
            }
        });
        let outcomes = join(futures.collect());
        assert_eq!(outcomes.len(), 20);
        for outcome in outcomes {
            assert_eq!(access_token(&outcome.unwrap()), "at-4", "stale {stale}");
        }
        for line in whole_refresh() {
            let asked = world.net.log().into_iter().filter(|asked| *asked == line).count();
            assert!(asked <= 1, "stale {stale}: {line} {asked} times");
        }
        assert_eq!(world.net.count("POST", TOKEN), 1, "stale {stale}");
        assert_eq!(world.store.only_session().generation, 1);
        assert!(!world.store.is_leased(&key), "stale {stale}");
    }
}

#[test]
fn sessions_do_not_wait_for_each_other() {
    let world = World::web();
    world.login(HANDLE);
    let first = world.store.only_session().key;
    world.login(HANDLE);
    let keys: Vec<_> = lock(&world.store.sessions).keys().cloned().collect();
    assert_eq!(keys.len(), 2, "one person, two devices");
    world.pass(ACCESS_LIFE.as_secs());
    world.net.forget_calls();
    let network = Slow(&world.net);
    let (now, seeds) = (world.now(), [world.seed(), world.seed()]);
    let futures = keys
        .iter()
        .zip(&seeds)
        .map(|(key, seed)| -> Running<'_, _> { Box::pin(world.sessions.ready(key, seed, now, &network)) });
    for outcome in join(futures.collect()) {
        outcome.unwrap();
    }
    assert_eq!(world.net.count("POST", TOKEN), 2);
    block_on(world.sessions.end(&first, &world.seed(), now, &*world.net)).unwrap();
    assert_eq!(lock(&world.store.sessions).len(), 1, "the other device stays signed in");
}

#[test]
fn r106_a_stale_token_is_looked_up_before_another_is_asked_for() {
    let (world, key) = due(Client::Web);
    let stale = ready(&world, &key).unwrap();
    world.pass(ACCESS_LIFE.as_secs());
    let newer = ready(&world, &key).unwrap();
    assert_ne!(access_token(&stale), access_token(&newer));
    world.net.forget_calls();

    let renewed = block_on(world.sessions.renewed(&stale, &world.seed(), world.now(), &*world.net)).unwrap();
    assert_eq!(access_token(&renewed), access_token(&newer));
    assert_eq!(world.net.log(), [""; 0], "somebody refreshed it already");

    let renewed = block_on(world.sessions.renewed(&newer, &world.seed(), world.now(), &*world.net)).unwrap();
    assert_ne!(access_token(&renewed), access_token(&newer));
    assert_eq!(world.net.log(), [format!("POST {TOKEN}")], "nobody did, however long it should be good");
}

// Stored before used.

#[test]
fn r102_tokens_that_are_not_stored_are_not_handed_out() {
    let (world, key) = due(Client::Web);
    world.store.breaks("replace");
    assert!(matches!(ready(&world, &key), Err(SessionError::Store(_))));
    assert_eq!(world.net.count("POST", TOKEN), 1);
    let stored = world.store.only_session();
    assert_eq!((stored.access_token.expose().as_str(), stored.generation), ("at-3", 0));
}

#[test]
fn r102_tokens_that_the_store_did_not_take_are_stored_when_it_is_back() {
    let (world, key) = due(Client::Web);
    world.store.breaks("replace");
    for _ in 0..3 {
        assert!(matches!(ready(&world, &key), Err(SessionError::Store(_))));
    }
    assert_eq!(world.net.count("POST", TOKEN), 1, "the refresh token is spent: it is not sent again");
    world.store.is_mended();
    assert_eq!(access_token(&ready(&world, &key).unwrap()), "at-4");
    let stored = world.store.only_session();
    assert_eq!((stored.access_token.expose().as_str(), stored.generation), ("at-4", 1));
    assert_eq!(world.net.count("POST", TOKEN), 1);
}

#[test]
fn who_waited_for_a_refresh_that_failed_asks_no_second_time() {
    let (world, key) = due(Client::Web);
    world.net.answer("POST", TOKEN, text(503, ""));
    let network = Slow(&world.net);
    let (now, seeds) = (world.now(), (0..20).map(|_| world.seed()).collect::<Vec<_>>());
    let futures = seeds
        .iter()
        .map(|seed| -> Running<'_, _> { Box::pin(world.sessions.ready(&key, seed, now, &network)) });
    for outcome in join(futures.collect()) {
        assert!(matches!(outcome, Err(SessionError::Retry { .. })), "{outcome:?}");
    }
    assert_eq!(world.net.count("POST", TOKEN), 1);
    // Whoever comes later asks anew.
    assert!(matches!(ready(&world, &key), Err(SessionError::Retry { .. })));
    assert_eq!(world.net.count("POST", TOKEN), 2);
}

#[test]
fn no_more_than_so_many_wait_for_a_refresh() {
    let (world, key) = due(Client::Web);
    let network = Slow(&world.net);
    let (now, seeds) = (world.now(), (0..200).map(|_| world.seed()).collect::<Vec<_>>());
    let futures = seeds
        .iter()
        .map(|seed| -> Running<'_, _> { Box::pin(world.sessions.ready(&key, seed, now, &network)) });
    let (served, sent_away): (Vec<_>, Vec<_>) = join(futures.collect()).into_iter().partition(Result::is_ok);
    assert_eq!((served.len(), sent_away.len()), (65, 135)); // one refreshes, 64 wait
    assert!(sent_away.iter().all(|outcome| matches!(outcome, Err(SessionError::Retry { .. }))));
}

#[test]
fn r103_a_server_that_asks_for_patience_is_left_alone() {
    let (world, key) = due(Client::Web);
    let mut answer = text(429, "");
    answer.headers_mut().insert("retry-after", "60".parse().unwrap());
    world.net.answer("POST", TOKEN, answer);
    let after = |seconds| Some(Duration::from_secs(seconds));
    for (passes, expected, asked) in [(0, 60, 1), (20, 40, 1), (39, 1, 1), (1, 60, 2)] {
        world.pass(passes);
        match ready(&world, &key).unwrap_err() {
            SessionError::Retry { after: told, .. } => assert_eq!(told, after(expected), "{passes}"),
            other => panic!("{other:?}"),
        }
        assert_eq!(world.net.count("POST", TOKEN), asked, "{passes}");
    }
}

#[test]
fn a_store_that_is_away_asks_nobody_for_tokens() {
    let (world, key) = due(Client::Web);
    world.store.breaks("load");
    assert!(matches!(ready(&world, &key), Err(SessionError::Store(_))));
    assert_eq!(world.net.log(), [""; 0]);
}

/// Another node refreshed at the same moment and was first: its tokens are the session's.
#[test]
fn r99_of_two_nodes_the_first_to_store_wins() {
    let (world, key) = due(Client::Web);
    other_node_refreshes_during(&world, |answer| answer);
    let session = ready(&world, &key).unwrap();
    assert_eq!(access_token(&session), "at-of-the-other-node");
    assert_eq!(world.store.only_session().access_token.expose(), "at-of-the-other-node");
}

/// While the server answers, another node stores a refresh of its own.
fn other_node_refreshes_during(world: &World, answer: fn(Response<Bytes>) -> Response<Bytes>) {
    let store = Arc::clone(&world.store);
    let body = json!({"access_token": "at-too-late", "token_type": "DPoP", "refresh_token": "rt-too-late",
        "scope": "atproto", "expires_in": 300});
    world.net.on("POST", TOKEN, move |_| {
        let mut record = store.only_session();
        record.generation += 1;
        record.access_token = vestibule_oauth_core::Secret::new("at-of-the-other-node".to_owned());
        store.put_session(&record);
        Ok(answer(vestibule_tests::json(200, &body)))
    });
}

#[test]
fn a_session_that_is_ended_while_it_is_refreshed_is_ended() {
    let (world, key) = due(Client::Web);
    let (store, ended) = (Arc::clone(&world.store), key.clone());
    let body = json!({"access_token": "at-4", "token_type": "DPoP", "refresh_token": "rt-4"});
    world.net.on("POST", TOKEN, move |_| {
        lock(&store.sessions).remove(&ended);
        Ok(vestibule_tests::json(200, &body))
    });
    assert!(matches!(ready(&world, &key), Err(SessionError::Gone(_))));
    assert!(world.store.is_empty());
    assert_eq!(world.server().revoked, ["rt-4"], "what was issued since must not outlive the session");
}

// Refusals for good, and for now.

fn says(status: u16, error: &str) -> Response<Bytes> {
    vestibule_tests::json(status, &json!({"error": error}))
}

#[test]
fn r103_a_refresh_token_that_is_spent_ends_the_session_unless_another_node_spent_it() {
    let (world, key) = due(Client::Web);
    other_node_refreshes_during(&world, |_| says(400, "invalid_grant"));
    let session = ready(&world, &key).unwrap();
    assert_eq!(access_token(&session), "at-of-the-other-node");
    assert_eq!(world.store.only_session().generation, 1, "the session is kept");

    for error in ["invalid_grant", "unauthorized_client", "invalid_token"] {
        let (world, key) = due(Client::Web);
        world.net.answer("POST", TOKEN, says(400, error));
        let outcome = ready(&world, &key).unwrap_err();
        assert!(matches!(outcome, SessionError::Gone(_)), "{error}: {outcome:?}");
        assert!(world.store.is_empty(), "{error}");
        assert_eq!(world.net.count("POST", TOKEN), 1, "{error}");
    }
}

#[test]
fn r103_a_server_in_trouble_ends_no_session() {
    let after = |response: Response<Bytes>, value: &str| {
        let mut response = response;
        response.headers_mut().insert("retry-after", value.parse().unwrap());
        response
    };
    let seconds = |seconds| Some(Duration::from_secs(seconds));
    let html = "<!doctype html>";
    for (row, answer, expected) in [
        ("500", text(500, html), None),
        ("502", text(502, html), None),
        ("503 with a time", after(text(503, html), "120"), seconds(120)),
        ("429 with a time", after(says(429, "slow_down"), "7"), seconds(7)),
        ("429 with a long time", after(text(429, ""), "86400"), seconds(3600)),
        ("429 with a date", after(text(429, ""), "Fri, 31 Dec 2027 23:59:59 GMT"), None),
        ("429 with rubbish", after(text(429, ""), "-1"), None),
        ("a redirect", redirect(307, "https://elsewhere.example.com/"), None),
        ("404", text(404, ""), None),
        ("a web page", text(200, html), None),
        ("no access_token", vestibule_tests::json(200, &json!({"token_type": "DPoP"})), None),
        ("server_error", says(400, "server_error"), None),
        ("temporarily_unavailable", says(503, "temporarily_unavailable"), None),
        ("invalid_client", says(401, "invalid_client"), None),
        ("a wish for a nonce, without one", says(400, "use_dpop_nonce"), None),
    ] {
        let (world, key) = due(Client::Web);
        world.net.answer("POST", TOKEN, answer);
        match ready(&world, &key).unwrap_err() {
            SessionError::Retry { after, detail } => {
                assert_eq!(after, expected, "{row}");
                assert!(!detail.contains("rt-"), "R109: {detail}");
            }
            other => panic!("{row}: {other:?}"),
        }
        assert_eq!(world.store.only_session().generation, 0, "{row}: the session is kept");
        assert_eq!(world.net.count("POST", TOKEN), 1, "{row}");
    }
}

#[test]
fn r92_a_refresh_is_tried_twice_at_most() {
    let (world, key) = due(Client::Web);
    let mut count = 0;
    world.net.on("POST", TOKEN, move |_| {
        count += 1;
        let mut answer = says(400, "use_dpop_nonce");
        answer.headers_mut().insert("dpop-nonce", format!("n{count}").parse().unwrap());
        Ok(answer)
    });
    assert!(matches!(ready(&world, &key), Err(SessionError::Retry { .. })));
    assert_eq!(world.net.count("POST", TOKEN), 2);
    let refreshes = world.net.calls_to("POST", TOKEN);
    let nonces: Vec<_> =
        refreshes.iter().map(|call| parts(call.header("dpop").unwrap()).1["nonce"].clone()).collect();
    assert_eq!(nonces, [json!("nonce-1"), json!("n1")], "the second with the nonce of the first");
    assert_eq!(world.store.only_session().generation, 0);
}

/// An answer that got lost is asked for once more: a server that had not acted yet gives tokens, and one that had ends the
/// session.
#[test]
fn r104_a_lost_answer_is_asked_for_once_more() {
    for kind in [HttpErrorKind::AnswerLost, HttpErrorKind::TooLarge] {
        let (world, key) = due(Client::Web);
        world.net.queue_failure("POST", TOKEN, kind);
        assert_eq!(access_token(&ready(&world, &key).unwrap()), "at-4", "{kind:?}");
        assert_eq!(world.net.count("POST", TOKEN), 2, "{kind:?}");

        // The second try's fate, and what becomes of the session.
        type Then = fn(&World);
        let rows: [(&str, Then, Option<&str>); 7] = [
            ("wants a nonce", |world| _ = world.net.queue("POST", TOKEN, says(400, "use_dpop_nonce")), None),
            ("lost again", |world| _ = world.net.queue_failure("POST", TOKEN, LOST), Some("lost twice")),
            (
                "refused",
                |world| _ = world.net.queue("POST", TOKEN, says(400, "invalid_grant")),
                Some("invalid_grant"),
            ),
            (
                "no connection",
                |world| _ = world.net.queue_failure("POST", TOKEN, HttpErrorKind::Connect),
                None,
            ),
            (
                "too slow",
                |world| _ = world.net.queue_failure("POST", TOKEN, HttpErrorKind::AnswerTimeout),
                None,
            ),
            ("500", |world| _ = world.net.queue("POST", TOKEN, text(500, "")), None),
            ("429", |world| _ = world.net.queue("POST", TOKEN, text(429, "")), None),
        ];
        for (row, then, why) in rows {
            let (world, key) = due(Client::Web);
            world.net.queue_failure("POST", TOKEN, kind);
            then(&world);
            let error = ready(&world, &key).unwrap_err();
            world.shows_no_secret(row, &format!("{error} {error:?}"));
            match (&error, why) {
                (SessionError::Gone(reason), Some(why)) => assert!(reason.contains(why), "{row}: {reason}"),
                (SessionError::Retry { after: None, .. }, None) => {}
                other => panic!("{kind:?}, {row}: {other:?}"),
            }
            assert_eq!(world.store.is_empty(), why.is_some(), "{kind:?}, {row}");
            assert_eq!(world.net.count("POST", TOKEN), 2, "{kind:?}, {row}: once more and no more");
            assert!(!world.store.is_leased(&key), "{kind:?}, {row}");
        }
    }
}

const LOST: HttpErrorKind = HttpErrorKind::AnswerLost;

/// What the real servers do: the token was spent by the request whose answer got lost.
#[test]
fn r104_a_server_that_acted_on_what_it_did_not_answer_ends_the_session() {
    for client in [Client::Loopback, Client::Web] {
        let (world, key) = due(client);
        world.loses_answers(1, LOST);
        let SessionError::Gone(why) = ready(&world, &key).unwrap_err() else { panic!("{client:?}") };
        assert!(why.contains("invalid_grant"), "{why}");
        assert!(world.store.is_empty());
        assert!(matches!(ready(&world, &key), Err(SessionError::Gone(_))), "nobody asks again");
        assert_eq!(world.net.count("POST", TOKEN), 2);
    }
}

/// A refresh that was not answered in time, or not sent at all, may be tried again later.
#[test]
fn r103_a_server_that_cannot_be_reached_ends_no_session() {
    for kind in [
        HttpErrorKind::AnswerTimeout,
        HttpErrorKind::Connect,
        HttpErrorKind::ConnectTimeout,
        HttpErrorKind::UnknownHost,
        HttpErrorKind::Blocked,
    ] {
        let (world, key) = due(Client::Web);
        world.net.queue_failure("POST", TOKEN, kind);
        let error = ready(&world, &key).unwrap_err();
        assert!(matches!(error, SessionError::Retry { after: None, .. }), "{kind:?}: {error:?}");
        world.shows_no_secret("unreachable", &format!("{error} {error:?}"));
        assert_eq!(world.net.count("POST", TOKEN), 1, "{kind:?}: not sent again behind anybody's back");
        assert!(!world.store.is_leased(&key), "{kind:?}");
        // The session is kept, and the next refresh tells.
        assert_eq!(access_token(&ready(&world, &key).unwrap()), "at-4", "{kind:?}");
    }
}

#[test]
fn r100_tokens_of_another_account_or_without_a_key_end_the_session() {
    type Edit = fn(&mut Value);
    let rows: [(&str, Edit); 3] = [
        ("another sub", |answer| answer["sub"] = json!(BOB)),
        ("Bearer", |answer| answer["token_type"] = json!("Bearer")),
        ("a scope without atproto", |answer| answer["scope"] = json!("transition:generic")),
    ];
    for (row, edit) in rows {
        let (world, key) = due(Client::Web);
        world.server().edit = Some(edit);
        assert!(matches!(ready(&world, &key), Err(SessionError::Gone(_))), "{row}");
        assert!(world.store.is_empty(), "{row}");
        assert!(world.server().revoked.contains(&"rt-4".to_owned()), "{row}: R81");
    }
}

#[test]
fn a_session_without_refresh_token_ends_with_its_access_token() {
    let (world, key) = signed_in(Client::Web);
    let mut record = world.store.only_session();
    record.refresh_token = None;
    world.store.put_session(&record);
    assert_eq!(access_token(&ready(&world, &key).unwrap()), "at-3");
    world.pass(ACCESS_LIFE.as_secs());
    assert!(matches!(ready(&world, &key), Err(SessionError::Gone(_))));
    assert!(world.store.is_empty());
    assert_eq!(world.net.count("POST", TOKEN), 0);
}

#[test]
fn a_session_that_is_not_there_is_gone() {
    let (world, key) = signed_in(Client::Web);
    lock(&world.store.sessions).clear();
    assert!(matches!(ready(&world, &key), Err(SessionError::Gone(_))));
    let ended = block_on(world.sessions.end(&key, &world.seed(), world.now(), &*world.net)).unwrap();
    assert_eq!(ended, Ended::NotThere);
    assert_eq!(world.net.log(), [""; 0]);
}

// Ending.

#[test]
fn r107_a_session_ends_here_and_at_its_server() {
    for client in [Client::Loopback, Client::Web] {
        let (world, key) = signed_in(client);
        let before = world.server().kids.len();
        let ended = block_on(world.sessions.end(&key, &world.seed(), world.now(), &*world.net)).unwrap();
        assert_eq!(ended, Ended::OnBothSides);
        assert!(world.store.is_empty());
        // The scripted server has looked at proof and assertion.
        assert!(world.server().has_all_back());
        assert_eq!(world.server().kids.len() - before, usize::from(client == Client::Web));
        let [call] = &world.net.calls_to("POST", REVOKE)[..] else {
            panic!("one request: the nonce is known")
        };
        assert_eq!(
            call.field("token").as_deref(),
            Some("rt-3"),
            "with the refresh token goes the whole session"
        );
        assert_eq!(call.trust, Trust::UserSupplied, "R58");
    }
}

#[test]
fn r107_tokens_that_the_store_did_not_take_are_given_back_with_the_session() {
    let (world, key) = due(Client::Web);
    world.store.breaks("replace");
    assert!(matches!(ready(&world, &key), Err(SessionError::Store(_))));
    let ended = block_on(world.sessions.end(&key, &world.seed(), world.now(), &*world.net)).unwrap();
    assert_eq!(ended, Ended::OnBothSides);
    assert_eq!(world.server().revoked, ["rt-4"], "the old one is spent");
}

#[test]
fn r107_a_session_ends_here_whatever_its_server_says() {
    for answer in [
        Ok(text(500, "")),
        Ok(says(400, "invalid_client")),
        Ok(redirect(302, PAR)),
        Err(HttpErrorKind::Connect),
    ] {
        let (world, key) = signed_in(Client::Web);
        match answer {
            Ok(response) => world.net.answer("POST", REVOKE, response),
            Err(kind) => world.net.fail("POST", REVOKE, kind),
        };
        let ended = block_on(world.sessions.end(&key, &world.seed(), world.now(), &*world.net)).unwrap();
        let Ended::HereOnly(why) = ended else { panic!("{ended:?}") };
        assert!(!why.is_empty() && !why.contains("rt-"), "R109: {why}");
        assert!(world.store.is_empty());
    }
    // 204 is a yes too.
    let (world, key) = signed_in(Client::Web);
    world.net.answer("POST", REVOKE, text(204, ""));
    let ended = block_on(world.sessions.end(&key, &world.seed(), world.now(), &*world.net)).unwrap();
    assert_eq!(ended, Ended::OnBothSides);
}

#[test]
fn a_session_that_cannot_be_ended_here_is_not_ended_there() {
    let (world, key) = signed_in(Client::Web);
    world.store.breaks("remove");
    block_on(world.sessions.end(&key, &world.seed(), world.now(), &*world.net)).unwrap_err();
    assert_eq!(world.net.log(), [""; 0]);
    world.store.is_mended();
    assert_eq!(access_token(&ready(&world, &key).unwrap()), "at-3");
}

#[test]
fn ending_after_a_restart_takes_the_nonce_and_one_more_try() {
    let (world, key) = signed_in(Client::Web);
    let ended = block_on(world.node().end(&key, &world.seed(), world.now(), &*world.net)).unwrap();
    assert_eq!(ended, Ended::OnBothSides);
    assert_eq!(world.net.count("POST", REVOKE), 2);
}

#[test]
fn of_two_who_end_a_session_one_gives_the_tokens_back() {
    let (world, key) = signed_in(Client::Web);
    let network = Slow(&world.net);
    let (now, seeds) = (world.now(), [world.seed(), world.seed()]);
    let futures = seeds
        .iter()
        .map(|seed| -> Running<'_, _> { Box::pin(world.sessions.end(&key, seed, now, &network)) });
    let mut outcomes: Vec<_> = join(futures.collect()).into_iter().map(Result::unwrap).collect();
    outcomes.sort_by_key(|ended| *ended == Ended::NotThere);
    assert_eq!(outcomes, [Ended::OnBothSides, Ended::NotThere]);
    assert_eq!(world.net.count("POST", REVOKE), 1);
}

// At the person's server.

const XRPC: &str = "https://pds.example.com/xrpc/com.atproto.server.getSession?a=b#c";

fn challenged(status: u16, challenge: &'static str, nonce: Option<&'static str>) -> Response<()> {
    let mut response = Response::new(());
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    let headers = response.headers_mut();
    if !challenge.is_empty() {
        headers.insert("www-authenticate", challenge.parse().unwrap());
    }
    if let Some(nonce) = nonce {
        headers.insert("dpop-nonce", nonce.parse().unwrap());
    }
    response
}

#[test]
fn r88_a_request_to_the_persons_server_is_signed_for_its_token() {
    let (world, key) = signed_in(Client::Web);
    let session = ready(&world, &key).unwrap();
    let url = Url::parse(XRPC).unwrap();
    assert!(!session.knows_nonce(&url), "what the authorization server gave is its own");
    let headers = session.authorization(&Method::GET, &url, [1; 16], world.now()).unwrap();
    assert_eq!(headers["authorization"], "DPoP at-3");
    assert!(headers["authorization"].is_sensitive(), "R109");
    assert_eq!(headers.len(), 2);

    let target = TargetUri::parse("https://pds.example.com/xrpc/com.atproto.server.getSession").unwrap();
    let expected = Expected::new(&Method::GET, &target).with_access_token("at-3");
    let proof = headers["dpop"].to_str().unwrap();
    expected.read(proof, &DefaultVerifier, world.now()).unwrap();
    let (_, claims) = parts(proof);
    assert_eq!(claims["htu"], "https://pds.example.com/xrpc/com.atproto.server.getSession", "R87");
    assert_eq!(claims.get("nonce"), None);

    // With the nonce of the person's server, and a `jti` for each try.
    session.observe(&url, &challenged(401, "DPoP error=\"use_dpop_nonce\"", Some("pds-1")), world.now());
    assert!(session.knows_nonce(&url));
    let again = session.authorization(&Method::GET, &url, [2; 16], world.now()).unwrap();
    let (_, second) = parts(again["dpop"].to_str().unwrap());
    assert_eq!(second["nonce"], "pds-1");
    assert_ne!(claims["jti"], second["jti"]);
}

#[test]
fn r92_r106_what_an_answer_of_the_persons_server_asks_for() {
    use ResourceAnswer::{Final, NonceWanted, TokenRefused};
    const NONCE: &str =
        "DPoP algs=\"RS256 ES256\", error=\"use_dpop_nonce\", error_description=\"nonce wanted\"";
    const TOKEN: &str = "DPoP algs=\"ES256\", error=\"invalid_token\", error_description=\"exp\"";
    for (status, challenge, nonce, expected) in [
        (401, NONCE, Some("n"), NonceWanted),
        (401, TOKEN, Some("n"), TokenRefused),
        (401, TOKEN, None, TokenRefused),
        // A wish for a nonce without one would be repeated for ever.
        (401, NONCE, None, Final),
        (401, NONCE, Some("not a\tnonce"), Final),
        (401, "", Some("n"), Final),
        (401, "DPoP error=\"invalid_dpop_proof\"", Some("n"), Final),
        (401, "DPoP error=\"insufficient_scope\"", Some("n"), Final),
        // Only a 401 is a challenge.
        (400, NONCE, Some("n"), Final),
        (403, TOKEN, Some("n"), Final),
        (200, "", Some("n"), Final),
        (500, TOKEN, None, Final),
    ] {
        let (world, key) = signed_in(Client::Web);
        let session = ready(&world, &key).unwrap();
        let url = Url::parse(XRPC).unwrap();
        let answer = challenged(status, challenge, nonce);
        assert_eq!(session.observe(&url, &answer, world.now()), expected, "{status} {challenge} {nonce:?}");
        assert_eq!(session.knows_nonce(&url), nonce == Some("n"), "every answer's nonce is kept");
        let elsewhere = Url::parse("https://pds2.example.com/").unwrap();
        assert!(!session.knows_nonce(&elsewhere), "R91: one for each server");
    }
}

#[test]
fn r91_nonces_belong_to_a_session() {
    let world = World::web();
    world.login(HANDLE);
    world.login(HANDLE);
    let keys: Vec<_> = lock(&world.store.sessions).keys().cloned().collect();
    let url = Url::parse(XRPC).unwrap();
    let first = ready(&world, &keys[0]).unwrap();
    first.observe(&url, &challenged(200, "", Some("n")), world.now());
    // Another handle on the same session knows it, another session does not.
    assert!(ready(&world, &keys[0]).unwrap().knows_nonce(&url));
    assert!(!ready(&world, &keys[1]).unwrap().knows_nonce(&url));
}

/// What an application keeps that makes its sessions itself.
#[test]
fn a_session_is_kept_with_the_nonces_learned_on_the_way() {
    let (world, _) = signed_in(Client::Web);
    let record = world.store.only_session();
    lock(&world.store.sessions).clear();
    let url = Url::parse(TOKEN).unwrap();
    let mut nonces = NonceMemory::default();
    nonces.observe(&url, challenged(200, "", Some("n")).headers(), world.now());
    let sessions = world.node();
    block_on(sessions.insert(&record, nonces)).unwrap();
    let session = block_on(sessions.ready(&record.key, &world.seed(), world.now(), &*world.net)).unwrap();
    assert!(session.knows_nonce(&url));
    let loaded = block_on(sessions.load(&record.key)).unwrap().unwrap();
    assert_eq!(loaded.client_key, Some(ClientKey::new("new", vestibule_dpop::Algorithm::Es256)));
}

#[test]
fn r109_nothing_of_a_session_is_shown_that_opens_anything() {
    let (world, key) = signed_in(Client::Web);
    let session = ready(&world, &key).unwrap();
    let shown = format!("{session:?} {:?} {:?} {:?}", session.record(), world.sessions, world.engine);
    for secret in ["at-3", "rt-3"] {
        assert!(!shown.contains(secret), "{shown}");
    }
    let seed = Seed::from_entropy([1; 32]);
    assert_eq!(format!("{seed:?}"), "Seed(..)");
}
