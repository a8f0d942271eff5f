//! What a login costs, counted: keys, signatures, requests. More of any is a person who waits longer.

mod scripted_world;

use std::collections::BTreeSet;

use vestibule_oauth_core::Seed;
use vestibule_tests::{Call, block_on, entropy};

use scripted_world::{
    ALICE, BOB, Client, DOCUMENT, HANDLE, ISSUER, KEEPINGS, Keeping, METADATA, PAR, PDS, RESOURCE, TOKEN,
    TXT, WELL_KNOWN, World, parts,
};

/// What went over the wire.
#[derive(PartialEq, Eq, Debug)]
struct Cost {
    /// Keys that proofs were made with.
    keys: usize,
    /// Proofs and client assertions, each of which is one signature.
    signatures: usize,
    /// HTTP requests, each of which waits for the one before.
    requests: usize,
}

fn cost(calls: &[Call]) -> Cost {
    let proofs: Vec<_> = calls.iter().filter_map(|call| call.header("dpop")).collect();
    let keys: BTreeSet<_> = proofs.iter().map(|proof| parts(proof).0["jwk"].to_string()).collect();
    let assertions = calls.iter().filter_map(|call| call.field("client_assertion")).count();
    Cost { keys: keys.len(), signatures: proofs.len() + assertions, requests: calls.len() }
}

/// The budget is one key, five signatures, and six requests beside one that is repeated with the server's nonce.
///
/// A confidential client that meets a server for the first time makes six signatures: whoever repeats a request makes a
/// new assertion too (R84), since the server may have noted the first one's `jti` before it looked at the nonce.
#[test]
fn a_cold_login() {
    for keeping in KEEPINGS {
        for (client, signatures) in [(Client::Loopback, 3), (Client::Web, 6)] {
            for (txt, requests) in [(true, 5 + 1), (false, 6 + 1)] {
                let world = World::new(client, keeping);
                if !txt {
                    world.net.txt_records(TXT, &[]);
                }
                world.login(HANDLE);
                assert_eq!(
                    cost(&world.net.calls()),
                    Cost { keys: 1, signatures, requests },
                    "{client:?}, {keeping:?}, TXT {txt}"
                );
                assert_eq!(world.net.count("POST", PAR), 2, "the one that is repeated");
            }
        }
    }
}

#[test]
fn a_login_with_a_known_server_and_identity_is_a_push_and_an_exchange() {
    for (client, signatures) in [(Client::Loopback, 2), (Client::Web, 4)] {
        let world = World::new(client, Keeping::Store);
        world.login(HANDLE);
        world.net.forget_calls();
        world.login(HANDLE);
        assert_eq!(world.net.log(), [format!("POST {PAR}"), format!("POST {TOKEN}")]);
        assert_eq!(cost(&world.net.calls()), Cost { keys: 1, signatures, requests: 2 }, "{client:?}");
    }
}

#[test]
fn a_login_of_somebody_new_at_a_known_server_looks_up_the_person_only() {
    let world = World::web();
    world.account(BOB, "bob.example.com", PDS, ISSUER);
    world.login(HANDLE);
    world.net.forget_calls();
    world.server().subject = BOB.to_owned();
    world.login("bob.example.com");
    let document = format!("GET https://plc.directory/{BOB}");
    let lines =
        ["TXT _atproto.bob.example.com".to_owned(), document, format!("POST {PAR}"), format!("POST {TOKEN}")];
    assert_eq!(world.net.log(), lines);
}

/// Every session has a key of its own (R90), whoever signs in.
#[test]
fn r90_a_key_serves_one_session() {
    let world = World::web();
    for _ in 0..5 {
        world.login(HANDLE);
    }
    assert_eq!(cost(&world.net.calls()).keys, 5);
}

#[test]
fn r28_what_was_looked_up_is_believed_for_less_than_ten_minutes() {
    let world = World::web();
    world.login(HANDLE);
    for (seconds, asks) in [(200, false), (600, true)] {
        world.net.forget_calls();
        world.pass(seconds);
        world.login(HANDLE);
        for url in [DOCUMENT, RESOURCE, METADATA] {
            assert_eq!(world.net.count("GET", url) == 1, asks, "{seconds} s later: {url}");
        }
    }
}

/// A nonce that may have gone stale costs what an unknown one costs, and not a failed login.
#[test]
fn a_nonce_that_changed_costs_one_more_request() {
    let world = World::web();
    world.login(HANDLE);
    world.server().rotate_nonce();
    world.net.forget_calls();
    world.login(HANDLE);
    assert_eq!(world.net.log(), [PAR, PAR, TOKEN].map(|url| format!("POST {url}")));
}

#[test]
fn a_login_from_a_servers_address_looks_the_account_up_afterwards() {
    let world = World::web();
    world.login(PDS);
    // Two documents, push and its repetition, exchange; then the account: its document, its handle by DNS. Its PDS is the
    // address that was typed, whose server is known by now (R78).
    let lines = [
        format!("GET {RESOURCE}"),
        format!("GET {METADATA}"),
        format!("POST {PAR}"),
        format!("POST {PAR}"),
        format!("POST {TOKEN}"),
        format!("GET {DOCUMENT}"),
        format!("TXT {TXT}"),
    ];
    assert_eq!(world.net.log(), lines);
    assert_eq!(cost(&world.net.calls()).keys, 1);
}

#[test]
fn no_look_up_is_made_twice_in_one_login() {
    let world = World::web();
    world.net.txt_records(TXT, &[]);
    world.login(ALICE);
    let gets: Vec<_> = world.net.log().into_iter().filter(|line| !line.starts_with("POST")).collect();
    let lines = [
        format!("GET {DOCUMENT}"),
        format!("TXT {TXT}"),
        format!("GET {WELL_KNOWN}"),
        format!("GET {RESOURCE}"),
        format!("GET {METADATA}"),
    ];
    assert_eq!(gets, lines);
}

/// A session in use: no request of its own before the tokens are due; then one to refresh them, after three that make sure
/// of who rules the account (R101).
#[test]
fn a_session_that_is_not_due_costs_nothing() {
    let world = World::web();
    world.login(HANDLE);
    let key = world.store.only_session().key;
    world.net.forget_calls();
    for (seconds, expected) in [(0, 0), (200, 0), (100, 4), (0, 4)] {
        world.pass(seconds);
        let seed = Seed::from_entropy(entropy(seconds));
        block_on(world.sessions.ready(&key, &seed, world.now(), &*world.net)).unwrap();
        assert_eq!(world.net.calls().len(), expected, "{seconds} s later");
    }
    assert_eq!(cost(&world.net.calls()), Cost { keys: 1, signatures: 2, requests: 4 });
}

/// A token that is refused before its time costs one request: what the login found out about the account is remembered,
/// whatever it was begun with.
#[test]
fn a_refresh_soon_after_the_login_asks_for_tokens_only() {
    for typed in [ALICE, HANDLE] {
        let world = World::web();
        world.login(typed);
        let session = world.ready(&world.store.only_session().key).unwrap();
        world.net.forget_calls();
        world.pass(200);
        block_on(world.sessions.renewed(&session, &world.seed(), world.now(), &*world.net)).unwrap();
        assert_eq!(cost(&world.net.calls()), Cost { keys: 1, signatures: 2, requests: 1 }, "{typed}");
    }
}
