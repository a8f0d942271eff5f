//! The server's own keys. They live in the store, sealed under the master secret, so that every node has the same.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use thiserror::Error;
use vestibule_dpop::{Es256Secret, P256Signer, Signer};
use vestibule_oauth_core::seal::{SealError, SealKeys};
use vestibule_oauth_core::{BoxFuture, Secret, Seed, StoreUnavailable, UnixTime, base64url};

use crate::master_secret::MasterSecret;

/// What a key is for. No key serves two purposes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[non_exhaustive]
pub enum KeyPurpose {
    /// Seals what is kept: cookies in a browser, columns in the store.
    Seal,
    /// Signs with ES256 for this server as a client of others; its public half is published.
    Sign,
    /// Signs access tokens with ES256; its public half is published.
    Token,
    /// Makes the nonces of DPoP proofs.
    Nonce,
    /// Is mixed into the hashes of clients' secrets.
    Pepper,
}

impl KeyPurpose {
    /// Every purpose that this version knows, and so has a key for in every ring.
    pub const ALL: [Self; 5] = [Self::Seal, Self::Sign, Self::Token, Self::Nonce, Self::Pepper];

    /// Whether keys of this purpose sign, and so are named by the thumbprint of what is published of them.
    const fn signs(self) -> bool {
        matches!(self, Self::Sign | Self::Token)
    }

    /// The name, as it is stored.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Seal => "seal",
            Self::Sign => "sign",
            Self::Token => "token",
            Self::Nonce => "nonce",
            Self::Pepper => "pepper",
        }
    }
}

impl FromStr for KeyPurpose {
    type Err = UnknownKeyPurpose;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|purpose| purpose.as_str() == text).ok_or(UnknownKeyPurpose)
    }
}

impl fmt::Display for KeyPurpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The text names no purpose that this version knows; a later one may.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[error("a key's purpose must be seal, sign, token, nonce or pepper")]
#[non_exhaustive]
pub struct UnknownKeyPurpose;

/// One key of the ring.
#[derive(Clone, Debug)]
pub struct RingKey {
    id: String,
    purpose: KeyPurpose,
    secret: Secret<[u8; 32]>,
    created_at: UnixTime,
}

impl RingKey {
    /// Makes a key of 32 fresh octets. A key that signs is called by the thumbprint of its public half, any other by a
    /// random text.
    ///
    /// ```
    /// use vestibule_oauth_core::UnixTime;
    /// use vestibule_storage::{KeyPurpose, RingKey};
    ///
    /// let key = RingKey::generate(KeyPurpose::Sign, [7; 32], UnixTime::from_secs(1_700_000_000));
    /// assert_eq!(key.id().len(), 43);
    /// ```
    pub fn generate(purpose: KeyPurpose, entropy: [u8; 32], now: UnixTime) -> Self {
        // The same octets for two purposes would otherwise be one key with two names, or two keys with one.
        let seed = Seed::from_entropy(entropy).child(purpose.as_str());
        let octets = seed.derive("key");
        let (id, secret) = if purpose.signs() {
            let secret = Es256Secret::from_entropy(octets);
            let public = P256Signer::from_secret(&secret);
            (public.public_key().thumbprint().to_string(), secret.expose())
        } else {
            (base64url::encode(seed.derive_id("id")), Secret::new(octets))
        };
        Self { id, purpose, secret, created_at: now }
    }

    /// Its name: the `kid` of a key that signs.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// What it is for.
    pub const fn purpose(&self) -> KeyPurpose {
        self.purpose
    }

    /// The key itself.
    pub const fn secret(&self) -> &Secret<[u8; 32]> {
        &self.secret
    }

    /// When it was made.
    pub const fn created_at(&self) -> UnixTime {
        self.created_at
    }

    /// The key as a store keeps it. `nonce` is drawn afresh for every call.
    ///
    /// # Errors
    /// None in practice: [`SealError::TooLong`] is for texts a thousand million times as long.
    pub fn seal(&self, master: &MasterSecret, nonce: [u8; 24]) -> Result<SealedKey, SealError> {
        let place = place(self.purpose, &self.id);
        let sealed = master.keys_for(SEAL_PURPOSE).seal(self.secret.expose(), &place, nonce)?;
        Ok(SealedKey::new(self.id.as_str(), self.purpose.as_str(), sealed, self.created_at))
    }
}

/// A key of the ring as a store keeps it, unreadable without the master secret.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct SealedKey {
    /// Its name.
    pub id: String,
    /// The name of its purpose: a later version may have put in one that this version does not know.
    pub purpose: String,
    /// The sealed key.
    pub sealed: Vec<u8>,
    /// When it was made.
    pub created_at: UnixTime,
}

impl SealedKey {
    /// A key as it came out of a store.
    pub fn new(
        id: impl Into<String>,
        purpose: impl Into<String>,
        sealed: Vec<u8>,
        created_at: UnixTime,
    ) -> Self {
        Self { id: id.into(), purpose: purpose.into(), sealed, created_at }
    }

    fn open(&self, purpose: KeyPurpose, master: &MasterSecret) -> Result<RingKey, KeyRingError> {
        let sealed = master.keys_for(SEAL_PURPOSE).open(&self.sealed, &place(purpose, &self.id));
        let octets = sealed.map_err(|_| KeyRingError::OtherSecret { id: self.id.clone() })?;
        let broken = || KeyRingError::Broken { id: self.id.clone() };
        let secret = <[u8; 32]>::try_from(octets.expose().as_slice()).map_err(|_| broken())?;
        if purpose.signs() && Es256Secret::from_bytes(&secret).is_err() {
            return Err(broken());
        }
        Ok(RingKey { id: self.id.clone(), purpose, secret: Secret::new(secret), created_at: self.created_at })
    }
}

const SEAL_PURPOSE: &str = "key ring";

fn place(purpose: KeyPurpose, id: &str) -> Vec<u8> {
    format!("{purpose}|{id}").into_bytes()
}

/// How long a new key is only opened and verified with before anything is sealed or made with it: each node looks at the ring within that
/// time, and nobody meets what they cannot open yet.
pub const TAKEN_UP_WITHIN: Duration = Duration::from_secs(60);

/// The server's keys, opened: at least one for each purpose.
#[derive(Clone, Debug)]
pub struct KeyRing {
    keys: Vec<RingKey>,
}

impl KeyRing {
    /// Opens the keys that a store has, newest first. Keys of purposes that this version does not know are left alone.
    ///
    /// # Errors
    /// [`KeyRingError::OtherSecret`], [`KeyRingError::Broken`], and [`KeyRingError::Missing`] when a purpose has no key.
    pub fn open(rows: &[SealedKey], master: &MasterSecret) -> Result<Self, KeyRingError> {
        let keys = open_all(rows, master)?;
        if let Some(purpose) = missing(&keys).next() {
            return Err(KeyRingError::Missing(purpose));
        }
        Ok(Self { keys })
    }

    /// The keys of one purpose, newest first.
    pub fn keys(&self, purpose: KeyPurpose) -> impl Iterator<Item = &RingKey> {
        of(&self.keys, purpose)
    }

    /// The keys of one purpose, the one in use in front: the newest that every node has had [`TAKEN_UP_WITHIN`] to take up, or the oldest
    /// where all are newer.
    pub fn in_use(&self, purpose: KeyPurpose, now: UnixTime) -> Vec<&RingKey> {
        let mut keys: Vec<_> = self.keys(purpose).collect();
        let known = keys.iter().position(|key| now.since(key.created_at) >= TAKEN_UP_WITHIN);
        let in_use = known.unwrap_or_else(|| keys.len().saturating_sub(1));
        if let Some(first) = keys.get_mut(..=in_use) {
            first.rotate_right(1);
        }
        keys
    }

    /// The keys that seal: the one in use at `now` seals, all open. Take [`SealKeys::for_purpose`] of it before sealing anything.
    pub fn seal_keys(&self, now: UnixTime) -> SealKeys {
        let mut keys = self.in_use(KeyPurpose::Seal, now).into_iter().map(|key| *key.secret.expose());
        // A ring has a key of every purpose.
        let sealing = keys.next().unwrap_or_default();
        SealKeys::new(sealing, keys)
    }

    /// The names of the keys in use at `now` that are no key pairs; those say themselves from when on they sign.
    pub(crate) fn names_in_use(&self, now: UnixTime) -> Vec<String> {
        let shared = [KeyPurpose::Seal, KeyPurpose::Nonce, KeyPurpose::Pepper];
        let in_use =
            shared.iter().filter_map(|purpose| self.in_use(*purpose, now).first().map(|key| key.id.clone()));
        in_use.collect()
    }

    /// The keys that sign for this server as a client of others: the newest signs, all are published.
    pub fn signing_keys(&self) -> Vec<SigningKey> {
        self.es256_keys(KeyPurpose::Sign)
    }

    /// The keys that sign access tokens: the newest signs, all are published.
    pub fn token_keys(&self) -> Vec<SigningKey> {
        self.es256_keys(KeyPurpose::Token)
    }

    fn es256_keys(&self, purpose: KeyPurpose) -> Vec<SigningKey> {
        let load = |key: &RingKey| {
            let secret = Es256Secret::from_bytes(key.secret.expose()).ok()?;
            Some(SigningKey { kid: key.id.clone(), secret, created_at: key.created_at })
        };
        // None is left out: `open` and `generate` let no number in that is out of range.
        self.keys(purpose).filter_map(load).collect()
    }
}

/// A key that signs with ES256.
#[derive(Debug)]
#[non_exhaustive]
pub struct SigningKey {
    /// Its `kid`: the thumbprint of its public half ([RFC 7638](https://www.rfc-editor.org/rfc/rfc7638)).
    pub kid: String,
    /// The private half, for `vestibule_dpop::default_signer`.
    pub secret: Es256Secret,
    /// When it was made.
    pub created_at: UnixTime,
}

fn of(keys: &[RingKey], purpose: KeyPurpose) -> impl Iterator<Item = &RingKey> {
    keys.iter().filter(move |key| key.purpose == purpose)
}

fn missing(keys: &[RingKey]) -> impl Iterator<Item = KeyPurpose> {
    KeyPurpose::ALL.into_iter().filter(|purpose| of(keys, *purpose).next().is_none())
}

fn open_all(rows: &[SealedKey], master: &MasterSecret) -> Result<Vec<RingKey>, KeyRingError> {
    let known = rows.iter().filter_map(|row| Some((row, row.purpose.parse().ok()?)));
    known.map(|(row, purpose)| row.open(purpose, master)).collect()
}

/// Keeps the key ring. It sees sealed keys only; each act is atomic.
pub trait KeyRingStore: Send + Sync {
    /// All keys, of every purpose, the one added last in front.
    ///
    /// # Errors
    /// [`StoreUnavailable`].
    fn list<'a>(&'a self) -> BoxFuture<'a, Result<Vec<SealedKey>, StoreUnavailable>>;

    /// Adds a key, which is the newest of its purpose from now on.
    ///
    /// # Errors
    /// [`StoreUnavailable`]: it was not added, as when a key of this name is there.
    fn add<'a>(&'a self, key: SealedKey) -> BoxFuture<'a, Result<(), StoreUnavailable>>;

    /// Adds those of these keys whose purpose has no key yet, and gives what is there then, as [`Self::list`] does. Of
    /// two that begin a ring at once, both get the ring of one.
    ///
    /// # Errors
    /// [`StoreUnavailable`]: nothing was added.
    fn begin<'a>(&'a self, first: Vec<SealedKey>) -> BoxFuture<'a, Result<Vec<SealedKey>, StoreUnavailable>>;

    /// Puts a key in place of the one of this name, in its place among the others: the same key, sealed anew. Says whether there is one.
    ///
    /// # Errors
    /// [`StoreUnavailable`]: nothing was changed.
    fn reseal<'a>(&'a self, key: SealedKey) -> BoxFuture<'a, Result<bool, StoreUnavailable>>;

    /// Throws a key away, unless a session needs it ([`ClientKeyUses::of`]). What it sealed, and was not sealed again since,
    /// is lost with it; what it signed no longer verifies.
    ///
    /// A login that is on its way may need it too, and no store sees that: retire no key until those that were begun
    /// before the newest key was added have ended.
    ///
    /// # Errors
    /// [`StoreUnavailable`]: it is still there.
    fn retire<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Retired, StoreUnavailable>>;

    /// How often the ring was changed: a number that grows with each key that is added or thrown away, by whichever
    /// process. It costs next to nothing; [`RingWatch`](crate::RingWatch) asks for it.
    ///
    /// # Errors
    /// [`StoreUnavailable`].
    fn version<'a>(&'a self) -> BoxFuture<'a, Result<u64, StoreUnavailable>>;

    /// How many sessions at people's servers need which key to authenticate the client they were made with.
    ///
    /// # Errors
    /// [`StoreUnavailable`].
    fn sessions_by_client_key<'a>(&'a self) -> BoxFuture<'a, Result<ClientKeyUses, StoreUnavailable>>;
}

/// What came of throwing a key away.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(clippy::exhaustive_enums, reason = "a total outcome: these four are all there is")]
pub enum Retired {
    /// It is gone.
    Retired,
    /// It is the newest of its purpose, the one in use: it stays until another was added.
    InUse,
    /// So many sessions need it to authenticate their client, or may need it: it stays until they have ended.
    Needed(u64),
    /// There is no such key.
    Missing,
}

/// How many sessions need which key. Those that were made without a client's key are not counted.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub struct ClientKeyUses {
    /// By the key's `kid`; a `kid` that is not here is needed by none of which it is known.
    pub by_key: BTreeMap<String, u64>,
    /// Of so many it is not known, as a version before this one put them in. It is known when their tokens are replaced.
    pub unknown: u64,
}

impl ClientKeyUses {
    /// These numbers.
    pub const fn new(by_key: BTreeMap<String, u64>, unknown: u64) -> Self {
        Self { by_key, unknown }
    }

    /// How many sessions need the signing key called `kid`, or may need it.
    ///
    /// ```
    /// use vestibule_storage::ClientKeyUses;
    ///
    /// let uses = ClientKeyUses::new([("kid-1".to_owned(), 3)].into(), 2);
    /// assert_eq!(uses.of("kid-1"), 5);
    /// assert_eq!(uses.of("kid-2"), 2);
    /// ```
    pub fn of(&self, kid: &str) -> u64 {
        self.by_key.get(kid).copied().unwrap_or(0).saturating_add(self.unknown)
    }
}

/// Opens the ring of this store, and makes the first key of every purpose that has none.
///
/// `entropy` is drawn afresh for every call.
///
/// # Errors
/// [`KeyRingError`]. A ring that does not open is left as it is.
pub async fn open_or_create_ring(
    store: &dyn KeyRingStore,
    master: &MasterSecret,
    entropy: [u8; 32],
    now: UnixTime,
) -> Result<KeyRing, KeyRingError> {
    let rows = store.list().await.map_err(KeyRingError::Store)?;
    let seed = Seed::from_entropy(entropy);
    let first: Result<Vec<_>, _> = missing(&open_all(&rows, master)?)
        .map(|purpose| {
            let seed = seed.child(purpose.as_str());
            RingKey::generate(purpose, seed.derive("key"), now).seal(master, nonce(&seed))
        })
        .collect();
    let first = first.map_err(KeyRingError::Seal)?;
    if first.is_empty() {
        return KeyRing::open(&rows, master);
    }
    let rows = store.begin(first).await.map_err(KeyRingError::Store)?;
    KeyRing::open(&rows, master)
}

/// Opens the ring of this store as it is now.
///
/// # Errors
/// [`KeyRingError`].
pub async fn load_ring(store: &dyn KeyRingStore, master: &MasterSecret) -> Result<KeyRing, KeyRingError> {
    let rows = store.list().await.map_err(KeyRingError::Store)?;
    KeyRing::open(&rows, master)
}

/// Makes a new key for this purpose, adds it to a ring that opens under `master`, and gives its name. Nodes that run go
/// on with the key they have until they load the ring again, as [`RingWatch`](crate::RingWatch) says when to do, and open
/// what the new one seals.
///
/// `entropy` is drawn afresh for every call.
///
/// # Errors
/// [`KeyRingError`]: nothing was added.
pub async fn rotate_ring_key(
    store: &dyn KeyRingStore,
    master: &MasterSecret,
    purpose: KeyPurpose,
    entropy: [u8; 32],
    now: UnixTime,
) -> Result<String, KeyRingError> {
    load_ring(store, master).await?;
    let seed = Seed::from_entropy(entropy);
    let key = RingKey::generate(purpose, seed.derive("key"), now);
    let sealed = key.seal(master, nonce(&seed)).map_err(KeyRingError::Seal)?;
    store.add(sealed).await.map_err(KeyRingError::Store)?;
    Ok(key.id)
}

/// Seals the keys of a ring anew that are sealed under an older line of the secret file than its first, and says how many they were. After
/// that the older lines can go.
///
/// `entropy` is drawn afresh for every call.
///
/// # Errors
/// [`KeyRingError`]: some may be sealed anew, the others are as they were, and all open as before.
pub async fn reseal_ring(
    store: &dyn KeyRingStore,
    master: &MasterSecret,
    entropy: [u8; 32],
) -> Result<usize, KeyRingError> {
    let (rows, seed) = (store.list().await.map_err(KeyRingError::Store)?, Seed::from_entropy(entropy));
    let keys = master.keys_for(SEAL_PURPOSE);
    let mut resealed = 0;
    for row in rows.iter().filter(|row| keys.is_outdated(&row.sealed)) {
        // A key of a later version is that version's to seal.
        let Ok(purpose) = row.purpose.parse::<KeyPurpose>() else { continue };
        let key = row.open(purpose, master)?;
        let sealed = key.seal(master, nonce(&seed.child(&row.id))).map_err(KeyRingError::Seal)?;
        resealed += usize::from(store.reseal(sealed).await.map_err(KeyRingError::Store)?);
    }
    Ok(resealed)
}

fn nonce(seed: &Seed) -> [u8; 24] {
    let mut nonce = [0; 24];
    for (to, from) in nonce.iter_mut().zip(seed.derive("nonce")) {
        *to = from;
    }
    nonce
}

/// Why there is no key ring.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum KeyRingError {
    /// A key of the store was sealed under another master secret, or was changed since.
    #[error("key {id} of the store does not open: the secret file is not the one this store was made with")]
    OtherSecret {
        /// Which key.
        id: String,
    },
    /// What was sealed is no key for its purpose.
    #[error("key {id} of the store opens and is no key for its purpose")]
    Broken {
        /// Which key.
        id: String,
    },
    /// There is no key for this purpose.
    #[error("the store has no key of purpose {0}")]
    Missing(KeyPurpose),
    /// The store did not answer, in its own words.
    #[error(transparent)]
    Store(StoreUnavailable),
    /// A key could not be sealed.
    #[error(transparent)]
    Seal(SealError),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::MemoryStore;

    const NOW: UnixTime = UnixTime::from_secs(1_700_000_000);

    fn master(n: u8) -> MasterSecret {
        MasterSecret::generate([n; 32]).0
    }

    fn ids(ring: &KeyRing, purpose: KeyPurpose) -> Vec<&str> {
        ring.keys(purpose).map(RingKey::id).collect()
    }

    #[test]
    fn a_key_that_signs_is_called_by_its_thumbprint() {
        let key = RingKey::generate(KeyPurpose::Sign, [7; 32], NOW);
        let secret = Es256Secret::from_bytes(key.secret().expose()).unwrap();
        assert_eq!(key.id(), P256Signer::from_secret(&secret).public_key().thumbprint().as_str());
        let seal = RingKey::generate(KeyPurpose::Seal, [7; 32], NOW);
        assert_eq!(base64url::decode(seal.id()).unwrap().len(), 16);
        assert!(!seal.secret().same_as([7; 32]), "the name tells nothing of the key");
    }

    #[test]
    fn a_sealed_key_opens_in_its_place_only() {
        let key = RingKey::generate(KeyPurpose::Seal, [7; 32], NOW);
        let row = key.seal(&master(1), [3; 24]).unwrap();
        let opened = row.open(KeyPurpose::Seal, &master(1)).unwrap();
        assert!(opened.secret().same_as(key.secret().expose()));
        let other_secret = || KeyRingError::OtherSecret { id: row.id.clone() };
        assert_eq!(row.open(KeyPurpose::Seal, &master(2)).unwrap_err(), other_secret());
        assert_eq!(row.open(KeyPurpose::Sign, &master(1)).unwrap_err(), other_secret());
        let moved = SealedKey { id: "other".to_owned(), ..row.clone() };
        assert!(moved.open(KeyPurpose::Seal, &master(1)).is_err());
    }

    #[test]
    fn what_is_no_key_for_its_purpose_does_not_open() {
        for (purpose, octets) in
            [("seal", &[1; 31][..]), ("sign", &[0; 32]), ("sign", &[0xff; 32]), ("seal", b"")]
        {
            let place = format!("{purpose}|a");
            let sealed = master(1).keys_for(SEAL_PURPOSE).seal(octets, place.as_bytes(), [3; 24]).unwrap();
            let row = SealedKey::new("a", purpose, sealed, NOW);
            let error = KeyRing::open(&[row], &master(1)).unwrap_err();
            assert_eq!(error, KeyRingError::Broken { id: "a".to_owned() });
        }
    }

    #[tokio::test]
    async fn the_master_secret_is_replaced_line_by_line() {
        let store = MemoryStore::new();
        let (_, old) = MasterSecret::generate([1; 32]);
        let (_, new) = MasterSecret::generate([2; 32]);
        let read = |text: &str| MasterSecret::parse(text).unwrap();
        let before = open_or_create_ring(&store, &read(old.expose()), [1; 32], NOW).await.unwrap();
        let both = read(&format!("{}{}", new.expose(), old.expose()));
        assert!(load_ring(&store, &read(new.expose())).await.is_err(), "sealed under the old line alone");
        assert_eq!(reseal_ring(&store, &both, [3; 32]).await.unwrap(), KeyPurpose::ALL.len());
        assert_eq!(reseal_ring(&store, &both, [4; 32]).await.unwrap(), 0);
        let after = load_ring(&store, &read(new.expose())).await.unwrap();
        for purpose in KeyPurpose::ALL {
            assert_eq!(ids(&after, purpose), ids(&before, purpose));
        }
        assert!(
            after
                .seal_keys(NOW)
                .open(&before.seal_keys(NOW).seal(b"text", b"", [3; 24]).unwrap(), b"")
                .is_ok()
        );
        assert!(load_ring(&store, &read(old.expose())).await.is_err());
    }

    #[tokio::test]
    async fn the_newest_that_every_node_has_seals_and_all_open() {
        let store = MemoryStore::new();
        let before = open_or_create_ring(&store, &master(1), [1; 32], NOW).await.unwrap();
        let again = open_or_create_ring(&store, &master(1), [2; 32], NOW).await.unwrap();
        for purpose in KeyPurpose::ALL {
            assert_eq!(ids(&before, purpose).len(), 1);
            assert_eq!(ids(&before, purpose), ids(&again, purpose), "a ring is made once");
            let new = rotate_ring_key(&store, &master(1), purpose, [3; 32], NOW).await.unwrap();
            let after = load_ring(&store, &master(1)).await.unwrap();
            assert_eq!(ids(&after, purpose), [new.as_str(), ids(&before, purpose)[0]]);
        }
        let after = load_ring(&store, &master(1)).await.unwrap();
        let later = NOW.after(TAKEN_UP_WITHIN);
        let sealed = before.seal_keys(NOW).seal(b"text", b"", [3; 24]).unwrap();
        assert!(
            after.seal_keys(NOW).open(&sealed, b"").is_ok() && !after.seal_keys(NOW).is_outdated(&sealed)
        );
        assert!(
            after.seal_keys(later).open(&sealed, b"").is_ok() && after.seal_keys(later).is_outdated(&sealed)
        );
        let kids: Vec<_> = after.signing_keys().into_iter().map(|key| key.kid).collect();
        assert_eq!(kids, ids(&after, KeyPurpose::Sign));
    }

    #[tokio::test]
    async fn another_secret_is_named_as_the_cause_and_changes_nothing() {
        let store = MemoryStore::new();
        open_or_create_ring(&store, &master(1), [1; 32], NOW).await.unwrap();
        let rows = store.list().await.unwrap();
        for error in [
            open_or_create_ring(&store, &master(2), [2; 32], NOW).await.unwrap_err(),
            load_ring(&store, &master(2)).await.unwrap_err(),
            rotate_ring_key(&store, &master(2), KeyPurpose::Seal, [2; 32], NOW).await.unwrap_err(),
        ] {
            assert!(matches!(error, KeyRingError::OtherSecret { .. }), "{error}");
            assert!(error.to_string().contains("the secret file is not the one this store was made with"));
        }
        assert_eq!(store.list().await.unwrap(), rows);
    }

    #[tokio::test]
    async fn purposes_of_a_later_version_are_left_alone_and_missing_ones_are_made() {
        let store = MemoryStore::new();
        store.add(SealedKey::new("n", "later", vec![1], NOW)).await.unwrap();
        assert_eq!(load_ring(&store, &master(1)).await.unwrap_err(), KeyRingError::Missing(KeyPurpose::Seal));
        let seal = RingKey::generate(KeyPurpose::Seal, [7; 32], NOW);
        store.add(seal.seal(&master(1), [3; 24]).unwrap()).await.unwrap();
        let ring = open_or_create_ring(&store, &master(1), [1; 32], NOW).await.unwrap();
        assert_eq!(ids(&ring, KeyPurpose::Seal), [seal.id()]);
        assert_eq!(ids(&ring, KeyPurpose::Sign).len(), 1);
        assert_eq!(store.list().await.unwrap().len(), KeyPurpose::ALL.len() + 1);
    }

    #[test]
    fn nothing_shows_a_key() {
        let key = RingKey::generate(KeyPurpose::Seal, [7; 32], NOW);
        let shown = format!("{key:?}");
        assert!(shown.contains("Secret(..)") && !shown.contains(&format!("{:?}", key.secret().expose())));
    }
}
