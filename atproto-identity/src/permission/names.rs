//! The names a permission is about: some, or any.

use std::collections::BTreeSet;

use super::InvalidPermission;
use super::syntax::Syntax;
use crate::nsid::Nsid;

/// Which collections or methods: any (`*`), or these. There are no partial wildcards.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(clippy::exhaustive_enums, reason = "the specification has no partial wildcards, on purpose")]
pub enum Names {
    /// Any name.
    Any,
    /// These names, sorted, each once. Empty, they are none.
    These(BTreeSet<Nsid>),
}

impl Names {
    /// Whether `name` is among them.
    pub fn contains(&self, name: &Nsid) -> bool {
        self.hold(Some(name))
    }

    /// Whether `name` is among them; `None` is "any", which only [`Names::Any`] holds.
    pub(super) fn hold(&self, name: Option<&Nsid>) -> bool {
        match (self, name) {
            (Self::Any, _) => true,
            (Self::These(_), None) => false,
            (Self::These(names), Some(name)) => names.contains(name),
        }
    }

    /// Each name; once `None` when it is any.
    pub(super) fn each(&self) -> impl Iterator<Item = Option<&Nsid>> {
        let (any, names) = match self {
            Self::Any => (Some(None), None),
            Self::These(names) => (None, Some(names)),
        };
        any.into_iter().chain(names.into_iter().flatten().map(Some))
    }

    /// As they are printed.
    pub(super) fn texts(&self) -> Vec<&str> {
        self.each().map(|name| name.map_or(ANY, Nsid::as_str)).collect()
    }

    pub(super) fn read(syntax: &Syntax<'_>, parameter: &'static str) -> Result<Self, InvalidPermission> {
        let mut names = BTreeSet::new();
        let mut any = false;
        for value in syntax.all(parameter) {
            if value == ANY {
                any = true;
            } else {
                names.insert(value.parse().map_err(|_| InvalidPermission::Value(parameter))?);
            }
        }
        if any {
            Ok(Self::Any)
        } else if names.is_empty() {
            Err(InvalidPermission::Missing(parameter))
        } else {
            Ok(Self::These(names))
        }
    }
}

impl FromIterator<Nsid> for Names {
    fn from_iter<I: IntoIterator<Item = Nsid>>(names: I) -> Self {
        Self::These(names.into_iter().collect())
    }
}

const ANY: &str = "*";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_holds_every_name_and_these_hold_themselves() {
        let name = |text: &str| text.parse::<Nsid>().unwrap();
        let these: Names = [name("a.b.d"), name("a.b.c"), name("a.b.d")].into_iter().collect();
        assert_eq!(these.texts(), ["a.b.c", "a.b.d"]);
        assert!(these.contains(&name("a.b.c")) && !these.contains(&name("a.b.e")) && !these.hold(None));
        assert_eq!(Names::Any.texts(), ["*"]);
        assert!(Names::Any.contains(&name("a.b.e")) && Names::Any.hold(None));
    }
}
