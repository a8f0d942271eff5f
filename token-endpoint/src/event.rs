//! What happened, for whoever has to answer "why was I signed out?".

use std::fmt;

use vestibule_oauth_core::ClientId;

use crate::denial::Denial;
use crate::grant::{EndReason, GrantId};
use crate::grant_type::GrantType;

/// One thing that happened at an endpoint. It holds no secret, no code, no token and no verifier.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Event {
    /// What.
    pub kind: EventKind,
    /// Which client asked, as far as that is known; believed only where it was authenticated.
    pub client: Option<ClientId>,
    /// About which grant.
    pub grant: Option<GrantId>,
}

/// What happened.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum EventKind {
    /// Tokens were issued.
    Issued(GrantType),
    /// A lost answer was given again: the same refresh token, with a new access token.
    Repeated,
    /// A request was denied.
    Denied(Denial),
    /// A grant ended before its time.
    GrantEnded(EndReason),
    /// A request was pushed.
    Pushed,
    /// A code was issued.
    CodeIssued,
    /// A device began.
    DeviceBegun,
    /// A token was given back.
    TokenRevoked,
    /// A client sent Basic credentials and a secret in the body; Basic counted.
    BasicBeatBody,
    /// A client's Basic credentials were right as they stood, and wrong once decoded: it does not encode them.
    BasicNotEncoded,
    /// A client that is exempt from PKCE was sent a code, or redeemed one, without it.
    PkceExemptionUsed,
}

impl Event {
    /// Something that happened before it was known whom it is about.
    pub const fn about_nobody(kind: EventKind) -> Self {
        Self::new(kind)
    }

    pub(crate) const fn new(kind: EventKind) -> Self {
        Self { kind, client: None, grant: None }
    }

    pub(crate) fn of_client(mut self, client: &ClientId) -> Self {
        self.client = Some(client.clone());
        self
    }

    pub(crate) const fn about(mut self, grant: GrantId) -> Self {
        self.grant = Some(grant);
        self
    }

    /// Whether somebody should look: something was denied, ended, or let pass that should not be needed.
    pub const fn is_warning(&self) -> bool {
        match &self.kind {
            EventKind::Issued(_)
            | EventKind::Pushed
            | EventKind::CodeIssued
            | EventKind::DeviceBegun
            | EventKind::TokenRevoked => false,
            EventKind::Denied(denial) => !matches!(denial, Denial::AuthorizationPending | Denial::SlowDown),
            EventKind::Repeated
            | EventKind::GrantEnded(_)
            | EventKind::BasicBeatBody
            | EventKind::BasicNotEncoded
            | EventKind::PkceExemptionUsed => true,
        }
    }
}

impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Issued(grant_type) => write!(f, "tokens issued for {grant_type}"),
            Self::Repeated => f.write_str("a lost answer was given again"),
            Self::Denied(denial) => write!(f, "denied: {denial}"),
            Self::GrantEnded(reason) => write!(f, "grant ended: {reason}"),
            Self::Pushed => f.write_str("authorization request pushed"),
            Self::CodeIssued => f.write_str("code issued"),
            Self::DeviceBegun => f.write_str("device authorization begun"),
            Self::TokenRevoked => f.write_str("token given back"),
            Self::BasicBeatBody => f.write_str("the client sends its secret in the header and in the body"),
            Self::BasicNotEncoded => f.write_str("the client does not encode its Basic credentials"),
            Self::PkceExemptionUsed => f.write_str("the client was let through without PKCE"),
        }
    }
}
