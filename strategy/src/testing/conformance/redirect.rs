//! Where the person is sent.

use url::Url;

use super::stand::{Stand, Started};
use super::watched::Seen;
use crate::testing::broken::{Broken, hold};
use crate::testing::call::Call;

/// Parameters that only the strategy and the engine say (S26).
const RESERVED: [&str; 13] = [
    "state",
    "nonce",
    "redirect_uri",
    "client_id",
    "client_secret",
    "scope",
    "response_type",
    "response_mode",
    "code_challenge",
    "code_challenge_method",
    "code_verifier",
    "request",
    "request_uri",
];

/// How every value begins that a stranger adds.
const STRANGERS: &str = "strangers-own-";

pub(super) fn redirects(stand: &mut Stand<'_>) -> Result<(), Broken> {
    let started = stand.start()?;
    holds_what_it_must(stand, &started)?;

    // The same seed again, at the same time.
    stand.next_login(None);
    let number = stand.next_seed();
    let [first, second] = [(); 2].map(|()| {
        let begun = stand.begin_by(number, "")?;
        begun.map(|started| started.to).map_err(|failure| Broken::new("a good login begins", failure))
    });
    let (first, second) = (first?, second?);
    hold("the same seed gives the same redirect", first == second, || format!("{first} and then {second}"))?;

    stand.next_login(None);
    let added: Vec<_> = RESERVED.iter().map(|name| format!("{name}={STRANGERS}{name}")).collect();
    let begun = stand.begin(&added.join("&"))?;
    // A strategy may refuse such a request as well.
    if let Ok(started) = begun {
        let sent = sent_to(&started.to, &stand.wire.calls());
        let stranger = sent.iter().find(|(_, value)| value.contains(STRANGERS));
        hold("what a stranger adds to the request does not reach the provider", stranger.is_none(), || {
            stranger.map(|(name, value)| format!("{name} is {value}")).unwrap_or_default()
        })?;
        holds_what_it_must(stand, &started)?;
    }
    Ok(())
}

fn holds_what_it_must(stand: &Stand<'_>, started: &Started) -> Result<(), Broken> {
    let Seen { state, nonce, challenge, redirect_uri, .. } = stand.strategy.seen();
    let to = &started.to;
    let calls = stand.wire.calls();
    let sent = sent_to(to, &calls);
    let said = |name: &str| -> Vec<&str> {
        sent.iter().filter(|(known, _)| known == name).map(|(_, value)| value.as_str()).collect()
    };
    for (rule, name, expected) in [
        ("the redirect has the engine's state, once", "state", state.as_str()),
        ("the redirect has the engine's PKCE challenge, once", "code_challenge", &challenge),
        ("the redirect has the challenge method S256, once", "code_challenge_method", "S256"),
        ("the redirect has the engine's redirect_uri, octet for octet, once", "redirect_uri", &redirect_uri),
    ] {
        let said = said(name);
        hold(rule, said == [expected], || format!("{name} is {said:?}"))?;
    }
    let nonces = said("nonce");
    hold("a nonce in the redirect is the engine's", nonces.iter().all(|said| *said == nonce), || {
        format!("nonce is {nonces:?}")
    })?;
    let safe = to.scheme() == "https"
        || to.host_str().is_some_and(|host| ["127.0.0.1", "[::1]", "localhost"].contains(&host));
    hold("people are sent away by https", safe, || to.to_string())?;
    let secrets = stand.counterpart.secrets();
    let held = secrets.iter().any(|secret| !secret.is_empty() && to.as_str().contains(secret.as_str()));
    hold("the redirect holds no secret of the application", !held, || to.path().to_owned())?;
    stand.calls_are_limited()
}

/// The parameters of the request: those of the address, or those that were pushed
/// ([RFC 9126](https://www.rfc-editor.org/rfc/rfc9126)) if it only names them.
fn sent_to(to: &Url, calls: &[Call]) -> Vec<(String, String)> {
    let pushed = to.query_pairs().any(|(name, value)| name == "request_uri" && !value.starts_with(STRANGERS));
    match calls.iter().rev().find(|call| pushed && call.field("redirect_uri").is_some()) {
        Some(call) => call.fields(),
        None => to.query_pairs().into_owned().collect(),
    }
}
