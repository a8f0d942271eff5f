//! Several that have one file open, as several processes do.

use vestibule_atproto_identity::login::{Leased, Replaced};

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_that_open_a_new_file_at_once_end_with_one_ring() {
    let folder = TestFolder::new();
    let path = folder.file("store.db");
    let opening: Vec<_> = (0..8)
        .map(|_| {
            let path = path.clone();
            tokio::spawn(async move { open_at(&path).await })
        })
        .collect();
    let mut rings = Vec::new();
    for opening in opening {
        let store = opening.await.unwrap();
        let ids = KeyPurpose::ALL
            .map(|purpose| store.ring.keys(purpose).map(|key| key.id().to_owned()).collect::<Vec<_>>());
        rings.push(ids);
    }
    assert!(rings.iter().all(|ids| *ids == rings[0] && ids.iter().all(|ids| ids.len() == 1)), "{rings:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_that_have_one_file_open_share_it() {
    let folder = TestFolder::new();
    let path = folder.file("store.db");
    let (one, two) = (open_at(&path).await, open_at(&path).await);
    let record = session([1; 32]).unwrap();
    one.sessions.insert(&record).await.unwrap();

    let key = |n: u8| FlowKey::from_octets([n; 32]);
    for n in 0..50 {
        one.flows.put(StoredFlow::new(key(n), [0; 32], vec![n], NOW)).await.unwrap();
    }
    let racers: Vec<_> = (0..100_u8)
        .map(|n| {
            let flows = if n % 2 == 0 { one.flows.clone() } else { two.flows.clone() };
            tokio::spawn(async move { flows.take(key(n / 2), [0; 32]).await.unwrap() })
        })
        .collect();
    let mut taken = Vec::new();
    for racer in racers {
        if let TakenFlow::Taken(sealed) = racer.await.unwrap() {
            taken.push(sealed[0]);
        }
    }
    taken.sort_unstable();
    assert_eq!(taken, (0..50).collect::<Vec<u8>>());

    assert!(two.sessions.remove(&record.key).await.unwrap().is_some());
    assert!(one.sessions.load(&record.key).await.unwrap().is_none());
}

#[tokio::test]
async fn what_another_process_sealed_under_a_newer_key_opens() {
    let folder = TestFolder::new();
    let path = folder.file("store.db");
    let old = open_at(&path).await;
    rotate_ring_key(&*old.key_ring, &master(), KeyPurpose::Seal, [2; 32], NOW).await.unwrap();
    let new = open_later_at(&path).await;
    for n in [1, 2] {
        new.sessions.insert(&session([n; 32]).unwrap()).await.unwrap();
    }
    let old_again = SqliteSessions::new(SqliteStore::open(&path).await.unwrap(), master(), &old.ring, NOW);
    assert!(old.sessions.load(&session([1; 32]).unwrap().key).await.unwrap().is_some());
    assert!(old_again.remove(&session([2; 32]).unwrap().key).await.unwrap().is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r99_of_two_that_have_one_file_open_one_gets_the_lease() {
    let folder = TestFolder::new();
    let path = folder.file("store.db");
    let (one, two) = (open_at(&path).await, open_at(&path).await);
    let mut record = session([1; 32]).unwrap();
    one.sessions.insert(&record).await.unwrap();
    let mut last = 0;
    for round in 0..5 {
        let racers: Vec<_> = (0..20)
            .map(|n| {
                let sessions = if n % 2 == 0 { one.sessions.clone() } else { two.sessions.clone() };
                let key = record.key.clone();
                tokio::spawn(async move { sessions.lease(&key, NOW).await.unwrap() })
            })
            .collect();
        let mut taken = Vec::new();
        for racer in racers {
            match racer.await.unwrap() {
                Leased::Taken(lease, seen) => taken.push((lease, seen.generation)),
                Leased::Held => {}
                Leased::Missing => panic!("it has not ended"),
            }
        }
        let [(lease, generation)] = &taken[..] else { panic!("{taken:?}") };
        assert_eq!(*generation, round, "who gets the lease sees what the last one stored");
        assert!(lease.fence > last);
        last = lease.fence;
        record.generation += 1;
        // Whichever of them does it: a lease belongs to the session, not to the process that took it.
        let by = if round % 2 == 0 { &one } else { &two };
        assert_eq!(by.sessions.replace(&record).await.unwrap(), Replaced::Replaced);
    }
}

#[tokio::test]
async fn a_lease_is_there_when_the_file_is_opened_again() {
    let folder = TestFolder::new();
    let path = folder.file("store.db");
    let record = session([1; 32]).unwrap();
    let store = open_at(&path).await;
    store.sessions.insert(&record).await.unwrap();
    assert!(matches!(store.sessions.lease(&record.key, NOW).await.unwrap(), Leased::Taken(..)));
    drop(store);
    let store = open_at(&path).await;
    assert!(matches!(store.sessions.lease(&record.key, NOW).await.unwrap(), Leased::Held));
}

#[tokio::test]
async fn a_lease_of_what_another_process_sealed_under_a_newer_key_is_to_be_had() {
    let folder = TestFolder::new();
    let path = folder.file("store.db");
    let old = open_at(&path).await;
    rotate_ring_key(&*old.key_ring, &master(), KeyPurpose::Seal, [2; 32], NOW).await.unwrap();
    let record = session([1; 32]).unwrap();
    open_later_at(&path).await.sessions.insert(&record).await.unwrap();
    let Leased::Taken(lease, _) = old.sessions.lease(&record.key, NOW).await.unwrap() else {
        panic!("nobody else has it");
    };
    assert_eq!(lease.fence, 1);
}

#[tokio::test]
async fn a_server_that_runs_notices_new_keys_and_seals_with_them() {
    let folder = TestFolder::new();
    let path = folder.file("store.db");
    let running = open_at(&path).await;
    assert!(running.ring_watch.changed(NOW).await.unwrap().is_none());
    let first = running.ring.signing_keys().remove(0).kid;

    let command = open_at(&path).await;
    assert!(running.ring_watch.changed(NOW).await.unwrap().is_none(), "who only looks changes nothing");
    let kid = rotate_ring_key(&*command.key_ring, &master(), KeyPurpose::Sign, [2; 32], NOW).await.unwrap();
    rotate_ring_key(&*command.key_ring, &master(), KeyPurpose::Seal, [3; 32], NOW).await.unwrap();
    let ring = running.ring_watch.changed(NOW).await.unwrap().unwrap();
    let kids: Vec<_> = ring.signing_keys().into_iter().map(|key| key.kid).collect();
    assert_eq!(kids, [kid.clone(), first.clone()]);
    assert!(running.ring_watch.changed(NOW).await.unwrap().is_none());

    // Another node may not know the new key yet, so nothing is sealed under it for a while.
    let record = session([1; 32]).unwrap();
    running.sessions.insert(&record).await.unwrap();
    let row = || -> Vec<u8> {
        let connection = Connection::open(&path).unwrap();
        connection.query_row("SELECT sealed FROM sessions", [], |row| row.get(0)).unwrap()
    };
    let later = NOW.after(TAKEN_UP_WITHIN);
    let newest = ring.seal_keys(later).for_purpose("session");
    assert!(newest.is_outdated(&row()));
    assert!(running.ring_watch.changed(later.before(Duration::from_secs(1))).await.unwrap().is_none());
    assert!(running.ring_watch.changed(later).await.unwrap().is_some());
    assert!(running.ring_watch.changed(later).await.unwrap().is_none());
    running.sessions.remove(&record.key).await.unwrap();
    running.sessions.insert(&record).await.unwrap();
    assert!(!newest.is_outdated(&row()));

    command.key_ring.retire(&first).await.unwrap();
    let ring = running.ring_watch.changed(later).await.unwrap().unwrap();
    assert_eq!(ring.signing_keys().into_iter().map(|key| key.kid).collect::<Vec<_>>(), [kid]);
}
