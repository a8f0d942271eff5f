//! Files of the versions before this one.

use vestibule_atproto_identity::login::{Leased, Replaced};

use super::*;
use crate::housekeeping::UNUSED_AFTER;
use crate::key_ring::Retired;
use crate::sqlite::schema::{APPLICATION_ID, MIGRATIONS};

/// Makes a file of form 1 out of one of this version: what it holds is what was in the columns of that form.
fn as_form_1(now: &Path, then: &Path) {
    let old = Connection::open(then).unwrap();
    old.execute_batch(MIGRATIONS[0]).unwrap();
    old.pragma_update(None, "application_id", APPLICATION_ID).unwrap();
    old.pragma_update(None, "user_version", 1).unwrap();
    old.execute("ATTACH ? AS now", [now.to_str().unwrap()]).unwrap();
    old.execute_batch(
        "INSERT INTO flows SELECT * FROM now.flows;
         INSERT INTO sessions SELECT did, id, generation, sealed FROM now.sessions;
         INSERT INTO web_sessions SELECT * FROM now.web_sessions;
         INSERT INTO keys SELECT * FROM now.keys;",
    )
    .unwrap();
}

fn text(path: &Path, sql: &str) -> Option<String> {
    Connection::open(path).unwrap().query_row(sql, [], |row| row.get(0)).unwrap()
}

#[tokio::test]
async fn a_file_of_the_first_form_is_taken_up_with_all_that_is_in_it() {
    let folder = TestFolder::new();
    let (now, path) = (folder.file("now.db"), folder.file("store.db"));
    let (mut used, lost) = (session([1; 32]).unwrap(), session([2; 32]).unwrap());
    let kid = used.client_key.as_ref().unwrap().kid.clone();
    let store = open_at(&now).await;
    let flow = StoredFlow::new(FlowKey::from_octets([1; 32]), [2; 32], vec![3], NOW.after(UNUSED_AFTER));
    store.flows.put(flow.clone()).await.unwrap();
    for session in [&used, &lost] {
        store.sessions.insert(session).await.unwrap();
    }
    let mut web = web(1);
    web.session = Some(used.key.clone());
    web.expires_at = NOW.after(2 * UNUSED_AFTER);
    store.web_sessions.put(web.clone()).await.unwrap();
    let old_key = store.ring.signing_keys().remove(0).kid;
    rotate_ring_key(&*store.key_ring, &master(), KeyPurpose::Sign, [2; 32], NOW).await.unwrap();
    drop(store);
    as_form_1(&now, &path);

    let store = open_at(&path).await;
    assert_eq!(
        text(&path, "SELECT CAST(user_version AS TEXT) FROM pragma_user_version").as_deref(),
        Some("4")
    );
    let identities = store.accounts.identities(&web.subject).await.unwrap();
    assert_eq!(identities.len(), 1, "who was signed in has an account");
    assert_eq!(identities[0].key.uid, web.subject);
    store.housekeeping.ping().await.unwrap();
    assert_eq!(
        text(&path, "SELECT CAST(rows AS TEXT) FROM counts WHERE name = 'flows'").as_deref(),
        Some("1")
    );
    assert_eq!(store.flows.take(flow.key, flow.binding).await.unwrap(), TakenFlow::Taken(flow.sealed));
    assert_eq!(
        text(&path, "SELECT CAST(rows AS TEXT) FROM counts WHERE name = 'flows'").as_deref(),
        Some("0")
    );
    assert_eq!(store.web_sessions.load(web.id, NOW).await.unwrap(), Some(web));
    let loaded = store.sessions.load(&lost.key).await.unwrap().unwrap();
    assert_eq!(loaded.to_octets().unwrap(), lost.to_octets().unwrap());

    // Which key these sessions need is not known: they may need any.
    let uses = store.key_ring.sessions_by_client_key().await.unwrap();
    assert_eq!((uses.by_key.len(), uses.unknown, uses.of("any")), (0, 2, 2));
    assert_eq!(store.key_ring.retire(&old_key).await.unwrap(), Retired::Needed(2));

    // They are leased and replaced like others, and from then on it is known.
    let Leased::Taken(lease, leased) = store.sessions.lease(&used.key, NOW).await.unwrap() else {
        panic!("nobody else has it");
    };
    assert_eq!((lease.fence, leased.generation), (1, 0));
    used.generation = 1;
    assert_eq!(store.sessions.replace(&used).await.unwrap(), Replaced::Replaced);
    let uses = store.key_ring.sessions_by_client_key().await.unwrap();
    assert_eq!((uses.of(&kid), uses.unknown), (2, 1));

    // They are as old as the first sweep that meets them takes them to be.
    let in_an_hour = NOW.after(UNUSED_AFTER);
    assert!(store.housekeeping.sweep(NOW).await.unwrap().unused.is_empty());
    assert!(
        store.housekeeping.sweep(in_an_hour.before(Duration::from_secs(1))).await.unwrap().unused.is_empty()
    );
    let unused = store.housekeeping.sweep(in_an_hour).await.unwrap().unused;
    assert_eq!(unused.iter().collect::<Vec<_>>(), [&lost.key]);
    store.sessions.remove(&lost.key).await.unwrap();
    assert_eq!(store.key_ring.retire(&old_key).await.unwrap(), Retired::Retired);
}

#[tokio::test]
async fn what_a_process_of_the_version_before_writes_meanwhile_is_taken_up_too() {
    let folder = TestFolder::new();
    let path = folder.file("store.db");
    let store = open_at(&path).await;
    let record = session([1; 32]).unwrap();
    store.sessions.insert(&record).await.unwrap();
    // As that version writes it.
    let other = Connection::open(&path).unwrap();
    other
        .execute_batch(
            "INSERT INTO sessions (did, id, generation, sealed)
             SELECT did, 'AAAAAAAAAAAAAAAAAAAAAA', generation, sealed FROM sessions;
             INSERT INTO flows (key, binding, sealed, expires_at) VALUES (zeroblob(32), zeroblob(32), x'01', 1);",
        )
        .unwrap();
    assert_eq!(
        text(&path, "SELECT CAST(rows AS TEXT) FROM counts WHERE name = 'flows'").as_deref(),
        Some("1")
    );
    store.housekeeping.sweep(NOW).await.unwrap();
    assert_eq!(
        text(&path, "SELECT CAST(rows AS TEXT) FROM counts WHERE name = 'flows'").as_deref(),
        Some("0")
    );
    let unused = store.housekeeping.sweep(NOW.after(UNUSED_AFTER)).await.unwrap().unused;
    assert_eq!(unused.len(), 2);
}

#[tokio::test]
async fn many_sessions_of_the_first_form_are_dated_a_thousand_at_a_time() {
    let folder = TestFolder::new();
    let path = folder.file("store.db");
    let store = SqliteStore::open(&path).await.unwrap();
    let other = Connection::open(&path).unwrap();
    let sql = "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 1000)
               INSERT INTO sessions (did, id, generation, sealed) SELECT 'did:web:a.example', i, 0, x'01' FROM n";
    other.execute(sql, []).unwrap();
    assert!(store.sweep(NOW).await.unwrap().more);
    assert!(!store.sweep(NOW).await.unwrap().more);
    assert_eq!(
        text(&path, "SELECT CAST(count(*) AS TEXT) FROM sessions WHERE created_at IS NULL").as_deref(),
        Some("0")
    );
}
