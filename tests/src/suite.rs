//! The suite that every store passes, in one call.

use std::sync::Arc;

use vestibule_storage::conformance::{self, Broken};
use vestibule_storage::{KeyRingStore, Opened};

/// Holds a store to every contract there is. `no_ring` is a store of the same kind in which no key ring was begun; `round` makes the names of
/// what is put in, so that one store may go through several rounds.
///
/// # Errors
/// [`Broken`]: the first rule that the store does not keep.
pub async fn suite(opened: &Opened, no_ring: Option<Arc<dyn KeyRingStore>>, round: u8) -> Result<(), Broken> {
    let entropy = |part: u8| {
        let mut octets = [round; 32];
        octets[0] = part;
        octets
    };
    let Opened { flows, sessions, web_sessions, key_ring, housekeeping, accounts, clients, issued, .. } =
        opened;
    if let Some(keys) = no_ring {
        conformance::key_ring(keys, entropy(1)).await?;
    }
    conformance::accounts(accounts.clone(), entropy(2)).await?;
    conformance::busy_grant(issued.clone(), housekeeping.clone(), entropy(3)).await?;
    conformance::flows(flows.clone(), entropy(4)).await?;
    conformance::sessions(sessions.clone(), entropy(5)).await?;
    conformance::leases(sessions.clone(), entropy(6)).await?;
    conformance::web_sessions(web_sessions.clone(), entropy(7)).await?;
    conformance::housekeeping(housekeeping.clone(), flows.clone(), web_sessions.clone(), entropy(8)).await?;
    conformance::unused_sessions(housekeeping.clone(), sessions.clone(), web_sessions.clone(), entropy(9))
        .await?;
    conformance::surplus_sessions(housekeeping.clone(), sessions.clone(), entropy(10)).await?;
    conformance::client_keys(key_ring.clone(), sessions.clone(), entropy(11)).await?;
    conformance::issued(issued.clone(), entropy(12)).await?;
    conformance::clients(clients.clone(), issued.clone(), entropy(13)).await
}
