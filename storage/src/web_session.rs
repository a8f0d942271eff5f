//! A person's session at this server, and the port behind which such sessions are kept.

use sha2::{Digest, Sha256};
use vestibule_atproto_identity::login::SessionKey;
use vestibule_oauth_core::{BoxFuture, StoreUnavailable, UnixTime};
use vestibule_strategy::ProviderId;

/// Names a web session: the SHA-256 hash of the value in the browser's cookie. Whoever reads the store learns no value
/// that a browser could send.
///
/// ```
/// use vestibule_storage::WebSessionId;
///
/// let id = WebSessionId::of_cookie("q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJA");
/// assert_eq!(WebSessionId::from_octets(*id.as_octets()), id);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct WebSessionId([u8; 32]);

impl WebSessionId {
    /// The name of the session whose cookie has this value.
    pub fn of_cookie(value: &str) -> Self {
        Self(Sha256::digest(value).into())
    }

    /// The id with these octets, as they came out of a store.
    pub const fn from_octets(octets: [u8; 32]) -> Self {
        Self(octets)
    }

    /// The octets to store.
    pub const fn as_octets(&self) -> &[u8; 32] {
        &self.0
    }
}

/// Who is signed in with a browser.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct WebSession {
    /// Its name.
    pub id: WebSessionId,
    /// Who it is: the account's `sub`, which never changes.
    pub subject: String,
    /// By which provider they signed in.
    pub provider: ProviderId,
    /// What to show instead of the subject: a verified handle, as it was at sign-in.
    pub name: Option<String>,
    /// The session at the person's server that this one uses, if the provider gives one.
    pub session: Option<SessionKey>,
    /// When the person signed in.
    pub created_at: UnixTime,
    /// From when on it is no session any more.
    pub expires_at: UnixTime,
}

impl WebSession {
    /// A session with nothing to show and no session behind it; set these fields when there is more to say.
    pub fn new(
        id: WebSessionId,
        subject: impl Into<String>,
        provider: ProviderId,
        created_at: UnixTime,
        expires_at: UnixTime,
    ) -> Self {
        Self { id, subject: subject.into(), provider, name: None, session: None, created_at, expires_at }
    }
}

/// Keeps web sessions. Each act is atomic.
pub trait WebSessionStore: Send + Sync {
    /// Keeps a session, in place of one with the same id if there is one.
    ///
    /// # Errors
    /// [`StoreUnavailable`]: nothing was changed.
    fn put<'a>(&'a self, session: WebSession) -> BoxFuture<'a, Result<(), StoreUnavailable>>;

    /// The session with this id; `None` when there is none or it has expired.
    ///
    /// # Errors
    /// [`StoreUnavailable`].
    fn load<'a>(
        &'a self,
        id: WebSessionId,
        now: UnixTime,
    ) -> BoxFuture<'a, Result<Option<WebSession>, StoreUnavailable>>;

    /// Ends a session, and gives what it was to the one caller that ended it, expired or not.
    ///
    /// # Errors
    /// [`StoreUnavailable`]: it has not ended.
    fn remove<'a>(&'a self, id: WebSessionId) -> BoxFuture<'a, Result<Option<WebSession>, StoreUnavailable>>;

    /// Ends every session of this subject, but for the one that is `spared`, and gives what they were: "sign me out everywhere".
    ///
    /// # Errors
    /// [`StoreUnavailable`]: some may have ended; the rest does when it is asked for again.
    fn remove_all<'a>(
        &'a self,
        subject: &'a str,
        spared: Option<WebSessionId>,
    ) -> BoxFuture<'a, Result<Vec<WebSession>, StoreUnavailable>>;

    /// How many use this session at the person's server: sessions of browsers that have not expired, and grants of apps that have
    /// neither expired nor ended. With the last of them, that one ends as well. (Of two callers that both see none left,
    /// `SessionStore::remove` gives it to one.)
    ///
    /// A grant uses the session whose key, as a text, is its [`context`](vestibule_token_endpoint::Grant::context).
    ///
    /// # Errors
    /// [`StoreUnavailable`].
    fn uses<'a>(
        &'a self,
        session: &'a SessionKey,
        now: UnixTime,
    ) -> BoxFuture<'a, Result<u64, StoreUnavailable>>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_the_sha_256_of_the_cookie() {
        // The hash of "abc", FIPS 180-4.
        let octets = WebSessionId::of_cookie("abc").0;
        assert_eq!(octets[..8], [0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea]);
        assert_ne!(WebSessionId::of_cookie("abc"), WebSessionId::of_cookie("abd"));
    }
}
