//! `vestibule key`: the keys in the store.

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use vestibule_storage::{
    KeyPurpose, KeyRing, MasterSecret, Retired, RingKey, TAKEN_UP_WITHIN, reseal_ring, rotate_ring_key,
};

use crate::config::{RetireArgs, StoreArgs};
use crate::{Failed, now, open_store};

/// Lists names, uses, ages and how many sessions need a key; never a key.
pub(crate) async fn list(args: &StoreArgs) -> Result<ExitCode, Failed> {
    args.config()?; // a file that is named and not there is a mistake, here too
    let store = open_store(args).await?;
    let uses = store.key_ring.sessions_by_client_key().await?;
    let mut out = std::io::stdout();
    for purpose in KeyPurpose::ALL {
        let in_use = in_use(&store.ring, purpose);
        let mut newer = true;
        for (place, key) in store.ring.keys(purpose).enumerate() {
            let days = now().since(key.created_at()).as_secs() / 86_400;
            newer &= place < in_use;
            let state = if place == in_use {
                "in use"
            } else if newer {
                "new"
            } else {
                "older"
            };
            let needed = match purpose {
                KeyPurpose::Sign => match uses.of(key.id()) {
                    1 => "  needed by 1 session".to_owned(),
                    sessions => format!("  needed by {sessions} sessions"),
                },
                _ => String::new(),
            };
            writeln!(out, "{:<5} {:<44} {state:<7} {days} days{needed}", purpose.as_str(), key.id())?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The place of the key in use among those of its purpose, newest first.
fn in_use(ring: &KeyRing, purpose: KeyPurpose) -> usize {
    let after = match purpose {
        KeyPurpose::Sign | KeyPurpose::Token => SIGNS_AFTER,
        _ => TAKEN_UP_WITHIN,
    };
    let mut keys = ring.keys(purpose);
    let known = keys.position(|key| now().since(key.created_at()) >= after);
    known.unwrap_or_else(|| ring.keys(purpose).count().saturating_sub(1))
}

/// Adds a key of each kind, in front of those that are there.
pub(crate) async fn rotate(args: &StoreArgs) -> Result<ExitCode, Failed> {
    args.config()?;
    let store = open_store(args).await?;
    let master = MasterSecret::load(&args.secret_file)?;
    let mut out = std::io::stdout();
    for purpose in KeyPurpose::ALL {
        let mut entropy = [0; 32];
        getrandom::fill(&mut entropy)?;
        let id = rotate_ring_key(&*store.key_ring, &master, purpose, entropy, now()).await?;
        writeln!(out, "{:<5} {id}", purpose.as_str())?;
    }
    let mut entropy = [0; 32];
    getrandom::fill(&mut entropy)?;
    match reseal_ring(&*store.key_ring, &master, entropy).await? {
        0 => {}
        keys => writeln!(out, "{keys} older keys are sealed under the first line of the secret file now")?,
    }
    writeln!(
        out,
        "a running server publishes the new signing key within seconds, and signs with it in 15 minutes"
    )?;
    Ok(ExitCode::SUCCESS)
}

/// Throws away a key that is older than the one in use and that no session needs.
pub(crate) async fn retire(args: &RetireArgs) -> Result<ExitCode, Failed> {
    args.store.config()?;
    let store = open_store(&args.store).await?;
    let of = |purpose| store.ring.keys(purpose).any(|key| key.id() == args.id);
    let purpose = [KeyPurpose::Sign, KeyPurpose::Token].into_iter().find(|purpose| of(*purpose));
    let Some(purpose) = purpose else {
        return Err(
            format!("{} is not a signing key of this store: see `vestibule key list`", args.id).into()
        );
    };
    let wait = match purpose {
        // What it signed is good until it ends.
        KeyPurpose::Token => {
            let (added, named) = (store.clients.list().await?, args.store.config()?.clients()?);
            let all = added
                .iter()
                .map(|client| client.lifetimes)
                .chain(named.iter().map(|client| client.lifetimes));
            let longest = all.map(|lifetimes| lifetimes.access).max();
            SIGNS_AFTER + longest.unwrap_or_default()
        }
        // A login that is on its way was begun with a key that no session shows yet.
        _ => LOGINS_ON_THEIR_WAY,
    };
    let newest = store.ring.keys(purpose).map(RingKey::created_at).max();
    let left = newest.map_or(Duration::ZERO, |made| wait.saturating_sub(now().since(made)));
    if !left.is_zero() && !args.compromised {
        let minutes = left.as_secs().div_ceil(60);
        return Err(format!(
            "what this key signed may still be needed for {minutes} minutes: try again then, or say --compromised"
        )
        .into());
    }
    let why = match store.key_ring.retire(&args.id).await? {
        Retired::Retired => {
            writeln!(std::io::stdout(), "{} is retired", args.id)?;
            return Ok(ExitCode::SUCCESS);
        }
        Retired::InUse => "is the one in use: rotate first".to_owned(),
        Retired::Needed(sessions) => {
            format!("is needed by {sessions} sessions: it stays until they have ended")
        }
        Retired::Missing => "is not in the store: see `vestibule key list`".to_owned(),
    };
    Err(format!("key {} {why}", args.id).into())
}

/// A new key is published first.
const SIGNS_AFTER: Duration = Duration::from_secs(15 * 60);

/// A new key signs after 15 minutes, and a login begun before may take 10.
const LOGINS_ON_THEIR_WAY: Duration = Duration::from_secs(30 * 60);
