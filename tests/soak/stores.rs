//! The suite on all three stores, ten times in a row, each time on a new store: `cargo run -p vestibule-tests --example stores [ROUNDS]`.
//! Ends with 1, and the rule that was broken, at the first that is.

#![allow(clippy::print_stdout, reason = "it says what it did")]

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use vestibule_oauth_core::UnixTime;
use vestibule_storage::{
    KeyRingStore, MasterSecret, MemoryStore, PostgresStore, SqliteStore, StoreUrl, open,
};
use vestibule_tests::{Folder, Postgres, suite};

const NOW: UnixTime = UnixTime::from_secs(1_700_000_000);

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> ExitCode {
    let rounds: u8 = std::env::args().nth(1).map_or(10, |arg| arg.parse().expect("a number"));
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
            if let Err(broken) = suite(&opened, Some(no_ring), round).await {
                println!("round {round}, {url}: {broken}");
                return ExitCode::FAILURE;
            }
            println!("round {round}, {url}: passed in {} ms", began.elapsed().as_millis());
        }
    }
    ExitCode::SUCCESS
}
