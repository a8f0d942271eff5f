//! Races over HTTP and a crash among them, at the program over its SQLite file. `tests/soak/races.rs` is the same twenty times.

use vestibule_tests::Peers;
use vestibule_tests::oauth::{Live, races};

#[tokio::test]
async fn t29_t36_t50_a_race_has_one_winner() {
    races::race(&Live::start(Peers::shared().await).await).await;
}

#[tokio::test]
async fn t29_t36_what_was_answered_survives_a_crash_and_nothing_is_won_twice() {
    let mut live = Live::start(Peers::shared().await).await;
    races::crash(&mut live, 60).await;
    // And once more over the same file, later in the burst.
    races::crash(&mut live, 150).await;
}
