//! What DNS and hosts answer about an identity.

use http::Uri;
use serde_json::Value;
use vestibule_atproto_identity::well_known::WellKnownAnswer;
use vestibule_atproto_identity::{
    DevelopmentNames, Did, DidDocument, DidKey, InvalidDidDocument, ServerOrigin, did_web, plc, txt,
    well_known,
};
use vestibule_oauth_core::TxtRecord;

use super::material::{answer, is_one_line, lines, text};

/// Two different DIDs are never one, however the records are ordered and their strings are cut. Each line is a record,
/// with tabs between its strings.
pub fn txt_answer(data: &[u8]) {
    let joined: Vec<Vec<u8>> =
        lines(data).map(|line| line.iter().copied().filter(|octet| *octet != b'\t').collect()).collect();
    let cut = |line: &[u8]| TxtRecord::new(line.split(|octet| *octet == b'\t').map(<[u8]>::to_vec));
    let records: Vec<TxtRecord> = lines(data).map(cut).collect();
    let whole: Vec<TxtRecord> = joined.iter().map(|record| TxtRecord::new([record.clone()])).collect();
    let backwards: Vec<TxtRecord> = records.iter().rev().cloned().collect();

    let read = txt::read(&records);
    assert_eq!(read, txt::read(&whole), "where a record is cut means nothing");
    assert_eq!(read.as_ref().ok(), txt::read(&backwards).as_ref().ok(), "what comes first means nothing");

    let named: Vec<&[u8]> = joined.iter().filter_map(|record| record.strip_prefix(b"did=")).collect();
    match read {
        Ok(None) => assert!(named.is_empty()),
        Ok(Some(did)) => {
            assert!(!named.is_empty());
            assert!(named.iter().all(|name| *name == did.as_str().as_bytes()), "{did} of {named:?}");
        }
        Err(error) => {
            is_one_line(&error);
            let one_did = named.iter().all(|name| *name == named[0])
                && named
                    .first()
                    .is_none_or(|name| text(name).is_some_and(|name| name.parse::<Did>().is_ok()));
            assert!(records.len() > 100 || !one_did, "{error}");
        }
    }
}

/// A host names one DID with its whole body, or sends on to an https URL that a request can be made of.
pub fn well_known(data: &[u8]) {
    let asked = Uri::from_static("https://alice.example.com/.well-known/atproto-did");
    let answer = answer(data);
    let redirects = answer.status().is_redirection();
    match well_known::read(&asked, &answer) {
        Ok(WellKnownAnswer::Did(did)) => {
            assert!(answer.status().is_success());
            assert!(answer.body().len() <= 4096);
            assert_eq!(answer.body().trim_ascii(), did.as_str().as_bytes());
        }
        Ok(WellKnownAnswer::Redirect(url)) => {
            assert!(redirects);
            assert_eq!(url.scheme(), "https");
            assert!(url.username().is_empty() && url.password().is_none() && url.fragment().is_none());
            let uri = well_known::request_again(&url).request.uri().clone();
            assert_eq!(uri.host(), url.host_str(), "two readers see two hosts");
            assert_eq!(uri.port_u16(), url.port());
            assert_eq!(uri.path(), url.path());
            assert_eq!(uri.query(), url.query());
        }
        Err(error) => is_one_line(&error),
    }
}

/// A document is that of the DID that was asked for, in whatever way it came, and its server is an https origin.
pub fn did_document(data: &[u8]) {
    let answer = answer(data);
    let body = answer.body();
    let other: Did = "did:plc:ewvi7nxzyoun6zhxrhs64oiz".parse().unwrap();
    let value: Value = serde_json::from_slice(body).unwrap_or_default();
    let own = value.get("id").and_then(Value::as_str).and_then(|id| id.parse().ok());
    let asked: Did = own.unwrap_or_else(|| other.clone());

    let parsed = DidDocument::parse(body, &asked);
    assert_eq!(did_web::read(&asked, &answer).ok(), plc::read(&asked, &answer).ok());
    if answer.status().is_success() {
        assert_eq!(did_web::read(&asked, &answer).ok(), parsed.clone().ok());
    } else {
        is_one_line(&did_web::read(&asked, &answer).unwrap_err());
    }
    let document = match parsed {
        Ok(document) => document,
        Err(error) => return is_one_line(&error),
    };
    assert_eq!(document.id(), &asked);
    if asked != other {
        assert_eq!(DidDocument::parse(body, &other), Err(InvalidDidDocument::OtherId));
    }
    let lengths =
        [document.also_known_as().len(), document.services().len(), document.verification_methods().len()];
    assert!(lengths.into_iter().all(|length| length <= 100), "{lengths:?}");
    if let Some(handle) = document.claimed_handle() {
        let claim = format!("at://{handle}");
        assert!(document.also_known_as().iter().any(|name| name.eq_ignore_ascii_case(&claim)));
    }
    for method in document.verification_methods() {
        if let Some(Ok(key)) = method.public_key_multibase().map(DidKey::from_multibase) {
            assert!(matches!(key.compressed_point()[0], 2 | 3));
        }
    }
    assert!(document.signing_key().is_none_or(|key| key.id().ends_with("#atproto")));
    match document.pds(DevelopmentNames::Refused) {
        Ok(pds) => {
            assert_eq!(pds.url().scheme(), "https");
            assert_eq!(document.pds(DevelopmentNames::Allowed).as_ref(), Ok(&pds));
            assert_eq!(pds.as_str().parse::<ServerOrigin>().as_ref(), Ok(&pds));
        }
        Err(error) => is_one_line(&error),
    }
}
