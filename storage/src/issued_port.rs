//! The port of what the token endpoint issues, for a store whose acts are methods of its own in several files: which act is which method.

/// Implements [`Store`](vestibule_token_endpoint::Store) by the methods of a database's store.
macro_rules! issued_by_methods {
    ($store:ty) => {
        const _: () = {
            use std::sync::Arc;

            use vestibule_oauth_core::{BoxFuture, StoreUnavailable, UnixTime};
            use vestibule_token_endpoint::{
                AccessToken, Code, CodeIssued, Decided, Device, DeviceBegun, DeviceDecision, EndReason,
                Grant, GrantId, Issuance, Once, Polled, PushedRequest, Redeemed, Revoked, Rotated, Rotation,
                Store, StoredCode, StoredDevice, StoredGrant, StoredRefreshToken, TokenHash, TokenPut,
            };

            impl Store for $store {
                fn remember_once<'a>(
                    &'a self,
                    key: [u8; 32],
                    until: UnixTime,
                    now: UnixTime,
                ) -> BoxFuture<'a, Result<Once, StoreUnavailable>> {
                    Box::pin(self.once(key, until, now))
                }

                fn push<'a>(&'a self, request: PushedRequest) -> BoxFuture<'a, Result<(), StoreUnavailable>> {
                    Box::pin(self.push_request(request))
                }

                fn pushed<'a>(
                    &'a self,
                    name: TokenHash,
                ) -> BoxFuture<'a, Result<Option<PushedRequest>, StoreUnavailable>> {
                    Box::pin(self.pushed_request(name))
                }

                fn issue_code<'a>(
                    &'a self,
                    code: Code,
                    answers: Option<TokenHash>,
                ) -> BoxFuture<'a, Result<CodeIssued, StoreUnavailable>> {
                    Box::pin(self.put_code(code, answers))
                }

                fn code<'a>(
                    &'a self,
                    name: TokenHash,
                ) -> BoxFuture<'a, Result<Option<StoredCode>, StoreUnavailable>> {
                    Box::pin(self.load_code(name))
                }

                fn redeem_code<'a>(
                    &'a self,
                    code: TokenHash,
                    issuance: Issuance,
                    now: UnixTime,
                ) -> BoxFuture<'a, Result<Redeemed, StoreUnavailable>> {
                    Box::pin(self.spend_code(code, issuance, now))
                }

                fn refresh_token<'a>(
                    &'a self,
                    name: TokenHash,
                ) -> BoxFuture<'a, Result<Option<StoredRefreshToken>, StoreUnavailable>> {
                    Box::pin(self.load_refresh(name))
                }

                fn rotate_refresh<'a>(
                    &'a self,
                    rotation: Rotation,
                ) -> BoxFuture<'a, Result<Rotated, StoreUnavailable>> {
                    Box::pin(self.rotate(rotation))
                }

                fn put_access_token<'a>(
                    &'a self,
                    token: Arc<AccessToken>,
                ) -> BoxFuture<'a, Result<TokenPut, StoreUnavailable>> {
                    Box::pin(self.put_access(token))
                }

                fn access_token<'a>(
                    &'a self,
                    name: TokenHash,
                ) -> BoxFuture<'a, Result<Option<Arc<AccessToken>>, StoreUnavailable>> {
                    Box::pin(self.load_access(name))
                }

                fn revoke_access_token<'a>(
                    &'a self,
                    name: TokenHash,
                    until: UnixTime,
                ) -> BoxFuture<'a, Result<(), StoreUnavailable>> {
                    Box::pin(self.revoke_access(name, until))
                }

                fn is_revoked<'a>(
                    &'a self,
                    name: TokenHash,
                ) -> BoxFuture<'a, Result<Revoked, StoreUnavailable>> {
                    Box::pin(self.was_revoked(name))
                }

                fn grant<'a>(
                    &'a self,
                    id: GrantId,
                ) -> BoxFuture<'a, Result<Option<StoredGrant>, StoreUnavailable>> {
                    Box::pin(self.load_grant(id))
                }

                fn end_grant<'a>(
                    &'a self,
                    id: GrantId,
                    reason: EndReason,
                    now: UnixTime,
                ) -> BoxFuture<'a, Result<Option<Grant>, StoreUnavailable>> {
                    Box::pin(self.end_one(id, reason, now))
                }

                fn grants_of<'a>(
                    &'a self,
                    subject: &'a str,
                    now: UnixTime,
                ) -> BoxFuture<'a, Result<Vec<Grant>, StoreUnavailable>> {
                    Box::pin(self.live_grants(subject, now))
                }

                fn end_grants_of<'a>(
                    &'a self,
                    subject: &'a str,
                    reason: EndReason,
                    now: UnixTime,
                ) -> BoxFuture<'a, Result<Vec<Grant>, StoreUnavailable>> {
                    Box::pin(self.end_all(subject, reason, now))
                }

                fn begin_device<'a>(
                    &'a self,
                    device: Device,
                    now: UnixTime,
                ) -> BoxFuture<'a, Result<DeviceBegun, StoreUnavailable>> {
                    Box::pin(self.put_device(device, now))
                }

                fn device_showing<'a>(
                    &'a self,
                    user_code: TokenHash,
                ) -> BoxFuture<'a, Result<Option<StoredDevice>, StoreUnavailable>> {
                    Box::pin(self.load_device_showing(user_code))
                }

                fn decide_device<'a>(
                    &'a self,
                    user_code: TokenHash,
                    decision: DeviceDecision,
                    now: UnixTime,
                ) -> BoxFuture<'a, Result<Decided, StoreUnavailable>> {
                    Box::pin(self.note_decision(user_code, decision, now))
                }

                fn device<'a>(
                    &'a self,
                    name: TokenHash,
                ) -> BoxFuture<'a, Result<Option<StoredDevice>, StoreUnavailable>> {
                    Box::pin(self.load_device(name))
                }

                fn poll_device<'a>(
                    &'a self,
                    name: TokenHash,
                    now: UnixTime,
                ) -> BoxFuture<'a, Result<Polled, StoreUnavailable>> {
                    Box::pin(self.note_poll(name, now))
                }

                fn redeem_device<'a>(
                    &'a self,
                    name: TokenHash,
                    issuance: Issuance,
                    now: UnixTime,
                ) -> BoxFuture<'a, Result<Redeemed, StoreUnavailable>> {
                    Box::pin(self.spend_device(name, issuance, now))
                }
            }
        };
    };
}

pub(crate) use issued_by_methods;
