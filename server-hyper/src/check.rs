//! `vestibule check`: is this configuration one that works, and does the world see what it should?

use std::io::Write;
use std::process::ExitCode;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{Request, Response};
use url::Url;
use vestibule_atproto_identity::net::Network;
use vestibule_oauth_core::client_metadata::{Fetched, RuleSet, review};
use vestibule_oauth_core::{ClientId, Finding, HttpCall, HttpClient, Level, LoopbackClient, Trust};
use vestibule_server_hyper::App;
use vestibule_storage::{MasterSecret, Opened, StoreUrl};

use crate::config::ServeArgs;
use crate::{Failed, now, open_store, public_url, setup};

/// Checks settings, secret and store, then reviews the client's description: the one this server would publish, and, for
/// a site on the web, the one that is published.
pub(crate) async fn run(args: &ServeArgs) -> Result<ExitCode, Failed> {
    let config = args.store.config()?;
    let public_url = public_url(args, args.listen.port())?;
    let mut report = Report::default();
    let store = match &args.store.store {
        StoreUrl::Sqlite(path) if !path.exists() && !args.store.secret_file.exists() => {
            report.good(format!("{} and its secret will be made when the server starts", path.display()));
            in_memory().await?
        }
        _ => open_store(&args.store).await?,
    };
    let damage = store.housekeeping.integrity().await?;
    for line in &damage {
        report.bad(format!("the store is damaged: {line}"));
    }
    let app = App::new(setup(args, &config, public_url.clone(), store)?)?;
    for (provider, redirect_uri) in app.redirect_uris() {
        report.good(format!("people may sign in with {provider}; its redirect URI is {redirect_uri}"));
    }
    let client = app.client();
    report.good(format!("settings, secret and store are usable; people reach this server at {public_url}"));
    if client.id().starts_with("https:") {
        let id = Url::parse(client.id())?;
        let ours = client.metadata().to_json();
        report.review("the description this server makes", &review(ours.as_bytes(), None, RuleSet::Atproto));
        report.published(&id, &app, &args.network.open()?).await;
    } else {
        let id: ClientId = client.id().parse()?;
        let findings = LoopbackClient::read(&id).err().unwrap_or_default();
        report.review("the development client", &findings);
    }
    report.print()
}

/// A store for a look at what a server without one would be.
async fn in_memory() -> Result<Opened, Failed> {
    let mut entropy = [0; 32];
    getrandom::fill(&mut entropy)?;
    let (master, _) = MasterSecret::generate(entropy);
    Ok(vestibule_storage::open(&StoreUrl::Memory, &master, now()).await?)
}

/// What was found, line by line.
#[derive(Default)]
struct Report {
    lines: Vec<String>,
    errors: usize,
}

impl Report {
    fn good(&mut self, what: String) {
        self.lines.push(format!("ok       {what}"));
    }

    fn bad(&mut self, what: String) {
        self.errors = self.errors.saturating_add(1);
        self.lines.push(format!("error    {what}"));
    }

    fn review(&mut self, what: &str, findings: &[Finding]) {
        if findings.is_empty() {
            self.good(format!("{what} keeps every rule"));
        }
        for finding in findings {
            match finding.level {
                Level::Error => self.bad(format!("{what}: {finding}")),
                _ => self.lines.push(format!("warning  {what}: {finding}")),
            }
        }
    }

    /// Fetches what the world sees at the client's identifier and at its key set.
    async fn published(&mut self, id: &Url, app: &App, network: &Network) {
        match fetch(id, network).await {
            Ok(response) => {
                let content_type = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
                let fetched = Fetched::new(id.as_str(), response.status().as_u16(), content_type);
                self.review(id.as_str(), &review(response.body(), Some(&fetched), RuleSet::Atproto));
                if response.body() != app.client().metadata().to_json().as_bytes() {
                    self.bad(format!("{id} is not the description this server makes: is another one, or an old one, running?"));
                }
            }
            Err(why) => self.bad(format!("{id}: {why}")),
        }
        let Some(jwks) = app.client().metadata().jwks_uri.clone() else { return };
        match fetch(&jwks, network).await {
            Ok(response) if response.body() == app.client().jwks_json().as_bytes() => {
                self.good(format!("{jwks} holds this server's keys"));
            }
            Ok(response) => {
                self.bad(format!("{jwks} does not hold this server's keys (status {})", response.status()))
            }
            Err(why) => self.bad(format!("{jwks}: {why}")),
        }
    }

    fn print(self) -> Result<ExitCode, Failed> {
        writeln!(std::io::stdout(), "{}", self.lines.join("\n"))?;
        Ok(if self.errors == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

async fn fetch(url: &Url, network: &Network) -> Result<Response<Bytes>, String> {
    let request = Request::get(url.as_str()).body(Bytes::new()).map_err(|error| error.to_string())?;
    let call = HttpCall::new(request, "published document", Trust::Configured).with_body_limit(512 * 1024);
    network.send(call).await.map_err(|error| error.to_string())
}
