//! How long a token request takes when many tokens are live: the 99th percentile over sixteen keep-alive connections, beside that of a
//! constant answer of bare hyper, in turns. Ends with 1 when it is more than twice as long.
//!
//! `cargo build --release --bins --examples -p vestibule-server-hyper -p vestibule-tests && target/release/examples/latency [TOKENS]`,
//! after `tests/run` has installed the peers. The default is 400,000 tokens. Wants a machine with little else to do.

#![allow(clippy::print_stdout, reason = "it prints what it measured")]

#[path = "wire.rs"]
mod wire;

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Request;
use tokio::task::JoinSet;
use vestibule_tests::oauth::{Ask, At, Ground, Live};
use vestibule_tests::{Peers, PeersConfig, Times, VestibuleConfig};
use wire::{Bare, Wire};

const CONNECTIONS: usize = 16;
const ROUNDS: usize = 7;
/// On each connection. All rounds together add a third to the tokens that are live, and a store in memory keeps a million.
const ROUND: usize = 1250;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let tokens: usize = std::env::args().nth(1).map_or(400_000, |arg| arg.parse().expect("a number"));
    let peers = Peers::start(PeersConfig::default()).await;
    let config = VestibuleConfig { store: Some("memory:".to_owned()), ..VestibuleConfig::for_peers(&peers) };
    let live = Live::start_with(&peers, config).await;
    let bare = Bare::start(&[]).await;
    let machine = (&live as &dyn Ground)
        .by("opaque", At::Token)
        .field("grant_type", "client_credentials")
        .into_request();
    let constant = Ask::post("http://bare/").field("grant_type", "client_credentials").into_request();

    let begun = Instant::now();
    let each = tokens.div_ceil(CONNECTIONS);
    let filled = send(live.vestibule.address(), &machine, each).await.len();
    println!("{filled} tokens are live after {} s", begun.elapsed().as_secs());

    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        let theirs = Figures(Times::of(send(bare.address, &constant, ROUND).await));
        let ours = Figures(Times::of(send(live.vestibule.address(), &machine, ROUND).await));
        println!("  bare {theirs}   vestibule {ours}   p99 {:.2} x", ratio(&theirs, &ours));
        rounds.push(ratio(&theirs, &ours));
    }
    rounds.sort_by(f64::total_cmp);
    let middle = rounds[ROUNDS / 2];
    println!(
        "p99 of client_credentials with {filled} live tokens: {middle:.2} x bare hyper's (the middle of {ROUNDS} rounds)"
    );
    if middle <= 2.0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Sends this request so many times over each connection, and gives how long each answer took.
async fn send(address: SocketAddr, request: &Request<Bytes>, times: usize) -> Vec<Duration> {
    let mut under_way = JoinSet::new();
    for _ in 0..CONNECTIONS {
        let mut wire = Wire::connect(address).await;
        let request = request.clone();
        under_way.spawn(async move {
            let mut took = Vec::with_capacity(times);
            for _ in 0..times {
                let request = request.clone();
                let sent = Instant::now();
                let reply = wire.send(request).await;
                took.push(sent.elapsed());
                assert_eq!(reply.status, 200, "{}", reply.json);
            }
            took
        });
    }
    under_way.join_all().await.concat()
}

struct Figures(Times);

impl std::fmt::Display for Figures {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "p50 {:>5} us, p99 {:>5} us", self.0.at(50).as_micros(), self.0.at(99).as_micros())
    }
}

fn ratio(theirs: &Figures, ours: &Figures) -> f64 {
    ours.0.at(99).as_secs_f64() / theirs.0.at(99).as_secs_f64()
}
