//! Two processes on one store, and processes that die: no session is refreshed twice, and none is lost that its server
//! would still go on with.

use std::time::{Duration, Instant};

use vestibule_tests::{Browser, Peers, PeersConfig, Vestibule, VestibuleConfig, clock_shows};

const CALL: &str = "/xrpc/com.atproto.server.getSession";

/// Peers whose tokens live for two seconds and whose nonces for one.
async fn hasty_peers() -> Peers {
    let config =
        PeersConfig { token_seconds: Some(2), nonce_rotation_ms: Some(1000), ..PeersConfig::default() };
    Peers::start(config).await
}

/// Another process on the store of `first`, which people reach by the same address.
fn beside(first: &Vestibule) -> VestibuleConfig {
    let config = VestibuleConfig { listen: "127.0.0.1:0".to_owned(), ..first.config().clone() };
    config.with_args(&["--public-url", first.url("").trim_end_matches('/')])
}

/// Somebody signed in, as the header that says so.
async fn signed_in(first: &Vestibule, peers: &Peers) -> String {
    let mut browser = Browser::new();
    first.sign_in(&mut browser, peers, peers.alice()).await;
    let value = browser.cookie(&first.url("/"), "vestibule.session").unwrap();
    format!("vestibule.session={value}")
}

async fn status(url: &str, cookie: &str) -> (u16, String) {
    let answer = Browser::new().get(url, &[("cookie", cookie)]).await;
    (answer.status(), answer.text())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r99_two_processes_make_one_refresh_for_each_end_of_a_token() {
    let peers = hasty_peers().await;
    let first = Vestibule::start(VestibuleConfig::for_peers(&peers)).await;
    let second = Vestibule::start(beside(&first)).await;
    let cookie = signed_in(&first, &peers).await;

    let began = Instant::now();
    let lasts = Duration::from_secs(30);
    let callers: Vec<_> = (0..20)
        .map(|n: usize| {
            let url = if n.is_multiple_of(2) { first.url(CALL) } else { second.url(CALL) };
            let cookie = cookie.clone();
            tokio::spawn(async move {
                let mut calls = 0_usize;
                while began.elapsed() < lasts {
                    let (status, text) = status(&url, &cookie).await;
                    assert_eq!(status, 200, "{text}");
                    calls += 1;
                }
                calls
            })
        })
        .collect();
    let mut calls = 0;
    for caller in callers {
        calls += caller.await.unwrap_or_else(|error| panic!("{error}\n{}\n{}", first.logs(), second.logs()));
    }
    assert!(calls > 200, "{calls} calls in 30 seconds");
    let tokens = peers.tokens_of(&first.url("/")).await;
    // A token is replaced in the second it ends at the earliest, so there are at most as many as seconds.
    let refreshes = tokens.granted("refresh_token");
    assert!((10..=31).contains(&refreshes), "{refreshes} refreshes for some 15 ends");
    assert_eq!(tokens.alive.len(), 1);
    assert_eq!(tokens.alive[0].refresh, tokens.issued.last().unwrap().refresh);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r102_a_browser_that_goes_away_cuts_no_refresh_short() {
    let peers = hasty_peers().await;
    let vestibule = Vestibule::start(VestibuleConfig::for_peers(&peers)).await;
    let cookie = signed_in(&vestibule, &peers).await;
    for round in 0..20_u64 {
        clock_shows(now() + 2).await;
        let (url, cookie) = (vestibule.url(CALL), cookie.clone());
        let call = tokio::spawn(async move { status(&url, &cookie).await });
        cut_after(round).await;
        call.abort();
    }
    let (status, text) = status(&vestibule.url(CALL), &cookie).await;
    assert_eq!(status, 200, "{text}\n{}", vestibule.logs());
    assert_eq!(peers.tokens_of(&vestibule.url("/")).await.alive.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r104_a_process_killed_in_a_refresh_costs_no_session_its_server_still_knows() {
    const ROUNDS: usize = 50;
    let peers = hasty_peers().await;
    let first = Vestibule::start(VestibuleConfig::for_peers(&peers)).await;
    let mut cookies = Vec::new();
    for _ in 0..ROUNDS {
        cookies.push(signed_in(&first, &peers).await);
    }
    clock_shows(now() + 3).await;

    for (round, cookie) in cookies.iter().enumerate() {
        let mut second = Vestibule::start(beside(&first)).await;
        let (url, cookie) = (second.url(CALL), cookie.clone());
        let call = tokio::spawn(async move {
            let _cut_short = Browser::new()
                .try_send(http::Request::get(url).header("cookie", cookie).body(<_>::default()).unwrap())
                .await;
        });
        cut_after(round as u64).await;
        second.kill().await;
        call.abort();
    }

    // A lease of a process that died lasts 45 seconds, and no longer.
    clock_shows(now() + 46).await;
    let (mut alive, mut over) = (0, 0);
    for cookie in &cookies {
        match status(&first.url(CALL), cookie).await {
            (200, _) => alive += 1,
            (401, text) if text.contains("session_ended") => over += 1,
            (status, text) => panic!("{status} {text}\n{}", first.logs()),
        }
    }
    assert_eq!(alive + over, ROUNDS);
    // Those that are over are those whose answer died with the process: their server saw the old token twice.
    let logs = first.logs();
    assert_eq!(logs.matches("the server refused to go on: invalid_grant").count(), over, "{logs}");
    assert_eq!(peers.tokens_of(&first.url("/")).await.alive.len(), alive);
    println!("{alive} sessions live on, {over} were refused by their server");
}

fn now() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()
}

/// Waits for the moment of the cut, a different one each round: which step of a refresh it hits is left to chance.
#[allow(clippy::disallowed_methods, reason = "no signal tells how far another process has come in a refresh")]
async fn cut_after(milliseconds: u64) {
    tokio::time::sleep(Duration::from_millis(milliseconds)).await;
}
