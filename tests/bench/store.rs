//! What acts cost at the store's port, where an answer means that it lasts: code redemption and refresh with 64 in flight, on SQLite with one
//! transaction for each act and with the usual batches, and on PostgreSQL beside `pgbench` with the same statement over as many connections.
//! Ends with 1 when a goal is missed: SQLite 5 times the rate of one at a time and p99 under 10 times p50, PostgreSQL 0.7 times `pgbench`.
//!
//! `cargo run --release -p vestibule-tests --example store`. It wants a machine with little else to do, and a temporary folder on a disk.

#![allow(clippy::print_stdout, reason = "it prints what it measured")]

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::task::JoinSet;
use vestibule_oauth_core::UnixTime;
use vestibule_storage::{MasterSecret, Opened, SqliteStore, open};
use vestibule_tests::{Folder, Postgres, Times};
use vestibule_token_endpoint::{
    AccessToken, Code, Grant, Issuance, OpaqueToken, Redeemed, RefreshToken, Rotated, Rotation,
    SealedSuccessor, Store, TokenHash, TokenKind,
};

const NOW: UnixTime = UnixTime::from_secs(1_700_000_000);
const IN_FLIGHT: u64 = 64;
/// What a node has to its database; `pgbench` gets as many.
const CONNECTIONS: u64 = 8;
const ROUNDS: usize = 3;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> ExitCode {
    println!("the disk's own sync: {} us (the middle of 200, after 4 KiB each)", sync_time().as_micros());
    let mut reached = true;
    for act in [Act::Redeem, Act::Refresh] {
        let (mut alone, mut together) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            alone.push(on_sqlite(act, Some(1), 30).await);
            together.push(on_sqlite(act, None, 300).await);
        }
        let (alone, together) = (middle(alone), middle(together));
        let (times, tail) = (together.rate / alone.rate, together.tail());
        println!("{act:?} on SQLite, one at a time: {alone}");
        println!("{act:?} on SQLite, as usual:      {together}");
        println!("  {times:.1} times the rate (at least 5), p99 {tail:.1} times p50 (under 10)");
        reached &= times >= 5.0 && tail < 10.0;
    }
    let postgres = Postgres::start_durable();
    for act in [Act::Redeem, Act::Refresh] {
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for round in 0..ROUNDS {
            let database = format!("{act:?}{round}").to_ascii_lowercase();
            let url = postgres.database(&database);
            let (figures, store) = on_postgres(act, &url).await;
            ours.push(figures);
            theirs.push(pgbench(act, &postgres, &database));
            drop(store);
        }
        let ours = middle(ours);
        theirs.sort_by(f64::total_cmp);
        let theirs = theirs[ROUNDS / 2];
        println!("{act:?} on PostgreSQL: {ours}");
        println!(
            "  pgbench -M prepared, {CONNECTIONS} connections: {theirs:.0}/s; {:.2} times that (at least 0.7)",
            ours.rate / theirs
        );
        reached &= ours.rate / theirs >= 0.7;
    }
    if reached { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

#[derive(Clone, Copy, Debug)]
enum Act {
    Redeem,
    Refresh,
}

/// How fast acts were, and how long each took.
struct Figures {
    rate: f64,
    times: Times,
}

impl Figures {
    fn tail(&self) -> f64 {
        self.times.at(99).as_secs_f64() / self.times.at(50).as_secs_f64()
    }
}

impl std::fmt::Display for Figures {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{:>6.0}/s, p50 {:>6} us, p99 {:>6} us",
            self.rate,
            self.times.at(50).as_micros(),
            self.times.at(99).as_micros()
        )
    }
}

/// Of several rounds the one whose rate is in the middle.
fn middle(mut rounds: Vec<Figures>) -> Figures {
    rounds.sort_by(|one, other| one.rate.total_cmp(&other.rate));
    rounds.remove(rounds.len() / 2)
}

fn sync_time() -> Duration {
    let folder = Folder::new();
    let mut file = OpenOptions::new().create_new(true).write(true).open(folder.file("sync")).expect("a file");
    file.write_all(&vec![0; 4096 * 200]).expect("room");
    file.sync_all().expect("a disk");
    let took = (0..200)
        .map(|place| {
            file.write_all_at(&[1; 4096], place * 4096).expect("room");
            let began = Instant::now();
            file.sync_data().expect("a disk");
            began.elapsed()
        })
        .collect();
    Times::of(took).at(50)
}

async fn on_sqlite(act: Act, batch: Option<usize>, times: u64) -> Figures {
    let folder = Folder::new();
    let path = folder.file("store.db");
    let store = match batch {
        Some(batch) => SqliteStore::open_with(&path, batch).await,
        None => SqliteStore::open(&path).await,
    };
    run(act, Arc::new(store.expect("a store")), times).await
}

/// The store as well: as long as its connections are open, the server remembers what they asked last.
async fn on_postgres(act: Act, url: &str) -> (Figures, Opened) {
    let (master, _) = MasterSecret::generate([7; 32]);
    let store = open(&url.parse().expect("a URL"), &master, NOW).await.expect("a store");
    (run(act, store.issued.clone(), 300).await, store)
}

/// Does it so many times in each of the tasks in flight.
async fn run(act: Act, store: Arc<dyn Store>, times: u64) -> Figures {
    let mut preparing = JoinSet::new();
    for task in 0..IN_FLIGHT {
        let store = store.clone();
        preparing.spawn(async move {
            let codes = match act {
                Act::Redeem => 0..times,
                Act::Refresh => 0..1,
            };
            for n in codes {
                store.issue_code(code(task, n), None).await.expect("a code");
                if matches!(act, Act::Refresh) {
                    redeem(&*store, task, n).await;
                }
            }
        });
    }
    preparing.join_all().await;
    let began = Instant::now();
    let mut doing = JoinSet::new();
    for task in 0..IN_FLIGHT {
        let store = store.clone();
        doing.spawn(async move {
            let mut took = Vec::new();
            for n in 0..times {
                let began = Instant::now();
                match act {
                    Act::Redeem => redeem(&*store, task, n).await,
                    Act::Refresh => refresh(&*store, task, n).await,
                }
                took.push(began.elapsed());
            }
            took
        });
    }
    let times = Times::of(doing.join_all().await.concat());
    Figures { rate: times.number() as f64 / began.elapsed().as_secs_f64(), times }
}

async fn redeem(store: &dyn Store, task: u64, n: u64) {
    let code = code(task, n);
    let mut grant = code.grant.clone();
    grant.expires_at = NOW.after(Duration::from_secs(90 * 24 * 3600));
    let refresh = Some(refresh_token(&grant, task, n, 0));
    let issuance = Issuance { access: Some(access(&grant, task, n, 0)), refresh, grant };
    assert_eq!(store.redeem_code(code.hash, issuance, NOW).await.expect("an outcome"), Redeemed::Redeemed);
}

async fn refresh(store: &dyn Store, task: u64, n: u64) {
    let grant = code(task, 0).grant;
    let (old, next) = (token(task, 0, n), token(task, 0, n + 1));
    let rotation = Rotation {
        old: old.hash(),
        sealed: SealedSuccessor::seal(&next, &old),
        next: refresh_token(&grant, task, 0, n + 1),
        access: Some(access(&grant, task, 0, n + 1)),
        now: NOW,
    };
    assert_eq!(store.rotate_refresh(rotation).await.expect("an outcome"), Rotated::Rotated);
}

/// The name of something, 32 octets that differ from those of everything else.
fn name(what: u8, task: u64, n: u64, generation: u64) -> [u8; 32] {
    let mut octets = [what; 32];
    // Spread over the whole range, as hashes are.
    let spread = (task ^ n << 8 ^ generation << 32).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    octets[..8].copy_from_slice(&spread.to_be_bytes());
    octets[8..16].copy_from_slice(&task.to_be_bytes());
    octets[16..24].copy_from_slice(&n.to_be_bytes());
    octets[24..].copy_from_slice(&generation.to_be_bytes());
    octets[31] ^= what;
    octets
}

fn record<T: serde::de::DeserializeOwned>(json: Value) -> T {
    serde_json::from_value(json).expect("the form of a record")
}

fn code(task: u64, n: u64) -> Code {
    let id: [u8; 16] = name(1, task, n, 0)[8..24].try_into().expect("16 octets");
    record(json!({
        "hash": TokenHash::from_octets(name(2, task, n, 0)),
        "grant": {
            "id": vestibule_token_endpoint::GrantId::from_entropy(id),
            "client": "an app",
            "subject": format!("did:plc:{task:024}"),
            "scope": "a b",
            "resources": ["https://api.example.com"],
            "auth_time": NOW,
            "context": format!("did:plc:{task:024}/{n}"),
            "created_at": NOW,
            "expires_at": NOW.after(Duration::from_secs(60)),
        },
        "redirect_uri": "https://app.example.com/callback",
        "redirect_uri_sent": "sent",
        "challenge": "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM",
        "expires_at": NOW.after(Duration::from_secs(60)),
    }))
}

fn token(task: u64, n: u64, generation: u64) -> OpaqueToken {
    OpaqueToken::from_entropy(TokenKind::Refresh, name(3, task, n, generation))
}

fn refresh_token(grant: &Grant, task: u64, n: u64, generation: u64) -> RefreshToken {
    let until = NOW.after(Duration::from_secs(30 * 24 * 3600));
    RefreshToken::new(token(task, n, generation).hash(), grant.id, NOW, until)
}

fn access(grant: &Grant, task: u64, n: u64, generation: u64) -> Arc<AccessToken> {
    record::<AccessToken>(json!({
        "hash": TokenHash::from_octets(name(4, task, n, generation)),
        "facts": {
            "grant": grant.id,
            "client": "an app",
            "subject": grant.subject,
            "scope": "a b",
            "audience": ["https://api.example.com"],
            "actors": [],
            "issued_at": NOW,
            "expires_at": NOW.after(Duration::from_secs(600)),
        },
    }))
    .into()
}

/// Transactions each second of `pgbench` with the statement that the store sent, which the server still remembers, and values that fit.
fn pgbench(act: Act, postgres: &Postgres, database: &str) -> f64 {
    const TIMES: u64 = 1500;
    let (spends, changes) = match act {
        Act::Redeem => ("UPDATE codes", "codes"),
        Act::Refresh => ("UPDATE refresh_tokens", "refresh_tokens"),
    };
    let sent = postgres.ask(
        database,
        &format!(
            "SELECT query FROM pg_stat_activity WHERE application_name = 'vestibule'
             AND query LIKE 'WITH spent AS%{spends}%' LIMIT 1"
        ),
    );
    assert!(sent.contains(spends), "the statement is remembered: {sent}");
    // Records of the same length: `pgbench` would take what follows a colon in one for a variable.
    let record = |table: &str| {
        let length = postgres.ask(database, &format!("SELECT length(record) FROM {table} LIMIT 1"));
        format!("repeat('x', {length})")
    };
    let (access_record, grant_record) = (record("access_tokens"), record("grants"));
    // A row of `pgbench` is called by its number, and its neighbours are far away, as with hashes.
    let name = |number: &str| format!("decode(md5(({number})::text) || md5(({number})::text), 'hex')");
    let ids = format!("generate_series(0, {}) AS client, generate_series(0, {TIMES}) AS n", CONNECTIONS - 1);
    let number = "client * 100000000 + n";
    let fill = match act {
        Act::Redeem => format!(
            "INSERT INTO codes (hash, grant_id, client, subject, context, record, keep_until)
             SELECT {}, '\\x00', 'an app', 'somebody', 'context', (SELECT record FROM codes LIMIT 1), 1700000060 FROM {ids}",
            name(number)
        ),
        Act::Refresh => format!(
            "INSERT INTO refresh_tokens (hash, grant_id, issued_at, expires_at, keep_until)
             SELECT {}, (SELECT id FROM grants LIMIT 1), 1700000000, 1800000000, 1800000000
             FROM generate_series(0, {}) AS client, generate_series(0, 0) AS n",
            name(number),
            CONNECTIONS - 1
        ),
    };
    postgres.ask(database, &fill);
    let this = name(":number::bigint");
    let next = name(":number::bigint + 1");
    let other = name(":number::bigint + 50000000");
    let values: Vec<String> = match act {
        Act::Redeem => vec![
            this.clone(),
            "1700000000::bigint".into(),
            format!("substr({other}, 1, 16)"),
            "'an app'".into(),
            "'somebody'".into(),
            "'context'".into(),
            grant_record,
            "1700000000".into(),
            "1800000000::bigint".into(),
            other.clone(),
            "1700000000".into(),
            "1800000000".into(),
            other,
            format!("substr({this}, 1, 16)"),
            access_record,
            "1700000600".into(),
        ],
        Act::Refresh => vec![
            this.clone(),
            "1700000000::bigint".into(),
            next.clone(),
            "'\\x0000000000000000000000000000000000000000000000000000000000000000'".into(),
            "(SELECT id FROM grants LIMIT 1)".into(),
            "1700000000".into(),
            "1800000000".into(),
            other,
            format!("substr({this}, 1, 16)"),
            access_record,
            "1700000600".into(),
        ],
    };
    // From the highest number down, so that `$1` is not taken for the beginning of `$10`.
    let statement = values
        .iter()
        .enumerate()
        .rev()
        .fold(sent, |sql, (place, value)| sql.replace(&format!("${}", place + 1), value));
    let folder = Folder::new();
    let script = folder.file("script.sql");
    let script_text = format!(
        "\\set number :client_id * 100000000 + :n\n{};\n\\set n :n + 1\n",
        statement.split_whitespace().collect::<Vec<_>>().join(" ")
    );
    std::fs::write(&script, script_text).expect("a file");
    let before: u64 = postgres.ask(database, "SELECT count(*) FROM access_tokens").parse().expect("a number");
    let output = Command::new(postgres.programs().join("pgbench"))
        .args(["-M", "prepared", "-n", "-j", "2", "-D", "n=0", "-U", "vestibule", "-h", "127.0.0.1"])
        .args([
            "-p",
            &postgres.port().to_string(),
            "-c",
            &CONNECTIONS.to_string(),
            "-t",
            &TIMES.to_string(),
            "-f",
        ])
        .arg(&script)
        .arg(database)
        .output()
        .expect("pgbench");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let after: u64 = postgres.ask(database, "SELECT count(*) FROM access_tokens").parse().expect("a number");
    assert_eq!(
        after - before,
        CONNECTIONS * TIMES,
        "each changed {changes}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let tps = said.lines().find_map(|line| line.strip_prefix("tps = ")?.split(' ').next()?.parse().ok());
    tps.unwrap_or_else(|| panic!("{said} {}", String::from_utf8_lossy(&output.stderr)))
}
