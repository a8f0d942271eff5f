//! Several processes over one store: one refreshes a session at a time, and whatever becomes of it, nobody else loses the
//! session by it. And what is made sure of before a refresh: that the issuer still rules the account.

mod scripted_world;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::Response;
use serde_json::json;
use vestibule_atproto_identity::login::{
    Lease, Leased, ReadySession, SessionError, SessionKey, SessionStore, Sessions,
};
use vestibule_oauth_core::{BoxFuture, HttpCall, HttpClient, HttpError, HttpErrorKind};
use vestibule_tests::{ScriptedNetwork, block_on, text};

use scripted_world::{
    ACCESS_LIFE, ALICE, Client, DOCUMENT, HANDLE, ISSUER, ISSUER2, LOOK_UPS, METADATA, NO_ANSWER, PDS, PDS2,
    RESOURCE, REVOKE, Running, Slow, TOKEN, TXT, WELL_KNOWN, World, document, html, join, ok,
    resource_metadata, step, step_aside,
};

type Outcome = Result<ReadySession, SessionError>;

fn access_token(outcome: &Outcome) -> &str {
    match outcome {
        Ok(session) => session.record().access_token.expose(),
        Err(error) => panic!("{error}"),
    }
}

/// One caller of this node, over this network.
fn caller<'a>(
    world: &World,
    node: &'a Sessions,
    key: &'a SessionKey,
    network: &'a dyn HttpClient,
) -> Running<'a, Outcome> {
    let (seed, now) = (world.seed(), world.now());
    Box::pin(async move { node.ready(key, &seed, now, network).await })
}

/// Runs it up to where this holds.
fn run_until<T>(future: &mut Running<'_, T>, holds: impl Fn() -> bool) {
    for _round in 0..1000 {
        if holds() {
            return;
        }
        assert!(step(future).is_pending(), "it has ended");
    }
    panic!("it never came so far");
}

/// A network whose token endpoint acts at once, and whose answer is on its way until it is let through.
struct Delayed<'a> {
    net: &'a ScriptedNetwork,
    let_through: AtomicBool,
}

impl<'a> Delayed<'a> {
    const fn new(net: &'a ScriptedNetwork) -> Self {
        Self { net, let_through: AtomicBool::new(false) }
    }

    fn let_through(&self) {
        self.let_through.store(true, Ordering::SeqCst);
    }
}

impl HttpClient for Delayed<'_> {
    fn send<'a>(&'a self, call: HttpCall) -> BoxFuture<'a, Result<Response<Bytes>, HttpError>> {
        Box::pin(async move {
            let delayed = call.request.uri() == TOKEN;
            let answer = self.net.send(call).await;
            while delayed && !self.let_through.load(Ordering::SeqCst) {
                step_aside(2).await;
            }
            answer
        })
    }
}

fn total(pauses: &[Duration]) -> Duration {
    pauses.iter().sum()
}

// One at a time.

#[test]
fn r99_of_many_processes_one_asks_for_tokens() {
    for count in [1, 2, 5] {
        for (client, first) in [(Client::Web, 0), (Client::Web, count - 1), (Client::Loopback, 0)] {
            let (world, key) = World::due(client);
            let others: Vec<_> = (1..count).map(|_| world.node()).collect();
            let mut nodes: Vec<&Sessions> = vec![&world.sessions];
            nodes.extend(&others);
            nodes.rotate_left(first);
            let network = Slow(&world.net);
            let issued = world.server().issued.len();

            let callers = (0..20).flat_map(|_| &nodes).map(|node| caller(&world, node, &key, &network));
            let outcomes = join(callers.collect());

            assert_eq!(outcomes.len(), 20 * count);
            let tokens: BTreeSet<_> = outcomes.iter().map(access_token).collect();
            assert_eq!(tokens.into_iter().collect::<Vec<_>>(), ["at-4"], "{count} processes");
            assert_eq!(world.server().issued.len() - issued, 1, "{count} processes");
            // A process that has not heard of the nonce is told, and asks again.
            assert_eq!(world.net.count("POST", TOKEN), if first == 0 { 1 } else { 2 }, "{count} processes");
            assert_eq!(world.store.only_session().generation, 1);
            assert!(!world.store.is_leased(&key), "{count} processes: the lease stays");
            assert_eq!(world.timer.take().is_empty(), count == 1, "one process has nobody to wait for");
        }
    }
}

#[test]
fn r99_a_refresh_by_another_process_is_found_and_not_repeated() {
    let (world, key) = World::due(Client::Web);
    let other = world.node();
    let seen = world.store.only_session();
    assert_eq!(access_token(&world.ready_at(&other, &key)), "at-4");
    world.net.forget_calls();
    assert_eq!(access_token(&world.ready(&key)), "at-4");
    assert_eq!(world.net.log(), [""; 0]);
    assert_ne!(seen.generation, world.store.only_session().generation);
    assert_eq!(world.store.leases_of(&key), 1, "nobody takes a lease for a token that is good");
}

/// Each process in turn, for as long as the session lives.
#[test]
fn r99_processes_take_turns() {
    let (world, key) = World::due(Client::Web);
    let nodes = [world.node(), world.node(), world.node()];
    for round in 0..9 {
        let issued = world.server().issued.len();
        let outcome = world.ready_at(&nodes[round % 3], &key);
        assert_eq!(access_token(&outcome), format!("at-{}", 4 + round));
        assert_eq!(world.server().issued.len(), issued + 1);
        world.pass(ACCESS_LIFE.as_secs());
    }
    assert_eq!(world.timer.take(), []);
    assert_eq!(world.store.only_session().generation, 9);
}

// A lease that is held.

#[test]
fn r99_a_process_that_dies_holds_others_up_until_its_lease_runs_out_and_no_longer() {
    for own in [false, true] {
        let (world, key) = World::due(Client::Web);
        let network = Slow(&world.net);
        let mut dies = caller(&world, &world.sessions, &key, &network);
        run_until(&mut dies, || world.net.count("GET", METADATA) == 1);
        assert!(world.store.is_leased(&key));
        drop(dies);
        assert_eq!(world.net.count("POST", TOKEN), 0);

        // Its own process is no better off than another: nobody knows how far it came.
        let other = world.node();
        let node = if own { &*world.sessions } else { &other };
        // The last look is 20 s after the first, and the lease is over at 45.
        for passes in [0, 24] {
            world.pass(passes);
            let error = world.ready_at(node, &key).unwrap_err();
            assert!(matches!(error, SessionError::Retry { after: None, .. }), "{error:?}");
            let pauses = world.timer.take();
            let waited = total(&pauses);
            assert!(waited >= Duration::from_secs(20) && waited < Duration::from_secs(22), "{waited:?}");
            assert!(pauses.len() < 50 && pauses.iter().all(|pause| *pause <= Duration::from_secs(1)));
            assert_eq!(world.net.count("POST", TOKEN), 0, "nothing is sent without a lease");
        }
        world.pass(1);
        assert_eq!(access_token(&world.ready_at(node, &key)), "at-4", "own {own}");
        assert!(total(&world.timer.take()) < Duration::from_secs(22));
        assert!(!world.store.is_leased(&key));

        // And once it is over nobody waits at all.
        let (world, key) = World::due(Client::Web);
        let network = Slow(&world.net);
        let mut dies = caller(&world, &world.sessions, &key, &network);
        run_until(&mut dies, || world.store.is_leased(&key));
        drop(dies);
        world.pass(Lease::LENGTH.as_secs());
        assert_eq!(access_token(&world.ready_at(&world.node(), &key)), "at-4");
        assert_eq!(world.timer.take(), []);
    }
}

/// Its tokens are lost with it: the next one is refused, says so, and nobody asks for ever.
#[test]
fn r104_a_process_that_dies_after_it_asked_takes_the_session_with_it() {
    let (world, key) = World::due(Client::Web);
    let network = Delayed::new(&world.net);
    let mut dies = caller(&world, &world.sessions, &key, &network);
    run_until(&mut dies, || world.net.count("POST", TOKEN) == 1);
    drop(dies);
    let other = world.node();
    assert!(matches!(world.ready_at(&other, &key), Err(SessionError::Retry { .. })));
    world.pass(Lease::LENGTH.as_secs());
    let SessionError::Gone(why) = world.ready_at(&other, &key).unwrap_err() else { panic!() };
    assert!(why.contains("invalid_grant"), "{why}");
    assert!(world.store.is_empty());
    let asked = world.net.log().len();
    for node in [&*world.sessions, &other] {
        assert!(matches!(world.ready_at(node, &key), Err(SessionError::Gone(_))));
    }
    assert_eq!(world.net.log().len(), asked);
}

/// Whoever waits goes on as soon as the other is done.
#[test]
fn r99_who_waits_has_the_new_tokens_soon() {
    let (world, key) = World::due(Client::Web);
    let (network, other) = (Delayed::new(&world.net), world.node());
    let mut first = caller(&world, &world.sessions, &key, &network);
    run_until(&mut first, || world.net.count("POST", TOKEN) == 1);
    let mut second = caller(&world, &other, &key, &*world.net);
    for _ in 0..30 {
        assert!(step(&mut second).is_pending());
    }
    network.let_through();
    let outcomes = join(vec![first, second]);
    assert_eq!(outcomes.iter().map(access_token).collect::<Vec<_>>(), ["at-4", "at-4"]);
    assert!(total(&world.timer.take()) < Duration::from_secs(2));
    assert_eq!(world.net.count("POST", TOKEN), 1);
}

#[test]
fn r103_a_refresh_that_fails_leaves_the_way_free() {
    type Trouble = fn(&ScriptedNetwork);
    let rows: [(&str, Trouble); 5] = [
        ("500", |net| _ = net.queue("POST", TOKEN, text(500, ""))),
        ("no answer in time", |net| _ = net.queue_failure("POST", TOKEN, HttpErrorKind::AnswerTimeout)),
        ("no connection", |net| _ = net.queue_failure("POST", TOKEN, HttpErrorKind::Connect)),
        ("no metadata", |net| _ = net.queue("GET", METADATA, text(500, ""))),
        ("no directory", |net| _ = net.queue_failure("GET", DOCUMENT, HttpErrorKind::Connect)),
    ];
    for (row, trouble) in rows {
        let (world, key) = World::due(Client::Web);
        trouble(&world.net);
        let error = world.ready(&key).unwrap_err();
        assert!(matches!(error, SessionError::Retry { .. }), "{row}: {error:?}");
        assert!(!world.store.is_leased(&key), "{row}");
        assert_eq!(access_token(&world.ready_at(&world.node(), &key)), "at-4", "{row}");
        assert_eq!(world.timer.take(), [], "{row}: nobody waited");
    }
}

/// Refused for good: nobody is left who could wait for a lease.
#[test]
fn r103_a_refusal_is_the_end_for_every_process() {
    let (world, key) = World::due(Client::Web);
    world.net.answer("POST", TOKEN, vestibule_tests::json(400, &json!({"error": "invalid_grant"})));
    let others = [world.node(), world.node()];
    let nodes = [&*world.sessions, &others[0], &others[1]];
    let network = Slow(&world.net);
    let callers = nodes.into_iter().cycle().take(15).map(|node| caller(&world, node, &key, &network));
    for outcome in join(callers.collect()) {
        assert!(matches!(outcome, Err(SessionError::Gone(_))), "{outcome:?}");
    }
    assert_eq!(world.net.count("POST", TOKEN), 1);
    assert!(world.store.is_empty());
}

#[test]
fn a_store_that_gives_no_lease_asks_nobody_for_tokens() {
    let (world, key) = World::due(Client::Web);
    world.store.breaks("lease");
    assert!(matches!(world.ready(&key), Err(SessionError::Store(_))));
    assert_eq!(world.net.count("POST", TOKEN), 0);
    world.store.is_mended();
    assert_eq!(access_token(&world.ready(&key)), "at-4");
}

#[test]
fn a_lease_that_cannot_be_given_back_runs_out() {
    let (world, key) = World::due(Client::Web);
    world.store.breaks("release");
    world.net.queue("POST", TOKEN, text(503, ""));
    assert!(matches!(world.ready(&key), Err(SessionError::Retry { .. })), "the outcome is the refresh's");
    let other = world.node();
    assert!(matches!(world.ready_at(&other, &key), Err(SessionError::Retry { .. })));
    assert_eq!(world.net.count("POST", TOKEN), 1);
    world.pass(Lease::LENGTH.as_secs());
    assert_eq!(access_token(&world.ready_at(&other, &key)), "at-4");
}

/// The refresh token is spent, and one process alone has the new one.
#[test]
fn r102_tokens_that_the_store_did_not_take_are_not_asked_for_by_another_process() {
    let (world, key) = World::due(Client::Web);
    world.store.breaks("replace");
    assert!(matches!(world.ready(&key), Err(SessionError::Store(_))));
    world.store.is_mended();
    let other = world.node();
    let error = world.ready_at(&other, &key).unwrap_err();
    assert!(matches!(error, SessionError::Retry { .. }), "{error:?}");
    assert_eq!(access_token(&world.ready(&key)), "at-4");
    assert_eq!(access_token(&world.ready_at(&other, &key)), "at-4");
    assert_eq!(world.net.count("POST", TOKEN), 1);
    assert!(!world.store.is_leased(&key));
}

/// A late release takes nobody's lease away.
#[test]
fn r99_only_the_latest_lease_can_be_given_back() {
    let (world, key) = World::due(Client::Web);
    let lease = |seconds| {
        let now = world.now().after(Duration::from_secs(seconds));
        block_on(world.store.lease(&key, now)).unwrap()
    };
    let Leased::Taken(first, record) = lease(0) else { panic!() };
    assert_eq!(record.generation, 0);
    assert!(matches!(lease(44), Leased::Held));
    let Leased::Taken(second, _) = lease(45) else { panic!() };
    assert!(second.fence > first.fence);
    block_on(world.store.release(&first)).unwrap();
    assert!(matches!(lease(46), Leased::Held));
    block_on(world.store.release(&second)).unwrap();
    assert!(matches!(lease(46), Leased::Taken(..)));
}

// An answer that comes late.

/// Two processes, the first of which is so slow that it loses its lease to the second.
struct Overtaken {
    world: World,
    key: SessionKey,
}

impl Overtaken {
    /// `second` answers the second process; `first_stores` says whether the first has its answer before the second has.
    fn run(server_answers: Option<Response<Bytes>>, first_stores_first: bool) -> (Self, [Outcome; 2]) {
        let (world, key) = World::due(Client::Web);
        let (other, slow) = (world.node(), Delayed::new(&world.net));
        let outcomes = {
            let mut first = caller(&world, &world.sessions, &key, &slow);
            run_until(&mut first, || world.net.count("POST", TOKEN) == 1);
            world.pass(Lease::LENGTH.as_secs());
            if let Some(answer) = server_answers {
                world.net.answer("POST", TOKEN, answer);
            }
            let network = Slow(&world.net);
            let mut second = caller(&world, &other, &key, &network);
            run_until(&mut second, || world.store.leases_of(&key) == 2);
            if first_stores_first {
                slow.let_through();
                join(vec![first, second])
            } else {
                let second = join(vec![second]);
                slow.let_through();
                join(vec![first]).into_iter().chain(second).collect()
            }
        };
        (Self { world, key }, outcomes.try_into().unwrap())
    }
}

#[test]
fn r102_r103_an_answer_that_comes_after_its_lease_was_lost_is_stored_if_it_is_the_newer_one() {
    // The second process is refused, since its refresh token is spent, and finds the tokens of the first.
    let (Overtaken { world, key }, outcomes) = Overtaken::run(None, true);
    assert_eq!(outcomes.each_ref().map(access_token), ["at-4", "at-4"]);
    assert_eq!(world.store.only_session().generation, 1);
    assert!(!world.store.is_leased(&key));
    assert_eq!(world.server().revoked, [""; 0]);

    // The second process found the server down: the first one's answer is the newer one.
    let (Overtaken { world, key }, [first, second]) = Overtaken::run(Some(text(503, "")), false);
    assert!(matches!(second, Err(SessionError::Retry { .. })), "{second:?}");
    assert_eq!(access_token(&first), "at-4");
    assert_eq!(world.store.only_session().access_token.expose(), "at-4");
    assert!(!world.store.is_leased(&key));

    // A server with patience gave the second process tokens too, and they are stored: these are everybody's.
    let theirs = ok(&json!({"access_token": "at-of-the-second", "token_type": "DPoP", "scope": "atproto",
        "refresh_token": "rt-of-the-second", "expires_in": 300, "sub": ALICE}));
    let (Overtaken { world, .. }, outcomes) = Overtaken::run(Some(theirs), false);
    assert_eq!(outcomes.each_ref().map(access_token), ["at-of-the-second", "at-of-the-second"]);
    assert_eq!(world.store.only_session().generation, 1);
}

/// The second process was refused and ended the session, as it must: what comes for the first goes back.
#[test]
fn r81_an_answer_that_comes_after_the_session_was_ended_is_given_back() {
    let (Overtaken { world, .. }, outcomes) = Overtaken::run(None, false);
    for outcome in outcomes {
        assert!(matches!(outcome, Err(SessionError::Gone(_))), "{outcome:?}");
    }
    assert!(world.store.is_empty());
    assert_eq!(world.server().revoked, ["rt-4"]);
}

// Who rules the account.

#[test]
fn r101_an_account_is_looked_up_before_its_tokens_are_refreshed() {
    let (world, key) = World::due(Client::Web);
    world.ready(&key).unwrap();
    let mut expected = LOOK_UPS.map(str::to_owned).to_vec();
    expected.push(format!("POST {TOKEN}"));
    assert_eq!(world.net.log(), expected);
    // And remembered for a while.
    world.net.forget_calls();
    world.pass(60);
    let session = world.ready(&key).unwrap();
    block_on(world.sessions.renewed(&session, &world.seed(), world.now(), &*world.net)).unwrap();
    assert_eq!(world.net.log(), [format!("POST {TOKEN}")]);
}

#[test]
fn r101_an_account_that_another_server_rules_by_now_ends_its_session_and_gives_its_tokens_back() {
    type Moves = fn(&World);
    let rows: [(&str, Moves, &str); 3] = [
        ("to another PDS", |world| world.account(ALICE, HANDLE, PDS2, ISSUER2), ISSUER2),
        (
            "its PDS to another server",
            |world| {
                world.account("did:plc:somebodysomebodysomebody", "x.example.com", PDS2, ISSUER2);
                world.net.answer("GET", RESOURCE, ok(&resource_metadata(PDS, &[ISSUER2])));
                let mut metadata = scripted_world::server_metadata(ISSUER2, PDS);
                metadata.as_object_mut().unwrap().remove("protected_resources");
                let url = format!("{ISSUER2}/.well-known/oauth-authorization-server");
                world.net.answer("GET", &url, ok(&metadata));
            },
            ISSUER2,
        ),
        ("nowhere", |world| _ = world.net.answer("GET", DOCUMENT, text(410, "")), "no more"),
    ];
    for client in [Client::Loopback, Client::Web] {
        for (row, moves, expected) in rows {
            let (world, key) = World::due(client);
            moves(&world);
            let error = world.ready(&key).unwrap_err();
            let SessionError::Gone(why) = &error else { panic!("{row}: {error:?}") };
            assert!(why.contains(expected), "{row}: {why}");
            world.shows_no_secret(row, &format!("{error} {error:?}"));
            assert!(world.store.is_empty(), "{row}");
            assert_eq!(world.net.count("POST", TOKEN), 0, "{row}: nobody is asked for tokens");
            assert!(world.server().has_all_back(), "{row}: R81, from whoever gave them");
            let posts = world.net.calls().into_iter().filter(|call| call.method == "POST");
            assert!(
                posts.clone().all(|call| call.url == REVOKE),
                "{row}: nothing of ours goes to anybody else"
            );
            assert!(matches!(world.ready(&key), Err(SessionError::Gone(_))), "{row}");
        }
    }
}

#[test]
fn r101_tokens_that_cannot_be_given_back_end_the_session_all_the_same() {
    for kind in [HttpErrorKind::Connect, HttpErrorKind::AnswerTimeout] {
        let (world, key) = World::due(Client::Web);
        world.net.answer("GET", DOCUMENT, text(410, "")).fail("POST", REVOKE, kind);
        assert!(matches!(world.ready(&key), Err(SessionError::Gone(_))));
        assert!(world.store.is_empty());
        assert_eq!(world.net.count("POST", REVOKE), 1);
    }
}

/// A DID document that moves to another PDS between login and refresh, within the same authorization server.
#[test]
fn r80_r101_an_account_that_moved_within_its_server_is_used_where_it_is_now() {
    let (world, key) = World::due(Client::Web);
    assert_eq!(world.store.only_session().pds.as_str(), PDS);
    world.account(ALICE, HANDLE, PDS2, ISSUER);
    let session = world.ready(&key).unwrap();
    assert_eq!(session.record().pds.as_str(), PDS2);
    let stored = world.store.only_session();
    assert_eq!((stored.pds.as_str(), stored.generation), (PDS2, 1));
    assert_eq!(world.net.count("GET", RESOURCE), 0, "the old one is not asked");
    // A refresh that fails moves nothing.
    world.account(ALICE, HANDLE, PDS, ISSUER);
    world.pass(ACCESS_LIFE.as_secs());
    world.net.queue("POST", TOKEN, text(500, ""));
    assert!(world.ready(&key).is_err());
    assert_eq!(world.store.only_session().pds.as_str(), PDS2);
    assert_eq!(world.ready(&key).unwrap().record().pds.as_str(), PDS);
}

#[test]
fn r101_an_account_that_cannot_be_looked_up_keeps_its_session_and_asks_for_no_tokens() {
    type Trouble = Box<dyn Fn(&ScriptedNetwork)>;
    let mut rows: Vec<(String, Trouble)> = Vec::new();
    for url in [DOCUMENT, RESOURCE, METADATA] {
        for (kind, _) in NO_ANSWER.into_iter().chain([(HttpErrorKind::TooLarge, 0)]) {
            rows.push((format!("{url} {kind:?}"), Box::new(move |net| _ = net.fail("GET", url, kind))));
        }
        for (row, answer) in [("404", text(404, "")), ("503", text(503, "")), ("a page", html(200))] {
            let row = format!("{url} {row}");
            rows.push((row, Box::new(move |net| _ = net.answer("GET", url, answer.clone()))));
        }
    }
    let another = ok(&document(scripted_world::BOB, HANDLE, PDS));
    rows.push((
        "another's document".to_owned(),
        Box::new(move |net| _ = net.answer("GET", DOCUMENT, another.clone())),
    ));
    let two = ok(&resource_metadata(PDS, &[ISSUER, ISSUER2]));
    rows.push(("two issuers".to_owned(), Box::new(move |net| _ = net.answer("GET", RESOURCE, two.clone()))));
    for (row, trouble) in rows {
        let (world, key) = World::due(Client::Web);
        trouble(&world.net);
        let error = world.ready(&key).unwrap_err();
        assert!(matches!(error, SessionError::Retry { after: None, .. }), "{row}: {error:?}");
        world.shows_no_secret(&row, &format!("{error} {error:?}"));
        assert!(world.net.calls().iter().all(|call| call.method == "GET"), "{row}: nothing is sent");
        assert_eq!(world.store.only_session().generation, 0, "{row}: the session is kept");
        assert!(!world.store.is_leased(&key), "{row}");

        world.account(ALICE, HANDLE, PDS, ISSUER);
        let mut metadata = scripted_world::server_metadata(ISSUER, PDS);
        metadata.as_object_mut().unwrap().remove("protected_resources");
        world.net.answer("GET", METADATA, ok(&metadata));
        world.pass(10);
        assert_eq!(access_token(&world.ready(&key)), "at-4", "{row}: and goes on when all is well");
    }
}

/// Whose name it is does not matter to a session: the account is its DID.
#[test]
fn r41_a_session_outlives_its_handle() {
    let (world, key) = World::due(Client::Web);
    world.net.txt_records(TXT, &[]).fail("GET", WELL_KNOWN, HttpErrorKind::UnknownHost);
    assert_eq!(access_token(&world.ready(&key)), "at-4");
    let (world, key) = World::due(Client::Web);
    world.net.answer("GET", DOCUMENT, ok(&document(ALICE, "new.example.com", PDS)));
    assert_eq!(access_token(&world.ready(&key)), "at-4");
}

/// A caller that goes away while it waits leaves nothing behind.
#[test]
fn a_caller_that_gives_up_waiting_holds_nobody_up() {
    let (world, key) = World::due(Client::Web);
    let (network, other) = (Delayed::new(&world.net), world.node());
    let mut first = caller(&world, &world.sessions, &key, &network);
    run_until(&mut first, || world.net.count("POST", TOKEN) == 1);
    for node in [&*world.sessions, &other] {
        let mut gives_up = caller(&world, node, &key, &*world.net);
        for _ in 0..5 {
            assert!(step(&mut gives_up).is_pending());
        }
    }
    network.let_through();
    let mut callers = vec![first];
    callers.extend([&*world.sessions, &other].map(|node| caller(&world, node, &key, &*world.net)));
    for outcome in join(callers) {
        assert_eq!(access_token(&outcome), "at-4");
    }
    assert_eq!(world.net.count("POST", TOKEN), 1);
    assert!(!world.store.is_leased(&key));
}
