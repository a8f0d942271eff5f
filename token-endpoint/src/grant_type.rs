//! Values of `grant_type`.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use thiserror::Error;

/// A way to get tokens: an open vocabulary with the registered ways as constants.
///
/// Compared as it is: another letter case, or a space at an end, is another grant type ([RFC 6749, section 1.3] gives names,
/// section 4.5 lets others be URIs).
///
/// ```
/// use vestibule_token_endpoint::GrantType;
///
/// assert_eq!("refresh_token".parse(), Ok(GrantType::REFRESH_TOKEN));
/// assert_ne!("Refresh_Token".parse(), Ok(GrantType::REFRESH_TOKEN));
/// let ours: GrantType = "urn:example:grant-type:magic".parse().unwrap();
/// assert_eq!(ours.as_str(), "urn:example:grant-type:magic");
/// ```
///
/// [RFC 6749, section 1.3]: https://www.rfc-editor.org/rfc/rfc6749#section-1.3
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct GrantType(Cow<'static, str>);

impl GrantType {
    /// A code, as a browser brought it ([RFC 6749, section 4.1](https://www.rfc-editor.org/rfc/rfc6749#section-4.1)).
    pub const AUTHORIZATION_CODE: Self = Self(Cow::Borrowed("authorization_code"));
    /// A refresh token ([RFC 6749, section 6](https://www.rfc-editor.org/rfc/rfc6749#section-6)).
    pub const REFRESH_TOKEN: Self = Self(Cow::Borrowed("refresh_token"));
    /// The client itself ([RFC 6749, section 4.4](https://www.rfc-editor.org/rfc/rfc6749#section-4.4)).
    pub const CLIENT_CREDENTIALS: Self = Self(Cow::Borrowed("client_credentials"));
    /// A device that a person confirmed elsewhere ([RFC 8628, section 3.4](https://www.rfc-editor.org/rfc/rfc8628#section-3.4)).
    pub const DEVICE_CODE: Self = Self(Cow::Borrowed("urn:ietf:params:oauth:grant-type:device_code"));
    /// One token for another ([RFC 8693](https://www.rfc-editor.org/rfc/rfc8693)).
    pub const TOKEN_EXCHANGE: Self = Self(Cow::Borrowed("urn:ietf:params:oauth:grant-type:token-exchange"));
    /// An assertion of somebody who is trusted ([RFC 7523, section 2.1](https://www.rfc-editor.org/rfc/rfc7523#section-2.1)).
    pub const JWT_BEARER: Self = Self(Cow::Borrowed("urn:ietf:params:oauth:grant-type:jwt-bearer"));

    /// The text as it is sent.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The most characters: the longest registered one has 50.
    pub const MAX_LEN: usize = 128;

    const KNOWN: [Self; 6] = [
        Self::AUTHORIZATION_CODE,
        Self::REFRESH_TOKEN,
        Self::CLIENT_CREDENTIALS,
        Self::DEVICE_CODE,
        Self::TOKEN_EXCHANGE,
        Self::JWT_BEARER,
    ];
}

impl FromStr for GrantType {
    type Err = InvalidGrantType;

    /// Reads 1 to 128 visible ASCII characters.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some(known) = Self::KNOWN.into_iter().find(|known| known.as_str() == text) {
            return Ok(known);
        }
        let fits = (1..=Self::MAX_LEN).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
        if fits { Ok(Self(Cow::Owned(text.to_owned()))) } else { Err(InvalidGrantType) }
    }
}

impl fmt::Display for GrantType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for GrantType {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for GrantType {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// The text cannot be a grant type.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
#[error("grant_type must be 1 to 128 visible ascii characters")]
pub struct InvalidGrantType;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a15_a16_what_is_nearly_a_grant_type_is_another_or_none() {
        for text in
            ["", " ", "authorization_code ", " authorization_code", "authorization_code refresh_token", "é"]
        {
            assert_eq!(text.parse::<GrantType>(), Err(InvalidGrantType), "{text:?}");
        }
        for text in ["Authorization_code", "AUTHORIZATION_CODE", "authorization-code"] {
            assert_ne!(text.parse(), Ok(GrantType::AUTHORIZATION_CODE), "{text:?}");
        }
    }
}
