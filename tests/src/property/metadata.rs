//! What clients, authorization servers and resources publish about themselves.

use serde_json::Value;
use url::Url;
use vestibule_oauth_core::client_metadata::{self, Fetched, MAX_LIST, MAX_OCTETS, RuleSet};
use vestibule_oauth_core::{
    ClientId, ClientMetadata, Finding, Issuer, Jwks, Level, LoopbackClient, ResourceMetadata, ServerMetadata,
    ServerMetadataError, Transport, Trust,
};

use super::material::{answer, is_one_line, prints_and_parses, survives_json, text};

/// Two rule sets and two ways to get it: what is read without an error writes a document that reads as the same.
pub fn client_metadata(data: &[u8]) {
    let value: Value = serde_json::from_slice(data).unwrap_or_default();
    if let Some(Ok(jwks)) = value.get("jwks").map(|jwks| jwks.to_string().parse::<Jwks>()) {
        prints_and_parses(&jwks);
    }
    let url = value.get("client_id").and_then(Value::as_str).unwrap_or("https://app.example.com/client.json");
    let fetched = Fetched::new(url, 200, Some("application/json"));
    for rules in [RuleSet::Generic, RuleSet::Atproto] {
        for fetched in [None, Some(&fetched)] {
            let findings = client_metadata::review(data, fetched, rules);
            are_presentable(&findings);
            let refused = findings.iter().any(|finding| finding.level == Level::Error);
            let reviewed = match client_metadata::read(data, fetched, rules) {
                Ok(reviewed) => reviewed,
                Err(reported) => {
                    assert!(refused);
                    assert_eq!(reported, findings);
                    continue;
                }
            };
            assert!(!refused);
            assert_eq!(reviewed.warnings, findings);
            assert!(data.len() <= MAX_OCTETS && reviewed.metadata.redirect_uris.len() <= MAX_LIST);
            if has_long_url(&reviewed.metadata) {
                continue; // escaped, it is longer than what is read
            }
            let written = reviewed.metadata.to_json();
            let again = client_metadata::read(written.as_bytes(), fetched, rules)
                .unwrap_or_else(|findings| panic!("{written} is written and refused: {findings:?}"));
            assert_eq!(again.metadata, reviewed.metadata, "{written}");
            assert_eq!(again.metadata.to_json(), written);
        }
    }
}

fn has_long_url(metadata: &ClientMetadata) -> bool {
    let urls = [
        &metadata.client_uri,
        &metadata.logo_uri,
        &metadata.tos_uri,
        &metadata.policy_uri,
        &metadata.jwks_uri,
    ];
    urls.into_iter().flatten().any(|url| url.as_str().len() > Transport::MAX_URL_LEN)
}

fn are_presentable(findings: &[Finding]) {
    assert!(findings.len() <= 256);
    for finding in findings {
        assert!(!finding.to_string().chars().any(char::is_control), "{finding}");
        assert!(!finding.rule.is_empty() && !finding.problem.is_empty() && !finding.instead.is_empty());
        is_one_line(finding);
    }
}

/// The identifier of a loopback client says what its metadata would, and can be written again from that.
pub fn loopback_client(data: &[u8]) {
    let Some(text) = text(data) else { return };
    let id = match text.parse::<ClientId>() {
        Ok(id) => id,
        Err(error) => return is_one_line(&error),
    };
    prints_and_parses(&id);
    survives_json(&id);
    if let Some(url) = id.document_url() {
        assert_eq!(url.as_str(), text);
        assert_eq!(url.scheme(), "https");
        assert!(!id.is_loopback());
    }
    let client = match LoopbackClient::read(&id) {
        Ok(client) => client,
        Err(findings) => return are_presentable(&findings),
    };
    assert!(id.is_loopback());
    assert_eq!(client.client_id(), &id);
    assert!(client.redirect_uris().iter().all(|uri| uri.is_loopback()));
    assert!(client.scope().contains("atproto"));
    let metadata = client.metadata();
    assert_eq!((&metadata.redirect_uris[..], &metadata.scope), (client.redirect_uris(), client.scope()));

    let Ok(normal) = ClientId::loopback(client.redirect_uris(), client.scope()) else { return };
    // With the scope written out there may be one parameter too many.
    if client.redirect_uris().len() < 64 {
        let again = LoopbackClient::read(&normal).unwrap();
        assert_eq!((again.redirect_uris(), again.scope()), (client.redirect_uris(), client.scope()));
        assert_eq!(ClientId::loopback(again.redirect_uris(), again.scope()), Ok(normal));
    }
}

/// Metadata is of the issuer that was asked, its endpoints are where one may go, and it is written as it was read.
pub fn server_metadata(data: &[u8]) {
    let answer = answer(data);
    let value: Value = serde_json::from_slice(answer.body()).unwrap_or_default();
    let fallback: Issuer = "https://as.example".parse().unwrap();
    let own = value.get("issuer").and_then(Value::as_str);
    let own = own.and_then(|text| Issuer::parse_with(text, Transport::LoopbackHttpToo).ok());
    let issuer = own.unwrap_or_else(|| fallback.clone());

    let metadata = match ServerMetadata::read(&answer, &issuer) {
        Ok(metadata) => metadata,
        Err(error) => {
            assert!(!error.rule().is_empty());
            return is_one_line(&error);
        }
    };
    assert_eq!(metadata.issuer, issuer);
    if issuer != fallback {
        let other = ServerMetadata::read(&answer, &fallback);
        assert!(matches!(other, Err(ServerMetadataError::Issuer { .. })), "{other:?}");
    }
    let urls = [
        &metadata.authorization_endpoint,
        &metadata.token_endpoint,
        &metadata.pushed_authorization_request_endpoint,
        &metadata.revocation_endpoint,
        &metadata.introspection_endpoint,
        &metadata.registration_endpoint,
        &metadata.device_authorization_endpoint,
        &metadata.userinfo_endpoint,
        &metadata.end_session_endpoint,
        &metadata.jwks_uri,
        &metadata.service_documentation,
    ];
    for url in urls.iter().copied().flatten() {
        assert!(issuer.transport().allows(url), "{url}");
        let uri: http::Uri = url.as_str().parse().unwrap();
        assert_eq!((uri.host(), uri.port_u16()), (url.host_str(), url.port()), "two readers see two hosts");
        assert!(url.username().is_empty() && url.password().is_none() && url.fragment().is_none(), "{url}");
    }
    assert!(metadata.scopes_supported.len() <= ServerMetadata::MAX_LIST);
    assert_eq!(metadata.clone().into_atproto().is_ok(), metadata.atproto_findings().is_empty());
    are_presentable(&metadata.atproto_findings());

    let written = metadata.to_json();
    let long = urls.iter().copied().flatten().any(|url| url.as_str().len() > Transport::MAX_URL_LEN);
    if !long && written.len() <= ServerMetadata::MAX_OCTETS {
        let again = ServerMetadata::read(&self::answer(written.as_bytes()), &issuer);
        assert_eq!(again.as_ref(), Ok(&metadata), "{written}");
    }
}

/// Metadata is of the resource that was asked, which is asked at its own address, and names issuers.
pub fn resource_metadata(data: &[u8]) {
    let answer = answer(data);
    let value: Value = serde_json::from_slice(answer.body()).unwrap_or_default();
    let own = value.get("resource").and_then(Value::as_str).and_then(|text| Url::parse(text).ok());
    let url = own.unwrap_or_else(|| Url::parse("https://pds.example").unwrap());
    match ResourceMetadata::request(&url, Trust::UserSupplied) {
        Ok(call) => {
            let uri = call.request.uri();
            assert!(matches!(url.scheme(), "https" | "http"));
            assert_eq!(
                (uri.host(), uri.port_u16()),
                (url.host_str(), url.port()),
                "two readers see two hosts"
            );
            assert!(uri.path().starts_with("/.well-known/oauth-protected-resource"));
        }
        Err(error) => is_one_line(&error),
    }
    let strict = ResourceMetadata::read(&answer, &url, Transport::HttpsOnly);
    let metadata = ResourceMetadata::read(&answer, &url, Transport::LoopbackHttpToo);
    assert!(strict.is_err() || strict == metadata);
    let metadata = match metadata {
        Ok(metadata) => metadata,
        Err(error) => {
            assert!(!error.rule().is_empty());
            return is_one_line(&error);
        }
    };
    assert_eq!(metadata.resource, ResourceMetadata::identifier(&url));
    assert!(metadata.authorization_servers.len() <= ResourceMetadata::MAX_SERVERS);
    for issuer in &metadata.authorization_servers {
        assert_eq!(Issuer::parse_with(issuer.as_str(), issuer.transport()).as_ref(), Ok(issuer));
    }
    match metadata.atproto_issuer() {
        Ok(issuer) => assert!(issuer.is_origin() && metadata.authorization_servers.len() == 1),
        Err(error) => is_one_line(&error),
    }
}
