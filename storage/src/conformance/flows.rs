//! Pending logins.

use std::sync::Arc;

use vestibule_oauth_core::Seed;
use vestibule_strategy::{FlowKey, FlowStore, StoredFlow, TakenFlow};

use super::{Broken, NOW, RACERS, count, done, hold, race, refused};
use crate::limits::FLOW_OCTETS;

/// Holds a store of pending logins to its contract.
///
/// # Errors
/// [`Broken`]: the first rule that the store does not keep.
pub async fn flows(store: Arc<dyn FlowStore>, entropy: [u8; 32]) -> Result<(), Broken> {
    let seed = Seed::from_entropy(entropy);
    let key = |name| FlowKey::from_octets(seed.derive(name));
    let (binding, other) = ([1; 32], [2; 32]);
    let flow = |name, sealed: &[u8]| StoredFlow::new(key(name), binding, sealed.to_vec(), NOW);
    let taken = |sealed: &[u8]| TakenFlow::Taken(sealed.to_vec());

    let rule = "a flow that was never put in is missing";
    hold(rule, done(rule, store.take(key("none"), binding).await)?, &TakenFlow::Missing)?;

    let rule = "a flow is taken out once, as it was put in";
    let every_octet: Vec<u8> = (0..=255).collect();
    done(rule, store.put(flow("once", &every_octet)).await)?;
    hold(rule, done(rule, store.take(key("once"), binding).await)?, &taken(&every_octet))?;
    hold(rule, done(rule, store.take(key("once"), binding).await)?, &TakenFlow::Missing)?;

    let rule = "another browser's binding leaves the flow where it is";
    done(rule, store.put(flow("foreign", b"sealed")).await)?;
    hold(rule, done(rule, store.take(key("foreign"), other).await)?, &TakenFlow::Foreign)?;
    hold(rule, done(rule, store.take(key("foreign"), binding).await)?, &taken(b"sealed"))?;
    hold(rule, done(rule, store.take(key("foreign"), other).await)?, &TakenFlow::Missing)?;

    let rule = "a flow is not put in the place of another";
    done(rule, store.put(flow("twice", b"first")).await)?;
    refused(rule, store.put(flow("twice", b"second")).await)?;
    hold(rule, done(rule, store.take(key("twice"), binding).await)?, &taken(b"first"))?;

    let rule = "a flow of 8 KiB is kept, and a larger one is not";
    let largest = vec![1; FLOW_OCTETS];
    done(rule, store.put(flow("largest", &largest)).await)?;
    hold(rule, done(rule, store.take(key("largest"), binding).await)?, &taken(&largest))?;
    refused(rule, store.put(flow("larger", &vec![1; FLOW_OCTETS + 1])).await)?;
    hold(rule, done(rule, store.take(key("larger"), binding).await)?, &TakenFlow::Missing)?;

    let rule = "of many that take a flow at once, one gets it";
    let raced = key("raced");
    done(rule, store.put(flow("raced", b"sealed")).await)?;
    let outcomes = race(rule, |_| {
        let store = store.clone();
        tokio::spawn(async move { store.take(raced, binding).await })
    })
    .await?;
    hold(rule, count(&outcomes, |outcome| matches!(outcome, TakenFlow::Taken(_))), &1)?;
    hold(rule, count(&outcomes, |outcome| matches!(outcome, TakenFlow::Missing)), &(RACERS - 1))
}
