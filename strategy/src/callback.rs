//! What a provider sends the person back with.

use vestibule_oauth_core::{ErrorCode, ErrorResponse, Params, ParamsError, Secret};

use crate::failure::{FailureKind, Fault};

/// The parameters of a callback ([RFC 6749, section 4.1.2], [RFC 9207]), read but not yet believed.
///
/// ```
/// use vestibule_oauth_core::{FormRules, Params};
/// use vestibule_strategy::Callback;
///
/// let params = Params::parse(b"code=abc&state=xyz&iss=https%3A%2F%2Fas.example", &FormRules::DEFAULT).unwrap();
/// let callback = Callback::read(&params).unwrap();
/// assert_eq!(callback.state(), "xyz");
/// assert_eq!(callback.issuer(), Some("https://as.example"));
/// ```
///
/// [RFC 6749, section 4.1.2]: https://www.rfc-editor.org/rfc/rfc6749#section-4.1.2
/// [RFC 9207]: https://www.rfc-editor.org/rfc/rfc9207
#[derive(Debug)]
pub struct Callback {
    state: Secret,
    issuer: Option<String>,
    answer: Answer,
}

/// What the provider answered; believed only after the state holds.
#[derive(Debug)]
pub(crate) enum Answer {
    Code(Secret),
    Error(ErrorResponse),
    Neither,
}

impl Callback {
    /// Reads the parameters.
    ///
    /// # Errors
    /// [`FailureKind::SignedResponseUnsupported`] for a signed response (JARM), [`FailureKind::FlowMissing`] without
    /// `state`, [`FailureKind::CodeAndError`] for both, and [`FailureKind::InvalidCallbackRequest`] for an `error` that is
    /// no code.
    pub fn read(params: &Params<'_>) -> Result<Self, Fault> {
        let fault = |kind, detail: &str| Err(Fault::new(kind, detail));
        if params.value("response").is_some() {
            return fault(
                FailureKind::SignedResponseUnsupported,
                "the callback is a signed response (JARM), which was not asked for",
            );
        }
        let Some(state) = params.value("state") else {
            return fault(FailureKind::FlowMissing, "the callback has no state");
        };
        let answer = match (params.value("code"), params.value("error")) {
            (Some(_), Some(_)) => {
                return fault(FailureKind::CodeAndError, "the callback has both a code and an error");
            }
            (Some(code), None) => Answer::Code(Secret::new(code.to_owned())),
            (None, Some(error)) => {
                match ErrorResponse::from_parts(error, params.value("error_description")) {
                    Some(refusal) => Answer::Error(refusal),
                    None => {
                        return fault(
                            FailureKind::InvalidCallbackRequest,
                            "the callback's error is not an error code",
                        );
                    }
                }
            }
            (None, None) => Answer::Neither,
        };
        Ok(Self {
            state: Secret::new(state.to_owned()),
            issuer: params.value("iss").map(str::to_owned),
            answer,
        })
    }

    /// `state`.
    pub fn state(&self) -> &str {
        self.state.expose()
    }

    /// `iss`.
    pub fn issuer(&self) -> Option<&str> {
        self.issuer.as_deref()
    }

    pub(crate) fn into_answer(self) -> Answer {
        self.answer
    }
}

/// The fault that unreadable parameters are.
pub(crate) fn unreadable(error: &ParamsError) -> Fault {
    let kind = match error {
        ParamsError::Repeated(_) => FailureKind::DuplicateParam,
        _ => FailureKind::InvalidCallbackRequest,
    };
    Fault::new(kind, error.to_string())
}

/// The fault that a provider's own refusal is.
pub(crate) fn refused(refusal: ErrorResponse) -> Fault {
    let detail = format!("the provider answered {refusal}");
    if refusal.code == ErrorCode::ACCESS_DENIED || CANCELLED.contains(&refusal.code.as_str()) {
        Fault::new(FailureKind::AccessDenied, detail)
    } else {
        Fault::new(FailureKind::ProviderError(refusal), detail)
    }
}

/// What Apple and LinkedIn say where everybody else says `access_denied`.
const CANCELLED: [&str; 2] = ["user_cancelled_authorize", "user_cancelled_login"];

#[cfg(test)]
mod tests {
    use vestibule_oauth_core::FormRules;

    use super::*;

    fn read(query: &str) -> Result<Callback, &'static str> {
        let params = Params::parse(query.as_bytes(), &FormRules::DEFAULT);
        let callback = params.map_err(|error| unreadable(&error)).and_then(|params| Callback::read(&params));
        callback.map_err(|fault| fault.kind().code())
    }

    #[test]
    fn r74_what_cannot_be_a_callback_is_none() {
        for (query, code) in [
            ("", "flow_missing"),
            ("code=c", "flow_missing"),
            ("code=c&state=", "flow_missing"),
            ("response=e30", "signed_response_unsupported"),
            ("response=e30&state=s&code=c", "signed_response_unsupported"),
            ("state=s&code=c&error=access_denied", "code_and_error"),
            ("state=s&error=a%22b", "invalid_callback_request"),
            ("state=s&state=s&code=c", "duplicate_param"),
            ("state=s&code=c&code=d", "duplicate_param"),
            ("state=s&code=%zz", "invalid_callback_request"),
            ("state=s&code=%ff", "invalid_callback_request"),
        ] {
            assert_eq!(read(query).unwrap_err(), code, "{query}");
        }
    }

    #[test]
    fn r72_what_the_provider_answered_is_kept_for_later() {
        assert!(matches!(read("state=s&code=c").unwrap().into_answer(), Answer::Code(_)));
        assert!(matches!(read("state=s&code=").unwrap().into_answer(), Answer::Neither));
        assert_eq!(read("state=s&iss=").unwrap().issuer(), None);
        let callback = read("state=s&error=access_denied&error_description=no").unwrap();
        let Answer::Error(refusal) = callback.into_answer() else { panic!() };
        assert_eq!(refused(refusal).kind(), &FailureKind::AccessDenied);
        let Answer::Error(refusal) = read("state=s&error=login_required").unwrap().into_answer() else {
            panic!()
        };
        assert_eq!(refused(refusal).kind().code(), "provider_error");
    }

    #[test]
    fn s10_debug_shows_no_code() {
        assert!(!format!("{:?}", read("state=s&code=s3cret").unwrap()).contains("s3cret"));
    }
}
