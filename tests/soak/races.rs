//! Races and crashes, many times over: in each round a race of every kind, and a `kill -9` in the middle of a burst, each time at
//! another moment, all over one SQLite file.
//!
//! Not part of `tests/run`. Run it by `cargo run -p vestibule-tests --example races -- [ROUNDS]`, after `tests/run` has installed the
//! peers and `cargo build --bin vestibule` has built the program. The default is 20 rounds.

#![allow(clippy::print_stdout, reason = "a soak prints what it saw")]

use std::time::Instant;

use vestibule_tests::oauth::{Live, races};
use vestibule_tests::{Peers, PeersConfig};

#[tokio::main]
async fn main() {
    let rounds: usize = std::env::args().nth(1).map_or(20, |arg| arg.parse().expect("a number"));
    let peers = Peers::start(PeersConfig { max_seconds: Some(3600), ..PeersConfig::default() }).await;
    let mut live = Live::start(&peers).await;
    let begun = Instant::now();
    for round in 0..rounds {
        let after = 20 + round * 13 % 200;
        races::race(&live).await;
        races::crash(&mut live, after).await;
        println!("round {}: held, with the server killed after {after} answers", round + 1);
    }
    println!("{rounds} rounds held in {} s", begun.elapsed().as_secs());
}
