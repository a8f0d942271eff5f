//! `rpc`: calling services in the account's name.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use super::InvalidPermission;
use super::names::Names;
use super::syntax::{self, Syntax};
use crate::did::{Did, InvalidDid};
use crate::text::text_newtype;

/// Which methods of which service may be called ([rpc]).
///
/// ```
/// use vestibule_atproto_identity::{Permission, Resource};
///
/// let permission: Permission = "rpc:app.bsky.feed.getFeed?aud=did:web:api.bsky.app%23bsky_appview".parse().unwrap();
/// let Resource::Rpc(rpc) = permission.resource() else { panic!() };
/// assert!(rpc.methods().contains(&"app.bsky.feed.getFeed".parse().unwrap()));
/// ```
///
/// [rpc]: https://atproto.com/specs/permission#rpc
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rpc {
    methods: Names,
    audience: Audience,
}

impl Rpc {
    /// A permission to call these methods of this service.
    ///
    /// # Errors
    /// When there is no method, and when both are any.
    pub fn new(methods: Names, audience: Audience) -> Result<Self, InvalidPermission> {
        match &methods {
            Names::These(names) if names.is_empty() => Err(InvalidPermission::Missing(METHOD)),
            Names::Any if audience == Audience::Any => Err(InvalidPermission::AllMethodsOfAllServices),
            _ => Ok(Self { methods, audience }),
        }
    }

    /// The methods.
    pub const fn methods(&self) -> &Names {
        &self.methods
    }

    /// The service.
    pub const fn audience(&self) -> &Audience {
        &self.audience
    }

    pub(super) fn read(syntax: &Syntax<'_>) -> Result<Self, InvalidPermission> {
        syntax.only(&[METHOD, AUDIENCE])?;
        let methods = Names::read(syntax, METHOD)?;
        let audience = match syntax.one(AUDIENCE)? {
            None => return Err(InvalidPermission::Missing(AUDIENCE)),
            Some(ANY) => Audience::Any,
            Some(text) => Audience::Service(text.parse().map_err(|_| InvalidPermission::Value(AUDIENCE))?),
        };
        Self::new(methods, audience)
    }
}

impl fmt::Display for Rpc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let audience = match &self.audience {
            Audience::Any => ANY,
            Audience::Service(service) => service.as_str(),
        };
        syntax::write(f, "rpc", METHOD, &self.methods.texts(), [(AUDIENCE, audience)])
    }
}

/// Which services may be called.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(clippy::exhaustive_enums, reason = "one or any: there is nothing between")]
pub enum Audience {
    /// Any service (`*`).
    Any,
    /// This one.
    Service(ServiceRef),
}

impl Audience {
    pub(super) fn holds(&self, required: &Self) -> bool {
        *self == Self::Any || self == required
    }
}

/// A service of a DID document: the DID, and the fragment that names the service.
///
/// ```
/// use vestibule_atproto_identity::ServiceRef;
///
/// let service: ServiceRef = "did:web:api.bsky.app#bsky_appview".parse().unwrap();
/// assert_eq!(service.did().as_str(), "did:web:api.bsky.app");
/// assert_eq!(service.fragment(), "bsky_appview");
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ServiceRef {
    text: String,
    did: Did,
}

impl ServiceRef {
    /// The reference, as it was received.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The DID.
    pub const fn did(&self) -> &Did {
        &self.did
    }

    /// What stands after the `#`.
    pub fn fragment(&self) -> &str {
        self.text.split_once('#').map_or("", |(_, fragment)| fragment)
    }
}

impl FromStr for ServiceRef {
    type Err = InvalidServiceRef;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (did, fragment) = text.split_once('#').ok_or(InvalidServiceRef::Fragment)?;
        let did = did.parse().map_err(InvalidServiceRef::Did)?;
        let fits = (1..=MAX_FRAGMENT).contains(&fragment.len())
            && fragment.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~".contains(&b));
        if fits { Ok(Self { text: text.to_owned(), did }) } else { Err(InvalidServiceRef::Fragment) }
    }
}

text_newtype!(ServiceRef);

/// Why a text names no service.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum InvalidServiceRef {
    /// What stands before the `#` is no DID.
    #[error("service must be named by a DID: {0}")]
    Did(InvalidDid),
    /// There is no `#`, or no name of letters, digits and `-._~` after it.
    #[error("service must be named by a DID, # and 1 to 256 letters, digits and -._~")]
    Fragment,
}

const METHOD: &str = "lxm";
const AUDIENCE: &str = "aud";
const ANY: &str = "*";
/// Names in use have less than 20 characters.
const MAX_FRAGMENT: usize = 256;

#[cfg(test)]
mod tests {
    use super::super::Permission;
    use super::*;

    #[test]
    fn r114_rpc_names_methods_and_one_service() {
        for (text, why) in [
            ("rpc", InvalidPermission::Missing("lxm")),
            ("rpc:a.b.c", InvalidPermission::Missing("aud")),
            ("rpc:?aud=*", InvalidPermission::Value("lxm")),
            ("rpc:a.b.*?aud=*", InvalidPermission::Value("lxm")),
            ("rpc:*?aud=*", InvalidPermission::AllMethodsOfAllServices),
            ("rpc?lxm=a.b.c&lxm=*&aud=*", InvalidPermission::AllMethodsOfAllServices),
            ("rpc:a.b.c?aud=*&aud=*", InvalidPermission::Repeated("aud")),
            ("rpc:a.b.c?aud=did:web:a.com", InvalidPermission::Value("aud")),
            ("rpc:a.b.c?aud=did:web%23b", InvalidPermission::Value("aud")),
            ("rpc:a.b.c?aud=did:web:a.com%23", InvalidPermission::Value("aud")),
            ("rpc:a.b.c?aud=*&x=y", InvalidPermission::UnknownParameter("x".to_owned())),
        ] {
            assert_eq!(text.parse::<Permission>(), Err(why), "{text}");
        }
        assert!("rpc?lxm=a.b.c&lxm=a.b.d&aud=did:web:a.com#b".parse::<Permission>().is_ok());
    }

    #[test]
    fn a_service_is_a_did_and_a_fragment() {
        assert_eq!("did:web:a.com#b".parse::<ServiceRef>().unwrap().to_string(), "did:web:a.com#b");
        for (text, why) in [
            ("did:web:a.com", InvalidServiceRef::Fragment),
            ("did:web:a.com#", InvalidServiceRef::Fragment),
            ("did:web:a.com#b#c", InvalidServiceRef::Fragment),
            ("a.com#b", InvalidServiceRef::Did(InvalidDid::Prefix)),
        ] {
            assert_eq!(text.parse::<ServiceRef>(), Err(why), "{text}");
        }
    }
}
