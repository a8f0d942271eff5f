//! Base64url without padding ([RFC 7515, section 2]), read strictly.
//!
//! ```
//! use vestibule_oauth_core::base64url;
//!
//! assert_eq!(base64url::encode([0xfb, 0xff]), "-_8");
//! assert_eq!(base64url::decode("-_8"), Some(vec![0xfb, 0xff]));
//! assert_eq!(base64url::decode("-_9"), None); // stray bits at the end: two texts for one value
//! assert_eq!(base64url::decode("-_8="), None); // padding
//! ```
//!
//! [RFC 7515, section 2]: https://www.rfc-editor.org/rfc/rfc7515#section-2

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// The text of these octets.
pub fn encode(octets: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(octets)
}

/// Appends the text of these octets to `out`.
pub fn encode_into(octets: impl AsRef<[u8]>, out: &mut String) {
    URL_SAFE_NO_PAD.encode_string(octets, out);
}

/// The octets of this text, or `None` if it is not the one canonical text of anything: padding, white space, other
/// alphabets and stray bits at the end are refused.
pub fn decode(text: impl AsRef<[u8]>) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

/// The `N` octets of this text, or `None` if it is not the canonical text of exactly that many.
pub fn decode_array<const N: usize>(text: impl AsRef<[u8]>) -> Option<[u8; N]> {
    let mut octets = [0; N];
    match URL_SAFE_NO_PAD.decode_slice(text, &mut octets) {
        Ok(written) if written == N => Some(octets),
        _ => None,
    }
}
