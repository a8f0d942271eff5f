//! Secrets of clients, and what a store keeps of them.

use std::fmt;
use std::str::FromStr;

use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sha2::Sha256;
use subtle::ConstantTimeEq;
use thiserror::Error;
use vestibule_dpop::sha256;
use vestibule_oauth_core::{Secret, UnixTime, base64url};

use crate::token::base32_encode;

/// Makes a client's secret of 32 fresh octets: 52 letters and digits, which every encoder of HTTP Basic writes alike.
///
/// ```
/// use vestibule_token_endpoint::new_client_secret;
///
/// let secret = new_client_secret([7; 32]);
/// assert!(secret.expose().bytes().all(|b| b.is_ascii_alphanumeric()));
/// ```
pub fn new_client_secret(entropy: [u8; 32]) -> Secret {
    let mut text = String::with_capacity(52);
    base32_encode(&entropy, &mut text);
    Secret::new(text)
}

/// Makes a client's identifier of 15 fresh octets: 24 letters and digits.
///
/// ```
/// use vestibule_token_endpoint::new_client_id;
///
/// assert_eq!(new_client_id([7; 15]).len(), 24);
/// ```
pub fn new_client_id(entropy: [u8; 15]) -> String {
    let mut text = String::with_capacity(24);
    base32_encode(&entropy, &mut text);
    text
}

/// A key that is mixed into the hashes of client secrets and kept apart from them, so that a stolen table alone lets nobody
/// try secrets out. A ring of them: the first makes new hashes, every one knows its own.
///
/// ```
/// use vestibule_oauth_core::Secret;
/// use vestibule_token_endpoint::{Pepper, SecretHash};
///
/// let peppers = [Pepper::new("p1", &Secret::new([7; 32]))];
/// let hash = SecretHash::peppered("s3cret", &peppers[0]);
/// assert!(hash.is_of("s3cret", &peppers) && !hash.is_of("other", &peppers));
/// assert!(!hash.is_of("s3cret", &[])); // without its pepper it is of no use
/// ```
#[derive(Clone)]
pub struct Pepper {
    id: String,
    // Keyed once: a hash then costs half of what it would.
    keyed: Hmac<Sha256>,
}

impl Pepper {
    /// The pepper called `id`: letters, digits, `-` and `_`.
    pub fn new(id: impl Into<String>, key: &Secret<[u8; 32]>) -> Self {
        let mut padded = hmac::digest::Key::<Hmac<Sha256>>::default();
        padded.iter_mut().zip(key.expose()).for_each(|(to, from)| *to = *from);
        Self { id: id.into(), keyed: Hmac::new(&padded) }
    }

    /// Its name.
    pub fn id(&self) -> &str {
        &self.id
    }
}

impl fmt::Debug for Pepper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pepper({}, ..)", self.id)
    }
}

/// What is kept of a client's secret. As a text it is `sha256:HASH` or `hmac-sha256:PEPPER:HASH`, the hash in base64url.
///
/// Secrets of this server have 256 random bits, which no dictionary holds: a fast hash is as good as a slow one for them, and
/// a slow one would let anybody keep a processor busy for a quarter of a second with each request (T16). A secret that a
/// person made up does not belong here.
///
/// ```
/// use vestibule_token_endpoint::SecretHash;
///
/// let hash = SecretHash::plain("s3cret");
/// let text = hash.to_string(); // for a configuration file
/// assert_eq!(text.parse(), Ok(hash));
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct SecretHash {
    pepper: Option<String>,
    hash: [u8; 32],
}

impl SecretHash {
    /// The hash without a pepper, which anybody can make.
    pub fn plain(secret: &str) -> Self {
        Self { pepper: None, hash: sha256(secret) }
    }

    /// The hash with a pepper.
    pub fn peppered(secret: &str, pepper: &Pepper) -> Self {
        Self { pepper: Some(pepper.id.clone()), hash: mac(secret, pepper) }
    }

    /// Which pepper it needs.
    pub fn pepper(&self) -> Option<&str> {
        self.pepper.as_deref()
    }

    /// Whether this is the hash of `secret`, in a time that does not depend on it.
    pub fn is_of(&self, secret: &str, peppers: &[Pepper]) -> bool {
        let hash = match &self.pepper {
            None => sha256(secret),
            Some(id) => match peppers.iter().find(|pepper| pepper.id == *id) {
                Some(pepper) => mac(secret, pepper),
                None => return false,
            },
        };
        hash.ct_eq(&self.hash).into()
    }

    /// A hash of nothing, to be compared with where there is no client: so that an unknown one takes the time of a known one.
    pub(crate) fn of_nobody(peppers: &[Pepper]) -> Self {
        Self { pepper: peppers.first().map(|pepper| pepper.id.clone()), hash: [0; 32] }
    }
}

fn mac(secret: &str, pepper: &Pepper) -> [u8; 32] {
    pepper.keyed.clone().chain_update(secret).finalize().into_bytes().into()
}

impl fmt::Display for SecretHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hash = base64url::encode(self.hash);
        match &self.pepper {
            None => write!(f, "sha256:{hash}"),
            Some(pepper) => write!(f, "hmac-sha256:{pepper}:{hash}"),
        }
    }
}

impl fmt::Debug for SecretHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecretHash").field("pepper", &self.pepper).finish_non_exhaustive()
    }
}

impl FromStr for SecretHash {
    type Err = InvalidSecretHash;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let hash = |text| base64url::decode_array(text).ok_or(InvalidSecretHash);
        match text.split_once(':') {
            Some(("sha256", rest)) => Ok(Self { pepper: None, hash: hash(rest)? }),
            Some(("hmac-sha256", rest)) => {
                let (pepper, rest) = rest.split_once(':').ok_or(InvalidSecretHash)?;
                let names = pepper.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
                if pepper.is_empty() || pepper.len() > 64 || !names {
                    return Err(InvalidSecretHash);
                }
                Ok(Self { pepper: Some(pepper.to_owned()), hash: hash(rest)? })
            }
            _ => Err(InvalidSecretHash),
        }
    }
}

impl Serialize for SecretHash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for SecretHash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// The text is no hash of a secret.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
#[error(
    "a secret's hash must be sha256:HASH or hmac-sha256:PEPPER:HASH, the hash 43 characters of base64url"
)]
pub struct InvalidSecretHash;

/// One of a client's secrets. Two may be good at once, so that a client can be given a new one before the old one ends.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ClientSecret {
    /// What is kept of it.
    pub hash: SecretHash,
    /// From when on it is good no more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<UnixTime>,
}

impl ClientSecret {
    /// One that does not expire.
    pub const fn new(hash: SecretHash) -> Self {
        Self { hash, expires_at: None }
    }

    /// Whether it is good now.
    pub fn is_live(&self, now: UnixTime) -> bool {
        self.expires_at.is_none_or(|end| now < end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pepper(id: &str, key: u8) -> Pepper {
        Pepper::new(id, &Secret::new([key; 32]))
    }

    #[test]
    fn t16_a_hash_knows_its_secret_and_its_pepper() {
        let ring = [pepper("new", 2), pepper("old", 1)];
        for hash in
            [SecretHash::plain("s"), SecretHash::peppered("s", &ring[0]), SecretHash::peppered("s", &ring[1])]
        {
            assert!(hash.is_of("s", &ring));
            for other in ["", "S", "s ", "other"] {
                assert!(!hash.is_of(other, &ring), "{other}");
            }
            assert_eq!(hash.to_string().parse(), Ok(hash.clone()));
            assert_eq!(
                serde_json::from_str::<SecretHash>(&serde_json::to_string(&hash).unwrap()).unwrap(),
                hash
            );
        }
        // Another key of the same name is another pepper.
        assert!(!SecretHash::peppered("s", &ring[0]).is_of("s", &[pepper("new", 3)]));
        assert!(!SecretHash::of_nobody(&ring).is_of("s", &ring));
        assert!(!SecretHash::of_nobody(&[]).is_of("s", &[]));
    }

    #[test]
    fn the_plain_hash_is_the_one_anybody_can_make() {
        // printf abc | openssl dgst -sha256 -binary | basenc --base64url | tr -d =
        let text = "sha256:ungWv48Bz-pBQUDeXa4iI7ADYaOWF3qctBD_YfIAFa0";
        assert_eq!(SecretHash::plain("abc").to_string(), text);
    }

    #[test]
    fn what_is_no_hash_is_not_read() {
        let good = SecretHash::plain("s").to_string();
        for text in [
            "",
            "sha256:",
            "sha512:abc",
            "hmac-sha256:abc",
            &format!("{good}="),
            &good.replace("sha256:", "hmac-sha256::"),
        ] {
            assert_eq!(text.parse::<SecretHash>(), Err(InvalidSecretHash), "{text}");
        }
    }

    #[test]
    fn t16_two_secrets_may_be_good_at_once() {
        let ends = ClientSecret {
            expires_at: Some(UnixTime::from_secs(10)),
            ..ClientSecret::new(SecretHash::plain("s"))
        };
        assert!(ends.is_live(UnixTime::from_secs(9)) && !ends.is_live(UnixTime::from_secs(10)));
        assert!(ClientSecret::new(SecretHash::plain("s")).is_live(UnixTime::from_secs(u64::MAX)));
    }
}
