//! The real AT Protocol servers of `tests/peers/atproto`, as a child process.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::OnceCell;
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use url::Url;

use crate::browser::Browser;
use crate::ledger;
use crate::loopback::own_loopback;
use crate::program::Program;

/// Two to three seconds when nothing else runs, seven the first time; a busy machine is slower.
const READY_IN: Duration = Duration::from_secs(90);
/// Half a second when nothing else runs.
const CONSENT_IN: Duration = Duration::from_secs(60);

/// How the PDS names itself.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[allow(clippy::exhaustive_enums, reason = "the two modes that network.mjs has")]
pub enum Mode {
    /// Its issuer is `http://localhost:PORT`, and it is in development mode.
    #[default]
    Http,
    /// Its issuer is `https://pds.peer.internal`, as in production.
    Https,
}

/// How to start the [`Peers`]. The default has everything on any free port of 127.0.0.1, by plain HTTP.
#[derive(Clone, Default, Debug)]
pub struct PeersConfig {
    /// How the PDS names itself.
    pub mode: Mode,
    /// How often the PDS's DPoP nonce changes, in milliseconds, from 1000 to 60,000; by default 60,000.
    pub nonce_rotation_ms: Option<u32>,
    /// The life of its access tokens in seconds; by default 3600.
    pub token_seconds: Option<u32>,
    /// The address of the TLS front, and of every name in the DNS; by default 127.0.0.1.
    pub tls_host: Option<Ipv4Addr>,
    /// The port of the TLS front; by default any.
    pub tls_port: Option<u16>,
    /// Handles that have no TXT record, and so resolve by HTTPS only.
    pub no_txt: Vec<String>,
    /// What `https://app.peer.internal` shows: a web server of the test's, or `vestibule`.
    pub app_upstream: Option<SocketAddr>,
    /// How many accounts there are; by default two.
    pub accounts: Option<u32>,
    /// When the peers end by themselves, in seconds; by default 900.
    pub max_seconds: Option<u32>,
}

impl PeersConfig {
    /// With the TLS front at port 443 of an address of its own, so that `https://` URLs without a port reach it.
    ///
    /// To listen there takes root, or `net.ipv4.ip_unprivileged_port_start=0`; `tests/run` sees to it.
    pub fn on_port_443() -> Self {
        Self { tls_host: Some(own_loopback()), tls_port: Some(443), ..Self::default() }
    }

    fn environment(&self) -> Vec<(&'static str, String)> {
        let mut environment = vec![("PEER_MAX_SECONDS", self.max_seconds.unwrap_or(900).to_string())];
        if self.mode == Mode::Https {
            environment.push(("PEER_MODE", "https".to_owned()));
        }
        if !self.no_txt.is_empty() {
            environment.push(("PEER_NO_TXT", self.no_txt.join(",")));
        }
        let mut put = |name, value: Option<String>| environment.extend(value.map(|value| (name, value)));
        put("PEER_ACCOUNTS", self.accounts.map(|value| value.to_string()));
        put("PEER_NONCE_ROTATION_MS", self.nonce_rotation_ms.map(|value| value.to_string()));
        put("PEER_TOKEN_SECONDS", self.token_seconds.map(|value| value.to_string()));
        put("PEER_TLS_HOST", self.tls_host.map(|value| value.to_string()));
        put("PEER_TLS_PORT", self.tls_port.map(|value| value.to_string()));
        put("PEER_LEDGER", ledger::secrets().map(|path| format!("{}.peers.secrets", path.display())));
        put("PEER_APP_UPSTREAM", self.app_upstream.map(|value| format!("http://{value}")));
        environment
    }
}

/// The PLC directory, the PDS (authorization server and resource server in one), a name server and a TLS front, with
/// two accounts or more. They end when this value goes.
#[derive(Debug)]
pub struct Peers {
    program: Program,
    /// The URL of the PLC directory.
    pub plc: String,
    /// The URL of the PDS, which is its issuer too.
    pub pds: String,
    /// Alice, Bob, and whoever else there is.
    pub accounts: Vec<Account>,
    /// The name server, UDP and TCP.
    pub dns: SocketAddr,
    /// The TLS front.
    pub tls: TlsFront,
    /// The port of 127.0.0.1 where the PLC directory speaks plain HTTP, in either mode.
    pub plc_port: u16,
    /// The port of 127.0.0.1 where the PDS speaks plain HTTP, in either mode.
    pub pds_port: u16,
    /// Where `network.mjs` tells about tokens.
    tokens: String,
}

/// One person's account at the PDS.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Account {
    /// Such as `alice.test`.
    pub handle: String,
    /// Their `did:plc`.
    pub did: String,
    /// What they sign in with.
    pub password: String,
}

/// Where `https://{pds,plc,app}.peer.internal` and the handles' own hosts answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TlsFront {
    /// Its address and port.
    pub address: SocketAddr,
    /// The certificate of the authority that signed its own, a PEM file.
    pub ca: PathBuf,
}

/// What the PDS knows about the tokens of one client.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Tokens {
    /// Every good answer of its token endpoint, oldest first.
    pub issued: Vec<Issued>,
    /// The sessions that it would still go on with.
    pub alive: Vec<Alive>,
}

/// One good answer of the token endpoint.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Issued {
    /// Whose tokens they are.
    pub did: String,
    /// `authorization_code` or `refresh_token`.
    pub grant: String,
    /// The access token.
    pub access: String,
    /// The refresh token.
    pub refresh: String,
}

/// A session that the PDS would still go on with.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Alive {
    /// Whose it is.
    pub did: String,
    /// The one refresh token that it takes.
    pub refresh: String,
}

impl Tokens {
    /// How many answers were to this grant.
    pub fn granted(&self, grant: &str) -> usize {
        self.issued.iter().filter(|issued| issued.grant == grant).count()
    }
}

/// What the person does at the PDS's authorization page.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(clippy::exhaustive_enums, reason = "what consent.mjs can do")]
pub enum Decision<'a> {
    /// Signs in and allows all that was asked for.
    Allow,
    /// Signs in and allows these scopes.
    AllowScopes(&'a str),
    /// Refuses.
    Deny,
}

impl Peers {
    /// Starts them and waits until they are ready.
    ///
    /// # Panics
    /// When they cannot be started: the message says why. When they are not installed it says what to run.
    pub async fn start(config: PeersConfig) -> Self {
        spawn_blocking(move || Self::start_blocking(&config))
            .await
            .expect("starting the peers panicked")
            .unwrap_or_else(|error| panic!("{error}"))
    }

    /// The default ones, started once for all tests of this process, and ended by its end. What a test does must not
    /// be seen by another: a client of its own keeps tokens apart.
    ///
    /// # Panics
    /// As [`start`](Self::start).
    pub async fn shared() -> &'static Self {
        static SHARED: OnceCell<Peers> = OnceCell::const_new();
        SHARED.get_or_init(|| Self::start(PeersConfig::default())).await
    }

    /// The account of `alice.test`.
    pub fn alice(&self) -> &Account {
        &self.accounts[0]
    }

    /// The account of `bob.test`.
    pub fn bob(&self) -> &Account {
        &self.accounts[1]
    }

    /// Acts as the person at the authorization page, and gives the URL of the callback that the PDS then sends the
    /// browser to.
    ///
    /// # Errors
    /// What the page said, when it does not come to that.
    pub async fn consent(
        &self,
        authorization_url: &str,
        account: &Account,
        decision: Decision<'_>,
    ) -> Result<String, String> {
        let mut command = tokio::process::Command::from(node("consent.mjs")?);
        command.arg(authorization_url);
        match decision {
            Decision::Deny => command.arg("--reject"),
            Decision::Allow => command.args([&account.handle, &account.password]),
            Decision::AllowScopes(scope) => {
                command.args([account.handle.as_str(), account.password.as_str(), "--scope", scope])
            }
        };
        command.env("PEER_CA", &self.tls.ca).env("PEER_TLS", self.tls.address.to_string());
        command.stdin(Stdio::null()).kill_on_drop(true);
        let output = timeout(CONSENT_IN, command.output())
            .await
            .map_err(|_| format!("consent.mjs did not end in {} s", CONSENT_IN.as_secs()))?
            .map_err(|error| format!("consent.mjs: {error}"))?;
        if output.status.success() {
            Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
        } else {
            Err(String::from_utf8_lossy(&output.stderr).trim().to_owned())
        }
    }

    /// What the PDS knows about the tokens of the client that lives at this URL, such as `http://127.0.0.1:8080/`.
    ///
    /// # Panics
    /// When it does not say.
    pub async fn tokens_of(&self, site: &str) -> Tokens {
        let said = Browser::new().get(&self.tokens, &[]).await.json();
        let text = |row: &Value, name: &str| row[name].as_str().unwrap_or_default().to_owned();
        let rows = |name: &str| {
            let all = said[name].as_array().unwrap_or_else(|| panic!("no {name} in {said}"));
            all.iter().filter(|row| lives_at(&text(row, "client"), site)).cloned().collect::<Vec<_>>()
        };
        let issued = |row: Value| Issued {
            did: text(&row, "did"),
            grant: text(&row, "grant"),
            access: text(&row, "access"),
            refresh: text(&row, "refresh"),
        };
        let alive = |row: Value| Alive { did: text(&row, "did"), refresh: text(&row, "refresh") };
        Tokens {
            issued: rows("issued").into_iter().map(issued).collect(),
            alive: rows("alive").into_iter().map(alive).collect(),
        }
    }

    /// Lets so many of a hundred calls to PDS and PLC by the TLS front meet a fault: lost before or after they were acted
    /// upon, refused, or slow.
    pub async fn faults(&self, percent: u8) {
        self.set_faults(&format!("percent={percent}")).await;
    }

    /// Lets every call to PDS and PLC by the TLS front take three seconds longer.
    pub async fn slow(&self) {
        self.set_faults("percent=100&only=slow").await;
    }

    async fn set_faults(&self, query: &str) {
        let answer = Browser::new().get(&format!("{}faults?{query}", self.tokens), &[]).await;
        assert_eq!(answer.status(), 204, "{}", answer.text());
    }

    /// What the peers wrote on standard error so far.
    pub fn logs(&self) -> String {
        self.program.stderr()
    }

    fn start_blocking(config: &PeersConfig) -> Result<Self, String> {
        /// A port is picked free and bound a moment later: somebody may come in between.
        const ATTEMPTS: usize = 3;
        let mut attempt = 1;
        let (program, line) = loop {
            let mut command = node("network.mjs")?;
            command.envs(config.environment());
            match Program::start(command, READY_IN) {
                Ok(started) => break started,
                Err(error) if error.contains("EADDRINUSE") && attempt < ATTEMPTS => attempt += 1,
                Err(error) if error.contains("EACCES") && config.tls_port.is_some_and(|port| port < 1024) => {
                    return Err(format!(
                        "this test listens at port {} of loopback, which this user may not: run tests/run, or be \
                         root, or set net.ipv4.ip_unprivileged_port_start=0\n{error}",
                        config.tls_port.unwrap_or_default()
                    ));
                }
                Err(error) => return Err(error),
            }
        };
        Self::read(program, &line).ok_or_else(|| format!("network.mjs printed something else: {line}"))
    }

    /// Reads the line that `network.mjs` prints when all is up.
    fn read(program: Program, line: &str) -> Option<Self> {
        let said: Value = serde_json::from_str(line).ok()?;
        let text = |value: &Value| Some(value.as_str()?.to_owned());
        let port = |value: &Value| u16::try_from(value.as_u64()?).ok();
        let address = |value: &Value| {
            Some(SocketAddr::new(value["host"].as_str()?.parse().ok()?, port(&value["port"])?))
        };
        let account = |value: &Value| {
            let [handle, did, password] = ["handle", "did", "password"].map(|name| text(&value[name]));
            Some(Account { handle: handle?, did: did?, password: password? })
        };
        let accounts: Vec<_> = said["accounts"].as_array()?.iter().map(account).collect::<Option<_>>()?;
        let named = |index: usize, handle| accounts.get(index).is_some_and(|a: &Account| a.handle == handle);
        if !(named(0, "alice.test") && named(1, "bob.test")) {
            return None;
        }
        Some(Self {
            plc: text(&said["plc"])?,
            pds: text(&said["pds"])?,
            dns: address(&said["dns"])?,
            tls: TlsFront { address: address(&said["tls"])?, ca: PathBuf::from(text(&said["tls"]["ca"])?) },
            plc_port: port(&said["local"]["plc"])?,
            pds_port: port(&said["local"]["pds"])?,
            tokens: text(&said["tokens"])?,
            accounts,
            program,
        })
    }
}

/// Whether a client's identifier is below this URL, or, for the client of development, sends people back there.
fn lives_at(client: &str, site: &str) -> bool {
    let back =
        |url: &Url| url.query_pairs().any(|(name, value)| name == "redirect_uri" && value.starts_with(site));
    client.starts_with(site) || Url::parse(client).is_ok_and(|url| back(&url))
}

/// The peers' own Node, about to run one of their programs.
fn node(program: &str) -> Result<Command, String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers").join("atproto");
    let node = folder.join("node_modules").join(".bin").join("node");
    let natives = folder.join("node_modules/better-sqlite3/build/Release/better_sqlite3.node");
    if !(node.exists() && natives.exists()) {
        return Err(format!(
            "the AT Protocol peers are not installed in {}: run tests/run, which installs them and runs all tests",
            folder.display()
        ));
    }
    let mut command = Command::new(node);
    command.arg(program).current_dir(folder);
    Ok(command)
}

#[cfg(test)]
mod tests {
    use super::lives_at;

    #[test]
    fn a_client_lives_where_its_identifier_or_its_callback_says() {
        let site = "http://127.0.0.1:4000/";
        for (client, expected) in [
            ("http://localhost?redirect_uri=http%3A%2F%2F127.0.0.1%3A4000%2Fcallback&scope=atproto", true),
            ("http://localhost?redirect_uri=http%3A%2F%2F127.0.0.1%3A40001%2Fcallback", false),
            ("http://localhost?scope=http%3A%2F%2F127.0.0.1%3A4000%2Fcallback", false),
            ("http://127.0.0.1:4000/client-metadata.json", true),
            ("https://app.peer.internal/client-metadata.json", false),
            ("", false),
        ] {
            assert_eq!(lives_at(client, site), expected, "{client}");
        }
    }
}
