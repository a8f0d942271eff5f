//! Permission sets: permissions that somebody published under a name ([permission sets]).
//!
//! [permission sets]: https://atproto.com/specs/permission#permission-sets

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use thiserror::Error;

use crate::nsid::Nsid;
use crate::permission::{Audience, Include, Names, Permission, Repo, RepoAction, Rpc};

/// A permission set, read from its lexicon document.
///
/// ```
/// use vestibule_atproto_identity::{Permission, PermissionSet, Resource};
///
/// let document = br#"{
///     "lexicon": 1,
///     "id": "com.example.calendar.auth",
///     "defs": { "main": {
///         "type": "permission-set",
///         "title": "Calendar",
///         "permissions": [
///             { "type": "permission", "resource": "repo", "collection": ["com.example.calendar.event"] }
///         ]
///     } }
/// }"#;
/// let set = PermissionSet::parse(document).unwrap();
/// assert_eq!(set.title(None), Some("Calendar"));
///
/// let scope: Permission = "include:com.example.calendar.auth".parse().unwrap();
/// let Resource::Include(include) = scope.resource() else { panic!() };
/// let permissions = set.expand(include).unwrap();
/// assert_eq!(permissions, ["repo:com.example.calendar.event".parse().unwrap()]);
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PermissionSet {
    id: Nsid,
    title: Words,
    detail: Words,
    entries: Vec<PermissionEntry>,
}

impl PermissionSet {
    /// Reads a lexicon document whose main definition is a permission set.
    ///
    /// Entries that a set may not hold, and those that are not understood, are passed over: they would allow nothing.
    ///
    /// # Errors
    /// When it is too large, no lexicon document, or of something else.
    pub fn parse(document: &[u8]) -> Result<Self, InvalidPermissionSet> {
        if document.len() > MAX_OCTETS {
            return Err(InvalidPermissionSet::TooLarge);
        }
        let Ok(Value::Object(fields)) = serde_json::from_slice(document) else {
            return Err(InvalidPermissionSet::NotAnObject);
        };
        if fields.get("lexicon").and_then(Value::as_u64) != Some(LEXICON_VERSION) {
            return Err(InvalidPermissionSet::Version);
        }
        let id = fields.get("id").and_then(Value::as_str).and_then(|id| id.parse().ok());
        let id = id.ok_or(InvalidPermissionSet::Id)?;
        let main = fields.get("defs").and_then(|defs| defs.get("main")).and_then(Value::as_object);
        let main = main.ok_or(InvalidPermissionSet::NotASet)?;
        if main.get("type").and_then(Value::as_str) != Some("permission-set") {
            return Err(InvalidPermissionSet::NotASet);
        }
        let entries = main.get("permissions").and_then(Value::as_array);
        let entries = entries.ok_or(InvalidPermissionSet::Permissions)?;
        if entries.len() > MAX_ENTRIES {
            return Err(InvalidPermissionSet::TooMany);
        }
        Ok(Self {
            id,
            title: Words::read(main, "title"),
            detail: Words::read(main, "detail"),
            entries: entries.iter().filter_map(PermissionEntry::read).collect(),
        })
    }

    /// The name it was published under.
    pub const fn id(&self) -> &Nsid {
        &self.id
    }

    /// What it is called: in `language` (a tag such as `fr` or `fr-FR`) if it has that, else in no particular language.
    pub fn title(&self, language: Option<&str>) -> Option<&str> {
        self.title.pick(language)
    }

    /// What it allows, in a sentence for the person who grants it.
    pub fn detail(&self, language: Option<&str>) -> Option<&str> {
        self.detail.pick(language)
    }

    /// The entries that were understood, in order.
    pub fn entries(&self) -> &[PermissionEntry] {
        &self.entries
    }

    /// The permissions that `include` stands for.
    ///
    /// An entry that names anything outside the group of the set, or that inherits an audience when `include` has none,
    /// allows nothing and is left out.
    ///
    /// # Errors
    /// When `include` names another set.
    pub fn expand(&self, include: &Include) -> Result<Vec<Permission>, OtherSet> {
        if *include.set() != self.id {
            return Err(OtherSet);
        }
        Ok(self.entries.iter().filter_map(|entry| self.grant(entry, include)).collect())
    }

    fn grant(&self, entry: &PermissionEntry, include: &Include) -> Option<Permission> {
        let own = |names: &[Nsid]| names.iter().all(|name| name.is_in_group_of(&self.id));
        match entry {
            PermissionEntry::Repo { collections, actions } if own(collections) => {
                Repo::new(names(collections), actions.iter().copied()).ok().map(Permission::from)
            }
            PermissionEntry::Rpc { methods, audience } if own(methods) => {
                let audience = match audience {
                    SetAudience::Any => Audience::Any,
                    SetAudience::Inherited => Audience::Service(include.audience()?.clone()),
                };
                Rpc::new(names(methods), audience).ok().map(Permission::from)
            }
            _ => None,
        }
    }
}

fn names(listed: &[Nsid]) -> Names {
    listed.iter().cloned().collect()
}

/// One permission of a set. A set holds permissions to write records and to call services, and names what it means:
/// there are no wildcards for either.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum PermissionEntry {
    /// Writing records.
    #[non_exhaustive]
    Repo {
        /// The collections, one or more.
        collections: Vec<Nsid>,
        /// The actions; all of them when the entry names none.
        actions: Vec<RepoAction>,
    },
    /// Calling services.
    #[non_exhaustive]
    Rpc {
        /// The methods, one or more.
        methods: Vec<Nsid>,
        /// The services.
        audience: SetAudience,
    },
}

/// Which services the calls of a permission set go to: a set cannot name one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(clippy::exhaustive_enums, reason = "an expansion must treat each of these")]
pub enum SetAudience {
    /// Any service.
    Any,
    /// The one that the `include` names.
    Inherited,
}

impl PermissionEntry {
    fn read(value: &Value) -> Option<Self> {
        let fields = value.as_object()?;
        if fields.get("type")?.as_str()? != "permission" {
            return None;
        }
        // A field that is not understood may narrow the permission: the entry then allows nothing.
        let only = |known: &[&str]| {
            fields.keys().all(|name| name == "type" || name == "resource" || known.contains(&name.as_str()))
        };
        match fields.get("resource")?.as_str()? {
            "repo" if only(&["collection", "action"]) => {
                let actions = match fields.get("action") {
                    None => RepoAction::ALL.to_vec(),
                    Some(_) => texts(fields, "action", RepoAction::read)?,
                };
                Some(Self::Repo { collections: texts(fields, "collection", nsid)?, actions })
            }
            "rpc" if only(&["lxm", "aud", "inheritAud"]) => {
                let audience = match (fields.get("aud"), fields.get("inheritAud")) {
                    (Some(Value::String(any)), None | Some(Value::Bool(false))) if any == "*" => {
                        SetAudience::Any
                    }
                    (None, Some(Value::Bool(true))) => SetAudience::Inherited,
                    _ => return None,
                };
                Some(Self::Rpc { methods: texts(fields, "lxm", nsid)?, audience })
            }
            _ => None,
        }
    }
}

/// A list of one or more texts, every one of which can be read.
fn texts<T>(fields: &Map<String, Value>, name: &str, read: fn(&str) -> Option<T>) -> Option<Vec<T>> {
    let values = fields.get(name)?.as_array()?;
    if values.is_empty() || values.len() > MAX_NAMES {
        return None;
    }
    values.iter().map(|value| read(value.as_str()?)).collect()
}

fn nsid(text: &str) -> Option<Nsid> {
    text.parse().ok()
}

/// A text in no particular language, and perhaps the same in some.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Words {
    plain: Option<String>,
    by_language: BTreeMap<String, String>,
}

impl Words {
    fn read(fields: &Map<String, Value>, name: &str) -> Self {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let by_language = fields.get(&format!("{name}:lang")).and_then(Value::as_object);
        Self {
            plain: fields.get(name).and_then(text),
            by_language: by_language
                .into_iter()
                .flatten()
                .filter_map(|(language, value)| Some((language.clone(), text(value)?)))
                .collect(),
        }
    }

    fn pick(&self, language: Option<&str>) -> Option<&str> {
        language
            .and_then(|language| self.by_language.get(language))
            .or(self.plain.as_ref())
            .map(String::as_str)
    }
}

/// Why a document is no permission set.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum InvalidPermissionSet {
    /// Larger than 64 KiB.
    #[error("permission set must have at most 64 KiB")]
    TooLarge,
    /// No JSON, or JSON other than an object.
    #[error("permission set must be a JSON object")]
    NotAnObject,
    /// Another version of the lexicon language than 1.
    #[error("lexicon of the permission set must be 1")]
    Version,
    /// No `id`, or one that is no NSID.
    #[error("id of the permission set must be an NSID")]
    Id,
    /// The main definition is missing, or of another type.
    #[error("main definition of the document must be a permission-set")]
    NotASet,
    /// No list of permissions.
    #[error("permissions of the permission set must be a list")]
    Permissions,
    /// More permissions than a set has.
    #[error("permissions of the permission set must have at most 256 entries")]
    TooMany,
}

/// The `include` names another set than the one that was to be expanded.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[error("include must name the permission set that it is expanded with")]
#[non_exhaustive]
pub struct OtherSet;

/// The version of the lexicon language there is.
const LEXICON_VERSION: u64 = 1;
/// As for every other document of these protocols; published sets have less than 4 KiB.
const MAX_OCTETS: usize = 64 * 1024;
/// Published sets have less than ten entries.
const MAX_ENTRIES: usize = 256;
/// As many as a scope value may have.
const MAX_NAMES: usize = 128;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn set(permissions: &Value) -> PermissionSet {
        let document = json!({
            "lexicon": 1,
            "id": "com.example.calendar.auth",
            "defs": {"main": {
                "type": "permission-set",
                "title": "Calendar",
                "title:lang": {"fr": "Agenda", "de": 1},
                "permissions": permissions,
            }},
        });
        PermissionSet::parse(document.to_string().as_bytes()).unwrap()
    }

    fn expand(include: &str, permission: &Value) -> Vec<String> {
        let include: Permission = include.parse().unwrap();
        let crate::Resource::Include(include) = include.resource() else { panic!("no include") };
        let permissions = set(&json!([permission])).expand(include).unwrap();
        permissions.iter().map(Permission::to_string).collect()
    }

    const PLAIN: &str = "include:com.example.calendar.auth";
    const WITH_AUD: &str = "include:com.example.calendar.auth?aud=did:web:example.com%23svc";

    #[test]
    fn r119_what_a_set_may_hold_is_granted() {
        let repo = json!({"type": "permission", "resource": "repo",
            "collection": ["com.example.calendar.rsvp", "com.example.calendar.event"], "action": ["delete", "create"]});
        assert_eq!(
            expand(PLAIN, &repo),
            ["repo?collection=com.example.calendar.event&collection=com.example.calendar.rsvp\
              &action=create&action=delete"]
        );
        let any = json!({"type": "permission", "resource": "rpc", "lxm": ["com.example.calendar.list"], "aud": "*"});
        for include in [PLAIN, WITH_AUD] {
            assert_eq!(expand(include, &any), ["rpc:com.example.calendar.list?aud=*"]);
        }
        let inherit = json!({"type": "permission", "resource": "rpc",
            "lxm": ["com.example.calendar.a.list"], "inheritAud": true});
        assert_eq!(
            expand(WITH_AUD, &inherit),
            ["rpc:com.example.calendar.a.list?aud=did:web:example.com%23svc"]
        );
        assert_eq!(expand(PLAIN, &inherit), [""; 0], "there is nothing to inherit");
    }

    #[test]
    fn r119_what_a_set_may_not_hold_is_ignored() {
        let event = "com.example.calendar.event";
        for entry in [
            json!({"resource": "repo", "collection": ["*"]}),
            json!({"resource": "repo", "collection": [event, "app.bsky.feed.post"]}),
            json!({"resource": "repo", "collection": ["com.example.calendars.event"]}),
            json!({"resource": "repo", "collection": event}),
            json!({"resource": "repo", "collection": []}),
            json!({"resource": "repo", "collection": [event], "action": "all"}),
            json!({"resource": "repo", "collection": [event], "action": ["create", "manage"]}),
            json!({"resource": "repo", "collection": [event], "extra": 1}),
            json!({"resource": "rpc", "lxm": [event], "aud": "did:web:example.com#svc"}),
            json!({"resource": "rpc", "lxm": [event]}),
            json!({"resource": "rpc", "lxm": [event], "aud": "*", "inheritAud": true}),
            json!({"resource": "rpc", "lxm": ["*"], "inheritAud": true}),
            json!({"resource": "rpc", "lxm": ["com.atproto.moderation.createReport"], "aud": "*"}),
            json!({"resource": "rpc", "aud": "*"}),
            json!({"resource": "blob", "accept": ["image/*"]}),
            json!({"resource": "account", "attr": "email"}),
            json!({"resource": "identity", "attr": "handle"}),
            json!({"resource": "later"}),
            json!({"resource": 1}),
        ] {
            let mut entry = entry;
            entry["type"] = json!("permission");
            assert_eq!(expand(WITH_AUD, &entry), [""; 0], "{entry}");
        }
        for entry in
            [json!({"type": "other", "resource": "repo", "collection": [event]}), json!("x"), json!(null)]
        {
            assert_eq!(expand(WITH_AUD, &entry), [""; 0], "{entry}");
        }
    }

    #[test]
    fn a_set_is_expanded_for_its_own_name_only() {
        let include = Include::new("com.example.calendar.other".parse().unwrap(), None);
        assert_eq!(set(&json!([])).expand(&include), Err(OtherSet));
    }

    #[test]
    fn words_are_picked_by_language() {
        let set = set(&json!([]));
        assert_eq!(set.title(None), Some("Calendar"));
        assert_eq!(set.title(Some("fr")), Some("Agenda"));
        assert_eq!(set.title(Some("de")), Some("Calendar"));
        assert_eq!(set.detail(Some("fr")), None);
    }

    #[test]
    fn other_documents_are_refused_by_rule() {
        let main = json!({"type": "permission-set", "permissions": []});
        for (document, why) in [
            (json!([]), InvalidPermissionSet::NotAnObject),
            (json!({"lexicon": 2, "id": "a.b.c", "defs": {"main": main}}), InvalidPermissionSet::Version),
            (json!({"lexicon": 1, "id": "a.b", "defs": {"main": main}}), InvalidPermissionSet::Id),
            (json!({"lexicon": 1, "id": "a.b.c", "defs": {"other": main}}), InvalidPermissionSet::NotASet),
            (
                json!({"lexicon": 1, "id": "a.b.c", "defs": {"main": {"type": "record"}}}),
                InvalidPermissionSet::NotASet,
            ),
            (
                json!({"lexicon": 1, "id": "a.b.c", "defs": {"main": {"type": "permission-set"}}}),
                InvalidPermissionSet::Permissions,
            ),
            (
                json!({"lexicon": 1, "id": "a.b.c",
                    "defs": {"main": {"type": "permission-set", "permissions": vec![1; 257]}}}),
                InvalidPermissionSet::TooMany,
            ),
            (json!({"x": "x".repeat(65536)}), InvalidPermissionSet::TooLarge),
        ] {
            assert_eq!(PermissionSet::parse(document.to_string().as_bytes()), Err(why));
        }
    }
}
