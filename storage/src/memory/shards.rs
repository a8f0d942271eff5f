//! A map in many parts, each with a lock of its own.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};

use vestibule_token_endpoint::{GrantId, TokenHash};

use super::lock;

/// Entries under the hashes that name them, spread over [`PARTS`] trees by their first octet. A tree grows by a node at a time: no
/// insert ever moves what is there, and so none makes everybody wait.
///
/// The number of entries is bounded, part by part.
#[derive(Debug)]
pub(super) struct Shards<K, V> {
    parts: [Mutex<BTreeMap<K, V>>; PARTS],
    part_limit: usize,
}

/// More than threads that would ever ask at once.
const PARTS: usize = 64;

/// There is no room for one more.
#[derive(Debug)]
pub(super) struct Full;

impl<K: Ord + Spread, V> Shards<K, V> {
    /// A map for up to `limit` entries, whose keys fall evenly on the parts.
    pub(super) fn new(limit: usize) -> Self {
        // A part may be a little fuller than the mean before the whole is full.
        let part_limit = (limit / PARTS).saturating_add(limit / PARTS / 4).max(limit.min(16));
        Self { parts: std::array::from_fn(|_| Mutex::default()), part_limit }
    }

    /// The part where `key` is or would be.
    pub(super) fn part(&self, key: &K) -> MutexGuard<'_, BTreeMap<K, V>> {
        // There are as many parts as there are remainders.
        lock(self.parts.get(usize::from(key.spread()) % PARTS).unwrap_or(&self.parts[0]))
    }

    /// Puts an entry in, in place of one with the same key.
    pub(super) fn insert(&self, key: K, value: V) -> Result<(), Full> {
        let mut part = self.part(&key);
        if part.len() >= self.part_limit && !part.contains_key(&key) {
            return Err(Full);
        }
        part.insert(key, value);
        Ok(())
    }

    pub(super) fn remove(&self, key: &K) -> Option<V> {
        self.part(key).remove(key)
    }

    /// Keeps the entries that this says, one part at a time. It is asked with no lock held, so that it may take one itself.
    pub(super) fn retain_judged(&self, keep: impl Fn(&V) -> bool) -> u64
    where
        K: Clone,
        V: Clone,
    {
        let mut removed = 0;
        for part in &self.parts {
            let all: Vec<(K, V)> =
                lock(part).iter().map(|(key, value)| (key.clone(), value.clone())).collect();
            let gone: Vec<K> =
                all.into_iter().filter(|(_, value)| !keep(value)).map(|(key, _)| key).collect();
            let mut part = lock(part);
            removed += gone.iter().filter(|key| part.remove(key).is_some()).count() as u64;
        }
        removed
    }

    /// Keeps the entries that this says, one part at a time. It must take no lock.
    pub(super) fn retain(&self, mut keep: impl FnMut(&K, &mut V) -> bool) -> u64 {
        let mut removed = 0;
        for part in &self.parts {
            let mut part = lock(part);
            let before = part.len();
            part.retain(|key, value| keep(key, value));
            removed += before.saturating_sub(part.len()) as u64;
        }
        removed
    }
}

/// Falls evenly on 256 values.
pub(super) trait Spread {
    /// An octet that is as good as random.
    fn spread(&self) -> u8;
}

impl Spread for TokenHash {
    fn spread(&self) -> u8 {
        let [first, ..] = *self.as_octets();
        first
    }
}

impl Spread for GrantId {
    fn spread(&self) -> u8 {
        let [first, ..] = *self.as_octets();
        first
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_is_bounded_and_forgets_what_it_is_told() {
        let shards = Shards::new(640);
        let key = |n: u16| {
            let mut octets = [0; 32];
            octets[..2].copy_from_slice(&n.to_be_bytes());
            // Into one part, so that its limit is met.
            octets[0] = 0;
            octets[2] = (n >> 8) as u8;
            TokenHash::from_octets(octets)
        };
        let fitting = (0..100).take_while(|n| shards.insert(key(*n), *n).is_ok()).count();
        assert_eq!(fitting, 16);
        assert!(shards.insert(key(0), 7).is_ok(), "in place of what is there");
        assert_eq!(shards.part(&key(0)).get(&key(0)), Some(&7));
        assert_eq!(shards.retain(|_, value| *value > 8), 9);
        assert_eq!(shards.remove(&key(9)), Some(9));
        assert!(shards.insert(key(50), 50).is_ok());
    }
}
