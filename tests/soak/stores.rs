//! The suite on all three stores, ten times in a row, each time on a new store:
//! `cargo run --release -p vestibule-tests --example stores [ROUNDS [ROWS]]`. With ROWS, each store has so many access tokens first, up to
//! 900,000 in memory, which keeps a million. Ends with 1, and the rule that was broken, at the first that is.

#![allow(clippy::print_stdout, reason = "it says what it did")]

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::task::JoinSet;
use vestibule_oauth_core::UnixTime;
use vestibule_storage::{
    KeyRingStore, MasterSecret, MemoryStore, PostgresStore, SqliteStore, StoreUrl, open,
};
use vestibule_tests::{Folder, Postgres, suite};
use vestibule_token_endpoint::{AccessToken, Store, TokenHash};

const NOW: UnixTime = UnixTime::from_secs(1_700_000_000);

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> ExitCode {
    let rounds: u8 = std::env::args().nth(1).map_or(10, |arg| arg.parse().expect("a number"));
    let rows: u64 = std::env::args().nth(2).map_or(0, |arg| arg.parse().expect("a number"));
    let (master, _) = MasterSecret::generate([7; 32]);
    let postgres = Postgres::start();
    for round in 1..=rounds {
        let folder = Folder::new();
        let (path, empty) = (folder.file("store.db"), folder.file("empty.db"));
        let (url, none) =
            (postgres.database(&format!("store{round}")), postgres.database(&format!("empty{round}")));
        let in_postgres = PostgresStore::open(&none.parse().expect("a URL")).await.expect("a store");
        let in_sqlite = SqliteStore::open(&empty).await.expect("a store");
        let stores: [(StoreUrl, Arc<dyn KeyRingStore>); 3] = [
            (StoreUrl::Memory, Arc::new(MemoryStore::new())),
            (StoreUrl::Sqlite(path), Arc::new(in_sqlite)),
            (url.parse().expect("a URL"), Arc::new(in_postgres)),
        ];
        for (url, no_ring) in stores {
            let began = Instant::now();
            let opened = open(&url, &master, NOW).await.expect("a store");
            let rows = if matches!(url, StoreUrl::Memory) { rows.min(900_000) } else { rows };
            fill(&opened.issued, rows).await;
            let filled = began.elapsed();
            if let Err(broken) = suite(&opened, Some(no_ring), round).await {
                println!("round {round}, {url}: {broken}");
                return ExitCode::FAILURE;
            }
            let took = (began.elapsed() - filled).as_millis();
            println!(
                "round {round}, {url}: passed in {took} ms, over {rows} rows put in in {} s",
                filled.as_secs()
            );
        }
    }
    ExitCode::SUCCESS
}

/// Puts in so many access tokens, 64 at once.
async fn fill(store: &Arc<dyn Store>, rows: u64) {
    let mut putting = JoinSet::new();
    for task in 0..64 {
        let store = store.clone();
        putting.spawn(async move {
            for n in (task..rows).step_by(64) {
                let mut hash = [0; 32];
                // Spread over the whole range, as hashes are.
                hash[..8].copy_from_slice(&n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
                let token: AccessToken = serde_json::from_value(json!({
                    "hash": TokenHash::from_octets(hash),
                    "facts": {
                        "client": "an app", "subject": "somebody", "scope": "a", "audience": [], "actors": [],
                        "issued_at": NOW, "expires_at": NOW.after(Duration::from_secs(100_000)),
                    },
                }))
                .expect("the form of a record");
                store.put_access_token(Arc::new(token)).await.expect("a store that answers");
            }
        });
    }
    putting.join_all().await;
}
