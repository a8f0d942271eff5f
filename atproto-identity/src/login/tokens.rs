//! What the tokens of a sign-in must say before anybody believes them (R76 to R79).

use vestibule_oauth_core::ScopeSet;
use vestibule_strategy::{FailureKind, Fault, TokenAnswer};

use crate::{DevelopmentNames, Did};

/// Whose tokens these are and what they are for, after everything that an answer shows by itself was checked. Whether the
/// account is the right one is for the login to say.
///
/// # Errors
/// [`FailureKind::TokenValidationFailed`], with the rule.
pub(super) fn read(answer: &TokenAnswer, development: DevelopmentNames) -> Result<(Did, ScopeSet), Fault> {
    parts(answer, development).map_err(|rule| Fault::new(FailureKind::TokenValidationFailed, rule))
}

fn parts(answer: &TokenAnswer, development: DevelopmentNames) -> Result<(Did, ScopeSet), String> {
    if !answer.token_type.eq_ignore_ascii_case("DPoP") {
        return Err("token_type must be DPoP: the tokens are not bound to the key".to_owned());
    }
    if answer.id_token.is_some() {
        return Err("id_token must be absent: the AT Protocol has none".to_owned());
    }
    let sub = answer.sub.as_deref().ok_or("sub is missing: the tokens are nobody's")?;
    let did: Did = sub.parse().map_err(|error| format!("sub is not a DID: {error}"))?;
    did.method(development).map_err(|error| format!("sub is not a DID that can be used: {error}"))?;
    let scope = answer.scope.clone().ok_or("scope is missing: nothing says what was granted")?;
    if !scope.contains("atproto") {
        return Err("scope lacks atproto: this is no AT Protocol session".to_owned());
    }
    Ok((did, scope))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn outcome(body: &str) -> Result<String, String> {
        let answer =
            TokenAnswer::read(&http::Response::new(Bytes::copy_from_slice(body.as_bytes()))).unwrap();
        match read(&answer, DevelopmentNames::Refused) {
            Ok((did, _)) => Ok(did.to_string()),
            Err(fault) => Err(fault.detail().to_owned()),
        }
    }

    #[test]
    fn r76_r79_tokens_must_say_whose_they_are_and_for_what() {
        let did = "did:plc:ewvi7nxzyoun6zhxrhs64oiz";
        let body = |parts: &str| format!(r#"{{"access_token":"a",{parts}}}"#);
        let good = format!(r#""token_type":"dpop","sub":"{did}","scope":"atproto x:y""#);
        assert_eq!(outcome(&body(&good)).as_deref(), Ok(did));
        for (parts, expected) in [
            (good.replace("dpop", "Bearer"), "token_type"),
            (format!(r#"{good},"id_token":"x""#), "id_token"),
            (good.replace("sub", "sup"), "sub is missing"),
            (good.replace(did, "alice.test"), "sub is not a DID"),
            (good.replace("plc:e", "key:e"), "sub is not a DID that can be used"),
            (good.replace("scope", "skope"), "scope is missing"),
            (good.replace("atproto ", "atprotoo "), "scope lacks atproto"),
        ] {
            let detail = outcome(&body(&parts)).unwrap_err();
            assert!(detail.starts_with(expected), "{parts}: {detail}");
        }
    }
}
