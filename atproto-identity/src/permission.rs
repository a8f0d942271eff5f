//! Permissions: the scopes of AT Protocol, one value each ([permission syntax]).
//!
//! [permission syntax]: https://atproto.com/specs/permission#scope-string-syntax

mod account;
mod blob;
mod granted;
mod include;
mod names;
mod repo;
mod rpc;
mod syntax;

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

pub use account::{Account, AccountAction, AccountAttribute, IdentityAttribute};
pub use blob::{Blob, InvalidMediaRange, MediaRange};
pub use granted::GrantedPermissions;
pub use include::Include;
pub use names::Names;
pub use repo::{Repo, RepoAction};
pub use rpc::{Audience, InvalidServiceRef, Rpc, ServiceRef};

use self::syntax::{Syntax, is_scope_token};
use crate::text::text_newtype;

/// One value of `scope`, kept and printed as it was received.
///
/// A value of a resource that is not known here, such as one that came into use later, is kept as
/// [`Resource::Unknown`]: it is never an error, and allows nothing. A value of a known resource that breaks its rules
/// is an error; lists that came from a server are read by [`GrantedPermissions`], which bears those too.
///
/// ```
/// use vestibule_atproto_identity::{Permission, RepoAction, Resource};
///
/// let permission: Permission = "repo:app.bsky.feed.post?action=create".parse().unwrap();
/// assert_eq!(permission.as_str(), "repo:app.bsky.feed.post?action=create");
/// let Resource::Repo(repo) = permission.resource() else { panic!() };
/// assert!(repo.actions().contains(&RepoAction::Create));
///
/// let all: Permission = "repo:*".parse().unwrap();
/// assert!(all.covers(&permission));
/// assert!(!permission.covers(&all));
///
/// let future: Permission = "space:com.example.forum?authority=*".parse().unwrap();
/// assert_eq!(future.resource(), &Resource::Unknown);
/// assert!("account:status".parse::<Permission>().is_err());
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Permission {
    text: String,
    resource: Resource,
}

impl Permission {
    /// The value, as it was received or as it was made.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// What it means.
    pub const fn resource(&self) -> &Resource {
        &self.resource
    }

    /// Whether this value alone allows everything that `required` would. Several values together may allow what none
    /// does alone: ask [`GrantedPermissions::covers`].
    pub fn covers(&self, required: &Self) -> bool {
        required.needs().iter().all(|need| self.meets(need))
    }

    /// The value taken apart: it is covered when each of these is met.
    fn needs(&self) -> Vec<Need<'_>> {
        match &self.resource {
            Resource::Repo(repo) => repo
                .collections()
                .each()
                .flat_map(|name| repo.actions().iter().map(move |action| Need::Repo(name, *action)))
                .collect(),
            Resource::Rpc(rpc) => rpc.methods().each().map(|name| Need::Rpc(name, rpc.audience())).collect(),
            Resource::Blob(blob) => blob.accept().iter().map(Need::Blob).collect(),
            Resource::Account(account) => vec![Need::Account(account.attribute(), account.action())],
            Resource::Identity(attribute) => vec![Need::Identity(*attribute)],
            Resource::Include(include) => vec![Need::Include(include)],
            Resource::Atproto | Resource::Transition(_) | Resource::Unknown => vec![Need::Text(&self.text)],
        }
    }

    /// Whether this value alone meets one need.
    fn meets(&self, need: &Need<'_>) -> bool {
        match (&self.resource, need) {
            (Resource::Repo(repo), Need::Repo(name, action)) => {
                repo.actions().contains(action) && repo.collections().hold(*name)
            }
            (Resource::Rpc(rpc), Need::Rpc(name, audience)) => {
                rpc.methods().hold(*name) && rpc.audience().holds(audience)
            }
            (Resource::Blob(blob), Need::Blob(range)) => blob.accept().iter().any(|own| own.holds(range)),
            (Resource::Account(account), Need::Account(attribute, action)) => {
                account.attribute() == *attribute && account.action() >= *action
            }
            (Resource::Identity(own), Need::Identity(attribute)) => {
                *own == IdentityAttribute::All || own == attribute
            }
            (Resource::Include(own), Need::Include(include)) => own == *include,
            (Resource::Transition(own), _) if own.meets(need) => true,
            (_, Need::Text(text)) => self.text == **text,
            _ => false,
        }
    }
}

impl FromStr for Permission {
    type Err = InvalidPermission;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() > MAX_LENGTH {
            return Err(InvalidPermission::TooLong);
        }
        if !is_scope_token(text) {
            return Err(InvalidPermission::Character);
        }
        let resource = match text {
            "atproto" => Resource::Atproto,
            "transition:generic" => Resource::Transition(Transition::Generic),
            "transition:email" => Resource::Transition(Transition::Email),
            "transition:chat.bsky" => Resource::Transition(Transition::ChatBsky),
            _ => match syntax::resource(text) {
                "repo" => Resource::Repo(Repo::read(&Syntax::parse(text, "collection")?)?),
                "rpc" => Resource::Rpc(Rpc::read(&Syntax::parse(text, "lxm")?)?),
                "blob" => Resource::Blob(Blob::read(&Syntax::parse(text, "accept")?)?),
                "account" => Resource::Account(Account::read(&Syntax::parse(text, "attr")?)?),
                "identity" => Resource::Identity(IdentityAttribute::read(&Syntax::parse(text, "attr")?)?),
                "include" => Resource::Include(Include::read(&Syntax::parse(text, "nsid")?)?),
                _ => Resource::Unknown,
            },
        };
        Ok(Self { text: text.to_owned(), resource })
    }
}

text_newtype!(Permission);

/// Makes `From` for one resource, by way of the text it prints as.
macro_rules! permission_from {
    ($($name:ident),*) => {
        $(impl From<$name> for Permission {
            fn from(value: $name) -> Self {
                Self { text: value.to_string(), resource: Resource::$name(value) }
            }
        })*
    };
}

permission_from!(Account, Blob, Include, Repo, Rpc, Transition);

impl From<IdentityAttribute> for Permission {
    fn from(value: IdentityAttribute) -> Self {
        Self { text: format!("identity:{}", value.as_str()), resource: Resource::Identity(value) }
    }
}

/// What a permission is about.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Resource {
    /// `atproto`: this is a sign-in of AT Protocol. Every login asks for it.
    Atproto,
    /// `repo`: writing records.
    Repo(Repo),
    /// `rpc`: calling services in the account's name.
    Rpc(Rpc),
    /// `blob`: uploading media.
    Blob(Blob),
    /// `account`: the hosting account at the PDS.
    Account(Account),
    /// `identity`: the handle and the DID document.
    Identity(IdentityAttribute),
    /// `include`: a set of permissions that was published.
    Include(Include),
    /// `transition`: the wide permissions from before the others.
    Transition(Transition),
    /// Another: kept as text, and otherwise ignored.
    Unknown,
}

/// The wide permissions from before the fine ones, which are being phased out ([transitional scopes]).
///
/// [transitional scopes]: https://atproto.com/specs/oauth#transitional-scopes
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Transition {
    /// `transition:generic`: all records and blobs, and all calls but those of `chat.bsky`.
    Generic,
    /// `transition:email`: reading the e-mail address of the account.
    Email,
    /// `transition:chat.bsky`: calls of `chat.bsky` too; it is of use beside `transition:generic` only.
    ChatBsky,
}

impl Transition {
    fn meets(self, need: &Need<'_>) -> bool {
        match (self, need) {
            (Self::Generic, Need::Repo(..) | Need::Blob(_)) => true,
            (Self::Generic, Need::Rpc(Some(name), _)) => !name.as_str().starts_with(CHAT),
            (Self::Email, Need::Account(attribute, action)) => {
                (*attribute, *action) == (AccountAttribute::Email, AccountAction::Read)
            }
            _ => false,
        }
    }
}

impl fmt::Display for Transition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Generic => "transition:generic",
            Self::Email => "transition:email",
            Self::ChatBsky => "transition:chat.bsky",
        })
    }
}

/// The smallest thing that a permission can ask for. A name that is `None` is "any".
#[derive(Clone, Copy, Debug)]
enum Need<'a> {
    Repo(Option<&'a crate::Nsid>, RepoAction),
    Rpc(Option<&'a crate::Nsid>, &'a Audience),
    Blob(&'a MediaRange),
    Account(AccountAttribute, AccountAction),
    Identity(IdentityAttribute),
    Include(&'a Include),
    Text(&'a str),
}

/// Why a text is no permission.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum InvalidPermission {
    /// Longer than any that makes sense.
    #[error("scope value must have at most 8192 characters")]
    TooLong,
    /// It is empty, or holds a character that no scope value may hold.
    #[error("scope value must be printable ASCII without spaces, quotation marks and backslashes")]
    Character,
    /// A percent sign that is not followed by two hexadecimal digits, or octets that are not UTF-8.
    #[error("scope value must have percent-encoded UTF-8 after each percent sign")]
    Escape,
    /// A parameter that is not of the form `name=value`.
    #[error("scope value must have parameters of the form name=value, with & between them")]
    Parameter,
    /// More parameters than are read.
    #[error("scope value must have at most 128 parameters")]
    TooManyParameters,
    /// A parameter that this resource has not; its name.
    #[error("scope value must not have the parameter {0:?}")]
    UnknownParameter(String),
    /// A parameter that may be given once was given again, or by position and by name; its name.
    #[error("scope value must give {0} once")]
    Repeated(&'static str),
    /// A parameter that must be given was not; its name.
    #[error("scope value must give {0}")]
    Missing(&'static str),
    /// A parameter has a value that it may not have; its name.
    #[error("scope value must give an acceptable {0}")]
    Value(&'static str),
    /// `rpc` for all methods of all services.
    #[error("scope value must not name all methods and all services at once")]
    AllMethodsOfAllServices,
}

/// A DID and an NSID, with every character percent-encoded, fit.
const MAX_LENGTH: usize = 8192;
/// What `transition:generic` leaves to `transition:chat.bsky`.
const CHAT: &str = "chat.bsky.";

#[cfg(test)]
mod tests {
    use super::*;

    fn covers(granted: &str, required: &str) -> bool {
        let parse = |text: &str| text.parse::<Permission>().unwrap();
        parse(granted).covers(&parse(required))
    }

    #[test]
    fn r111_a_value_is_a_scope_token() {
        for text in ["", "repo:*\u{7f}", "repo: *", "a b", "\"", "\\", "é", "\t"] {
            assert_eq!(text.parse::<Permission>(), Err(InvalidPermission::Character), "{text:?}");
        }
        assert_eq!("a".repeat(8193).parse::<Permission>(), Err(InvalidPermission::TooLong));
    }

    #[test]
    fn r121_what_is_not_known_is_kept_and_allows_nothing_else() {
        for text in
            ["space:com.example.forum", "invalid", "Repo:*", "atproto:x", "transition:later", "%", "a?b"]
        {
            let permission: Permission = text.parse().unwrap();
            assert_eq!((permission.as_str(), permission.resource()), (text, &Resource::Unknown));
            assert!(covers(text, text));
            assert!(
                !covers(text, "repo:*") && !covers("repo:*", text) && !covers("transition:generic", text)
            );
        }
    }

    #[test]
    fn what_is_printed_reads_back_as_itself() {
        for (text, canonical) in [
            (
                "repo?collection=a.b.d&collection=a.b.c&action=delete",
                "repo?collection=a.b.c&collection=a.b.d&action=delete",
            ),
            ("repo:%61.b.c?", "repo:a.b.c"),
            ("repo:a.b.c?action=delete&action=create&action=update", "repo:a.b.c"),
            ("repo?collection=*&collection=a.b.c", "repo:*"),
            ("rpc?aud=did%3Aweb%3Aa.com%23b&lxm=*", "rpc:*?aud=did:web:a.com%23b"),
            ("rpc:a.b.c?aud=*", "rpc:a.b.c?aud=*"),
            ("blob?accept=image/svg%2Bxml&accept=video/*", "blob?accept=image/svg%2Bxml&accept=video/*"),
            ("account?attr=email&action=read", "account:email"),
            ("account:repo?action=manage", "account:repo?action=manage"),
            ("identity?attr=*", "identity:*"),
            ("include:a.b.c?aud=did:web:a.com#b", "include:a.b.c?aud=did:web:a.com%23b"),
            ("transition:email", "transition:email"),
        ] {
            let permission: Permission = text.parse().unwrap();
            assert_eq!(permission.to_string(), text, "the text that was received is kept");
            let made: Permission = match permission.resource().clone() {
                Resource::Repo(value) => value.into(),
                Resource::Rpc(value) => value.into(),
                Resource::Blob(value) => value.into(),
                Resource::Account(value) => value.into(),
                Resource::Identity(value) => value.into(),
                Resource::Include(value) => value.into(),
                Resource::Transition(value) => value.into(),
                Resource::Atproto | Resource::Unknown => panic!("{text}"),
            };
            assert_eq!(made.as_str(), canonical);
            assert_eq!(canonical.parse::<Permission>(), Ok(made.clone()));
            assert!(made.covers(&permission) && permission.covers(&made), "{text}");
        }
    }

    #[test]
    fn r113_repo_covers_by_collection_and_action() {
        for (granted, required, yes) in [
            ("repo:a.b.c", "repo:a.b.c?action=create", true),
            ("repo:a.b.c?action=create", "repo:a.b.c", false),
            ("repo?collection=a.b.c&collection=a.b.d", "repo:a.b.d", true),
            ("repo:a.b.c", "repo?collection=a.b.c&collection=a.b.d", false),
            ("repo:a.b.c", "repo:*", false),
            ("repo:*?action=delete", "repo:a.b.c?action=delete", true),
            ("repo:*", "blob:*/*", false),
        ] {
            assert_eq!(covers(granted, required), yes, "{granted} for {required}");
        }
    }

    #[test]
    fn r114_to_r118_the_others_cover_by_their_own_rules() {
        for (granted, required, yes) in [
            ("rpc:a.b.c?aud=*", "rpc:a.b.c?aud=did:web:a.com%23b", true),
            ("rpc:a.b.c?aud=did:web:a.com%23b", "rpc:a.b.c?aud=*", false),
            ("rpc:*?aud=did:web:a.com%23b", "rpc:a.b.c?aud=did:web:a.com%23b", true),
            ("rpc:*?aud=did:web:a.com%23b", "rpc:a.b.c?aud=did:web:a.com%23c", false),
            ("rpc:a.b.c?aud=did:web:a.com%23b", "rpc:*?aud=did:web:a.com%23b", false),
            ("blob:*/*", "blob:image/*", true),
            ("blob:image/*", "blob:image/png", true),
            ("blob:image/*", "blob:imagex/png", false),
            ("blob:image/png", "blob:image/*", false),
            ("account:repo?action=manage", "account:repo", true),
            ("account:repo", "account:repo?action=manage", false),
            ("account:email", "account:repo", false),
            ("identity:*", "identity:handle", true),
            ("identity:handle", "identity:*", false),
            ("include:a.b.c?aud=did:web:a.com%23b", "include:a.b.c?aud=did:web:a.com#b", true),
            ("include:a.b.c", "include:a.b.c?aud=did:web:a.com#b", false),
            ("include:a.b.c", "repo:a.b.d", false),
            ("atproto", "atproto", true),
            ("atproto", "identity:handle", false),
        ] {
            assert_eq!(covers(granted, required), yes, "{granted} for {required}");
        }
    }

    #[test]
    fn r120_the_wide_permissions_cover_what_they_always_did() {
        for (granted, required, yes) in [
            ("transition:generic", "repo:*", true),
            ("transition:generic", "blob:*/*", true),
            ("transition:generic", "rpc:a.b.c?aud=*", true),
            ("transition:generic", "rpc:chat.bsky.convo.getLog?aud=*", false),
            ("transition:generic", "rpc:*?aud=did:web:a.com%23b", false),
            ("transition:generic", "account:email", false),
            ("transition:generic", "identity:handle", false),
            ("transition:chat.bsky", "rpc:chat.bsky.convo.getLog?aud=*", false),
            ("transition:email", "account:email", true),
            ("transition:email", "account:email?action=manage", false),
            ("transition:generic", "transition:generic", true),
            ("transition:generic", "transition:email", false),
        ] {
            assert_eq!(covers(granted, required), yes, "{granted} for {required}");
        }
    }
}
