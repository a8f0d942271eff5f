//! A store that can be told to fail, before an act or after it, and to let others go first.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::task::Poll;

use vestibule_oauth_core::{BoxFuture, StoreUnavailable, UnixTime};
use vestibule_storage::MemoryStore;
use vestibule_token_endpoint::{
    AccessToken, Code, CodeIssued, Decided, Device, DeviceBegun, DeviceDecision, EndReason, Grant, GrantId,
    Issuance, Once, Polled, PushedRequest, Redeemed, Revoked, Rotated, Rotation, Store, StoredCode,
    StoredDevice, StoredGrant, StoredRefreshToken, TokenHash, TokenPut,
};

/// A store in memory. While [`Flaky::fail_after`] counts, acts go through; when it is at zero, they fail.
#[derive(Debug)]
pub(crate) struct Flaky {
    pub(crate) inner: MemoryStore,
    left: AtomicU32,
    polite: AtomicBool,
}

impl Flaky {
    pub(crate) fn new() -> Self {
        Self { inner: MemoryStore::new(), left: AtomicU32::new(u32::MAX), polite: AtomicBool::new(false) }
    }

    /// From now on every act waits once before it is done, so that whoever polls says who is next; or none does.
    pub(crate) fn take_turns(&self, turns: Turns) {
        self.polite.store(turns == Turns::Taken, Ordering::SeqCst);
    }

    async fn turn(&self) {
        let mut waits = self.polite.load(Ordering::SeqCst);
        let once = |_: &mut std::task::Context<'_>| match std::mem::take(&mut waits) {
            true => Poll::Pending,
            false => Poll::Ready(()),
        };
        std::future::poll_fn(once).await;
    }

    /// From now on so many acts go through, and then none; `u32::MAX`: all do.
    pub(crate) fn fail_after(&self, acts: u32) {
        self.left.store(acts, Ordering::SeqCst);
    }

    fn is_down(&self) -> bool {
        let count = |left: u32| match left {
            u32::MAX => None,
            0 => None,
            left => Some(left - 1),
        };
        match self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, count) {
            Ok(_) => false,
            Err(left) => left == 0,
        }
    }
}

/// Whether acts wait for their turn.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Turns {
    /// Each waits once.
    Taken,
    /// Each is done at once.
    NotTaken,
}

/// Every act, passed on unless the store is down.
macro_rules! acts {
    ($($name:ident($($arg:ident: $type:ty),*) -> $out:ty;)*) => {
        impl Store for Flaky {
            $(fn $name<'a>(&'a self, $($arg: $type),*) -> BoxFuture<'a, Result<$out, StoreUnavailable>> {
                Box::pin(async move {
                    self.turn().await;
                    if self.is_down() {
                        return Err(StoreUnavailable::new("the store is down"));
                    }
                    self.inner.$name($($arg),*).await
                })
            })*
        }
    };
}

acts! {
    remember_once(key: [u8; 32], until: UnixTime, now: UnixTime) -> Once;
    push(request: PushedRequest) -> ();
    pushed(name: TokenHash) -> Option<PushedRequest>;
    issue_code(code: Code, answers: Option<TokenHash>) -> CodeIssued;
    code(name: TokenHash) -> Option<StoredCode>;
    redeem_code(code: TokenHash, issuance: Issuance, now: UnixTime) -> Redeemed;
    refresh_token(name: TokenHash) -> Option<StoredRefreshToken>;
    rotate_refresh(rotation: Rotation) -> Rotated;
    put_access_token(token: Arc<AccessToken>) -> TokenPut;
    access_token(name: TokenHash) -> Option<Arc<AccessToken>>;
    revoke_access_token(name: TokenHash, until: UnixTime) -> ();
    is_revoked(name: TokenHash) -> Revoked;
    grant(id: GrantId) -> Option<StoredGrant>;
    end_grant(id: GrantId, reason: EndReason, now: UnixTime) -> Option<Grant>;
    grants_of(subject: &'a str, now: UnixTime) -> Vec<Grant>;
    end_grants_of(subject: &'a str, reason: EndReason, now: UnixTime) -> Vec<Grant>;
    begin_device(device: Device, now: UnixTime) -> DeviceBegun;
    device_showing(user_code: TokenHash) -> Option<StoredDevice>;
    decide_device(user_code: TokenHash, decision: DeviceDecision, now: UnixTime) -> Decided;
    device(name: TokenHash) -> Option<StoredDevice>;
    poll_device(name: TokenHash, now: UnixTime) -> Polled;
    redeem_device(name: TokenHash, issuance: Issuance, now: UnixTime) -> Redeemed;
}
