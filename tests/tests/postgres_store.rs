//! The store in PostgreSQL: the suite that every store passes, on a server of the test's own.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use vestibule_oauth_core::UnixTime;
use vestibule_storage::{MasterSecret, OpenError, Opened, PostgresError, PostgresStore, StoreUrl, open};
use vestibule_strategy::{FlowKey, StoredFlow};
use vestibule_tests::{Postgres, suite};
use vestibule_token_endpoint::{Device, DeviceBegun, TokenHash};

const NOW: UnixTime = UnixTime::from_secs(1_700_000_000);

fn master() -> MasterSecret {
    MasterSecret::generate([0xa5; 32]).0
}

async fn open_at(url: &str) -> Result<Opened, OpenError> {
    open(&url.parse::<StoreUrl>().unwrap(), &master(), NOW).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keeps_the_contract() {
    let postgres = Postgres::start();
    let no_ring = PostgresStore::open(&postgres.database("keys").parse().unwrap()).await.unwrap();
    let opened = open_at(&postgres.database("store")).await.unwrap();
    suite(&opened, Some(Arc::new(no_ring)), 1).await.unwrap();
    // And once more in a store that is in use.
    suite(&opened, None, 2).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_nodes_may_start_at_once() {
    let postgres = Postgres::start();
    let url = Arc::new(postgres.database("store"));
    let nodes: Vec<_> = (0..10)
        .map(|_| {
            let url = url.clone();
            tokio::spawn(async move { open_at(&url).await.map(|opened| format!("{:?}", opened.ring)) })
        })
        .collect();
    let mut rings = Vec::new();
    for node in nodes {
        rings.push(node.await.unwrap().unwrap());
    }
    rings.dedup();
    assert_eq!(rings.len(), 1, "all have one key ring");
    assert_eq!(postgres.ask("store", "SELECT count(*) FROM vestibule"), "1");
}

#[tokio::test]
async fn a_database_of_a_later_version_is_refused_and_stays_as_it_was() {
    let postgres = Postgres::start();
    let url = postgres.database("store");
    let older = open_at(&url).await.unwrap();
    postgres.ask("store", "UPDATE vestibule SET form = 99");
    let error = older.housekeeping.ping().await.unwrap_err().to_string();
    assert!(error.contains("another version"), "a node that runs is not ready any more: {error}");
    let error = open_at(&url).await.unwrap_err();
    assert!(matches!(error, OpenError::Postgres(PostgresError::Newer { found: 99, .. })), "{error:?}");
    let said = error.to_string();
    assert!(said.contains("later version") && said.contains("99"), "{said}");
    assert_eq!(postgres.ask("store", "SELECT form FROM vestibule"), "99");
}

#[tokio::test]
async fn a_database_that_is_not_there_is_said_to_be_so() {
    let postgres = Postgres::start();
    let url = format!("postgres://vestibule:hunter2@127.0.0.1:{}/absent", postgres.port());
    let error = open_at(&url).await.unwrap_err().to_string();
    assert!(error.contains("absent") && !error.contains("hunter2"), "{error}");
    postgres.stop();
    let error = open_at(&url).await.unwrap_err().to_string();
    assert!(error.contains("127.0.0.1") && !error.contains("hunter2"), "{error}");
}

#[tokio::test]
async fn a_store_comes_back_with_its_database() {
    let postgres = Postgres::start();
    let store = open_at(&postgres.database("store")).await.unwrap();
    store.housekeeping.ping().await.unwrap();
    postgres.stop();
    store.housekeeping.ping().await.unwrap_err();
    store.housekeeping.ping().await.unwrap_err();
    postgres.start_again();
    store.housekeeping.ping().await.unwrap();
}

#[tokio::test]
async fn a_connection_by_tls_is_to_who_has_a_certificate_for_its_name() {
    let (postgres, ca) = Postgres::start_with_tls();
    let (port, ca) = (postgres.port(), ca.display().to_string());
    let at =
        |host: &str, parameters: &str| format!("postgres://vestibule@{host}:{port}/postgres?{parameters}");
    open_at(&at("localhost", &format!("sslmode=require&sslrootcert={ca}"))).await.unwrap();
    open_at(&at("localhost", &format!("sslrootcert={ca}"))).await.unwrap();
    for (url, said) in [
        // No public authority has signed it.
        (at("localhost", "sslmode=require"), "UnknownIssuer"),
        // It is for another name.
        (at("127.0.0.1", &format!("sslmode=verify-full&sslrootcert={ca}")), "not valid for name"),
        // The server has no door for those.
        (at("localhost", "sslmode=disable"), "no pg_hba.conf entry"),
        (at("localhost", "sslrootcert=absent.pem"), "absent.pem"),
        (at("localhost", "sslrootcert=Cargo.toml"), "no trust anchor"),
    ] {
        let error = open_at(&url).await.unwrap_err().to_string();
        assert!(error.contains(said), "{url}: {error}");
    }
}

#[tokio::test]
async fn tables_that_anybody_can_fill_are_bounded() {
    let postgres = Postgres::start();
    let store = open_at(&postgres.database("store")).await.unwrap();
    let fill = |sql: &str| postgres.ask("store", &format!("{sql} FROM generate_series(1, 50100) AS n"));
    fill("INSERT INTO flows SELECT sha256(n::text::bytea), '\\x00', '\\x00', n");
    let flow = StoredFlow::new(FlowKey::from_octets([1; 32]), [2; 32], vec![3], NOW);
    store.flows.put(flow).await.unwrap();
    let seen = postgres.ask("store", "SELECT count(*), min(expires_at) FROM flows");
    assert_eq!(seen, "50001|101", "those that expire first have made room");

    fill(
        "INSERT INTO devices SELECT sha256(n::text::bytea), sha256(n::text::bytea), '', 'pending', NULL, NULL, NULL, NULL, 5, NULL, n",
    );
    let device = |n: u8| -> Device {
        let name = |octet| TokenHash::from_octets([octet; 32]);
        serde_json::from_value(json!({
            "hash": name(n), "user_code": name(n + 100), "client": "an app", "scope": "a",
            "interval": { "secs": 5, "nanos": 0 }, "issued_at": NOW, "expires_at": NOW.after(Duration::from_secs(600)),
        }))
        .unwrap()
    };
    let error = store.issued.begin_device(device(1), NOW).await.unwrap_err().to_string();
    assert!(error.contains("too many devices"), "{error}");
    while store.housekeeping.sweep(NOW).await.unwrap().more {}
    let mut begun = None;
    for n in 1..=20 {
        begun = begun.or(store.issued.begin_device(device(n), NOW).await.ok());
    }
    assert_eq!(begun, Some(DeviceBegun::Begun), "it is looked at again before long");
}
