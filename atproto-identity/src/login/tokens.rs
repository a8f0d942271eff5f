//! What the tokens of a sign-in must say before anybody believes them (R76 to R79).

use vestibule_oauth_core::ScopeSet;
use vestibule_strategy::{FailureKind, Fault, TokenAnswer};

use crate::{DevelopmentNames, Did};

/// Whose tokens these are and what they are for, after everything that an answer shows by itself was checked. Whether the
/// account is the right one is for the login to say.
///
/// # Errors
/// The kind of the rule that is broken: [`FailureKind::TokenTypeMismatch`], [`FailureKind::IdTokenUnexpected`],
/// [`FailureKind::SubjectMissing`], [`FailureKind::SubjectInvalid`], [`FailureKind::ScopeMissing`] or
/// [`FailureKind::ScopeInsufficient`].
pub(super) fn read(answer: &TokenAnswer, development: DevelopmentNames) -> Result<(Did, ScopeSet), Fault> {
    if !answer.token_type.eq_ignore_ascii_case("DPoP") {
        let rule = "token_type must be DPoP: the tokens are not bound to the key";
        return Err(Fault::new(FailureKind::TokenTypeMismatch, rule));
    }
    if answer.id_token.is_some() {
        let rule = "id_token must be absent: the AT Protocol has none";
        return Err(Fault::new(FailureKind::IdTokenUnexpected, rule));
    }
    let Some(sub) = answer.sub.as_deref() else {
        return Err(Fault::new(FailureKind::SubjectMissing, "sub is missing: the tokens are nobody's"));
    };
    let invalid = |rule: String| Fault::new(FailureKind::SubjectInvalid, rule);
    let did: Did = sub.parse().map_err(|error| invalid(format!("sub is not a DID: {error}")))?;
    did.method(development)
        .map_err(|error| invalid(format!("sub is not a DID that can be used: {error}")))?;
    let Some(scope) = answer.scope.clone() else {
        let rule = "scope is missing: nothing says what was granted";
        return Err(Fault::new(FailureKind::ScopeMissing, rule));
    };
    if !scope.contains("atproto") {
        let rule = "scope lacks atproto: this is no AT Protocol session";
        return Err(Fault::new(FailureKind::ScopeInsufficient, rule));
    }
    Ok((did, scope))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn outcome(body: &str) -> Result<String, (&'static str, String)> {
        let answer =
            TokenAnswer::read(&http::Response::new(Bytes::copy_from_slice(body.as_bytes()))).unwrap();
        match read(&answer, DevelopmentNames::Refused) {
            Ok((did, _)) => Ok(did.to_string()),
            Err(fault) => Err((fault.kind().code(), fault.detail().to_owned())),
        }
    }

    #[test]
    fn r76_r79_tokens_must_say_whose_they_are_and_for_what() {
        let did = "did:plc:ewvi7nxzyoun6zhxrhs64oiz";
        let body = |parts: &str| format!(r#"{{"access_token":"a",{parts}}}"#);
        let good = format!(r#""token_type":"dpop","sub":"{did}","scope":"atproto x:y""#);
        assert_eq!(outcome(&body(&good)).unwrap(), did);
        for (parts, code, expected) in [
            (good.replace("dpop", "Bearer"), "token_type_mismatch", "token_type"),
            (format!(r#"{good},"id_token":"x""#), "id_token_unexpected", "id_token"),
            (good.replace("sub", "sup"), "subject_missing", "sub is missing"),
            (good.replace(did, "alice.test"), "subject_invalid", "sub is not a DID"),
            (good.replace("plc:e", "key:e"), "subject_invalid", "sub is not a DID that can be used"),
            (good.replace("scope", "skope"), "scope_missing", "scope is missing"),
            (good.replace("atproto ", "atprotoo "), "scope_insufficient", "scope lacks atproto"),
        ] {
            let (seen, detail) = outcome(&body(&parts)).unwrap_err();
            assert_eq!(seen, code, "{parts}");
            assert!(detail.starts_with(expected), "{parts}: {detail}");
        }
    }
}
