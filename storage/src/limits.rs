//! How much a store keeps, so that nobody fills it from outside.

use vestibule_oauth_core::StoreUnavailable;
use vestibule_strategy::StoredFlow;
use vestibule_token_endpoint::{AuthorizationRequest, Client, Code, Grant};

use crate::accounts::Identity;
use crate::web_session::WebSession;

/// The most octets of a sealed flow: what [`StoredFlow::sealed`] promises, and several times what a login takes.
pub const FLOW_OCTETS: usize = 8 * 1024;

/// The most octets of a session record before it is sealed. Tokens of people's servers take 1 to 4 KiB; who signs in at a
/// server of their own must not keep megabytes here.
pub const SESSION_OCTETS: usize = 64 * 1024;

/// The most octets of all texts of a web session together. A handle has at most 253 of them, a DID 2 KiB.
pub const WEB_SESSION_OCTETS: usize = 4 * 1024;

/// The most flows that an SQLite store keeps: 80 logins begun each second for the ten minutes that each may take, and at
/// 8 KiB each no more than 400 MiB on the disk. Beyond them, the one that expires first makes room.
pub const PENDING_FLOWS: usize = 50_000;

/// The most pushed requests that a store keeps; beyond them, the one that expires first makes room. Anybody's browser can bring one.
pub(crate) const PUSHED: usize = 50_000;

/// The most devices that wait at once; beyond them, none more can begin.
pub(crate) const DEVICES: usize = 50_000;

/// The most one-time values that a database keeps: at some 100 octets each, 200 MB. They live for minutes.
pub(crate) const ONCE: usize = 2_000_000;

/// The most sessions of one person that are left alone: more devices than anybody signs in with.
/// [`Housekeeping::surplus`] names those beyond.
///
/// [`Housekeeping::surplus`]: crate::Housekeeping::surplus
pub const SESSIONS_PER_PERSON: usize = 50;

/// The most identities of one account: more providers than anybody has accounts at.
pub const IDENTITIES_PER_ACCOUNT: usize = 20;

/// The most octets of all texts of an identity together.
pub const IDENTITY_OCTETS: usize = 4 * 1024;

/// The most octets of a client's record. With 64 redirect URIs of usual length and four keys it has some 8 KiB.
pub const CLIENT_OCTETS: usize = 64 * 1024;

/// The most octets of the record of a grant, a code, a pushed request or a device: a scope of 16 KiB is the largest part.
pub const ISSUED_OCTETS: usize = 64 * 1024;

pub(crate) fn client(client: &Client) -> Result<(), StoreUnavailable> {
    at_most(CLIENT_OCTETS, client.to_json().len(), "client")
}

pub(crate) fn issued(record: &str) -> Result<(), StoreUnavailable> {
    at_most(ISSUED_OCTETS, record.len(), "record of a grant")
}

/// The texts of a grant, without writing them out: for a store that keeps them as they are.
pub(crate) fn grant(grant: &Grant) -> Result<(), StoreUnavailable> {
    at_most(ISSUED_OCTETS, texts_of_grant(grant), "grant")
}

/// The texts of a code.
pub(crate) fn code(code: &Code) -> Result<(), StoreUnavailable> {
    let own = code.redirect_uri.as_str().len() + code.nonce.as_ref().map_or(0, String::len);
    at_most(ISSUED_OCTETS, texts_of_grant(&code.grant).saturating_add(own), "code")
}

/// The texts of a pushed request.
pub(crate) fn request(request: &AuthorizationRequest) -> Result<(), StoreUnavailable> {
    let texts = [&request.state, &request.nonce, &request.login_hint].into_iter().flatten().map(String::len);
    let words = request.scope.iter().chain(request.resources.iter().map(String::as_str)).map(str::len);
    let octets =
        texts.chain(words).chain([request.redirect_uri.as_str().len()]).fold(0, usize::saturating_add);
    at_most(ISSUED_OCTETS, octets, "pushed request")
}

fn texts_of_grant(grant: &Grant) -> usize {
    let words = grant.scope.iter().chain(grant.resources.iter().map(String::as_str)).map(str::len);
    let own =
        [grant.client.as_str().len(), grant.subject.len(), grant.context.as_ref().map_or(0, String::len)];
    words.chain(own).fold(0, usize::saturating_add)
}

pub(crate) fn flow(flow: &StoredFlow) -> Result<(), StoreUnavailable> {
    at_most(FLOW_OCTETS, flow.sealed.len(), "flow")
}

pub(crate) fn session(octets: &[u8]) -> Result<(), StoreUnavailable> {
    at_most(SESSION_OCTETS, octets.len(), "session")
}

pub(crate) fn web_session(session: &WebSession) -> Result<(), StoreUnavailable> {
    let key = session.session.as_ref();
    let octets = [
        session.subject.len(),
        session.provider.as_str().len(),
        session.name.as_ref().map_or(0, String::len),
        key.map_or(0, |key| key.did().as_str().len()),
        key.map_or(0, |key| key.id().as_str().len()),
    ];
    at_most(WEB_SESSION_OCTETS, octets.into_iter().fold(0, usize::saturating_add), "web session")
}

pub(crate) fn identity(identity: &Identity) -> Result<(), StoreUnavailable> {
    let octets = [
        identity.key.realm.len(),
        identity.key.uid.len(),
        identity.provider.as_str().len(),
        identity.name.as_ref().map_or(0, String::len),
    ];
    at_most(IDENTITY_OCTETS, octets.into_iter().fold(0, usize::saturating_add), "identity")
}

fn at_most(most: usize, octets: usize, what: &str) -> Result<(), StoreUnavailable> {
    if octets <= most {
        return Ok(());
    }
    Err(StoreUnavailable::new(format!("a {what} of {octets} octets is larger than the {most} that are kept")))
}
