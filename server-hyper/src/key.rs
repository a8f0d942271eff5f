//! `vestibule key`: the keys in the store.

use std::io::Write;
use std::process::ExitCode;

use vestibule_storage::{KeyPurpose, MasterSecret, rotate_ring_key};

use crate::config::StoreArgs;
use crate::{Failed, now, open_store};

/// Lists names, uses and ages; never a key.
pub(crate) async fn list(args: &StoreArgs) -> Result<ExitCode, Failed> {
    args.config()?; // a file that is named and not there is a mistake, here too
    let store = open_store(args).await?;
    let mut out = std::io::stdout();
    for purpose in KeyPurpose::ALL {
        for (place, key) in store.ring.keys(purpose).enumerate() {
            let days = now().since(key.created_at()).as_secs() / 86_400;
            let state = if place == 0 { "in use" } else { "older" };
            writeln!(out, "{:<5} {:<44} {state:<7} {days} days", key.purpose().as_str(), key.id())?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Adds a key of each kind, in front of those that are there.
pub(crate) async fn rotate(args: &StoreArgs) -> Result<ExitCode, Failed> {
    args.config()?; // a file that is named and not there is a mistake, here too
    let store = open_store(args).await?;
    let mut out = std::io::stdout();
    for purpose in KeyPurpose::ALL {
        let mut entropy = [0; 32];
        getrandom::fill(&mut entropy)?;
        let master = MasterSecret::load(&args.secret_file)?;
        let id = rotate_ring_key(&*store.key_ring, &master, purpose, entropy, now()).await?;
        writeln!(out, "{:<5} {id}", purpose.as_str())?;
    }
    writeln!(out, "restart the server to use the new keys")?;
    Ok(ExitCode::SUCCESS)
}
