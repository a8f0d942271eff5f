//! The right to refresh a session.

use std::sync::Arc;
use std::time::Duration;

use vestibule_atproto_identity::login::{Lease, Leased, Replaced, SessionRecord, SessionStore};
use vestibule_oauth_core::{Seed, UnixTime};

use super::{Broken, NOW, RACERS, count, done, hold, is, race, refreshed, session};

/// Takes the lease, which must be to be had, and looks at the session that comes with it.
async fn taken(
    rule: &'static str,
    store: &dyn SessionStore,
    expected: &SessionRecord,
    now: UnixTime,
) -> Result<Lease, Broken> {
    match done(rule, store.lease(&expected.key, now).await)? {
        Leased::Taken(lease, session) => {
            is(rule, Some(&session), Some(expected))?;
            hold(rule, &lease.key, &&expected.key)?;
            Ok(lease)
        }
        Leased::Held => Err(Broken::new(rule, "it is held")),
        Leased::Missing => Err(Broken::new(rule, "the session is missing")),
    }
}

async fn held(
    rule: &'static str,
    store: &dyn SessionStore,
    session: &SessionRecord,
    now: UnixTime,
) -> Result<(), Broken> {
    match done(rule, store.lease(&session.key, now).await)? {
        Leased::Held => Ok(()),
        other => Err(Broken::new(rule, format!("{other:?} instead of Held"))),
    }
}

fn higher(rule: &'static str, later: &Lease, earlier: &Lease) -> Result<(), Broken> {
    hold(rule, later.fence > earlier.fence, &true)
}

/// Holds a store of sessions at people's servers to its contract: one node at a time refreshes a session.
///
/// # Errors
/// [`Broken`]: the first rule that the store does not keep.
pub async fn leases(store: Arc<dyn SessionStore>, entropy: [u8; 32]) -> Result<(), Broken> {
    let seed = Seed::from_entropy(entropy);
    let first = session(seed.derive("first"))?;
    let second = refreshed(&first);
    let later = |secs| NOW.after(Duration::from_secs(secs));
    let length = Lease::LENGTH.as_secs();

    let rule = "of a session that is not there, no lease is to be had";
    hold(rule, matches!(done(rule, store.lease(&first.key, NOW).await)?, Leased::Missing), &true)?;

    let rule = "of many that ask for a lease at once, one gets it, with the session as it is";
    done(rule, store.insert(&first).await)?;
    let key = Arc::new(first.key.clone());
    let outcomes = race(rule, |_| {
        let (store, key) = (store.clone(), key.clone());
        tokio::spawn(async move { store.lease(&key, NOW).await })
    })
    .await?;
    hold(rule, count(&outcomes, |outcome| matches!(outcome, Leased::Held)), &(RACERS - 1))?;
    let winner = outcomes.into_iter().find_map(|outcome| match outcome {
        Leased::Taken(lease, session) => Some((lease, session)),
        _ => None,
    });
    let Some((raced, record)) = winner else { return Err(Broken::new(rule, "nobody got it")) };
    is(rule, Some(&record), Some(&first))?;

    let rule = "a lease that ran out can be taken, under a higher number";
    held(rule, &*store, &first, later(length - 1)).await?;
    let next = taken(rule, &*store, &first, later(length)).await?;
    higher(rule, &next, &raced)?;
    held(rule, &*store, &first, later(length)).await?;

    let rule = "a lease that another has taken since is not given back";
    done(rule, store.release(&raced).await)?;
    held(rule, &*store, &first, later(length)).await?;

    let rule = "a lease that was given back can be taken, under a higher number";
    done(rule, store.release(&next).await)?;
    let third = taken(rule, &*store, &first, later(length)).await?;
    higher(rule, &third, &next)?;
    done(rule, store.release(&next).await)?;
    held(rule, &*store, &first, later(length)).await?;

    let rule = "a lease does not hinder those who read";
    is(rule, done(rule, store.load(&first.key).await)?.as_ref(), Some(&first))?;

    let rule = "who replaces nothing gives back nothing";
    hold(rule, done(rule, store.replace(&refreshed(&second)).await)?, &Replaced::Superseded)?;
    held(rule, &*store, &first, later(length)).await?;

    let rule = "who replaces a session gives back its lease, whoever has it, and the next reads the new one";
    hold(rule, done(rule, store.replace(&second).await)?, &Replaced::Replaced)?;
    let fourth = taken(rule, &*store, &second, later(length)).await?;
    higher(rule, &fourth, &third)?;
    done(rule, store.release(&third).await)?;
    held(rule, &*store, &second, later(length)).await?;

    let rule = "a clock that was set back an hour does not lock a session for an hour";
    done(rule, store.release(&fourth).await)?;
    let ahead = taken(rule, &*store, &second, later(60 * 60)).await?;
    let back = taken(rule, &*store, &second, NOW).await?;
    higher(rule, &back, &ahead)?;
    held(rule, &*store, &second, NOW).await?;

    let rule = "a session that is leased can end, and stays ended";
    is(rule, done(rule, store.remove(&first.key).await)?.as_ref(), Some(&second))?;
    hold(rule, matches!(done(rule, store.lease(&first.key, NOW).await)?, Leased::Missing), &true)?;
    done(rule, store.release(&back).await)?;
    hold(rule, done(rule, store.replace(&refreshed(&second)).await)?, &Replaced::Missing)?;
    is(rule, done(rule, store.load(&first.key).await)?.as_ref(), None)
}
