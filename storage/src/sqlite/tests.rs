mod limits;
mod migration;
mod processes;

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use rusqlite::Connection;
use vestibule_atproto_identity::login::SessionStore;
use vestibule_oauth_core::{PkceVerifier, UnixTime, base64url};
use vestibule_strategy::{FlowKey, StoredFlow, TakenFlow};

use super::schema::VERSION;
use super::writer::{BATCH, QUEUE, Writer};
use super::*;
use crate::conformance::{self, session};
use crate::housekeeping::Housekeeping;
use crate::key_ring::{KeyPurpose, KeyRingError, KeyRingStore, RingKey, TAKEN_UP_WITHIN, rotate_ring_key};
use crate::master_secret::MasterSecret;
use crate::opened::{OpenError, Opened, open};
use crate::store_url::StoreUrl;
use crate::test_folder::TestFolder;
use crate::web_session::{WebSession, WebSessionId, WebSessionStore};

const NOW: UnixTime = UnixTime::from_secs(1_700_000_000);

const MASTER: [u8; 32] = [0xa5; 32];

fn master() -> MasterSecret {
    MasterSecret::generate(MASTER).0
}

async fn open_at(path: &Path) -> Opened {
    open(&StoreUrl::Sqlite(path.to_owned()), &master(), NOW).await.unwrap()
}

/// As a process opens it that starts when every node has taken up what is new.
async fn open_later_at(path: &Path) -> Opened {
    let later = NOW.after(TAKEN_UP_WITHIN);
    open(&StoreUrl::Sqlite(path.to_owned()), &master(), later).await.unwrap()
}

fn web(n: u8) -> WebSession {
    let until = NOW.after(Duration::from_secs(60));
    WebSession::new(WebSessionId::from_octets([n; 32]), "someone", "atproto".parse().unwrap(), NOW, until)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keeps_the_contract() {
    let folder = TestFolder::new();
    let keys = SqliteStore::open(&folder.file("keys.db")).await.unwrap();
    conformance::key_ring(Arc::new(keys), [1; 32]).await.unwrap();
    let Opened { flows, sessions, web_sessions, key_ring, housekeeping, accounts, clients, issued, .. } =
        open_at(&folder.file("store.db")).await;
    conformance::accounts(accounts, [7; 32]).await.unwrap();
    conformance::busy_grant(issued.clone(), housekeeping.clone(), [8; 32]).await.unwrap();
    conformance::flows(flows.clone(), [1; 32]).await.unwrap();
    conformance::sessions(sessions.clone(), [1; 32]).await.unwrap();
    conformance::leases(sessions.clone(), [2; 32]).await.unwrap();
    conformance::web_sessions(web_sessions.clone(), [1; 32]).await.unwrap();
    conformance::housekeeping(housekeeping.clone(), flows, web_sessions.clone(), [1; 32]).await.unwrap();
    conformance::unused_sessions(housekeeping.clone(), sessions.clone(), web_sessions, [2; 32])
        .await
        .unwrap();
    conformance::surplus_sessions(housekeeping, sessions.clone(), [3; 32]).await.unwrap();
    conformance::client_keys(key_ring, sessions, [4; 32]).await.unwrap();
    conformance::issued(issued.clone(), [5; 32]).await.unwrap();
    conformance::clients(clients, issued, [6; 32]).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_is_there_when_it_is_opened_again() {
    let folder = TestFolder::new();
    let path = folder.file("store.db");
    let mut record = session([1; 32]).unwrap();
    let flow = StoredFlow::new(FlowKey::from_octets([1; 32]), [2; 32], vec![3], NOW);

    let store = open_at(&path).await;
    store.flows.put(flow.clone()).await.unwrap();
    store.sessions.insert(&record).await.unwrap();
    record.generation += 1;
    store.sessions.replace(&record).await.unwrap();
    store.web_sessions.put(web(1)).await.unwrap();
    let kids: Vec<_> = store.ring.signing_keys().into_iter().map(|key| key.kid).collect();
    drop(store);
    assert!(!folder.file("store.db-wal").exists(), "closed, and all of it in the one file");

    let store = open_at(&path).await;
    assert_eq!(store.flows.take(flow.key, flow.binding).await.unwrap(), TakenFlow::Taken(flow.sealed));
    assert_eq!(store.sessions.load(&record.key).await.unwrap().unwrap().generation, 1);
    assert_eq!(store.web_sessions.load(web(1).id, NOW).await.unwrap(), Some(web(1)));
    assert_eq!(store.ring.signing_keys().into_iter().map(|key| key.kid).collect::<Vec<_>>(), kids);
}

/// Every file of the store, as it lies on the disk.
fn raw(folder: &TestFolder) -> Vec<(String, Vec<u8>)> {
    let entries = fs::read_dir(folder.path()).unwrap().map(Result::unwrap);
    entries.map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap())).collect()
}

fn holds(file: &[u8], needle: &[u8]) -> bool {
    file.windows(needle.len()).any(|window| window == needle)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s11_no_file_of_the_store_holds_a_secret() {
    let folder = TestFolder::new();
    let store = open_at(&folder.file("store.db")).await;
    let mut record = session([1; 32]).unwrap();
    let mut needles: Vec<Vec<u8>> = Vec::new();

    store.sessions.insert(&record).await.unwrap();
    for _ in 0..2 {
        let dpop_key = record.dpop_key.expose();
        needles.push(dpop_key.to_vec());
        needles.push(base64url::encode(dpop_key).into_bytes());
        needles.push(dpop_key.iter().map(|octet| format!("{octet:02x}")).collect::<String>().into_bytes());
        needles.push(record.access_token.expose().clone().into_bytes());
        needles.push(record.refresh_token.as_ref().unwrap().expose().clone().into_bytes());
        record.generation += 1;
        record.access_token = String::from("the access token after it").into();
        record.refresh_token = Some(String::from("the refresh token after it").into());
        store.sessions.replace(&record).await.unwrap();
    }

    // A login waits as the engine leaves it: sealed, under a hash of its state.
    let verifier = PkceVerifier::from_entropy([4; 32]);
    let sealed =
        store.ring.seal_keys(NOW).for_purpose("flow").seal(verifier.expose().as_bytes(), b"", [5; 24]);
    needles.push(verifier.expose().as_bytes().to_vec());
    let flow = StoredFlow::new(FlowKey::from_octets([1; 32]), [2; 32], sealed.unwrap(), NOW);
    store.flows.put(flow).await.unwrap();

    let cookie = "the value of a cookie";
    needles.push(cookie.as_bytes().to_vec());
    let mut web = web(1);
    web.id = WebSessionId::of_cookie(cookie);
    store.web_sessions.put(web).await.unwrap();

    for purpose in KeyPurpose::ALL {
        for key in store.ring.keys(purpose) {
            needles.push(key.secret().expose().to_vec());
            needles.push(base64url::encode(key.secret().expose()).into_bytes());
        }
    }
    needles.push(MASTER.to_vec());
    needles.push(base64url::encode(MASTER).into_bytes());

    let mut seen = Vec::new();
    for (name, file) in raw(&folder) {
        for needle in &needles {
            assert!(!holds(&file, needle), "{name} holds {}", String::from_utf8_lossy(needle));
        }
        if holds(&file, record.key.did().as_str().as_bytes()) {
            seen.push(name);
        }
    }
    assert_eq!(seen, ["store.db-wal"], "the rows were looked at, where they are");

    drop(store);
    let (_, file) = raw(&folder).pop().unwrap();
    assert!(holds(&file, record.key.did().as_str().as_bytes()));
    for needle in &needles {
        assert!(!holds(&file, needle), "holds {}", String::from_utf8_lossy(needle));
    }
}

#[cfg(unix)]
#[tokio::test]
async fn every_file_of_the_store_is_for_its_owner_only() {
    use std::os::unix::fs::PermissionsExt;

    let folder = TestFolder::new();
    let _store = open_at(&folder.file("store.db")).await;
    let mut names = Vec::new();
    for entry in fs::read_dir(folder.path()).unwrap().map(Result::unwrap) {
        let name = entry.file_name().into_string().unwrap();
        assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{name}");
        names.push(name);
    }
    names.sort();
    assert_eq!(names, ["store.db", "store.db-shm", "store.db-wal"]);
}

#[tokio::test]
async fn another_master_secret_is_refused_and_changes_nothing() {
    let folder = TestFolder::new();
    let path = folder.file("store.db");
    let kids = open_at(&path).await.ring.signing_keys().len();
    let url = StoreUrl::Sqlite(path.clone());
    let error = open(&url, &MasterSecret::generate([2; 32]).0, NOW).await.unwrap_err();
    assert!(matches!(error, OpenError::KeyRing(KeyRingError::OtherSecret { .. })), "{error}");
    assert!(error.to_string().contains("the secret file is not the one this store was made with"));
    assert_eq!(open_at(&path).await.ring.signing_keys().len(), kids);
}

#[tokio::test]
async fn files_that_are_not_ours_are_refused_and_stay_as_they_are() {
    let folder = TestFolder::new();
    let path = folder.file("store.db");
    drop(open_at(&path).await);
    Connection::open(&path).unwrap().pragma_update(None, "user_version", VERSION + 1).unwrap();
    let error = SqliteStore::open(&path).await.unwrap_err();
    assert!(
        matches!(error, SqliteError::Newer { found, known: VERSION, .. } if found == VERSION + 1),
        "{error}"
    );
    assert!(error.to_string().contains("later version") && error.to_string().contains("store.db"), "{error}");

    let path = folder.file("other.db");
    let other = Connection::open(&path).unwrap();
    other.execute_batch("CREATE TABLE bookmarks (url TEXT)").unwrap();
    drop(other);
    let before = fs::read(&path).unwrap();
    let error = SqliteStore::open(&path).await.unwrap_err();
    assert!(matches!(error, SqliteError::Foreign { .. }), "{error}");
    assert_eq!(fs::read(&path).unwrap(), before);

    let path = folder.file("notes.txt");
    fs::write(&path, "not a database at all, but long enough to be one".repeat(40)).unwrap();
    let error = SqliteStore::open(&path).await.unwrap_err();
    assert!(matches!(error, SqliteError::Open { .. }) && error.to_string().contains("notes.txt"), "{error}");

    let path = folder.file("no/such/folder.db");
    let error = SqliteStore::open(&path).await.unwrap_err();
    assert!(matches!(error, SqliteError::Create { .. }), "{error}");
}

#[tokio::test]
async fn a_session_that_does_not_open_is_reported_and_stays() {
    let folder = TestFolder::new();
    let path = folder.file("store.db");
    let store = open_at(&path).await;
    let record = session([1; 32]).unwrap();
    store.sessions.insert(&record).await.unwrap();
    let other = Connection::open(&path).unwrap();
    other.execute("UPDATE sessions SET sealed = zeroblob(100)", []).unwrap();
    for error in [
        store.sessions.load(&record.key).await.unwrap_err(),
        store.sessions.lease(&record.key, NOW).await.unwrap_err(),
        store.sessions.remove(&record.key).await.unwrap_err(),
    ] {
        let text = error.to_string();
        assert!(text.contains("store.db") && text.contains("does not open"), "{text}");
    }
    let rows: i64 = other
        .query_row("SELECT count(*) FROM sessions WHERE lease_until IS NULL AND fence = 0", [], |row| {
            row.get(0)
        })
        .unwrap();
    assert_eq!(rows, 1, "it is there, and no lease of it was taken");
}

#[tokio::test]
async fn a_sealed_session_opens_under_its_own_name_only() {
    let folder = TestFolder::new();
    let path = folder.file("store.db");
    let store = open_at(&path).await;
    let (alice, mallory) = (session([1; 32]).unwrap(), session([2; 32]).unwrap());
    store.sessions.insert(&alice).await.unwrap();
    store.sessions.insert(&mallory).await.unwrap();
    Connection::open(&path)
        .unwrap()
        .execute(
            "UPDATE sessions SET sealed = (SELECT sealed FROM sessions WHERE did = ?) WHERE did = ?",
            [alice.key.did().as_str(), mallory.key.did().as_str()],
        )
        .unwrap();
    assert!(store.sessions.load(&mallory.key).await.is_err());
    assert!(store.sessions.load(&alice.key).await.unwrap().is_some());
}

#[tokio::test]
async fn beyond_the_queue_who_asks_is_told_at_once() {
    let folder = TestFolder::new();
    let writer = Writer::start(&folder.file("store.db"), BATCH).await.unwrap();
    let (started, has_started) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();
    let blocked = writer
        .ask(move |_| {
            started.send(()).unwrap();
            released.recv().unwrap();
            Ok(())
        })
        .unwrap();
    has_started.recv().unwrap();
    let waiting: Vec<_> = (0..QUEUE).map(|n| writer.ask(move |_| Ok(n)).unwrap()).collect();
    let error = writer.ask(|_| Ok(())).unwrap_err().to_string();
    assert!(error.contains("too much is waiting") && error.contains("store.db"), "{error}");
    release.send(()).unwrap();
    blocked.await.unwrap().unwrap();
    for (n, waiting) in waiting.into_iter().enumerate() {
        assert_eq!(waiting.await.unwrap().unwrap(), n);
    }
}

#[tokio::test]
async fn an_act_that_fails_leaves_nothing_behind() {
    let folder = TestFolder::new();
    let store = SqliteStore::open(&folder.file("store.db")).await.unwrap();
    let failed = store.writer.write(|connection| {
        connection.execute("INSERT INTO flows VALUES (x'01', x'02', x'03', 4)", [])?;
        connection.execute("INSERT INTO nowhere VALUES (1)", [])
    });
    assert!(failed.await.unwrap_err().to_string().contains("store.db"));
    let rows = store.writer.read(|connection| {
        connection.query_row("SELECT count(*) FROM flows", [], |row| row.get::<_, i64>(0))
    });
    assert_eq!(rows.await.unwrap(), 0);
}

#[tokio::test]
async fn a_backup_is_whole_and_is_made_beside_whoever_writes() {
    let folder = TestFolder::new();
    let (path, copy) = (folder.file("store.db"), folder.file("copy.db"));
    let store = open_at(&path).await;
    store.web_sessions.put(web(1)).await.unwrap();
    let sqlite = SqliteStore::open(&path).await.unwrap();
    let release = held_up(&sqlite.writer);
    store.housekeeping.back_up(&copy).await.unwrap();
    release.send(()).unwrap();
    store.web_sessions.put(web(2)).await.unwrap();
    let again = store.housekeeping.back_up(&copy).await.unwrap_err().to_string();
    assert!(again.contains("copy.db"), "a file that is there is not written over: {again}");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(fs::metadata(&copy).unwrap().permissions().mode() & 0o777, 0o600);
    }
    // It opens with the same secret, and has what was there when it was made.
    let restored = open_at(&copy).await;
    assert_eq!(restored.ring.signing_keys()[0].kid, store.ring.signing_keys()[0].kid);
    assert_eq!(restored.web_sessions.load(web(1).id, NOW).await.unwrap(), Some(web(1)));
    assert_eq!(restored.web_sessions.load(web(2).id, NOW).await.unwrap(), None);
    assert!(restored.housekeeping.integrity().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_file_that_was_damaged_is_found_out() {
    let folder = TestFolder::new();
    let path = folder.file("store.db");
    let store = open_at(&path).await;
    for n in 0..200 {
        store.web_sessions.put(web(n)).await.unwrap();
    }
    assert!(store.housekeeping.integrity().await.unwrap().is_empty());
    drop(store);
    // A row of a table that its index does not know.
    let connection = Connection::open(&path).unwrap();
    let writable = "PRAGMA writable_schema = ON;
         UPDATE sqlite_schema SET sql = 'CREATE INDEX web_sessions_by_expiry ON web_sessions (created_at)'
         WHERE name = 'web_sessions_by_expiry';";
    connection.execute_batch(writable).unwrap();
    drop(connection);
    let damaged = SqliteStore::open(&path).await.unwrap();
    let found = damaged.integrity().await.unwrap();
    assert!(found.iter().any(|line| line.contains("web_sessions_by_expiry")), "{found:?}");
}

/// Holds the writer up until it is released, so that what is asked for meanwhile waits together.
fn held_up(writer: &Writer) -> mpsc::Sender<()> {
    let (started, has_started) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();
    drop(writer.ask(move |_| {
        started.send(()).unwrap();
        released.recv().unwrap();
        Ok(())
    }));
    has_started.recv().unwrap();
    release
}

#[tokio::test]
async fn acts_that_wait_together_are_committed_together_and_fail_alone() {
    let folder = TestFolder::new();
    let path = folder.file("store.db");
    for (batch, commits) in [(BATCH, 1), (1, 9)] {
        let store = SqliteStore::open_with(&path, batch).await.unwrap();
        let release = held_up(&store.writer);
        let waiting: Vec<_> = (0..10_u8)
            .map(|n| {
                let key = vec![n; 31].into_iter().chain([batch as u8]).collect::<Vec<_>>();
                let act = move |connection: &Connection| {
                    connection.execute("INSERT INTO flows VALUES (?, x'02', x'03', 4)", [&key])?;
                    // The fifth fails after it has changed something.
                    if n == 4 { connection.execute("INSERT INTO nowhere VALUES (1)", []) } else { Ok(1) }
                };
                store.writer.ask(act).unwrap()
            })
            .collect();
        // Every commit that changes something makes the log longer, and says so in the file that is its index: what another connection
        // sees changes as often.
        let other = Connection::open(&path).unwrap();
        let seen = || other.query_row("SELECT count(*) FROM flows", [], |row| row.get::<_, i64>(0)).unwrap();
        let before = seen();
        release.send(()).unwrap();
        let mut states = std::collections::BTreeSet::from([before]);
        for (n, is_done) in waiting.into_iter().enumerate() {
            let outcome = is_done.await.unwrap();
            assert_eq!(outcome.is_ok(), n != 4, "{n}: {outcome:?}");
            states.insert(seen());
        }
        assert_eq!(seen(), before + 9);
        // Whoever is answered finds it there; with one commit nothing in between was ever to be seen.
        assert!(states.len() <= 1 + commits, "{states:?}");
        if batch > 1 {
            assert_eq!(states, std::collections::BTreeSet::from([before, before + 9]));
        }
    }
}

#[tokio::test]
async fn readers_do_not_wait_for_whoever_writes_and_see_what_was_answered() {
    let folder = TestFolder::new();
    let store = SqliteStore::open(&folder.file("store.db")).await.unwrap();
    store
        .writer
        .write(|connection| {
            connection.execute("INSERT INTO flows VALUES (zeroblob(32), x'02', x'03', 4)", [])
        })
        .await
        .unwrap();
    let release = held_up(&store.writer);
    let asked = store.writer.ask(|connection| connection.execute("DELETE FROM flows", [])).unwrap();
    let count = |connection: &Connection| {
        connection.query_row("SELECT count(*) FROM flows", [], |row| row.get::<_, i64>(0))
    };
    for _ in 0..4 {
        assert_eq!(store.writer.read(count).await.unwrap(), 1, "while the writer is held up");
    }
    release.send(()).unwrap();
    asked.await.unwrap().unwrap();
    for _ in 0..4 {
        assert_eq!(store.writer.read(count).await.unwrap(), 0);
    }
    let written = store.writer.read(|connection| connection.execute("DELETE FROM flows", []));
    assert!(written.await.unwrap_err().to_string().contains("readonly"), "a reader changes nothing");
}

#[tokio::test]
async fn what_was_asked_for_is_done_though_nobody_waits() {
    let folder = TestFolder::new();
    let path = folder.file("store.db");
    let writer = Writer::start(&path, BATCH).await.unwrap();
    drop(writer.ask(|connection| {
        connection.execute("INSERT INTO flows VALUES (zeroblob(32), x'02', x'03', 4)", [])
    }));
    drop(writer);
    let rows: i64 = Connection::open(&path)
        .unwrap()
        .query_row("SELECT count(*) FROM flows", [], |row| row.get(0))
        .unwrap();
    assert_eq!(rows, 1);
}

#[tokio::test]
async fn commits_are_as_durable_as_sqlite_makes_them() {
    let folder = TestFolder::new();
    let store = SqliteStore::open(&folder.file("store.db")).await.unwrap();
    for (pragma, expected) in [("synchronous", 2), ("foreign_keys", 1), ("busy_timeout", 5000)] {
        let value = store
            .writer
            .write(move |connection| connection.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0)));
        assert_eq!(value.await.unwrap(), expected, "{pragma}");
    }
    let mode = store.writer.read(|connection| {
        connection.pragma_query_value(None, "journal_mode", |row| row.get::<_, String>(0))
    });
    assert_eq!(mode.await.unwrap(), "wal");
}

#[tokio::test]
async fn a_store_that_a_later_version_has_changed_is_not_ready() {
    let folder = TestFolder::new();
    let path = folder.file("store.db");
    let store = SqliteStore::open(&path).await.unwrap();
    store.ping().await.unwrap();
    Connection::open(&path).unwrap().pragma_update(None, "user_version", VERSION + 1).unwrap();
    assert!(store.ping().await.unwrap_err().to_string().contains("another version"));
}

#[tokio::test]
async fn rows_that_a_later_version_wrote_are_reported() {
    let folder = TestFolder::new();
    let path = folder.file("store.db");
    let store = SqliteStore::open(&path).await.unwrap();
    WebSessionStore::put(&store, web(1)).await.unwrap();
    Connection::open(&path).unwrap().execute("UPDATE web_sessions SET provider = 'A/B'", []).unwrap();
    let error = WebSessionStore::load(&store, web(1).id, NOW).await.unwrap_err();
    assert!(error.to_string().contains("cannot be read"), "{error}");
}

#[tokio::test]
async fn times_beyond_what_sqlite_counts_are_kept_as_the_last() {
    let folder = TestFolder::new();
    let store = SqliteStore::open(&folder.file("store.db")).await.unwrap();
    let mut web = web(1);
    web.expires_at = UnixTime::from_secs(u64::MAX);
    WebSessionStore::put(&store, web.clone()).await.unwrap();
    let loaded = WebSessionStore::load(&store, web.id, NOW).await.unwrap().unwrap();
    assert_eq!(loaded.expires_at, UnixTime::from_secs(i64::MAX as u64));
    let key = RingKey::generate(KeyPurpose::Seal, [1; 32], UnixTime::from_secs(u64::MAX));
    let row = key.seal(&master(), [1; 24]).unwrap();
    store.add(row).await.unwrap();
    assert_eq!(store.list().await.unwrap()[0].created_at, UnixTime::from_secs(i64::MAX as u64));
}
