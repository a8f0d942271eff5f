//! Accounts.

use std::collections::{BTreeMap, BTreeSet};

use vestibule_oauth_core::{BoxFuture, StoreUnavailable};

use super::issued::ready;
use super::{MemoryStore, full, lock};
use crate::accounts::{AccountStore, Identity, IdentityKey, Linked, Unlinked};
use crate::limits::{self, IDENTITIES_PER_ACCOUNT};

/// Identities by their keys, and whose they are.
#[derive(Default, Debug)]
pub(super) struct Accounts {
    by_key: BTreeMap<IdentityKey, (String, Identity)>,
    by_subject: BTreeMap<String, BTreeSet<IdentityKey>>,
}

impl Accounts {
    fn insert(&mut self, subject: String, identity: Identity) {
        self.by_subject.entry(subject.clone()).or_default().insert(identity.key.clone());
        self.by_key.insert(identity.key.clone(), (subject, identity));
    }
}

impl AccountStore for MemoryStore {
    fn sign_in<'a>(
        &'a self,
        identity: Identity,
        subjects: Vec<String>,
    ) -> BoxFuture<'a, Result<String, StoreUnavailable>> {
        if let Err(error) = limits::identity(&identity) {
            return ready(Err(error));
        }
        let mut accounts = lock(&self.accounts);
        if let Some((subject, known)) = accounts.by_key.get_mut(&identity.key) {
            *known = Identity { since: known.since, ..identity };
            return ready(Ok(subject.clone()));
        }
        if accounts.by_key.len() >= self.limits.identities {
            return ready(full("accounts"));
        }
        let free = subjects.into_iter().find(|subject| !accounts.by_subject.contains_key(subject));
        let Some(subject) = free else {
            return ready(Err(StoreUnavailable::new("every name for a new account is taken")));
        };
        accounts.insert(subject.clone(), identity);
        ready(Ok(subject))
    }

    fn link<'a>(
        &'a self,
        subject: &'a str,
        identity: Identity,
    ) -> BoxFuture<'a, Result<Linked, StoreUnavailable>> {
        if let Err(error) = limits::identity(&identity) {
            return ready(Err(error));
        }
        let mut accounts = lock(&self.accounts);
        let Some(theirs) = accounts.by_subject.get(subject) else { return ready(Ok(Linked::NoAccount)) };
        let has_room = theirs.len() < IDENTITIES_PER_ACCOUNT;
        ready(match accounts.by_key.get(&identity.key) {
            Some((owner, _)) if owner == subject => Ok(Linked::Already),
            Some(_) => Ok(Linked::Taken),
            None if !has_room => Ok(Linked::Full),
            None if accounts.by_key.len() >= self.limits.identities => full("accounts"),
            None => {
                accounts.insert(subject.to_owned(), identity);
                Ok(Linked::Linked)
            }
        })
    }

    fn unlink<'a>(
        &'a self,
        subject: &'a str,
        identity: IdentityKey,
    ) -> BoxFuture<'a, Result<Unlinked, StoreUnavailable>> {
        let mut accounts = lock(&self.accounts);
        let outcome = match accounts.by_subject.get_mut(subject) {
            Some(theirs) if !theirs.contains(&identity) => Unlinked::Missing,
            Some(theirs) if theirs.len() == 1 => Unlinked::Last,
            Some(theirs) => {
                theirs.remove(&identity);
                Unlinked::Unlinked
            }
            None => Unlinked::Missing,
        };
        if outcome == Unlinked::Unlinked {
            accounts.by_key.remove(&identity);
        }
        ready(Ok(outcome))
    }

    fn identities<'a>(&'a self, subject: &'a str) -> BoxFuture<'a, Result<Vec<Identity>, StoreUnavailable>> {
        let accounts = lock(&self.accounts);
        let theirs = accounts.by_subject.get(subject).into_iter().flatten();
        let mut identities: Vec<_> =
            theirs.filter_map(|key| accounts.by_key.get(key).map(|(_, identity)| identity.clone())).collect();
        // By key they are in order already.
        identities.sort_by_key(|identity| identity.since);
        ready(Ok(identities))
    }
}
