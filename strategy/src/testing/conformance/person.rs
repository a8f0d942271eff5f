//! Who came back.

use super::stand::Stand;
use crate::auth::Auth;
use crate::provider_id::ProviderId;
use crate::strategy::Strategy;
use crate::testing::broken::{Broken, hold};
use crate::user_fields::UserFields;

/// Two whole logins of one person; gives their name.
pub(super) fn signs_in(stand: &mut Stand<'_>) -> Result<String, Broken> {
    let first = signed_in(stand)?;
    let second = signed_in(stand)?;
    hold("one person has one uid", first == second, || format!("{first:?} and then {second:?}"))?;
    Ok(first)
}

fn signed_in(stand: &mut Stand<'_>) -> Result<String, Broken> {
    let started = stand.start()?;
    let query = stand.counterpart.authorize(&started.to)?;
    let (provider, now) = (stand.provider.clone(), stand.now);
    let outcome = stand.finish(&provider, &started.headers, &query, now)?;
    stand.calls_are_limited()?;
    outcome.map(|auth| auth.uid).map_err(|failure| Broken::new("a good login signs somebody in", failure))
}

/// Holds an account to what everybody may rely on.
pub(super) fn is_sound(
    stand: &Stand<'_>,
    provider: &ProviderId,
    auth: &Auth,
    code: Option<&str>,
) -> Result<(), Broken> {
    let uid = &auth.uid;
    hold("a uid is not empty", !uid.is_empty(), String::new)?;
    let bounded = uid.len() <= UserFields::MAX_UID;
    hold("a uid has at most 255 octets", bounded, || format!("it has {}", uid.len()))?;
    let plain = !uid.chars().any(char::is_control);
    hold("a uid holds no control character", plain, || format!("{uid:?}"))?;
    hold("an account is of the provider that was asked", auth.provider == *provider, || {
        format!("it is of {}", auth.provider)
    })?;
    let kind = stand.strategy.kind();
    hold("an account names the strategy's kind", auth.strategy == kind, || {
        format!("{} instead of {kind}", auth.strategy)
    })?;
    let secrets = stand.secrets(code);
    let held_in = |shown: &str| secrets.iter().find(|(_, secret)| shown.contains(secret.as_str()));
    let shown = held_in(&format!("{auth:?}"));
    hold("the Debug of an account shows no secret", shown.is_none(), || {
        shown.map(|(what, _)| (*what).to_owned()).unwrap_or_default()
    })?;
    for (name, value) in &auth.extra.raw {
        let held = held_in(&value.to_string());
        hold("extra.raw holds no secret", held.is_none(), || {
            format!("{} in {name}", held.map_or("", |(what, _)| *what))
        })?;
    }
    Ok(())
}
