//! The table of attacks at another authorization server: what comes of each there and here, and that
//! `tests/peers/oidc-provider/README.md` says so.

use std::collections::BTreeSet;
use std::fs;
use std::sync::Arc;

use vestibule_tests::oauth::{OidcProvider, attacks};

/// A difference: the row's number, what was done, and what came of it here and there.
type Difference = [String; 4];

/// Every step whose end is another one there, and every row that could not be gone to its end.
async fn differences() -> BTreeSet<Difference> {
    let other = Arc::new(OidcProvider::start().await);
    let mut differences = BTreeSet::new();
    for row in attacks::all() {
        let server = Arc::clone(&other);
        let number = row.number();
        match tokio::spawn(async move { row.run(&*server).await }).await {
            Ok(seen) => {
                for step in seen.steps().iter().filter(|step| step.came != step.wanted) {
                    differences.insert([
                        number.clone(),
                        cell(&step.what),
                        cell(&step.wanted),
                        cell(&step.came),
                    ]);
                }
            }
            Err(_) => {
                differences.insert([
                    number,
                    "the row".into(),
                    "goes to its end".into(),
                    "cannot be gone".into(),
                ]);
            }
        }
    }
    differences
}

/// As it stands in a table.
fn cell(text: &str) -> String {
    let text: String = text.chars().take(120).collect();
    text.replace('|', "\\|").replace(['\n', '\r'], " ").trim().to_owned()
}

#[tokio::test]
async fn every_difference_to_oidc_provider_is_listed_and_explained() {
    let readme = concat!(env!("CARGO_MANIFEST_DIR"), "/peers/oidc-provider/README.md");
    let readme = fs::read_to_string(readme).unwrap();
    let mut listed = BTreeSet::new();
    for line in readme.lines().filter(|line| line.starts_with("| A") || line.starts_with("| T")) {
        let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        let [number, what, ours, theirs, why] = cells[..] else { panic!("five cells in {line}") };
        assert!(why.len() > 10, "no reason in {line}");
        listed.insert([number, what, ours, theirs].map(str::to_owned));
    }
    let seen = differences().await;
    let lines = |differences: Vec<&Difference>| {
        differences.into_iter().map(|cells| format!("| {} | ? |\n", cells.join(" | "))).collect::<String>()
    };
    let (missing, stale) =
        (lines(seen.difference(&listed).collect()), lines(listed.difference(&seen).collect()));
    assert!(missing.is_empty() && stale.is_empty(), "not listed:\n{missing}\nlisted, and not so:\n{stale}");
}
