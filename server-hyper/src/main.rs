//! The `vestibule` program.

mod check;
mod client;
mod client_spec;
mod config;
mod key;
mod provider_table;
mod resolve;
mod serve;

use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::SystemTime;

use clap::Parser;
use tokio::net::TcpListener;
use tracing_subscriber::EnvFilter;
use url::Url;
use vestibule_oauth_core::UnixTime;
use vestibule_server_hyper::{App, AppSetup};
use vestibule_storage::{KeyRingError, MasterSecret, OpenError, Opened, StoreUrl};

use config::{BackupArgs, Cli, ClientCommand, Command, ConfigFile, KeyCommand, ServeArgs, StoreArgs};

/// What ends a command: a sentence for the operator.
type Failed = Box<dyn std::error::Error + Send + Sync>;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let filter = EnvFilter::try_from_env("VESTIBULE_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let colours = std::io::stderr().is_terminal();
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(colours).with_writer(std::io::stderr).init();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error.into()),
    };
    let outcome = runtime.block_on(async {
        match cli.command.unwrap_or(Command::Serve(cli.serve)) {
            Command::Serve(args) => run_server(&args).await.map(|()| ExitCode::SUCCESS),
            Command::Resolve(args) => resolve::run(&args).await,
            Command::Check(args) => check::run(&args).await,
            Command::Backup(args) => back_up(&args).await,
            Command::Key(KeyCommand::List(args)) => key::list(&args).await,
            Command::Key(KeyCommand::Rotate(args)) => key::rotate(&args).await,
            Command::Key(KeyCommand::Retire(args)) => key::retire(&args).await,
            Command::Client(ClientCommand::Add(args)) => client::add(&args).await,
            Command::Client(ClientCommand::List(args)) => client::list(&args).await,
            Command::Client(ClientCommand::Update(args)) => client::update(&args).await,
            Command::Client(ClientCommand::Remove(args)) => client::remove(&args).await,
        }
    });
    outcome.unwrap_or_else(|error| fail(&error))
}

/// Says what ended the command, causes included, whatever is logged.
fn fail(error: &Failed) -> ExitCode {
    let mut causes = vec![error.to_string()];
    let mut source = error.source();
    while let Some(cause) = source {
        causes.push(cause.to_string());
        source = cause.source();
    }
    // Nothing is left to be done about a standard error that is closed.
    let _closed = writeln!(std::io::stderr(), "vestibule: {}", causes.join(": "));
    ExitCode::FAILURE
}

async fn run_server(args: &ServeArgs) -> Result<(), Failed> {
    let config = args.store.config()?;
    let listener =
        TcpListener::bind(args.listen).await.map_err(|error| format!("{}: {error}", args.listen))?;
    let public_url = public_url(args, listener.local_addr()?.port())?;
    let store = open_or_make_store(&args.store).await?;
    if matches!(args.store.store, StoreUrl::Memory) {
        tracing::warn!(
            "the store is in memory: everybody is signed out, and every app's access gone, when this server ends"
        );
    }
    let app = App::new(setup(args, &config, public_url, store)?)?;
    Ok(serve::serve(listener, Arc::new(app), args.client_address_header.clone()).await?)
}

/// What the flags and the configuration make of a server that people reach at `public_url`.
fn setup(args: &ServeArgs, config: &ConfigFile, public_url: Url, store: Opened) -> Result<AppSetup, Failed> {
    Ok(AppSetup {
        scope: config.atproto.scope()?,
        display: config.atproto.display(&public_url),
        handle_suffix: config.atproto.default_handle_suffix.clone(),
        plc_url: args.network.plc_url.clone(),
        development: args.network.development(),
        network: args.network.open()?,
        body_limit: args.xrpc_body_limit,
        profile: config.oauth.profile()?,
        oauth_scope: config.oauth.scope()?,
        clients: config.clients()?,
        providers: config.providers(args.network.allow_private_network)?,
        public_url,
        store,
    })
}

/// `--public-url`, or this machine's own name for itself at the port that is listened on.
fn public_url(args: &ServeArgs, port: u16) -> Result<Url, Failed> {
    match &args.public_url {
        Some(url) => Ok(url.clone()),
        None => Ok(Url::parse(&format!("http://127.0.0.1:{port}"))?),
    }
}

/// Opens the store and the secret it is sealed under, and makes both where neither is there yet.
async fn open_or_make_store(args: &StoreArgs) -> Result<Opened, Failed> {
    if let StoreUrl::Sqlite(path) = &args.store
        && path.exists()
        && !args.secret_file.exists()
    {
        let (store, secret) = (path.display(), args.secret_file.display());
        return Err(format!(
            "{store} is there and its secret file {secret} is not: put it back, or name another store"
        )
        .into());
    }
    let mut entropy = [0; 32];
    getrandom::fill(&mut entropy)?;
    let is_new = !args.secret_file.exists();
    let master = MasterSecret::load_or_create(&args.secret_file, entropy)?;
    match vestibule_storage::open(&args.store, &master, now()).await {
        // Nothing is sealed under the one that was made a moment ago, and it must not stand where the right one belongs.
        Err(OpenError::KeyRing(KeyRingError::OtherSecret { .. })) if is_new => {
            std::fs::remove_file(&args.secret_file)?;
            let (store, secret) = (&args.store, args.secret_file.display());
            Err(format!("the store {store} has keys already, and there is no secret file {secret}: copy it from another node").into())
        }
        outcome => Ok(outcome?),
    }
}

/// Opens a store that is there; a command that looks at one makes none.
async fn open_store(args: &StoreArgs) -> Result<Opened, Failed> {
    let master = MasterSecret::load(&args.secret_file)?;
    match &args.store {
        StoreUrl::Sqlite(path) if !path.exists() => Err(format!("{} is not there", path.display()).into()),
        store => Ok(vestibule_storage::open(store, &master, now()).await?),
    }
}

/// Copies the store into a new file, and makes sure that the copy is whole.
async fn back_up(args: &BackupArgs) -> Result<ExitCode, Failed> {
    args.store.config()?;
    let store = open_store(&args.store).await?;
    store.housekeeping.back_up(&args.file).await?;
    let copy = StoreUrl::Sqlite(args.file.clone());
    let copied = vestibule_storage::open(&copy, &MasterSecret::load(&args.store.secret_file)?, now()).await?;
    let wrong = copied.housekeeping.integrity().await?;
    if !wrong.is_empty() {
        return Err(format!("the copy is damaged: {}", wrong.join("; ")).into());
    }
    writeln!(std::io::stdout(), "{} holds all that was in the store", args.file.display())?;
    Ok(ExitCode::SUCCESS)
}

fn now() -> UnixTime {
    SystemTime::now().into()
}
