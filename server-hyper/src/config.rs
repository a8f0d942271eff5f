//! Settings: flags and environment first, `vestibule.toml` for what does not fit a flag.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::{Args, Parser, Subcommand};
use serde::Deserialize;
use serde::de::IgnoredAny;
use thiserror::Error;
use url::Url;
use vestibule_atproto_identity::DevelopmentNames;
use vestibule_atproto_identity::login::ClientDisplay;
use vestibule_atproto_identity::net::{Network, NetworkConfig, NetworkError, PrivateNetwork};
use vestibule_oauth_core::{InvalidScope, ScopeSet, Secret};
use vestibule_server_hyper::SignInWith;
use vestibule_storage::StoreUrl;
use vestibule_token_endpoint::{
    Client, ClientKind, ClientSecret, GrantType, Profile, SecretHash, TrustedIssuer,
};

use crate::client_spec::{ClientSpec, SpecError, has_secret, read_keys, review};
use crate::provider_table::{ProviderError, ProviderTable};

/// The front hall of your apps: people sign in with their AT Protocol handle.
#[derive(Debug, Parser)]
#[command(
    name = "vestibule",
    version,
    after_help = "Without a command the server is started:\n  vestibule --listen 127.0.0.1:8080 --store sqlite:vestibule.db"
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    #[command(flatten)]
    pub(crate) serve: ServeArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start the server (what happens without a command, too).
    #[command(after_help = "Example:\n  vestibule serve --public-url https://login.example.com")]
    Serve(ServeArgs),
    /// Show how a handle or DID is resolved, step by step.
    #[command(
        after_help = "Example:\n  vestibule resolve alice.example.com\n  vestibule resolve did:plc:ewvi7nxzyoun6zhxrhs64oiz --json"
    )]
    Resolve(ResolveArgs),
    /// Check the configuration, and what this server publishes about itself.
    #[command(after_help = "Example:\n  vestibule check --public-url https://login.example.com")]
    Check(ServeArgs),
    /// Copy the store, while the server runs, into a new file.
    #[command(
        after_help = "Example:\n  vestibule backup /var/backups/vestibule.db --store sqlite:/var/lib/vestibule/vestibule.db"
    )]
    Backup(BackupArgs),
    /// Look after the keys in the store.
    #[command(
        subcommand,
        after_help = "Example:\n  vestibule key list\n  vestibule key rotate --store sqlite:vestibule.db"
    )]
    Key(KeyCommand),
    /// Look after the apps that may ask who somebody is.
    #[command(
        subcommand,
        after_help = "Example:\n  vestibule client add Grafana --redirect-uri https://grafana.example/login/generic_oauth\n  vestibule client list"
    )]
    Client(ClientCommand),
}

#[derive(Debug, Subcommand)]
pub(crate) enum ClientCommand {
    /// Add an app; prints its client_id, and its client_secret this once.
    #[command(
        after_help = "Examples:\n  vestibule client add Grafana --redirect-uri https://grafana.example/login/generic_oauth\n  vestibule client add Backup --grant client_credentials --scope backup\n  vestibule client add \"My app\" --public --redirect-uri http://127.0.0.1/callback"
    )]
    Add(AddClientArgs),
    /// List the apps that were added; those of the configuration are in its file.
    #[command(after_help = "Example:\n  vestibule client list --json")]
    List(ClientListArgs),
    /// Change an app: what is said takes the place of what was.
    #[command(after_help = "Example:\n  vestibule client update CLIENT_ID --new-secret")]
    Update(UpdateClientArgs),
    /// Take an app away; every grant it was given ends.
    #[command(after_help = "Example:\n  vestibule client remove CLIENT_ID")]
    Remove(RemoveClientArgs),
}

#[derive(Clone, Debug, Args)]
pub(crate) struct AddClientArgs {
    /// What people are shown.
    pub(crate) name: String,
    /// Its identifier. [default: a random one]
    #[arg(long)]
    pub(crate) client_id: Option<String>,
    /// It runs on people's devices and cannot keep a secret.
    #[arg(long)]
    pub(crate) public: bool,
    #[command(flatten)]
    pub(crate) spec: ClientSpec,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) store: StoreArgs,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct ClientListArgs {
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) store: StoreArgs,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct UpdateClientArgs {
    /// Its identifier.
    pub(crate) client_id: String,
    /// What people are shown.
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// Give it a new secret, printed this once. The one before it stays good until the next.
    #[arg(long)]
    pub(crate) new_secret: bool,
    #[command(flatten)]
    pub(crate) spec: ClientSpec,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) store: StoreArgs,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct RemoveClientArgs {
    /// Its identifier.
    pub(crate) client_id: String,
    #[command(flatten)]
    pub(crate) store: StoreArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum KeyCommand {
    /// List the keys: names, uses and ages, never the keys.
    #[command(after_help = "Example:\n  vestibule key list --store sqlite:vestibule.db")]
    List(StoreArgs),
    /// Add a new key of each kind; the old ones go on opening and publishing what was made with them.
    #[command(after_help = "Example:\n  vestibule key rotate --store sqlite:vestibule.db")]
    Rotate(StoreArgs),
    /// Throw away an older key that signs, for other servers or access tokens, and that nothing needs any more.
    #[command(
        after_help = "Example:\n  vestibule key list\n  vestibule key retire KEY --store sqlite:vestibule.db"
    )]
    Retire(RetireArgs),
}

#[derive(Clone, Debug, Args)]
pub(crate) struct ServeArgs {
    /// Address to listen on; port 0 takes any free port.
    #[arg(long, env = "VESTIBULE_LISTEN", default_value = "127.0.0.1:8080")]
    pub(crate) listen: SocketAddr,
    /// Where people reach this server; the only source of the URLs it builds. https, unless on loopback. [default:
    /// http://127.0.0.1:PORT]
    #[arg(long, env = "VESTIBULE_PUBLIC_URL")]
    pub(crate) public_url: Option<Url>,
    /// The largest body that /xrpc passes on to a person's server, in octets.
    #[arg(long, env = "VESTIBULE_XRPC_BODY_LIMIT", default_value_t = 104_857_600)]
    pub(crate) xrpc_body_limit: u64,
    /// Header in which a reverse proxy says who asks, X-Forwarded-For say; its last entry is believed. Without it, logins are
    /// counted by the address of the connection, and those from this machine are not counted.
    #[arg(long, env = "VESTIBULE_CLIENT_ADDRESS_HEADER")]
    pub(crate) client_address_header: Option<http::HeaderName>,
    #[command(flatten)]
    pub(crate) store: StoreArgs,
    #[command(flatten)]
    pub(crate) network: NetworkArgs,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct StoreArgs {
    /// Where records are kept: sqlite:PATH, postgres://USER:PASSWORD@HOST/DATABASE for several nodes, or memory: (lost when the
    /// server ends).
    #[arg(long, env = "VESTIBULE_STORE", default_value = "sqlite:vestibule.db")]
    pub(crate) store: StoreUrl,
    /// File with the master secret; made when absent, readable by its owner only.
    #[arg(long, env = "VESTIBULE_SECRET_FILE", default_value = "vestibule.secret")]
    pub(crate) secret_file: PathBuf,
    /// Configuration file. [default: vestibule.toml, if there is one]
    #[arg(long, env = "VESTIBULE_CONFIG")]
    pub(crate) config: Option<PathBuf>,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct BackupArgs {
    /// The new file; one that is there is not written over. The secret file is not in it: keep a copy of that elsewhere.
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) store: StoreArgs,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct RetireArgs {
    /// The key's name, as `vestibule key list` shows it.
    pub(crate) id: String,
    /// Somebody else has it: throw it away at once, and with it the access tokens that it signed and logins that are under way.
    #[arg(long)]
    pub(crate) compromised: bool,
    #[command(flatten)]
    pub(crate) store: StoreArgs,
}

impl StoreArgs {
    /// What the configuration file says.
    pub(crate) fn config(&self) -> Result<ConfigFile, ConfigError> {
        ConfigFile::load(self.config.as_deref())
    }
}

#[derive(Clone, Debug, Args)]
pub(crate) struct NetworkArgs {
    /// PLC directory, where did:plc identities are looked up.
    #[arg(long, env = "VESTIBULE_PLC_URL", default_value = "https://plc.directory")]
    pub(crate) plc_url: Url,
    /// Name server, ADDR:PORT, for every name this server looks up. [default: the system's]
    #[arg(long, env = "VESTIBULE_DNS")]
    pub(crate) dns: Option<SocketAddr>,
    /// Extra trust anchors, a PEM file.
    #[arg(long, env = "VESTIBULE_CA_FILE")]
    pub(crate) ca_file: Option<PathBuf>,
    /// Let outbound calls reach http, loopback and private addresses: for development and tests.
    #[arg(long, env = "VESTIBULE_ALLOW_PRIVATE_NETWORK")]
    pub(crate) allow_private_network: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ResolveArgs {
    /// A handle, a DID, or the address of a server.
    pub(crate) subject: String,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) network: NetworkArgs,
}

impl NetworkArgs {
    /// Whether names and addresses of development are good.
    pub(crate) const fn development(&self) -> DevelopmentNames {
        if self.allow_private_network { DevelopmentNames::Allowed } else { DevelopmentNames::Refused }
    }

    /// The network these flags describe.
    pub(crate) fn open(&self) -> Result<Network, ConfigError> {
        let reach =
            if self.allow_private_network { PrivateNetwork::Allowed } else { PrivateNetwork::Refused };
        let mut config = NetworkConfig::default().with_private_network(reach);
        if let Some(dns) = self.dns {
            config = config.with_dns(dns);
        }
        if let Some(path) = &self.ca_file {
            config = config.with_extra_roots_pem(read(path)?);
        }
        Network::new(config).map_err(ConfigError::Network)
    }
}

/// `vestibule.toml`. An unknown name in it is an error: a misspelt setting that is passed over helps nobody.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ConfigFile {
    /// The client that people's servers see.
    pub(crate) atproto: AtprotoSection,
    /// The server that apps see.
    pub(crate) oauth: OauthSection,
    /// The apps.
    pub(crate) client: Vec<ClientTable>,
    /// Whom people may sign in with.
    pub(crate) provider: Vec<ProviderTable>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct OauthSection {
    profile: Option<String>,
    scope: Option<String>,
}

impl OauthSection {
    /// Which rules clients are held to.
    pub(crate) fn profile(&self) -> Result<Profile, ConfigError> {
        let Some(name) = &self.profile else { return Ok(Profile::default()) };
        Profile::named(name).ok_or_else(|| ConfigError::Profile(name.clone()))
    }

    /// The scope words that clients may ask for, if they are registered for none in particular.
    pub(crate) fn scope(&self) -> Result<ScopeSet, ConfigError> {
        self.scope.as_deref().unwrap_or("openid profile email").parse().map_err(ConfigError::OauthScope)
    }
}

/// One `[[client]]`.
#[derive(Debug, Deserialize)]
pub(crate) struct ClientTable {
    id: String,
    name: Option<String>,
    #[serde(default)]
    public: bool,
    /// The file that holds its secret; relative to where the server is started.
    secret_file: Option<PathBuf>,
    /// `sha256:…` of its secret, which must be a random one.
    secret_hash: Option<String>,
    /// Who may vouch for people towards it (RFC 7523, section 2.1).
    #[serde(default)]
    trusted_issuer: Vec<TrustedIssuerTable>,
    #[serde(flatten)]
    spec: ClientSpec,
    /// What is none of the above: an error, as everywhere in this file.
    #[serde(flatten)]
    unknown: BTreeMap<String, IgnoredAny>,
}

/// One `[[client.trusted_issuer]]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TrustedIssuerTable {
    issuer: String,
    jwks_file: PathBuf,
}

impl ClientTable {
    fn client(&self) -> Result<Client, SpecError> {
        if let Some(name) = self.unknown.keys().next() {
            return Err(SpecError::Unknown(name.clone()));
        }
        let id = self.id.parse().map_err(|error| SpecError::Id(self.id.clone(), error))?;
        let kind = if self.public { ClientKind::Public } else { ClientKind::Confidential };
        let mut client = Client::new(id, kind);
        client.grant_types.insert(GrantType::REFRESH_TOKEN);
        client.name.clone_from(&self.name);
        self.spec.apply(&mut client)?;
        for trusted in &self.trusted_issuer {
            let keys = read_keys(&trusted.jwks_file)?;
            client.trusted_issuers.push(TrustedIssuer::new(trusted.issuer.clone(), keys));
        }
        if let Some(path) = &self.secret_file {
            let text = std::fs::read_to_string(path).map_err(|error| SpecError::unreadable(path, &error))?;
            let text = Secret::new(text);
            let secret = text.expose().trim();
            if secret.is_empty() {
                return Err(SpecError::EmptySecret(path.clone()));
            }
            client.secrets.push(ClientSecret::new(SecretHash::plain(secret)));
        }
        if let Some(hash) = &self.secret_hash {
            client.secrets.push(ClientSecret::new(hash.parse().map_err(SpecError::SecretHash)?));
        }
        if has_secret(&client) && client.secrets.is_empty() {
            return Err(SpecError::NoSecret);
        }
        review(&client)?;
        Ok(client)
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct AtprotoSection {
    scope: Option<String>,
    client_name: Option<String>,
    logo_uri: Option<Url>,
    tos_uri: Option<Url>,
    policy_uri: Option<Url>,
    /// What completes a handle without a dot.
    pub(crate) default_handle_suffix: Option<String>,
}

impl AtprotoSection {
    /// What a login asks for: `atproto`, unless told otherwise.
    pub(crate) fn scope(&self) -> Result<ScopeSet, ConfigError> {
        self.scope.as_deref().unwrap_or("atproto").parse().map_err(ConfigError::Scope)
    }

    /// What people's servers show of this one; `home` is where it lives.
    pub(crate) fn display(&self, home: &Url) -> ClientDisplay {
        ClientDisplay {
            client_name: self.client_name.clone(),
            client_uri: (home.scheme() == "https").then(|| home.clone()),
            logo_uri: self.logo_uri.clone(),
            tos_uri: self.tos_uri.clone(),
            policy_uri: self.policy_uri.clone(),
        }
    }
}

impl ConfigFile {
    /// The apps it names.
    pub(crate) fn clients(&self) -> Result<Vec<Client>, ConfigError> {
        let failed = |table: &ClientTable, why| ConfigError::Client { id: table.id.clone(), why };
        let mut clients: Vec<Client> = Vec::new();
        for table in &self.client {
            let client = table.client().map_err(|why| failed(table, why))?;
            if clients.iter().any(|known| known.id == client.id) {
                return Err(failed(table, SpecError::Twice(table.id.clone())));
            }
            clients.push(client);
        }
        Ok(clients)
    }

    /// Whom people may sign in with beside the AT Protocol; with `development`, also at this machine.
    pub(crate) fn providers(&self, development: bool) -> Result<Vec<SignInWith>, ConfigError> {
        let mut providers: Vec<SignInWith> = Vec::new();
        for table in &self.provider {
            let failed = |why| ConfigError::Provider { name: table.name().to_owned(), why };
            let with = table.sign_in_with(development).map_err(failed)?;
            if providers.iter().any(|known| known.provider.id() == with.provider.id()) {
                return Err(failed(ProviderError::Twice));
            }
            providers.push(with);
        }
        Ok(providers)
    }

    /// Reads the file at `path`, or `vestibule.toml` if there is one.
    fn load(path: Option<&Path>) -> Result<Self, ConfigError> {
        let usual = Path::new("vestibule.toml");
        let path = match path {
            Some(path) => path,
            None if usual.exists() => usual,
            None => return Ok(Self::default()),
        };
        let text = String::from_utf8(read(path)?).map_err(|_| ConfigError::NotUtf8(path.to_owned()))?;
        toml::from_str(&text)
            .map_err(|error| ConfigError::Toml { path: path.to_owned(), why: error.to_string() })
    }
}

fn read(path: &Path) -> Result<Vec<u8>, ConfigError> {
    std::fs::read(path)
        .map_err(|error| ConfigError::Unreadable { path: path.to_owned(), why: error.to_string() })
}

/// What is wrong with the settings.
#[derive(Debug, Error)]
pub(crate) enum ConfigError {
    #[error("{}: cannot be read: {why}", path.display())]
    Unreadable { path: PathBuf, why: String },
    #[error("{}: is not UTF-8", .0.display())]
    NotUtf8(PathBuf),
    #[error("{}: {why}", path.display())]
    Toml { path: PathBuf, why: String },
    #[error("atproto.scope: {0}")]
    Scope(InvalidScope),
    #[error("network: {0}")]
    Network(NetworkError),
    #[error("oauth.scope: {0}")]
    OauthScope(InvalidScope),
    #[error("oauth.profile: {0:?} is none: write oauth21, fapi2, atproto or legacy20")]
    Profile(String),
    #[error("provider {name:?}: {why}")]
    Provider { name: String, why: ProviderError },
    #[error("client {id:?}: {why}")]
    Client { id: String, why: SpecError },
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn an_unknown_setting_is_an_error() {
        let error = toml::from_str::<ConfigFile>("[atproto]\nscoop = \"atproto\"").unwrap_err();
        assert!(error.to_string().contains("scoop"));
        let config: ConfigFile = toml::from_str("[atproto]\nscope = \"atproto transition:generic\"").unwrap();
        assert_eq!(config.atproto.scope().unwrap().to_string(), "atproto transition:generic");
    }

    #[test]
    fn a_client_of_the_file_is_read_strictly() {
        let client = |more: &str| {
            let text = format!(
                "[[client]]\nid = \"a\"\npublic = true\nredirect_uris = [\"https://a.example/cb\"]\n{more}"
            );
            toml::from_str::<ConfigFile>(&text).unwrap().clients().map(|mut all| all.remove(0))
        };
        assert_eq!(client("scope = \"read\"").unwrap().scope.to_string(), "read");
        let error = client("scoop = \"read\"").unwrap_err();
        assert!(error.to_string().contains("there is no setting \"scoop\""), "{error}");
        let error = client("grants = [\"client_credentials\"]").unwrap_err();
        assert!(error.to_string().contains("client_credentials is for confidential clients"), "{error}");
    }
}
