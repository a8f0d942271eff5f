//! New tokens for old: one refresh of one session (R99 to R104).
//!
//! A refresh token is good once, and whoever sends it twice ends the session. So one node refreshes at a time, by a lease
//! in the store; who rules the account is made sure of before anything is sent; and once it is sent, nothing remains but
//! to store what comes. A refresh ends in one of four ways:
//!
//! - there are new tokens;
//! - the session is over, for a reason that can be told ([`SessionError::Gone`]);
//! - it may succeed later, and the session is kept ([`SessionError::Retry`]): the server is down, slow, or asks for
//!   patience;
//! - nobody knows, because the answer was lost on its way: then it is asked once more, and if that does not help the
//!   session is over, since its only refresh token is most likely spent.

use std::time::Duration;

use bytes::Bytes;
use http::Response;
use http::header::{HeaderMap, RETRY_AFTER};
use vestibule_oauth_core::{ErrorCode, HttpClient, HttpError, HttpErrorKind, Seed, UnixTime};
use vestibule_strategy::token::refresh_form;
use vestibule_strategy::{Backchannel, PostError, TokenAnswer, TokenError};

use super::live::Live;
use super::session::{Lease, Leased, Replaced, SessionRecord};
use super::sessions::{SessionError, Sessions, channel};
use crate::{DidDocumentError, DidError, ResolveError, ServerOrigin};

/// A refresh about to be made: of which session, with what.
pub(super) struct Refresh<'a> {
    pub(super) sessions: &'a Sessions,
    pub(super) live: &'a Live,
    pub(super) seed: &'a Seed,
    pub(super) now: UnixTime,
    pub(super) http: &'a dyn HttpClient,
}

impl Refresh<'_> {
    /// Replaces the tokens of `seen`, unless somebody did so while we waited for our turn.
    pub(super) async fn run(&self, seen: &SessionRecord) -> Result<SessionRecord, SessionError> {
        let turn = self.live.turn(self.now).await?;
        let outcome = self.in_turn(seen).await;
        turn.end(&outcome, self.now);
        outcome
    }

    async fn in_turn(&self, seen: &SessionRecord) -> Result<SessionRecord, SessionError> {
        let current = self.sessions.current(&seen.key, self.live).await?;
        if current.generation != seen.generation {
            return Ok(current);
        }
        let home = match self.home(&current).await? {
            Home::At(pds) => pds,
            Home::Elsewhere(why) => {
                self.give_back(&current).await;
                return self.refused(&current, why).await;
            }
        };
        let (lease, current) = match self.lease(seen).await? {
            Leased::Taken(lease, current) => (lease, SessionRecord { pds: home, ..*current }),
            _ => return self.sessions.stored(&seen.key).await,
        };
        if current.generation != seen.generation {
            self.release(&lease).await;
            return Ok(current);
        }
        let outcome = self.with_lease(current).await;
        match outcome {
            // There may be new tokens here that the store did not take: until it does, nobody else may send the old ones.
            Ok(_) | Err(SessionError::Store(_)) => {}
            Err(_) => self.release(&lease).await,
        }
        outcome
    }

    /// Waits until nobody else refreshes this session. Gives [`Leased::Held`] when another node has refreshed it meanwhile.
    async fn lease(&self, seen: &SessionRecord) -> Result<Leased, SessionError> {
        let (mut waited, mut pause) = (Duration::ZERO, FIRST_LOOK);
        loop {
            let leased = self.sessions.store().lease(&seen.key, self.now.after(waited)).await?;
            match leased {
                Leased::Held => {}
                Leased::Missing => return Err(SessionError::ended()),
                taken @ Leased::Taken(..) => return Ok(taken),
            }
            if self.sessions.stored(&seen.key).await?.generation != seen.generation {
                return Ok(Leased::Held);
            }
            if waited >= PATIENCE {
                let detail = "another node is refreshing the session".to_owned();
                return Err(SessionError::Retry { detail, after: None });
            }
            self.sessions.timer().pause(pause).await;
            waited = waited.saturating_add(pause);
            pause = pause.saturating_mul(2).min(LAST_LOOK);
        }
    }

    async fn release(&self, lease: &Lease) {
        // A lease that cannot be given back runs out by itself.
        let _runs_out = self.sessions.store().release(lease).await;
    }

    async fn with_lease(&self, current: SessionRecord) -> Result<SessionRecord, SessionError> {
        let answered = match self.ask(&current, Attempt::First).await {
            Err(NoTokens::Lost(_)) => self.ask(&current, Attempt::AfterLoss).await,
            answered => answered,
        };
        match answered {
            Ok(answer) => self.keep(current, answer).await,
            Err(NoTokens::Refused(why)) => self.refused(&current, why).await,
            Err(NoTokens::Lost(error)) => {
                let why = format!(
                    "the server's answer to a refresh was lost twice, and with it the tokens ({error})"
                );
                self.refused(&current, why).await
            }
            Err(NoTokens::Unusable(why, answer)) => {
                let outcome = self.refused(&current, why).await;
                // Nobody will use them: they go back (R81), whatever became of the session.
                self.give_back(&with_tokens(current, *answer, self.now)).await;
                outcome
            }
            Err(NoTokens::Passing(error)) => Err(error),
        }
    }

    /// Where the account lives by now, after making sure that the issuer of the session still rules it (R101): it may have
    /// moved to another server of the same issuer. This is done before the lease is taken, since it may take a while.
    async fn home(&self, record: &SessionRecord) -> Result<Home, SessionError> {
        let later = |detail: String| SessionError::Retry { detail, after: None };
        let directory = self.sessions.directory();
        let home = match directory.home_of(record.key.did(), self.now, self.http).await {
            Ok(home) => home,
            Err(ResolveError::Did(DidError::Answer(DidDocumentError::Tombstoned))) => {
                return Ok(Home::Elsewhere("the account is no more".to_owned()));
            }
            Err(error) => return Err(later(error.to_string())),
        };
        let server = directory.server_of(&home, self.now, self.http).await;
        let server = server.map_err(|error| later(error.to_string()))?;
        if server.issuer().as_str() == record.issuer {
            return Ok(Home::At(home));
        }
        Ok(Home::Elsewhere(format!("the account has moved to a server that is ruled by {}", server.issuer())))
    }

    async fn ask(&self, record: &SessionRecord, attempt: Attempt) -> Result<TokenAnswer, NoTokens> {
        let Some(refresh_token) = &record.refresh_token else {
            return Err(NoTokens::Refused("the session has no refresh token".to_owned()));
        };
        let auth = self.sessions.auth(record).map_err(NoTokens::Passing)?;
        let channel = channel(record, &auth, &self.live.key);
        let mut nonces = self.live.nonces().clone();
        let form = refresh_form(&record.token_endpoint, refresh_token);
        let their_time = self.live.their_time(self.now);
        let answered = match attempt {
            Attempt::First => {
                channel.post(&form, &mut nonces, &self.seed.child("refresh"), their_time, self.http).await
            }
            Attempt::AfterLoss => {
                let seed = self.seed.child("refresh again");
                channel.post_once(&form, &mut nonces, &seed, their_time, self.http).await
            }
        };
        self.live.nonces().adopt(&record.token_endpoint, &nonces);
        let response = answered.map_err(unanswered)?;
        read(&response, record)
    }

    /// Stores new tokens; only then may anybody use them. When the store does not take them they are kept here, and the
    /// next who uses the session stores them first: the old ones are spent, so there are no others.
    async fn keep(&self, current: SessionRecord, answer: TokenAnswer) -> Result<SessionRecord, SessionError> {
        let next = with_tokens(current, answer, self.now);
        self.live.set_unstored(Some(next.clone()));
        let replaced = self.sessions.store().replace(&next).await?;
        self.live.set_unstored(None);
        match replaced {
            Replaced::Replaced => Ok(next),
            Replaced::Superseded => self.sessions.stored(&next.key).await,
            Replaced::Missing => {
                // Signed out while we asked: what was issued since must not outlive it.
                self.give_back(&next).await;
                Err(SessionError::Gone("it was ended while its tokens were refreshed".to_owned()))
            }
        }
    }

    /// The server refused for good. Unless the refusal was meant for a token that somebody else has replaced, the session
    /// is over (R103).
    async fn refused(&self, current: &SessionRecord, why: String) -> Result<SessionRecord, SessionError> {
        match self.sessions.store().load(&current.key).await? {
            Some(newer) if newer.generation != current.generation => Ok(newer),
            _ => {
                self.sessions.store().remove(&current.key).await?;
                self.sessions.forget(&current.key);
                Err(SessionError::Gone(why))
            }
        }
    }

    async fn give_back(&self, record: &SessionRecord) {
        self.sessions.revoke(record, self.live, self.seed, self.now, self.http).await;
    }
}

/// The session's next record: these tokens in place of those it has.
fn with_tokens(current: SessionRecord, answer: TokenAnswer, now: UnixTime) -> SessionRecord {
    SessionRecord {
        scope: answer.scope.unwrap_or_else(|| current.scope.clone()),
        access_token: answer.access_token,
        refresh_token: answer.refresh_token.or_else(|| current.refresh_token.clone()),
        issued_at: now,
        expires_at: answer.expires_in.map(|span| now.after(span)),
        generation: current.generation.saturating_add(1),
        ..current
    }
}

/// Which time it is that tokens are asked for. Together they take less than the lease lasts, however slow the server is; one
/// that wants a nonce after its answer was lost is asked again by the next call, since it has refused nothing for good.
#[derive(Clone, Copy)]
enum Attempt {
    /// With up to two more requests, for a nonce and for the time.
    First,
    /// One request, after the answer to the first was lost.
    AfterLoss,
}

const _: () = assert!(
    Backchannel::TIMEOUT.as_secs() * (Backchannel::MAX_POSTS as u64 + 1) < Lease::LENGTH.as_secs(),
    "a refresh ends before its lease does"
);

/// Where an account lives by now.
enum Home {
    /// At this server, ruled by the issuer its session was made with.
    At(ServerOrigin),
    /// Where somebody else rules, or nowhere.
    Elsewhere(String),
}

/// Why no tokens came.
enum NoTokens {
    /// For good: the server's word.
    Refused(String),
    /// Nobody knows: they may have been issued.
    Lost(HttpError),
    /// For good: these tokens came, and are not what a refresh gives.
    Unusable(String, Box<TokenAnswer>),
    /// For now, or for reasons of our own.
    Passing(SessionError),
}

/// What no answer means. A server that is slow is asked again later; one whose answer broke off or cannot be taken has
/// most likely issued the tokens.
fn unanswered(error: PostError) -> NoTokens {
    match error {
        PostError::Http(error)
            if matches!(error.kind(), HttpErrorKind::AnswerLost | HttpErrorKind::TooLarge) =>
        {
            NoTokens::Lost(error)
        }
        PostError::Http(error) => {
            NoTokens::Passing(SessionError::Retry { detail: error.to_string(), after: None })
        }
        other => NoTokens::Passing(SessionError::Misconfigured(other.to_string())),
    }
}

/// How soon a session that another node refreshes is looked at again, and how seldom in the end.
const FIRST_LOOK: Duration = Duration::from_millis(50);
const LAST_LOOK: Duration = Duration::from_secs(1);

/// How long a caller waits for another node; a refresh that is answered takes less.
const PATIENCE: Duration = Duration::from_secs(20);

/// Reads the answer to a refresh: which refusals are for good, and which answers are none (R100, R103).
fn read(response: &Response<Bytes>, record: &SessionRecord) -> Result<TokenAnswer, NoTokens> {
    let status = response.status();
    let answer = match TokenAnswer::read(response) {
        Ok(answer) => answer,
        Err(TokenError::Refused { error: Some(refusal), .. }) if FOR_GOOD.contains(&refusal.code) => {
            return Err(NoTokens::Refused(format!("the server refused to go on: {refusal}")));
        }
        Err(error) => {
            let (detail, after) = (format!("{error} ({status})"), retry_after(response.headers()));
            return Err(NoTokens::Passing(SessionError::Retry { detail, after }));
        }
    };
    let rule = if answer.sub.as_deref().is_some_and(|sub| sub != record.key.did().as_str()) {
        "the server answered with the tokens of another account"
    } else if !answer.token_type.eq_ignore_ascii_case("DPoP") {
        "the server answered with a token that is not bound to the key"
    } else if answer.scope.as_ref().is_some_and(|scope| !scope.contains("atproto")) {
        "the server answered with a token that is not for the AT Protocol"
    } else {
        return Ok(answer);
    };
    Err(NoTokens::Unusable(rule.to_owned(), Box::new(answer)))
}

/// Refusals that another try does not change.
const FOR_GOOD: [ErrorCode; 3] =
    [ErrorCode::INVALID_GRANT, ErrorCode::UNAUTHORIZED_CLIENT, ErrorCode::INVALID_TOKEN];

/// `Retry-After` in seconds, at most an hour; the form with a date is passed over.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds: u64 = headers.get(RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds.min(3600)))
}
