//! What a file does not grow beyond, and how its sessions are gone through.

use vestibule_atproto_identity::login::{SessionId, SessionKey};
use vestibule_strategy::FlowStore;

use super::*;
use crate::columns::to_column;
use crate::housekeeping::{LOOKED_AT, UNUSED_AFTER};
use crate::limits::{FLOW_OCTETS, PENDING_FLOWS, SESSION_OCTETS, WEB_SESSION_OCTETS};
use crate::sqlite::flows::MAKE_ROOM;
use crate::sqlite::keys::NEEDED;
use crate::sqlite::sweep::{DATE_SESSIONS, NEXT_SESSIONS};
use crate::sqlite::web_sessions::USES;

fn rows(connection: &Connection, sql: &str) -> usize {
    let rows: i64 = connection.query_row(sql, [], |row| row.get(0)).unwrap();
    usize::try_from(rows).unwrap()
}

const COUNTED: &str = "SELECT rows FROM counts WHERE name = 'flows'";
const THERE: &str = "SELECT count(*) FROM flows";

/// Puts in this many flows that end one second after the other, the first of them at the second 1.
fn fill(connection: &Connection, flows: usize) {
    let sql = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)
               INSERT INTO flows SELECT randomblob(32), zeroblob(32), x'01', i FROM n";
    connection.execute(sql, [flows as i64]).unwrap();
}

#[tokio::test]
async fn a_file_with_as_many_flows_as_it_keeps_forgets_the_one_that_expires_first() {
    let folder = TestFolder::new();
    let path = folder.file("store.db");
    let store = SqliteStore::open(&path).await.unwrap();
    let other = Connection::open(&path).unwrap();
    fill(&other, PENDING_FLOWS - 1);
    let put = async |n: u8, expires_at| {
        let flow =
            StoredFlow::new(FlowKey::from_octets([n; 32]), [0; 32], vec![n], UnixTime::from_secs(expires_at));
        FlowStore::put(&store, flow).await
    };
    put(1, 1).await.unwrap();
    assert_eq!(rows(&other, THERE), PENDING_FLOWS);
    assert_eq!(rows(&other, "SELECT min(expires_at) FROM flows"), 1);
    put(2, 2).await.unwrap();
    put(3, 0).await.unwrap();
    assert_eq!(rows(&other, THERE), PENDING_FLOWS);
    assert_eq!(rows(&other, COUNTED), PENDING_FLOWS);
    assert_eq!(rows(&other, "SELECT count(*) FROM flows WHERE expires_at = 1"), 0, "two made room");

    assert!(put(2, 9).await.is_err(), "one of this name is there");
    assert_eq!(rows(&other, THERE), PENDING_FLOWS, "who is refused displaces nobody");

    let key = FlowKey::from_octets([2; 32]);
    assert_eq!(store.take(key, [0; 32]).await.unwrap(), TakenFlow::Taken(vec![2]));
    store.sweep(UnixTime::from_secs(500)).await.unwrap();
    assert_eq!(rows(&other, COUNTED), rows(&other, THERE));
}

#[tokio::test]
async fn a_file_with_more_flows_than_that_comes_down_again() {
    let folder = TestFolder::new();
    let path = folder.file("store.db");
    let store = SqliteStore::open(&path).await.unwrap();
    let other = Connection::open(&path).unwrap();
    fill(&other, PENDING_FLOWS + 1500);
    for (n, left) in [(1, PENDING_FLOWS + 501), (2, PENDING_FLOWS), (3, PENDING_FLOWS)] {
        let flow = StoredFlow::new(FlowKey::from_octets([n; 32]), [0; 32], vec![n], NOW);
        FlowStore::put(&store, flow).await.unwrap();
        assert_eq!((rows(&other, THERE), rows(&other, COUNTED)), (left, left));
    }
}

#[tokio::test]
async fn what_is_too_large_is_refused_in_words_that_say_so() {
    let folder = TestFolder::new();
    let store = open_at(&folder.file("store.db")).await;
    let flow = StoredFlow::new(FlowKey::from_octets([1; 32]), [0; 32], vec![1; FLOW_OCTETS + 1], NOW);
    let mut record = session([1; 32]).unwrap();
    record.access_token = "a".repeat(SESSION_OCTETS).into();
    let mut web = web(1);
    web.name = Some("a".repeat(WEB_SESSION_OCTETS));
    for (error, what, most) in [
        (store.flows.put(flow).await.unwrap_err(), "a flow of 8193 octets", "8192"),
        (store.sessions.insert(&record).await.unwrap_err(), "a session of ", "65536"),
        (store.web_sessions.put(web).await.unwrap_err(), "a web session of 4110 octets", "4096"),
    ] {
        let error = error.to_string();
        assert!(
            error.contains(what) && error.contains(&format!("larger than the {most} that are kept")),
            "{error}"
        );
    }
}

#[tokio::test]
async fn sessions_are_gone_through_a_part_at_a_time() {
    let folder = TestFolder::new();
    let path = folder.file("store.db");
    let store = SqliteStore::open(&path).await.unwrap();
    let other = Connection::open(&path).unwrap();
    // As many as two sweeps look at and one more; the middle one of all is used. All of one second, so that the order
    // among them is that of their names.
    let all = 2 * LOOKED_AT + 1;
    let sql = "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < ?1 - 1)
               INSERT INTO sessions (did, id, generation, sealed, created_at)
               SELECT 'did:web:' || printf('%05d', i) || '.example.com', 'AAAAAAAAAAAAAAAAAAAAAA', 0, x'01', ?2 FROM n";
    other.execute(sql, [all as i64, to_column(NOW.before(UNUSED_AFTER).as_secs())]).unwrap();
    let key = |n: usize| {
        SessionKey::new(
            format!("did:web:{n:05}.example.com").parse().unwrap(),
            SessionId::from_entropy([0; 16]),
        )
    };
    let mut used = web(1);
    used.session = Some(key(LOOKED_AT));
    used.expires_at = NOW.after(Duration::from_secs(60));
    WebSessionStore::put(&store, used).await.unwrap();

    for round in 0..2 {
        let mut named = Vec::new();
        for expected in [LOOKED_AT, LOOKED_AT - 1, 1] {
            let swept = store.sweep(NOW).await.unwrap();
            assert_eq!(swept.unused.len(), expected, "round {round}");
            assert!(!swept.more, "there is nothing to throw away");
            named.extend(swept.unused);
        }
        named.sort();
        let expected: Vec<_> = (0..all).filter(|n| *n != LOOKED_AT).map(key).collect();
        assert_eq!(named, expected, "round {round}");
    }
}

#[tokio::test]
async fn what_is_gone_through_and_what_is_counted_is_looked_up_in_an_index() {
    let folder = TestFolder::new();
    let path = folder.file("store.db");
    let _store = SqliteStore::open(&path).await.unwrap();
    let other = Connection::open(&path).unwrap();
    for (sql, indexes) in [
        (
            NEXT_SESSIONS,
            &[
                "sessions_by_age ((created_at,did,id)>",
                "web_sessions_by_session (session_did=? AND",
                "grants_by_context (context=?)",
            ][..],
        ),
        (DATE_SESSIONS, &["PRIMARY KEY (did=? AND id=?)", "sessions_by_age (created_at=?)"]),
        (
            NEEDED,
            &[
                "CONSTANT ROW",
                "sessions_by_client_key (client_kid=?)",
                "sessions_by_client_key (client_kid=?)",
            ],
        ),
        (
            USES,
            &[
                "CONSTANT ROW",
                "web_sessions_by_session (session_did=? AND",
                "grants_by_context (context=?)",
                "codes_by_context (context=?)",
                "devices_by_expiry (expires_at>?)",
            ],
        ),
        (MAKE_ROOM, &["PRIMARY KEY (key=?)", "flows_by_expiry"]),
    ] {
        let mut statement = other.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
        // Nothing is bound: the plan is the same for every value.
        let mut rows = statement.raw_query();
        let mut steps: Vec<String> = Vec::new();
        while let Some(row) = rows.next().unwrap() {
            steps.push(row.get(3).unwrap());
        }
        let tables: Vec<_> =
            steps.iter().filter(|step| step.contains(" USING ") || step.starts_with("SCAN ")).collect();
        assert!(
            tables.len() == indexes.len()
                && tables.iter().zip(indexes).all(|(step, index)| step.contains(index)),
            "{steps:#?}"
        );
        assert!(!steps.iter().any(|step| step.contains("TEMP B-TREE")), "sorted: {steps:#?}");
    }
}

#[tokio::test]
async fn a_file_that_may_not_grow_refuses_and_goes_on_when_it_may() {
    let folder = TestFolder::new();
    let store = SqliteStore::open(&folder.file("store.db")).await.unwrap();
    let grow_to = |pages: i64| {
        store.writer.write(move |connection| {
            connection.query_row(&format!("PRAGMA max_page_count = {pages}"), [], |row| row.get::<_, i64>(0))
        })
    };
    let flow = |n: u8| StoredFlow::new(FlowKey::from_octets([n; 32]), [n; 32], vec![n; FLOW_OCTETS], NOW);
    let pages = grow_to(1).await.unwrap();
    grow_to(pages + 8).await.unwrap();
    let mut refused = 1;
    let error = loop {
        match FlowStore::put(&store, flow(refused)).await {
            Ok(()) => refused += 1,
            Err(error) => break error.to_string(),
        }
        assert!(refused < 20, "it does not grow");
    };
    assert!(error.contains("store.db") && error.contains("full"), "{error}");
    let missing = store.take(flow(refused).key, [refused; 32]).await.unwrap();
    assert_eq!(missing, TakenFlow::Missing, "nothing was done");
    grow_to(1_000_000).await.unwrap();
    FlowStore::put(&store, flow(refused)).await.unwrap();
    for n in 1..=refused {
        let taken = store.take(flow(n).key, [n; 32]).await.unwrap();
        assert_eq!(taken, TakenFlow::Taken(vec![n; FLOW_OCTETS]));
    }
    assert!(store.integrity().await.unwrap().is_empty());
}
