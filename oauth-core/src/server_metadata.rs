//! Authorization server metadata ([RFC 8414]).
//!
//! [RFC 8414]: https://www.rfc-editor.org/rfc/rfc8414

use bytes::Bytes;
use serde::Deserialize;
use thiserror::Error;
use url::Url;

use crate::finding::shown;
use crate::issuer::Issuer;
use crate::json_answer::{self, JsonAnswerError};
use crate::json_object::JsonObject;
use crate::port::{HttpCall, Trust};
use crate::transport::{InvalidWebUrl, Transport};

/// What an authorization server says about itself ([RFC 8414, section 2]).
///
/// An empty list is one that is not there; the methods that ask about a value know what the specification makes of
/// that. Members without a field here are ignored.
///
/// ```
/// use bytes::Bytes;
/// use vestibule_oauth_core::{Issuer, ServerMetadata};
///
/// let issuer: Issuer = "https://server.example".parse().unwrap();
/// let answer = http::Response::builder()
///     .header("content-type", "application/json")
///     .body(Bytes::from(r#"{"issuer":"https://server.example","token_endpoint":"https://server.example/token"}"#))
///     .unwrap();
/// let metadata = ServerMetadata::read(&answer, &issuer).unwrap();
/// assert_eq!(metadata.token_endpoint.unwrap().path(), "/token");
/// ```
///
/// [RFC 8414, section 2]: https://www.rfc-editor.org/rfc/rfc8414#section-2
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct ServerMetadata {
    /// Who this is about.
    pub issuer: Issuer,
    /// Where a browser is sent to sign in.
    pub authorization_endpoint: Option<Url>,
    /// Where codes and refresh tokens are redeemed.
    pub token_endpoint: Option<Url>,
    /// Where authorization requests are pushed ([RFC 9126](https://www.rfc-editor.org/rfc/rfc9126#section-5)).
    pub pushed_authorization_request_endpoint: Option<Url>,
    /// Where tokens are revoked ([RFC 7009](https://www.rfc-editor.org/rfc/rfc7009)).
    pub revocation_endpoint: Option<Url>,
    /// Where tokens are looked up ([RFC 7662](https://www.rfc-editor.org/rfc/rfc7662)).
    pub introspection_endpoint: Option<Url>,
    /// Where clients register ([RFC 7591](https://www.rfc-editor.org/rfc/rfc7591)).
    pub registration_endpoint: Option<Url>,
    /// Where a device begins ([RFC 8628](https://www.rfc-editor.org/rfc/rfc8628#section-4)).
    pub device_authorization_endpoint: Option<Url>,
    /// Where claims about the person are read (OpenID Connect).
    pub userinfo_endpoint: Option<Url>,
    /// Where a sign-out begins (OpenID Connect).
    pub end_session_endpoint: Option<Url>,
    /// Where the server's public keys are.
    pub jwks_uri: Option<Url>,
    /// A page for developers; dropped when it is not a URL, since no protocol depends on it.
    pub service_documentation: Option<Url>,
    /// Scope words; others may work too.
    pub scopes_supported: Vec<String>,
    /// Values of `response_type`.
    pub response_types_supported: Vec<String>,
    /// Values of `response_mode`; see [`supports_response_mode`](Self::supports_response_mode).
    pub response_modes_supported: Vec<String>,
    /// Values of `grant_type`; see [`supports_grant_type`](Self::supports_grant_type).
    pub grant_types_supported: Vec<String>,
    /// Values of `code_challenge_method`; none means that PKCE is not known there.
    pub code_challenge_methods_supported: Vec<String>,
    /// Ways to authenticate a client; see [`supports_token_auth_method`](Self::supports_token_auth_method).
    pub token_endpoint_auth_methods_supported: Vec<String>,
    /// Algorithms of client assertions.
    pub token_endpoint_auth_signing_alg_values_supported: Vec<String>,
    /// Ways to authenticate a client where tokens are revoked; none given is `client_secret_basic`.
    pub revocation_endpoint_auth_methods_supported: Vec<String>,
    /// Algorithms of client assertions there.
    pub revocation_endpoint_auth_signing_alg_values_supported: Vec<String>,
    /// Ways to authenticate a client where tokens are looked up; none given is `client_secret_basic`.
    pub introspection_endpoint_auth_methods_supported: Vec<String>,
    /// Algorithms of client assertions there.
    pub introspection_endpoint_auth_signing_alg_values_supported: Vec<String>,
    /// Algorithms of DPoP proofs ([RFC 9449, section 5.1](https://www.rfc-editor.org/rfc/rfc9449#section-5.1)); none
    /// means that DPoP is not known there.
    pub dpop_signing_alg_values_supported: Vec<String>,
    /// Values of `prompt`.
    pub prompt_values_supported: Vec<String>,
    /// Kinds of subject (OpenID Connect).
    pub subject_types_supported: Vec<String>,
    /// Algorithms of ID tokens (OpenID Connect).
    pub id_token_signing_alg_values_supported: Vec<String>,
    /// Claims that may be had (OpenID Connect).
    pub claims_supported: Vec<String>,
    /// The resources it protects ([RFC 9728, section 4](https://www.rfc-editor.org/rfc/rfc9728#section-4)); none given
    /// says nothing, an empty list says that there are none.
    pub protected_resources: Option<Vec<String>>,
    /// Whether answers carry `iss` ([RFC 9207, section 3](https://www.rfc-editor.org/rfc/rfc9207#section-3)).
    pub authorization_response_iss_parameter_supported: bool,
    /// Whether requests must be pushed ([RFC 9126, section 5](https://www.rfc-editor.org/rfc/rfc9126#section-5)).
    pub require_pushed_authorization_requests: bool,
    /// Whether a client identifier may be the URL of a metadata document.
    pub client_id_metadata_document_supported: bool,
    /// Whether a `request_uri` must be registered first (OpenID Connect).
    pub require_request_uri_registration: Option<bool>,
}

impl ServerMetadata {
    /// Metadata that says nothing but who it is about, for a server to fill in and publish.
    pub const fn new(issuer: Issuer) -> Self {
        Self {
            issuer,
            authorization_endpoint: None,
            token_endpoint: None,
            pushed_authorization_request_endpoint: None,
            revocation_endpoint: None,
            introspection_endpoint: None,
            registration_endpoint: None,
            device_authorization_endpoint: None,
            userinfo_endpoint: None,
            end_session_endpoint: None,
            jwks_uri: None,
            service_documentation: None,
            scopes_supported: Vec::new(),
            response_types_supported: Vec::new(),
            response_modes_supported: Vec::new(),
            grant_types_supported: Vec::new(),
            code_challenge_methods_supported: Vec::new(),
            token_endpoint_auth_methods_supported: Vec::new(),
            token_endpoint_auth_signing_alg_values_supported: Vec::new(),
            revocation_endpoint_auth_methods_supported: Vec::new(),
            revocation_endpoint_auth_signing_alg_values_supported: Vec::new(),
            introspection_endpoint_auth_methods_supported: Vec::new(),
            introspection_endpoint_auth_signing_alg_values_supported: Vec::new(),
            dpop_signing_alg_values_supported: Vec::new(),
            prompt_values_supported: Vec::new(),
            subject_types_supported: Vec::new(),
            id_token_signing_alg_values_supported: Vec::new(),
            claims_supported: Vec::new(),
            protected_resources: None,
            authorization_response_iss_parameter_supported: false,
            require_pushed_authorization_requests: false,
            client_id_metadata_document_supported: false,
            require_request_uri_registration: None,
        }
    }

    /// Asks an issuer for its metadata ([RFC 8414, section 3.1]; requirement R52).
    ///
    /// [RFC 8414, section 3.1]: https://www.rfc-editor.org/rfc/rfc8414#section-3.1
    pub fn request(issuer: &Issuer, trust: Trust) -> HttpCall {
        let request = json_answer::request(issuer.metadata_uri().clone());
        HttpCall::new(request, "authorization server metadata", trust).with_body_limit(Self::MAX_OCTETS)
    }

    /// Asks an issuer for its OpenID Connect metadata, which [`read`](Self::read) reads as well.
    pub fn request_openid(issuer: &Issuer, trust: Trust) -> HttpCall {
        let request = json_answer::request(issuer.openid_uri().clone());
        HttpCall::new(request, "OpenID provider metadata", trust).with_body_limit(Self::MAX_OCTETS)
    }

    /// Reads the answer of `issuer` (requirements R52 and R53): status 200 and no other, `application/json`, an issuer
    /// that is the one asked, and endpoints that are https (or, for an issuer that is http on a loopback host itself,
    /// http on a loopback host).
    ///
    /// # Errors
    ///
    /// The first rule that is broken.
    pub fn read(answer: &http::Response<Bytes>, issuer: &Issuer) -> Result<Self, ServerMetadataError> {
        let wire: Wire = json_answer::read(answer, Self::MAX_OCTETS)?;
        if wire.issuer != issuer.as_str() {
            return Err(ServerMetadataError::Issuer {
                expected: issuer.to_string(),
                found: shown(&wire.issuer),
            });
        }
        let transport = issuer.transport();
        let url = |field, text: Option<String>| endpoint(field, text, transport);
        Ok(Self {
            issuer: issuer.clone(),
            authorization_endpoint: url("authorization_endpoint", wire.authorization_endpoint)?,
            token_endpoint: url("token_endpoint", wire.token_endpoint)?,
            pushed_authorization_request_endpoint: url(
                "pushed_authorization_request_endpoint",
                wire.pushed_authorization_request_endpoint,
            )?,
            revocation_endpoint: url("revocation_endpoint", wire.revocation_endpoint)?,
            introspection_endpoint: url("introspection_endpoint", wire.introspection_endpoint)?,
            registration_endpoint: url("registration_endpoint", wire.registration_endpoint)?,
            device_authorization_endpoint: url(
                "device_authorization_endpoint",
                wire.device_authorization_endpoint,
            )?,
            userinfo_endpoint: url("userinfo_endpoint", wire.userinfo_endpoint)?,
            end_session_endpoint: url("end_session_endpoint", wire.end_session_endpoint)?,
            jwks_uri: url("jwks_uri", wire.jwks_uri)?,
            service_documentation: wire.service_documentation.and_then(|text| transport.parse(&text).ok()),
            scopes_supported: list("scopes_supported", wire.scopes_supported)?,
            response_types_supported: list("response_types_supported", wire.response_types_supported)?,
            response_modes_supported: list("response_modes_supported", wire.response_modes_supported)?,
            grant_types_supported: list("grant_types_supported", wire.grant_types_supported)?,
            code_challenge_methods_supported: list(
                "code_challenge_methods_supported",
                wire.code_challenge_methods_supported,
            )?,
            token_endpoint_auth_methods_supported: list(
                "token_endpoint_auth_methods_supported",
                wire.token_endpoint_auth_methods_supported,
            )?,
            token_endpoint_auth_signing_alg_values_supported: list(
                "token_endpoint_auth_signing_alg_values_supported",
                wire.token_endpoint_auth_signing_alg_values_supported,
            )?,
            revocation_endpoint_auth_methods_supported: list(
                "revocation_endpoint_auth_methods_supported",
                wire.revocation_endpoint_auth_methods_supported,
            )?,
            revocation_endpoint_auth_signing_alg_values_supported: list(
                "revocation_endpoint_auth_signing_alg_values_supported",
                wire.revocation_endpoint_auth_signing_alg_values_supported,
            )?,
            introspection_endpoint_auth_methods_supported: list(
                "introspection_endpoint_auth_methods_supported",
                wire.introspection_endpoint_auth_methods_supported,
            )?,
            introspection_endpoint_auth_signing_alg_values_supported: list(
                "introspection_endpoint_auth_signing_alg_values_supported",
                wire.introspection_endpoint_auth_signing_alg_values_supported,
            )?,
            dpop_signing_alg_values_supported: list(
                "dpop_signing_alg_values_supported",
                wire.dpop_signing_alg_values_supported,
            )?,
            prompt_values_supported: list("prompt_values_supported", wire.prompt_values_supported)?,
            subject_types_supported: list("subject_types_supported", wire.subject_types_supported)?,
            id_token_signing_alg_values_supported: list(
                "id_token_signing_alg_values_supported",
                wire.id_token_signing_alg_values_supported,
            )?,
            claims_supported: list("claims_supported", wire.claims_supported)?,
            protected_resources: match wire.protected_resources {
                Some(resources) => Some(list("protected_resources", Some(resources))?),
                None => None,
            },
            authorization_response_iss_parameter_supported: wire
                .authorization_response_iss_parameter_supported
                .unwrap_or(false),
            require_pushed_authorization_requests: wire
                .require_pushed_authorization_requests
                .unwrap_or(false),
            client_id_metadata_document_supported: wire
                .client_id_metadata_document_supported
                .unwrap_or(false),
            require_request_uri_registration: wire.require_request_uri_registration,
        })
    }

    /// Whether the server knows this `grant_type`; one that lists none knows `authorization_code` and `implicit`.
    pub fn supports_grant_type(&self, grant_type: &str) -> bool {
        supports(&self.grant_types_supported, &["authorization_code", "implicit"], grant_type)
    }

    /// Whether the server knows this `response_mode`; one that lists none knows `query` and `fragment`.
    pub fn supports_response_mode(&self, response_mode: &str) -> bool {
        supports(&self.response_modes_supported, &["query", "fragment"], response_mode)
    }

    /// Whether the token endpoint knows this way to authenticate a client; one that lists none knows
    /// `client_secret_basic`.
    pub fn supports_token_auth_method(&self, method: &str) -> bool {
        supports(&self.token_endpoint_auth_methods_supported, &["client_secret_basic"], method)
    }

    /// Whether the server does not deny that it protects `resource` (requirement R56): one that lists no resources says
    /// nothing about them ([RFC 9728, section 4]).
    ///
    /// [RFC 9728, section 4]: https://www.rfc-editor.org/rfc/rfc9728#section-4
    pub fn admits_resource(&self, resource: &str) -> bool {
        self.protected_resources.as_ref().is_none_or(|known| known.iter().any(|known| known == resource))
    }

    /// The document to publish at [`Issuer::well_known_url`], its members always in the same order.
    ///
    /// ```
    /// use vestibule_oauth_core::ServerMetadata;
    ///
    /// let mut metadata = ServerMetadata::new("https://server.example".parse().unwrap());
    /// metadata.response_types_supported = vec![String::from("code")];
    /// assert_eq!(
    ///     metadata.to_json(),
    ///     r#"{"issuer":"https://server.example","response_types_supported":["code"]}"#
    /// );
    /// ```
    pub fn to_json(&self) -> String {
        let object = JsonObject::default()
            .text("issuer", Some(self.issuer.as_str()))
            .url("authorization_endpoint", self.authorization_endpoint.as_ref())
            .url("token_endpoint", self.token_endpoint.as_ref())
            .url("pushed_authorization_request_endpoint", self.pushed_authorization_request_endpoint.as_ref())
            .url("revocation_endpoint", self.revocation_endpoint.as_ref())
            .url("introspection_endpoint", self.introspection_endpoint.as_ref())
            .url("registration_endpoint", self.registration_endpoint.as_ref())
            .url("device_authorization_endpoint", self.device_authorization_endpoint.as_ref())
            .url("userinfo_endpoint", self.userinfo_endpoint.as_ref())
            .url("end_session_endpoint", self.end_session_endpoint.as_ref())
            .url("jwks_uri", self.jwks_uri.as_ref())
            .url("service_documentation", self.service_documentation.as_ref());
        let lists = [
            ("scopes_supported", &self.scopes_supported),
            ("response_types_supported", &self.response_types_supported),
            ("response_modes_supported", &self.response_modes_supported),
            ("grant_types_supported", &self.grant_types_supported),
            ("code_challenge_methods_supported", &self.code_challenge_methods_supported),
            ("token_endpoint_auth_methods_supported", &self.token_endpoint_auth_methods_supported),
            (
                "token_endpoint_auth_signing_alg_values_supported",
                &self.token_endpoint_auth_signing_alg_values_supported,
            ),
            ("revocation_endpoint_auth_methods_supported", &self.revocation_endpoint_auth_methods_supported),
            (
                "revocation_endpoint_auth_signing_alg_values_supported",
                &self.revocation_endpoint_auth_signing_alg_values_supported,
            ),
            (
                "introspection_endpoint_auth_methods_supported",
                &self.introspection_endpoint_auth_methods_supported,
            ),
            (
                "introspection_endpoint_auth_signing_alg_values_supported",
                &self.introspection_endpoint_auth_signing_alg_values_supported,
            ),
            ("dpop_signing_alg_values_supported", &self.dpop_signing_alg_values_supported),
            ("prompt_values_supported", &self.prompt_values_supported),
            ("subject_types_supported", &self.subject_types_supported),
            ("id_token_signing_alg_values_supported", &self.id_token_signing_alg_values_supported),
            ("claims_supported", &self.claims_supported),
        ];
        let mut object = lists
            .into_iter()
            .fold(object, |object, (name, list)| object.texts(name, list.iter().map(String::as_str)));
        if let Some(resources) = &self.protected_resources {
            object = object.value("protected_resources", &serde_json::Value::from(resources.clone()));
        }
        object = object
            .flag(
                "authorization_response_iss_parameter_supported",
                self.authorization_response_iss_parameter_supported,
            )
            .flag("require_pushed_authorization_requests", self.require_pushed_authorization_requests)
            .flag("client_id_metadata_document_supported", self.client_id_metadata_document_supported);
        if let Some(required) = self.require_request_uri_registration {
            object = object.value("require_request_uri_registration", &serde_json::Value::from(required));
        }
        object.finish()
    }

    /// The most octets of such a document: the longest seen in the field has about 6 KiB.
    pub const MAX_OCTETS: usize = 64 * 1024;

    /// The most entries in one of its lists: the longest ones, of languages, have about 200.
    pub const MAX_LIST: usize = 512;
}

/// Why metadata cannot be used.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum ServerMetadataError {
    /// The answer is not a JSON document of the right shape.
    #[error("authorization server metadata: {0}")]
    Answer(JsonAnswerError),
    /// The document is about another issuer than the one asked (requirement R53).
    #[error("authorization server metadata: issuer must be \"{expected}\", and is {found}")]
    Issuer {
        /// The issuer asked.
        expected: String,
        /// The issuer of the document, quoted.
        found: String,
    },
    /// An endpoint that must not be used.
    #[error("authorization server metadata: {field} {rule}")]
    Endpoint {
        /// The member.
        field: &'static str,
        /// What is wrong with its URL.
        rule: InvalidWebUrl,
    },
    /// A list with more than [`ServerMetadata::MAX_LIST`] entries.
    #[error("authorization server metadata: {field} must have at most 512 entries")]
    TooMany {
        /// The member.
        field: &'static str,
    },
}

impl ServerMetadataError {
    /// The requirement that is broken, as far as one has a number.
    pub const fn rule(&self) -> &'static str {
        match self {
            Self::Answer(_) | Self::TooMany { .. } => "R52",
            Self::Issuer { .. } => "R53",
            Self::Endpoint { .. } => "R58",
        }
    }
}

impl From<JsonAnswerError> for ServerMetadataError {
    fn from(error: JsonAnswerError) -> Self {
        Self::Answer(error)
    }
}

fn endpoint(
    field: &'static str,
    text: Option<String>,
    transport: Transport,
) -> Result<Option<Url>, ServerMetadataError> {
    match text {
        Some(text) => match transport.parse(&text) {
            Ok(url) => Ok(Some(url)),
            Err(rule) => Err(ServerMetadataError::Endpoint { field, rule }),
        },
        None => Ok(None),
    }
}

fn list(field: &'static str, list: Option<Vec<String>>) -> Result<Vec<String>, ServerMetadataError> {
    let list = list.unwrap_or_default();
    if list.len() > ServerMetadata::MAX_LIST { Err(ServerMetadataError::TooMany { field }) } else { Ok(list) }
}

fn supports(listed: &[String], by_default: &[&str], value: &str) -> bool {
    if listed.is_empty() { by_default.contains(&value) } else { listed.iter().any(|known| known == value) }
}

/// The document as it travels; known members given twice are refused, unknown ones ignored.
#[derive(Deserialize)]
struct Wire {
    issuer: String,
    authorization_endpoint: Option<String>,
    token_endpoint: Option<String>,
    pushed_authorization_request_endpoint: Option<String>,
    revocation_endpoint: Option<String>,
    introspection_endpoint: Option<String>,
    registration_endpoint: Option<String>,
    device_authorization_endpoint: Option<String>,
    userinfo_endpoint: Option<String>,
    end_session_endpoint: Option<String>,
    jwks_uri: Option<String>,
    service_documentation: Option<String>,
    scopes_supported: Option<Vec<String>>,
    response_types_supported: Option<Vec<String>>,
    response_modes_supported: Option<Vec<String>>,
    grant_types_supported: Option<Vec<String>>,
    code_challenge_methods_supported: Option<Vec<String>>,
    token_endpoint_auth_methods_supported: Option<Vec<String>>,
    token_endpoint_auth_signing_alg_values_supported: Option<Vec<String>>,
    revocation_endpoint_auth_methods_supported: Option<Vec<String>>,
    revocation_endpoint_auth_signing_alg_values_supported: Option<Vec<String>>,
    introspection_endpoint_auth_methods_supported: Option<Vec<String>>,
    introspection_endpoint_auth_signing_alg_values_supported: Option<Vec<String>>,
    dpop_signing_alg_values_supported: Option<Vec<String>>,
    prompt_values_supported: Option<Vec<String>>,
    subject_types_supported: Option<Vec<String>>,
    id_token_signing_alg_values_supported: Option<Vec<String>>,
    claims_supported: Option<Vec<String>>,
    protected_resources: Option<Vec<String>>,
    authorization_response_iss_parameter_supported: Option<bool>,
    require_pushed_authorization_requests: Option<bool>,
    client_id_metadata_document_supported: Option<bool>,
    require_request_uri_registration: Option<bool>,
}

#[cfg(test)]
pub(crate) mod tests {
    use http::Response;
    use serde_json::{Value, json};

    use super::*;

    fn issuer(text: &str) -> Issuer {
        Issuer::parse_with(text, Transport::LoopbackHttpToo).unwrap()
    }

    fn answer(body: impl Into<Bytes>) -> Response<Bytes> {
        Response::builder().header("content-type", "application/json").body(body.into()).unwrap()
    }

    pub(crate) fn read(document: &Value, of: &str) -> Result<ServerMetadata, ServerMetadataError> {
        ServerMetadata::read(&answer(document.to_string()), &issuer(of))
    }

    /// What the reference PDS says of itself in development, shortened where nothing reads it.
    pub(crate) fn reference() -> Value {
        json!({
            "issuer": "http://localhost:2583",
            "request_parameter_supported": true,
            "request_uri_parameter_supported": true,
            "require_request_uri_registration": true,
            "scopes_supported": ["atproto", "transition:email", "transition:generic", "transition:chat.bsky"],
            "subject_types_supported": ["public"],
            "response_types_supported": ["code"],
            "response_modes_supported": ["query", "fragment", "form_post"],
            "grant_types_supported": ["authorization_code", "refresh_token"],
            "code_challenge_methods_supported": ["S256"],
            "ui_locales_supported": ["en-US"],
            "display_values_supported": ["page", "popup", "touch"],
            "authorization_response_iss_parameter_supported": true,
            "jwks_uri": "http://localhost:2583/oauth/jwks",
            "authorization_endpoint": "http://localhost:2583/oauth/authorize",
            "token_endpoint": "http://localhost:2583/oauth/token",
            "token_endpoint_auth_methods_supported": ["none", "private_key_jwt"],
            "token_endpoint_auth_signing_alg_values_supported": ["RS256", "ES256", "ES256K"],
            "revocation_endpoint": "http://localhost:2583/oauth/revoke",
            "pushed_authorization_request_endpoint": "http://localhost:2583/oauth/par",
            "require_pushed_authorization_requests": true,
            "dpop_signing_alg_values_supported": ["RS256", "ES256", "ES256K"],
            "protected_resources": ["http://localhost:2583"],
            "prompt_values_supported": ["none", "login", "consent", "select_account", "create"],
            "client_id_metadata_document_supported": true
        })
    }

    #[test]
    fn rfc8414_section_3_2() {
        let document = json!({
            "issuer": "https://server.example.com",
            "authorization_endpoint": "https://server.example.com/authorize",
            "token_endpoint": "https://server.example.com/token",
            "token_endpoint_auth_methods_supported": ["client_secret_basic", "private_key_jwt"],
            "token_endpoint_auth_signing_alg_values_supported": ["RS256", "ES256"],
            "userinfo_endpoint": "https://server.example.com/userinfo",
            "jwks_uri": "https://server.example.com/jwks.json",
            "registration_endpoint": "https://server.example.com/register",
            "scopes_supported": ["openid", "profile", "email", "address", "phone", "offline_access"],
            "response_types_supported": ["code", "code token"],
            "service_documentation": "http://server.example.com/service_documentation.html",
            "ui_locales_supported": ["en-US", "en-GB", "en-CA", "fr-FR", "fr-CA"]
        });
        let metadata = read(&document, "https://server.example.com").unwrap();
        assert_eq!(
            metadata.userinfo_endpoint.as_ref().unwrap().as_str(),
            "https://server.example.com/userinfo"
        );
        assert!(metadata.supports_token_auth_method("private_key_jwt"));
        assert!(!metadata.supports_token_auth_method("none"));
        assert!(metadata.supports_grant_type("authorization_code"));
        assert!(!metadata.supports_grant_type("refresh_token"));
        assert!(metadata.supports_response_mode("query"));
        assert!(metadata.admits_resource("https://anything.example"));
        let findings = metadata.atproto_findings();
        assert_eq!(findings.len(), 10, "{findings:#?}");
    }

    #[test]
    fn what_is_published_reads_back() {
        let metadata = read(&reference(), "http://localhost:2583").unwrap();
        let again = ServerMetadata::read(&answer(metadata.to_json()), &metadata.issuer).unwrap();
        assert_eq!(again, metadata);
        assert!(
            metadata.to_json().starts_with(r#"{"issuer":"http://localhost:2583","authorization_endpoint":"#)
        );
    }

    #[test]
    fn r52_a_request_is_a_plain_get() {
        let call = ServerMetadata::request(&issuer("https://a.example/b"), Trust::UserSupplied);
        assert_eq!(call.request.uri(), "https://a.example/.well-known/oauth-authorization-server/b");
        assert_eq!(call.request.method(), "GET");
        assert_eq!(call.request.headers()["accept"], "application/json");
        assert_eq!((call.trust, call.purpose), (Trust::UserSupplied, "authorization server metadata"));
        let call = ServerMetadata::request_openid(&issuer("https://a.example/b"), Trust::Configured);
        assert_eq!(call.request.uri(), "https://a.example/b/.well-known/openid-configuration");
    }

    #[test]
    fn r52_exactly_200_and_json() {
        let good = reference().to_string();
        for (status, content_type, body) in [
            (201, "application/json", good.clone()),
            (302, "application/json", good.clone()),
            (404, "application/json", good.clone()),
            (200, "text/html", good.clone()),
            (200, "", good.clone()),
            (200, "application/json", "[]".to_owned()),
            (200, "application/json", String::new()),
            (200, "application/json", "[".repeat(5000)),
            (200, "application/json", good.replacen('{', "", 1)),
            (200, "application/json", format!("{good}{}", " ".repeat(64 * 1024))),
            (
                200,
                "application/json",
                r#"{"issuer":"http://localhost:2583","issuer":"http://localhost:2583"}"#.to_owned(),
            ),
            (200, "application/json", r#"{"issuer":"http://localhost:2583","token_endpoint":7}"#.to_owned()),
        ] {
            let answer = Response::builder()
                .status(status)
                .header("content-type", content_type)
                .body(Bytes::from(body))
                .unwrap();
            let error = ServerMetadata::read(&answer, &issuer("http://localhost:2583")).unwrap_err();
            assert!(matches!(error, ServerMetadataError::Answer(_)), "{status} {content_type} {error}");
            assert_eq!(error.rule(), "R52");
        }
    }

    #[test]
    fn r53_the_issuer_is_the_text_asked_for() {
        for found in ["http://localhost:2583/", "http://LOCALHOST:2583", "https://evil.example", ""] {
            let mut document = reference();
            document["issuer"] = json!(found);
            let error = read(&document, "http://localhost:2583").unwrap_err();
            assert_eq!(error.rule(), "R53", "{found}");
            assert!(error.to_string().contains("issuer must be \"http://localhost:2583\""), "{error}");
        }
    }

    #[test]
    fn r58_endpoints_are_https_unless_the_issuer_is_not() {
        let mut document = reference();
        document["token_endpoint"] = json!("http://server.example/token");
        let error = read(&document, "http://localhost:2583").unwrap_err();
        assert_eq!(error.to_string(), "authorization server metadata: token_endpoint must be https");

        let document = json!({"issuer": "https://a.example", "token_endpoint": "http://localhost/token"});
        assert_eq!(read(&document, "https://a.example").unwrap_err().rule(), "R58");
        for url in ["javascript:alert(1)", "//a.example/", "https://u@a.example/", "https://a.example/#x"] {
            let document = json!({"issuer": "https://a.example", "authorization_endpoint": url});
            assert!(read(&document, "https://a.example").is_err(), "{url}");
        }
    }

    #[test]
    fn lists_are_bounded() {
        let mut document = reference();
        document["claims_supported"] = json!(vec!["x"; 513]);
        let error = read(&document, "http://localhost:2583").unwrap_err();
        assert_eq!(error, ServerMetadataError::TooMany { field: "claims_supported" });
    }
}
