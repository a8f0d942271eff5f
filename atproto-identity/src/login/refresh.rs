//! New tokens for old: one refresh of one session (R99 to R104).

use std::time::Duration;

use bytes::Bytes;
use http::Response;
use http::header::{HeaderMap, RETRY_AFTER};
use vestibule_oauth_core::{ErrorCode, HttpClient, Seed, UnixTime};
use vestibule_strategy::token::refresh_form;
use vestibule_strategy::{TokenAnswer, TokenError};

use super::live::Live;
use super::session::{Replaced, SessionRecord};
use super::sessions::{SessionError, Sessions, channel};

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
        match self.ask(&current).await {
            Ok(answer) => self.keep(current, answer).await,
            Err(NoTokens::Refused(why)) => self.refused(&current, why).await,
            Err(NoTokens::Unusable(why, answer)) => {
                let outcome = self.refused(&current, why).await;
                // Nobody will use them: they go back (R81), whatever became of the session.
                self.give_back(&with_tokens(current, *answer, self.now)).await;
                outcome
            }
            Err(NoTokens::Passing(error)) => Err(error),
        }
    }

    async fn ask(&self, record: &SessionRecord) -> Result<TokenAnswer, NoTokens> {
        let Some(refresh_token) = &record.refresh_token else {
            return Err(NoTokens::Refused("the session has no refresh token".to_owned()));
        };
        let auth = self.sessions.auth(record).map_err(NoTokens::Passing)?;
        let channel = channel(record, &auth, &self.live.key);
        let mut nonces = self.live.nonces().clone();
        let form = refresh_form(&record.token_endpoint, refresh_token);
        let seed = self.seed.child("refresh");
        let answered = channel.post(&form, &mut nonces, &seed, self.now, self.http).await;
        self.live.nonces().adopt(&record.token_endpoint, &nonces);
        let response = answered.map_err(|error| NoTokens::Passing(error.into()))?;
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

/// Why no tokens came.
enum NoTokens {
    /// For good: the server's word.
    Refused(String),
    /// For good: these tokens came, and are not what a refresh gives.
    Unusable(String, Box<TokenAnswer>),
    /// For now, or for reasons of our own.
    Passing(SessionError),
}

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
