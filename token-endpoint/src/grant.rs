//! Grants: what a person, or a client for itself, has allowed. A grant is the server-side session behind a client's tokens.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use thiserror::Error;
use vestibule_dpop::Thumbprint;
use vestibule_oauth_core::{ClientId, ScopeSet, UnixTime, base64url};

use crate::token::TokenHash;

/// Names a grant: 128 random bits, no secret.
///
/// ```
/// use vestibule_token_endpoint::GrantId;
///
/// let id = GrantId::from_entropy([7; 16]);
/// assert_eq!(id.to_string().parse(), Ok(id));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GrantId([u8; 16]);

impl GrantId {
    /// The grant named by these fresh octets.
    pub const fn from_entropy(entropy: [u8; 16]) -> Self {
        Self(entropy)
    }

    /// The octets to store.
    pub const fn as_octets(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for GrantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&base64url::encode(self.0))
    }
}

impl fmt::Debug for GrantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GrantId({self})")
    }
}

impl FromStr for GrantId {
    type Err = InvalidGrantId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        base64url::decode_array(text).map(Self).ok_or(InvalidGrantId)
    }
}

impl Serialize for GrantId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for GrantId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// The text names no grant.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
#[error("a grant's name must be 22 characters of base64url")]
pub struct InvalidGrantId;

/// What was allowed, to whom, by whom and until when. It holds no secret.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Grant {
    /// Its name.
    pub id: GrantId,
    /// The client it was given to.
    pub client: ClientId,
    /// Who gave it: the account's `sub`.
    pub subject: String,
    /// What it allows. A refresh may narrow a token, never the grant.
    pub scope: ScopeSet,
    /// The resources it is for; none is the server's own audience.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub resources: Vec<String>,
    /// The DPoP key it is bound to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proof_key: Option<Thumbprint>,
    /// The key its client has to go on authenticating with, where the profile asks for that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_key: Option<Thumbprint>,
    /// When the person signed in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth_time: Option<UnixTime>,
    /// What the host ties to it and gets back with it, such as the person's session at another server. Not looked at here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<String>,
    /// When it began.
    pub created_at: UnixTime,
    /// When it ends by itself: the absolute life of its refresh tokens, or that of the one access token.
    pub expires_at: UnixTime,
}

impl Grant {
    /// A grant of `scope` by `subject` to `client`, bound to no key.
    pub const fn new(
        id: GrantId,
        client: ClientId,
        subject: String,
        scope: ScopeSet,
        created_at: UnixTime,
        expires_at: UnixTime,
    ) -> Self {
        Self {
            id,
            client,
            subject,
            scope,
            resources: Vec::new(),
            proof_key: None,
            client_key: None,
            auth_time: None,
            context: None,
            created_at,
            expires_at,
        }
    }
}

/// Why a grant ended before its time.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum EndReason {
    /// Its client gave a token back ([RFC 7009](https://www.rfc-editor.org/rfc/rfc7009)).
    Revoked,
    /// Its code was redeemed twice.
    CodeReplayed,
    /// One of its refresh tokens was used after it had been replaced.
    RefreshTokenReused,
    /// The person ended it.
    ByPerson,
    /// The operator ended it, or took its client away.
    ByOperator,
}

impl EndReason {
    /// The word for a log and a store.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Revoked => "revoked",
            Self::CodeReplayed => "code_replayed",
            Self::RefreshTokenReused => "refresh_token_reused",
            Self::ByPerson => "by_person",
            Self::ByOperator => "by_operator",
        }
    }

    /// Every reason there is.
    pub const ALL: [Self; 5] =
        [Self::Revoked, Self::CodeReplayed, Self::RefreshTokenReused, Self::ByPerson, Self::ByOperator];
}

impl fmt::Display for EndReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Revoked => "its client gave it back",
            Self::CodeReplayed => "its code was redeemed twice",
            Self::RefreshTokenReused => "a refresh token of it was used after it had been replaced",
            Self::ByPerson => "the person ended it",
            Self::ByOperator => "the operator ended it",
        })
    }
}

/// A refresh token as a store keeps it.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct RefreshToken {
    /// Its name.
    pub hash: TokenHash,
    /// The grant it goes on with.
    pub grant: GrantId,
    /// When it was issued.
    pub issued_at: UnixTime,
    /// When it ends if it is not used.
    pub expires_at: UnixTime,
}

impl RefreshToken {
    /// A refresh token of `grant`.
    pub const fn new(hash: TokenHash, grant: GrantId, issued_at: UnixTime, expires_at: UnixTime) -> Self {
        Self { hash, grant, issued_at, expires_at }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grant_comes_back_from_a_store_as_it_was() {
        let times = [1_700_000_000, 1_700_000_600].map(UnixTime::from_secs);
        let mut grant = Grant::new(
            GrantId::from_entropy([7; 16]),
            "c".parse().unwrap(),
            "did:plc:abc".to_owned(),
            "a b".parse().unwrap(),
            times[0],
            times[1],
        );
        let round =
            |grant: &Grant| serde_json::from_str::<Grant>(&serde_json::to_string(grant).unwrap()).unwrap();
        assert_eq!(round(&grant), grant);
        grant.resources.push("https://api.example".to_owned());
        grant.proof_key = Some(Thumbprint::from_hash([1; 32]));
        grant.client_key = Some(Thumbprint::from_hash([2; 32]));
        grant.auth_time = Some(times[0]);
        grant.context = Some("upstream".to_owned());
        assert_eq!(round(&grant), grant);
    }

    #[test]
    fn reasons_have_words_of_their_own() {
        for reason in EndReason::ALL {
            assert_eq!(serde_json::to_string(&reason).unwrap(), format!("\"{}\"", reason.as_str()));
        }
    }
}
