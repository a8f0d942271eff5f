//! Codes and tokens that mean something to this server only: random, with a prefix and a checksum, kept as a hash.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use vestibule_dpop::sha256;
use vestibule_oauth_core::{Secret, base64url};
use zeroize::Zeroizing;

/// What an opaque text is for. Each kind has a prefix of its own, so that a scanner of leaked secrets, and whoever finds one,
/// knows what it is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[non_exhaustive]
pub enum TokenKind {
    /// An access token: `vat_…`.
    Access,
    /// A refresh token: `vrt_…`.
    Refresh,
    /// An authorization code: `vac_…`.
    Code,
    /// A device code: `vdc_…`.
    Device,
    /// The name of a pushed request: `vpr_…`, at the end of a `request_uri`.
    Request,
}

impl TokenKind {
    /// The first four characters of every text of this kind.
    pub const fn prefix(self) -> &'static str {
        match self {
            Self::Access => "vat_",
            Self::Refresh => "vrt_",
            Self::Code => "vac_",
            Self::Device => "vdc_",
            Self::Request => "vpr_",
        }
    }
}

/// A code or token of 256 random bits.
///
/// The text is the prefix, the octets in base32 (52 characters) and a checksum of both (7): letters, digits and one
/// underscore, so that a double click takes it whole, and a mistyped one is known without asking a store.
///
/// ```
/// use vestibule_token_endpoint::{OpaqueToken, TokenKind};
///
/// let token = OpaqueToken::from_entropy(TokenKind::Access, [7; 32]); // draw fresh octets
/// assert!(token.text().expose().starts_with("vat_") && token.text().expose().len() == OpaqueToken::LEN);
///
/// let presented = OpaqueToken::parse(TokenKind::Access, token.text().expose()).unwrap();
/// assert_eq!(presented.hash(), token.hash());
/// assert!(OpaqueToken::parse(TokenKind::Refresh, token.text().expose()).is_none());
/// ```
pub struct OpaqueToken {
    kind: TokenKind,
    octets: Zeroizing<[u8; 32]>,
}

impl OpaqueToken {
    /// How many characters each has.
    pub const LEN: usize = PREFIX_LEN + OCTETS_LEN + CHECKSUM_LEN;

    /// A token of these octets, drawn for it and used for nothing else.
    pub fn from_entropy(kind: TokenKind, entropy: [u8; 32]) -> Self {
        Self { kind, octets: Zeroizing::new(entropy) }
    }

    /// Reads a token of this kind that somebody presents; `None` for what this server has never given out.
    pub fn parse(kind: TokenKind, text: &str) -> Option<Self> {
        let rest = text.strip_prefix(kind.prefix())?;
        let (octets, checksum) = rest.split_at_checked(OCTETS_LEN)?;
        let octets = Zeroizing::new(base32_decode::<32>(octets)?);
        let token = Self { kind, octets };
        (base32_decode::<4>(checksum)? == token.checksum()).then_some(token)
    }

    /// The text to give out.
    pub fn text(&self) -> Secret {
        let mut text = [0; Self::LEN];
        let (prefix, rest) = text.split_at_mut(PREFIX_LEN);
        let (octets, checksum) = rest.split_at_mut(OCTETS_LEN);
        prefix.copy_from_slice(self.kind.prefix().as_bytes());
        base32(&*self.octets, octets);
        base32(&self.checksum(), checksum);
        let text = Zeroizing::new(text);
        Secret::new(str::from_utf8(&*text).unwrap_or_default().to_owned())
    }

    /// What stands for it in a store.
    pub fn hash(&self) -> TokenHash {
        let mut text = Zeroizing::new([0; PREFIX_LEN + 32]);
        let (prefix, octets) = text.split_at_mut(PREFIX_LEN);
        prefix.copy_from_slice(self.kind.prefix().as_bytes());
        octets.copy_from_slice(&*self.octets);
        TokenHash(sha256(text.as_slice()))
    }

    /// What it is for.
    pub const fn kind(&self) -> TokenKind {
        self.kind
    }

    /// The octets, to derive keys from.
    pub(crate) fn octets(&self) -> &[u8; 32] {
        &self.octets
    }

    fn checksum(&self) -> [u8; 4] {
        let octets = self.kind.prefix().bytes().chain(self.octets.iter().copied());
        crc32(octets).to_be_bytes()
    }
}

impl fmt::Debug for OpaqueToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OpaqueToken({:?}, ..)", self.kind)
    }
}

const PREFIX_LEN: usize = 4;
const OCTETS_LEN: usize = 52;
const CHECKSUM_LEN: usize = 7;

/// The SHA-256 hash under which a code or token is kept. Whoever reads the store learns nothing that could be presented.
///
/// ```
/// use vestibule_token_endpoint::{OpaqueToken, TokenHash, TokenKind};
///
/// let hash = OpaqueToken::from_entropy(TokenKind::Code, [7; 32]).hash();
/// assert_eq!(TokenHash::from_octets(*hash.as_octets()), hash);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TokenHash([u8; 32]);

impl TokenHash {
    /// The hash with these octets, as they came out of a store.
    pub const fn from_octets(octets: [u8; 32]) -> Self {
        Self(octets)
    }

    /// The octets to store.
    pub const fn as_octets(&self) -> &[u8; 32] {
        &self.0
    }

    /// The hash of a token that is a compact JWS and verifies: of what is signed. The signature is left out, since an ECDSA signature has a
    /// twin that verifies as well, and what was taken back would have another name by it.
    pub(crate) fn of_signed(jws: &str) -> Self {
        Self(sha256(jws.rsplit_once('.').map_or(jws, |(signed, _)| signed)))
    }
}

impl fmt::Debug for TokenHash {
    /// Its first octets: enough to tell two apart in a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, ..] = self.0;
        write!(f, "TokenHash({a:02x}{b:02x}{c:02x}{d:02x}..)")
    }
}

impl Serialize for TokenHash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&base64url::encode(self.0))
    }
}

impl<'de> Deserialize<'de> for TokenHash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        base64url::decode_array(text)
            .map(Self)
            .ok_or_else(|| de::Error::custom("a hash is 43 characters of base64url"))
    }
}

/// RFC 4648's alphabet in lower case.
const ALPHABET: [u8; 32] = *b"abcdefghijklmnopqrstuvwxyz234567";

/// Appends the base32 text of these octets, without padding; the bits that fill up the last character are zero.
pub(crate) fn base32_encode(octets: &[u8], out: &mut String) {
    let mut text = Zeroizing::new(vec![0; (octets.len() * 8).div_ceil(5)]);
    base32(octets, &mut text);
    out.push_str(str::from_utf8(&text).unwrap_or_default());
}

/// Fills `text` with as many characters as it holds: five octets are eight.
fn base32(octets: &[u8], text: &mut [u8]) {
    let (whole, rest) = octets.as_chunks::<5>();
    let (eights, last) = text.as_chunks_mut::<8>();
    eights.iter_mut().zip(whole).for_each(|(eight, five)| *eight = base32_of(*five));
    let mut padded = [0; 5];
    padded.iter_mut().zip(rest).for_each(|(slot, octet)| *slot = *octet);
    last.iter_mut().zip(base32_of(padded)).for_each(|(slot, character)| *slot = character);
}

fn base32_of(octets: [u8; 5]) -> [u8; 8] {
    let [a, b, c, d, e] = octets;
    let bits = u64::from_be_bytes([0, 0, 0, a, b, c, d, e]);
    // The mask leaves 32 values, and the alphabet has as many.
    std::array::from_fn(|n| ALPHABET.get((bits >> (35 - 5 * n)) as usize & 31).copied().unwrap_or_default())
}

/// The octets of a base32 text, if it is the canonical one of exactly that many.
fn base32_decode<const N: usize>(text: &str) -> Option<[u8; N]> {
    if text.len() != (N * 8).div_ceil(5) {
        return None;
    }
    let mut octets = [0; N];
    let mut canonical = true;
    for (text, octets) in text.as_bytes().chunks(8).zip(octets.chunks_mut(5)) {
        let mut bits = 0_u64;
        for &b in text {
            bits = (bits << 5) | u64::from(VALUES.get(usize::from(b)).copied().filter(|value| *value < 32)?);
        }
        // Two texts for one value would be two names for one token.
        let unused = text.len() * 5 - octets.len() * 8;
        canonical &= bits & ((1 << unused) - 1) == 0;
        let [_, _, _, whole @ ..] = (bits >> unused << (8 * (5 - octets.len()))).to_be_bytes();
        octets.iter_mut().zip(whole).for_each(|(slot, octet)| *slot = octet);
    }
    canonical.then_some(octets)
}

/// What each character stands for; 32 for those that stand for nothing.
const VALUES: [u8; 256] = values();

#[allow(
    clippy::indexing_slicing,
    reason = "computed when the crate is compiled: an index out of bounds does not compile"
)]
const fn values() -> [u8; 256] {
    let mut values = [32; 256];
    let mut n = 0;
    while n < 32 {
        values[ALPHABET[n as usize] as usize] = n;
        n += 1;
    }
    values
}

/// CRC-32 as zip and GitHub's tokens have it (ISO 3309).
fn crc32(octets: impl Iterator<Item = u8>) -> u32 {
    !octets.fold(!0, |crc, octet| {
        let index = (crc ^ u32::from(octet)) & 0xff;
        CRC_TABLE.get(index as usize).copied().unwrap_or_default() ^ (crc >> 8)
    })
}

const CRC_TABLE: [u32; 256] = crc_table();

#[allow(
    clippy::indexing_slicing,
    reason = "computed when the crate is compiled: an index out of bounds does not compile"
)]
const fn crc_table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut n = 0;
    while n < 256 {
        let mut crc = n as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { 0xedb8_8320 ^ (crc >> 1) } else { crc >> 1 };
            bit += 1;
        }
        table[n] = crc;
        n += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    const KINDS: [TokenKind; 5] =
        [TokenKind::Access, TokenKind::Refresh, TokenKind::Code, TokenKind::Device, TokenKind::Request];

    #[test]
    fn crc32_and_base32_are_the_published_ones() {
        assert_eq!(crc32(b"123456789".iter().copied()), 0xcbf4_3926);
        for (octets, text) in [
            ("", ""),
            ("f", "my"),
            ("fo", "mzxq"),
            ("foo", "mzxw6"),
            ("foob", "mzxw6yq"),
            ("foobar", "mzxw6ytboi"),
        ] {
            let mut out = String::new();
            base32_encode(octets.as_bytes(), &mut out);
            assert_eq!(out, text, "RFC 4648, section 10");
        }
    }

    #[test]
    fn t62_a_token_is_read_as_what_it_is_and_nothing_else() {
        for kind in KINDS {
            for octets in [[0; 32], [0xff; 32], [0xa5; 32]] {
                let text = OpaqueToken::from_entropy(kind, octets).text();
                let read = OpaqueToken::parse(kind, text.expose()).unwrap();
                assert_eq!(*read.octets, octets);
                for other in KINDS.into_iter().filter(|other| *other != kind) {
                    assert!(OpaqueToken::parse(other, text.expose()).is_none(), "{other:?}");
                }
            }
        }
    }

    #[test]
    fn a43_a_changed_text_is_no_token() {
        let token = OpaqueToken::from_entropy(TokenKind::Code, [9; 32]).text();
        let text = token.expose();
        for wrong in [
            text.strip_suffix(|_: char| true).unwrap().to_owned(),
            format!("{text}a"),
            text.to_uppercase(),
            text.replacen('e', "f", 1),
            text.strip_prefix("vac_").unwrap().to_owned(),
            String::new(),
            "é".repeat(40),
        ] {
            assert!(OpaqueToken::parse(TokenKind::Code, &wrong).is_none(), "{wrong}");
        }
        // Every single changed character is noticed, those of the checksum's unused bits too.
        for at in 4..text.len() {
            for b in ALPHABET {
                let mut changed = text.as_bytes().to_vec();
                let same = std::mem::replace(&mut changed[at], b) == b;
                let changed = String::from_utf8(changed).unwrap();
                assert_eq!(OpaqueToken::parse(TokenKind::Code, &changed).is_some(), same, "{changed}");
            }
        }
    }

    #[test]
    fn a86_debug_shows_no_token() {
        let token = OpaqueToken::from_entropy(TokenKind::Access, [7; 32]);
        assert_eq!(format!("{token:?}"), "OpaqueToken(Access, ..)");
        assert_eq!(format!("{:?}", TokenHash([0xab; 32])), "TokenHash(abababab..)");
    }
}
