//! Client identifiers.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use thiserror::Error;
use url::{Url, form_urlencoded};

use crate::client_metadata::document_url;
use crate::redirect_uri::RedirectUri;
use crate::scope::ScopeSet;

/// A client identifier: text that is compared and never normalised ([RFC 6749, section 2.2]).
///
/// It may mean something: an https URL can be the place of the client's metadata document
/// ([`document_url`](Self::document_url)), and `http://localhost` is the AT Protocol client under development
/// ([`is_loopback`](Self::is_loopback)).
///
/// ```
/// use vestibule_oauth_core::ClientId;
///
/// let id: ClientId = "https://app.example.com/client-metadata.json".parse().unwrap();
/// assert_eq!(id.document_url().unwrap().as_str(), id.as_str());
/// let id: ClientId = "s6BhdRkqt3".parse().unwrap();
/// assert!(id.document_url().is_none());
/// ```
///
/// [RFC 6749, section 2.2]: https://www.rfc-editor.org/rfc/rfc6749#section-2.2
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientId(Arc<str>);

impl ClientId {
    /// The identifier of an AT Protocol client under development, which needs no metadata document: everything a
    /// server must know is in the text. `scope` holds every word that will be asked for, `atproto` among them; without
    /// redirect URIs, or without scope, the server takes its defaults (see [`LoopbackClient`](crate::LoopbackClient)).
    ///
    /// Servers may refuse such clients. Write the redirect URIs without a port: any port may then be used.
    ///
    /// ```
    /// use vestibule_oauth_core::ClientId;
    ///
    /// let redirect_uris = ["http://127.0.0.1/callback".parse().unwrap()];
    /// let id = ClientId::loopback(&redirect_uris, &"atproto transition:generic".parse().unwrap()).unwrap();
    /// assert_eq!(
    ///     id.as_str(),
    ///     "http://localhost?redirect_uri=http%3A%2F%2F127.0.0.1%2Fcallback&scope=atproto+transition%3Ageneric"
    /// );
    /// ```
    ///
    /// # Errors
    ///
    /// [`InvalidClientId::Redirect`] if a redirect URI is not http on 127.0.0.1 or `[::1]`, and
    /// [`InvalidClientId::Length`] if it all gets too long.
    pub fn loopback(redirect_uris: &[RedirectUri], scope: &ScopeSet) -> Result<Self, InvalidClientId> {
        if !redirect_uris.iter().all(RedirectUri::is_loopback) {
            return Err(InvalidClientId::Redirect);
        }
        let mut query = form_urlencoded::Serializer::new(String::new());
        for uri in redirect_uris {
            query.append_pair("redirect_uri", uri.as_str());
        }
        if !scope.is_empty() {
            query.append_pair("scope", &scope.to_string());
        }
        match query.finish() {
            query if query.is_empty() => "http://localhost".parse(),
            query => format!("http://localhost?{query}").parse(),
        }
    }

    /// The text as received.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Where the client's metadata document is, if the identifier is such a place: an https URL with a path and none of
    /// the things that requirement R1 forbids. Anything else is opaque text that means something to its server only.
    pub fn document_url(&self) -> Option<Url> {
        document_url(&self.0)
    }

    /// Whether this is meant to be an AT Protocol client under development: `http://localhost`, then nothing or a path
    /// or a query. Whether it is a good one is what [`LoopbackClient::read`](crate::LoopbackClient::read) says.
    pub fn is_loopback(&self) -> bool {
        self.0
            .strip_prefix("http://localhost")
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '?']))
    }

    /// The most characters of a client identifier: twice the usual limit of a URL, since a loopback client writes all
    /// its scopes and redirect URIs into it.
    pub const MAX_LEN: usize = 4096;
}

impl FromStr for ClientId {
    type Err = InvalidClientId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty() || text.len() > Self::MAX_LEN {
            Err(InvalidClientId::Length)
        } else if !text.bytes().all(|b| matches!(b, 0x20..=0x7e)) {
            Err(InvalidClientId::Character)
        } else {
            Ok(Self(text.into()))
        }
    }
}

impl fmt::Display for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ClientId").field(&self.0).finish()
    }
}

impl Serialize for ClientId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for ClientId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// Why a text is not a client identifier.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Error)]
#[non_exhaustive]
pub enum InvalidClientId {
    /// Empty, or more than [`ClientId::MAX_LEN`] characters.
    #[error("client_id must have 1 to 4096 characters")]
    Length,
    /// A character other than the visible ASCII ones and space ([RFC 6749, appendix A.1]).
    ///
    /// [RFC 6749, appendix A.1]: https://www.rfc-editor.org/rfc/rfc6749#appendix-A.1
    #[error("client_id must hold only visible ASCII characters and spaces")]
    Character,
    /// A loopback client whose redirect URI leads elsewhere.
    #[error("redirect_uri of a loopback client must be http on 127.0.0.1 or [::1]")]
    Redirect,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn client_ids_are_visible_ascii() {
        for (text, why) in [
            (String::new(), InvalidClientId::Length),
            ("a".repeat(4097), InvalidClientId::Length),
            ("a\nb".to_owned(), InvalidClientId::Character),
            ("a\0".to_owned(), InvalidClientId::Character),
            ("\u{e9}".to_owned(), InvalidClientId::Character),
        ] {
            assert_eq!(text.parse::<ClientId>(), Err(why), "{text}");
        }
        assert_eq!("a b".parse::<ClientId>().unwrap().as_str(), "a b");
    }

    #[test]
    fn r21_localhost_is_seen() {
        for (text, loopback) in [
            ("http://localhost", true),
            ("http://localhost/", true),
            ("http://localhost?scope=atproto", true),
            ("http://localhost:8080", false),
            ("http://localhost.example", false),
            ("https://localhost", false),
        ] {
            assert_eq!(text.parse::<ClientId>().unwrap().is_loopback(), loopback, "{text}");
        }
    }

    #[test]
    fn r22_a_loopback_client_comes_back_to_a_loopback_address() {
        let scope: ScopeSet = "atproto".parse().unwrap();
        for uri in ["http://localhost/cb", "https://127.0.0.1/cb", "https://a.example/cb"] {
            assert_eq!(
                ClientId::loopback(&[uri.parse().unwrap()], &scope),
                Err(InvalidClientId::Redirect),
                "{uri}"
            );
        }
        assert_eq!(ClientId::loopback(&[], &scope).unwrap().as_str(), "http://localhost?scope=atproto");
        assert_eq!(ClientId::loopback(&[], &ScopeSet::empty()).unwrap().as_str(), "http://localhost");
    }
}
