//! What this crate asks of a store: atomic acts with total outcomes.
//!
//! Nobody reads first and writes later. What is read ([`Store::code`], [`Store::refresh_token`], [`Store::device`]) is only
//! ever a reason to deny; what is decided is one act, which looks again, and says what came of it. So of a hundred that redeem
//! one code at once, one does, whatever the others have read.
//!
//! A store sees hashes and no code, token or secret that anybody could present. Any act may fail with
//! [`StoreUnavailable`]; then nothing was done, the client is told to try again, and what it holds is still good.

use std::collections::BTreeMap;
use std::sync::Arc;

use vestibule_oauth_core::{BoxFuture, PkceChallenge, RedirectUri, StoreUnavailable, UnixTime};

use crate::access_token::AccessToken;
use crate::authorization::{AuthorizationRequest, RedirectUriSent};
use crate::client::Client;
use crate::device::{Device, DeviceState};
use crate::grant::{EndReason, Grant, GrantId, RefreshToken};
use crate::successor::SealedSuccessor;
use crate::token::TokenHash;

/// Knows the clients.
pub trait Clients: Send + Sync {
    /// The client with this identifier.
    ///
    /// # Errors
    /// [`StoreUnavailable`].
    fn client<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Option<Arc<Client>>, StoreUnavailable>>;
}

/// A list that does not change.
impl Clients for BTreeMap<String, Arc<Client>> {
    fn client<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Option<Arc<Client>>, StoreUnavailable>> {
        Box::pin(std::future::ready(Ok(self.get(id).cloned())))
    }
}

/// Keeps what the endpoints issue.
///
/// Every method has a default that says that this store keeps no such thing, so that whoever needs one grant writes the acts of
/// that grant and no more: client credentials with signed tokens need none.
///
/// `vestibule-storage` has two implementations, and a suite that holds any other to this contract.
pub trait Store: Send + Sync {
    // What is good once.

    /// Remembers `key` until `until`, and says whether it was remembered already.
    ///
    /// # Errors
    /// [`StoreUnavailable`].
    fn remember_once<'a>(
        &'a self,
        key: [u8; 32],
        until: UnixTime,
        now: UnixTime,
    ) -> BoxFuture<'a, Result<Once, StoreUnavailable>> {
        let _ = (key, until, now);
        not_kept("one-time values")
    }

    // Authorization requests and codes.

    /// Keeps a pushed request.
    ///
    /// # Errors
    /// [`StoreUnavailable`]: it is not kept.
    fn push<'a>(&'a self, request: PushedRequest) -> BoxFuture<'a, Result<(), StoreUnavailable>> {
        let _ = request;
        not_kept("pushed requests")
    }

    /// The pushed request of this name, unless a code was issued for it; expired ones may be given or not.
    ///
    /// # Errors
    /// [`StoreUnavailable`].
    fn pushed<'a>(
        &'a self,
        name: TokenHash,
    ) -> BoxFuture<'a, Result<Option<PushedRequest>, StoreUnavailable>> {
        let _ = name;
        not_kept("pushed requests")
    }

    /// Keeps a code, and takes the pushed request away that it is the answer to: of two answers to one request, one gets a code.
    ///
    /// # Errors
    /// [`StoreUnavailable`]: no code was issued, and the request is still there.
    fn issue_code<'a>(
        &'a self,
        code: Code,
        answers: Option<TokenHash>,
    ) -> BoxFuture<'a, Result<CodeIssued, StoreUnavailable>> {
        let _ = (code, answers);
        not_kept("codes")
    }

    /// The code of this name, redeemed or not. A redeemed one is kept, with its client, challenge and grant, until its grant has
    /// expired, so that a replay is known for what it is.
    ///
    /// # Errors
    /// [`StoreUnavailable`].
    fn code<'a>(&'a self, name: TokenHash) -> BoxFuture<'a, Result<Option<StoredCode>, StoreUnavailable>> {
        let _ = name;
        not_kept("codes")
    }

    /// Redeems a code: marks it, and puts in what is issued for it, in one act. Of any number at once, one gets
    /// [`Redeemed::Redeemed`].
    ///
    /// # Errors
    /// [`StoreUnavailable`]: the code is as it was.
    fn redeem_code<'a>(
        &'a self,
        code: TokenHash,
        issuance: Issuance,
        now: UnixTime,
    ) -> BoxFuture<'a, Result<Redeemed, StoreUnavailable>> {
        let _ = (code, issuance, now);
        not_kept("codes")
    }

    // Refresh tokens.

    /// The refresh token of this name with its grant, rotated or not. A rotated one is kept until its grant has expired.
    ///
    /// # Errors
    /// [`StoreUnavailable`].
    fn refresh_token<'a>(
        &'a self,
        name: TokenHash,
    ) -> BoxFuture<'a, Result<Option<StoredRefreshToken>, StoreUnavailable>> {
        let _ = name;
        not_kept("refresh tokens")
    }

    /// Puts a refresh token in the place of another, with the access token that comes with it, in one act: not if it was replaced
    /// before, and not if its grant has ended.
    ///
    /// # Errors
    /// [`StoreUnavailable`]: the old token is as it was.
    fn rotate_refresh<'a>(&'a self, rotation: Rotation) -> BoxFuture<'a, Result<Rotated, StoreUnavailable>> {
        let _ = rotation;
        not_kept("refresh tokens")
    }

    // Access tokens.

    /// Keeps an access token; [`TokenPut::GrantEnded`] if it belongs to a grant that has ended.
    ///
    /// # Errors
    /// [`StoreUnavailable`]: it is not kept.
    fn put_access_token<'a>(
        &'a self,
        token: Arc<AccessToken>,
    ) -> BoxFuture<'a, Result<TokenPut, StoreUnavailable>> {
        let _ = token;
        not_kept("access tokens")
    }

    /// The access token of this name, unless it was taken back or its grant has ended.
    ///
    /// # Errors
    /// [`StoreUnavailable`].
    fn access_token<'a>(
        &'a self,
        name: TokenHash,
    ) -> BoxFuture<'a, Result<Option<Arc<AccessToken>>, StoreUnavailable>> {
        let _ = name;
        not_kept("access tokens")
    }

    /// Takes an access token back: an opaque one goes; that a signed one of this name is good no more is remembered `until` it
    /// ends by itself.
    ///
    /// # Errors
    /// [`StoreUnavailable`]: it is as good as it was.
    fn revoke_access_token<'a>(
        &'a self,
        name: TokenHash,
        until: UnixTime,
    ) -> BoxFuture<'a, Result<(), StoreUnavailable>> {
        let _ = (name, until);
        not_kept("access tokens")
    }

    /// Whether a signed access token of this name was taken back.
    ///
    /// # Errors
    /// [`StoreUnavailable`].
    fn is_revoked<'a>(&'a self, name: TokenHash) -> BoxFuture<'a, Result<Revoked, StoreUnavailable>> {
        let _ = name;
        not_kept("access tokens")
    }

    // Grants.

    /// The grant of this name, ended or not.
    ///
    /// # Errors
    /// [`StoreUnavailable`].
    fn grant<'a>(&'a self, id: GrantId) -> BoxFuture<'a, Result<Option<StoredGrant>, StoreUnavailable>> {
        let _ = id;
        not_kept("grants")
    }

    /// Ends a grant, and with it all its tokens, for this reason. Whoever ends it first gets it; whatever is issued for it at the
    /// same time either went before and has ended too, or is refused.
    ///
    /// # Errors
    /// [`StoreUnavailable`]: it has not ended.
    fn end_grant<'a>(
        &'a self,
        id: GrantId,
        reason: EndReason,
        now: UnixTime,
    ) -> BoxFuture<'a, Result<Option<Grant>, StoreUnavailable>> {
        let _ = (id, reason, now);
        not_kept("grants")
    }

    /// The grants that this subject has given and that have neither ended nor expired, the newest in front.
    ///
    /// # Errors
    /// [`StoreUnavailable`].
    fn grants_of<'a>(
        &'a self,
        subject: &'a str,
        now: UnixTime,
    ) -> BoxFuture<'a, Result<Vec<Grant>, StoreUnavailable>> {
        let _ = (subject, now);
        not_kept("grants")
    }

    /// Ends every grant of this subject, those of codes included that are not redeemed yet, and gives those it ended.
    ///
    /// # Errors
    /// [`StoreUnavailable`]: some may have ended; the rest does when it is asked for again.
    fn end_grants_of<'a>(
        &'a self,
        subject: &'a str,
        reason: EndReason,
        now: UnixTime,
    ) -> BoxFuture<'a, Result<Vec<Grant>, StoreUnavailable>> {
        let _ = (subject, reason, now);
        not_kept("grants")
    }

    // Devices.

    /// Keeps a device; [`DeviceBegun::CodeTaken`] if another one that has not expired shows the same code.
    ///
    /// # Errors
    /// [`StoreUnavailable`]: it is not kept.
    fn begin_device<'a>(
        &'a self,
        device: Device,
        now: UnixTime,
    ) -> BoxFuture<'a, Result<DeviceBegun, StoreUnavailable>> {
        let _ = (device, now);
        not_kept("devices")
    }

    /// The device that shows this code, decided upon or not.
    ///
    /// # Errors
    /// [`StoreUnavailable`].
    fn device_showing<'a>(
        &'a self,
        user_code: TokenHash,
    ) -> BoxFuture<'a, Result<Option<StoredDevice>, StoreUnavailable>> {
        let _ = user_code;
        not_kept("devices")
    }

    /// Notes what the person decided, once: [`Decided::AlreadyDecided`] to whoever comes second.
    ///
    /// # Errors
    /// [`StoreUnavailable`]: nothing is decided.
    fn decide_device<'a>(
        &'a self,
        user_code: TokenHash,
        decision: DeviceDecision,
        now: UnixTime,
    ) -> BoxFuture<'a, Result<Decided, StoreUnavailable>> {
        let _ = (user_code, decision, now);
        not_kept("devices")
    }

    /// The device of this name.
    ///
    /// # Errors
    /// [`StoreUnavailable`].
    fn device<'a>(
        &'a self,
        name: TokenHash,
    ) -> BoxFuture<'a, Result<Option<StoredDevice>, StoreUnavailable>> {
        let _ = name;
        not_kept("devices")
    }

    /// Notes that a device has asked, and says whether it came too soon; if so, it has to wait [`SLOW_DOWN`] longer from now on.
    ///
    /// # Errors
    /// [`StoreUnavailable`].
    ///
    /// [`SLOW_DOWN`]: crate::SLOW_DOWN
    fn poll_device<'a>(
        &'a self,
        name: TokenHash,
        now: UnixTime,
    ) -> BoxFuture<'a, Result<Polled, StoreUnavailable>> {
        let _ = (name, now);
        not_kept("devices")
    }

    /// Redeems the code of a device that was approved, as [`Store::redeem_code`] does a code.
    ///
    /// # Errors
    /// [`StoreUnavailable`]: the device is as it was.
    fn redeem_device<'a>(
        &'a self,
        name: TokenHash,
        issuance: Issuance,
        now: UnixTime,
    ) -> BoxFuture<'a, Result<Redeemed, StoreUnavailable>> {
        let _ = (name, issuance, now);
        not_kept("devices")
    }
}

fn not_kept<'a, T: Send + 'a>(what: &'static str) -> BoxFuture<'a, Result<T, StoreUnavailable>> {
    Box::pin(std::future::ready(Err(StoreUnavailable::new(format!("this store keeps no {what}")))))
}

/// The ports of an endpoint.
#[derive(Clone, Copy)]
#[allow(clippy::exhaustive_structs, reason = "meant to be written out by whoever calls an endpoint")]
pub struct Ports<'a> {
    /// Who the clients are.
    pub clients: &'a dyn Clients,
    /// What was issued to them.
    pub store: &'a dyn Store,
}

impl std::fmt::Debug for Ports<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Ports(..)")
    }
}

/// Whether a one-time value is new.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(clippy::exhaustive_enums, reason = "a total outcome: these three are all there is")]
pub enum Once {
    /// It is, and is remembered.
    Fresh,
    /// It was remembered already.
    Seen,
    /// It may be, and there is no room to remember it.
    Full,
}

/// A pushed authorization request, as a store keeps it.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(clippy::exhaustive_structs, reason = "a name, what it stands for, and its end")]
pub struct PushedRequest {
    /// The hash of its `request_uri`.
    pub name: TokenHash,
    /// The request.
    pub request: AuthorizationRequest,
    /// Until when a browser may come with it.
    pub expires_at: UnixTime,
}

/// An authorization code, as a store keeps it.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
#[non_exhaustive]
pub struct Code {
    /// Its name.
    pub hash: TokenHash,
    /// The grant that its redemption begins. Until then it is nobody's.
    pub grant: Grant,
    /// Where it was sent.
    pub redirect_uri: RedirectUri,
    /// Whether the client had named that place.
    pub redirect_uri_sent: RedirectUriSent,
    /// The challenge that its client has to answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub challenge: Option<PkceChallenge>,
    /// What goes into an ID token as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nonce: Option<String>,
    /// Until when it may be redeemed.
    pub expires_at: UnixTime,
}

/// Whether a code was issued.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(clippy::exhaustive_enums, reason = "a total outcome: these two are all there is")]
pub enum CodeIssued {
    /// It was.
    Issued,
    /// The request was answered before, or is not there any more.
    RequestSpent,
}

/// A code, and what became of it.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(clippy::exhaustive_structs, reason = "a record and its fate")]
pub struct StoredCode {
    /// The code.
    pub code: Code,
    /// When it was redeemed.
    pub redeemed_at: Option<UnixTime>,
    /// Why its grant has ended, if it has.
    pub ended: Option<EndReason>,
}

/// What is put in when a code is redeemed.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(clippy::exhaustive_structs, reason = "three records that are put in together")]
pub struct Issuance {
    /// The grant that begins.
    pub grant: Grant,
    /// Its first refresh token.
    pub refresh: Option<RefreshToken>,
    /// Its first access token, if it is opaque.
    pub access: Option<Arc<AccessToken>>,
}

/// What came of redeeming a code.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(clippy::exhaustive_enums, reason = "a total outcome: these are all there is")]
pub enum Redeemed {
    /// It was redeemed, now and by this act.
    Redeemed,
    /// It was redeemed before, at this time, and began this grant.
    AlreadyRedeemed {
        /// The grant.
        grant: GrantId,
        /// When.
        at: UnixTime,
    },
    /// There is no such code, or its grant has ended.
    Missing,
}

/// One refresh token for another.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(clippy::exhaustive_structs, reason = "all that one act needs")]
pub struct Rotation {
    /// The token that is replaced.
    pub old: TokenHash,
    /// The one that takes its place, sealed for whoever holds the old one.
    pub sealed: SealedSuccessor,
    /// The one that takes its place.
    pub next: RefreshToken,
    /// The access token that comes with it, if it is opaque.
    pub access: Option<Arc<AccessToken>>,
    /// When.
    pub now: UnixTime,
}

/// What came of a rotation.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(clippy::exhaustive_enums, reason = "a total outcome: these three are all there is")]
pub enum Rotated {
    /// The token was replaced, now and by this act.
    Rotated,
    /// It was replaced before.
    Reused(Replaced),
    /// There is no such token, or its grant has ended.
    Missing,
}

/// How a refresh token was replaced.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(clippy::exhaustive_structs, reason = "what is known of a replacement")]
pub struct Replaced {
    /// When.
    pub at: UnixTime,
    /// Whether its successor was replaced in turn: then whoever holds this one has lost more than an answer.
    pub successor_used: bool,
    /// The name of its successor.
    pub successor: TokenHash,
    /// Its successor, for whoever has the token itself.
    pub sealed: SealedSuccessor,
}

/// A refresh token, its grant, and what became of both.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(clippy::exhaustive_structs, reason = "a record and its fate")]
pub struct StoredRefreshToken {
    /// The token.
    pub token: RefreshToken,
    /// Its grant.
    pub grant: Grant,
    /// How it was replaced, if it was.
    pub replaced: Option<Replaced>,
    /// Why its grant has ended, if it has.
    pub ended: Option<EndReason>,
}

/// A grant, and what became of it.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(clippy::exhaustive_structs, reason = "a record and its fate")]
pub struct StoredGrant {
    /// The grant.
    pub grant: Grant,
    /// Why it has ended, if it has.
    pub ended: Option<EndReason>,
}

/// Whether an access token is kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(clippy::exhaustive_enums, reason = "a total outcome: these two are all there is")]
pub enum TokenPut {
    /// It is.
    Kept,
    /// Its grant has ended.
    GrantEnded,
}

/// Whether a token was taken back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(clippy::exhaustive_enums, reason = "it was or was not")]
pub enum Revoked {
    /// It was.
    Yes,
    /// It was not.
    No,
}

/// A device, and how far it has come.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(clippy::exhaustive_structs, reason = "a record and its fate")]
pub struct StoredDevice {
    /// The device.
    pub device: Device,
    /// How far it has come.
    pub state: DeviceState,
}

/// Whether a device is kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(clippy::exhaustive_enums, reason = "a total outcome: these two are all there is")]
pub enum DeviceBegun {
    /// It is.
    Begun,
    /// Another device shows that code: draw another one.
    CodeTaken,
}

/// What the person decided.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(clippy::exhaustive_enums, reason = "yes or no")]
pub enum DeviceDecision {
    /// Yes: the grant that its tokens begin.
    Approve(Box<Grant>),
    /// No.
    Deny,
}

/// Whether a decision was noted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(clippy::exhaustive_enums, reason = "a total outcome: these three are all there is")]
pub enum Decided {
    /// It was.
    Decided,
    /// Somebody decided before.
    AlreadyDecided,
    /// There is no such device, or it has expired.
    Missing,
}

/// Whether a device came in time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(clippy::exhaustive_enums, reason = "a total outcome: these three are all there is")]
pub enum Polled {
    /// It did.
    InTime,
    /// It came too soon.
    TooSoon,
    /// There is no such device.
    Missing,
}
