//! Sessions in use: tokens that are good when they are needed.
//!
//! A refresh token is spent by being used, and a server that sees one twice ends the session. So within a process one
//! refresh of a session is made at a time; whoever waited reads the store again before doing anything, and new tokens are
//! stored before anybody uses them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use thiserror::Error;
use vestibule_dpop::{NonceMemory, ProofKey};
use vestibule_oauth_core::{HttpClient, Seed, StoreUnavailable, Timer, Trust, UnixTime};
use vestibule_strategy::{Backchannel, ClientAuth};

use super::client::AtprotoClient;
use super::directory::Directory;
use super::live::Live;
use super::ready::ReadySession;
use super::refresh::Refresh;
use super::revocation::{Ended, Revocation};
use super::session::{Replaced, SessionKey, SessionRecord, SessionStore};

/// The sessions of one application.
pub struct Sessions {
    store: Arc<dyn SessionStore>,
    client: Arc<AtprotoClient>,
    directory: Arc<Directory>,
    timer: Arc<dyn Timer>,
    live: Mutex<BTreeMap<SessionKey, Arc<Live>>>,
}

impl Sessions {
    /// The most sessions whose keys are kept loaded; beyond it one is loaded again when it is used. At 1 KiB each this is
    /// 10 MiB.
    pub const MAX_LIVE: usize = 10_000;

    /// Sessions of `client` kept in `store`, whose accounts are looked up in `directory`; `timer` waits for other nodes.
    pub fn new(
        store: Arc<dyn SessionStore>,
        client: Arc<AtprotoClient>,
        directory: Arc<Directory>,
        timer: Arc<dyn Timer>,
    ) -> Self {
        Self { store, client, directory, timer, live: Mutex::new(BTreeMap::new()) }
    }

    /// Keeps a session that has just been made, with the nonces learned on the way.
    ///
    /// # Errors
    /// [`StoreUnavailable`]: it was not kept.
    pub async fn insert(&self, session: &SessionRecord, nonces: NonceMemory) -> Result<(), StoreUnavailable> {
        self.store.insert(session).await?;
        // A session whose key does not load says so when it is used.
        if let Ok(live) = self.live(session) {
            *live.nonces() = nonces;
        }
        Ok(())
    }

    /// The session as the store has it, tokens refreshed or not.
    ///
    /// # Errors
    /// [`StoreUnavailable`].
    pub async fn load(&self, key: &SessionKey) -> Result<Option<SessionRecord>, StoreUnavailable> {
        self.store.load(key).await
    }

    /// The session, its tokens refreshed first if that is due. Run this where it is not cancelled: a refresh that was sent
    /// has to be read and stored.
    ///
    /// # Errors
    /// [`SessionError`].
    pub async fn ready(
        &self,
        key: &SessionKey,
        seed: &Seed,
        now: UnixTime,
        http: &dyn HttpClient,
    ) -> Result<ReadySession, SessionError> {
        let stored = self.stored(key).await?;
        let live = self.live(&stored)?;
        let record = if live.is_idle() { stored } else { self.current(key, &live).await? };
        if !record.is_due(now) {
            return Ok(ReadySession { record: Arc::new(record), live });
        }
        self.refreshed(&record, live, seed, now, http).await
    }

    /// The session after its server refused `stale`'s access token: another token if there is one by now, else a refresh.
    ///
    /// # Errors
    /// [`SessionError`].
    pub async fn renewed(
        &self,
        stale: &ReadySession,
        seed: &Seed,
        now: UnixTime,
        http: &dyn HttpClient,
    ) -> Result<ReadySession, SessionError> {
        self.refreshed(&stale.record, Arc::clone(&stale.live), seed, now, http).await
    }

    async fn refreshed(
        &self,
        seen: &SessionRecord,
        live: Arc<Live>,
        seed: &Seed,
        now: UnixTime,
        http: &dyn HttpClient,
    ) -> Result<ReadySession, SessionError> {
        let record = Refresh { sessions: self, live: &live, seed, now, http }.run(seen).await?;
        Ok(ReadySession { record: Arc::new(record), live })
    }

    /// The session as the store has it, once it has taken what it did not take before.
    pub(super) async fn current(&self, key: &SessionKey, live: &Live) -> Result<SessionRecord, SessionError> {
        let Some(unstored) = live.unstored() else { return self.stored(key).await };
        let replaced = self.store.replace(&unstored).await?;
        live.set_unstored(None);
        if replaced == Replaced::Replaced { Ok(unstored) } else { self.stored(key).await }
    }

    /// The session as the store has it.
    pub(super) async fn stored(&self, key: &SessionKey) -> Result<SessionRecord, SessionError> {
        self.store.load(key).await?.ok_or_else(SessionError::ended)
    }

    pub(super) fn store(&self) -> &dyn SessionStore {
        &*self.store
    }

    pub(super) fn directory(&self) -> &Directory {
        &self.directory
    }

    pub(super) fn timer(&self) -> &dyn Timer {
        &*self.timer
    }

    /// Ends a session whose server refuses the token of `refused`, a fresh one; unless it has another by now.
    ///
    /// # Errors
    /// [`StoreUnavailable`]: the session has not ended.
    pub async fn end_refused(
        &self,
        refused: &ReadySession,
        seed: &Seed,
        now: UnixTime,
        http: &dyn HttpClient,
    ) -> Result<Ended, StoreUnavailable> {
        match self.store.load(&refused.record.key).await? {
            Some(stored) if stored.generation == refused.record.generation => {
                self.end(&refused.record.key, seed, now, http).await
            }
            _ => Ok(Ended::NotThere),
        }
    }

    /// Ends a session on both sides: here first, then at its server (R107).
    ///
    /// # Errors
    /// [`StoreUnavailable`]: the session has not ended.
    pub async fn end(
        &self,
        key: &SessionKey,
        seed: &Seed,
        now: UnixTime,
        http: &dyn HttpClient,
    ) -> Result<Ended, StoreUnavailable> {
        let Some(record) = self.store.remove(key).await? else { return Ok(Ended::NotThere) };
        let live = self.live(&record);
        self.forget(key);
        let Ok(live) = live else {
            return Ok(Ended::HereOnly("the session's key cannot be read".to_owned()));
        };
        // The tokens that the store did not take are the ones that are good.
        let record = live.unstored().unwrap_or(record);
        Ok(self.revoke(&record, &live, seed, now, http).await)
    }

    pub(super) async fn revoke(
        &self,
        record: &SessionRecord,
        live: &Live,
        seed: &Seed,
        now: UnixTime,
        http: &dyn HttpClient,
    ) -> Ended {
        let auth = match self.auth(record) {
            Ok(auth) => auth,
            Err(error) => return Ended::HereOnly(error.to_string()),
        };
        let revocation = Revocation {
            channel: channel(record, &auth, &live.key),
            endpoint: record.revocation_endpoint.as_ref(),
            access_token: &record.access_token,
            refresh_token: record.refresh_token.as_ref(),
        };
        let mut nonces = live.nonces().clone();
        revocation.send(&mut nonces, seed, now, http).await
    }

    pub(super) fn auth(&self, record: &SessionRecord) -> Result<ClientAuth, SessionError> {
        self.client.auth_for(record.client_key.as_ref()).ok_or_else(|| {
            let kid = record.client_key.as_ref().map_or("", |key| &key.kid);
            SessionError::Misconfigured(format!(
                "the session was made with the client key {kid}, which is gone"
            ))
        })
    }

    fn live(&self, record: &SessionRecord) -> Result<Arc<Live>, SessionError> {
        if let Some(live) = self.all_live().get(&record.key) {
            return Ok(Arc::clone(live));
        }
        let live = Live::load(record)?;
        let mut all = self.all_live();
        if all.len() >= Self::MAX_LIVE {
            // One that nobody is using right now, so that nothing that must not be doubled is under way.
            let idle = |live: &Arc<Live>| Arc::strong_count(live) == 1 && live.is_idle();
            let idle = all.iter().find(|(_, live)| idle(live)).map(|(key, _)| key.clone());
            idle.map(|key| all.remove(&key));
        }
        Ok(Arc::clone(all.entry(record.key.clone()).or_insert_with(|| Arc::new(live))))
    }

    pub(super) fn forget(&self, key: &SessionKey) {
        self.all_live().remove(key);
    }

    // Nothing under this lock can panic half-way, so one that is poisoned still holds what it should.
    fn all_live(&self) -> MutexGuard<'_, BTreeMap<SessionKey, Arc<Live>>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Sessions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sessions").field("client", &self.client.id()).finish_non_exhaustive()
    }
}

impl SessionRecord {
    /// How long before its end an access token is replaced, at most.
    pub const EARLY: Duration = Duration::from_secs(30);

    /// Whether the access token should be replaced before it is used: a tenth of its life before its end, at most
    /// [`Self::EARLY`]. A clock that was set back does not keep an old token alive: one from the future is due.
    pub fn is_due(&self, now: UnixTime) -> bool {
        let Some(end) = self.expires_at else { return false };
        let early = (end.since(self.issued_at) / 10).min(Self::EARLY);
        let from_the_future = now < self.issued_at.before(CLOCKS_APART);
        now >= end.before(early) || from_the_future
    }
}

/// Why a session cannot be used right now, or ever again.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum SessionError {
    /// It is over: its server refused it for good, or it was ended. The person has to sign in again.
    #[error("the session is over: {0}")]
    Gone(String),
    /// Its server cannot be asked just now. The session is kept.
    #[error("the session's server cannot be asked just now: {detail}")]
    Retry {
        /// What happened.
        detail: String,
        /// When the server wants to be asked again.
        after: Option<Duration>,
    },
    /// This application lacks what the session was made with.
    #[error("{0}")]
    Misconfigured(String),
    /// The store cannot be reached.
    #[error("{0}")]
    Store(StoreUnavailable),
}

impl SessionError {
    pub(super) fn ended() -> Self {
        Self::Gone("it has ended".to_owned())
    }
}

impl From<StoreUnavailable> for SessionError {
    fn from(error: StoreUnavailable) -> Self {
        Self::Store(error)
    }
}

/// How far the clocks of two nodes may be apart before one counts as set back.
pub(super) const CLOCKS_APART: Duration = Duration::from_secs(60);

/// The back channel of a session.
pub(super) fn channel<'a>(
    record: &'a SessionRecord,
    auth: &'a ClientAuth,
    key: &'a ProofKey,
) -> Backchannel<'a> {
    Backchannel::new(&record.issuer, &record.client_id, auth, Trust::UserSupplied).with_proof_key(key)
}
