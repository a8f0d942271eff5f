//! Servers that do not answer, or not as they should.

use http::StatusCode;
use vestibule_oauth_core::HttpError;

use super::forms;
use super::stand::Stand;
use super::wire::{Mishap, Target};
use crate::auth::Auth;
use crate::failure::{Failure, FailureKind, Fault};
use crate::strategy::{CsrfGuard, Strategy};
use crate::testing::broken::{Broken, hold};
use crate::testing::call::Call;

/// Every call of a good login, and every mishap.
pub(super) fn failures(stand: &mut Stand<'_>, uid: &str) -> Result<(), Broken> {
    stand.next_login(None);
    login(stand)?.map_err(|failure| Broken::new("a good login signs somebody in", failure))?;
    let mut met: Vec<Target> = Vec::new();
    for call in stand.wire.calls() {
        let target = Target::of(&call);
        if met.contains(&target) {
            continue;
        }
        met.push(target.clone());
        for mishap in Mishap::ALL {
            stand.next_login(Some((target.clone(), mishap)));
            let outcome = login(stand)?;
            if stand.wire.struck() {
                stand.calls_are_limited()?;
                is_blamed(stand, &call, mishap, outcome, uid)?;
            }
        }
    }
    Ok(())
}

fn login(stand: &mut Stand<'_>) -> Result<Result<Auth, Failure>, Broken> {
    if stand.strategy.csrf() == CsrfGuard::SameOriginPost {
        return forms::submitted(stand);
    }
    let started = match stand.begin("")? {
        Ok(started) => started,
        Err(failure) => return Ok(Err(failure)),
    };
    let query = stand.counterpart.authorize(&started.to)?;
    let (provider, now) = (stand.provider.clone(), stand.now);
    stand.finish(&provider, &started.headers, &query, now)
}

/// A call that met with a mishap is the end of the login, and the other server's fault.
fn is_blamed(
    stand: &Stand<'_>,
    call: &Call,
    mishap: Mishap,
    outcome: Result<Auth, Failure>,
    uid: &str,
) -> Result<(), Broken> {
    let Call { method, url, .. } = call;
    let failure = match outcome {
        Ok(auth) => {
            let without = stand.counterpart.is_optional(call);
            hold("nobody is signed in on an answer that is none", without, || {
                format!("{} is signed in, with {mishap:?} at {method} {url}", auth.uid)
            })?;
            return hold("who signs in hangs on no answer that may be missing", auth.uid == uid, || {
                format!("{} instead of {uid}, with {mishap:?} at {method} {url}", auth.uid)
            });
        }
        Err(failure) => failure,
    };
    let seen = || format!("{failure}, with {mishap:?} at {method} {url}");
    if let Mishap::Fails(kind) = mishap {
        let expected = Fault::transport("", &HttpError::new(kind, ""));
        return hold("a call that fails is a failure of transport", failure.kind() == expected.kind(), seen);
    }
    let blamed = matches!(
        failure.kind().status(),
        StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT
    );
    // The provider itself has not said so: it was its answer that could not be read.
    let by_itself = matches!(failure.kind(), FailureKind::ProviderError(_));
    hold("an answer that is none is the other server's fault", blamed && !by_itself, seen)
}
