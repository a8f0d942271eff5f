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
    state: String,
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
    /// [`FailureKind::FlowMissing`] without `state`; [`FailureKind::InvalidCallbackRequest`] for a signed response
    /// (JARM), which nothing here asks for, for an `error` that is no code, and for a code beside an error.
    pub fn read(params: &Params<'_>) -> Result<Self, Fault> {
        let fault = |kind, detail: &str| Err(Fault::new(kind, detail));
        if params.value("response").is_some() {
            return fault(
                FailureKind::InvalidCallbackRequest,
                "the callback is a signed response (JARM), which was not asked for",
            );
        }
        let Some(state) = params.value("state") else {
            return fault(FailureKind::FlowMissing, "the callback has no state");
        };
        let answer = match (params.value("code"), params.value("error")) {
            (Some(_), Some(_)) => {
                return fault(
                    FailureKind::InvalidCallbackRequest,
                    "the callback has both a code and an error",
                );
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
        Ok(Self { state: state.to_owned(), issuer: params.value("iss").map(str::to_owned), answer })
    }

    /// `state`.
    pub fn state(&self) -> &str {
        &self.state
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
    if refusal.code == ErrorCode::ACCESS_DENIED {
        Fault::new(FailureKind::AccessDenied, detail)
    } else {
        Fault::new(FailureKind::ProviderError(refusal), detail)
    }
}
