//! `vestibule client`: the apps that may ask who somebody is.

use std::io::Write;
use std::process::ExitCode;

use serde_json::{Value, json};
use vestibule_oauth_core::Secret;
use vestibule_storage::{ClientAdded, ClientUpdated, KeyPurpose, Opened};
use vestibule_token_endpoint::{
    AuthMethod, Client, ClientKind, ClientSecret, GrantType, Pepper, Pkce, SecretHash, new_client_id,
    new_client_secret,
};

use crate::client_spec::{SpecError, has_secret, review};
use crate::config::{AddClientArgs, ClientListArgs, RemoveClientArgs, UpdateClientArgs};
use crate::{Failed, now, open_or_make_store, open_store};

/// Adds a client, and prints its identifier and its secret: the secret this once.
pub(crate) async fn add(args: &AddClientArgs) -> Result<ExitCode, Failed> {
    args.store.config()?;
    let store = open_or_make_store(&args.store).await?;
    let id = match &args.client_id {
        Some(id) => id.clone(),
        None => new_client_id(fresh()?),
    };
    let id = id.parse().map_err(|error| SpecError::Id(id.clone(), error))?;
    let kind = if args.public { ClientKind::Public } else { ClientKind::Confidential };
    let mut client = Client::new(id, kind);
    client.grant_types.insert(GrantType::REFRESH_TOKEN);
    client.name = Some(args.name.clone());
    args.spec.apply(&mut client)?;
    let secret = if has_secret(&client) { Some(give_secret(&mut client, &store)?) } else { None };
    review(&client)?;
    let id = client.id.clone();
    if store.clients.add(client.clone(), now()).await? == ClientAdded::Exists {
        return Err(format!("there is a client called {id} already").into());
    }
    warn(&client)?;
    print(&client, secret.as_ref(), args.json)
}

/// Changes what is said, and leaves the rest.
pub(crate) async fn update(args: &UpdateClientArgs) -> Result<ExitCode, Failed> {
    args.store.config()?;
    let store = open_store(&args.store).await?;
    let Some(known) = store.clients.client(&args.client_id).await? else {
        return Err(missing(&args.client_id));
    };
    let mut client = Client::clone(&known);
    if let Some(name) = &args.name {
        client.name = Some(name.clone());
    }
    args.spec.apply(&mut client)?;
    let secret = if args.new_secret { Some(give_secret(&mut client, &store)?) } else { None };
    review(&client)?;
    if store.clients.update(client.clone()).await? == ClientUpdated::Missing {
        return Err(missing(&args.client_id));
    }
    warn(&client)?;
    print(&client, secret.as_ref(), args.json)
}

/// Lists identifiers, names and what each may do; never a secret.
pub(crate) async fn list(args: &ClientListArgs) -> Result<ExitCode, Failed> {
    args.store.config()?;
    let store = open_store(&args.store).await?;
    let clients = store.clients.list().await?;
    let mut out = std::io::stdout();
    if args.json {
        let all: Vec<Value> = clients.iter().map(|client| described(client)).collect();
        writeln!(out, "{}", Value::from(all))?;
    } else {
        for client in &clients {
            let grants: Vec<_> = client.grant_types.iter().map(GrantType::as_str).collect();
            writeln!(
                out,
                "{:<24}  {:<24}  {}",
                client.id,
                client.name.as_deref().unwrap_or(""),
                grants.join(" ")
            )?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Takes a client away, and ends every grant it was given.
pub(crate) async fn remove(args: &RemoveClientArgs) -> Result<ExitCode, Failed> {
    args.store.config()?;
    let store = open_store(&args.store).await?;
    match store.clients.remove(&args.client_id, now()).await? {
        Some(client) => {
            writeln!(std::io::stdout(), "{} is removed, and what it was granted has ended", client.id)?;
            Ok(ExitCode::SUCCESS)
        }
        None => Err(missing(&args.client_id)),
    }
}

fn missing(id: &str) -> Failed {
    format!("there is no client called {id}: see `vestibule client list`").into()
}

fn fresh<const N: usize>() -> Result<[u8; N], Failed> {
    let mut octets = [0; N];
    getrandom::fill(&mut octets)?;
    Ok(octets)
}

/// A new secret, of which the store keeps a hash. Of those before it one stays good, so that nobody is locked out meanwhile.
fn give_secret(client: &mut Client, store: &Opened) -> Result<Secret, Failed> {
    let pepper =
        store.ring.in_use(KeyPurpose::Pepper, now()).first().map(|key| Pepper::new(key.id(), key.secret()));
    let secret = new_client_secret(fresh()?);
    let hash = match &pepper {
        Some(pepper) => SecretHash::peppered(secret.expose(), pepper),
        None => SecretHash::plain(secret.expose()),
    };
    client.secrets.insert(0, ClientSecret::new(hash));
    client.secrets.truncate(2);
    Ok(secret)
}

fn warn(client: &Client) -> Result<(), Failed> {
    if client.pkce == Pkce::DangerExempt {
        writeln!(
            std::io::stderr(),
            "warning: {} does without PKCE. Whoever gets hold of one of its codes can sign somebody else in with it; \
             each use is logged. Turn PKCE on in the app as soon as it can do it.",
            client.id
        )?;
    }
    Ok(())
}

fn print(client: &Client, secret: Option<&Secret>, as_json: bool) -> Result<ExitCode, Failed> {
    let mut out = std::io::stdout();
    if as_json {
        let mut said = described(client);
        if let (Some(secret), Some(members)) = (secret, said.as_object_mut()) {
            members.insert("client_secret".to_owned(), Value::from(secret.expose().as_str()));
        }
        writeln!(out, "{said}")?;
        return Ok(ExitCode::SUCCESS);
    }
    writeln!(out, "client_id: {}", client.id)?;
    if let Some(secret) = secret {
        writeln!(out, "client_secret: {}", secret.expose())?;
    }
    Ok(ExitCode::SUCCESS)
}

/// A client in the words of RFC 7591, without its secrets.
fn described(client: &Client) -> Value {
    let methods: Vec<_> = AuthMethod::ALL.into_iter().filter(|method| client.may_use(*method)).collect();
    json!({
        "client_id": client.id.as_str(),
        "client_name": client.name,
        "public": client.kind == ClientKind::Public,
        "redirect_uris": client.redirect_uris,
        "grant_types": client.grant_types,
        "scope": client.scope.to_string(),
        "token_endpoint_auth_methods": methods.iter().map(|method| method.as_str()).collect::<Vec<_>>(),
        "dpop_bound_access_tokens": client.binding == vestibule_token_endpoint::TokenBinding::Required,
        "pkce_required": client.pkce == Pkce::Required,
        "access_token_seconds": client.lifetimes.access.as_secs(),
        "refresh_idle_seconds": client.lifetimes.refresh_idle.as_secs(),
        "refresh_seconds": client.lifetimes.refresh_absolute.as_secs(),
    })
}
