//! Accounts: one person, and every identity they sign in with.

use vestibule_oauth_core::{BoxFuture, StoreUnavailable, UnixTime};
use vestibule_strategy::{Auth, ProviderId};

/// What an identity is known by: where its `uid` means one person, and the uid. Never an e-mail address.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[non_exhaustive]
pub struct IdentityKey {
    /// The issuer, or the name of a provider that has none.
    pub realm: String,
    /// The person's permanent name there.
    pub uid: String,
}

impl IdentityKey {
    /// The identity of this name in this realm.
    pub fn new(realm: impl Into<String>, uid: impl Into<String>) -> Self {
        Self { realm: realm.into(), uid: uid.into() }
    }

    /// The identity that somebody signed in with.
    ///
    /// ```
    /// use vestibule_storage::IdentityKey;
    /// use vestibule_strategy::Auth;
    ///
    /// let auth = Auth::new("42", "github".parse().unwrap(), "github");
    /// assert_eq!(IdentityKey::of(&auth), IdentityKey::new("github", "42"));
    /// ```
    pub fn of(auth: &Auth) -> Self {
        let (realm, uid) = auth.account();
        Self::new(realm, uid)
    }
}

/// An identity, as it belongs to an account.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Identity {
    /// What it is known by.
    pub key: IdentityKey,
    /// The provider it was last signed in with.
    pub provider: ProviderId,
    /// What to show of it: a handle, a login, as it was at the last sign-in.
    pub name: Option<String>,
    /// Since when it belongs to the account.
    pub since: UnixTime,
}

impl Identity {
    /// An identity that belongs to an account from `since` on.
    pub const fn new(key: IdentityKey, provider: ProviderId, name: Option<String>, since: UnixTime) -> Self {
        Self { key, provider, name, since }
    }
}

/// Keeps who signs in to which account. Each act is atomic.
///
/// An account is named by its subject, which is fixed when it is made and never changes, whatever is linked and unlinked: it is the
/// `sub` that apps know the person by.
pub trait AccountStore: Send + Sync {
    /// Says which account an identity signs in to, and makes one if it has none: with the first of `subjects` that no account has.
    /// What is shown of the identity is kept as it is now.
    ///
    /// # Errors
    /// [`StoreUnavailable`], also when every one of `subjects` is taken: nothing was changed.
    fn sign_in<'a>(
        &'a self,
        identity: Identity,
        subjects: Vec<String>,
    ) -> BoxFuture<'a, Result<String, StoreUnavailable>>;

    /// Adds an identity to an account.
    ///
    /// # Errors
    /// [`StoreUnavailable`]: nothing was changed.
    fn link<'a>(
        &'a self,
        subject: &'a str,
        identity: Identity,
    ) -> BoxFuture<'a, Result<Linked, StoreUnavailable>>;

    /// Takes an identity away from an account.
    ///
    /// # Errors
    /// [`StoreUnavailable`]: nothing was changed.
    fn unlink<'a>(
        &'a self,
        subject: &'a str,
        identity: IdentityKey,
    ) -> BoxFuture<'a, Result<Unlinked, StoreUnavailable>>;

    /// The identities of an account, those that belong to it longest first; none if there is no such account.
    ///
    /// # Errors
    /// [`StoreUnavailable`].
    fn identities<'a>(&'a self, subject: &'a str) -> BoxFuture<'a, Result<Vec<Identity>, StoreUnavailable>>;
}

/// What came of linking.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(clippy::exhaustive_enums, reason = "a total outcome: these are all there is")]
pub enum Linked {
    /// It belongs to the account now.
    Linked,
    /// It belonged to it before.
    Already,
    /// It signs in to another account, and goes on doing so: nobody's account is taken over by linking.
    Taken,
    /// The account has [`IDENTITIES_PER_ACCOUNT`] of them.
    ///
    /// [`IDENTITIES_PER_ACCOUNT`]: crate::IDENTITIES_PER_ACCOUNT
    Full,
    /// There is no such account.
    NoAccount,
}

/// What came of unlinking.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(clippy::exhaustive_enums, reason = "a total outcome: these are all there is")]
pub enum Unlinked {
    /// It belongs to no account now.
    Unlinked,
    /// It is the last one, and stays: without it nobody could sign in to the account any more.
    Last,
    /// It does not belong to the account.
    Missing,
}
