//! `include`: a set of permissions that was published under a name.

use std::fmt;

use super::InvalidPermission;
use super::rpc::ServiceRef;
use super::syntax::{self, Syntax};
use crate::nsid::Nsid;

/// A reference to a published permission set, and the service that its calls go to ([include]).
///
/// `aud=*` is refused, as the reference server does: a set that should reach every service says so itself.
///
/// [include]: https://atproto.com/specs/permission#include
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Include {
    set: Nsid,
    audience: Option<ServiceRef>,
}

impl Include {
    /// A permission for everything in `set`; calls that inherit their audience go to `audience`.
    pub const fn new(set: Nsid, audience: Option<ServiceRef>) -> Self {
        Self { set, audience }
    }

    /// The name of the set.
    pub const fn set(&self) -> &Nsid {
        &self.set
    }

    /// The service that calls go to which inherit their audience.
    pub const fn audience(&self) -> Option<&ServiceRef> {
        self.audience.as_ref()
    }

    pub(super) fn read(syntax: &Syntax<'_>) -> Result<Self, InvalidPermission> {
        syntax.only(&[SET, AUDIENCE])?;
        let set = syntax.one(SET)?.ok_or(InvalidPermission::Missing(SET))?;
        let audience = syntax.one(AUDIENCE)?.map(str::parse).transpose();
        Ok(Self {
            set: set.parse().map_err(|_| InvalidPermission::Value(SET))?,
            audience: audience.map_err(|_| InvalidPermission::Value(AUDIENCE))?,
        })
    }
}

impl fmt::Display for Include {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let audience = self.audience.as_ref().map(|service| (AUDIENCE, service.as_str()));
        syntax::write(f, "include", SET, &[self.set.as_str()], audience)
    }
}

const SET: &str = "nsid";
const AUDIENCE: &str = "aud";

#[cfg(test)]
mod tests {
    use super::super::{Permission, Resource};
    use super::*;

    #[test]
    fn r118_include_names_a_set_and_perhaps_a_service() {
        for (text, audience) in [
            ("include:com.example.baz", None),
            ("include:com.example.baz?aud=did:web:example.com%23svc", Some("did:web:example.com#svc")),
            ("include?aud=did:web:example.com#svc&nsid=com.example.baz", Some("did:web:example.com#svc")),
        ] {
            let permission: Permission = text.parse().unwrap();
            let Resource::Include(include) = permission.resource() else { panic!("{text}") };
            assert_eq!(include.set().as_str(), "com.example.baz");
            assert_eq!(include.audience().map(ServiceRef::as_str), audience);
        }
        for (text, why) in [
            ("include", InvalidPermission::Missing("nsid")),
            ("include:", InvalidPermission::Value("nsid")),
            ("include:*", InvalidPermission::Value("nsid")),
            ("include:com.example.baz?aud=", InvalidPermission::Value("aud")),
            ("include:com.example.baz?aud=*", InvalidPermission::Value("aud")),
            ("include:com.example.baz?aud=did:web:example.com", InvalidPermission::Value("aud")),
            ("include?nsid=com.example.baz&nsid=com.example.baz", InvalidPermission::Repeated("nsid")),
        ] {
            assert_eq!(text.parse::<Permission>(), Err(why), "{text}");
        }
    }
}
