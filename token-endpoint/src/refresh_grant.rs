//! Refresh tokens for new ones ([RFC 6749, section 6], with rotation, [RFC 9700, section 4.14.2]).
//!
//! A refresh token is replaced each time it is used, and one that is used again after that is in two hands: then the grant ends.
//! But an answer that was lost on its way looks the same from here, and nobody should be signed out by a bad connection. So for a
//! minute, and only as long as the successor was not used, whoever presents the old token is given the **same** successor again.
//! If it was the client, it has lost nothing. If it was a thief, thief and client now share one token, and the first use after
//! that shows it.
//!
//! [RFC 6749, section 6]: https://www.rfc-editor.org/rfc/rfc6749#section-6
//! [RFC 9700, section 4.14.2]: https://www.rfc-editor.org/rfc/rfc9700#section-4.14.2

use std::time::Duration;

use vestibule_oauth_core::UnixTime;

use crate::client_request::ClientRequest;
use crate::denial::{Denial, Reuse};
use crate::event::EventKind;
use crate::grant::{EndReason, Grant, GrantId};
use crate::grant_type::GrantType;
use crate::issue::{Conclusion, Deciding, Issued, Order};
use crate::store::{Replaced, Rotated, Rotation, StoredRefreshToken};
use crate::successor::SealedSuccessor;
use crate::target;
use crate::token::{OpaqueToken, TokenHash, TokenKind};

/// A refresh token that somebody presents.
#[derive(Debug)]
pub struct RefreshRequest {
    token: Option<Presented>,
}

/// A refresh token, and its name.
#[derive(Debug)]
struct Presented {
    token: OpaqueToken,
    name: TokenHash,
}

/// What is to be done about a refresh token.
#[derive(Debug)]
#[allow(clippy::exhaustive_enums, reason = "whoever drives the steps has to do each of these")]
pub enum RefreshDecision {
    /// Replace it, by one act of the store.
    Rotate(Box<Rotate>),
    /// There is nothing to replace.
    Conclude(Conclusion),
}

/// A refresh token about to be replaced: hand [`Rotate::rotation`] to
/// [`Store::rotate_refresh`](crate::Store::rotate_refresh), and what comes back to [`Rotate::conclude`].
#[derive(Debug)]
pub struct Rotate {
    rotation: Rotation,
    /// The answer if it is ours.
    issued: Issued,
    presented: Presented,
    window: Window,
}

/// How long a lost answer is given again.
#[derive(Clone, Copy, Debug)]
struct Window {
    grant: GrantId,
    length: Duration,
    now: UnixTime,
}

impl RefreshRequest {
    pub(crate) fn read(form: &ClientRequest<'_>) -> Result<Self, Denial> {
        let token = OpaqueToken::parse(TokenKind::Refresh, form.required("refresh_token")?);
        Ok(Self { token: token.map(|token| Presented { name: token.hash(), token }) })
    }

    /// The name of the token, to look for in the store; `None` for what was never a refresh token of this server.
    pub fn presented(&self) -> Option<TokenHash> {
        self.token.as_ref().map(|presented| presented.name)
    }

    /// Holds the request against the token as the store has it.
    ///
    /// # Errors
    /// A [`Denial`]; nothing has changed. A request of another client, without the key, or for more than was granted harms nobody
    /// but itself (T38).
    pub fn decide(
        self,
        cx: &Deciding<'_>,
        stored: Option<StoredRefreshToken>,
    ) -> Result<RefreshDecision, Denial> {
        cx.may_use(&GrantType::REFRESH_TOKEN)?;
        let (Some(presented), Some(stored)) = (self.token, stored) else {
            return Err(Denial::RefreshTokenUnknown);
        };
        let StoredRefreshToken { token, grant, replaced, ended } = stored;
        if grant.client != cx.client().id {
            return Err(Denial::RefreshTokenOfOtherClient);
        }
        if let Some(reason) = ended {
            return Err(Denial::GrantEnded(reason));
        }
        cx.holds(grant.proof_key.as_ref())?;
        cx.authenticates_with(grant.client_key.as_ref())?;
        cx.proof_if_wanted()?;
        let scope = cx.narrowed(&grant.scope)?;
        let resources = target::narrow(cx.form.params(), &grant.resources)?;
        if grant.expires_at <= cx.now {
            return Err(Denial::RefreshTokenExpired);
        }

        let window = Window { grant: grant.id, length: cx.endpoint.setup().lost_answer, now: cx.now };
        let issue = || {
            cx.issue(Order {
                grant_type: GrantType::REFRESH_TOKEN,
                grant: Some(grant.id),
                subject: &grant.subject,
                scope,
                resources,
                actors: Vec::new(),
                ends_by: Some(grant.expires_at),
            })
        };
        if let Some(replaced) = replaced {
            let conclusion = match window.successor(&replaced, &presented) {
                Ok(successor) => repeat(issue()?, &successor),
                Err(reuse) => window.end(reuse),
            };
            return Ok(RefreshDecision::Conclude(conclusion));
        }
        if token.expires_at <= cx.now {
            return Err(Denial::RefreshTokenExpired);
        }
        if cx.keeps_refresh_token(&grant) {
            return Ok(RefreshDecision::Conclude(Conclusion::giving(issue()?)));
        }
        Ok(rotate(cx, &grant, presented, issue()?, window))
    }
}

fn rotate(
    cx: &Deciding<'_>,
    grant: &Grant,
    presented: Presented,
    mut issued: Issued,
    window: Window,
) -> RefreshDecision {
    let (successor, next) = cx.refresh_token(grant);
    let sealed = SealedSuccessor::seal(&successor, &presented.token);
    let rotation =
        Rotation { old: presented.name, sealed, next, access: issued.access_record(), now: cx.now };
    let issued = issued.with_refresh_token(&successor);
    RefreshDecision::Rotate(Box::new(Rotate { rotation, issued, presented, window }))
}

/// The same successor again, with an access token of its own.
fn repeat(issued: Issued, successor: &OpaqueToken) -> Conclusion {
    let mut issued = issued.with_refresh_token(successor);
    issued.note(EventKind::Repeated);
    Conclusion::giving(issued)
}

impl Rotate {
    /// What the store is to do.
    pub const fn rotation(&self) -> &Rotation {
        &self.rotation
    }

    /// What an outcome means.
    pub fn conclude(self, outcome: Rotated) -> Conclusion {
        match outcome {
            Rotated::Rotated => Conclusion::Answer(Box::new(self.issued)),
            // Somebody was faster: most likely the same client, twice at once.
            Rotated::Reused(replaced) => match self.window.successor(&replaced, &self.presented) {
                Ok(successor) => match self.rotation.access {
                    Some(access) => {
                        let mut issued = self.issued.with_refresh_token(&successor);
                        issued.note(EventKind::Repeated);
                        Conclusion::Keep(access, Box::new(issued))
                    }
                    None => repeat(self.issued, &successor),
                },
                Err(reuse) => self.window.end(reuse),
            },
            Rotated::Missing => Conclusion::Deny(Denial::RefreshTokenUnknown),
        }
    }
}

impl Window {
    /// The successor, if it may be told again.
    fn successor(self, replaced: &Replaced, presented: &Presented) -> Result<OpaqueToken, Reuse> {
        if replaced.successor_used {
            return Err(Reuse::SuccessorUsed);
        }
        // Two nodes' clocks: one that is behind sees a replacement of the future, which is not old.
        if self.now.since(replaced.at) >= self.length {
            return Err(Reuse::TooLate);
        }
        replaced.sealed.open(&presented.token, replaced.successor).ok_or(Reuse::Unreadable)
    }

    const fn end(self, reuse: Reuse) -> Conclusion {
        Conclusion::EndGrant(self.grant, EndReason::RefreshTokenReused, Denial::RefreshTokenReused(reuse))
    }
}
