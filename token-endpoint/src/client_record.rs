//! A client as a store keeps it: one JSON text, which later versions read as well.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use thiserror::Error;
use vestibule_dpop::{InvalidJwkSet, JwkSet};
use vestibule_oauth_core::{ClientId, RedirectUri, ScopeSet};

use crate::client::{
    AssertionAudience, AuthMethod, Client, ClientKind, ClientState, Lifetimes, Pkce, Pushing,
    RedirectUriAtToken, TokenBinding, TokenFormat, TrustedIssuer,
};
use crate::client_secret::ClientSecret;
use crate::grant_type::GrantType;

/// The members as they are written. One that is not there has its default, so that what an older version wrote is read.
#[derive(Serialize, Deserialize)]
struct Record {
    id: ClientId,
    kind: ClientKind,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    auth_methods: BTreeSet<AuthMethod>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    secrets: Vec<ClientSecret>,
    #[serde(default, skip_serializing_if = "Value::is_null")]
    jwks: Value,
    #[serde(default)]
    assertion_audience: AssertionAudience,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    redirect_uris: Vec<RedirectUri>,
    grant_types: BTreeSet<GrantType>,
    #[serde(default)]
    scope: ScopeSet,
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    resources: BTreeSet<String>,
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    serves: BTreeSet<String>,
    #[serde(default)]
    pkce: Pkce,
    #[serde(default)]
    binding: TokenBinding,
    #[serde(default)]
    pushing: Pushing,
    #[serde(default)]
    redirect_uri_at_token: RedirectUriAtToken,
    #[serde(default)]
    token_format: TokenFormat,
    #[serde(default)]
    lifetimes: Lifetimes,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    trusted_issuers: Vec<TrustedRecord>,
    #[serde(default)]
    state: ClientState,
}

#[derive(Serialize, Deserialize)]
struct TrustedRecord {
    issuer: String,
    jwks: Value,
}

impl Client {
    /// The text to store. It holds hashes of secrets, and none itself.
    ///
    /// ```
    /// use vestibule_token_endpoint::{Client, ClientKind};
    ///
    /// let client = Client::new("app".parse().unwrap(), ClientKind::Public);
    /// let read = Client::from_json(&client.to_json()).unwrap();
    /// assert_eq!(read.to_json(), client.to_json());
    /// ```
    pub fn to_json(&self) -> String {
        let record = Record {
            id: self.id.clone(),
            kind: self.kind,
            name: self.name.clone(),
            auth_methods: self.auth_methods.clone(),
            secrets: self.secrets.clone(),
            jwks: if self.keys.entries().is_empty() { Value::Null } else { to_value(&self.keys) },
            assertion_audience: self.assertion_audience,
            redirect_uris: self.redirect_uris.clone(),
            grant_types: self.grant_types.clone(),
            scope: self.scope.clone(),
            resources: self.resources.clone(),
            serves: self.serves.clone(),
            pkce: self.pkce,
            binding: self.binding,
            pushing: self.pushing,
            redirect_uri_at_token: self.redirect_uri_at_token,
            token_format: self.token_format,
            lifetimes: self.lifetimes,
            trusted_issuers: self
                .trusted_issuers
                .iter()
                .map(|trusted| TrustedRecord {
                    issuer: trusted.issuer.clone(),
                    jwks: to_value(&trusted.keys),
                })
                .collect(),
            state: self.state,
        };
        // Texts, numbers and lists of them: nothing in a record cannot be written.
        serde_json::to_string(&record).unwrap_or_default()
    }

    /// Reads what [`Client::to_json`] wrote, in this version or an older one.
    ///
    /// # Errors
    /// [`InvalidClientRecord`].
    pub fn from_json(json: &str) -> Result<Self, InvalidClientRecord> {
        let record: Record =
            serde_json::from_str(json).map_err(|error| InvalidClientRecord::Form(error.to_string()))?;
        let mut client = Self::new(record.id, record.kind);
        client.name = record.name;
        client.auth_methods = record.auth_methods;
        client.secrets = record.secrets;
        if !record.jwks.is_null() {
            client.keys = from_value(&record.jwks)?;
        }
        client.assertion_audience = record.assertion_audience;
        client.redirect_uris = record.redirect_uris;
        client.grant_types = record.grant_types;
        client.scope = record.scope;
        client.resources = record.resources;
        client.serves = record.serves;
        client.pkce = record.pkce;
        client.binding = record.binding;
        client.pushing = record.pushing;
        client.redirect_uri_at_token = record.redirect_uri_at_token;
        client.token_format = record.token_format;
        client.lifetimes = record.lifetimes;
        for trusted in record.trusted_issuers {
            client.trusted_issuers.push(TrustedIssuer::new(trusted.issuer, from_value(&trusted.jwks)?));
        }
        client.state = record.state;
        Ok(client)
    }
}

fn to_value(keys: &JwkSet) -> Value {
    let mut json = String::new();
    keys.write_json(&mut json);
    serde_json::from_str(&json).unwrap_or_default()
}

fn from_value(jwks: &Value) -> Result<JwkSet, InvalidClientRecord> {
    JwkSet::parse(jwks.to_string()).map_err(InvalidClientRecord::Keys)
}

/// Why a text is no client.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum InvalidClientRecord {
    /// It is not the JSON of a client.
    #[error("the client's record cannot be read: {0}")]
    Form(String),
    /// Its keys are none.
    #[error("the client's keys: {0}")]
    Keys(InvalidJwkSet),
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use vestibule_dpop::{Algorithm, Es256Secret, JwkEntry, default_signer};
    use vestibule_oauth_core::UnixTime;

    use super::*;
    use crate::client_secret::SecretHash;

    fn keys(secret: u8) -> JwkSet {
        let signer = default_signer(&Es256Secret::from_entropy([secret; 32]));
        [JwkEntry::new(signer.public_key().clone(), "one".to_owned(), Algorithm::Es256)].into_iter().collect()
    }

    #[test]
    fn a_client_comes_back_as_it_was() {
        let mut client = Client::new("app".parse().unwrap(), ClientKind::Confidential);
        client.name = Some("An app".to_owned());
        client.auth_methods = BTreeSet::from([AuthMethod::ClientSecretBasic, AuthMethod::PrivateKeyJwt]);
        let mut ending = ClientSecret::new(SecretHash::plain("old"));
        ending.expires_at = Some(UnixTime::from_secs(7));
        client.secrets = vec![ClientSecret::new(SecretHash::plain("new")), ending];
        client.keys = keys(1);
        client.assertion_audience = AssertionAudience::DangerTokenEndpointToo;
        client.redirect_uris = vec!["https://app.example/cb".parse().unwrap()];
        client.grant_types.insert("urn:example:magic".parse().unwrap());
        client.scope = "a b".parse().unwrap();
        client.resources = BTreeSet::from(["https://api.example".to_owned()]);
        client.serves = BTreeSet::from(["https://app.example".to_owned()]);
        client.pkce = Pkce::DangerExempt;
        client.binding = TokenBinding::Required;
        client.pushing = Pushing::Required;
        client.redirect_uri_at_token = RedirectUriAtToken::Required;
        client.token_format = TokenFormat::Opaque;
        client.lifetimes.access = Duration::from_secs(7);
        client.trusted_issuers = vec![TrustedIssuer::new("https://idp.example", keys(2))];
        client.state = ClientState::Disabled;
        let read = Client::from_json(&client.to_json()).unwrap();
        // Every field is in its `Debug`.
        assert_eq!(format!("{read:?}"), format!("{client:?}"));
    }

    #[test]
    fn what_an_older_version_wrote_has_the_defaults_of_what_it_did_not_know() {
        let json = r#"{"id":"app","kind":"public","grant_types":["authorization_code"],"later":1}"#;
        let read = Client::from_json(json).unwrap();
        assert_eq!(
            format!("{read:?}"),
            format!("{:?}", Client::new("app".parse().unwrap(), ClientKind::Public))
        );
        for broken in ["", "{}", r#"{"id":"app","kind":"public","grant_types":[""]}"#] {
            assert!(matches!(Client::from_json(broken), Err(InvalidClientRecord::Form(_))), "{broken}");
        }
        let broken = json.replace("\"later\":1", "\"jwks\":{}");
        assert!(matches!(Client::from_json(&broken), Err(InvalidClientRecord::Keys(_))));
    }
}
