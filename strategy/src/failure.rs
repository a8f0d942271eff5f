//! How a login fails: one type, whatever the provider.
//!
//! Every failure has a stable [`code`](FailureKind::code), an HTTP [`status`](FailureKind::status), a sentence for
//! [the person](FailureKind::for_person) and, as its `Display`, a longer one for the developer. None of them holds a
//! secret, and text that came from a provider is cleaned before it gets here and escaped by whoever shows it.

use std::fmt;

use http::StatusCode;
use serde::ser::{Serialize, SerializeStruct, Serializer};
use vestibule_oauth_core::{ErrorCode, ErrorResponse, HttpError, HttpErrorKind};

use crate::provider_id::ProviderId;

/// A login that failed: where, why, and what may be said about it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failure {
    provider: ProviderId,
    phase: Phase,
    fault: Fault,
}

impl Failure {
    /// Places a fault: it happened in `phase` of a login with `provider`.
    pub const fn new(provider: ProviderId, phase: Phase, fault: Fault) -> Self {
        Self { provider, phase, fault }
    }

    /// With which provider.
    pub const fn provider(&self) -> &ProviderId {
        &self.provider
    }

    /// In which phase.
    pub const fn phase(&self) -> Phase {
        self.phase
    }

    /// Which rule was broken.
    pub fn kind(&self) -> &FailureKind {
        self.fault.kind()
    }

    /// What happened and what to do next, in words for the person in front of the browser.
    pub fn for_person(&self) -> &str {
        self.fault.0.hint.as_deref().unwrap_or_else(|| self.kind().for_person())
    }

    /// The sentence for the developer, without provider, phase and code.
    pub fn detail(&self) -> &str {
        self.fault.detail()
    }

    /// All that went wrong, each with its code and a sentence for the person: the failure itself first, then what the strategy
    /// added to it, one for each field of a form say.
    pub fn errors(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let first = (self.kind().code(), self.for_person());
        let more = self.fault.0.more.iter().map(|(code, sentence)| (*code, sentence.as_str()));
        std::iter::once(first).chain(more)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} phase of {}: {}", self.phase, self.provider, self.fault)
    }
}

impl std::error::Error for Failure {}

/// What an application may pass on: provider, phase, code, and all that went wrong with its sentence. Not the detail, which is for whoever
/// runs it.
impl Serialize for Failure {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let errors: Vec<_> = self.errors().map(|(code, message)| Written { code, message }).collect();
        let mut out = serializer.serialize_struct("Failure", 4)?;
        out.serialize_field("provider", &self.provider)?;
        out.serialize_field("phase", &self.phase.to_string())?;
        out.serialize_field("code", self.kind().code())?;
        out.serialize_field("errors", &errors)?;
        out.end()
    }
}

/// One thing that went wrong, as it is written.
#[derive(serde::Serialize)]
struct Written<'a> {
    code: &'static str,
    message: &'a str,
}

/// The two halves of a login.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(
    clippy::exhaustive_enums,
    reason = "a login has these two phases; what comes after is the application's"
)]
pub enum Phase {
    /// From the person's click to the redirect to the provider.
    Request,
    /// From the person's return to the application.
    Callback,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Request => "request",
            Self::Callback => "callback",
        })
    }
}

/// What a strategy reports: a rule and a sentence for the developer. The engine adds provider and phase.
///
/// ```
/// use vestibule_strategy::{FailureKind, Fault};
///
/// let fault = Fault::new(FailureKind::BadResponse, "userinfo has no member sub");
/// assert_eq!(fault.to_string(), "bad_response: userinfo has no member sub");
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fault(Box<Parts>);

/// Behind a pointer, so that a `Result` with a fault in it stays small.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Parts {
    kind: FailureKind,
    detail: String,
    hint: Option<String>,
    more: Vec<(&'static str, String)>,
}

impl Fault {
    /// A fault of this kind. `detail` is for the developer: what was expected, what came, no secret.
    pub fn new(kind: FailureKind, detail: impl Into<String>) -> Self {
        Self(Box::new(Parts { kind, detail: detail.into(), hint: None, more: Vec::new() }))
    }

    /// The same fault with a sentence for the person that fits better than the one of its kind. It is our own text, never a
    /// stranger's.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// The same fault with one thing more that is wrong: a code of the strategy's own, and a sentence for the person.
    ///
    /// ```
    /// use vestibule_strategy::{Failure, FailureKind, Fault, Phase};
    ///
    /// let fault = Fault::new(FailureKind::InvalidCredentials, "two fields are empty")
    ///     .and("missing_name", "Type your name.")
    ///     .and("missing_password", "Type your password.");
    /// let failure = Failure::new("form".parse().unwrap(), Phase::Callback, fault);
    /// let codes: Vec<_> = failure.errors().map(|(code, _)| code).collect();
    /// assert_eq!(codes, ["invalid_credentials", "missing_name", "missing_password"]);
    /// ```
    #[must_use]
    pub fn and(mut self, code: &'static str, sentence: impl Into<String>) -> Self {
        self.0.more.push((code, sentence.into()));
        self
    }

    /// The fault that a call without an answer is; `purpose` says what was asked for.
    pub fn transport(purpose: &str, error: &HttpError) -> Self {
        let kind = match error.kind() {
            HttpErrorKind::ConnectTimeout | HttpErrorKind::AnswerTimeout => TransportFault::Timeout,
            HttpErrorKind::Blocked => TransportFault::Blocked,
            HttpErrorKind::TooLarge => TransportFault::TooLarge,
            _ => TransportFault::Connect,
        };
        Self::new(FailureKind::Transport(kind), format!("{purpose}: {error}"))
    }

    /// Which rule was broken.
    pub fn kind(&self) -> &FailureKind {
        &self.0.kind
    }

    /// The sentence for the developer.
    pub fn detail(&self) -> &str {
        &self.0.detail
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind().code(), self.detail())
    }
}

impl std::error::Error for Fault {}

/// The rules a login can break.
///
/// ```
/// use vestibule_strategy::{FailureKind, TransportFault};
///
/// let kind = FailureKind::Transport(TransportFault::Timeout);
/// assert_eq!((kind.code(), kind.status().as_u16()), ("transport", 504));
/// assert_eq!(kind.for_person(), "Your provider did not answer in time. Try again in a little while.");
/// ```
///
/// # Coming from Atex
///
/// The eight reasons of `Atex.OAuth.Error`, and what they are here:
///
/// | reason | code | status |
/// | --- | --- | --- |
/// | `:missing_handle` | `missing_handle` | 400 |
/// | `:invalid_handle` | `invalid_handle`; a DID document or server that cannot be had is `transport` or `bad_response` | 400; 502, 504 |
/// | `:authorization_url_failed` | `authorization_url_failed` | 502 |
/// | `:invalid_callback_request` | `flow_missing`, `flow_expired`, `flow_provider_mismatch`, `csrf_attack`, `missing_code`, `duplicate_param`, `signed_response_unsupported`, `code_and_error`; `invalid_callback_request` where none of these fits. A refusal by the person is `access_denied` | 400; 403 |
/// | `:authorization_server_metadata_failed` | `authorization_server_metadata_failed` (never raised there, raised here) | 502 |
/// | `:token_validation_failed` | `token_endpoint` when the server refuses; `token_answer_malformed`, `token_type_mismatch`, `id_token_unexpected`, `subject_missing`, `subject_invalid`, `scope_missing`, `scope_insufficient` or `dpop_nonce_missing` when its answer breaks that rule, `token_validation_failed` for a rule without a code of its own; `account_mismatch` when it is about somebody else | 502; 403 |
/// | `:issuer_mismatch` | `account_issuer_mismatch`; for the callback's `iss`, which is not looked at there, `issuer_mismatch` and `issuer_missing` | 400 |
/// | `:session_store_failed` | `session_store_failed` | 500 |
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum FailureKind {
    /// The request that would start a login, or end one, comes from another site (S20).
    CrossSiteRequest,
    /// The returning browser cannot show that it is the one that left.
    CsrfAttack(CsrfCause),
    /// No login with this state is under way: it was finished before, was never begun here, or the state is missing.
    FlowMissing,
    /// The login took longer than it may.
    FlowExpired,
    /// The login was begun with another provider.
    FlowProviderMismatch,
    /// The callback has neither a code nor an error.
    MissingCode,
    /// A parameter was sent more than once.
    DuplicateParam,
    /// The callback cannot be read.
    InvalidCallbackRequest,
    /// The callback is a signed response ([JARM](https://openid.net/specs/oauth-v2-jarm.html)), which nothing here asks for.
    SignedResponseUnsupported,
    /// The callback has a code and an error, and so says two things.
    CodeAndError,
    /// The person said no at the provider.
    AccessDenied,
    /// The provider ended the login with an error of its own.
    ProviderError(ErrorResponse),
    /// The callback does not name the issuer it must name ([RFC 9207](https://www.rfc-editor.org/rfc/rfc9207)).
    IssuerMissing,
    /// The callback names another issuer than the one the login was begun with.
    IssuerMismatch,
    /// The account that signed in is ruled by another authorization server than the one that says so.
    AccountIssuerMismatch,
    /// The token endpoint refused.
    TokenEndpoint {
        /// Its HTTP status.
        status: u16,
        /// Its error code, if it gave one.
        error: Option<ErrorCode>,
    },
    /// An ID token breaks a rule; the detail says which.
    IdToken,
    /// What was typed into a form of this site is nobody's: an unknown name and a wrong password look the same.
    InvalidCredentials,
    /// Userinfo is about somebody else than the ID token.
    UserinfoMismatch,
    /// A server gave no answer.
    Transport(TransportFault),
    /// A server's answer is not what the protocol says it is.
    BadResponse,
    /// This application is set up wrongly; the detail says where.
    Misconfigured,
    /// No handle was given.
    MissingHandle,
    /// What was typed is no handle, or leads to nobody.
    InvalidHandle,
    /// The person's server publishes a description this login cannot rely on.
    AuthorizationServerMetadataFailed,
    /// The authorization server refused the pushed authorization request.
    AuthorizationUrlFailed {
        /// Its HTTP status.
        status: u16,
        /// Its error code, if it gave one.
        error: Option<ErrorCode>,
    },
    /// The token answer breaks a rule that has no kind of its own; the detail says which.
    TokenValidationFailed,
    /// The answer of the token endpoint cannot be read: it is no token answer, or a part of it has no usable form.
    TokenAnswerMalformed,
    /// The tokens are of another `token_type` than was asked for: not bound to the key.
    TokenTypeMismatch,
    /// An ID token came where the protocol has none.
    IdTokenUnexpected,
    /// The token answer has no `sub`: it does not say whose tokens these are.
    SubjectMissing,
    /// The `sub` of the token answer is nobody this login could be for.
    SubjectInvalid,
    /// The token answer has no `scope`: it does not say what was granted.
    ScopeMissing,
    /// What was granted lacks what a session is not one without.
    ScopeInsufficient,
    /// The server answered a proof without the nonce that every such answer must carry
    /// ([RFC 9449, section 8](https://www.rfc-editor.org/rfc/rfc9449#section-8)).
    DpopNonceMissing,
    /// The person signed in to another account than the one the login was begun for.
    AccountMismatch,
    /// An identity was to be linked, and nobody is signed in to the account it was to be linked to.
    NotSignedIn,
    /// The identity that was to be linked signs in to another account.
    IdentityTaken,
    /// The account has as many identities as it may have.
    TooManyIdentities,
    /// The session could not be stored; what was issued for it was revoked.
    SessionStoreFailed,
    /// Too many logins were started from one place; a little later one may be started again.
    RateLimited,
    /// More logins are being started than this server can see through. Nothing is lost: try again.
    Overloaded,
    /// The store of pending logins cannot be reached. Nothing is lost: the same request may be sent again.
    StoreUnavailable,
}

/// How a returning browser failed to show that it is the one that left.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum CsrfCause {
    /// It has no cookie for this login: another browser, cookies refused, or a login finished before.
    CookieAbsent,
    /// Its cookie was not made by this server, or was changed.
    CookieUnreadable,
    /// Its cookie belongs to another login.
    CookieForeign,
}

/// Why a server gave no answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum TransportFault {
    /// It took too long.
    Timeout,
    /// It cannot be reached, or the connection broke.
    Connect,
    /// Its answer is too large.
    TooLarge,
    /// Its address is one that a stranger may not send us to.
    Blocked,
}

impl FailureKind {
    /// The stable code: the `error` of a JSON answer, the word to match on in a test or a log.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::CrossSiteRequest => "cross_site_request",
            Self::CsrfAttack(_) => "csrf_attack",
            Self::FlowMissing => "flow_missing",
            Self::FlowExpired => "flow_expired",
            Self::FlowProviderMismatch => "flow_provider_mismatch",
            Self::MissingCode => "missing_code",
            Self::DuplicateParam => "duplicate_param",
            Self::InvalidCallbackRequest => "invalid_callback_request",
            Self::SignedResponseUnsupported => "signed_response_unsupported",
            Self::CodeAndError => "code_and_error",
            Self::AccessDenied => "access_denied",
            Self::ProviderError(_) => "provider_error",
            Self::IssuerMissing => "issuer_missing",
            Self::IssuerMismatch => "issuer_mismatch",
            Self::AccountIssuerMismatch => "account_issuer_mismatch",
            Self::TokenEndpoint { .. } => "token_endpoint",
            Self::InvalidCredentials => "invalid_credentials",
            Self::IdToken => "id_token",
            Self::UserinfoMismatch => "userinfo_mismatch",
            Self::Transport(_) => "transport",
            Self::BadResponse => "bad_response",
            Self::Misconfigured => "misconfigured",
            Self::MissingHandle => "missing_handle",
            Self::InvalidHandle => "invalid_handle",
            Self::AuthorizationServerMetadataFailed => "authorization_server_metadata_failed",
            Self::AuthorizationUrlFailed { .. } => "authorization_url_failed",
            Self::TokenValidationFailed => "token_validation_failed",
            Self::TokenAnswerMalformed => "token_answer_malformed",
            Self::TokenTypeMismatch => "token_type_mismatch",
            Self::IdTokenUnexpected => "id_token_unexpected",
            Self::SubjectMissing => "subject_missing",
            Self::SubjectInvalid => "subject_invalid",
            Self::ScopeMissing => "scope_missing",
            Self::ScopeInsufficient => "scope_insufficient",
            Self::DpopNonceMissing => "dpop_nonce_missing",
            Self::AccountMismatch => "account_mismatch",
            Self::NotSignedIn => "not_signed_in",
            Self::IdentityTaken => "identity_taken",
            Self::TooManyIdentities => "too_many_identities",
            Self::SessionStoreFailed => "session_store_failed",
            Self::RateLimited => "rate_limited",
            Self::Overloaded | Self::StoreUnavailable => "temporarily_unavailable",
        }
    }

    /// The HTTP status: 400 and 403 for what the browser brought, 502 and 504 for what another server did, 500 and 503
    /// for us.
    pub const fn status(&self) -> StatusCode {
        match self {
            Self::CsrfAttack(_)
            | Self::FlowMissing
            | Self::FlowExpired
            | Self::FlowProviderMismatch
            | Self::MissingCode
            | Self::DuplicateParam
            | Self::InvalidCallbackRequest
            | Self::SignedResponseUnsupported
            | Self::CodeAndError
            | Self::IssuerMissing
            | Self::IssuerMismatch
            | Self::AccountIssuerMismatch
            | Self::MissingHandle
            | Self::InvalidHandle => StatusCode::BAD_REQUEST,
            Self::CrossSiteRequest
            | Self::AccessDenied
            | Self::AccountMismatch
            | Self::InvalidCredentials => StatusCode::FORBIDDEN,
            Self::NotSignedIn => StatusCode::UNAUTHORIZED,
            Self::IdentityTaken | Self::TooManyIdentities => StatusCode::CONFLICT,
            Self::Transport(TransportFault::Timeout) => StatusCode::GATEWAY_TIMEOUT,
            Self::ProviderError(_)
            | Self::TokenEndpoint { .. }
            | Self::IdToken
            | Self::UserinfoMismatch
            | Self::Transport(_)
            | Self::BadResponse
            | Self::AuthorizationServerMetadataFailed
            | Self::AuthorizationUrlFailed { .. }
            | Self::TokenValidationFailed
            | Self::TokenAnswerMalformed
            | Self::TokenTypeMismatch
            | Self::IdTokenUnexpected
            | Self::SubjectMissing
            | Self::SubjectInvalid
            | Self::ScopeMissing
            | Self::ScopeInsufficient
            | Self::DpopNonceMissing => StatusCode::BAD_GATEWAY,
            Self::Misconfigured | Self::SessionStoreFailed => StatusCode::INTERNAL_SERVER_ERROR,
            Self::RateLimited => StatusCode::TOO_MANY_REQUESTS,
            Self::Overloaded | Self::StoreUnavailable => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// What happened and what to do next, in words for the person, as far as the kind alone can tell.
    pub const fn for_person(&self) -> &'static str {
        match self {
            Self::CrossSiteRequest => {
                "This sign-in was started from another website, so it was stopped. Start it from the sign-in page here."
            }
            Self::CsrfAttack(_) => {
                "This sign-in was not started in this browser, or it is already finished. Start again here, with cookies \
                 allowed."
            }
            Self::FlowMissing => "This sign-in is already finished, or was never started here. Start again.",
            Self::FlowExpired => "This sign-in took too long and was put away. Start again.",
            Self::FlowProviderMismatch
            | Self::MissingCode
            | Self::DuplicateParam
            | Self::InvalidCallbackRequest
            | Self::SignedResponseUnsupported
            | Self::CodeAndError => {
                "Your provider sent you back with something we cannot read. Start again; if it happens twice, tell whoever \
                 runs this site."
            }
            Self::AccountIssuerMismatch => {
                "The server that answered is not the one your account belongs to, so it was not trusted. Start again with your handle."
            }
            Self::InvalidCredentials => {
                "That name and password do not belong together. Look for a typing error and try again."
            }
            Self::AccessDenied => {
                "You said no at your provider, so you are not signed in. Nothing was shared."
            }
            Self::ProviderError(_) => {
                "Your provider ended the sign-in with an error of its own. Try again in a little while."
            }
            Self::IssuerMissing | Self::IssuerMismatch => {
                "The answer did not come from the server this sign-in was started with, so it was not trusted. Start again."
            }
            Self::TokenEndpoint { .. } | Self::AuthorizationUrlFailed { .. } => {
                "Your provider refused the sign-in. Try again; if it goes on, tell whoever runs this site."
            }
            Self::IdToken
            | Self::UserinfoMismatch
            | Self::BadResponse
            | Self::TokenValidationFailed
            | Self::TokenAnswerMalformed
            | Self::TokenTypeMismatch
            | Self::IdTokenUnexpected
            | Self::SubjectMissing
            | Self::SubjectInvalid
            | Self::ScopeMissing
            | Self::ScopeInsufficient
            | Self::DpopNonceMissing => {
                "Your provider's answer breaks the rules of the sign-in, so it was not trusted. Tell whoever runs your \
                 provider."
            }
            Self::Transport(TransportFault::Timeout) => {
                "Your provider did not answer in time. Try again in a little while."
            }
            Self::Transport(TransportFault::Blocked) => {
                "Your account points to a server address that is not on the public internet, so we do not go there."
            }
            Self::Transport(_) => "Your provider cannot be reached. Try again in a little while.",
            Self::Misconfigured => "This site is not set up correctly. Tell whoever runs it.",
            Self::MissingHandle => "Type your handle: the name of your account, like alice.example.com.",
            Self::InvalidHandle => {
                "That handle leads to no account. Look for a typing error; it is a name with a dot in it, like \
                 alice.example.com."
            }
            Self::AuthorizationServerMetadataFailed => {
                "Your account's server does not offer a sign-in we can rely on. Tell whoever runs that server."
            }
            Self::AccountMismatch => {
                "You signed in to another account than the one you typed. Start again and choose the account you want."
            }
            Self::NotSignedIn => {
                "You are not signed in to that account any more, so nothing was linked. Sign in, then link again."
            }
            Self::IdentityTaken => {
                "That identity signs in to another account here, so it was not linked. Nothing was changed."
            }
            Self::TooManyIdentities => {
                "Your account has as many ways to sign in as it may have. Take one away, then link again."
            }
            Self::SessionStoreFailed => "We could not save your sign-in, so it was undone. Try again.",
            Self::RateLimited => {
                "Many sign-ins were started from your network just now. Wait a minute, then try again."
            }
            Self::Overloaded => "Many people are signing in just now. Try again in a little while.",
            Self::StoreUnavailable => "We cannot get at our records just now. Try again in a little while.",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One of every kind. Whoever adds a kind is stopped here by the compiler, and adds it to the list as well.
    fn one_of_each() -> Vec<FailureKind> {
        use FailureKind as Kind;
        let refused = ErrorResponse::from_parts("server_error", None).unwrap();
        let all = vec![
            Kind::CrossSiteRequest,
            Kind::CsrfAttack(CsrfCause::CookieAbsent),
            Kind::FlowMissing,
            Kind::FlowExpired,
            Kind::FlowProviderMismatch,
            Kind::MissingCode,
            Kind::DuplicateParam,
            Kind::InvalidCallbackRequest,
            Kind::SignedResponseUnsupported,
            Kind::CodeAndError,
            Kind::AccessDenied,
            Kind::ProviderError(refused),
            Kind::IssuerMissing,
            Kind::IssuerMismatch,
            Kind::AccountIssuerMismatch,
            Kind::TokenEndpoint { status: 400, error: None },
            Kind::IdToken,
            Kind::InvalidCredentials,
            Kind::UserinfoMismatch,
            Kind::Transport(TransportFault::Timeout),
            Kind::Transport(TransportFault::Connect),
            Kind::Transport(TransportFault::TooLarge),
            Kind::Transport(TransportFault::Blocked),
            Kind::BadResponse,
            Kind::Misconfigured,
            Kind::MissingHandle,
            Kind::InvalidHandle,
            Kind::AuthorizationServerMetadataFailed,
            Kind::AuthorizationUrlFailed { status: 400, error: None },
            Kind::TokenValidationFailed,
            Kind::TokenAnswerMalformed,
            Kind::TokenTypeMismatch,
            Kind::IdTokenUnexpected,
            Kind::SubjectMissing,
            Kind::SubjectInvalid,
            Kind::ScopeMissing,
            Kind::ScopeInsufficient,
            Kind::DpopNonceMissing,
            Kind::AccountMismatch,
            Kind::NotSignedIn,
            Kind::IdentityTaken,
            Kind::TooManyIdentities,
            Kind::SessionStoreFailed,
            Kind::RateLimited,
            Kind::Overloaded,
            Kind::StoreUnavailable,
        ];
        for kind in &all {
            match kind {
                Kind::CrossSiteRequest
                | Kind::CsrfAttack(_)
                | Kind::FlowMissing
                | Kind::FlowExpired
                | Kind::FlowProviderMismatch
                | Kind::MissingCode
                | Kind::DuplicateParam
                | Kind::InvalidCallbackRequest
                | Kind::SignedResponseUnsupported
                | Kind::CodeAndError
                | Kind::AccessDenied
                | Kind::ProviderError(_)
                | Kind::IssuerMissing
                | Kind::IssuerMismatch
                | Kind::AccountIssuerMismatch
                | Kind::TokenEndpoint { .. }
                | Kind::IdToken
                | Kind::InvalidCredentials
                | Kind::UserinfoMismatch
                | Kind::Transport(_)
                | Kind::BadResponse
                | Kind::Misconfigured
                | Kind::MissingHandle
                | Kind::InvalidHandle
                | Kind::AuthorizationServerMetadataFailed
                | Kind::AuthorizationUrlFailed { .. }
                | Kind::TokenValidationFailed
                | Kind::TokenAnswerMalformed
                | Kind::TokenTypeMismatch
                | Kind::IdTokenUnexpected
                | Kind::SubjectMissing
                | Kind::SubjectInvalid
                | Kind::ScopeMissing
                | Kind::ScopeInsufficient
                | Kind::DpopNonceMissing
                | Kind::AccountMismatch
                | Kind::NotSignedIn
                | Kind::IdentityTaken
                | Kind::TooManyIdentities
                | Kind::SessionStoreFailed
                | Kind::RateLimited
                | Kind::Overloaded
                | Kind::StoreUnavailable => {}
            }
        }
        all
    }

    #[test]
    fn s9_each_kind_has_a_code_a_status_and_a_sentence_to_act_on() {
        for kind in one_of_each() {
            let (code, status, sentence) = (kind.code(), kind.status(), kind.for_person());
            assert!(code.bytes().all(|b| b.is_ascii_lowercase() || b == b'_') && !code.is_empty(), "{code}");
            assert!(status.is_client_error() || status.is_server_error(), "{code}: {status}");
            let words = sentence.split(' ').count();
            assert!((5..40).contains(&words) && sentence.ends_with('.'), "{code}: {sentence}");
            assert!(!sentence.contains(code), "{code}: a code is for developers");
        }
    }

    #[test]
    fn r76_to_r93_each_rule_of_a_token_answer_has_a_code_of_its_own() {
        use FailureKind as Kind;
        let kinds = [
            (Kind::TokenValidationFailed, "token_validation_failed"),
            (Kind::TokenAnswerMalformed, "token_answer_malformed"),
            (Kind::TokenTypeMismatch, "token_type_mismatch"),
            (Kind::IdTokenUnexpected, "id_token_unexpected"),
            (Kind::SubjectMissing, "subject_missing"),
            (Kind::SubjectInvalid, "subject_invalid"),
            (Kind::ScopeMissing, "scope_missing"),
            (Kind::ScopeInsufficient, "scope_insufficient"),
            (Kind::DpopNonceMissing, "dpop_nonce_missing"),
        ];
        for (kind, code) in kinds {
            assert_eq!((kind.code(), kind.status()), (code, StatusCode::BAD_GATEWAY));
            assert_eq!(
                kind.for_person(),
                Kind::BadResponse.for_person(),
                "nothing the person could do about it"
            );
        }
    }

    #[test]
    fn s9_transport_faults_keep_apart_what_timed_out() {
        for (kind, fault, status) in [
            (HttpErrorKind::AnswerTimeout, TransportFault::Timeout, 504),
            (HttpErrorKind::ConnectTimeout, TransportFault::Timeout, 504),
            (HttpErrorKind::Blocked, TransportFault::Blocked, 502),
            (HttpErrorKind::TooLarge, TransportFault::TooLarge, 502),
            (HttpErrorKind::Connect, TransportFault::Connect, 502),
            (HttpErrorKind::UnknownHost, TransportFault::Connect, 502),
            (HttpErrorKind::AnswerLost, TransportFault::Connect, 502),
        ] {
            let fault_seen = Fault::transport("token", &HttpError::new(kind, "host"));
            assert_eq!(fault_seen.kind(), &FailureKind::Transport(fault));
            assert_eq!(fault_seen.kind().status(), status);
        }
    }
}
