//! A clock that jumps an hour, forward or back: sessions, leases, flows and what is remembered of names and servers go on,
//! and nothing is asked for again and again.

mod scripted_world;

use std::time::Duration;

use vestibule_atproto_identity::login::{Lease, Leased, SessionError, SessionStore};
use vestibule_oauth_core::{HttpErrorKind, UnixTime};
use vestibule_tests::{block_on, text};

use scripted_world::{
    ACCESS_LIFE, Browser, Client, DOCUMENT, HANDLE, ISSUER, KEEPINGS, METADATA, PAR, PDS, RESOURCE, TOKEN,
    World, lock,
};

const HOUR: u64 = 3600;

/// Which way the clock jumps.
#[derive(Clone, Copy, Debug)]
enum Jump {
    Forward,
    Back,
}

const JUMPS: [Jump; 2] = [Jump::Forward, Jump::Back];

fn jump(world: &World, jump: Jump) {
    match jump {
        Jump::Forward => world.pass(HOUR),
        Jump::Back => world.set_back(HOUR),
    }
}

#[test]
fn a_session_is_refreshed_once_for_each_jump() {
    for client in [Client::Loopback, Client::Web] {
        for jumps in [
            [Jump::Forward, Jump::Back, Jump::Forward, Jump::Back],
            [Jump::Back, Jump::Forward, Jump::Forward, Jump::Back],
            [Jump::Back, Jump::Back, Jump::Back, Jump::Back],
        ] {
            let (world, key) = World::signed_in(client);
            for (number, way) in jumps.into_iter().enumerate() {
                jump(&world, way);
                for seconds in [0, 0, 1, 10, 60, 100] {
                    world.pass(seconds);
                    world.ready(&key).unwrap();
                }
                assert_eq!(world.net.count("POST", TOKEN), number + 1, "{jumps:?}");
            }
            let stored = world.store.only_session();
            assert_eq!(stored.generation, 4);
            assert!(stored.issued_at <= world.now(), "by the clock as it is now");
            assert!(!world.store.is_leased(&key));
        }
    }
}

/// Two processes whose clocks are a minute apart do not take turns for ever.
#[test]
fn processes_whose_clocks_differ_do_not_refresh_in_turns() {
    for apart in [1, 30, 60] {
        let (world, key) = World::signed_in(Client::Web);
        let (ahead, behind) = (world.node(), &world.sessions);
        for _round in 0..5 {
            world.ready_at(behind, &key).unwrap();
            world.pass(apart);
            world.ready_at(&ahead, &key).unwrap();
            world.set_back(apart);
        }
        assert_eq!(world.net.count("POST", TOKEN), 0, "{apart} s");
        world.pass(ACCESS_LIFE.as_secs());
        for _round in 0..5 {
            world.pass(apart);
            world.ready_at(&ahead, &key).unwrap();
            world.set_back(apart);
            world.ready_at(behind, &key).unwrap();
        }
        assert_eq!(world.server().issued.len(), 2, "{apart} s: one login, one refresh");
    }
}

#[test]
fn logins_go_on_after_a_jump() {
    for way in JUMPS {
        let world = World::web();
        world.login(HANDLE);
        for _ in 0..3 {
            jump(&world, way);
            world.server().rotate_nonce();
            world.login(HANDLE);
        }
        assert_eq!(lock(&world.store.sessions).len(), 4);
    }
}

#[test]
fn a_login_under_way_ends_or_goes_on_and_can_be_begun_again() {
    for keeping in KEEPINGS {
        for (way, expected) in [(Jump::Forward, Err("flow_expired")), (Jump::Back, Ok(()))] {
            let world = World::new(Client::Web, keeping);
            let mut browser = Browser::default();
            let to = world.begin(&mut browser, HANDLE).unwrap();
            let callback = world.consent(&to);
            jump(&world, way);
            let finished = world.finish(&mut browser, &callback);
            let outcome = finished.outcome.map(|_| ()).map_err(|failure| failure.kind().code());
            assert_eq!(outcome, expected, "{keeping:?} {way:?}");
            assert!(browser.cookies.is_empty(), "S6");
            assert!(lock(&world.store.flows).is_empty());
            world.login(HANDLE);
        }
    }
}

#[test]
fn r99_a_lease_from_another_time_holds_nobody_up() {
    for way in JUMPS {
        let (world, key) = World::due(Client::Web);
        let lease = || block_on(world.store.lease(&key, world.now())).unwrap();
        assert!(matches!(lease(), Leased::Taken(..)));
        assert!(matches!(lease(), Leased::Held));
        jump(&world, way);
        world.ready(&key).unwrap();
        assert_eq!(world.timer.take(), [], "{way:?}");
        assert_eq!(world.store.only_session().generation, 1);
    }
}

#[test]
fn a_jump_during_a_refresh_is_a_jump_after_it() {
    for way in JUMPS {
        let (world, key) = World::due(Client::Web);
        let server = std::sync::Arc::clone(&world.server);
        world.net.on("POST", TOKEN, move |call| {
            let mut server = lock(&server);
            let answer = server.answer_token(call);
            server.now = match way {
                Jump::Forward => server.now.after(Duration::from_secs(HOUR)),
                Jump::Back => server.now.before(Duration::from_secs(HOUR)),
            };
            Ok(answer)
        });
        world.ready(&key).unwrap();
        world.account(scripted_world::ALICE, HANDLE, PDS, ISSUER);
        let asked = world.net.count("POST", TOKEN);
        world.net.on("POST", TOKEN, {
            let server = std::sync::Arc::clone(&world.server);
            move |call| Ok(lock(&server).answer_token(call))
        });
        for _ in 0..5 {
            world.ready(&key).unwrap();
        }
        assert_eq!(world.net.count("POST", TOKEN) - asked, 1, "{way:?}");
        assert_eq!(world.net.count("POST", PAR), 0);
    }
}

/// A time is taken before the store is asked, so even the nodes of one machine differ by a second.
#[test]
fn r99_a_lease_holds_for_a_node_whose_clock_is_behind() {
    for behind in [0, 1, 5, 45] {
        let (world, key) = World::due(Client::Web);
        let taken = block_on(world.store.lease(&key, world.now())).unwrap();
        assert!(matches!(taken, Leased::Taken(..)));
        world.set_back(behind);
        let again = block_on(world.store.lease(&key, world.now())).unwrap();
        assert!(matches!(again, Leased::Held), "{behind} s");
    }
    let now = UnixTime::from_secs(1_700_000_000);
    for (until, held) in [(-1, false), (0, false), (1, true), (45, true), (46, true), (90, true), (91, false)]
    {
        let until = UnixTime::from_secs(now.as_secs().checked_add_signed(until).unwrap());
        assert_eq!(Lease::is_held(until, now), held, "{until}");
    }
}

#[test]
fn r28_what_is_remembered_of_names_and_servers_does_not_outlive_a_clock_that_was_set_back() {
    for way in JUMPS {
        let world = World::web();
        world.login(HANDLE);
        world.net.forget_calls();
        jump(&world, way);
        // Ten minutes later, whatever the clock said in between.
        world.pass(600);
        world.login(HANDLE);
        for url in [DOCUMENT, RESOURCE, METADATA] {
            assert_eq!(world.net.count("GET", url), 1, "{way:?}: {url}");
        }
    }
}

#[test]
fn r103_a_wish_for_patience_is_not_kept_beyond_its_time() {
    for way in JUMPS {
        let (world, key) = World::due(Client::Web);
        let mut answer = text(429, "");
        answer.headers_mut().insert("retry-after", "60".parse().unwrap());
        world.net.queue("POST", TOKEN, answer);
        assert!(matches!(world.ready(&key), Err(SessionError::Retry { after: Some(_), .. })));
        jump(&world, way);
        let again = world.ready(&key);
        assert!(again.is_ok(), "{way:?}: {again:?}");
    }
}

/// Failures are remembered for seconds, and a jump makes none of them last.
#[test]
fn a_directory_that_was_down_is_asked_again_after_a_jump() {
    for way in JUMPS {
        let (world, key) = World::due(Client::Web);
        world.net.queue_failure("GET", DOCUMENT, HttpErrorKind::Connect);
        assert!(world.ready(&key).is_err());
        jump(&world, way);
        world.pass(60);
        world.ready(&key).unwrap();
    }
}
