//! Accounts.

use std::sync::Arc;
use std::time::Duration;

use vestibule_oauth_core::{Seed, base64url};
use vestibule_strategy::InvalidProviderId;

use super::{Broken, NOW, count, done, hold, race, refused};
use crate::accounts::{AccountStore, Identity, IdentityKey, Linked, Unlinked};
use crate::limits::{IDENTITIES_PER_ACCOUNT, IDENTITY_OCTETS};

/// Holds a store of accounts to its contract.
///
/// # Errors
/// [`Broken`]: the first rule that the store does not keep.
pub async fn accounts(store: Arc<dyn AccountStore>, entropy: [u8; 32]) -> Result<(), Broken> {
    let seed = Seed::from_entropy(entropy);
    let name = |what: &str| base64url::encode(seed.derive(what));
    let identity = |what: &str, since: u64| {
        let provider = "sso"
            .parse()
            .map_err(|error: InvalidProviderId| Broken::new("a provider's name is read", error))?;
        let since = NOW.after(Duration::from_secs(since));
        let key = IdentityKey::new(name("realm"), name(what));
        Ok::<_, Broken>(Identity::new(key, provider, Some(what.to_owned()), since))
    };
    let (ada, bob) = (name("ada"), name("bob"));
    let (first, second, third) = (identity("first", 1)?, identity("second", 2)?, identity("third", 3)?);
    let identities = async |rule, subject: &str| done(rule, store.identities(subject).await);

    let rule = "of many that sign in with a new identity at once, all come to one account";
    let outcomes = race(rule, |n| {
        let (store, first, subjects) =
            (store.clone(), first.clone(), vec![name(&n.to_string()), ada.clone()]);
        tokio::spawn(async move { store.sign_in(first, subjects).await })
    })
    .await?;
    let subject = outcomes.first().cloned().unwrap_or_default();
    hold(rule, count(&outcomes, |outcome| *outcome == subject), &outcomes.len())?;
    hold(rule, identities(rule, &subject).await?, &vec![first.clone()])?;

    let rule = "a new account has the first name that is free";
    let taken = vec![subject.clone(), bob.clone()];
    hold(rule, done(rule, store.sign_in(second.clone(), taken.clone()).await)?, &bob)?;
    refused(rule, store.sign_in(third.clone(), taken).await)?;
    hold(rule, identities(rule, &name("nobody")).await?, &vec![])?;

    let rule = "what is shown of an identity is what it is now, and since when it is theirs stays";
    let mut renamed = first.clone();
    renamed.name = None;
    renamed.since = NOW.after(Duration::from_secs(100));
    hold(rule, done(rule, store.sign_in(renamed, vec![ada.clone()]).await)?, &subject)?;
    let mut expected = first.clone();
    expected.name = None;
    hold(rule, identities(rule, &subject).await?, &vec![expected])?;
    done(rule, store.sign_in(first.clone(), vec![]).await)?;

    let rule = "an identity is linked once, to an account that is there, and never taken from another";
    hold(rule, done(rule, store.link(&name("nobody"), third.clone()).await)?, &Linked::NoAccount)?;
    hold(rule, done(rule, store.link(&subject, second.clone()).await)?, &Linked::Taken)?;
    let outcomes = race(rule, |n| {
        let (store, third) = (store.clone(), third.clone());
        let subject = if n % 2 == 0 { subject.clone() } else { bob.clone() };
        tokio::spawn(async move { store.link(&subject, third).await })
    })
    .await?;
    hold(rule, count(&outcomes, |outcome| *outcome == Linked::Linked), &1)?;
    let theirs = identities(rule, &subject).await?;
    let bobs = identities(rule, &bob).await?;
    hold(rule, theirs.len() + bobs.len(), &3)?;
    let (owner, other) = if theirs.contains(&third) { (&subject, &bob) } else { (&bob, &subject) };
    hold(rule, done(rule, store.link(owner, third.clone()).await)?, &Linked::Already)?;
    hold(rule, done(rule, store.sign_in(third.clone(), vec![name("new")]).await)?.as_str(), &owner.as_str())?;

    let rule = "of two that unlink the last two identities of an account, one does not";
    let last_two = identities(rule, owner).await?;
    hold(rule, last_two.iter().map(|identity| identity.since).is_sorted(), &true)?;
    let keys: Vec<_> = last_two.iter().map(|identity| identity.key.clone()).collect();
    let outcomes = race(rule, |n| {
        let (store, owner) = (store.clone(), owner.clone());
        let key = keys.get(n % 2).cloned().unwrap_or_else(|| third.key.clone());
        tokio::spawn(async move { store.unlink(&owner, key).await })
    })
    .await?;
    hold(rule, count(&outcomes, |outcome| *outcome == Unlinked::Unlinked), &1)?;
    let left = identities(rule, owner).await?;
    hold(rule, left.len(), &1)?;

    let rule = "the last identity of an account stays, and an account has its own to unlink only";
    let last = left.first().map_or_else(|| third.key.clone(), |identity| identity.key.clone());
    hold(rule, done(rule, store.unlink(owner, last.clone()).await)?, &Unlinked::Last)?;
    hold(rule, done(rule, store.unlink(other, last.clone()).await)?, &Unlinked::Missing)?;
    hold(rule, done(rule, store.unlink(&name("nobody"), last).await)?, &Unlinked::Missing)?;

    let rule = "an identity that was unlinked is free: it signs in to an account of its own";
    let freed = keys.iter().find(|key| left.iter().all(|kept| kept.key != **key)).cloned();
    let freed = freed.unwrap_or_else(|| third.key.clone());
    let mut again = third.clone();
    again.key = freed;
    hold(rule, done(rule, store.sign_in(again, vec![owner.clone(), name("own")]).await)?, &name("own"))?;

    let rule = "an account has so many identities, and no more";
    let crowd = name("crowd");
    for n in 0..IDENTITIES_PER_ACCOUNT {
        let one = identity(&format!("crowd {n}"), n as u64)?;
        if n == 0 {
            done(rule, store.sign_in(one, vec![crowd.clone()]).await)?;
        } else {
            hold(rule, done(rule, store.link(&crowd, one).await)?, &Linked::Linked)?;
        }
    }
    hold(rule, done(rule, store.link(&crowd, identity("one more", 0)?).await)?, &Linked::Full)?;

    let rule = "an identity of 4 KiB is kept, and a larger one is not";
    let mut large = identity("large", 1)?;
    let others = large.key.realm.len() + large.key.uid.len() + large.provider.as_str().len();
    large.name = Some("a".repeat(IDENTITY_OCTETS - others));
    done(rule, store.sign_in(large.clone(), vec![name("large account")]).await)?;
    large.name = large.name.map(|name| name + "a");
    refused(rule, store.sign_in(large, vec![name("larger account")]).await)
}
