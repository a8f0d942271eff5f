//! What a server granted: a list of permissions, read without complaint.

use std::fmt;

use super::{CHAT, Need, Permission, Resource, Transition};

/// The permissions that a server granted, in the order it named them.
///
/// Whatever a server grants that is not understood here allows nothing, and fails nothing.
///
/// ```
/// use vestibule_atproto_identity::GrantedPermissions;
///
/// let granted = GrantedPermissions::from_scope("atproto repo:a.b.c repo:a.b.d?action=create future:thing");
/// let covers = |text: &str| granted.covers(&text.parse().unwrap());
/// assert!(granted.contain("atproto"));
/// assert!(covers("repo?collection=a.b.c&collection=a.b.d&action=create"));
/// assert!(!covers("repo:a.b.d"));
/// ```
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct GrantedPermissions(Vec<Permission>);

impl GrantedPermissions {
    /// Reads the `scope` of a token response. A value of a known resource that breaks its rules is kept as text, as one
    /// of an unknown resource is; what is no scope value at all is dropped, and so is what comes after 1000 values.
    pub fn from_scope(scope: &str) -> Self {
        scope.split(' ').take(MAX_VALUES).filter_map(lenient).collect()
    }

    /// The permissions.
    pub fn as_slice(&self) -> &[Permission] {
        &self.0
    }

    /// Whether exactly this value is among them.
    pub fn contain(&self, value: &str) -> bool {
        self.0.iter().any(|permission| permission.text == value)
    }

    /// Whether these together allow everything that `required` would.
    ///
    /// An `include` is covered by the same `include`; to have it cover what is in the set, expand it with
    /// [`PermissionSet::expand`](crate::PermissionSet::expand) and add the result.
    pub fn covers(&self, required: &Permission) -> bool {
        required.needs().iter().all(|need| self.meets(need))
    }

    /// Those of `required` that these do not cover, in their order.
    ///
    /// ```
    /// use vestibule_atproto_identity::{GrantedPermissions, Permission};
    ///
    /// let granted = GrantedPermissions::from_scope("atproto transition:generic");
    /// let required: [Permission; 2] = ["repo:*".parse().unwrap(), "account:email".parse().unwrap()];
    /// let missing: Vec<&str> = granted.missing(&required).map(Permission::as_str).collect();
    /// assert_eq!(missing, ["account:email"]);
    /// ```
    pub fn missing<'a>(&'a self, required: &'a [Permission]) -> impl Iterator<Item = &'a Permission> {
        required.iter().filter(|permission| !self.covers(permission))
    }

    fn meets(&self, need: &Need<'_>) -> bool {
        self.0.iter().any(|permission| permission.meets(need)) || self.meets_by_chat(need)
    }

    /// `transition:chat.bsky` lifts the one limit that `transition:generic` has on calls, and needs it for that.
    fn meets_by_chat(&self, need: &Need<'_>) -> bool {
        let has = |own| self.0.iter().any(|permission| permission.resource == Resource::Transition(own));
        match need {
            Need::Rpc(name, _) => {
                name.is_none_or(|name| name.as_str().starts_with(CHAT))
                    && has(Transition::ChatBsky)
                    && has(Transition::Generic)
            }
            _ => false,
        }
    }
}

fn lenient(text: &str) -> Option<Permission> {
    match text.parse() {
        Ok(permission) => Some(permission),
        Err(super::InvalidPermission::Character | super::InvalidPermission::TooLong) => None,
        Err(_) => Some(Permission { text: text.to_owned(), resource: Resource::Unknown }),
    }
}

impl FromIterator<Permission> for GrantedPermissions {
    fn from_iter<I: IntoIterator<Item = Permission>>(permissions: I) -> Self {
        Self(permissions.into_iter().collect())
    }
}

impl Extend<Permission> for GrantedPermissions {
    fn extend<I: IntoIterator<Item = Permission>>(&mut self, permissions: I) {
        self.0.extend(permissions);
    }
}

/// The values with a space between each two, as `scope` has them.
impl fmt::Display for GrantedPermissions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, permission) in self.0.iter().enumerate() {
            let space = if index == 0 { "" } else { " " };
            write!(f, "{space}{permission}")?;
        }
        Ok(())
    }
}

/// Far more values than fit a consent page; a token response of 64 KiB could name 30000.
const MAX_VALUES: usize = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    fn covers(granted: &str, required: &str) -> bool {
        GrantedPermissions::from_scope(granted).covers(&required.parse().unwrap())
    }

    #[test]
    fn r121_a_grant_is_never_an_error() {
        let scope = "atproto account:status repo:% space:a.b.c";
        let granted = GrantedPermissions::from_scope(scope);
        assert_eq!(granted.to_string(), scope);
        assert_eq!(granted.as_slice().len(), 4);
        assert!(granted.contain("account:status") && !granted.contain("account"));
        assert_eq!(GrantedPermissions::from_scope("atproto  é").to_string(), "atproto");
        assert_eq!(GrantedPermissions::from_scope("").as_slice(), []);
        assert_eq!(GrantedPermissions::from_scope(&"a ".repeat(5000)).as_slice().len(), 1000);
    }

    #[test]
    fn several_together_cover_what_none_does_alone() {
        for (granted, required, yes) in [
            ("repo:a.b.c repo:a.b.d", "repo?collection=a.b.c&collection=a.b.d", true),
            ("repo:*?action=create repo:a.b.c?action=delete", "repo:a.b.c?action=create&action=delete", true),
            ("repo:*?action=create repo:a.b.c?action=delete", "repo:*?action=delete", false),
            ("blob:image/* blob:video/*", "blob?accept=video/mp4&accept=image/png", true),
            ("blob:image/* blob:video/*", "blob:*/*", false),
            ("", "atproto", false),
        ] {
            assert_eq!(covers(granted, required), yes, "{granted} for {required}");
        }
    }

    #[test]
    fn r120_chat_needs_generic() {
        for (granted, required, yes) in [
            ("transition:generic transition:chat.bsky", "rpc:chat.bsky.convo.getLog?aud=*", true),
            ("transition:generic transition:chat.bsky", "rpc:*?aud=did:web:a.com%23b", true),
            ("transition:chat.bsky", "rpc:chat.bsky.convo.getLog?aud=*", false),
            ("transition:generic", "rpc:chat.bsky.convo.getLog?aud=*", false),
            ("transition:generic", "rpc:chat.bskyx.getLog?aud=*", true),
        ] {
            assert_eq!(covers(granted, required), yes, "{granted} for {required}");
        }
    }
}
