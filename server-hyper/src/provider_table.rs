//! One `[[provider]]` of the configuration: whom people may sign in with beside the AT Protocol.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use rustls_pki_types::PrivatePkcs8KeyDer;
use rustls_pki_types::pem::PemObject;
use serde::Deserialize;
use thiserror::Error;
use url::Url;
use vestibule_dpop::{AwsLcSigner, AwsLcVerifier};
use vestibule_oauth_core::{InvalidIssuer, InvalidScope, Issuer, ScopeSet, Secret, Transport};
use vestibule_server_hyper::SignInWith;
use vestibule_strategy::{
    Apple, AppleKey, ClientAuth, GitHub, InvalidMicrosoftTenant, InvalidProviderId, MicrosoftTenant, OAuth2,
    OAuth2Setup, OpenId, OpenIdSetup, Provider, ProviderId, ResponseMode, Strategy, UserField, UserFields,
};

/// One `[[provider]]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ProviderTable {
    /// What stands in `/auth/{name}`; the kind, if nothing is said.
    name: Option<String>,
    kind: Kind,
    /// What its button says.
    label: Option<String>,
    client_id: String,
    /// The file that holds the secret; relative to where the server is started.
    secret_file: Option<PathBuf>,
    /// How the secret is sent.
    client_auth: Option<SecretBy>,
    /// What is asked for, in place of what is usual.
    scope: Option<String>,
    /// Who the provider is, for `oidc`.
    issuer: Option<String>,
    /// Whose people may sign in with `microsoft`: a tenant's GUID, `common`, `organizations` or `consumers`; and which tenants of many.
    tenant: Option<String>,
    #[serde(default)]
    tenants: Vec<String>,
    /// What Apple gave with the key: the team's id, the key's id, and the `.p8` file.
    team_id: Option<String>,
    key_id: Option<String>,
    key_file: Option<PathBuf>,
    /// Where a GitHub Enterprise Server is.
    base_url: Option<Url>,
    /// The three addresses of a provider of plain OAuth 2.0.
    authorization_endpoint: Option<Url>,
    token_endpoint: Option<Url>,
    userinfo_endpoint: Option<Url>,
    /// Where such a provider says who it is, as JSON pointers: the permanent name, and what people call them.
    uid: Option<String>,
    shown: Option<String>,
    /// How the provider is asked to answer: `query`, or `form_post`.
    response_mode: Option<ResponseMode>,
    /// Claims that have to be there with this text.
    #[serde(default)]
    required_claims: BTreeMap<String, String>,
    /// More parameters of the authorization request.
    #[serde(default)]
    params: BTreeMap<String, String>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Oidc,
    Google,
    Github,
    Apple,
    Microsoft,
    Oauth2,
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Self::Oidc => "oidc",
            Self::Google => "google",
            Self::Github => "github",
            Self::Apple => "apple",
            Self::Microsoft => "microsoft",
            Self::Oauth2 => "oauth2",
        }
    }

    /// What people call it; `None` where that is the operator's to say.
    const fn label(self) -> Option<&'static str> {
        match self {
            Self::Google => Some("Google"),
            Self::Github => Some("GitHub"),
            Self::Apple => Some("Apple"),
            Self::Microsoft => Some("Microsoft"),
            Self::Oidc | Self::Oauth2 => None,
        }
    }
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum SecretBy {
    ClientSecretBasic,
    ClientSecretPost,
}

/// Parameters that are the engine's to send.
const RESERVED: [&str; 10] = [
    "state",
    "nonce",
    "redirect_uri",
    "client_id",
    "response_type",
    "response_mode",
    "code_challenge",
    "code_challenge_method",
    "scope",
    "request_uri",
];

impl ProviderTable {
    /// What it is called, right or not.
    pub(crate) fn name(&self) -> &str {
        self.name.as_deref().unwrap_or_else(|| self.kind.name())
    }

    /// The provider; with `development`, an issuer may be on http at this machine.
    pub(crate) fn sign_in_with(&self, development: bool) -> Result<SignInWith, ProviderError> {
        let id: ProviderId = self.name().parse().map_err(ProviderError::Name)?;
        if id.as_str() == "atproto" {
            return Err(ProviderError::Atproto);
        }
        if let Some(name) = self.params.keys().find(|name| RESERVED.contains(&name.as_str())) {
            return Err(ProviderError::Reserved(name.clone()));
        }
        self.only_what_the_kind_has()?;
        let label =
            self.label.as_deref().or_else(|| self.kind.label()).unwrap_or_else(|| self.name()).to_owned();
        let transport = if development { Transport::LoopbackHttpToo } else { Transport::HttpsOnly };
        let provider = Provider::new(id, self.strategy(transport)?);
        Ok(SignInWith { provider, label })
    }

    fn strategy(&self, transport: Transport) -> Result<Arc<dyn Strategy>, ProviderError> {
        let scope = self.scope.as_deref().map(str::parse::<ScopeSet>).transpose();
        let scope = scope.map_err(ProviderError::Scope)?;
        let params = || self.params.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
        Ok(match self.kind {
            Kind::Github => {
                let secret = self.secret()?.ok_or(ProviderError::Needs("secret_file"))?;
                let github = match &self.base_url {
                    Some(base) => GitHub::enterprise(base.as_str(), &self.client_id, secret),
                    None => GitHub::new(&self.client_id, secret),
                };
                let github = github.map_err(|_| ProviderError::Needs("base_url"))?;
                Arc::new(match scope {
                    Some(scope) => github.with_scope(scope),
                    None => github,
                })
            }
            Kind::Apple => {
                let apple = Apple::new(&self.client_id, self.apple_key()?, Arc::new(AwsLcVerifier));
                Arc::new(apple.map_err(ProviderError::Issuer)?)
            }
            Kind::Google | Kind::Oidc | Kind::Microsoft => {
                let mut setup = self.openid(transport)?;
                setup.scope = scope.unwrap_or(setup.scope);
                if !setup.scope.contains("openid") {
                    return Err(ProviderError::NoOpenid);
                }
                setup.params = params();
                setup.mode = self.response_mode.unwrap_or(setup.mode);
                let claims = self.required_claims.iter();
                setup.required_claims = claims.map(|(name, value)| (name.clone(), value.clone())).collect();
                Arc::new(OpenId::new(setup))
            }
            Kind::Oauth2 => {
                let at = |url: &Option<Url>, name| url.clone().ok_or(ProviderError::Needs(name));
                let mut setup = OAuth2Setup::new(
                    at(&self.authorization_endpoint, "authorization_endpoint")?,
                    at(&self.token_endpoint, "token_endpoint")?,
                    at(&self.userinfo_endpoint, "userinfo_endpoint")?,
                    &self.client_id,
                );
                setup.client_auth = self.client_auth(self.secret()?);
                setup.scope = scope.unwrap_or_default();
                setup.params = params();
                if let Some(uid) = &self.uid {
                    setup.fields = UserFields::new(uid);
                }
                if let Some(shown) = &self.shown {
                    setup.fields = setup.fields.with(UserField::Nickname, shown);
                }
                Arc::new(OAuth2::new(setup))
            }
        })
    }

    fn openid(&self, transport: Transport) -> Result<OpenIdSetup, ProviderError> {
        let secret = self.secret()?;
        let empty = Secret::new(String::new());
        let (given, verifier) = (secret.clone().unwrap_or(empty), Arc::new(AwsLcVerifier));
        if self.kind == Kind::Microsoft {
            secret.ok_or(ProviderError::Needs("secret_file"))?;
            let tenant = self.tenant.as_deref().ok_or(ProviderError::Needs("tenant"))?;
            let tenant: MicrosoftTenant = tenant.parse().map_err(ProviderError::Tenant)?;
            let setup = OpenIdSetup::microsoft(&tenant, &self.client_id, given, verifier);
            let mut setup = setup.map_err(ProviderError::Issuer)?;
            if !self.tenants.is_empty() {
                let is_one = |tenant: &&String| matches!(tenant.parse(), Ok(MicrosoftTenant::One(_)));
                if let Some(tenant) = self.tenants.iter().find(|tenant| !is_one(tenant)) {
                    return Err(ProviderError::Tenants(tenant.clone()));
                }
                let many = setup.tenants.take().ok_or(ProviderError::OneTenant)?;
                setup.tenants = Some(many.only(self.tenants.iter().cloned()));
            }
            return Ok(setup);
        }
        if self.kind == Kind::Google {
            secret.ok_or(ProviderError::Needs("secret_file"))?;
            return OpenIdSetup::google(&self.client_id, given, verifier).map_err(ProviderError::Issuer);
        }
        let issuer = self.issuer.as_deref().ok_or(ProviderError::Needs("issuer"))?;
        let issuer = Issuer::parse_with(issuer, transport).map_err(ProviderError::Issuer)?;
        let mut setup = OpenIdSetup::new(issuer, &self.client_id, given, verifier);
        setup.client_auth = self.client_auth(secret);
        Ok(setup)
    }

    fn apple_key(&self) -> Result<AppleKey, ProviderError> {
        let text = |value: &Option<String>, name| value.clone().ok_or(ProviderError::Needs(name));
        let path = self.key_file.as_ref().ok_or(ProviderError::Needs("key_file"))?;
        let failed = |why: String| ProviderError::Key { path: path.clone(), why };
        let pem = std::fs::read(path).map_err(|error| failed(error.to_string()))?;
        let document = PrivatePkcs8KeyDer::from_pem_slice(&pem)
            .map_err(|_| failed("it is no PEM file of a key".to_owned()))?;
        let signer = AwsLcSigner::from_pkcs8(document.secret_pkcs8_der());
        let signer = signer.map_err(|error| failed(error.to_string()))?;
        Ok(AppleKey {
            team_id: text(&self.team_id, "team_id")?,
            key_id: text(&self.key_id, "key_id")?,
            signer: Arc::new(signer),
        })
    }

    fn client_auth(&self, secret: Option<Secret>) -> ClientAuth {
        match (secret, self.client_auth) {
            (None, _) => ClientAuth::Public,
            (Some(secret), Some(SecretBy::ClientSecretPost)) => ClientAuth::SecretPost(secret),
            (Some(secret), _) => ClientAuth::SecretBasic(secret),
        }
    }

    fn secret(&self) -> Result<Option<Secret>, ProviderError> {
        let Some(path) = &self.secret_file else { return Ok(None) };
        let failed = |why| ProviderError::Secret { path: path.clone(), why };
        let text = std::fs::read_to_string(path).map_err(|error| failed(error.to_string()))?;
        let text = Secret::new(text);
        let secret = text.expose().trim();
        if secret.is_empty() {
            return Err(failed("it is empty".to_owned()));
        }
        Ok(Some(Secret::new(secret.to_owned())))
    }

    /// A setting that the kind has no use for would be believed to have one.
    fn only_what_the_kind_has(&self) -> Result<(), ProviderError> {
        let openid = [Kind::Oidc, Kind::Google, Kind::Microsoft].as_slice();
        let apple = [Kind::Apple].as_slice();
        let not_apple = [Kind::Oidc, Kind::Google, Kind::Microsoft, Kind::Github, Kind::Oauth2].as_slice();
        let endpoints = [Kind::Oauth2].as_slice();
        let rows = [
            ("issuer", self.issuer.is_some(), [Kind::Oidc].as_slice()),
            ("tenant", self.tenant.is_some(), [Kind::Microsoft].as_slice()),
            ("tenants", !self.tenants.is_empty(), [Kind::Microsoft].as_slice()),
            ("team_id", self.team_id.is_some(), apple),
            ("key_id", self.key_id.is_some(), apple),
            ("key_file", self.key_file.is_some(), apple),
            ("secret_file", self.secret_file.is_some(), not_apple),
            ("scope", self.scope.is_some(), not_apple),
            ("base_url", self.base_url.is_some(), [Kind::Github].as_slice()),
            ("authorization_endpoint", self.authorization_endpoint.is_some(), endpoints),
            ("token_endpoint", self.token_endpoint.is_some(), endpoints),
            ("userinfo_endpoint", self.userinfo_endpoint.is_some(), endpoints),
            ("uid", self.uid.is_some(), endpoints),
            ("shown", self.shown.is_some(), endpoints),
            ("response_mode", self.response_mode.is_some(), openid),
            ("required_claims", !self.required_claims.is_empty(), openid),
            ("client_auth", self.client_auth.is_some(), [Kind::Oidc, Kind::Oauth2].as_slice()),
            (
                "params",
                !self.params.is_empty(),
                [Kind::Oidc, Kind::Google, Kind::Microsoft, Kind::Oauth2].as_slice(),
            ),
        ];
        match rows.into_iter().find(|(_, is_set, kinds)| *is_set && !kinds.contains(&self.kind)) {
            Some((setting, ..)) => Err(ProviderError::NotOfKind(setting, self.kind.name())),
            None => Ok(()),
        }
    }
}

/// What is wrong with a `[[provider]]`.
#[derive(Debug, Error)]
pub(crate) enum ProviderError {
    #[error("name: {0}")]
    Name(InvalidProviderId),
    #[error("the AT Protocol is there without being configured: leave this table out")]
    Atproto,
    #[error("{0} is missing, and this kind needs it")]
    Needs(&'static str),
    #[error("a provider of kind {1} has no setting {0}")]
    NotOfKind(&'static str, &'static str),
    #[error("secret_file {}: {why}", path.display())]
    Secret { path: PathBuf, why: String },
    #[error("key_file {}: {why}", path.display())]
    Key { path: PathBuf, why: String },
    #[error("{0}")]
    Tenant(InvalidMicrosoftTenant),
    #[error("tenants: {0:?} is no GUID")]
    Tenants(String),
    #[error("tenants says which of many may sign in, and tenant names one")]
    OneTenant,
    #[error("scope: {0}")]
    Scope(InvalidScope),
    #[error("scope: it must have openid among it")]
    NoOpenid,
    #[error("issuer: {0}")]
    Issuer(InvalidIssuer),
    #[error("params.{0} is sent by the server itself, and differs from login to login")]
    Reserved(String),
    #[error("two providers are called so")]
    Twice,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<SignInWith, String> {
        let table: ProviderTable = toml::from_str(text).map_err(|error| error.to_string())?;
        table.sign_in_with(false).map_err(|error| error.to_string())
    }

    #[test]
    fn a_provider_is_read_from_its_table() {
        let sso = "kind = \"oidc\"\nname = \"sso\"\nissuer = \"https://sso.example\"\nclient_id = \"a\"";
        let with = read(sso).unwrap();
        assert_eq!((with.provider.id().as_str(), with.label.as_str()), ("sso", "sso"));
        assert_eq!(read(&format!("{sso}\nlabel = \"Company\"")).unwrap().label, "Company");
        let forum = "kind = \"oauth2\"\nclient_id = \"a\"\nuid = \"/id\"\nauthorization_endpoint = \"https://f.example/a\"\n\
                     token_endpoint = \"https://f.example/t\"\nuserinfo_endpoint = \"https://f.example/u\"";
        assert_eq!(read(forum).unwrap().provider.id().as_str(), "oauth2");
    }

    #[test]
    fn what_a_table_gets_wrong_is_said() {
        for (text, said) in [
            ("kind = \"oidc\"\nclient_id = \"a\"", "issuer is missing"),
            ("kind = \"oidc\"\nclient_id = \"a\"\nissuer = \"nonsense\"", "issuer:"),
            (
                "kind = \"oidc\"\nclient_id = \"a\"\nissuer = \"https://a.example\"\nscope = \"email\"",
                "openid",
            ),
            (
                "kind = \"oidc\"\nclient_id = \"a\"\nissuer = \"https://a.example\"\nuid = \"/id\"",
                "has no setting uid",
            ),
            ("kind = \"github\"\nclient_id = \"a\"", "secret_file is missing"),
            (
                "kind = \"github\"\nclient_id = \"a\"\nsecret_file = \"/nowhere/secret\"",
                "secret_file /nowhere/secret",
            ),
            ("kind = \"github\"\nclient_id = \"a\"\nissuer = \"https://a.example\"", "has no setting issuer"),
            ("kind = \"google\"\nclient_id = \"a\"", "secret_file is missing"),
            ("kind = \"oauth2\"\nclient_id = \"a\"", "authorization_endpoint is missing"),
            ("kind = \"oauth2\"\nclient_id = \"a\"\nname = \"A/B\"", "name:"),
            ("kind = \"oauth2\"\nclient_id = \"a\"\nname = \"atproto\"", "leave this table out"),
            ("kind = \"oauth2\"\nclient_id = \"a\"\nparams = { state = \"x\" }", "params.state"),
            ("kind = \"oauth2\"\nclient_id = \"a\"\nclient_sekret = \"x\"", "client_sekret"),
            ("kind = \"microsoft\"\nclient_id = \"a\"\nsecret_file = \"Cargo.toml\"", "tenant is missing"),
            (
                "kind = \"microsoft\"\nclient_id = \"a\"\nsecret_file = \"Cargo.toml\"\ntenant = \"contoso.com\"",
                "a tenant must be a GUID",
            ),
            (
                "kind = \"microsoft\"\nclient_id = \"a\"\nsecret_file = \"Cargo.toml\"\ntenants = [\"common\"]\ntenant = \"common\"",
                "is no GUID",
            ),
            ("kind = \"apple\"\nclient_id = \"a\"", "key_file is missing"),
            ("kind = \"apple\"\nclient_id = \"a\"\nkey_file = \"Cargo.toml\"", "no PEM file"),
            (
                "kind = \"apple\"\nclient_id = \"a\"\nsecret_file = \"Cargo.toml\"",
                "has no setting secret_file",
            ),
            ("kind = \"myspace\"\nclient_id = \"a\"", "myspace"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(said), "{text}: {error}");
        }
    }
}
