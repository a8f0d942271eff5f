//! What a store has, beside what it must have.

use sha2::{Digest, Sha256};
use vestibule_oauth_core::UnixTime;
use vestibule_token_endpoint::{OpaqueToken, Revoked, Store, TokenHash, TokenKind};

use super::{Access, Act, CLIENTS, Promise, Refresh, World, hash, thumbprint};
use crate::fixed::block_on;
use crate::oauth::Reply;

impl World {
    /// Takes over what came of acts that could have come in several ways, as far as none of it breaks a promise.
    pub(super) fn learn_from(&mut self, happened: &[(Option<Act>, Reply)]) {
        let redeemed: Vec<_> = self.grants.iter().map(|promise| promise.redeemed).collect();
        let mut given: Vec<(Option<Act>, &Reply, usize)> = Vec::new();
        for (act, reply) in happened.iter().filter(|(_, reply)| reply.json["access_token"].is_string()) {
            let grant = match act {
                Some(act) => Some(act.grant()),
                None => self.grant_of(reply),
            };
            given.extend(grant.map(|grant| (*act, reply, grant)));
        }
        for (act, reply, grant) in given {
            let ends = self.now() + reply.json["expires_in"].as_u64().unwrap();
            let text = reply.text("access_token").to_owned();
            let promise = &mut self.grants[grant];
            promise.access.push(Access { text, ends, taken_back: false });
            let Some(text) = reply.json["refresh_token"].as_str() else {
                promise.successes += 1;
                continue;
            };
            let known = promise.refresh.iter().position(|refresh| refresh.text == text);
            let place = known.unwrap_or(promise.refresh.len());
            if let Some(Act::Refresh { token, .. }) = act {
                assert_eq!(place, token.at + 1, "one branch of a grant");
            }
            if let Some(Act::Redeem { .. }) = act {
                assert_eq!(place, 0, "a code gives the first token");
            }
            if place == 0 {
                promise.successes += 1;
            }
            if known.is_none() {
                promise.refresh.push(Refresh { text: text.to_owned(), ends: 0, replaced: None });
            }
        }
        self.learn();
        for (promise, redeemed) in self.grants.iter_mut().zip(redeemed) {
            let unseen = !CLIENTS[promise.client].refreshes && happened.iter().any(|(act, _)| act.is_none());
            if unseen && promise.redeemed.is_some() {
                // Somebody else's way of redeeming it gave an access token that does not say whose it is.
                promise.successes = 1;
            }
            assert!(redeemed.is_none() || promise.redeemed == redeemed, "what is redeemed stays so");
            assert_eq!(
                promise.successes,
                usize::from(promise.redeemed.is_some()),
                "tokens were given once for a code"
            );
        }
    }

    /// The grant of tokens that somebody has got in a way of their own.
    fn grant_of(&self, reply: &Reply) -> Option<usize> {
        let text = reply.json["refresh_token"].as_str()?;
        let stored = block_on(self.lab.ports().store.refresh_token(hash(TokenKind::Refresh, text))).unwrap();
        let id = stored.expect("what was given is kept").grant.id;
        self.grants.iter().position(|promise| promise.id == id)
    }

    /// Takes over what the store has.
    pub(super) fn learn(&mut self) {
        let store = self.lab.ports().store;
        for promise in &mut self.grants {
            let kept = Kept::of(promise, store);
            assert!(kept.ended || !promise.ended, "what has ended stays so: {promise:?}");
            promise.ended = kept.ended;
            promise.redeemed = kept.redeemed;
            if kept.redeemed.is_some() {
                promise.key = kept.key;
                promise.ends = kept.ends;
            }
            for (refresh, (ends, replaced)) in promise.refresh.iter_mut().zip(kept.refresh) {
                assert!(refresh.replaced.is_none() || refresh.replaced == replaced);
                (refresh.ends, refresh.replaced) = (ends, replaced);
            }
            for (access, taken_back) in promise.access.iter_mut().zip(kept.taken_back) {
                assert!(promise.ended || !access.taken_back || taken_back, "what was taken back stays so");
                access.taken_back |= taken_back;
            }
        }
    }

    /// What the store has is what must be.
    pub(super) fn agrees(&self) {
        let store = self.lab.ports().store;
        for promise in &self.grants {
            let kept = Kept::of(promise, store);
            assert_eq!((kept.ended, kept.redeemed), (promise.ended, promise.redeemed), "{promise:#?}");
            if promise.redeemed.is_some() {
                assert_eq!((kept.key, kept.ends), (promise.key, promise.ends), "{promise:#?}");
            }
            let refresh: Vec<_> =
                promise.refresh.iter().map(|refresh| (refresh.ends, refresh.replaced)).collect();
            assert_eq!(kept.refresh, refresh, "{promise:#?}");
            let live = refresh.iter().filter(|(_, replaced)| replaced.is_none()).count();
            assert!(live <= 1, "one branch of a grant: {promise:#?}");
            assert!(promise.successes <= 1, "{promise:#?}");
            let taken_back: Vec<_> =
                promise.access.iter().map(|access| promise.ended || access.taken_back).collect();
            let kept: Vec<_> =
                kept.taken_back.iter().map(|taken_back| promise.ended || *taken_back).collect();
            assert_eq!(kept, taken_back, "{promise:#?}");
        }
    }
}

/// What a store has of a grant.
struct Kept {
    redeemed: Option<u64>,
    ended: bool,
    key: Option<u8>,
    ends: u64,
    /// Of each refresh token: when it ends, and when it was replaced.
    refresh: Vec<(u64, Option<u64>)>,
    /// Of each access token.
    taken_back: Vec<bool>,
}

impl Kept {
    fn of(promise: &Promise, store: &dyn Store) -> Self {
        let code =
            block_on(store.code(hash(TokenKind::Code, &promise.code))).unwrap().expect("the code is kept");
        let (redeemed, ended) = (code.redeemed_at.map(UnixTime::as_secs), code.ended.is_some());
        let grant = block_on(store.grant(promise.id)).unwrap();
        assert_eq!(grant.is_some(), redeemed.is_some(), "a grant begins with its code");
        let grant = grant.map_or(code.code.grant, |stored| {
            assert_eq!(stored.ended.is_some(), ended);
            stored.grant
        });
        assert_eq!(grant.client.as_str(), CLIENTS[promise.client].id);
        let key = grant.proof_key.as_ref().and_then(|bound| (0..3).find(|key| thumbprint(*key) == bound));
        assert_eq!(key.is_some(), grant.proof_key.is_some());
        let refresh = promise.refresh.iter().map(|refresh| {
            let stored = block_on(store.refresh_token(hash(TokenKind::Refresh, &refresh.text))).unwrap();
            let stored = stored.expect("a refresh token is kept");
            assert_eq!((stored.grant.id, stored.ended.is_some()), (promise.id, ended));
            (stored.token.expires_at.as_secs(), stored.replaced.map(|replaced| replaced.at.as_secs()))
        });
        let taken_back =
            promise.access.iter().map(|access| match OpaqueToken::parse(TokenKind::Access, &access.text) {
                Some(token) => !ended && block_on(store.access_token(token.hash())).unwrap().is_none(),
                None => {
                    let name = TokenHash::from_octets(Sha256::digest(signed(&access.text)).into());
                    block_on(store.is_revoked(name)).unwrap() == Revoked::Yes
                }
            });
        let (refresh, taken_back) = (refresh.collect(), taken_back.collect());
        Self { redeemed, ended, key, ends: grant.expires_at.as_secs(), refresh, taken_back }
    }
}

/// What of a compact JWS is signed: its name, since its signature has a twin.
fn signed(jws: &str) -> &str {
    jws.rsplit_once('.').map_or(jws, |(signed, _)| signed)
}
