//! `repo`: writing records.

use std::collections::BTreeSet;
use std::fmt;

use super::InvalidPermission;
use super::names::Names;
use super::syntax::{self, Syntax};

/// Which records may be written, and how ([repo]).
///
/// ```
/// use vestibule_atproto_identity::{Permission, Repo, RepoAction};
///
/// let repo = Repo::new(["app.bsky.feed.like".parse().unwrap()].into_iter().collect(), [RepoAction::Create]).unwrap();
/// assert_eq!(Permission::from(repo).as_str(), "repo:app.bsky.feed.like?action=create");
/// ```
///
/// [repo]: https://atproto.com/specs/permission#repo
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Repo {
    collections: Names,
    actions: BTreeSet<RepoAction>,
}

impl Repo {
    /// A permission for these actions on these collections.
    ///
    /// # Errors
    /// When there is no collection or no action.
    pub fn new(
        collections: Names,
        actions: impl IntoIterator<Item = RepoAction>,
    ) -> Result<Self, InvalidPermission> {
        let actions: BTreeSet<RepoAction> = actions.into_iter().collect();
        if matches!(&collections, Names::These(names) if names.is_empty()) {
            Err(InvalidPermission::Missing(COLLECTION))
        } else if actions.is_empty() {
            Err(InvalidPermission::Missing(ACTION))
        } else {
            Ok(Self { collections, actions })
        }
    }

    /// The collections.
    pub const fn collections(&self) -> &Names {
        &self.collections
    }

    /// The actions; all of them when the permission names none.
    pub const fn actions(&self) -> &BTreeSet<RepoAction> {
        &self.actions
    }

    pub(super) fn read(syntax: &Syntax<'_>) -> Result<Self, InvalidPermission> {
        syntax.only(&[COLLECTION, ACTION])?;
        let collections = Names::read(syntax, COLLECTION)?;
        let mut actions = BTreeSet::new();
        for value in syntax.all(ACTION) {
            actions.insert(RepoAction::read(value).ok_or(InvalidPermission::Value(ACTION))?);
        }
        if actions.is_empty() {
            actions.extend(RepoAction::ALL);
        }
        Self::new(collections, actions)
    }
}

impl fmt::Display for Repo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = self.actions.iter().filter(|_| self.actions.len() < RepoAction::ALL.len());
        let actions = named.map(|action| (ACTION, action.as_str()));
        syntax::write(f, "repo", COLLECTION, &self.collections.texts(), actions)
    }
}

/// What may be done to a record.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[non_exhaustive]
pub enum RepoAction {
    /// Making a record.
    Create,
    /// Replacing one.
    Update,
    /// Removing one.
    Delete,
}

impl RepoAction {
    /// All of them, which is what a permission means that names none.
    pub const ALL: [Self; 3] = [Self::Create, Self::Update, Self::Delete];

    /// The word in a scope value.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Update => "update",
            Self::Delete => "delete",
        }
    }

    pub(crate) fn read(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.as_str() == text)
    }
}

const COLLECTION: &str = "collection";
const ACTION: &str = "action";

#[cfg(test)]
mod tests {
    use super::super::Permission;
    use super::*;

    #[test]
    fn r113_repo_names_collections_and_actions() {
        for (text, why) in [
            ("repo", InvalidPermission::Missing("collection")),
            ("repo:", InvalidPermission::Value("collection")),
            ("repo:app.bsky.*", InvalidPermission::Value("collection")),
            ("repo:*?action=*", InvalidPermission::Value("action")),
            ("repo:*?action=", InvalidPermission::Value("action")),
            ("repo:*?action=Create", InvalidPermission::Value("action")),
            ("repo:*?Action=create", InvalidPermission::UnknownParameter("Action".to_owned())),
            ("repo:a.b.c?collection=a.b.c", InvalidPermission::Repeated("collection")),
            ("repo:%", InvalidPermission::Escape),
        ] {
            assert_eq!(text.parse::<Permission>(), Err(why), "{text}");
        }
        assert_eq!(Repo::new(Names::Any, []), Err(InvalidPermission::Missing("action")));
        let none = [].into_iter().collect();
        assert_eq!(Repo::new(none, RepoAction::ALL), Err(InvalidPermission::Missing("collection")));
    }
}
