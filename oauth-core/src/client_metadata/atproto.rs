//! The rules of the AT Protocol's OAuth profile, and what its reference server refuses beyond them.

use std::collections::BTreeSet;

use url::{Host, Url};

use crate::client_metadata::document::{ApplicationType, ClientAuthMethod};
use crate::client_metadata::draft::Draft;
use crate::client_metadata::generic::METADATA_DOCUMENT;
use crate::client_metadata::{Fetched, RuleSet, jwks};
use crate::finding::{Findings, shown};
use crate::json_answer::is_json;
use crate::redirect_uri::RedirectUri;
use crate::transport::{authority, is_loopback, writes_port};

/// R2: how the document was answered.
pub(super) fn look_at_answer(fetched: &Fetched, rules: RuleSet, findings: &mut Findings) {
    let rule = match rules {
        RuleSet::Generic => METADATA_DOCUMENT,
        RuleSet::Atproto => "R2",
    };
    match fetched.status {
        200 => {}
        status @ 300..=399 => {
            let problem = format!("was answered with a redirect ({status})");
            findings.error(
                rule,
                "document",
                problem,
                "answer at the very URL of the client_id: servers follow no redirect",
            );
        }
        status => {
            findings.error(
                rule,
                "document",
                format!("was answered with status {status}"),
                "answer with status 200",
            );
        }
    }
    let problem = match fetched.content_type.as_deref() {
        Some(text) if is_json(text) => return,
        Some(text) => format!("has the content type {}", shown(text)),
        None => "has no content type".to_owned(),
    };
    findings.error(rule, "document", problem, "send Content-Type: application/json");
}

pub(super) fn look_at(draft: &Draft, fetched: Option<&Fetched>, findings: &mut Findings) {
    let id = fetched.map(|fetched| fetched.url.as_str()).or_else(|| Some(draft.client_id.value()?.as_str()));
    look_at_client_id(draft, id, findings);
    look_at_grants(draft, findings);
    look_at_authentication(draft, findings);
    // Without a client_id that can be used there is nothing to compare origins with.
    let id = id.and_then(document_url);
    look_at_client_uri(draft, id.as_ref(), findings);
    look_at_redirect_uris(draft, id.as_ref(), findings);
    look_at_unsupported(draft, findings);
}

/// Where the metadata document of this client identifier is, if it is one that has a document (R1).
pub(crate) fn document_url(client_id: &str) -> Option<Url> {
    let mut findings = Findings::default();
    let url = read_client_id(client_id, &mut findings)?;
    (!findings.has_errors()).then_some(url)
}

/// R1 and R3.
fn look_at_client_id(draft: &Draft, id: Option<&str>, findings: &mut Findings) {
    if draft.client_id.is_absent() {
        findings.error("R3", "client_id", "is missing", "write the URL this document is published at");
    }
    if let (Some(written), Some(asked)) = (draft.client_id.value(), id)
        && written.as_str() != asked
    {
        let problem = format!("is {}, and the document is at {}", shown(written.as_str()), shown(asked));
        findings.error("R3", "client_id", problem, "write the URL of the document, character by character");
    }
    if let Some(id) = id {
        read_client_id(id, findings);
    }
}

/// R1: everything that keeps a text from being the URL of a metadata document.
fn read_client_id(id: &str, findings: &mut Findings) -> Option<Url> {
    let example = "write a URL such as https://app.example.com/client-metadata.json";
    let mut wrong = |problem: &str, instead: &str| findings.error("R1", "client_id", problem, instead);
    let Ok(url) = Url::parse(id) else {
        wrong("is not a URL", example);
        return None;
    };
    if url.scheme() != "https" {
        wrong(
            "is not https",
            "publish the document under https; http://localhost clients need no document at all",
        );
        return None;
    }
    let before = [
        (authority(id).is_none_or(|authority| authority.contains('@')), "holds a user name or password"),
        (id.contains('#'), "has a fragment"),
        (writes_port(id), "has a port"),
        (url.path() == "/", "has no path"),
        (url.path() != "/" && url.path().ends_with('/'), "ends with a slash"),
        (!matches!(url.host(), Some(Host::Domain(_))), "has an address for a host"),
        (is_local_name(&url), "has a host name that only its own network knows"),
    ];
    let mut sound = true;
    for (_, problem) in before.into_iter().filter(|(broken, _)| *broken) {
        wrong(problem, example);
        sound = false;
    }
    if sound && url.as_str() != id {
        wrong("is not in its canonical form", &format!("write {}", shown(url.as_str())));
    }
    Some(url)
}

/// R4 to R7 and R11.
fn look_at_grants(draft: &Draft, findings: &mut Findings) {
    let is_native = draft.application_type.value() == Some(&ApplicationType::Native);
    if is_native && draft.auth_method.value() == Some(&ClientAuthMethod::PrivateKeyJwt) {
        let instead =
            "write web, or none for token_endpoint_auth_method: a key shipped to devices is no secret";
        findings.error("R4", "application_type", "is native for a client with a key", instead);
    }

    let both = r#"write ["authorization_code", "refresh_token"]"#;
    if let Some(grants) = draft.grant_types.value() {
        let mut seen = BTreeSet::new();
        for grant in grants {
            if !seen.insert(grant.as_str()) {
                findings.error("R5", "grant_types", format!("holds {} twice", shown(grant)), both);
            } else if !matches!(grant.as_str(), "authorization_code" | "refresh_token") {
                findings.error(
                    "R5",
                    "grant_types",
                    format!("holds {}, which is not supported", shown(grant)),
                    both,
                );
            }
        }
        if !seen.contains("authorization_code") {
            findings.error("R5", "grant_types", "does not hold authorization_code", both);
        }
        if !seen.contains("refresh_token") {
            let problem = "does not hold refresh_token: a session ends with its first access token";
            findings.warning("R5", "grant_types", problem, both);
        }
    } else if draft.grant_types.is_absent() {
        findings.error("R5", "grant_types", "is missing", both);
    }

    let code = r#"write ["code"]"#;
    if let Some(responses) = draft.response_types.value() {
        if !responses.iter().any(|response| response == "code") {
            findings.error("R6", "response_types", "does not hold code", code);
        }
        for response in responses.iter().filter(|response| *response != "code") {
            findings.error(
                "R6",
                "response_types",
                format!("holds {}, which is not supported", shown(response)),
                code,
            );
        }
    } else if draft.response_types.is_absent() {
        let problem = if draft.names.contains("response_type") {
            "is missing: response_type is not its name"
        } else {
            "is missing"
        };
        findings.error("R6", "response_types", problem, code);
    }

    let instead = "write every scope word that may ever be asked for, atproto among them";
    if draft.scope.value().is_some_and(|scope| !scope.contains("atproto")) {
        findings.error("R7", "scope", "does not hold atproto", instead);
    } else if draft.scope.is_absent() {
        findings.error("R7", "scope", "is missing", instead);
    }

    let instead = "write true: every token is bound to a DPoP key";
    if draft.dpop_bound.value() == Some(&false) {
        findings.error("R11", "dpop_bound_access_tokens", "is false", instead);
    } else if draft.dpop_bound.is_absent() {
        findings.error("R11", "dpop_bound_access_tokens", "is missing", instead);
    }
}

/// R9, R10 and R12.
fn look_at_authentication(draft: &Draft, findings: &mut Findings) {
    let (method, alg) = ("token_endpoint_auth_method", "token_endpoint_auth_signing_alg");
    let signing_alg = draft.signing_alg.value().map(String::as_str);
    let has_jwks = !draft.jwks.is_absent();
    let has_jwks_uri = !draft.jwks_uri.is_absent();
    match draft.auth_method.value() {
        Some(ClientAuthMethod::None) if draft.signing_alg.is_absent() => {}
        Some(ClientAuthMethod::None) => {
            findings.error("R10", alg, "is written for a client without a key", "leave it out");
        }
        Some(ClientAuthMethod::PrivateKeyJwt) => {
            match signing_alg {
                Some("ES256") => {}
                Some("none") => findings.error("R10", alg, "is none", "write ES256"),
                Some(symmetric @ ("HS256" | "HS384" | "HS512")) => {
                    findings.error(
                        "R10",
                        alg,
                        format!("is {symmetric}, which needs a shared secret"),
                        "write ES256",
                    );
                }
                Some(other) => {
                    let problem = format!("is {}, which a server need not know", shown(other));
                    findings.warning("R10", alg, problem, "write ES256, which every server knows");
                }
                None if draft.signing_alg.is_absent() => {
                    findings.error("R10", alg, "is missing", "write ES256");
                }
                None => {}
            }
            if !has_jwks && !has_jwks_uri {
                findings.error(
                    "R12",
                    "jwks",
                    "is missing for private_key_jwt",
                    "write jwks_uri, or jwks, with the public keys",
                );
            }
        }
        Some(other) => {
            let instead = "write private_key_jwt for a client with a key, or none";
            findings.error("R9", method, format!("is {other}, which is not supported"), instead);
        }
        None if draft.auth_method.is_absent() => {
            let instead =
                "write none or private_key_jwt: an omission means client_secret_basic, which is refused";
            findings.error("R9", method, "is missing", instead);
        }
        None => {}
    }
    if draft.names.contains("client_secret") {
        let instead = "leave it out, and change the secret: everybody can read this document";
        findings.error("R9", "client_secret", "is published", instead);
    }
    if has_jwks && has_jwks_uri {
        findings.error("R12", "jwks_uri", "stands beside jwks", "write one of the two");
    }
    if let Some(keys) = draft.jwks.value() {
        jwks::look_at(keys, signing_alg, RuleSet::Atproto, findings);
    }
}

/// R13.
fn look_at_client_uri(draft: &Draft, id: Option<&Url>, findings: &mut Findings) {
    let (Some(uri), Some(id)) = (draft.client_uri.value(), id) else { return };
    let parent = uri.path().strip_suffix('/').unwrap_or_else(|| uri.path());
    let below = id.path().strip_prefix(parent);
    if uri.host() != id.host() {
        let instead = "write a page on the host of the client_id";
        findings.error("R13", "client_uri", "has another host than client_id", instead);
    } else if uri.origin() != id.origin() {
        findings.error("R13", "client_uri", "has another origin than client_id", "write the same port");
    } else if below.is_none_or(|below| !below.is_empty() && !below.starts_with('/')) {
        let instead = "write a page above it, such as the root of the host";
        findings.error("R13", "client_uri", "is not above client_id", instead);
    }
}

/// R8 and R16 to R18.
fn look_at_redirect_uris(draft: &Draft, id: Option<&Url>, findings: &mut Findings) {
    let instead = "write at least one: a browser must be sent back somewhere";
    if draft.redirect_uris.is_absent() {
        findings.error("R8", "redirect_uris", "is missing", instead);
    }
    let Some(uris) = draft.redirect_uris.value() else { return };
    if uris.is_empty() && !findings.has_errors_in("redirect_uris[") {
        findings.error("R8", "redirect_uris", "is empty", instead);
    }
    let kind = match draft.application_type.value() {
        Some(kind) => *kind,
        None if draft.application_type.is_absent() => ApplicationType::Web,
        None => return,
    };
    for (at, uri) in uris {
        let field = format!("redirect_uris[{at}]");
        match uri.scheme() {
            "https" => look_at_https(&field, uri, kind, id, findings),
            "http" => look_at_http(&field, uri, kind, findings),
            _ => look_at_private_use(&field, uri, kind, id, findings),
        }
    }
}

fn look_at_https(
    field: &str,
    uri: &RedirectUri,
    kind: ApplicationType,
    id: Option<&Url>,
    findings: &mut Findings,
) {
    if is_local_name(uri.url()) || is_loopback(uri.url()) {
        let instead = "write a host that the whole network knows";
        findings.error("R16", field, "has a host that only its own network knows", instead);
    }
    if writes_port(uri.as_str()) && uri.url().port().is_none() {
        findings.error("R16", field, "writes the port that https has anyway", "leave :443 out");
    }
    if kind == ApplicationType::Native && id.is_some_and(|id| id.origin() != uri.url().origin()) {
        let instead = "write a URL of the same scheme, host and port, or a private-use scheme";
        findings.error("R18", field, "has another origin than the client_id of this native client", instead);
    }
}

fn look_at_http(field: &str, uri: &RedirectUri, kind: ApplicationType, findings: &mut Findings) {
    if !uri.is_loopback() {
        let instead = match (is_loopback(uri.url()), kind) {
            (true, ApplicationType::Native) => {
                "write 127.0.0.1 or [::1]: localhost can be made to mean another machine"
            }
            _ => "write an https URL",
        };
        findings.error("R16", field, "is http", instead);
    } else if kind == ApplicationType::Web {
        let instead = "write an https URL; to try things out, use an http://localhost client_id, which needs no document";
        findings.error("R16", field, "leads to the person's own machine, and the client is web", instead);
    } else {
        let instead = "write an https URL of the client_id's origin, or its host in reverse as a scheme";
        findings.warning("R17", field, "is a loopback address, which not every server takes", instead);
    }
}

fn look_at_private_use(
    field: &str,
    uri: &RedirectUri,
    kind: ApplicationType,
    id: Option<&Url>,
    findings: &mut Findings,
) {
    if kind == ApplicationType::Web {
        findings.error("R17", field, "has a private-use scheme, and the client is web", "write an https URL");
        return;
    }
    let wanted = id.and_then(Url::host_str).map(|host| {
        let mut labels: Vec<&str> = host.split('.').collect();
        labels.reverse();
        labels.join(".")
    });
    if let Some(wanted) = wanted
        && wanted != uri.scheme()
    {
        let problem = format!("has the scheme {}", shown(uri.scheme()));
        let instead = format!("write {wanted}:/callback, the host of the client_id in reverse");
        findings.error("R17", field, problem, instead);
    }
    let after = uri.as_str().split_once(':').map_or("", |(_, after)| after);
    if !after.starts_with('/') || after.starts_with("//") {
        findings.error("R17", field, "has no path after one slash", "write one colon, one slash, and a path");
    }
}

/// A name that only begins like one of these is nobody's, and is passed over like any other that is not known: it may hold
/// anything, and a finding shows it.
fn is_unsupported(name: &str) -> bool {
    let is_name = name.len() <= 80 && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    let families = ["userinfo_", "authorization_encrypted_response_"];
    is_name
        && (matches!(name, "default_max_age" | "id_token_signed_response_alg")
            || families.iter().any(|start| name.starts_with(start)))
}

/// R15.
fn look_at_unsupported(draft: &Draft, findings: &mut Findings) {
    for name in draft.names.iter().filter(|name| is_unsupported(name)) {
        findings.error("R15", name.clone(), "is not supported", "leave it out");
    }
    if draft.subject_type.value().is_some_and(|kind| kind != "public") {
        findings.error(
            "R15",
            "subject_type",
            "is not public",
            "leave it out: the subject is the person's DID",
        );
    }
    if draft.mtls_bound.value() == Some(&true) {
        let field = "tls_client_certificate_bound_access_tokens";
        findings.error("R15", field, "is true", "leave it out: tokens are bound by DPoP");
    }
}

/// Whether the host is a name that the public network does not know.
fn is_local_name(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => match name.rsplit_once('.') {
            Some((_, last)) => ["test", "local", "localhost", "invalid", "example"].contains(&last),
            None => true,
        },
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::client_metadata::{Fetched, MAX_OCTETS, RuleSet, read, review};
    use crate::finding::{Finding, Level};

    const ID: &str = "https://app.peer.internal/client-metadata.json";

    fn confidential() -> Value {
        json!({
            "client_id": ID,
            "client_name": "An app",
            "client_uri": "https://app.peer.internal",
            "logo_uri": "https://pictures.peer.internal/logo.png",
            "tos_uri": "https://app.peer.internal/tos",
            "policy_uri": "https://app.peer.internal/policy",
            "application_type": "web",
            "redirect_uris": ["https://app.peer.internal/callback", "https://other.peer.internal:8443/cb?x=1"],
            "grant_types": ["authorization_code", "refresh_token"],
            "response_types": ["code"],
            "scope": "atproto transition:generic repo:app.bsky.feed.like",
            "token_endpoint_auth_method": "private_key_jwt",
            "token_endpoint_auth_signing_alg": "ES256",
            "dpop_bound_access_tokens": true,
            "jwks": {"keys": [{"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA", "kid": "1", "use": "sig", "alg": "ES256"}]},
            "some_other_member": {"a": [1, 2.5, null]}
        })
    }

    fn native() -> Value {
        json!({
            "client_id": ID,
            "application_type": "native",
            "redirect_uris": ["internal.peer.app:/callback", "https://app.peer.internal/app"],
            "grant_types": ["authorization_code", "refresh_token"],
            "response_types": ["code"],
            "scope": "atproto",
            "token_endpoint_auth_method": "none",
            "dpop_bound_access_tokens": true
        })
    }

    /// The document with these members changed (or, by null, left out), as if fetched from where it says.
    fn findings(mut document: Value, changes: &[(&str, Value)]) -> Vec<Finding> {
        for (field, value) in changes {
            if value.is_null() {
                document.as_object_mut().unwrap().remove(*field);
            } else {
                document[*field] = value.clone();
            }
        }
        let url = document["client_id"].as_str().unwrap_or(ID).to_owned();
        let fetched = Fetched::new(&url, 200, Some("application/json"));
        review(document.to_string().as_bytes(), Some(&fetched), RuleSet::Atproto)
    }

    fn rules(findings: &[Finding]) -> Vec<&str> {
        findings.iter().map(|finding| finding.rule).collect()
    }

    #[test]
    fn good_documents_have_no_findings() {
        for document in [confidential(), native()] {
            assert_eq!(findings(document.clone(), &[]), []);
            let reviewed = read(document.to_string().as_bytes(), None, RuleSet::Atproto).unwrap();
            let again = read(reviewed.metadata.to_json().as_bytes(), None, RuleSet::Atproto).unwrap();
            assert_eq!(again, reviewed);
        }
        let public_web = [
            ("token_endpoint_auth_method", json!("none")),
            ("token_endpoint_auth_signing_alg", json!(null)),
            ("jwks", json!(null)),
        ];
        assert_eq!(findings(confidential(), &public_web), []);
        let by_uri = [("jwks", json!(null)), ("jwks_uri", json!("https://app.peer.internal/jwks.json"))];
        assert_eq!(findings(confidential(), &by_uri), []);
    }

    #[test]
    fn r1_the_client_id_is_the_url_of_a_document() {
        for id in [
            "http://app.peer.internal/m.json",
            "https://app.peer.internal:8443/m.json",
            "https://app.peer.internal:443/m.json",
            "https://u@app.peer.internal/m.json",
            "https://app.peer.internal/m.json#x",
            "https://app.peer.internal",
            "https://app.peer.internal/",
            "https://app.peer.internal/m/",
            "https://127.0.0.1/m.json",
            "https://[::1]/m.json",
            "https://localhost/m.json",
            "https://app.test/m.json",
            "https://APP.peer.internal/m.json",
            "https://app.peer.internal/a/../m.json",
            "https:/app.peer.internal/m.json",
            "m.json",
        ] {
            let changes = [("client_id", json!(id)), ("client_uri", json!(null)), ("jwks_uri", json!(null))];
            let found = findings(confidential(), &changes);
            assert!(!found.is_empty() && rules(&found).iter().all(|rule| *rule == "R1"), "{id} {found:#?}");
            assert!(super::document_url(id).is_none(), "{id}");
        }
        assert!(super::document_url("https://app.peer.internal/m.json?x=1").is_some());
    }

    #[test]
    fn r2_the_document_is_answered_with_200_and_json() {
        let document = confidential().to_string();
        for (status, content_type) in [
            (201, Some("application/json")),
            (302, Some("application/json")),
            (404, Some("application/json")),
            (200, Some("text/plain")),
            (200, Some("application/jwk-set+json")),
            (200, None),
        ] {
            let fetched = Fetched::new(ID, status, content_type);
            let found = review(document.as_bytes(), Some(&fetched), RuleSet::Atproto);
            assert_eq!(rules(&found), ["R2"], "{status} {content_type:?}");
        }
        let fetched = Fetched::new(ID, 200, Some("application/json; charset=utf-8"));
        assert_eq!(review(document.as_bytes(), Some(&fetched), RuleSet::Atproto), []);
        let large = format!("{document}{}", " ".repeat(MAX_OCTETS));
        for body in [large.as_str(), "", "[]", "<!doctype html>"] {
            assert_eq!(rules(&review(body.as_bytes(), None, RuleSet::Atproto)), ["R2"]);
        }
    }

    #[test]
    fn r3_the_client_id_is_where_the_document_is() {
        let fetched = Fetched::new(ID, 200, Some("application/json"));
        for (id, expected) in [
            (json!(format!("{ID}?")), "R3"),
            (json!("https://other.peer.internal/m.json"), "R3"),
            (json!(7), "R3"),
        ] {
            let mut document = confidential();
            document["client_id"] = id;
            let found = review(document.to_string().as_bytes(), Some(&fetched), RuleSet::Atproto);
            assert_eq!(rules(&found), [expected]);
        }
        assert_eq!(rules(&findings(confidential(), &[("client_id", json!(null))])), ["R3"]);
    }

    #[test]
    fn r4_to_r18_every_broken_rule_is_named() {
        let key = |more: Value| {
            let mut key = json!({"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA", "kid": "1"});
            key.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            json!({"keys": [key]})
        };
        for (field, value, rule) in [
            ("application_type", json!("desktop"), "R4"),
            ("application_type", json!(["web"]), "R4"),
            ("grant_types", json!(null), "R5"),
            ("grant_types", json!("authorization_code"), "R5"),
            ("grant_types", json!(["refresh_token"]), "R5"),
            ("grant_types", json!(["authorization_code", "refresh_token", "refresh_token"]), "R5"),
            ("grant_types", json!(["authorization_code", "refresh_token", "implicit"]), "R5"),
            ("response_types", json!(null), "R6"),
            ("response_types", json!("code"), "R6"),
            ("response_types", json!([]), "R6"),
            ("response_types", json!(["code", "code id_token"]), "R6"),
            ("scope", json!(null), "R7"),
            ("scope", json!(["atproto"]), "R7"),
            ("scope", json!("transition:generic"), "R7"),
            ("scope", json!("atproto atproto"), "R7"),
            ("scope", json!("atproto  x"), "R7"),
            ("redirect_uris", json!(null), "R8"),
            ("redirect_uris", json!([]), "R8"),
            ("redirect_uris", json!("https://app.peer.internal/callback"), "R8"),
            ("token_endpoint_auth_method", json!(null), "R9"),
            ("token_endpoint_auth_method", json!("client_secret_basic"), "R9"),
            ("token_endpoint_auth_method", json!("magic"), "R9"),
            ("client_secret", json!("s3cr3t"), "R9"),
            ("token_endpoint_auth_signing_alg", json!(null), "R10"),
            ("token_endpoint_auth_signing_alg", json!("none"), "R10"),
            ("token_endpoint_auth_signing_alg", json!("HS256"), "R10"),
            ("token_endpoint_auth_method", json!("none"), "R10"),
            ("dpop_bound_access_tokens", json!(null), "R11"),
            ("dpop_bound_access_tokens", json!(false), "R11"),
            ("dpop_bound_access_tokens", json!("true"), "R11"),
            ("jwks", json!(null), "R12"),
            ("jwks", json!([]), "R12"),
            ("jwks", json!({"keys": []}), "R12"),
            ("jwks", json!({"keys": [{"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"}]}), "R12"),
            ("jwks", json!({"keys": [{"kty": "RSA", "n": "AA", "e": "AQAB", "kid": "1"}]}), "R12"),
            ("jwks", key(json!({"d": "AA"})), "R12"),
            ("jwks", key(json!({"kid": 1})), "R12"),
            ("jwks_uri", json!("https://app.peer.internal/jwks.json"), "R12"),
            ("client_uri", json!("https://other.peer.internal/"), "R13"),
            ("client_uri", json!("https://app.peer.internal:8443/"), "R13"),
            ("client_uri", json!("https://app.peer.internal/client"), "R13"),
            ("client_uri", json!("http://app.peer.internal/"), "R13"),
            ("logo_uri", json!("http://app.peer.internal/logo.png"), "R14"),
            ("tos_uri", json!("data:text/plain,x"), "R14"),
            ("policy_uri", json!("/policy"), "R14"),
            ("client_name", json!(7), "R14"),
            ("default_max_age", json!(1), "R15"),
            ("userinfo_signed_response_alg", json!("ES256"), "R15"),
            ("id_token_signed_response_alg", json!("ES256"), "R15"),
            ("subject_type", json!("pairwise"), "R15"),
            ("tls_client_certificate_bound_access_tokens", json!(true), "R15"),
            ("redirect_uris", json!(["http://app.peer.internal/cb"]), "R16"),
            ("redirect_uris", json!(["http://127.0.0.1/cb"]), "R16"),
            ("redirect_uris", json!(["http://localhost/cb"]), "R16"),
            ("redirect_uris", json!(["https://localhost/cb"]), "R16"),
            ("redirect_uris", json!(["https://127.0.0.1/cb"]), "R16"),
            ("redirect_uris", json!(["https://app.peer.internal:443/cb"]), "R16"),
            ("redirect_uris", json!(["https://u@app.peer.internal/cb"]), "R16"),
            ("redirect_uris", json!(["https://app.peer.internal/cb#x"]), "R16"),
            ("redirect_uris", json!(["javascript:alert(1)"]), "R16"),
            ("redirect_uris", json!(["internal.peer.app:/callback"]), "R17"),
        ] {
            let found = findings(confidential(), &[(field, value.clone())]);
            assert_eq!(rules(&found), [rule], "{field} {value} {found:#?}");
            assert_eq!(found[0].level, Level::Error);
            assert!(!found[0].to_string().contains("s3cr3t"));
        }
        assert_eq!(rules(&findings(confidential(), &[("application_type", json!("native"))])), ["R4", "R18"]);
    }

    #[test]
    fn r16_to_r18_native_clients() {
        for (uri, rule, level) in [
            ("http://localhost/cb", "R16", Level::Error),
            ("http://app.peer.internal/cb", "R16", Level::Error),
            ("internal.peer.other:/cb", "R17", Level::Error),
            ("internal.peer.app://cb", "R17", Level::Error),
            ("internal.peer.app:cb", "R17", Level::Error),
            ("http://127.0.0.1/cb", "R17", Level::Warning),
            ("https://other.peer.internal/cb", "R18", Level::Error),
        ] {
            let found = findings(native(), &[("redirect_uris", json!([uri]))]);
            assert_eq!(rules(&found), [rule], "{uri} {found:#?}");
            assert_eq!(found[0].level, level, "{uri}");
        }
    }

    #[test]
    fn warnings_do_not_refuse() {
        for (field, value, rule) in [
            ("grant_types", json!(["authorization_code"]), "R5"),
            ("token_endpoint_auth_signing_alg", json!("ES384"), "R10"),
        ] {
            let mut document = confidential();
            document[field] = value;
            let reviewed = read(document.to_string().as_bytes(), None, RuleSet::Atproto).unwrap();
            assert_eq!((rules(&reviewed.warnings), reviewed.warnings[0].level), (vec![rule], Level::Warning));
        }
    }

    #[test]
    fn r15_a_name_that_only_begins_like_an_unsupported_one_is_not_shown() {
        for name in
            ["userinfo_\nx", "userinfo_\u{7f}", "authorization_encrypted_response_ x", "userinfo_\u{202e}"]
        {
            assert_eq!(findings(confidential(), &[(name, json!(true))]), [], "{name:?}");
        }
    }

    #[test]
    fn everything_is_found_at_once() {
        let found =
            review(b"{\"response_type\":[\"code\"],\"scope\":\"x\",\"scope\":\"y\"}", None, RuleSet::Atproto);
        assert_eq!(rules(&found), ["R2", "R3", "R5", "R6", "R7", "R11", "R9", "R8"]);
        assert!(found[3].problem.contains("response_type is not its name"));
        for finding in found {
            assert!(!finding.instead.is_empty() && !finding.field.is_empty());
        }
    }

    #[test]
    fn hostile_documents_stay_bounded() {
        let document = json!({
            "client_id": "x".repeat(100_000),
            "scope": "a ".repeat(100_000),
            "redirect_uris": vec!["x".repeat(2000); 128],
            "jwks": {"keys": vec![json!({"d": 1}); 10_000]},
        });
        let found = review(document.to_string().as_bytes(), None, RuleSet::Atproto);
        assert!(found.len() <= 256);
        assert!(found.iter().all(|finding| finding.to_string().len() < 1000), "{found:#?}");
    }
}
