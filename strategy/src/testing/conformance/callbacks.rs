//! Callbacks that are not what they should be.

use http::HeaderMap;
use vestibule_oauth_core::UnixTime;

use super::stand::{Keeping, Stand, Started, cookie_headers};
use crate::auth::Auth;
use crate::failure::{Failure, FailureKind};
use crate::pending::Pending;
use crate::provider_id::ProviderId;
use crate::strategy::IssuerPolicy;
use crate::testing::broken::{Broken, hold};
use crate::testing::callback_query::CallbackQuery;

pub(super) fn callbacks(stand: &mut Stand<'_>) -> Result<(), Broken> {
    cookies(stand)?;
    parameters(stand)?;
    issuers(stand)?;
    cancelled(stand)?;
    once(stand)
}

/// A good login, up to the callback.
struct Returning {
    started: Started,
    query: CallbackQuery,
    now: UnixTime,
    provider: ProviderId,
}

impl Returning {
    fn of(stand: &mut Stand<'_>) -> Result<Self, Broken> {
        let started = stand.start()?;
        let query = stand.counterpart.authorize(&started.to)?;
        Ok(Self { started, query, now: stand.now, provider: stand.provider.clone() })
    }

    fn arrive(&self, stand: &mut Stand<'_>) -> Result<Result<Auth, Failure>, Broken> {
        stand.finish(&self.provider, &self.started.headers, &self.query, self.now)
    }
}

/// Holds the engine to this refusal, and to asking nobody before it.
fn refused(
    stand: &mut Stand<'_>,
    rule: &'static str,
    returning: &Returning,
    expected: fn(&FailureKind) -> bool,
) -> Result<(), Broken> {
    let (asked, sent) = (stand.strategy.seen().callbacks, stand.wire.calls().len());
    match returning.arrive(stand)? {
        Ok(auth) => return Err(Broken::new(rule, format!("{} is signed in", auth.uid))),
        Err(failure) => hold(rule, expected(failure.kind()), || failure.to_string())?,
    }
    let untouched = stand.strategy.seen().callbacks == asked && stand.wire.calls().len() == sent;
    hold("a callback that the engine refuses asks nobody", untouched, || rule.to_owned())
}

fn is_csrf(kind: &FailureKind) -> bool {
    matches!(kind, FailureKind::CsrfAttack(_))
}

fn cookies(stand: &mut Stand<'_>) -> Result<(), Broken> {
    let mut returning = Returning::of(stand)?;
    returning.started.headers = HeaderMap::new();
    refused(stand, "a callback without the flow's cookie is refused", &returning, is_csrf)?;

    let other = stand.start()?;
    let mut returning = Returning::of(stand)?;
    let ((name, _), (_, value)) = (cookie(&returning.started.headers), cookie(&other.headers));
    returning.started.headers = cookie_headers(&format!("{name}={value}"))?;
    refused(stand, "a callback with another flow's cookie is refused", &returning, is_csrf)?;

    let mut returning = Returning::of(stand)?;
    let (name, value) = cookie(&returning.started.headers);
    // The first character stands for six whole bits, so the octets differ too.
    let first = if value.starts_with('A') { 'B' } else { 'A' };
    let changed: String = std::iter::once(first).chain(value.chars().skip(1)).collect();
    returning.started.headers = cookie_headers(&format!("{name}={changed}"))?;
    refused(stand, "a callback with a changed cookie is refused", &returning, is_csrf)?;

    let mut returning = Returning::of(stand)?;
    returning.now = returning.now.after(Pending::LIFETIME);
    let expired = |kind: &FailureKind| *kind == FailureKind::FlowExpired;
    refused(stand, "a callback that is too late is refused", &returning, expired)?;

    let mut returning = Returning::of(stand)?;
    returning.provider = stand.another.clone();
    let mismatch = |kind: &FailureKind| *kind == FailureKind::FlowProviderMismatch;
    refused(stand, "a callback of another provider is refused", &returning, mismatch)
}

fn parameters(stand: &mut Stand<'_>) -> Result<(), Broken> {
    type Change = fn(CallbackQuery) -> CallbackQuery;
    type Expected = fn(&FailureKind) -> bool;
    let rows: [(&'static str, Change, Expected); 7] = [
        (
            "a callback with a state that was not sent is refused",
            |query| query.without("state").with("state", "a-state-that-nobody-has-ever-sent-anywhere"),
            is_csrf,
        ),
        (
            "a callback with two states is refused",
            |query| {
                let state = query.value("state").unwrap_or_default().to_owned();
                query.with("state", state)
            },
            |kind| *kind == FailureKind::DuplicateParam,
        ),
        (
            "a callback with two codes is refused",
            |query| query.with("code", "another-code"),
            |kind| *kind == FailureKind::DuplicateParam,
        ),
        (
            "a callback without state is refused",
            |query| query.without("state"),
            |kind| *kind == FailureKind::FlowMissing,
        ),
        (
            "a callback with code and error is refused",
            |query| query.with("error", "access_denied"),
            |kind| *kind == FailureKind::CodeAndError,
        ),
        (
            "an error of the provider's ends the login",
            |query| query.without("code").with("error", "server_error"),
            |kind| matches!(kind, FailureKind::ProviderError(_)),
        ),
        (
            "a callback without a code is refused",
            |query| query.without("code"),
            |kind| *kind == FailureKind::MissingCode,
        ),
    ];
    for (rule, change, expected) in rows {
        let mut returning = Returning::of(stand)?;
        returning.query = change(returning.query);
        refused(stand, rule, &returning, expected)?;
    }
    Ok(())
}

/// `iss` (RFC 9207), as the strategy says it is to be looked at.
fn issuers(stand: &mut Stand<'_>) -> Result<(), Broken> {
    const WRONG: &str = "https://somebody-else.example";
    let returning = Returning::of(stand)?;
    // The engine asks for the policy when the person is back.
    returning.arrive(stand)?.map_err(|failure| Broken::new("a good login signs somebody in", failure))?;
    let policy = stand.strategy.seen().policy;

    let mut wrong = Returning::of(stand)?;
    wrong.query = wrong.query.without("iss").with("iss", WRONG);
    let mismatch = |kind: &FailureKind| *kind == FailureKind::IssuerMismatch;
    let rule = "a callback with another's iss is refused";
    match policy {
        None | Some(IssuerPolicy::NotIdentified) => return Ok(()),
        Some(IssuerPolicy::ExactIfPresent(_)) => refused(stand, rule, &wrong, mismatch)?,
        Some(IssuerPolicy::Exact(_)) => {
            refused(stand, rule, &wrong, mismatch)?;
            let mut without = Returning::of(stand)?;
            without.query = without.query.without("iss");
            let missing = |kind: &FailureKind| *kind == FailureKind::IssuerMissing;
            refused(stand, "a callback without the iss it must have is refused", &without, missing)?;
        }
    }
    Ok(())
}

fn cancelled(stand: &mut Stand<'_>) -> Result<(), Broken> {
    let started = stand.start()?;
    let query = stand.counterpart.cancel(&started.to)?;
    let returning = Returning { started, query, now: stand.now, provider: stand.provider.clone() };
    let denied = |kind: &FailureKind| *kind == FailureKind::AccessDenied;
    refused(stand, "a person who says no is not signed in", &returning, denied)
}

fn once(stand: &mut Stand<'_>) -> Result<(), Broken> {
    let returning = Returning::of(stand)?;
    returning.arrive(stand)?.map_err(|failure| Broken::new("a good login signs somebody in", failure))?;
    match stand.keeping {
        Keeping::Store => {
            let missing = |kind: &FailureKind| *kind == FailureKind::FlowMissing;
            refused(stand, "a callback counts once", &returning, missing)
        }
        // Only the provider knows that the code is spent.
        Keeping::Cookie => match returning.arrive(stand)? {
            Ok(auth) => Err(Broken::new("a code signs in once", format!("{} is signed in again", auth.uid))),
            Err(_) => Ok(()),
        },
    }
}

/// Name and value of the one cookie.
fn cookie(headers: &HeaderMap) -> (String, String) {
    let text = headers.get(http::header::COOKIE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let (name, value) = text.split_once('=').unwrap_or_default();
    (name.to_owned(), value.to_owned())
}
