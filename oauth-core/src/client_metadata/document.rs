//! The document itself.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;
use url::Url;

use crate::client_id::ClientId;
use crate::client_metadata::jwks::Jwks;
use crate::json_object::JsonObject;
use crate::redirect_uri::RedirectUri;
use crate::scope::ScopeSet;

/// What a client says about itself ([RFC 7591, section 2], [RFC 9449, section 5.2], [RFC 9126, section 6]).
///
/// [RFC 7591, section 2]: https://www.rfc-editor.org/rfc/rfc7591#section-2
/// [RFC 9449, section 5.2]: https://www.rfc-editor.org/rfc/rfc9449#section-5.2
/// [RFC 9126, section 6]: https://www.rfc-editor.org/rfc/rfc9126#section-6
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct ClientMetadata {
    /// The identifier: in a published document the URL it is published at, in a registration nothing.
    pub client_id: Option<ClientId>,
    /// What to call it on a consent page.
    pub client_name: Option<String>,
    /// Its home page.
    pub client_uri: Option<Url>,
    /// Its picture.
    pub logo_uri: Option<Url>,
    /// Its terms of service.
    pub tos_uri: Option<Url>,
    /// Its privacy policy.
    pub policy_uri: Option<Url>,
    /// Ways to reach those responsible, usually e-mail addresses.
    pub contacts: Vec<String>,
    /// Where it runs.
    pub application_type: ApplicationType,
    /// Where browsers may be sent back to.
    pub redirect_uris: Vec<RedirectUri>,
    /// The values of `grant_type` it uses.
    pub grant_types: Vec<String>,
    /// The values of `response_type` it uses.
    pub response_types: Vec<String>,
    /// Every scope word it may ever ask for; empty when it leaves that to the server.
    pub scope: ScopeSet,
    /// How it authenticates itself.
    pub token_endpoint_auth_method: ClientAuthMethod,
    /// The algorithm of its assertions.
    pub token_endpoint_auth_signing_alg: Option<String>,
    /// Whether its tokens are always bound to a DPoP key.
    pub dpop_bound_access_tokens: bool,
    /// Whether it always pushes its authorization requests.
    pub require_pushed_authorization_requests: bool,
    /// Its public keys.
    pub jwks: Option<Jwks>,
    /// Where its public keys are, instead.
    pub jwks_uri: Option<Url>,
    /// How it wants subjects named: `public` or `pairwise` (OpenID Connect).
    pub subject_type: Option<String>,
    /// An identifier of the software, the same for all its installations.
    pub software_id: Option<String>,
    /// The version of the software.
    pub software_version: Option<String>,
}

impl ClientMetadata {
    /// Metadata with these redirect URIs and the defaults of [RFC 7591, section 2] for the rest: the code grant,
    /// authenticated by `client_secret_basic`.
    ///
    /// [RFC 7591, section 2]: https://www.rfc-editor.org/rfc/rfc7591#section-2
    pub fn new(redirect_uris: Vec<RedirectUri>) -> Self {
        Self {
            client_id: None,
            client_name: None,
            client_uri: None,
            logo_uri: None,
            tos_uri: None,
            policy_uri: None,
            contacts: Vec::new(),
            application_type: ApplicationType::Web,
            redirect_uris,
            grant_types: vec!["authorization_code".to_owned()],
            response_types: vec!["code".to_owned()],
            scope: ScopeSet::empty(),
            token_endpoint_auth_method: ClientAuthMethod::ClientSecretBasic,
            token_endpoint_auth_signing_alg: None,
            dpop_bound_access_tokens: false,
            require_pushed_authorization_requests: false,
            jwks: None,
            jwks_uri: None,
            subject_type: None,
            software_id: None,
            software_version: None,
        }
    }

    /// The metadata of an AT Protocol client without a key of its own; set
    /// [`application_type`](Self::application_type) for one that runs on a person's device.
    pub fn atproto_public(client_id: ClientId, redirect_uris: Vec<RedirectUri>, scope: ScopeSet) -> Self {
        Self {
            client_id: Some(client_id),
            grant_types: vec!["authorization_code".to_owned(), "refresh_token".to_owned()],
            scope,
            token_endpoint_auth_method: ClientAuthMethod::None,
            dpop_bound_access_tokens: true,
            ..Self::new(redirect_uris)
        }
    }

    /// The metadata of an AT Protocol client that signs assertions by ES256 with the keys at `jwks_uri`.
    ///
    /// ```
    /// use vestibule_oauth_core::{ClientMetadata, RedirectUri};
    ///
    /// let metadata = ClientMetadata::atproto_confidential(
    ///     "https://app.example.com/client-metadata.json".parse().unwrap(),
    ///     vec!["https://app.example.com/callback".parse().unwrap()],
    ///     "atproto".parse().unwrap(),
    ///     url::Url::parse("https://app.example.com/jwks.json").unwrap(),
    /// );
    /// assert!(metadata.to_json().contains(r#""token_endpoint_auth_method":"private_key_jwt""#));
    /// ```
    pub fn atproto_confidential(
        client_id: ClientId,
        redirect_uris: Vec<RedirectUri>,
        scope: ScopeSet,
        jwks_uri: Url,
    ) -> Self {
        Self {
            token_endpoint_auth_method: ClientAuthMethod::PrivateKeyJwt,
            token_endpoint_auth_signing_alg: Some("ES256".to_owned()),
            jwks_uri: Some(jwks_uri),
            ..Self::atproto_public(client_id, redirect_uris, scope)
        }
    }

    /// The document to publish, its members always in the same order. What RFC 7591 gives a default is written all the
    /// same: servers have been seen that read an omission otherwise.
    pub fn to_json(&self) -> String {
        let mut object = JsonObject::default()
            .text("client_id", self.client_id.as_ref().map(ClientId::as_str))
            .text("client_name", self.client_name.as_deref())
            .url("client_uri", self.client_uri.as_ref())
            .url("logo_uri", self.logo_uri.as_ref())
            .url("tos_uri", self.tos_uri.as_ref())
            .url("policy_uri", self.policy_uri.as_ref())
            .texts("contacts", self.contacts.iter().map(String::as_str))
            .text("application_type", Some(self.application_type.as_str()))
            .texts("redirect_uris", self.redirect_uris.iter().map(RedirectUri::as_str))
            .all_texts("grant_types", self.grant_types.iter().map(String::as_str))
            .all_texts("response_types", self.response_types.iter().map(String::as_str));
        if !self.scope.is_empty() {
            object = object.text("scope", Some(&self.scope.to_string()));
        }
        object = object
            .text("token_endpoint_auth_method", Some(self.token_endpoint_auth_method.as_str()))
            .text("token_endpoint_auth_signing_alg", self.token_endpoint_auth_signing_alg.as_deref())
            .flag("dpop_bound_access_tokens", self.dpop_bound_access_tokens)
            .flag("require_pushed_authorization_requests", self.require_pushed_authorization_requests);
        if let Some(jwks) = &self.jwks {
            object = object.value("jwks", jwks.value());
        }
        object
            .url("jwks_uri", self.jwks_uri.as_ref())
            .text("subject_type", self.subject_type.as_deref())
            .text("software_id", self.software_id.as_deref())
            .text("software_version", self.software_version.as_deref())
            .finish()
    }
}

/// Where a client runs.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[allow(
    clippy::exhaustive_enums,
    reason = "OpenID Connect registration defines these two and no way to add one"
)]
pub enum ApplicationType {
    /// On a server, or in a browser page that a server gave.
    #[default]
    Web,
    /// On the person's own device.
    Native,
}

impl ApplicationType {
    /// The value of `application_type`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Web => "web",
            Self::Native => "native",
        }
    }
}

impl fmt::Display for ApplicationType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for ApplicationType {
    type Err = UnknownValue;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "web" => Ok(Self::Web),
            "native" => Ok(Self::Native),
            _ => Err(UnknownValue("application_type")),
        }
    }
}

/// How a client authenticates itself at the token endpoint ([RFC 7591, section 2], and the registry it founds).
///
/// [RFC 7591, section 2]: https://www.rfc-editor.org/rfc/rfc7591#section-2
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum ClientAuthMethod {
    /// Not at all: a public client.
    None,
    /// By its secret in an `Authorization: Basic` header.
    ClientSecretBasic,
    /// By its secret in the body.
    ClientSecretPost,
    /// By an assertion under its secret.
    ClientSecretJwt,
    /// By an assertion under its private key.
    PrivateKeyJwt,
    /// By a TLS certificate an authority signed.
    TlsClientAuth,
    /// By a TLS certificate it signed itself.
    SelfSignedTlsClientAuth,
}

impl ClientAuthMethod {
    /// The value of `token_endpoint_auth_method`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::ClientSecretBasic => "client_secret_basic",
            Self::ClientSecretPost => "client_secret_post",
            Self::ClientSecretJwt => "client_secret_jwt",
            Self::PrivateKeyJwt => "private_key_jwt",
            Self::TlsClientAuth => "tls_client_auth",
            Self::SelfSignedTlsClientAuth => "self_signed_tls_client_auth",
        }
    }
}

impl fmt::Display for ClientAuthMethod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for ClientAuthMethod {
    type Err = UnknownValue;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [
            Self::None,
            Self::ClientSecretBasic,
            Self::ClientSecretPost,
            Self::ClientSecretJwt,
            Self::PrivateKeyJwt,
            Self::TlsClientAuth,
            Self::SelfSignedTlsClientAuth,
        ]
        .into_iter()
        .find(|method| method.as_str() == text)
        .ok_or(UnknownValue("token_endpoint_auth_method"))
    }
}

/// A value that this member does not have.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[error("{0} has a value that is not known")]
pub struct UnknownValue(&'static str);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r9_a_document_writes_its_members_in_one_order() {
        let metadata = ClientMetadata::atproto_confidential(
            "https://app.example.com/client-metadata.json".parse().unwrap(),
            vec!["https://app.example.com/callback".parse().unwrap()],
            "atproto transition:generic".parse().unwrap(),
            Url::parse("https://app.example.com/jwks.json").unwrap(),
        );
        assert_eq!(
            metadata.to_json(),
            concat!(
                r#"{"client_id":"https://app.example.com/client-metadata.json","application_type":"web","#,
                r#""redirect_uris":["https://app.example.com/callback"],"#,
                r#""grant_types":["authorization_code","refresh_token"],"response_types":["code"],"#,
                r#""scope":"atproto transition:generic","token_endpoint_auth_method":"private_key_jwt","#,
                r#""token_endpoint_auth_signing_alg":"ES256","dpop_bound_access_tokens":true,"#,
                r#""jwks_uri":"https://app.example.com/jwks.json"}"#
            )
        );
    }

    #[test]
    fn rfc7591_no_grants_are_written_as_none() {
        let metadata = ClientMetadata {
            grant_types: Vec::new(),
            response_types: Vec::new(),
            ..ClientMetadata::new(Vec::new())
        };
        assert!(metadata.to_json().contains(r#""grant_types":[],"response_types":[],"#));
    }

    #[test]
    fn rfc7591_defaults() {
        assert_eq!(
            ClientMetadata::new(Vec::new()).to_json(),
            concat!(
                r#"{"application_type":"web","grant_types":["authorization_code"],"response_types":["code"],"#,
                r#""token_endpoint_auth_method":"client_secret_basic"}"#
            )
        );
    }
}
