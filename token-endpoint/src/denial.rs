//! Why a request is denied: one variant for each rule, and one table of what the wire may know of it.
//!
//! A denial has two texts. Its `Display` is the operator's and goes into the audit event; [`Row::for_client`] is the client's,
//! always the same words for the same rule, so that nothing a stranger sent comes back (T11). Neither holds a secret.

use http::StatusCode;
use thiserror::Error;
use vestibule_dpop::{InvalidClaims, InvalidJws, InvalidProof, VerifyError};
use vestibule_oauth_core::{ErrorCode, ParamsError};

/// A request that is denied.
///
/// ```
/// use vestibule_token_endpoint::Denial;
///
/// let row = Denial::VerifierMismatch.row();
/// assert_eq!((row.status.as_u16(), row.code.as_str()), (400, "invalid_grant"));
/// assert_eq!(row.section, "RFC 7636, section 4.6");
/// ```
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum Denial {
    // The request as such.
    /// Another method than POST.
    #[error("the method is not POST")]
    Method,
    /// A body that is no form.
    #[error("the body is not application/x-www-form-urlencoded in UTF-8")]
    MediaType,
    /// A body that is too large.
    #[error("the body is larger than it may be")]
    BodyTooLarge,
    /// A form that cannot be read in exactly one way.
    #[error("the form: {0}")]
    Form(ParamsError),
    /// A parameter with a character that it cannot have, or that is too long.
    #[error("{0} has a character that it cannot have, or is too long")]
    Parameter(&'static str),
    /// A secret, a code or a token in the URL.
    #[error("the query holds a credential")]
    CredentialInQuery,
    /// A parameter that must be there is not.
    #[error("{0} is missing")]
    Missing(&'static str),

    // Who asks.
    /// More than one `Authorization` header field.
    #[error("there is more than one Authorization header field")]
    SeveralAuthorizations,
    /// An `Authorization` that is not Basic.
    #[error("the Authorization header field is not Basic")]
    AuthorizationScheme,
    /// A Basic `Authorization` that cannot be read.
    #[error("the Basic credentials cannot be read: {0}")]
    BasicSyntax(&'static str),
    /// Two ways of authentication in one request.
    #[error("the request authenticates the client in two ways")]
    TwoMethods,
    /// The body names another client than the credentials.
    #[error("client_id names another client than the credentials do")]
    OtherClientId,
    /// Nobody says which client asks.
    #[error("the request names no client")]
    NoClient,
    /// There is no such client.
    #[error("there is no such client, or it is disabled")]
    UnknownClient,
    /// The client is not registered for the way it authenticates.
    #[error("the client is not registered for {0}")]
    MethodNotRegistered(&'static str),
    /// The secret is another.
    #[error("the client secret is wrong, or has expired")]
    WrongSecret,
    /// An assertion of a kind that is not known here, or half of one.
    #[error("client_assertion and client_assertion_type do not go together")]
    AssertionType,
    /// An assertion that cannot be read as a signed text.
    #[error("the client assertion is not read: {0}")]
    AssertionSyntax(InvalidJws),
    /// An assertion with claims that are not what they must be.
    #[error("the client assertion's claims: {0}")]
    AssertionClaims(InvalidClaims),
    /// An assertion that breaks this rule.
    #[error("the client assertion is refused: {0}")]
    Assertion(AssertionFault),
    /// An assertion that no registered key verifies.
    #[error("the client assertion does not verify: {0}")]
    AssertionSignature(VerifyError),
    /// An assertion that was used before.
    #[error("the client assertion was used before")]
    AssertionReplayed,
    /// A client that may not ask this endpoint anything.
    #[error("the client may not use this endpoint")]
    ClientNotAllowed,

    // The proof.
    /// A proof that breaks a rule.
    #[error("the DPoP proof: {0}")]
    Proof(InvalidProof),
    /// A proof that was used before.
    #[error("the DPoP proof was used before")]
    ProofReplayed,
    /// No proof, where the client or the server wants one.
    #[error("there is no DPoP proof, and this client's tokens are bound to a key")]
    ProofMissing,
    /// The proof is made with the key that the client authenticates with.
    #[error("the DPoP key is the key of the client assertion")]
    ProofKeyIsClientKey,

    // Which grant.
    /// A grant that does not exist here.
    #[error("there is no such grant type here")]
    UnsupportedGrantType,
    /// A grant that this client may not use.
    #[error("the client is not registered for this grant type")]
    GrantTypeNotRegistered,
    /// A grant for confidential clients, asked for by a public one.
    #[error("this grant is for confidential clients")]
    PublicClient,

    // The code.
    /// No such code.
    #[error("there is no such code")]
    CodeUnknown,
    /// A code that has expired.
    #[error("the code has expired")]
    CodeExpired,
    /// A code of another client.
    #[error("the code is another client's")]
    CodeOfOtherClient,
    /// A code that was redeemed before, by a request that is otherwise good.
    #[error("the code was redeemed before")]
    CodeReplayed,
    /// Another redirect URI than the one the code went to.
    #[error("redirect_uri is not the one the code was sent to")]
    RedirectUriMismatch,
    /// The code has a challenge, and there is no verifier.
    #[error("code_verifier is missing")]
    VerifierMissing,
    /// A verifier that is none.
    #[error("code_verifier is not a verifier")]
    VerifierMalformed,
    /// A verifier of another challenge.
    #[error("code_verifier is not the one the challenge was made from")]
    VerifierMismatch,
    /// A verifier, and the code has no challenge.
    #[error("code_verifier was sent, and the code has no challenge")]
    VerifierUnexpected,
    /// A code without a challenge, of a client that needs one.
    #[error("the code has no challenge, and this client is not exempt from PKCE")]
    NoChallenge,

    // The grant behind a code or a token.
    /// The grant has ended.
    #[error("the grant has ended: {0}")]
    GrantEnded(crate::grant::EndReason),
    /// The code or token is bound to another DPoP key, or to one that was not shown.
    #[error("the DPoP key is not the one the grant is bound to")]
    OtherProofKey,
    /// The client authenticates with another key than the one the grant was begun with.
    #[error("the client's key is not the one the grant was begun with")]
    OtherClientKey,

    // The refresh token.
    /// No such refresh token.
    #[error("there is no such refresh token")]
    RefreshTokenUnknown,
    /// A refresh token that has expired.
    #[error("the refresh token has expired")]
    RefreshTokenExpired,
    /// A refresh token of another client.
    #[error("the refresh token is another client's")]
    RefreshTokenOfOtherClient,
    /// A refresh token that was replaced, used again: by a thief, or by a client that lost its way.
    #[error("the refresh token was used before, {0}")]
    RefreshTokenReused(Reuse),

    // The device code.
    /// No such device code.
    #[error("there is no such device code")]
    DeviceCodeUnknown,
    /// A device code that was redeemed before.
    #[error("the device code was redeemed before")]
    DeviceCodeRedeemed,
    /// The person has not decided yet.
    #[error("the person has not decided yet")]
    AuthorizationPending,
    /// The device asks too often.
    #[error("the device asks too often")]
    SlowDown,
    /// The person said no.
    #[error("the person said no")]
    AccessDenied,
    /// A device code that has expired.
    #[error("the device code has expired")]
    DeviceCodeExpired,

    // What is asked for.
    /// A scope that is none.
    #[error("scope is not a scope")]
    ScopeSyntax,
    /// A wider scope than was granted, or than the client may have.
    #[error("the scope is wider than what may be had")]
    ScopeTooWide,
    /// A resource that is none, or that was not granted.
    #[error("the resource is malformed, or not among those that may be had")]
    Target,
    /// A token that is to be exchanged and is not accepted.
    #[error("the token to be exchanged is not accepted: {0}")]
    ExchangedToken(&'static str),
    /// An assertion that is a grant, and is not accepted.
    #[error("the assertion is not accepted as a grant: {0}")]
    GrantAssertion(Box<Self>),

    // The authorization request.
    /// Another `response_type` than `code`.
    #[error("response_type is not code")]
    ResponseType,
    /// A `response_mode` that is not spoken here.
    #[error("response_mode is not one of this server")]
    ResponseMode,
    /// A `code_challenge_method` other than S256.
    #[error("code_challenge_method is not S256")]
    ChallengeMethod,
    /// A challenge that is none.
    #[error("code_challenge is not the base64url text of a SHA-256 hash")]
    ChallengeSyntax,
    /// No challenge, of a client that needs one.
    #[error("code_challenge is missing, and this client is not exempt from PKCE")]
    ChallengeMissing,
    /// A redirect URI that is not registered, or none where several are.
    #[error("redirect_uri is not registered for this client")]
    RedirectUriNotRegistered,
    /// A request that was not pushed, where it must be.
    #[error("the authorization request was not pushed")]
    NotPushed,
    /// A `request_uri` that is not known, was used, or has expired.
    #[error("request_uri is not known, was used, or has expired")]
    RequestUri,
    /// A `request_uri` where requests are pushed.
    #[error("request_uri was pushed, and is what a push is answered with")]
    RequestUriPushed,
    /// A request object, which nobody reads here.
    #[error("request objects are not read here")]
    RequestObject,
    /// The person has to sign in, and must not be asked.
    #[error("the person has to sign in, and prompt is none")]
    LoginRequired,
    /// The person has to agree, and must not be asked.
    #[error("the person has to agree, and prompt is none")]
    ConsentRequired,
    /// A `prompt` that says two things.
    #[error("prompt is none together with something else, or is not known")]
    Prompt,

    // Ours.
    /// The store cannot be reached; nothing was consumed.
    #[error("the store is unavailable: {0}")]
    Unavailable(String),
    /// Too many one-time values are remembered already; nothing was consumed.
    #[error("the memory of used proofs and assertions is full")]
    Full,
    /// A token could not be signed; nothing was consumed.
    #[error("a token could not be signed: {0}")]
    Signing(String),
}

/// What an assertion can get wrong, beside its form and its signature.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum AssertionFault {
    /// `iss` and `sub` are not both the client.
    #[error("iss and sub must both be the client")]
    Subject,
    /// `aud` is not this server alone.
    #[error("aud must be the issuer and nothing else")]
    Audience,
    /// `exp` has passed.
    #[error("exp has passed")]
    Expired,
    /// `exp` is too far ahead.
    #[error("exp is too far ahead")]
    TooLong,
    /// `nbf` or `iat` is in the future.
    #[error("nbf or iat is in the future")]
    FromTheFuture,
    /// `jti` is empty or too long.
    #[error("jti must have 1 to 256 octets")]
    IdLength,
    /// `typ` is that of something else.
    #[error("typ must be client-authentication+jwt, JWT, or absent")]
    Type,
    /// `alg` is not one that the client may use.
    #[error("alg is not one that this client may use")]
    Algorithm,
    /// The client has no such key.
    #[error("the client has no such key")]
    NoKey,
}

/// What is known of a refresh token that was used again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Reuse {
    /// Its successor was used, so two hold tokens of this grant.
    SuccessorUsed,
    /// Too long ago for a client that lost its answer.
    TooLate,
    /// What the store keeps of its successor does not open.
    Unreadable,
}

impl std::fmt::Display for Reuse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::SuccessorUsed => "and its successor as well",
            Self::TooLate => "too long ago for a lost answer",
            Self::Unreadable => "and its successor cannot be told",
        })
    }
}

/// What the wire may know of a denial.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Row {
    /// The HTTP status.
    pub status: StatusCode,
    /// The error code.
    pub code: ErrorCode,
    /// Where the code, the status or the rule is from.
    pub section: &'static str,
    /// `error_description`: the rule, in the same words whoever asks.
    pub for_client: &'static str,
}

impl Denial {
    /// The row of the error table.
    pub fn row(&self) -> Row {
        let (status, code, section, for_client) = self.columns();
        Row { status, code, section, for_client }
    }

    #[rustfmt::skip] // a table: a row a line, as far as a line goes
    const fn columns(&self) -> (StatusCode, ErrorCode, &'static str, &'static str) {
        use ErrorCode as Code;
        const BAD: StatusCode = StatusCode::BAD_REQUEST;
        match self {
            Self::Method => (StatusCode::METHOD_NOT_ALLOWED, Code::INVALID_REQUEST, "RFC 6749, section 3.2",
                "this endpoint takes POST only"),
            Self::MediaType => (BAD, Code::INVALID_REQUEST, "RFC 6749, appendix B",
                "the body must be application/x-www-form-urlencoded in UTF-8"),
            Self::BodyTooLarge => (StatusCode::PAYLOAD_TOO_LARGE, Code::INVALID_REQUEST, "RFC 9110, section 15.5.14",
                "the body is too large"),
            Self::Form(_) => (BAD, Code::INVALID_REQUEST, "RFC 6749, section 3.2",
                "a parameter is repeated, malformed, or one too many"),
            Self::Parameter(_) => (BAD, Code::INVALID_REQUEST, "RFC 6749, appendix A",
                "a parameter has a character that it cannot have, or is too long"),
            Self::CredentialInQuery => (BAD, Code::INVALID_REQUEST, "RFC 6749, section 2.3.1",
                "credentials must not be in the URL"),
            Self::Missing(_) => (BAD, Code::INVALID_REQUEST, "RFC 6749, section 5.2",
                "a required parameter is missing"),

            Self::SeveralAuthorizations => (BAD, Code::INVALID_REQUEST, "RFC 6749, section 5.2",
                "there must be one Authorization header field"),
            Self::AuthorizationScheme | Self::BasicSyntax(_) | Self::NoClient | Self::UnknownClient
            | Self::MethodNotRegistered(_) | Self::WrongSecret | Self::ClientNotAllowed => (BAD, Code::INVALID_CLIENT, "RFC 6749, section 5.2",
                "client authentication failed"),
            Self::AssertionSyntax(_) | Self::AssertionClaims(_) | Self::Assertion(_) | Self::AssertionSignature(_)
            | Self::AssertionReplayed => (BAD, Code::INVALID_CLIENT, "RFC 7521, section 4.2.1",
                "client authentication failed"),
            Self::TwoMethods => (BAD, Code::INVALID_REQUEST, "RFC 6749, section 2.3",
                "a client must not authenticate in two ways at once"),
            Self::OtherClientId => (BAD, Code::INVALID_REQUEST, "RFC 7521, section 4.2",
                "client_id must name the client that authenticates"),
            Self::AssertionType => (BAD, Code::INVALID_REQUEST, "RFC 7521, section 4.2",
                "client_assertion must come with the client_assertion_type of RFC 7523"),

            Self::Proof(invalid) if invalid.wants_nonce() => (BAD, Code::USE_DPOP_NONCE, "RFC 9449, section 8",
                "the proof must have the nonce of this answer"),
            Self::Proof(_) | Self::ProofReplayed => (BAD, Code::INVALID_DPOP_PROOF, "RFC 9449, section 5",
                "the DPoP proof is not accepted"),
            Self::ProofMissing => (BAD, Code::INVALID_DPOP_PROOF, "RFC 9449, section 5.2",
                "a DPoP proof is required"),
            Self::ProofKeyIsClientKey => (BAD, Code::INVALID_REQUEST, "RFC 9449, section 5",
                "the DPoP key must not be the key of the client"),

            Self::UnsupportedGrantType => (BAD, Code::UNSUPPORTED_GRANT_TYPE, "RFC 6749, section 5.2",
                "grant_type is not one of this server"),
            Self::GrantTypeNotRegistered => (BAD, Code::UNAUTHORIZED_CLIENT, "RFC 6749, section 5.2",
                "the client is not registered for this grant type"),
            Self::PublicClient => (BAD, Code::UNAUTHORIZED_CLIENT, "RFC 6749, section 4.4",
                "this grant type is for confidential clients"),

            Self::CodeUnknown | Self::CodeExpired | Self::CodeOfOtherClient => (BAD, Code::INVALID_GRANT,
                "RFC 6749, section 5.2", "the code is not known, has expired, or is another client's"),
            Self::CodeReplayed => (BAD, Code::INVALID_GRANT, "RFC 6749, section 4.1.2",
                "the code was used before"),
            Self::RedirectUriMismatch => (BAD, Code::INVALID_GRANT, "RFC 6749, section 4.1.3",
                "redirect_uri must be the one the code was sent to"),
            Self::VerifierMissing | Self::VerifierMalformed | Self::VerifierMismatch => (BAD, Code::INVALID_GRANT,
                "RFC 7636, section 4.6", "code_verifier is missing, or is not the one of this code"),
            Self::VerifierUnexpected => (BAD, Code::INVALID_REQUEST, "RFC 9700, section 2.1.1",
                "code_verifier was sent for a code without a challenge"),
            Self::NoChallenge => (BAD, Code::INVALID_GRANT, "RFC 9700, section 2.1.1",
                "the code was asked for without PKCE"),

            Self::GrantEnded(_) => (BAD, Code::INVALID_GRANT, "RFC 6749, section 5.2",
                "the person, the server or a replay has ended this grant"),
            Self::OtherProofKey => (BAD, Code::INVALID_GRANT, "RFC 9449, section 10",
                "the DPoP key must be the one this grant is bound to"),
            Self::OtherClientKey => (BAD, Code::INVALID_GRANT, "RFC 7521, section 4.2",
                "the client's key must be the one this grant was begun with"),

            Self::RefreshTokenUnknown | Self::RefreshTokenExpired | Self::RefreshTokenOfOtherClient => (BAD,
                Code::INVALID_GRANT, "RFC 6749, section 5.2",
                "the refresh token is not known, has expired, or is another client's"),
            Self::RefreshTokenReused(_) => (BAD, Code::INVALID_GRANT, "RFC 9700, section 4.14.2",
                "the refresh token was used before"),

            Self::DeviceCodeUnknown | Self::DeviceCodeRedeemed => (BAD, Code::INVALID_GRANT, "RFC 8628, section 3.5",
                "the device code is not known, was used, or is another client's"),
            Self::AuthorizationPending => (BAD, Code::AUTHORIZATION_PENDING, "RFC 8628, section 3.5",
                "the person has not decided yet"),
            Self::SlowDown => (BAD, Code::SLOW_DOWN, "RFC 8628, section 3.5",
                "ask five seconds less often from now on"),
            Self::AccessDenied => (BAD, Code::ACCESS_DENIED, "RFC 6749, section 4.1.2.1",
                "the person said no"),
            Self::DeviceCodeExpired => (BAD, Code::EXPIRED_TOKEN, "RFC 8628, section 3.5",
                "the device code has expired; begin again"),

            Self::ScopeSyntax | Self::ScopeTooWide => (BAD, Code::INVALID_SCOPE, "RFC 6749, section 5.2",
                "the scope is malformed, or wider than what was granted"),
            Self::Target => (BAD, Code::INVALID_TARGET, "RFC 8707, section 2",
                "the resource is malformed, or not one that may be had"),
            Self::ExchangedToken(_) => (BAD, Code::INVALID_REQUEST, "RFC 8693, section 2.2.2",
                "the token to be exchanged is not accepted"),
            Self::GrantAssertion(_) => (BAD, Code::INVALID_GRANT, "RFC 7523, section 3.1",
                "the assertion is not accepted"),

            Self::ResponseType => (BAD, Code::UNSUPPORTED_RESPONSE_TYPE, "RFC 6749, section 4.1.2.1",
                "response_type must be code"),
            Self::ResponseMode => (BAD, Code::INVALID_REQUEST, "RFC 6749, section 4.1.2.1",
                "response_mode is not one of this server"),
            Self::ChallengeMethod => (BAD, Code::INVALID_REQUEST, "RFC 7636, section 4.4.1",
                "code_challenge_method must be S256"),
            Self::ChallengeSyntax => (BAD, Code::INVALID_REQUEST, "RFC 7636, section 4.4.1",
                "code_challenge must be the base64url text of a SHA-256 hash, without padding"),
            Self::ChallengeMissing => (BAD, Code::INVALID_REQUEST, "RFC 7636, section 4.4.1",
                "code_challenge is required"),
            Self::RedirectUriNotRegistered => (BAD, Code::INVALID_REQUEST, "RFC 6749, section 3.1.2.4",
                "redirect_uri must be one that is registered for the client"),
            Self::NotPushed => (BAD, Code::INVALID_REQUEST, "RFC 9126, section 4",
                "authorization requests must be pushed first"),
            Self::RequestUri => (BAD, Code::INVALID_REQUEST_URI, "RFC 9126, section 4",
                "request_uri is not known, was used, or has expired"),
            Self::RequestUriPushed => (BAD, Code::INVALID_REQUEST, "RFC 9126, section 2.1",
                "request_uri must not be pushed"),
            Self::RequestObject => (BAD, Code::REQUEST_NOT_SUPPORTED, "RFC 9101, section 6.3",
                "request objects are not supported"),
            Self::LoginRequired => (BAD, Code::LOGIN_REQUIRED, "OpenID Connect Core 1.0, section 3.1.2.6",
                "the person has to sign in"),
            Self::ConsentRequired => (BAD, Code::CONSENT_REQUIRED, "OpenID Connect Core 1.0, section 3.1.2.6",
                "the person has to agree"),
            Self::Prompt => (BAD, Code::INVALID_REQUEST, "OpenID Connect Core 1.0, section 3.1.2.1",
                "prompt must be none alone, or any of login, consent and select_account"),

            Self::Unavailable(_) | Self::Full => (StatusCode::SERVICE_UNAVAILABLE, Code::TEMPORARILY_UNAVAILABLE,
                "RFC 9110, section 15.6.4", "the server cannot answer just now; nothing was used up, try again"),
            Self::Signing(_) => (StatusCode::INTERNAL_SERVER_ERROR, Code::SERVER_ERROR,
                "RFC 9110, section 15.6.1", "something broke here; nothing was used up, try again"),
        }
    }

    /// Whether the client failed to show who it is.
    pub fn is_of_client(&self) -> bool {
        self.row().code == ErrorCode::INVALID_CLIENT
    }

    /// Whether the request is one that its client is asked to send again, with a nonce.
    pub const fn wants_nonce(&self) -> bool {
        matches!(self, Self::Proof(invalid) if invalid.wants_nonce())
    }
}

impl From<vestibule_oauth_core::StoreUnavailable> for Denial {
    fn from(error: vestibule_oauth_core::StoreUnavailable) -> Self {
        Self::Unavailable(error.to_string())
    }
}
