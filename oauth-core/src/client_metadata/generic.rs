//! The rules that hold for every OAuth client.

use crate::client_metadata::document::ClientAuthMethod;
use crate::client_metadata::draft::{Draft, RFC7591};
use crate::client_metadata::{Fetched, RuleSet, jwks};
use crate::finding::{Findings, shown};
use crate::redirect_uri::RedirectUri;
use crate::transport::is_loopback;

pub(super) fn look_at(draft: &Draft, fetched: Option<&Fetched>, findings: &mut Findings) {
    look_at_identity(draft, fetched, findings);
    look_at_grants(draft, findings);
    for (at, uri) in draft.redirect_uris.value().into_iter().flatten() {
        look_at_redirect_uri(*at, uri, findings);
    }
    look_at_authentication(draft, findings);
}

/// A document that is fetched is the one its URL names, and everybody reads it.
fn look_at_identity(draft: &Draft, fetched: Option<&Fetched>, findings: &mut Findings) {
    let Some(fetched) = fetched else { return };
    match draft.client_id.value() {
        Some(id) if id.as_str() == fetched.url => {}
        Some(id) => {
            let problem =
                format!("is {}, and the document is at {}", shown(id.as_str()), shown(&fetched.url));
            findings.error(
                METADATA_DOCUMENT,
                "client_id",
                problem,
                "write the URL of the document, character by character",
            );
        }
        None if draft.client_id.is_absent() => {
            findings.error(METADATA_DOCUMENT, "client_id", "is missing", "write the URL of the document");
        }
        None => {}
    }
    if draft.names.contains("client_secret") {
        let instead = "leave it out, and change the secret: everybody can read this document";
        findings.error(METADATA_DOCUMENT, "client_secret", "is published", instead);
    }
}

fn look_at_grants(draft: &Draft, findings: &mut Findings) {
    let (Some(grants), Some(responses)) = (draft.grant_types_or_default(), draft.response_types_or_default())
    else {
        return;
    };
    for grant in ["implicit", "password"] {
        if grants.contains(&grant) {
            let instead = "write authorization_code: this grant hands out what an attacker can use";
            findings.error("RFC 9700, section 2", "grant_types", format!("holds {grant}"), instead);
        }
    }
    let has_code = grants.contains(&"authorization_code");
    let asks_code = responses.iter().any(|response| response.split(' ').any(|word| word == "code"));
    // Without `response_types` the default is `code`, which a client without redirects does not mean.
    if asks_code && !has_code && !draft.response_types.is_absent() {
        findings.error(
            RFC7591,
            "grant_types",
            "does not hold authorization_code, and response_types holds code",
            "add it",
        );
    }
    if has_code && !asks_code {
        findings.error(
            RFC7591,
            "response_types",
            "does not hold code, and grant_types holds authorization_code",
            "add it",
        );
    }
    let redirects = has_code || grants.contains(&"implicit");
    let none_given = match draft.redirect_uris.value() {
        // Those that are not URIs are findings already.
        Some(uris) => uris.is_empty() && !findings.has_errors_in("redirect_uris["),
        None => draft.redirect_uris.is_absent(),
    };
    if redirects && none_given {
        let instead = "write at least one: a browser must be sent back somewhere";
        findings.error(RFC7591, "redirect_uris", "is missing or empty", instead);
    }
    let public = draft.auth_method.value() == Some(&ClientAuthMethod::None);
    if public && grants.contains(&"client_credentials") {
        let instead = "choose a way to authenticate: these credentials are all there is";
        findings.error(
            "RFC 6749, section 4.4",
            "grant_types",
            "holds client_credentials for a public client",
            instead,
        );
    }
}

fn look_at_redirect_uri(at: usize, uri: &RedirectUri, findings: &mut Findings) {
    let field = format!("redirect_uris[{at}]");
    if uri.is_private_use() {
        if !uri.scheme().contains('.') {
            let instead = "write a domain of yours in reverse, such as com.example.app:/callback";
            findings.warning(
                "RFC 8252, section 7.1",
                field,
                format!("has the scheme {}", uri.scheme()),
                instead,
            );
        }
    } else if uri.scheme() == "http" && !uri.is_loopback() {
        if is_loopback(uri.url()) {
            let problem =
                format!("is {}: the name localhost can be made to mean another machine", shown(uri.as_str()));
            findings.warning("RFC 8252, section 8.3", field, problem, "write 127.0.0.1 or [::1]");
        } else {
            let problem = format!("is {}: anybody on the way can read the code", shown(uri.as_str()));
            findings.error("RFC 9700, section 2.6", field, problem, "write an https URL");
        }
    }
}

fn look_at_authentication(draft: &Draft, findings: &mut Findings) {
    let has_jwks = !draft.jwks.is_absent();
    let has_jwks_uri = !draft.jwks_uri.is_absent();
    let alg = draft.signing_alg.value().map(String::as_str);
    if has_jwks && has_jwks_uri {
        findings.error(RFC7591, "jwks_uri", "stands beside jwks", "write one of the two");
    }
    if draft.auth_method.value() == Some(&ClientAuthMethod::PrivateKeyJwt) && !has_jwks && !has_jwks_uri {
        findings.error(RFC7591, "jwks", "is missing for private_key_jwt", "write jwks or jwks_uri");
    }
    if alg == Some("none") {
        let instead = "write an algorithm, such as ES256";
        findings.error("RFC 8725, section 3.2", "token_endpoint_auth_signing_alg", "is none", instead);
    }
    if let Some(keys) = draft.jwks.value() {
        jwks::look_at(keys, alg, RuleSet::Generic, findings);
    }
}

/// The draft that says how a document may stand at the URL that is the client identifier.
pub(super) const METADATA_DOCUMENT: &str = "OAuth Client ID Metadata Document, section 4";

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::client_metadata::{Fetched, MAX_OCTETS, RuleSet, read, review};
    use crate::finding::Level;

    fn good() -> Value {
        json!({
            "redirect_uris": ["https://client.example.org/callback", "https://client.example.org/callback2"],
            "client_name": "My Example Client",
            "client_name#ja-Jpan-JP": "クライアント名",
            "token_endpoint_auth_method": "client_secret_basic",
            "logo_uri": "https://client.example.org/logo.png",
            "jwks_uri": "https://client.example.org/my_public_keys.jwks",
            "example_extension_parameter": "example_value"
        })
    }

    /// The good document with one member changed (or, by null, left out).
    fn with(field: &str, value: Value) -> Vec<u8> {
        let mut document = good();
        if value.is_null() {
            document.as_object_mut().unwrap().remove(field);
        } else {
            document[field] = value;
        }
        document.to_string().into_bytes()
    }

    #[test]
    fn rfc7591_section_3_1() {
        let document = good().to_string();
        let reviewed = read(document.as_bytes(), None, RuleSet::Generic).unwrap();
        assert!(reviewed.warnings.is_empty());
        assert_eq!(reviewed.metadata.redirect_uris.len(), 2);
        assert_eq!(reviewed.metadata.grant_types, ["authorization_code"]);
        // What is read is what is written, so reading it again changes nothing.
        let again = read(reviewed.metadata.to_json().as_bytes(), None, RuleSet::Generic).unwrap();
        assert_eq!(again, reviewed);
    }

    #[test]
    fn rfc7591_a_client_without_redirects_is_read_as_written() {
        for document in [
            r#"{"grant_types":["client_credentials"]}"#,
            r#"{"grant_types":["client_credentials"],"response_types":[]}"#,
            r#"{"grant_types":[]}"#,
        ] {
            let metadata = read(document.as_bytes(), None, RuleSet::Generic).unwrap().metadata;
            assert!(metadata.response_types.is_empty(), "{document}");
            let again = read(metadata.to_json().as_bytes(), None, RuleSet::Generic).unwrap();
            assert_eq!(again.metadata, metadata);
        }
    }

    #[test]
    fn every_broken_rule_is_named() {
        let rfc = "RFC 7591, section 2";
        for (field, value, rule, level) in [
            ("redirect_uris", json!(null), rfc, Level::Error),
            ("redirect_uris", json!([]), rfc, Level::Error),
            ("redirect_uris", json!("https://a.example"), rfc, Level::Error),
            ("redirect_uris", json!([7]), rfc, Level::Error),
            ("redirect_uris", json!(["https://a.example/#x"]), rfc, Level::Error),
            ("redirect_uris", json!(["javascript:alert(1)"]), rfc, Level::Error),
            ("redirect_uris", json!(vec!["https://a.example/"; 129]), rfc, Level::Error),
            ("redirect_uris", json!(["http://a.example/"]), "RFC 9700, section 2.6", Level::Error),
            ("redirect_uris", json!(["http://localhost/"]), "RFC 8252, section 8.3", Level::Warning),
            ("redirect_uris", json!(["myapp:/cb"]), "RFC 8252, section 7.1", Level::Warning),
            ("grant_types", json!(["authorization_code", "implicit"]), "RFC 9700, section 2", Level::Error),
            ("grant_types", json!(["authorization_code", "password"]), "RFC 9700, section 2", Level::Error),
            ("grant_types", json!("authorization_code"), rfc, Level::Error),
            ("response_types", json!(["token"]), rfc, Level::Error),
            ("token_endpoint_auth_method", json!("secret"), rfc, Level::Error),
            ("token_endpoint_auth_signing_alg", json!("none"), "RFC 8725, section 3.2", Level::Error),
            ("jwks", json!({"keys": []}), rfc, Level::Error),
            ("jwks_uri", json!("http://a.example/"), rfc, Level::Error),
            ("client_uri", json!("a.example"), rfc, Level::Error),
            ("scope", json!("a  b"), "RFC 6749, section 3.3", Level::Error),
            ("scope", json!("a a"), "RFC 6749, section 3.3", Level::Warning),
            ("application_type", json!("desktop"), rfc, Level::Error),
            ("dpop_bound_access_tokens", json!("true"), rfc, Level::Error),
            ("client_id", json!(""), rfc, Level::Error),
        ] {
            let document = with(field, value.clone());
            let findings = review(&document, None, RuleSet::Generic);
            assert!(
                findings.iter().any(|finding| finding.rule == rule && finding.level == level),
                "{field} {value} {findings:#?}"
            );
            assert_eq!(
                read(&document, None, RuleSet::Generic).is_err(),
                level == Level::Error,
                "{field} {value}"
            );
        }
    }

    #[test]
    fn grants_and_responses_belong_together() {
        for (document, good) in [
            (json!({"grant_types": ["client_credentials"]}), true),
            (json!({"grant_types": ["client_credentials"], "response_types": ["code"]}), false),
            (json!({"grant_types": ["client_credentials"], "token_endpoint_auth_method": "none"}), false),
            (
                json!({"token_endpoint_auth_method": "private_key_jwt", "redirect_uris": ["https://a.example/"]}),
                false,
            ),
            (json!({}), false),
        ] {
            assert_eq!(
                read(document.to_string().as_bytes(), None, RuleSet::Generic).is_ok(),
                good,
                "{document}"
            );
        }
    }

    #[test]
    fn a_published_document_is_the_one_its_url_names() {
        let fetched = Fetched::new("https://client.example.org/id", 200, Some("application/json"));
        assert!(read(&with("client_id", json!(fetched.url)), Some(&fetched), RuleSet::Generic).is_ok());
        assert!(read(&with("client_id", json!(null)), Some(&fetched), RuleSet::Generic).is_err());
        assert!(
            read(&with("client_id", json!("https://client.example.org/")), Some(&fetched), RuleSet::Generic)
                .is_err()
        );
        let mut document: Value = serde_json::from_slice(&with("client_id", json!(fetched.url))).unwrap();
        document["client_secret"] = json!("s3cr3t");
        let findings = read(document.to_string().as_bytes(), Some(&fetched), RuleSet::Generic).unwrap_err();
        assert_eq!(findings[0].field, "client_secret");
        assert!(!findings[0].to_string().contains("s3cr3t"));
    }

    #[test]
    fn nothing_that_is_not_a_document_passes() {
        let mut large = good().to_string().into_bytes();
        large.resize(MAX_OCTETS + 1, b' ');
        for document in
            [&b""[..], b"null", b"[]", b"{", b"{} {}", b"\xff", b"{\"a\":\"\xff\"}", &[b'['; 100_000], &large]
        {
            let findings = review(document, None, RuleSet::Generic);
            assert_eq!((findings.len(), findings[0].field.as_str()), (1, "document"));
        }
        let twice = br#"{"client_name":"a","client_name":"b","grant_types":["client_credentials"]}"#;
        assert_eq!(review(twice, None, RuleSet::Generic)[0].field, "client_name");
    }
}
