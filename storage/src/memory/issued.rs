//! What the token endpoint issues.
//!
//! Everything that belongs to one grant (its code, its refresh tokens, whether it has ended) is in one cell with one lock: an act on a
//! grant is atomic because it holds that lock, and acts on different grants never meet. The maps beside only say which cell a hash
//! leads to. Who holds the lock of a cell may take that of a map; nobody does it the other way round.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use vestibule_dpop::{Remembered, ReplayWindow};
use vestibule_oauth_core::{BoxFuture, StoreUnavailable, UnixTime};
use vestibule_token_endpoint::{
    AccessToken, Code, CodeIssued, Decided, Device, DeviceBegun, DeviceDecision, EndReason, Grant, GrantId,
    Issuance, Once, Polled, PushedRequest, Redeemed, RefreshToken, Replaced, Revoked, Rotated, Rotation,
    SealedSuccessor, Store, StoredCode, StoredDevice, StoredGrant, StoredRefreshToken, TokenHash, TokenPut,
};

use super::devices::Devices;
use super::shards::{Full, Shards};
use super::{MemoryStore, full, lock};
use crate::limits::{self, PUSHED};

/// Grants and what leads to them.
#[derive(Debug)]
pub(super) struct Issued {
    codes: Shards<TokenHash, Arc<Cell>>,
    refresh: Shards<TokenHash, Arc<Cell>>,
    grants: Shards<GrantId, Arc<Cell>>,
    access: Shards<TokenHash, Access>,
    /// Signed access tokens that were taken back, until when.
    revoked: Shards<TokenHash, UnixTime>,
    pushed: Shards<TokenHash, PushedRequest>,
    pub(super) devices: Devices,
    by_subject: Named,
    /// By what the host ties to them.
    by_context: Named,
    once: Vec<Mutex<ReplayWindow>>,
}

/// Grants by something that several may share.
#[derive(Default, Debug)]
struct Named(Mutex<BTreeMap<(String, GrantId), Arc<Cell>>>);

impl Named {
    fn insert(&self, name: &str, grant: GrantId, cell: &Arc<Cell>) {
        lock(&self.0).insert((name.to_owned(), grant), Arc::clone(cell));
    }

    fn of(&self, name: &str) -> Vec<Arc<Cell>> {
        let cells = lock(&self.0);
        let first = (name.to_owned(), GrantId::from_entropy([0; 16]));
        cells.range(first..).take_while(|((of, _), _)| of == name).map(|(_, cell)| Arc::clone(cell)).collect()
    }

    /// All of them, to be looked at with no lock held.
    fn all(&self) -> Vec<((String, GrantId), Arc<Cell>)> {
        lock(&self.0).iter().map(|(name, cell)| (name.clone(), Arc::clone(cell))).collect()
    }

    fn retain(&self, keep: impl Fn(&Arc<Cell>) -> bool) {
        let all = self.all();
        let gone: Vec<_> = all.into_iter().filter(|(_, cell)| !keep(cell)).map(|(name, _)| name).collect();
        let mut cells = lock(&self.0);
        gone.iter().for_each(|name| drop(cells.remove(name)));
    }
}

/// One grant.
#[derive(Debug)]
struct Cell(Mutex<State>);

#[derive(Debug)]
struct State {
    grant: Grant,
    code: Option<Code>,
    redeemed_at: Option<UnixTime>,
    ended: Option<EndReason>,
    refresh: BTreeMap<TokenHash, Refresh>,
}

#[derive(Debug)]
struct Refresh {
    token: RefreshToken,
    replaced: Option<(UnixTime, TokenHash, SealedSuccessor)>,
}

#[derive(Debug)]
struct Access {
    token: Arc<AccessToken>,
    cell: Option<Arc<Cell>>,
}

/// Signed tokens are not kept, so this is for opaque ones: at half a kilobyte each, half a gigabyte when it is full.
const ACCESS_TOKENS: usize = 1_000_000;

/// A grant that refreshes every ten minutes for a day has 144.
const REFRESH_TOKENS: usize = 1_000_000;

const GRANTS: usize = 200_000;

/// One-time values, in each of 64 windows: proofs of a minute or three, assertions of five. At 50 octets each, 100 MB when full.
const ONCE: usize = 32_000;

const WINDOWS: usize = 64;

impl Issued {
    pub(super) fn new() -> Self {
        Self {
            codes: Shards::new(GRANTS),
            refresh: Shards::new(REFRESH_TOKENS),
            grants: Shards::new(GRANTS),
            access: Shards::new(ACCESS_TOKENS),
            revoked: Shards::new(REFRESH_TOKENS),
            pushed: Shards::new(PUSHED),
            devices: Devices::new(),
            by_subject: Named::default(),
            by_context: Named::default(),
            once: (0..WINDOWS).map(|_| Mutex::new(ReplayWindow::new(ONCE))).collect(),
        }
    }

    fn cell(&self, of: &Shards<TokenHash, Arc<Cell>>, name: TokenHash) -> Option<Arc<Cell>> {
        of.part(&name).get(&name).map(Arc::clone)
    }

    /// Keeps what a beginning grant comes with; nothing of it if there is no room for all.
    fn begin(&self, cell: &Arc<Cell>, state: &mut State, issuance: Issuance) -> Result<(), Full> {
        let Issuance { grant, refresh, access } = issuance;
        self.grants.insert(grant.id, Arc::clone(cell))?;
        let refresh_hash = refresh.as_ref().map(|token| token.hash);
        let put = || -> Result<(), Full> {
            if let Some(hash) = refresh_hash {
                self.refresh.insert(hash, Arc::clone(cell))?;
            }
            if let Some(token) = access {
                self.access.insert(token.hash, Access { token, cell: Some(Arc::clone(cell)) })?;
            }
            Ok(())
        };
        if let Err(full) = put() {
            self.grants.remove(&grant.id);
            refresh_hash.map(|hash| self.refresh.remove(&hash));
            return Err(full);
        }
        state.refresh.extend(refresh.map(|token| (token.hash, Refresh { token, replaced: None })));
        state.grant = grant;
        Ok(())
    }

    /// Begins the grant of a device, which has no code and so no cell yet.
    pub(super) fn begin_grant(&self, issuance: Issuance, now: UnixTime) -> Result<(), Full> {
        let grant = issuance.grant.clone();
        let state = State {
            grant: grant.clone(),
            code: None,
            redeemed_at: Some(now),
            ended: None,
            refresh: BTreeMap::new(),
        };
        let cell = Arc::new(Cell(Mutex::new(state)));
        let mut state = lock(&cell.0);
        self.begin(&cell, &mut state, issuance)?;
        drop(state);
        self.name(&grant, &cell);
        Ok(())
    }

    /// How many grants that live, begun or about to begin, tie this to themselves.
    pub(super) fn using(&self, context: &str, now: UnixTime) -> usize {
        let lives = |cell: &&Arc<Cell>| {
            let state = lock(&cell.0);
            state.ended.is_none() && state.lives(now)
        };
        self.by_context.of(context).iter().filter(lives).count() + self.devices.using(context, now)
    }

    /// Ends every grant of a client that is taken away.
    pub(super) fn end_all_of_client(&self, id: &str) {
        for (_, cell) in self.by_subject.all() {
            let mut state = lock(&cell.0);
            if state.grant.client.as_str() == id {
                state.ended.get_or_insert(EndReason::ByOperator);
            }
        }
    }

    /// Throws away what has expired, and says how much.
    pub(super) fn sweep(&self, now: UnixTime) -> u64 {
        let lives = |cell: &Arc<Cell>| lock(&cell.0).lives(now);
        let cells = self.codes.retain_judged(lives)
            + self.refresh.retain_judged(lives)
            + self.grants.retain_judged(lives);
        let tokens = self.access.retain(|_, access| access.token.facts.expires_at > now);
        let revoked = self.revoked.retain(|_, until| *until > now);
        let pushed = self.pushed.retain(|_, request| request.expires_at > now);
        self.by_subject.retain(lives);
        self.by_context.retain(lives);
        cells + tokens + revoked + pushed + self.devices.sweep(now)
    }
}

impl State {
    fn lives(&self, now: UnixTime) -> bool {
        self.grant.expires_at > now
    }

    fn replaced(&self, refresh: &Refresh) -> Option<Replaced> {
        let (at, successor, sealed) = refresh.replaced.as_ref()?;
        let successor_used =
            self.refresh.get(successor).is_some_and(|successor| successor.replaced.is_some());
        Some(Replaced { at: *at, successor_used, successor: *successor, sealed: *sealed })
    }
}

impl Store for MemoryStore {
    fn remember_once<'a>(
        &'a self,
        key: [u8; 32],
        until: UnixTime,
        now: UnixTime,
    ) -> BoxFuture<'a, Result<Once, StoreUnavailable>> {
        let [first, ..] = key;
        let remembered = match self.issued.once.get(usize::from(first) % WINDOWS) {
            Some(window) => lock(window).remember(key, until, now),
            None => Remembered::Full,
        };
        ready(Ok(match remembered {
            Remembered::Fresh => Once::Fresh,
            Remembered::Seen => Once::Seen,
            Remembered::Full => Once::Full,
        }))
    }

    fn push<'a>(&'a self, request: PushedRequest) -> BoxFuture<'a, Result<(), StoreUnavailable>> {
        if let Err(error) = limits::request(&request.request) {
            return ready(Err(error));
        }
        let put = self.issued.pushed.insert(request.name, request);
        ready(put.or_else(|Full| full("pushed requests")))
    }

    fn pushed<'a>(
        &'a self,
        name: TokenHash,
    ) -> BoxFuture<'a, Result<Option<PushedRequest>, StoreUnavailable>> {
        ready(Ok(self.issued.pushed.part(&name).get(&name).cloned()))
    }

    fn issue_code<'a>(
        &'a self,
        code: Code,
        answers: Option<TokenHash>,
    ) -> BoxFuture<'a, Result<CodeIssued, StoreUnavailable>> {
        if let Err(error) = limits::code(&code) {
            return ready(Err(error));
        }
        let issued = &self.issued;
        let (hash, grant) = (code.hash, code.grant.clone());
        let state = State {
            grant: grant.clone(),
            code: Some(code),
            redeemed_at: None,
            ended: None,
            refresh: BTreeMap::new(),
        };
        let cell = Arc::new(Cell(Mutex::new(state)));
        if let Some(name) = answers {
            let mut requests = issued.pushed.part(&name);
            if !requests.contains_key(&name) {
                return ready(Ok(CodeIssued::RequestSpent));
            }
            if let Err(Full) = issued.codes.insert(hash, Arc::clone(&cell)) {
                return ready(full("codes"));
            }
            requests.remove(&name);
        } else if let Err(Full) = issued.codes.insert(hash, Arc::clone(&cell)) {
            return ready(full("codes"));
        }
        issued.name(&grant, &cell);
        ready(Ok(CodeIssued::Issued))
    }

    fn code<'a>(&'a self, name: TokenHash) -> BoxFuture<'a, Result<Option<StoredCode>, StoreUnavailable>> {
        let stored = self.issued.cell(&self.issued.codes, name).and_then(|cell| {
            let state = lock(&cell.0);
            let code = state.code.clone()?;
            Some(StoredCode { code, redeemed_at: state.redeemed_at, ended: state.ended })
        });
        ready(Ok(stored))
    }

    fn redeem_code<'a>(
        &'a self,
        code: TokenHash,
        issuance: Issuance,
        now: UnixTime,
    ) -> BoxFuture<'a, Result<Redeemed, StoreUnavailable>> {
        if let Err(error) = limits::grant(&issuance.grant) {
            return ready(Err(error));
        }
        let Some(cell) = self.issued.cell(&self.issued.codes, code) else {
            return ready(Ok(Redeemed::Missing));
        };
        let mut state = lock(&cell.0);
        if let Some(at) = state.redeemed_at {
            return ready(Ok(Redeemed::AlreadyRedeemed { grant: state.grant.id, at }));
        }
        if state.ended.is_some() {
            return ready(Ok(Redeemed::Missing));
        }
        if let Err(Full) = self.issued.begin(&cell, &mut state, issuance) {
            return ready(full("grants"));
        }
        state.redeemed_at = Some(now);
        ready(Ok(Redeemed::Redeemed))
    }

    fn refresh_token<'a>(
        &'a self,
        name: TokenHash,
    ) -> BoxFuture<'a, Result<Option<StoredRefreshToken>, StoreUnavailable>> {
        let stored = self.issued.cell(&self.issued.refresh, name).and_then(|cell| {
            let state = lock(&cell.0);
            let refresh = state.refresh.get(&name)?;
            Some(StoredRefreshToken {
                token: refresh.token.clone(),
                grant: state.grant.clone(),
                replaced: state.replaced(refresh),
                ended: state.ended,
            })
        });
        ready(Ok(stored))
    }

    fn rotate_refresh<'a>(&'a self, rotation: Rotation) -> BoxFuture<'a, Result<Rotated, StoreUnavailable>> {
        let Rotation { old, sealed, next, access, now } = rotation;
        let Some(cell) = self.issued.cell(&self.issued.refresh, old) else {
            return ready(Ok(Rotated::Missing));
        };
        let mut state = lock(&cell.0);
        let Some(refresh) = state.refresh.get(&old).filter(|_| state.ended.is_none()) else {
            return ready(Ok(Rotated::Missing));
        };
        if let Some(replaced) = state.replaced(refresh) {
            return ready(Ok(Rotated::Reused(replaced)));
        }
        if let Err(Full) = self.issued.refresh.insert(next.hash, Arc::clone(&cell)) {
            return ready(full("refresh tokens"));
        }
        if let Some(token) = access {
            let kept = Access { token, cell: Some(Arc::clone(&cell)) };
            if let Err(Full) = self.issued.access.insert(kept.token.hash, kept) {
                self.issued.refresh.remove(&next.hash);
                return ready(full("access tokens"));
            }
        }
        if let Some(refresh) = state.refresh.get_mut(&old) {
            refresh.replaced = Some((now, next.hash, sealed));
        }
        state.refresh.insert(next.hash, Refresh { token: next, replaced: None });
        ready(Ok(Rotated::Rotated))
    }

    fn put_access_token<'a>(
        &'a self,
        token: Arc<AccessToken>,
    ) -> BoxFuture<'a, Result<TokenPut, StoreUnavailable>> {
        let issued = &self.issued;
        let (hash, grant) = (token.hash, token.facts.grant);
        let Some(grant) = grant else {
            let put = issued.access.insert(hash, Access { token, cell: None });
            return ready(put.map(|()| TokenPut::Kept).or_else(|Full| full("access tokens")));
        };
        let Some(cell) = issued.grants.part(&grant).get(&grant).map(Arc::clone) else {
            return ready(Ok(TokenPut::GrantEnded));
        };
        let state = lock(&cell.0);
        if state.ended.is_some() {
            return ready(Ok(TokenPut::GrantEnded));
        }
        let put = issued.access.insert(hash, Access { token, cell: Some(Arc::clone(&cell)) });
        ready(put.map(|()| TokenPut::Kept).or_else(|Full| full("access tokens")))
    }

    fn access_token<'a>(
        &'a self,
        name: TokenHash,
    ) -> BoxFuture<'a, Result<Option<Arc<AccessToken>>, StoreUnavailable>> {
        let part = self.issued.access.part(&name);
        let Some(access) = part.get(&name) else { return ready(Ok(None)) };
        let (token, cell) = (access.token.clone(), access.cell.clone());
        drop(part);
        let ended = cell.is_some_and(|cell| lock(&cell.0).ended.is_some());
        ready(Ok(Some(token).filter(|_| !ended)))
    }

    fn revoke_access_token<'a>(
        &'a self,
        name: TokenHash,
        until: UnixTime,
    ) -> BoxFuture<'a, Result<(), StoreUnavailable>> {
        if self.issued.access.remove(&name).is_some() {
            return ready(Ok(()));
        }
        ready(self.issued.revoked.insert(name, until).or_else(|Full| full("tokens that were taken back")))
    }

    fn is_revoked<'a>(&'a self, name: TokenHash) -> BoxFuture<'a, Result<Revoked, StoreUnavailable>> {
        let revoked = self.issued.revoked.part(&name).contains_key(&name);
        ready(Ok(if revoked { Revoked::Yes } else { Revoked::No }))
    }

    fn grant<'a>(&'a self, id: GrantId) -> BoxFuture<'a, Result<Option<StoredGrant>, StoreUnavailable>> {
        let cell = self.issued.grants.part(&id).get(&id).map(Arc::clone);
        let stored = cell.map(|cell| {
            let state = lock(&cell.0);
            StoredGrant { grant: state.grant.clone(), ended: state.ended }
        });
        ready(Ok(stored))
    }

    fn end_grant<'a>(
        &'a self,
        id: GrantId,
        reason: EndReason,
        _: UnixTime,
    ) -> BoxFuture<'a, Result<Option<Grant>, StoreUnavailable>> {
        let cell = self.issued.grants.part(&id).get(&id).map(Arc::clone);
        ready(Ok(cell.and_then(|cell| end(&cell, reason))))
    }

    fn grants_of<'a>(
        &'a self,
        subject: &'a str,
        now: UnixTime,
    ) -> BoxFuture<'a, Result<Vec<Grant>, StoreUnavailable>> {
        let mut grants: Vec<Grant> = self
            .issued
            .by_subject
            .of(subject)
            .iter()
            .filter_map(|cell| {
                let state = lock(&cell.0);
                let live = state.redeemed_at.is_some() && state.ended.is_none() && state.lives(now);
                live.then(|| state.grant.clone())
            })
            .collect();
        grants.sort_by(|a, b| b.created_at.cmp(&a.created_at).then(a.id.cmp(&b.id)));
        ready(Ok(grants))
    }

    fn end_grants_of<'a>(
        &'a self,
        subject: &'a str,
        reason: EndReason,
        now: UnixTime,
    ) -> BoxFuture<'a, Result<Vec<Grant>, StoreUnavailable>> {
        self.issued.devices.end_of(subject);
        let cells = self.issued.by_subject.of(subject);
        let ended = cells.iter().filter(|cell| lock(&cell.0).lives(now)).filter_map(|cell| end(cell, reason));
        ready(Ok(ended.collect()))
    }

    fn begin_device<'a>(
        &'a self,
        device: Device,
        now: UnixTime,
    ) -> BoxFuture<'a, Result<DeviceBegun, StoreUnavailable>> {
        ready(self.issued.devices.begin(device, now))
    }

    fn device_showing<'a>(
        &'a self,
        user_code: TokenHash,
    ) -> BoxFuture<'a, Result<Option<StoredDevice>, StoreUnavailable>> {
        ready(Ok(self.issued.devices.showing(user_code)))
    }

    fn decide_device<'a>(
        &'a self,
        user_code: TokenHash,
        decision: DeviceDecision,
        now: UnixTime,
    ) -> BoxFuture<'a, Result<Decided, StoreUnavailable>> {
        ready(Ok(self.issued.devices.decide(user_code, decision, now)))
    }

    fn device<'a>(
        &'a self,
        name: TokenHash,
    ) -> BoxFuture<'a, Result<Option<StoredDevice>, StoreUnavailable>> {
        ready(Ok(self.issued.devices.load(name)))
    }

    fn poll_device<'a>(
        &'a self,
        name: TokenHash,
        now: UnixTime,
    ) -> BoxFuture<'a, Result<Polled, StoreUnavailable>> {
        ready(Ok(self.issued.devices.poll(name, now)))
    }

    fn redeem_device<'a>(
        &'a self,
        name: TokenHash,
        issuance: Issuance,
        now: UnixTime,
    ) -> BoxFuture<'a, Result<Redeemed, StoreUnavailable>> {
        ready(self.issued.devices.redeem(name, now, || self.issued.begin_grant(issuance, now)))
    }
}

impl Issued {
    fn name(&self, grant: &Grant, cell: &Arc<Cell>) {
        self.by_subject.insert(&grant.subject, grant.id, cell);
        if let Some(context) = &grant.context {
            self.by_context.insert(context, grant.id, cell);
        }
    }
}

/// Ends a grant, unless it has ended.
fn end(cell: &Cell, reason: EndReason) -> Option<Grant> {
    let mut state = lock(&cell.0);
    if state.ended.is_some() {
        return None;
    }
    state.ended = Some(reason);
    Some(state.grant.clone())
}

/// Nothing here waits, so an act is done when it is called.
pub(super) fn ready<'a, T: Send + 'a>(outcome: T) -> BoxFuture<'a, T> {
    Box::pin(std::future::ready(outcome))
}
