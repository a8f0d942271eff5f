//! What every server of a whole run said, and every secret that the run knows: written down, so that afterwards one can be
//! looked for in the other.
//!
//! `tests/run` names a folder in [`VARIABLE`]. Then each `vestibule` that a test starts logs at its most talkative level into a
//! file there, and whoever in the tests meets a secret notes it: the browser its cookies, codes and tokens, the AT Protocol
//! peers every token they issue. At the end [`scan`] reads it all.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::{env, process};

/// The environment variable that names the folder.
pub const VARIABLE: &str = "TESTS_LEDGER";

/// The folder of this run, if it keeps a ledger.
pub(crate) fn folder() -> Option<PathBuf> {
    env::var_os(VARIABLE).map(PathBuf::from)
}

/// The file for what one more program says.
pub(crate) fn log() -> Option<File> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let name = format!("{}-{}.log", process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    Some(File::create(folder()?.join(name)).expect("a file in the ledger's folder"))
}

/// Where this process notes its secrets: a line each, what it is and its value with a tab between them.
pub(crate) fn secrets() -> Option<PathBuf> {
    Some(folder()?.join(format!("{}.secrets", process::id())))
}

/// Notes that no log may hold `value`. What is too short to be a secret is passed over.
pub fn note(what: &str, value: &str) {
    static NOTED: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    let Some(path) = secrets().filter(|_| value.len() >= SHORTEST) else { return };
    let mut noted = NOTED.lock().unwrap_or_else(PoisonError::into_inner);
    if noted.insert(value.to_owned()) {
        let file = OpenOptions::new().create(true).append(true).open(path);
        let line = format!("{what}\t{value}\n");
        file.and_then(|mut file| file.write_all(line.as_bytes())).expect("a note in the ledger");
    }
}

/// The least octets of a secret: 96 bits in base64url.
const SHORTEST: usize = 16;

/// What a scan has read and found.
#[derive(Debug, Default)]
#[allow(clippy::exhaustive_structs, reason = "four numbers and a list")]
pub struct Scanned {
    /// How many programs said something.
    pub logs: usize,
    /// How many octets they said.
    pub octets: usize,
    /// How many secrets were looked for, by what they are.
    pub secrets: BTreeMap<String, usize>,
    /// Where one was found: the line up to it, never the secret.
    pub found: Vec<String>,
}

/// Looks in every log of a ledger for every secret of it, and for the beginning of any signed text.
///
/// # Errors
/// When the folder cannot be read.
pub fn scan(folder: &Path) -> io::Result<Scanned> {
    let mut scanned = Scanned::default();
    let (mut secrets, mut logs) = (BTreeMap::new(), Vec::new());
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("secrets") => {
                for line in fs::read_to_string(&path)?.lines() {
                    let (what, value) = line.split_once('\t').unwrap_or(("", ""));
                    if value.len() >= SHORTEST {
                        secrets.insert(value.to_owned(), what.to_owned());
                    }
                }
            }
            Some("log") => logs.push(path),
            _ => {}
        }
    }
    for what in secrets.values() {
        *scanned.secrets.entry(what.clone()).or_default() += 1;
    }
    let secrets = Secrets::new(&secrets);
    for path in logs {
        let log = fs::read(&path)?;
        scanned.logs += 1;
        scanned.octets += log.len();
        for line in log.split(|&octet| octet == b'\n') {
            if let Some((what, at)) = secrets.first_in(line) {
                let before = String::from_utf8_lossy(&line[..at]).into_owned();
                scanned.found.push(format!("{what} after {before:?}"));
            }
        }
    }
    Ok(scanned)
}

/// Secrets by how they begin, so that a log is read once for all of them.
struct Secrets<'a> {
    by_start: HashMap<u64, Vec<(&'a [u8], &'a str)>>,
    /// Which hashes of a start there are: most of what is read begins no secret, and is passed over without a look-up.
    known: Vec<bool>,
}

impl<'a> Secrets<'a> {
    fn new(secrets: &'a BTreeMap<String, String>) -> Self {
        let mut by_start: HashMap<u64, Vec<_>> = HashMap::new();
        let mut known = vec![false; 1 << BITS];
        for (value, what) in secrets {
            if let Some(start) = start(value.as_bytes()) {
                known[slot(start)] = true;
                by_start.entry(start).or_default().push((value.as_bytes(), what.as_str()));
            }
        }
        Self { by_start, known }
    }

    /// The first secret in a line, and where it begins.
    fn first_in(&self, line: &[u8]) -> Option<(&'a str, usize)> {
        for (at, rest) in (0..line.len()).map(|at| (at, &line[at..])) {
            let start = start(rest)?;
            if rest.starts_with(SIGNED) {
                return Some(("a signed text", at));
            }
            if self.known[slot(start)]
                && let Some(secrets) = self.by_start.get(&start)
                && let Some((_, what)) = secrets.iter().find(|(value, _)| rest.starts_with(value))
            {
                return Some((what, at));
            }
        }
        None
    }
}

/// How every header of a JWS begins in base64url: `{"`.
const SIGNED: &[u8] = b"eyJ";

/// Of the table of hashes: 16 MiB.
const BITS: u32 = 24;

fn start(text: &[u8]) -> Option<u64> {
    text.first_chunk().map(|octets| u64::from_le_bytes(*octets))
}

fn slot(start: u64) -> usize {
    usize::try_from(start.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - BITS)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::folder::Folder;

    #[test]
    fn a_secret_in_a_log_is_found_and_not_shown() {
        let folder = Folder::new();
        let secret = "q83vEjRWeJCrze8SNFZ4kA";
        fs::write(folder.file("1.secrets"), format!("code\t{secret}\nshort\tabc\n")).unwrap();
        fs::write(folder.file("1-0.log"), "all is well q83vEjRWeJ\n").unwrap();
        let scanned = scan(folder.path()).unwrap();
        assert_eq!((scanned.logs, scanned.octets, scanned.secrets.len()), (1, 23, 1));
        assert_eq!(scanned.found, Vec::<String>::new());

        fs::write(folder.file("1-1.log"), format!("abc\nGET /callback?code={secret}&x\n")).unwrap();
        fs::write(folder.file("1-2.log"), "DPoP eyJhbGciOiJFUzI1NiJ9.e30.x\n").unwrap();
        let mut found = scan(folder.path()).unwrap().found;
        found.sort();
        assert_eq!(found, ["a signed text after \"DPoP \"", "code after \"GET /callback?code=\""]);
    }
}
