//! Scopes and what they permit.

use vestibule_atproto_identity::{
    GrantedPermissions, IdentityAttribute, Include, Nsid, Permission, PermissionEntry, PermissionSet,
    Resource, ServiceRef,
};
use vestibule_oauth_core::ScopeSet;

use super::material::{is_one_line, lines, prints_and_parses, survives_json, text};

/// A permission keeps its text, has one normal form that means the same, and covering is reflexive and transitive. Each
/// line is one.
pub fn permission(data: &[u8]) {
    let parsed: Vec<Permission> = lines(data)
        .take(4)
        .filter_map(text)
        .filter_map(|text| text.parse().inspect_err(is_one_line).ok())
        .collect();
    for permission in &parsed {
        prints_and_parses(permission);
        survives_json(permission);
        assert!(permission.covers(permission));
        assert!(GrantedPermissions::from_scope(permission.as_str()).covers(permission));
        let Some(normal) = normal(permission) else { continue };
        assert_eq!(normal.resource(), permission.resource());
        assert!(normal.covers(permission) && permission.covers(&normal));
        // Escapes make a text longer, and what is built may be longer than what is read.
        if normal.as_str().len() <= MAX_LENGTH {
            prints_and_parses(&normal);
        }
    }
    for a in &parsed {
        for b in parsed.iter().filter(|b| a.covers(b)) {
            for c in parsed.iter().filter(|c| b.covers(c)) {
                assert!(a.covers(c), "{a} covers {b}, which covers {c}");
            }
        }
    }
}

/// The permission built from what was read, if it is of a kind that is built.
fn normal(permission: &Permission) -> Option<Permission> {
    Some(match permission.resource().clone() {
        Resource::Repo(repo) => repo.into(),
        Resource::Rpc(rpc) => rpc.into(),
        Resource::Blob(blob) => blob.into(),
        Resource::Account(account) => account.into(),
        Resource::Identity(attribute) => IdentityAttribute::into(attribute),
        Resource::Include(include) => include.into(),
        Resource::Transition(transition) => transition.into(),
        _ => return None,
    })
}

/// A scope is its words in order, each once; what is granted is never less than each of its words.
pub fn scope(data: &[u8]) {
    let Some(text) = text(data) else { return };
    let granted = GrantedPermissions::from_scope(text);
    assert!(granted.as_slice().len() <= 1000);
    assert_eq!(GrantedPermissions::from_scope(&granted.to_string()), granted);
    for permission in granted.as_slice().iter().take(20) {
        assert!(granted.covers(permission) && granted.contain(permission.as_str()));
    }
    assert_eq!(granted.missing(granted.as_slice().get(..20).unwrap_or_default()).count(), 0);

    let set = match text.parse::<ScopeSet>() {
        Ok(set) => set,
        Err(error) => return is_one_line(&error),
    };
    prints_and_parses(&set);
    survives_json(&set);
    let mut words: Vec<&str> = Vec::new();
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        if !words.contains(&word) {
            words.push(word);
        }
    }
    assert_eq!(set.iter().collect::<Vec<_>>(), words);
    assert!(words.len() <= ScopeSet::MAX_WORDS && text.len() <= ScopeSet::MAX_OCTETS);
    assert!(words.iter().all(|word| set.contains(word)));
    assert_eq!(set.is_empty(), words.is_empty());
    assert!(set.is_subset_of(&set) && set.without(&set).is_empty());
    let half: ScopeSet = words[..words.len() / 2].join(" ").parse().unwrap();
    assert!(half.is_subset_of(&set));
    assert_eq!(set.without(&half).iter().collect::<Vec<_>>(), words[words.len() / 2..]);
}

/// A permission set is bounded, and expands to permissions on names of its own group only.
pub fn permission_set(data: &[u8]) {
    let set = match PermissionSet::parse(data) {
        Ok(set) => set,
        Err(error) => return is_one_line(&error),
    };
    assert!(set.entries().len() <= 256);
    for entry in set.entries() {
        let names = match entry {
            PermissionEntry::Repo { collections, .. } => collections.len(),
            PermissionEntry::Rpc { methods, .. } => methods.len(),
            _ => continue,
        };
        assert!((1..=128).contains(&names));
    }
    for language in [None, Some("de"), Some("")] {
        let words = [set.title(language), set.detail(language)];
        assert!(words.into_iter().flatten().all(|words| words.len() <= data.len()));
    }
    let service: ServiceRef = "did:web:api.example.com#service".parse().unwrap();
    for audience in [None, Some(service.clone())] {
        let include = Include::new(set.id().clone(), audience.clone());
        for permission in set.expand(&include).unwrap() {
            assert!(permission.covers(&permission));
            if permission.as_str().len() <= MAX_LENGTH {
                prints_and_parses(&permission);
            }
            let names: Vec<Nsid> = match permission.resource() {
                Resource::Repo(repo) => names(repo.collections()),
                Resource::Rpc(rpc) => names(rpc.methods()),
                other => panic!("a set expands to {other:?}"),
            };
            assert!(names.iter().all(|name| name.is_in_group_of(set.id())), "{permission} of {}", set.id());
        }
    }
    let other: Nsid = "com.example.unrelated.otherSet".parse().unwrap();
    assert_eq!(set.expand(&Include::new(other.clone(), None)).is_ok(), *set.id() == other);
}

fn names(names: &vestibule_atproto_identity::Names) -> Vec<Nsid> {
    match names {
        vestibule_atproto_identity::Names::Any => panic!("a set allows everything"),
        vestibule_atproto_identity::Names::These(names) => names.iter().cloned().collect(),
    }
}

/// The longest scope value that is read.
const MAX_LENGTH: usize = 8192;
