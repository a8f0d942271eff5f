//! `account` and `identity`: the hosting account, and the name it goes by.

use std::fmt;

use super::InvalidPermission;
use super::syntax::{self, Syntax};

/// What may be seen or changed of the hosting account ([account]).
///
/// [account]: https://atproto.com/specs/permission#account
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Account {
    attribute: AccountAttribute,
    action: AccountAction,
}

impl Account {
    /// A permission for this action on this attribute.
    pub const fn new(attribute: AccountAttribute, action: AccountAction) -> Self {
        Self { attribute, action }
    }

    /// The attribute.
    pub const fn attribute(&self) -> AccountAttribute {
        self.attribute
    }

    /// The action: reading, when the permission names none.
    pub const fn action(&self) -> AccountAction {
        self.action
    }

    pub(super) fn read(syntax: &Syntax<'_>) -> Result<Self, InvalidPermission> {
        syntax.only(&[ATTRIBUTE, ACTION])?;
        let attribute = match syntax.one(ATTRIBUTE)? {
            None => return Err(InvalidPermission::Missing(ATTRIBUTE)),
            Some("email") => AccountAttribute::Email,
            Some("repo") => AccountAttribute::Repo,
            Some(_) => return Err(InvalidPermission::Value(ATTRIBUTE)),
        };
        let action = match syntax.one(ACTION)? {
            None | Some("read") => AccountAction::Read,
            Some("manage") => AccountAction::Manage,
            Some(_) => return Err(InvalidPermission::Value(ACTION)),
        };
        Ok(Self { attribute, action })
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let attribute = match self.attribute {
            AccountAttribute::Email => "email",
            AccountAttribute::Repo => "repo",
        };
        let action = (self.action == AccountAction::Manage).then_some((ACTION, "manage"));
        syntax::write(f, "account", ATTRIBUTE, &[attribute], action)
    }
}

/// A part of the hosting account.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum AccountAttribute {
    /// The e-mail address.
    Email,
    /// The repository as a whole: importing one.
    Repo,
}

/// What may be done with a part of the hosting account. The greater holds the lesser.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[non_exhaustive]
pub enum AccountAction {
    /// Seeing it.
    Read,
    /// Seeing and changing it.
    Manage,
}

/// What may be changed of the identity ([identity]).
///
/// [identity]: https://atproto.com/specs/permission#identity
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum IdentityAttribute {
    /// The handle.
    Handle,
    /// All of it: the DID document and the handle.
    All,
}

impl IdentityAttribute {
    /// The word in a scope value.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Handle => "handle",
            Self::All => "*",
        }
    }

    pub(super) fn read(syntax: &Syntax<'_>) -> Result<Self, InvalidPermission> {
        syntax.only(&[ATTRIBUTE])?;
        match syntax.one(ATTRIBUTE)? {
            None => Err(InvalidPermission::Missing(ATTRIBUTE)),
            Some("handle") => Ok(Self::Handle),
            Some("*") => Ok(Self::All),
            Some(_) => Err(InvalidPermission::Value(ATTRIBUTE)),
        }
    }
}

const ATTRIBUTE: &str = "attr";
const ACTION: &str = "action";

#[cfg(test)]
mod tests {
    use super::super::Permission;
    use super::*;

    #[test]
    fn r116_account_names_one_attribute() {
        for (text, why) in [
            ("account", InvalidPermission::Missing("attr")),
            ("account:", InvalidPermission::Value("attr")),
            ("account:status", InvalidPermission::Value("attr")),
            ("account:status?action=manage", InvalidPermission::Value("attr")),
            ("account:Email", InvalidPermission::Value("attr")),
            ("account:*", InvalidPermission::Value("attr")),
            ("account?attr=email&attr=repo", InvalidPermission::Repeated("attr")),
            ("account:email?action=update", InvalidPermission::Value("action")),
            ("account:email?action=read&action=manage", InvalidPermission::Repeated("action")),
        ] {
            assert_eq!(text.parse::<Permission>(), Err(why), "{text}");
        }
    }

    #[test]
    fn r117_identity_names_the_handle_or_all() {
        for (text, why) in [
            ("identity", InvalidPermission::Missing("attr")),
            ("identity:Handle", InvalidPermission::Value("attr")),
            ("identity:*?action=manage", InvalidPermission::UnknownParameter("action".to_owned())),
            ("identity:*?attr=*", InvalidPermission::Repeated("attr")),
        ] {
            assert_eq!(text.parse::<Permission>(), Err(why), "{text}");
        }
        assert!("identity:*?".parse::<Permission>().is_ok());
    }
}
