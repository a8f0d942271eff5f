//! Clients.

use std::collections::BTreeSet;
use std::sync::Arc;

use vestibule_oauth_core::{Seed, base64url};
use vestibule_token_endpoint::{
    Client, ClientKind, ClientSecret, CodeIssued, EndReason, Redeemed, SecretHash, Store,
};

use super::issued::{Names, issuance};
use super::{Broken, NOW, count, done, hold, race, refused};
use crate::client_store::{ClientAdded, ClientStore, ClientUpdated};
use crate::limits::CLIENT_OCTETS;

/// Holds a store of clients to its contract, and with it the store of what they are issued.
///
/// # Errors
/// [`Broken`]: the first rule that the store does not keep.
pub async fn clients(
    store: Arc<dyn ClientStore>,
    issued: Arc<dyn Store>,
    entropy: [u8; 32],
) -> Result<(), Broken> {
    let seed = Seed::from_entropy(entropy);
    let client = |name: &str| {
        let id = base64url::encode(seed.derive(name));
        let id = id.parse().map_err(|error| Broken::new("a client's name is read", error))?;
        let mut client = Client::new(id, ClientKind::Confidential);
        client.secrets.push(ClientSecret::new(SecretHash::plain(name)));
        Ok::<_, Broken>(client)
    };
    let json = |client: Option<Arc<Client>>| client.map(|client| client.to_json());

    let rule = "a client that was never added is none";
    let mut app = client("app")?;
    hold(rule, json(done(rule, store.client(app.id.as_str()).await)?), &None)?;
    hold(rule, json(done(rule, store.remove(app.id.as_str(), NOW).await)?), &None)?;
    hold(rule, done(rule, store.update(app.clone()).await)?, &ClientUpdated::Missing)?;

    let rule = "of many that add a client at once, one does";
    let outcomes = race(rule, |_| {
        let (store, app) = (store.clone(), app.clone());
        tokio::spawn(async move { store.add(app, NOW).await })
    })
    .await?;
    hold(rule, count(&outcomes, |outcome| *outcome == ClientAdded::Added), &1)?;
    hold(rule, json(done(rule, store.client(app.id.as_str()).await)?), &Some(app.to_json()))?;

    let rule = "a client is replaced whole";
    app.name = Some("Ånother name".to_owned());
    app.secrets.clear();
    hold(rule, done(rule, store.update(app.clone()).await)?, &ClientUpdated::Updated)?;
    hold(rule, json(done(rule, store.client(app.id.as_str()).await)?), &Some(app.to_json()))?;

    let rule = "clients are listed in the order of their identifiers";
    let other = client("other")?;
    done(rule, store.add(other.clone(), NOW).await)?;
    let all = done(rule, store.list().await)?;
    let listed: Vec<_> = all.iter().map(|client| client.id.as_str()).collect();
    let ours = BTreeSet::from([app.id.as_str(), other.id.as_str()]);
    hold(rule, listed.is_sorted() && ours.iter().all(|id| listed.contains(id)), &true)?;

    let rule = "a client of 64 KiB is kept, and a larger one is not";
    let mut large = client("large")?;
    large.name = Some(String::new());
    large.name = Some("a".repeat(CLIENT_OCTETS - large.to_json().len()));
    done(rule, store.add(large.clone(), NOW).await)?;
    let mut larger = large.clone();
    larger.name = large.name.map(|name| name + "a");
    refused(rule, store.update(larger).await)?;

    let rule = "with a client go its grants, begun or about to begin, and nobody else's";
    let names = Names::new(seed.child("grants"));
    let theirs = |name| names.code_of(name, app.id.as_str());
    let (begun, waiting, others) =
        (theirs("begun")?, theirs("waiting")?, names.code_of("others", other.id.as_str())?);
    for code in [&begun, &waiting, &others] {
        hold(rule, done(rule, issued.issue_code(code.clone(), None).await)?, &CodeIssued::Issued)?;
    }
    let redeem = |code: &vestibule_token_endpoint::Code| {
        let (issued, hash, new) = (issued.clone(), code.hash, issuance(&code.grant));
        async move { done(rule, issued.redeem_code(hash, new, NOW).await) }
    };
    hold(rule, redeem(&begun).await?, &Redeemed::Redeemed)?;
    hold(rule, json(done(rule, store.remove(app.id.as_str(), NOW).await)?), &Some(app.to_json()))?;
    hold(rule, json(done(rule, store.client(app.id.as_str()).await)?), &None)?;
    let ended = done(rule, issued.grant(begun.grant.id).await)?.and_then(|stored| stored.ended);
    hold(rule, ended, &Some(EndReason::ByOperator))?;
    hold(rule, redeem(&waiting).await?, &Redeemed::Missing)?;
    hold(rule, redeem(&others).await?, &Redeemed::Redeemed)?;
    done(rule, store.remove(other.id.as_str(), NOW).await)?;
    done(rule, store.remove(large.id.as_str(), NOW).await).map(drop)
}
