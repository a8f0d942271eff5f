//! A form of the application's own, and of others.

use http::header::ORIGIN;
use http::{HeaderMap, HeaderValue, Method};

use super::SITE;
use super::stand::Stand;
use crate::auth::Auth;
use crate::failure::{Failure, FailureKind};
use crate::testing::broken::{Broken, hold};

/// Gives the uid of whom the good form signs in.
pub(super) fn forms(stand: &mut Stand<'_>) -> Result<String, Broken> {
    let form = form(stand)?;
    stand.next_login(None);
    let outcome = submitted(stand)?;
    stand.calls_are_limited()?;
    let uid = outcome
        .map(|auth| auth.uid)
        .map_err(|failure| Broken::new("the good form signs somebody in", failure))?;

    let cross_site = |kind: &FailureKind| *kind == FailureKind::CrossSiteRequest;
    for (rule, method, origin) in [
        ("a form of another site is refused", Method::POST, Some("https://somebody-else.example")),
        ("a form that hides where it comes from is refused", Method::POST, Some("null")),
        ("a form that does not say where it comes from is refused", Method::POST, None),
        ("a form in a link is refused", Method::GET, Some(SITE)),
    ] {
        refused(stand, rule, &method, origin, &form, cross_site)?;
    }
    let twice = format!("{form}&{form}");
    let duplicate = |kind: &FailureKind| *kind == FailureKind::DuplicateParam;
    refused(stand, "a form with a field twice is refused", &Method::POST, Some(SITE), &twice, duplicate)?;

    stand.next_login(None);
    match arrived(stand, &Method::POST, Some(SITE), "")? {
        Ok(auth) => Err(Broken::new("an empty form signs nobody in", format!("{} is signed in", auth.uid))),
        Err(failure) => {
            let ours = failure.kind().status().is_client_error();
            hold("an empty form is the fault of whoever sent it", ours, || failure.to_string())?;
            Ok(uid)
        }
    }
}

/// The good form, as a page of the application sends it.
pub(super) fn submitted(stand: &mut Stand<'_>) -> Result<Result<Auth, Failure>, Broken> {
    let form = form(stand)?;
    arrived(stand, &Method::POST, Some(SITE), &form)
}

fn form(stand: &Stand<'_>) -> Result<String, Broken> {
    let rule = "the counterpart of a strategy that takes a form has a form";
    stand.counterpart.form().ok_or_else(|| Broken::new(rule, "Counterpart::form gives none"))
}

fn arrived(
    stand: &mut Stand<'_>,
    method: &Method,
    origin: Option<&'static str>,
    form: &str,
) -> Result<Result<Auth, Failure>, Broken> {
    let mut headers = HeaderMap::new();
    headers.extend(origin.map(|origin| (ORIGIN, HeaderValue::from_static(origin))));
    let (provider, now) = (stand.provider.clone(), stand.now);
    stand.arrive(&provider, &headers, method, form, None, now)
}

fn refused(
    stand: &mut Stand<'_>,
    rule: &'static str,
    method: &Method,
    origin: Option<&'static str>,
    form: &str,
    expected: fn(&FailureKind) -> bool,
) -> Result<(), Broken> {
    stand.next_login(None);
    let asked = stand.strategy.seen().callbacks;
    match arrived(stand, method, origin, form)? {
        Ok(auth) => return Err(Broken::new(rule, format!("{} is signed in", auth.uid))),
        Err(failure) => hold(rule, expected(failure.kind()), || failure.to_string())?,
    }
    let untouched = stand.strategy.seen().callbacks == asked && stand.wire.calls().is_empty();
    hold("a form that the engine refuses asks nobody", untouched, || rule.to_owned())
}
