//! Looks in the logs of a whole run of the tests for every secret that the run knew: the last step of `tests/run`.
//!
//! `cargo run -p vestibule-tests --example scan_logs -- FOLDER`, after a run with `TESTS_LEDGER=FOLDER`.

#![allow(clippy::print_stdout, reason = "it says what it saw")]

use std::path::PathBuf;
use std::process::ExitCode;

use vestibule_tests::ledger;

fn main() -> ExitCode {
    let folder = PathBuf::from(std::env::args_os().nth(1).expect("the folder of the ledger"));
    let scanned = ledger::scan(&folder).expect("the ledger");
    println!(
        "{} logs of {} MB in all, looked through for {} secrets: {:?}",
        scanned.logs,
        scanned.octets / 1_000_000,
        scanned.secrets.values().sum::<usize>(),
        scanned.secrets
    );
    for found in scanned.found.iter().take(20) {
        println!("FOUND {found}");
    }
    // A run that wrote nothing down has shown nothing.
    if scanned.found.is_empty() && scanned.logs > 0 && !scanned.secrets.is_empty() {
        ExitCode::SUCCESS
    } else {
        println!("FAILED: {} lines hold a secret", scanned.found.len());
        ExitCode::FAILURE
    }
}
