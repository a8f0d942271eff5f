//! Devices that a person confirms elsewhere ([RFC 8628]): what is kept of one, and the code that the person types.
//!
//! [RFC 8628]: https://www.rfc-editor.org/rfc/rfc8628

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use thiserror::Error;
use vestibule_dpop::{Thumbprint, sha256};
use vestibule_oauth_core::{ClientId, ScopeSet, UnixTime};

use crate::grant::{Grant, GrantId};
use crate::token::TokenHash;

/// The code that a person types: eight consonants, in two halves ([RFC 8628, section 6.1]). 34 bits: whoever guesses has to be
/// slowed down where it is typed.
///
/// ```
/// use vestibule_token_endpoint::UserCode;
///
/// let code = UserCode::from_entropy([7; 16]);
/// assert_eq!(code.to_string().len(), 9);
/// assert_eq!(code.to_string().to_lowercase().replace('-', " ").parse(), Ok(code)); // as people type
/// ```
///
/// [RFC 8628, section 6.1]: https://www.rfc-editor.org/rfc/rfc8628#section-6.1
#[derive(Clone, PartialEq, Eq)]
pub struct UserCode([u8; 8]);

impl UserCode {
    /// A code made of fresh octets.
    pub fn from_entropy(entropy: [u8; 16]) -> Self {
        // Two octets a letter: 65536 is no multiple of 20, and the difference is one in 3276.
        let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = entropy;
        let letter = |high, low| {
            let index = usize::from(u16::from_be_bytes([high, low])) % ALPHABET.len();
            ALPHABET.get(index).copied().unwrap_or(b'B')
        };
        Self([
            letter(a, b),
            letter(c, d),
            letter(e, f),
            letter(g, h),
            letter(i, j),
            letter(k, l),
            letter(m, n),
            letter(o, p),
        ])
    }

    /// What stands for it in a store.
    pub fn hash(&self) -> TokenHash {
        TokenHash::from_octets(sha256([b"user code".as_slice(), &self.0].concat()))
    }
}

/// Consonants but Y: no word can be made of them, and no two are taken for each other.
const ALPHABET: [u8; 20] = *b"BCDFGHJKLMNPQRSTVWXZ";

impl FromStr for UserCode {
    type Err = InvalidUserCode;

    /// Reads what a person typed: in either case, with whatever between the letters.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() > 64 {
            return Err(InvalidUserCode);
        }
        let letters =
            text.chars().filter(|c| !c.is_whitespace() && !matches!(c, '-' | '.' | '_' | '\u{2013}'));
        let letters: Option<Vec<u8>> = letters
            .map(|c| u8::try_from(c.to_ascii_uppercase()).ok().filter(|letter| ALPHABET.contains(letter)))
            .collect();
        letters.and_then(|letters| letters.try_into().ok()).map(Self).ok_or(InvalidUserCode)
    }
}

impl fmt::Display for UserCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, letter) in self.0.iter().enumerate() {
            if at == 4 {
                f.write_str("-")?;
            }
            write!(f, "{}", char::from(*letter))?;
        }
        Ok(())
    }
}

impl fmt::Debug for UserCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UserCode(..)")
    }
}

/// What was typed is no code.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
#[error("a code has eight letters, all of them consonants")]
pub struct InvalidUserCode;

/// A device that waits for a person, as a store keeps it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Device {
    /// The name of its device code.
    pub hash: TokenHash,
    /// The name of the code that the person types.
    pub user_code: TokenHash,
    /// Whose device it is.
    pub client: ClientId,
    /// What it asks for.
    pub scope: ScopeSet,
    /// The resources it asks for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub resources: Vec<String>,
    /// The DPoP key it began with; whoever asks for its tokens must have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proof_key: Option<Thumbprint>,
    /// How long it waits between two questions, to begin with.
    pub interval: Duration,
    /// When it began.
    pub issued_at: UnixTime,
    /// Until when the person may decide, and the device ask.
    pub expires_at: UnixTime,
}

/// How far a device has come.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(clippy::exhaustive_enums, reason = "whoever looks has to say something of each")]
pub enum DeviceState {
    /// The person has not decided.
    Pending,
    /// The person said no.
    Denied,
    /// The person said yes; this is the grant that its tokens begin.
    Approved(Box<Grant>),
    /// Its tokens were given out.
    Redeemed(GrantId),
}

/// How long a device and its person have.
pub(crate) const LIFETIME: Duration = Duration::from_secs(600);

/// How long a device waits between two questions ([RFC 8628, section 3.2](https://www.rfc-editor.org/rfc/rfc8628#section-3.2)).
pub(crate) const INTERVAL: Duration = Duration::from_secs(5);

/// How much longer it has to wait each time it asked too soon
/// ([RFC 8628, section 3.5](https://www.rfc-editor.org/rfc/rfc8628#section-3.5)).
pub const SLOW_DOWN: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t42_a_code_is_read_as_people_type() {
        let code = UserCode::from_entropy([0, 0, 0, 1, 0, 2, 0, 3, 0, 4, 0, 5, 0, 19, 0, 20]);
        assert_eq!(code.to_string(), "BCDF-GHZB");
        for typed in ["BCDF-GHZB", "bcdfghzb", " bcdf ghzb ", "b-c-d-f-g-h-z-b", "BCDF\u{2013}GHZB"] {
            assert_eq!(typed.parse::<UserCode>().as_ref(), Ok(&code), "{typed}");
        }
        for typed in ["", "BCDF-GHZ", "BCDF-GHZBB", "ACDF-GHZB", "BCDF-GHZ1", "éCDF-GHZB", &"B-".repeat(40)]
        {
            assert_eq!(typed.parse::<UserCode>(), Err(InvalidUserCode), "{typed}");
        }
        assert_ne!(code.hash(), UserCode::from_entropy([7; 16]).hash());
        assert_eq!(format!("{code:?}"), "UserCode(..)");
    }
}
