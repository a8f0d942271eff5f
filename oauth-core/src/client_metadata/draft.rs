//! A document while it is being reviewed: every member read as far as it can be, every failure a finding.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Deserializer;
use serde::de::{MapAccess, Visitor};
use serde_json::Value;
use url::Url;

use crate::client_id::ClientId;
use crate::client_metadata::document::{ApplicationType, ClientAuthMethod, ClientMetadata};
use crate::client_metadata::jwks::Jwks;
use crate::client_metadata::{MAX_LIST, MAX_OCTETS, RuleSet};
use crate::finding::{Findings, shown};
use crate::json_answer::clipped;
use crate::redirect_uri::RedirectUri;
use crate::scope::ScopeSet;
use crate::transport::Transport;

/// A member of the document.
#[derive(Debug)]
pub(super) enum Given<T> {
    /// Not there.
    Absent,
    /// There, and not what it should be: that is a finding already.
    Broken,
    /// There.
    Value(T),
}

impl<T> Given<T> {
    pub(super) const fn value(&self) -> Option<&T> {
        match self {
            Self::Value(value) => Some(value),
            Self::Absent | Self::Broken => None,
        }
    }

    pub(super) const fn is_absent(&self) -> bool {
        matches!(self, Self::Absent)
    }

    fn into_value(self) -> Option<T> {
        match self {
            Self::Value(value) => Some(value),
            Self::Absent | Self::Broken => None,
        }
    }

    fn and_then<U>(self, next: impl FnOnce(T) -> Given<U>) -> Given<U> {
        match self {
            Self::Value(value) => next(value),
            Self::Absent => Given::Absent,
            Self::Broken => Given::Broken,
        }
    }
}

/// The members that the rules look at.
#[derive(Debug)]
pub(super) struct Draft {
    /// The names of all members, for rules that refuse one.
    pub(super) names: BTreeSet<String>,
    pub(super) client_id: Given<ClientId>,
    pub(super) application_type: Given<ApplicationType>,
    /// The redirect URIs that are any, each with its place in the list.
    pub(super) redirect_uris: Given<Vec<(usize, RedirectUri)>>,
    pub(super) grant_types: Given<Vec<String>>,
    pub(super) response_types: Given<Vec<String>>,
    pub(super) scope: Given<ScopeSet>,
    pub(super) auth_method: Given<ClientAuthMethod>,
    pub(super) signing_alg: Given<String>,
    pub(super) dpop_bound: Given<bool>,
    pub(super) jwks: Given<Value>,
    pub(super) jwks_uri: Given<Url>,
    pub(super) client_uri: Given<Url>,
    pub(super) subject_type: Given<String>,
    pub(super) mtls_bound: Given<bool>,
    logo_uri: Given<Url>,
    tos_uri: Given<Url>,
    policy_uri: Given<Url>,
    require_par: Given<bool>,
    client_name: Given<String>,
    contacts: Given<Vec<String>>,
    software_id: Given<String>,
    software_version: Given<String>,
}

impl Draft {
    /// Reads a document; `None` if there is nothing to read members from.
    pub(super) fn read(document: &[u8], rules: RuleSet, findings: &mut Findings) -> Option<Self> {
        let rule = match rules {
            RuleSet::Generic => RFC7591,
            RuleSet::Atproto => "R2",
        };
        if document.len() > MAX_OCTETS {
            findings.error(
                rule,
                "document",
                "has more than 512 KiB",
                "write less: pictures belong at logo_uri",
            );
            return None;
        }
        let mut json = serde_json::Deserializer::from_slice(document);
        let members = json.deserialize_map(MembersVisitor).and_then(|members| json.end().map(|()| members));
        let members = match members {
            Ok(members) => members,
            Err(error) => {
                let problem = format!("is not a JSON object: {}", clipped(&error.to_string()));
                findings.error(rule, "document", problem, "write one JSON object and nothing else");
                return None;
            }
        };
        for name in members.repeated.iter().take(MAX_LIST) {
            findings.error(
                rule,
                clipped(name),
                "is written twice",
                "write it once: servers differ in which one they take",
            );
        }
        let mut reader = Reader { members: members.values, rules, findings };
        let names = reader.members.keys().cloned().collect();
        Some(Self {
            names,
            client_id: reader.client_id(),
            application_type: reader.application_type(),
            redirect_uris: reader.redirect_uris(),
            grant_types: reader.texts("grant_types"),
            response_types: reader.texts("response_types"),
            scope: reader.scope(),
            auth_method: reader.auth_method(),
            signing_alg: reader.text("token_endpoint_auth_signing_alg"),
            dpop_bound: reader.flag("dpop_bound_access_tokens"),
            jwks: reader.members.remove("jwks").map_or(Given::Absent, Given::Value),
            jwks_uri: reader.url("jwks_uri"),
            client_uri: reader.url("client_uri"),
            subject_type: reader.text("subject_type"),
            mtls_bound: reader.flag("tls_client_certificate_bound_access_tokens"),
            logo_uri: reader.url("logo_uri"),
            tos_uri: reader.url("tos_uri"),
            policy_uri: reader.url("policy_uri"),
            require_par: reader.flag("require_pushed_authorization_requests"),
            client_name: reader.text("client_name"),
            contacts: reader.texts("contacts"),
            software_id: reader.text("software_id"),
            software_version: reader.text("software_version"),
        })
    }

    /// The grant types, with what RFC 7591 makes of their absence.
    pub(super) fn grant_types_or_default(&self) -> Option<Vec<&str>> {
        with_default(&self.grant_types, "authorization_code")
    }

    /// The response types, with what RFC 7591 makes of their absence.
    pub(super) fn response_types_or_default(&self) -> Option<Vec<&str>> {
        with_default(&self.response_types, "code")
    }

    /// The metadata of a document that breaks no rule, with the defaults of RFC 7591.
    pub(super) fn into_metadata(self) -> ClientMetadata {
        let redirect_uris = self.redirect_uris.into_value().unwrap_or_default();
        let defaults = ClientMetadata::new(redirect_uris.into_iter().map(|(_, uri)| uri).collect());
        let grant_types = self.grant_types.into_value().unwrap_or(defaults.grant_types);
        // The default is `code`, which a client that redeems none does not mean.
        let redeems_code = grant_types.iter().any(|grant| grant == "authorization_code");
        let response_types = if redeems_code { defaults.response_types } else { Vec::new() };
        ClientMetadata {
            client_id: self.client_id.into_value(),
            client_name: self.client_name.into_value(),
            client_uri: self.client_uri.into_value(),
            logo_uri: self.logo_uri.into_value(),
            tos_uri: self.tos_uri.into_value(),
            policy_uri: self.policy_uri.into_value(),
            contacts: self.contacts.into_value().unwrap_or_default(),
            application_type: self.application_type.into_value().unwrap_or_default(),
            grant_types,
            response_types: self.response_types.into_value().unwrap_or(response_types),
            scope: self.scope.into_value().unwrap_or_default(),
            token_endpoint_auth_method: self
                .auth_method
                .into_value()
                .unwrap_or(defaults.token_endpoint_auth_method),
            token_endpoint_auth_signing_alg: self.signing_alg.into_value(),
            dpop_bound_access_tokens: self.dpop_bound.into_value().unwrap_or(false),
            require_pushed_authorization_requests: self.require_par.into_value().unwrap_or(false),
            jwks: self.jwks.into_value().and_then(Jwks::reviewed),
            jwks_uri: self.jwks_uri.into_value(),
            subject_type: self.subject_type.into_value(),
            software_id: self.software_id.into_value(),
            software_version: self.software_version.into_value(),
            redirect_uris: defaults.redirect_uris,
        }
    }
}

/// The rule of members that no other rule is about.
pub(super) const RFC7591: &str = "RFC 7591, section 2";

/// The list, or the value that its absence stands for; `None` if it is there and unreadable.
fn with_default<'a>(list: &'a Given<Vec<String>>, default: &'a str) -> Option<Vec<&'a str>> {
    match list {
        Given::Absent => Some(vec![default]),
        Given::Broken => None,
        Given::Value(list) => Some(list.iter().map(String::as_str).collect()),
    }
}

/// The rule that says what a member must be.
fn rule_of(name: &str, rules: RuleSet) -> &'static str {
    match (rules, name) {
        (RuleSet::Generic, "scope") => "RFC 6749, section 3.3",
        (RuleSet::Generic, _) => RFC7591,
        (RuleSet::Atproto, "client_id") => "R3",
        (RuleSet::Atproto, "application_type") => "R4",
        (RuleSet::Atproto, "grant_types") => "R5",
        (RuleSet::Atproto, "response_types") => "R6",
        (RuleSet::Atproto, "scope") => "R7",
        (RuleSet::Atproto, "redirect_uris") => "R8",
        (RuleSet::Atproto, "token_endpoint_auth_method") => "R9",
        (RuleSet::Atproto, "token_endpoint_auth_signing_alg") => "R10",
        (RuleSet::Atproto, "dpop_bound_access_tokens") => "R11",
        (RuleSet::Atproto, "jwks" | "jwks_uri") => "R12",
        (RuleSet::Atproto, "client_uri") => "R13",
        (RuleSet::Atproto, "client_name" | "logo_uri" | "tos_uri" | "policy_uri") => "R14",
        (RuleSet::Atproto, "subject_type" | "tls_client_certificate_bound_access_tokens") => "R15",
        (RuleSet::Atproto, _) => RFC7591,
    }
}

struct Reader<'a> {
    members: BTreeMap<String, Value>,
    rules: RuleSet,
    findings: &'a mut Findings,
}

impl Reader<'_> {
    fn text(&mut self, name: &'static str) -> Given<String> {
        match self.members.remove(name) {
            None => Given::Absent,
            Some(Value::String(text)) => Given::Value(text),
            Some(other) => self.wrong(name, &other, "a text"),
        }
    }

    fn flag(&mut self, name: &'static str) -> Given<bool> {
        match self.members.remove(name) {
            None => Given::Absent,
            Some(Value::Bool(flag)) => Given::Value(flag),
            Some(other) => self.wrong(name, &other, "true or false, without quotes"),
        }
    }

    fn texts(&mut self, name: &'static str) -> Given<Vec<String>> {
        let list = match self.members.remove(name) {
            None => return Given::Absent,
            Some(Value::Array(list)) => list,
            Some(other) => return self.wrong(name, &other, "a list of texts"),
        };
        if list.len() > MAX_LIST {
            let rule = rule_of(name, self.rules);
            self.findings.error(rule, name, "has more than 128 entries", "write fewer");
            return Given::Broken;
        }
        let mut texts = Vec::with_capacity(list.len());
        for entry in list {
            match entry {
                Value::String(text) => texts.push(text),
                other => return self.wrong(name, &other, "texts alone in the list"),
            }
        }
        Given::Value(texts)
    }

    fn url(&mut self, name: &'static str) -> Given<Url> {
        let rule = rule_of(name, self.rules);
        self.text(name).and_then(|text| match Transport::HttpsOnly.parse(&text) {
            Ok(url) => Given::Value(url),
            Err(error) => {
                self.findings.error(
                    rule,
                    name,
                    format!("is {}: it {error}", shown(&text)),
                    "write an https URL",
                );
                Given::Broken
            }
        })
    }

    fn client_id(&mut self) -> Given<ClientId> {
        let rule = rule_of("client_id", self.rules);
        self.text("client_id").and_then(|text| match text.parse() {
            Ok(id) => Given::Value(id),
            Err(error) => {
                let problem = format!("is {}: {error}", shown(&text));
                self.findings.error(
                    rule,
                    "client_id",
                    problem,
                    "write the URL this document is published at",
                );
                Given::Broken
            }
        })
    }

    fn scope(&mut self) -> Given<ScopeSet> {
        let rule = rule_of("scope", self.rules);
        self.text("scope").and_then(|text| match text.parse::<ScopeSet>() {
            Ok(scope) => {
                if text.split(' ').filter(|word| !word.is_empty()).count() > scope.iter().count() {
                    let twice = "has a word twice";
                    match self.rules {
                        RuleSet::Atproto => self.findings.error(rule, "scope", twice, "write each word once"),
                        RuleSet::Generic => {
                            self.findings.warning(rule, "scope", twice, "write each word once")
                        }
                    }
                }
                Given::Value(scope)
            }
            Err(error) => {
                let instead = "write words parted by single spaces, such as \"atproto transition:generic\"";
                self.findings.error(rule, "scope", format!("is not a scope: {error}"), instead);
                Given::Broken
            }
        })
    }

    fn redirect_uris(&mut self) -> Given<Vec<(usize, RedirectUri)>> {
        let rule = match self.rules {
            RuleSet::Generic => RFC7591,
            RuleSet::Atproto => "R16",
        };
        self.texts("redirect_uris").and_then(|texts| {
            let mut uris = Vec::with_capacity(texts.len());
            for (at, text) in texts.into_iter().enumerate() {
                match text.parse() {
                    Ok(uri) => uris.push((at, uri)),
                    Err(error) => {
                        let problem = format!("is {}: {error}", shown(&text));
                        let instead = "write an absolute URI that leads back to the client";
                        self.findings.error(rule, format!("redirect_uris[{at}]"), problem, instead);
                    }
                }
            }
            Given::Value(uris)
        })
    }

    fn application_type(&mut self) -> Given<ApplicationType> {
        let rule = rule_of("application_type", self.rules);
        self.text("application_type").and_then(|text| match text.parse() {
            Ok(kind) => Given::Value(kind),
            Err(_) => {
                let problem = format!("is {}", shown(&text));
                self.findings.error(rule, "application_type", problem, "write web or native");
                Given::Broken
            }
        })
    }

    fn auth_method(&mut self) -> Given<ClientAuthMethod> {
        let name = "token_endpoint_auth_method";
        let rule = rule_of(name, self.rules);
        let instead = match self.rules {
            RuleSet::Generic => "write a registered method, such as client_secret_basic",
            RuleSet::Atproto => "write none, or private_key_jwt for a client with a key",
        };
        self.text(name).and_then(|text| match text.parse() {
            Ok(method) => Given::Value(method),
            Err(_) => {
                self.findings.error(rule, name, format!("is {}, which is not known", shown(&text)), instead);
                Given::Broken
            }
        })
    }

    fn wrong<T>(&mut self, name: &'static str, found: &Value, wanted: &str) -> Given<T> {
        let found = match found {
            Value::Null => "null",
            Value::Bool(_) => "true or false",
            Value::Number(_) => "a number",
            Value::String(_) => "a text",
            Value::Array(_) => "a list",
            Value::Object(_) => "an object",
        };
        let instead = format!("write {wanted}, or leave it out if it is optional");
        self.findings.error(rule_of(name, self.rules), name, format!("is or holds {found}"), instead);
        Given::Broken
    }
}

/// The members of an object, and the names that came more than once.
struct Members {
    values: BTreeMap<String, Value>,
    repeated: BTreeSet<String>,
}

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Members;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Members { values: BTreeMap::new(), repeated: BTreeSet::new() };
        while let Some((name, value)) = map.next_entry::<String, Value>()? {
            match members.values.entry(name) {
                Entry::Vacant(place) => {
                    place.insert(value);
                }
                Entry::Occupied(first) => {
                    members.repeated.insert(first.key().clone());
                }
            }
        }
        Ok(members)
    }
}
