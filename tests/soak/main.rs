//! Many sessions refreshing every two seconds while their server fails at every step now and then. At the end each
//! session lives, or was refused by the real server for a reason that the log names.
//!
//! Not part of `tests/run`. Run it by `cargo run -p vestibule-tests --example soak -- [SESSIONS] [SECONDS] [PERCENT]`, after
//! `tests/run` has installed the peers and `cargo build --bin vestibule` has built the program. The default is 200 sessions, 600
//! seconds, and faults in 5 of 100 calls.

#![allow(clippy::print_stdout, reason = "a soak prints what it saw")]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use vestibule_tests::{Browser, Decision, Mode, Peers, PeersConfig, Vestibule, VestibuleConfig, free_port};

const SITE: &str = "https://app.peer.internal";
const COOKIE: &str = "__Host-vestibule.session";
const CALL: &str = "/xrpc/com.atproto.server.getSession";

/// Fewer than one person keeps here.
const SESSIONS_EACH: u64 = 40;

#[tokio::main]
async fn main() {
    let mut args = std::env::args().skip(1).map(|arg| arg.parse::<u64>().expect("a number"));
    let (sessions, seconds) = (args.next().unwrap_or(200), args.next().unwrap_or(600));
    let percent = u8::try_from(args.next().unwrap_or(5)).expect("at most a hundred");

    let upstream: SocketAddr = ([127, 0, 0, 1], free_port()).into();
    let config = PeersConfig {
        mode: Mode::Https,
        app_upstream: Some(upstream),
        token_seconds: Some(2),
        nonce_rotation_ms: Some(1000),
        max_seconds: Some(seconds as u32 + 1800),
        accounts: Some(sessions.div_ceil(SESSIONS_EACH).max(2) as u32),
        ..PeersConfig::on_port_443()
    };
    let peers = Peers::start(config).await;
    let config = VestibuleConfig { listen: upstream.to_string(), ..VestibuleConfig::for_peers(&peers) };
    let vestibule = Arc::new(Vestibule::start(config.with_args(&["--public-url", SITE])).await);

    let mut cookies = Vec::new();
    for account in peers.accounts.iter().cycle().take(sessions as usize) {
        let mut browser = Browser::new().reaching(SITE, upstream);
        let answer = browser.submit(&format!("{SITE}/login"), &[("handle", &account.handle)]).await;
        let callback = peers.consent(&answer.location(), account, Decision::Allow).await.expect("consent");
        assert_eq!(browser.arrive(&callback).await.status(), 303, "{}", vestibule.logs());
        cookies.push(format!("{COOKIE}={}", browser.cookie(SITE, COOKIE).expect("signed in")));
    }
    eprintln!("{sessions} sessions are signed in; {percent} of 100 calls meet a fault for {seconds} seconds");

    peers.faults(percent).await;
    let until = Instant::now() + Duration::from_secs(seconds);
    let callers: Vec<_> = cookies
        .iter()
        .map(|cookie| {
            let (url, cookie) = (vestibule.url(CALL), cookie.clone());
            tokio::spawn(async move {
                let mut seen: BTreeMap<u16, u64> = BTreeMap::new();
                while Instant::now() < until {
                    let status = call(&url, &cookie).await;
                    *seen.entry(status).or_default() += 1;
                    if status == 401 {
                        break;
                    }
                    pause(Duration::from_secs(2)).await;
                }
                seen
            })
        })
        .collect();
    let mut statuses: BTreeMap<u16, u64> = BTreeMap::new();
    for caller in callers {
        for (status, count) in caller.await.expect("a caller") {
            *statuses.entry(status).or_default() += count;
        }
    }

    peers.faults(0).await;
    let (mut alive, mut over) = (0, 0);
    for cookie in &cookies {
        let recovered_by = Instant::now() + Duration::from_secs(60);
        loop {
            match call(&vestibule.url(CALL), cookie).await {
                200 => break alive += 1,
                401 => break over += 1,
                status => {
                    assert!(
                        Instant::now() < recovered_by,
                        "a session stays at {status}:\n{}",
                        vestibule.logs()
                    );
                    pause(Duration::from_secs(1)).await;
                }
            }
        }
    }

    let logs = vestibule.logs();
    let reasons = ["invalid_grant", "was lost twice", "refuses its own fresh tokens"];
    let over_lines: Vec<&str> = logs.lines().filter(|line| line.contains("session over")).collect();
    let told: Vec<usize> =
        reasons.iter().map(|reason| over_lines.iter().filter(|line| line.contains(reason)).count()).collect();
    println!("answers while it lasted, by status: {statuses:?}");
    println!("sessions: {alive} alive, {over} over");
    println!("reasons told: {:?}", reasons.iter().zip(&told).collect::<Vec<_>>());
    assert_eq!(alive + over, sessions, "every session lives or is over");
    assert_eq!(
        told.iter().sum::<usize>() as u64,
        over,
        "every end has its reason:\n{}",
        over_lines.join("\n")
    );
    let tokens = peers.tokens_of(&format!("{SITE}/")).await;
    println!(
        "refreshes at the server: {}; sessions it would go on with: {}",
        tokens.granted("refresh_token"),
        tokens.alive.len()
    );
}

async fn call(url: &str, cookie: &str) -> u16 {
    Browser::new().get(url, &[("cookie", cookie)]).await.status()
}

#[allow(clippy::disallowed_methods, reason = "a soak is made of waiting")]
async fn pause(span: Duration) {
    tokio::time::sleep(span).await;
}
