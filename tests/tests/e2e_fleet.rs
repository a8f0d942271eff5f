//! Three nodes on one PostgreSQL database behind a balancer: nothing is lost and nothing is issued twice, whichever of them dies, and when
//! the database does.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::Notify;
use tokio::time::interval;
use vestibule_oauth_core::UnixTime;
use vestibule_tests::oauth::{Ask, Ground, Live, Reply, all_of, races};
use vestibule_tests::{Browser, Fleet, Peers, clock_shows, own_loopback};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_login_goes_through_every_node_and_so_do_races() {
    let peers = Peers::shared().await;
    let fleet = Fleet::start(peers).await;
    // Each connection goes to the next node: the login was begun on one, called back on another, and is used on all of them.
    let mut browser = Browser::new();
    fleet.live.vestibule.sign_in(&mut browser, peers, peers.alice()).await;
    for _ in 0..3 {
        let page = browser.get(&fleet.live.vestibule.url("/"), &[]).await;
        assert!(page.status() == 200 && page.text().contains("alice"), "{}", page.text());
    }
    races::race(&fleet.live).await;
    let given = fleet.balancer.given();
    assert!(given.iter().all(|given| *given >= 50), "every node had its part: {given:?}");
}

/// A client that refreshes as fast as it can, with the answers that it lost asked for again.
struct Session {
    kept: Mutex<String>,
    refreshed: AtomicUsize,
    lost: AtomicUsize,
}

impl Session {
    async fn begin(live: &Live) -> Self {
        let tokens = (live as &dyn Ground).tokens("app").await;
        Self { kept: Mutex::new(tokens.refresh), refreshed: AtomicUsize::new(0), lost: AtomicUsize::new(0) }
    }

    fn ask(&self, live: &Live) -> Ask {
        (live as &dyn Ground).refresh("app", &self.kept.lock().unwrap()).from(own_loopback())
    }

    /// The answer, unless the node died first.
    async fn refresh(&self, live: &Live) -> Option<Reply> {
        let Ok(reply) = live.try_answer(self.ask(live)).await else {
            self.lost.fetch_add(1, Ordering::Relaxed);
            return None;
        };
        if reply.status == 200 {
            *self.kept.lock().unwrap() = reply.text("refresh_token").to_owned();
            self.refreshed.fetch_add(1, Ordering::Relaxed);
        }
        Some(reply)
    }
}

/// How many answers came.
#[derive(Default)]
struct Answered {
    number: AtomicUsize,
    changed: Notify,
}

impl Answered {
    fn one(&self) {
        self.number.fetch_add(1, Ordering::SeqCst);
        self.changed.notify_waiters();
    }

    /// Waits until so many more have come.
    async fn another(&self, number: usize) {
        let until = self.number.load(Ordering::SeqCst) + number;
        loop {
            let changed = self.changed.notified();
            if self.number.load(Ordering::SeqCst) >= until {
                return;
            }
            changed.await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_killed_every_second_for_a_minute_costs_no_session_and_no_code_is_won_twice() {
    const SESSIONS: usize = 8;
    const RACERS: usize = 6;
    let mut fleet = Fleet::start(Peers::shared().await).await;
    let mut sessions = Vec::new();
    for _ in 0..SESSIONS {
        sessions.push(Session::begin(&fleet.live).await);
    }
    let over = AtomicBool::new(false);
    let answered = Answered::default();
    let began = Instant::now();
    let (mut rounds, mut won) = (0, 0);
    while began.elapsed() < Duration::from_secs(60) {
        let code = (&fleet.live as &dyn Ground).code("web").await;
        let victim = rounds % 3;
        let answers = Mutex::new(Vec::new());
        over.store(false, Ordering::SeqCst);
        {
            let fleet = &fleet;
            let live = &fleet.live;
            let refreshing = sessions.iter().map(|session| async {
                while !over.load(Ordering::SeqCst) {
                    if let Some(reply) = session.refresh(live).await {
                        answered.one();
                        assert_eq!(reply.said(), "200", "{}\n{}", reply.json, fleet.logs());
                    }
                }
            });
            let redeeming = async {
                let asks = (0..RACERS).map(|_| async {
                    let ask = (live as &dyn Ground).redeem("web", &code).from(own_loopback());
                    if let Ok(reply) = live.try_answer(ask).await {
                        answers.lock().unwrap().push(reply.said());
                    }
                });
                let killing = async {
                    // Somewhere in the middle of what is under way: another place each time.
                    answered.another(rounds * 7 % 60).await;
                    match victim {
                        0 => live.vestibule.signal("KILL"),
                        other => fleet.others[other - 1].signal("KILL"),
                    }
                };
                tokio::join!(all_of(asks.collect()), killing);
                answered.another(300).await;
                over.store(true, Ordering::SeqCst);
            };
            tokio::join!(all_of(refreshing.collect()), redeeming);
        }
        // Whoever got no answer asks again, and is told that the code was spent, or gets what it is good for.
        fleet.node(victim).kill().await;
        fleet.node(victim).restart().await;
        let again =
            (&fleet.live as &dyn Ground).send((&fleet.live as &dyn Ground).redeem("web", &code)).await;
        let mut said = answers.into_inner().unwrap();
        said.push(again.said());
        let successes = said.iter().filter(|said| *said == "200").count();
        assert!(successes <= 1, "{said:?}");
        assert!(said.iter().all(|said| said == "200" || said == "400 invalid_grant"), "{said:?}");
        won += successes;
        rounds += 1;
    }
    let refreshed: usize = sessions.iter().map(|session| session.refreshed.load(Ordering::Relaxed)).sum();
    let lost: usize = sessions.iter().map(|session| session.lost.load(Ordering::Relaxed)).sum();
    println!("{rounds} nodes killed, {won} codes won, {refreshed} refreshes, {lost} answers lost");
    assert!(rounds >= 20 && won * 2 > rounds && refreshed > 500, "{rounds} {won} {refreshed}");
    for session in &sessions {
        let reply = session.refresh(&fleet.live).await.unwrap();
        assert_eq!(reply.said(), "200", "a session was lost: {}", reply.json);
    }
    assert!(!fleet.logs().contains("panicked"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_gone_for_ten_seconds_costs_nothing() {
    const SESSIONS: usize = 6;
    let fleet = Fleet::start(Peers::shared().await).await;
    let live = &fleet.live;
    let at: &dyn Ground = live;
    let mut sessions = Vec::new();
    for _ in 0..SESSIONS {
        sessions.push(Session::begin(live).await);
    }
    let codes = [at.code("web").await, at.code("web").await];
    let is_over = AtomicBool::new(false);
    let refused = AtomicUsize::new(0);
    let refreshing = sessions.iter().map(|session| async {
        let mut pause = interval(Duration::from_millis(100));
        while !is_over.load(Ordering::SeqCst) {
            let reply = session.refresh(live).await.expect("every node lives");
            match reply.status {
                200 => {}
                503 => {
                    assert!(reply.headers.contains_key("retry-after"), "{:?}", reply.headers);
                    assert_eq!(reply.json["error"], "temporarily_unavailable", "{}", reply.json);
                    refused.fetch_add(1, Ordering::Relaxed);
                    pause.tick().await;
                }
                _ => panic!("{}\n{}", reply.said(), fleet.logs()),
            }
        }
    });
    let ready = async || Browser::new().get(&live.vestibule.url("/readyz"), &[]).await.status();
    let outage = async {
        assert_eq!(ready().await, 200);
        tokio::task::block_in_place(|| fleet.postgres.stop());
        let gone = UnixTime::from(SystemTime::now()).as_secs();
        for _ in 0..3 {
            assert_eq!(ready().await, 503, "of each node");
        }
        let reply = at.send(at.redeem("web", &codes[0])).await;
        assert_eq!((reply.status, reply.headers.contains_key("retry-after")), (503, true), "{}", reply.json);
        let page = Browser::new().get(&live.vestibule.url("/"), &[]).await;
        assert!(page.status() < 500 || page.status() == 503, "{}", page.status());
        clock_shows(gone + 10).await;
        tokio::task::block_in_place(|| fleet.postgres.start_again());
        for _ in 0..3 {
            assert_eq!(ready().await, 200, "of each node, without being started again");
        }
        for code in &codes {
            let reply = at.send(at.redeem("web", code)).await;
            assert_eq!(reply.said(), "200", "nothing was consumed by what failed: {}", reply.json);
        }
        is_over.store(true, Ordering::SeqCst);
    };
    tokio::join!(all_of(refreshing.collect()), outage);
    assert!(refused.load(Ordering::Relaxed) > SESSIONS, "they were told to come again");
    for session in &sessions {
        assert_eq!(session.refresh(live).await.unwrap().said(), "200");
    }
    assert!(!fleet.logs().contains("panicked"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_cut_in_the_middle_of_acts_cost_no_session() {
    let fleet = Fleet::start(Peers::shared().await).await;
    let live = &fleet.live;
    let mut sessions = Vec::new();
    for _ in 0..6 {
        sessions.push(Session::begin(live).await);
    }
    let is_over = AtomicBool::new(false);
    let (answered, refused) = (Answered::default(), AtomicUsize::new(0));
    let refreshing = sessions.iter().map(|session| async {
        while !is_over.load(Ordering::SeqCst) {
            let reply = session.refresh(live).await.expect("every node lives");
            match reply.status {
                200 => {}
                // Whether the act was done before its connection was cut, nobody can say; who asks again gets the same successor.
                503 => drop(refused.fetch_add(1, Ordering::Relaxed)),
                _ => panic!("{}\n{}", reply.said(), fleet.logs()),
            }
            answered.one();
        }
    });
    let cutting = async {
        let cut = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'vestibule'";
        for round in 0..30 {
            answered.another(20 + round).await;
            tokio::task::block_in_place(|| fleet.postgres.ask("vestibule", cut));
        }
        is_over.store(true, Ordering::SeqCst);
    };
    tokio::join!(all_of(refreshing.collect()), cutting);
    assert!(refused.load(Ordering::Relaxed) > 0, "some acts were cut");
    for session in &sessions {
        assert_eq!(session.refresh(live).await.unwrap().said(), "200");
    }
    assert!(!fleet.logs().contains("panicked"));
}
