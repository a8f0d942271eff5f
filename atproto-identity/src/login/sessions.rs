//! Sessions in use: tokens that are good when they are needed.
//!
//! A refresh token is spent by being used, and a server that sees one twice ends the session. So within a process one
//! refresh of a session is made at a time; whoever waited reads the store again before doing anything, and new tokens are
//! stored before anybody uses them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use http::{Method, Response};
use thiserror::Error;
use url::Url;
use vestibule_dpop::{Es256Secret, NonceMemory, NonceSeen, Proof, ProofKey, SignError};
use vestibule_oauth_core::{ErrorCode, HttpClient, HttpError, Seed, StoreUnavailable, Trust, UnixTime};
use vestibule_strategy::token::refresh_form;
use vestibule_strategy::{Backchannel, ClientAuth, PostError, TokenAnswer, TokenError};

use super::client::AtprotoClient;
use super::revocation::{Ended, Revocation};
use super::session::{Replaced, SessionKey, SessionRecord, SessionStore};

/// The sessions of one application.
pub struct Sessions {
    store: Arc<dyn SessionStore>,
    client: Arc<AtprotoClient>,
    live: Mutex<BTreeMap<SessionKey, Arc<Live>>>,
}

/// What a process keeps of a session it uses, beside the record in the store: the loaded key and the latest nonces.
struct Live {
    key: ProofKey,
    nonces: Mutex<NonceMemory>,
    refreshing: tokio::sync::Mutex<()>,
}

impl Live {
    fn nonces(&self) -> MutexGuard<'_, NonceMemory> {
        self.nonces.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A session whose access token is good, ready to sign requests.
#[derive(Clone)]
pub struct ReadySession {
    record: Arc<SessionRecord>,
    live: Arc<Live>,
}

impl Sessions {
    /// The most sessions whose keys are kept loaded; beyond it one is loaded again when it is used. At 1 KiB each this is
    /// 10 MiB.
    pub const MAX_LIVE: usize = 10_000;

    /// Sessions of `client` kept in `store`.
    pub fn new(store: Arc<dyn SessionStore>, client: Arc<AtprotoClient>) -> Self {
        Self { store, client, live: Mutex::new(BTreeMap::new()) }
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
        let record = self.store.load(key).await?.ok_or_else(SessionError::ended)?;
        let live = self.live(&record)?;
        if !record.is_due(now) {
            return Ok(ReadySession { record: Arc::new(record), live });
        }
        self.refresh(record, live, seed, now, http).await
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
        self.refresh((*stale.record).clone(), Arc::clone(&stale.live), seed, now, http).await
    }

    /// Replaces the tokens of `seen`, unless somebody did so while we waited for our turn.
    async fn refresh(
        &self,
        seen: SessionRecord,
        live: Arc<Live>,
        seed: &Seed,
        now: UnixTime,
        http: &dyn HttpClient,
    ) -> Result<ReadySession, SessionError> {
        let _turn = live.refreshing.lock().await;
        let current = self.store.load(&seen.key).await?.ok_or_else(SessionError::ended)?;
        if current.generation != seen.generation {
            return Ok(ReadySession { record: Arc::new(current), live: Arc::clone(&live) });
        }
        let outcome = self.ask_for_tokens(&current, &live, seed, now, http).await;
        let record = match outcome {
            Ok(answer) => self.store_refreshed(current, answer, &live, seed, now, http).await?,
            Err(AskError::Refused(why)) => self.after_refusal(&current, why).await?,
            Err(AskError::Unusable(why, tokens)) => {
                let outcome = self.after_refusal(&current, why).await;
                // Nobody will use them: they go back (R81), whatever became of the session.
                let issued = SessionRecord {
                    access_token: tokens.access_token,
                    refresh_token: tokens.refresh_token,
                    ..current
                };
                self.revoke(&issued, &live, seed, now, http).await;
                outcome?
            }
            Err(AskError::Passing(error)) => return Err(error),
        };
        Ok(ReadySession { record: Arc::new(record), live: Arc::clone(&live) })
    }

    async fn ask_for_tokens(
        &self,
        record: &SessionRecord,
        live: &Live,
        seed: &Seed,
        now: UnixTime,
        http: &dyn HttpClient,
    ) -> Result<TokenAnswer, AskError> {
        let Some(refresh_token) = &record.refresh_token else {
            return Err(AskError::Refused("the session has no refresh token".to_owned()));
        };
        let auth = self.auth(record).map_err(AskError::Passing)?;
        let channel = channel(record, &auth, &live.key);
        let mut nonces = live.nonces().clone();
        let form = refresh_form(&record.token_endpoint, refresh_token);
        let answered = channel.post(&form, &mut nonces, &seed.child("refresh"), now, http).await;
        *live.nonces() = nonces;
        let response = answered.map_err(|error| AskError::Passing(error.into()))?;
        read_refresh(&response, record)
    }

    /// Stores new tokens; only then may anybody use them.
    async fn store_refreshed(
        &self,
        current: SessionRecord,
        answer: TokenAnswer,
        live: &Live,
        seed: &Seed,
        now: UnixTime,
        http: &dyn HttpClient,
    ) -> Result<SessionRecord, SessionError> {
        let next = SessionRecord {
            scope: answer.scope.unwrap_or_else(|| current.scope.clone()),
            access_token: answer.access_token,
            refresh_token: answer.refresh_token.or_else(|| current.refresh_token.clone()),
            issued_at: now,
            expires_at: answer.expires_in.map(|span| now.after(span)),
            generation: current.generation.saturating_add(1),
            ..current
        };
        match self.store.replace(&next).await? {
            Replaced::Replaced => Ok(next),
            Replaced::Superseded => self.store.load(&next.key).await?.ok_or_else(SessionError::ended),
            Replaced::Missing => {
                // Signed out while we asked: what was issued since must not outlive it.
                self.revoke(&next, live, seed, now, http).await;
                Err(SessionError::Gone("it was ended while its tokens were refreshed".to_owned()))
            }
        }
    }

    /// The server refused for good. Unless the refusal was meant for a token that somebody else has replaced, the session
    /// is over (R103).
    async fn after_refusal(
        &self,
        current: &SessionRecord,
        why: String,
    ) -> Result<SessionRecord, SessionError> {
        match self.store.load(&current.key).await? {
            Some(newer) if newer.generation != current.generation => Ok(newer),
            _ => {
                self.store.remove(&current.key).await?;
                self.forget(&current.key);
                Err(SessionError::Gone(why))
            }
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
        Ok(self.revoke(&record, &live, seed, now, http).await)
    }

    async fn revoke(
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

    fn auth(&self, record: &SessionRecord) -> Result<ClientAuth, SessionError> {
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
        let unusable =
            |_| SessionError::Misconfigured("the session's stored key is not a P-256 key".to_owned());
        let secret = Es256Secret::from_bytes(record.dpop_key.expose()).map_err(unusable)?;
        let live = Live {
            key: ProofKey::from_secret(secret),
            nonces: Mutex::new(NonceMemory::default()),
            refreshing: tokio::sync::Mutex::new(()),
        };
        let mut all = self.all_live();
        if all.len() >= Self::MAX_LIVE {
            // One that nobody is using right now; its lock is free, so nothing that must not be doubled is under way.
            let idle = all.iter().find(|(_, live)| Arc::strong_count(live) == 1).map(|(key, _)| key.clone());
            idle.map(|key| all.remove(&key));
        }
        Ok(Arc::clone(all.entry(record.key.clone()).or_insert_with(|| Arc::new(live))))
    }

    fn forget(&self, key: &SessionKey) {
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

impl ReadySession {
    /// The session's record.
    pub fn record(&self) -> &SessionRecord {
        &self.record
    }

    /// The headers that authorize one request to the person's server: `Authorization` and `DPoP` (R88). `jti` is fresh for
    /// every try.
    ///
    /// # Errors
    /// [`SignError`] when the key's backend refuses.
    pub fn authorization(
        &self,
        method: &Method,
        url: &Url,
        jti: [u8; 16],
        now: UnixTime,
    ) -> Result<HeaderMap, SignError> {
        let token = self.record.access_token.expose();
        let nonces = self.live.nonces();
        let proof = Proof::new(method, url, jti, now).with_access_token(token);
        let proof = nonces.nonce_for(url).into_iter().fold(proof, Proof::with_nonce);
        let proof = self.live.key.prove(&proof)?;
        drop(nonces);
        let unprintable = |_| SignError::Failed("the access token does not fit a header".to_owned());
        let mut authorization = HeaderValue::try_from(format!("DPoP {token}")).map_err(unprintable)?;
        authorization.set_sensitive(true);
        let proof = HeaderValue::try_from(proof).map_err(unprintable)?;
        Ok([(AUTHORIZATION, authorization), (HeaderName::from_static("dpop"), proof)].into_iter().collect())
    }

    /// Whether a nonce of the server at `url` is known, so that a request to it need not be sent twice.
    pub fn knows_nonce(&self, url: &Url) -> bool {
        self.live.nonces().nonce_for(url).is_some()
    }

    /// Remembers the nonce of an answer of the server at `url`, and says what the answer asks for.
    pub fn observe(&self, url: &Url, response: &Response<impl Sized>, now: UnixTime) -> ResourceAnswer {
        let seen = self.live.nonces().observe(url, response.headers(), now);
        let challenge = response.headers().get_all(http::header::WWW_AUTHENTICATE);
        let says = |code: &str| {
            let quoted = format!("error=\"{code}\"");
            challenge.iter().any(|value| value.to_str().is_ok_and(|text| text.contains(&quoted)))
        };
        if response.status() != http::StatusCode::UNAUTHORIZED {
            ResourceAnswer::Final
        } else if says("use_dpop_nonce") && seen == NonceSeen::Kept {
            ResourceAnswer::NonceWanted
        } else if says("invalid_token") {
            ResourceAnswer::TokenRefused
        } else {
            ResourceAnswer::Final
        }
    }
}

impl std::fmt::Debug for ReadySession {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ReadySession").field("key", &self.record.key).finish_non_exhaustive()
    }
}

/// What an answer of a person's server asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum ResourceAnswer {
    /// Nothing: it is the answer.
    Final,
    /// The same request with the nonce it brought.
    NonceWanted,
    /// The same request with another access token.
    TokenRefused,
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
    /// Its server was asked and the answer was lost: whether the refresh token is spent, nobody knows. The session is
    /// kept; the next refresh will tell.
    #[error("the session's server was asked, but its answer was lost: {0}")]
    Unknown(HttpError),
    /// This application lacks what the session was made with.
    #[error("{0}")]
    Misconfigured(String),
    /// The store cannot be reached.
    #[error("{0}")]
    Store(StoreUnavailable),
}

impl SessionError {
    fn ended() -> Self {
        Self::Gone("it has ended".to_owned())
    }
}

impl From<StoreUnavailable> for SessionError {
    fn from(error: StoreUnavailable) -> Self {
        Self::Store(error)
    }
}

impl From<PostError> for SessionError {
    fn from(error: PostError) -> Self {
        match error {
            PostError::Http(error) if error.may_have_arrived() => Self::Unknown(error),
            PostError::Http(error) => Self::Retry { detail: error.to_string(), after: None },
            other => Self::Misconfigured(other.to_string()),
        }
    }
}

/// Why no tokens came.
enum AskError {
    /// For good: the server's word.
    Refused(String),
    /// For good: these tokens came, and are not what a refresh gives.
    Unusable(String, Box<TokenAnswer>),
    /// For now, or for reasons of our own.
    Passing(SessionError),
}

/// How far the clocks of two nodes may be apart before a token counts as one from the future.
const CLOCKS_APART: Duration = Duration::from_secs(60);

/// The back channel of a session.
fn channel<'a>(record: &'a SessionRecord, auth: &'a ClientAuth, key: &'a ProofKey) -> Backchannel<'a> {
    Backchannel::new(&record.issuer, &record.client_id, auth, Trust::UserSupplied).with_proof_key(key)
}

/// Reads the answer to a refresh: which refusals are for good, and which answers are none (R100, R103).
fn read_refresh(response: &Response<Bytes>, record: &SessionRecord) -> Result<TokenAnswer, AskError> {
    let status = response.status();
    let answer = match TokenAnswer::read(response) {
        Ok(answer) => answer,
        Err(TokenError::Refused { error: Some(refusal), .. })
            if [ErrorCode::INVALID_GRANT, ErrorCode::UNAUTHORIZED_CLIENT, ErrorCode::INVALID_TOKEN]
                .contains(&refusal.code) =>
        {
            return Err(AskError::Refused(format!("the server refused to go on: {refusal}")));
        }
        Err(error) => {
            let after = retry_after(response.headers());
            return Err(AskError::Passing(SessionError::Retry {
                detail: format!("{error} ({status})"),
                after,
            }));
        }
    };
    let rule = if answer.sub.as_deref().is_some_and(|sub| sub != record.key.did().as_str()) {
        "the server answered with the tokens of another account"
    } else if !answer.token_type.eq_ignore_ascii_case("DPoP") {
        "the server answered with a token that is not bound to the key"
    } else {
        return Ok(answer);
    };
    Err(AskError::Unusable(rule.to_owned(), Box::new(answer)))
}

/// `Retry-After` in seconds, at most an hour; the form with a date is passed over.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds: u64 = headers.get(RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds.min(3600)))
}
