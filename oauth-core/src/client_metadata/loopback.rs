//! The AT Protocol client under development, whose identifier is its metadata.

use crate::client_id::ClientId;
use crate::client_metadata::document::{ApplicationType, ClientMetadata};
use crate::finding::{Finding, Findings, shown};
use crate::params::{FormRules, Params};
use crate::redirect_uri::RedirectUri;
use crate::scope::ScopeSet;

/// A client whose identifier is `http://localhost` with redirect URIs and scope in its query (requirements R21 to R24).
///
/// ```
/// use vestibule_oauth_core::LoopbackClient;
///
/// let client = LoopbackClient::read(&"http://localhost".parse().unwrap()).unwrap();
/// assert_eq!(client.redirect_uris()[0].as_str(), "http://127.0.0.1/");
/// assert_eq!(client.scope().to_string(), "atproto");
/// assert_eq!(client.metadata().token_endpoint_auth_method.as_str(), "none");
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LoopbackClient {
    client_id: ClientId,
    redirect_uris: Vec<RedirectUri>,
    scope: ScopeSet,
}

impl LoopbackClient {
    /// What to tell somebody whose loopback client a server refused (requirement R25).
    pub const OPTIONAL: &'static str = "an authorization server need not accept http://localhost clients: if this one \
                                        does not, publish a metadata document at an https URL and use that as client_id";

    /// Reads the identifier.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with it, all at once.
    pub fn read(client_id: &ClientId) -> Result<Self, Vec<Finding>> {
        let mut findings = Findings::default();
        let query = query(client_id.as_str(), &mut findings);
        let rules = FormRules::DEFAULT.with_repeatable(&["redirect_uri"]);
        let mut redirect_uris = Vec::new();
        let mut scope = None;
        match Params::parse(query.as_bytes(), &rules) {
            Ok(params) => {
                for name in params.names() {
                    if !matches!(name, "redirect_uri" | "scope") {
                        let problem = format!("has the query parameter {}", shown(name));
                        findings.error(
                            "R21",
                            "client_id",
                            problem,
                            "write redirect_uri and scope, and nothing else",
                        );
                    }
                }
                for text in params.all("redirect_uri") {
                    redirect_uris.extend(redirect_uri(text, &mut findings));
                }
                scope = params.value("scope").and_then(|text| read_scope(text, &mut findings));
            }
            Err(error) => {
                let instead = "write scope once, redirect_uri as often as needed, both form-encoded";
                findings.error(
                    "R21",
                    "client_id",
                    format!("has a query that cannot be read: {error}"),
                    instead,
                );
            }
        }
        if findings.has_errors() {
            return Err(findings.into_vec());
        }
        if redirect_uris.is_empty() {
            redirect_uris = DEFAULT_REDIRECT_URIS.iter().filter_map(|text| text.parse().ok()).collect();
        }
        let scope = scope.unwrap_or_else(|| DEFAULT_SCOPE.parse().unwrap_or_default());
        Ok(Self { client_id: client_id.clone(), redirect_uris, scope })
    }

    /// The identifier.
    pub const fn client_id(&self) -> &ClientId {
        &self.client_id
    }

    /// Where browsers may be sent back to, on any port; `http://127.0.0.1/` and `http://[::1]/` if none are written.
    pub fn redirect_uris(&self) -> &[RedirectUri] {
        &self.redirect_uris
    }

    /// What it may ask for; `atproto` if nothing is written.
    pub const fn scope(&self) -> &ScopeSet {
        &self.scope
    }

    /// The metadata it would have published: a native public client, both grants, tokens bound by DPoP.
    pub fn metadata(&self) -> ClientMetadata {
        let mut metadata = ClientMetadata::atproto_public(
            self.client_id.clone(),
            self.redirect_uris.clone(),
            self.scope.clone(),
        );
        metadata.client_name = Some("Loopback client".to_owned());
        metadata.application_type = ApplicationType::Native;
        metadata
    }
}

/// The query of the identifier, and what is wrong with everything before it.
fn query<'a>(text: &'a str, findings: &mut Findings) -> &'a str {
    let instead = "write http://localhost, then a query with redirect_uri and scope if wanted";
    let text = match text.split_once('#') {
        Some((text, _)) => {
            findings.error("R21", "client_id", "has a fragment", instead);
            text
        }
        None => text,
    };
    let (before, query) = text.split_once('?').unwrap_or((text, ""));
    match before.strip_prefix("http://localhost") {
        Some("" | "/") => {}
        Some(port) if port.starts_with(':') => findings.error("R21", "client_id", "has a port", instead),
        Some(path) if path.starts_with('/') => findings.error("R21", "client_id", "has a path", instead),
        _ => findings.error("R21", "client_id", format!("is {}", shown(before)), instead),
    }
    query
}

fn redirect_uri(text: &str, findings: &mut Findings) -> Option<RedirectUri> {
    let instead = "write http://127.0.0.1 or http://[::1] with the path, and no port";
    match text.parse::<RedirectUri>() {
        Ok(uri) if uri.is_loopback() => Some(uri),
        Ok(uri) => {
            let problem = format!("is {}, which is not http on 127.0.0.1 or [::1]", shown(uri.as_str()));
            findings.error("R22", "redirect_uri", problem, instead);
            None
        }
        Err(error) => {
            findings.error("R22", "redirect_uri", format!("is {}: {error}", shown(text)), instead);
            None
        }
    }
}

fn read_scope(text: &str, findings: &mut Findings) -> Option<ScopeSet> {
    match text.parse::<ScopeSet>() {
        Ok(scope) => {
            if !scope.contains("atproto") {
                findings.error("R7", "scope", "does not hold atproto", "add atproto");
            }
            Some(scope)
        }
        Err(error) => {
            findings.error(
                "R23",
                "scope",
                format!("is not a scope: {error}"),
                "write words parted by single spaces",
            );
            None
        }
    }
}

/// Requirement R23.
const DEFAULT_REDIRECT_URIS: [&str; 2] = ["http://127.0.0.1/", "http://[::1]/"];

/// Requirement R23.
const DEFAULT_SCOPE: &str = "atproto";

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<LoopbackClient, Vec<Finding>> {
        LoopbackClient::read(&text.parse().unwrap())
    }

    #[test]
    fn r21_r22_r23_every_broken_rule_is_named() {
        for (text, rule) in [
            ("https://localhost", "R21"),
            ("http://localhost:8080", "R21"),
            ("http://localhost/x", "R21"),
            ("http://localhost//", "R21"),
            ("http://localhost.evil.example", "R21"),
            ("http://127.0.0.1", "R21"),
            ("http://127.0.0.1?", "R21"),
            ("http://localhost#", "R21"),
            ("http://localhost?foo=bar", "R21"),
            ("http://localhost?scope=atproto&scope=atproto", "R21"),
            ("http://localhost?scope=%ff", "R21"),
            ("http://localhost?redirect_uri=http%3A%2F%2Flocalhost%2F", "R22"),
            ("http://localhost?redirect_uri=https%3A%2F%2F127.0.0.1%2F", "R22"),
            ("http://localhost?redirect_uri=https%3A%2F%2Fapp.example%2F", "R22"),
            ("http://localhost?redirect_uri=http%3A%2F%2F127.0.0.1%2F%23x", "R22"),
            ("http://localhost?redirect_uri=x", "R22"),
            ("http://localhost?scope=atproto++x", "R23"),
            ("http://localhost?scope=transition%3Ageneric", "R7"),
        ] {
            let findings = read(text).unwrap_err();
            assert_eq!((findings.len(), findings[0].rule), (1, rule), "{text} {findings:#?}");
        }
        assert_eq!(read("http://localhost:1?foo=bar&redirect_uri=x&scope=y").unwrap_err().len(), 4);
    }

    #[test]
    fn r23_defaults() {
        for text in ["http://localhost", "http://localhost/", "http://localhost?", "http://localhost/?"] {
            let client = read(text).unwrap();
            let uris: Vec<&str> = client.redirect_uris().iter().map(RedirectUri::as_str).collect();
            assert_eq!(uris, DEFAULT_REDIRECT_URIS);
            assert_eq!(client.scope().to_string(), DEFAULT_SCOPE);
            assert_eq!(client.client_id().as_str(), text);
        }
    }

    #[test]
    fn r24_the_metadata_it_would_have_published() {
        let metadata = read("http://localhost?scope=atproto+transition%3Ageneric").unwrap().metadata();
        assert_eq!(
            metadata.to_json(),
            concat!(
                r#"{"client_id":"http://localhost?scope=atproto+transition%3Ageneric","client_name":"Loopback client","#,
                r#""application_type":"native","redirect_uris":["http://127.0.0.1/","http://[::1]/"],"#,
                r#""grant_types":["authorization_code","refresh_token"],"response_types":["code"],"#,
                r#""scope":"atproto transition:generic","token_endpoint_auth_method":"none","#,
                r#""dpop_bound_access_tokens":true}"#
            )
        );
    }

    #[test]
    fn what_is_made_reads_back() {
        let uris = ["http://127.0.0.1/cb?x=1&y=2".parse().unwrap(), "http://[::1]:80/cb".parse().unwrap()];
        let scope: ScopeSet = "atproto repo:app.bsky.feed.like?action=create".parse().unwrap();
        let client = LoopbackClient::read(&ClientId::loopback(&uris, &scope).unwrap()).unwrap();
        assert_eq!(client.redirect_uris(), uris);
        assert_eq!(client.scope(), &scope);
    }

    #[test]
    fn r25_the_hint_says_what_to_do() {
        assert!(LoopbackClient::OPTIONAL.contains("metadata document at an https URL"));
    }
}
