//! The secret above all others: it opens the key ring, which opens everything else.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use thiserror::Error;
use vestibule_oauth_core::seal::SealKeys;
use vestibule_oauth_core::{Secret, base64url};
use zeroize::Zeroizing;

use crate::entropy;

/// The master secret, as it is read from the secret file. The same file goes to every node.
///
/// Each line is the base64url text of 32 octets; blank lines and lines that begin with `#` are skipped. The first key
/// seals and all open, so that a new one can be put in front while the old one still opens what it sealed.
///
/// ```
/// use vestibule_storage::MasterSecret;
///
/// let (_, text) = MasterSecret::generate([7; 32]);
/// assert!(MasterSecret::parse(text.expose()).is_ok());
/// let error = MasterSecret::parse("# nothing yet\nhunter2").unwrap_err();
/// assert_eq!(error.to_string(), "line 2 of the secret file must be the base64url text of 32 octets");
/// ```
#[derive(Clone, Debug)]
pub struct MasterSecret(SealKeys);

impl MasterSecret {
    /// Reads the text of a secret file.
    ///
    /// # Errors
    /// [`InvalidMasterSecret`] names the line, never what is in it.
    pub fn parse(text: &str) -> Result<Self, InvalidMasterSecret> {
        let mut keys = Zeroizing::new(Vec::with_capacity(MAX_KEYS));
        for (line, number) in text.lines().zip(1..) {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            if keys.len() == MAX_KEYS {
                return Err(InvalidMasterSecret::TooManyKeys);
            }
            keys.push(base64url::decode_array::<32>(line).ok_or(InvalidMasterSecret::Line(number))?);
        }
        let (sealing, older) = keys.split_first().ok_or(InvalidMasterSecret::Empty)?;
        Ok(Self(SealKeys::new(*sealing, older.iter().copied())))
    }

    /// Makes a secret of 32 fresh octets, and the text of the file to keep it in.
    pub fn generate(entropy: [u8; 32]) -> (Self, Secret) {
        let entropy = Zeroizing::new(entropy);
        let mut text = String::with_capacity(HEADING.len() + 44);
        text.push_str(HEADING);
        base64url::encode_into(*entropy, &mut text);
        text.push('\n');
        (Self(SealKeys::new(*entropy, [])), Secret::new(text))
    }

    /// Reads a secret file.
    ///
    /// A file that others than its owner may read is used all the same, with a warning in the log: orchestrators mount
    /// secrets in such modes (0444, 0440) where nobody else is there to read them.
    ///
    /// # Errors
    /// [`SecretFileError`].
    pub fn load(path: &Path) -> Result<Self, SecretFileError> {
        let text = read(path).map_err(|source| SecretFileError::Read { path: path.to_owned(), source })?;
        Self::parse(&text).map_err(|source| SecretFileError::Invalid { path: path.to_owned(), source })
    }

    /// Reads a secret file, after making one of `entropy`, with mode 0600, if there is none. Of two processes that make
    /// one at once, both end with the same.
    ///
    /// # Errors
    /// [`SecretFileError`].
    pub fn load_or_create(path: &Path, entropy: [u8; 32]) -> Result<Self, SecretFileError> {
        match Self::load(path) {
            Err(SecretFileError::Read { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                let (_, text) = Self::generate(entropy);
                let made = create(path, text.expose());
                if made.map_err(|source| SecretFileError::Create { path: path.to_owned(), source })? {
                    tracing::info!(path = %path.display(), "made a new secret file: keep a copy of it apart from the store");
                }
                Self::load(path)
            }
            outcome => outcome,
        }
    }

    /// The keys that seal and open what belongs to `purpose`.
    pub(crate) fn keys_for(&self, purpose: &str) -> SealKeys {
        self.0.for_purpose(purpose)
    }
}

/// More than a new key every year for as long as anybody runs one server.
const MAX_KEYS: usize = 32;

/// Room for [`MAX_KEYS`] lines and as many comments again, several times over.
const MAX_FILE_OCTETS: u64 = 16 * 1024;

const HEADING: &str = "\
# The master secret of a Vestibule server. Everything in its store is sealed under it, and without it nothing opens.
# Keep it secret, and keep a copy of it apart from the store. To replace it, put a new line above the old one.
";

/// The whole file, if it is one of a size that a secret file can have.
fn read(path: &Path) -> io::Result<Zeroizing<String>> {
    let file = File::open(path)?;
    if is_readable_by_others(&file.metadata()?) {
        tracing::warn!(path = %path.display(), "others than its owner may read the secret file: chmod 600 closes it");
    }
    // With room for all of it at once: a text that grows leaves copies behind.
    let mut text = Zeroizing::new(String::with_capacity(2 * MAX_FILE_OCTETS as usize));
    file.take(MAX_FILE_OCTETS + 1).read_to_string(&mut text)?;
    if text.len() as u64 > MAX_FILE_OCTETS {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "a secret file has at most 16 KiB"));
    }
    Ok(text)
}

/// Makes the file, whole or not at all. False when another process was faster.
///
/// It is written under another name and linked to its own, which fails when that name is taken: nobody ever reads half a
/// secret, and nobody's secret is written over.
fn create(path: &Path, text: &str) -> io::Result<bool> {
    let suffix: [u8; 8] = entropy::draw().map_err(io::Error::other)?;
    let mut draft = path.as_os_str().to_owned();
    draft.push(format!(".{}", base64url::encode(suffix)));
    let draft = PathBuf::from(draft);
    let linked = write_new(&draft, text).and_then(|()| fs::hard_link(&draft, path));
    // A draft that cannot be removed is a nuisance and no reason to stop.
    let _ = fs::remove_file(&draft);
    match linked {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error),
    }
}

fn write_new(path: &Path, text: &str) -> io::Result<()> {
    let mut file = for_owner_only(OpenOptions::new().write(true).create_new(true)).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// Asks for mode 0600, where there are modes.
pub(crate) fn for_owner_only(options: &mut OpenOptions) -> &mut OpenOptions {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    options
}

/// Whether the mode lets the group or everybody read, where there are modes.
pub(crate) fn is_readable_by_others(metadata: &fs::Metadata) -> bool {
    #[cfg(unix)]
    let open = std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o044 != 0;
    #[cfg(not(unix))]
    let open = {
        let _ = metadata;
        false
    };
    open
}

/// Why a text holds no master secret. No variant repeats any of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum InvalidMasterSecret {
    /// This line, counted from 1, is neither blank, nor a comment, nor a key.
    #[error("line {0} of the secret file must be the base64url text of 32 octets")]
    Line(usize),
    /// No line holds a key.
    #[error("the secret file must hold a line that is the base64url text of 32 octets")]
    Empty,
    /// More keys than anybody needs.
    #[error("the secret file must hold at most 32 keys")]
    TooManyKeys,
}

/// Why there is no master secret.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SecretFileError {
    /// The file cannot be read.
    #[error("the secret file {} cannot be read", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// There is no file, and none could be made.
    #[error("the secret file {} cannot be made", path.display())]
    Create {
        /// Which file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The file was read and holds no master secret.
    #[error("the secret file {} cannot be used", path.display())]
    Invalid {
        /// Which file.
        path: PathBuf,
        /// Which rule it breaks.
        source: InvalidMasterSecret,
    },
}

#[cfg(test)]
mod tests {
    use std::error::Error;

    use super::*;
    use crate::test_folder::TestFolder;

    const ONE: &str = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE";
    const TWO: &str = "AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI";

    fn opens(with: &MasterSecret, what: &MasterSecret) -> bool {
        let sealed = what.keys_for("test").seal(b"text", b"", [3; 24]).unwrap();
        with.keys_for("test").open(&sealed, b"").is_ok()
    }

    #[test]
    fn the_first_line_seals_and_all_open() {
        let old = MasterSecret::parse(ONE).unwrap();
        let new = MasterSecret::parse(&format!("# 2031\r\n\r\n  {TWO}\r\n# 2030\r\n{ONE}")).unwrap();
        assert!(opens(&new, &old) && opens(&new, &new));
        assert!(!opens(&old, &new));
    }

    #[test]
    fn a_line_that_is_no_key_is_named_by_its_number_and_not_shown() {
        for (text, why) in [
            (String::new(), InvalidMasterSecret::Empty),
            ("# only\n\n# comments".to_owned(), InvalidMasterSecret::Empty),
            ("hunter2".to_owned(), InvalidMasterSecret::Line(1)),
            (format!("{ONE}\n\nhunter2"), InvalidMasterSecret::Line(3)),
            (format!("{ONE}="), InvalidMasterSecret::Line(1)),
            (format!("{ONE} {TWO}"), InvalidMasterSecret::Line(1)),
            (format!("{ONE}\n").repeat(MAX_KEYS + 1), InvalidMasterSecret::TooManyKeys),
        ] {
            let error = MasterSecret::parse(&text).unwrap_err();
            assert_eq!(error, why);
            assert!(!format!("{error} {error:?}").contains("hunter2"));
        }
        assert!(MasterSecret::parse(&format!("{ONE}\n").repeat(MAX_KEYS)).is_ok());
    }

    #[test]
    fn what_is_generated_is_what_its_text_says() {
        let (secret, text) = MasterSecret::generate([1; 32]);
        assert!(text.expose().ends_with(&format!("\n{ONE}\n")));
        assert!(opens(&MasterSecret::parse(text.expose()).unwrap(), &secret));
        assert!(!format!("{secret:?} {text:?}").contains(ONE));
    }

    #[test]
    fn a_missing_file_is_made_once_and_kept() {
        let folder = TestFolder::new();
        let path = folder.file("vestibule.secret");
        let first = MasterSecret::load_or_create(&path, [1; 32]).unwrap();
        let again = MasterSecret::load_or_create(&path, [2; 32]).unwrap();
        assert!(opens(&again, &first) && opens(&MasterSecret::load(&path).unwrap(), &first));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "no draft is left");
        assert!(!create(&path, "another").unwrap(), "what is there is not written over");
        assert!(opens(&MasterSecret::load(&path).unwrap(), &first));
    }

    #[test]
    fn of_many_that_make_it_at_once_all_have_the_same() {
        let folder = TestFolder::new();
        let path = folder.file("vestibule.secret");
        let made: Vec<_> = std::thread::scope(|scope| {
            let make = |n| {
                let path = &path;
                scope.spawn(move || MasterSecret::load_or_create(path, [n; 32]).unwrap())
            };
            let threads: Vec<_> = (0..8).map(make).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(made.iter().all(|secret| opens(secret, &made[0]) && opens(&made[0], secret)));
    }

    #[cfg(unix)]
    #[test]
    fn the_file_is_for_its_owner_only() {
        use std::os::unix::fs::PermissionsExt;

        let folder = TestFolder::new();
        let path = folder.file("vestibule.secret");
        MasterSecret::load_or_create(&path, [1; 32]).unwrap();
        let metadata = fs::metadata(&path).unwrap();
        assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
        assert!(!is_readable_by_others(&metadata));
        for mode in [0o640, 0o604, 0o444] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            assert!(is_readable_by_others(&fs::metadata(&path).unwrap()), "{mode:o}");
            assert!(MasterSecret::load(&path).is_ok(), "a mounted secret is used: {mode:o}");
        }
    }

    #[test]
    fn errors_name_the_file_and_their_cause() {
        let folder = TestFolder::new();
        let missing = MasterSecret::load(&folder.file("a.secret")).unwrap_err();
        assert!(missing.to_string().contains("a.secret"), "{missing}");
        assert!(missing.source().is_some());
        let nowhere = MasterSecret::load_or_create(&folder.file("no/such/b.secret"), [1; 32]).unwrap_err();
        assert!(matches!(nowhere, SecretFileError::Create { .. }), "{nowhere}");
        let path = folder.file("c.secret");
        fs::write(&path, "hunter2").unwrap();
        let invalid = MasterSecret::load_or_create(&path, [1; 32]).unwrap_err();
        assert!(matches!(invalid, SecretFileError::Invalid { source: InvalidMasterSecret::Line(1), .. }));
        fs::write(&path, "#".repeat(17 * 1024)).unwrap();
        assert!(matches!(MasterSecret::load(&path).unwrap_err(), SecretFileError::Read { .. }));
    }
}
