//! Names: handles, DIDs, NSIDs, AT URIs, what people type, and the addresses of servers and clients.

use url::Url;
use vestibule_atproto_identity::{
    AtIdentifier, AtUri, DevelopmentNames, Did, DidKey, DidMethod, Handle, LoginInput, Nsid, ServerOrigin,
    did_web, plc, well_known,
};
use vestibule_oauth_core::{Issuer, RedirectUri, ServerMetadata, Transport, Trust};

use super::material::{is_one_line, lines, prints_and_parses, survives_json, text};

const BOTH: [DevelopmentNames; 2] = [DevelopmentNames::Refused, DevelopmentNames::Allowed];

/// A handle is what the specification's grammar says, in small letters, and names the host that is asked about it.
pub fn handle(data: &[u8]) {
    let Some(text) = text(data) else { return };
    let parsed = text.parse::<Handle>();
    assert_eq!(parsed.is_ok(), is_handle(text), "{text:?}: {parsed:?}");
    let handle = match parsed {
        Ok(handle) => handle,
        Err(error) => return is_one_line(&error),
    };
    prints_and_parses(&handle);
    survives_json(&handle);
    assert_eq!(handle.as_str(), text.to_ascii_lowercase());
    assert_eq!(text.to_ascii_uppercase().parse(), Ok(handle.clone()));
    assert_eq!(text.parse(), Ok(AtIdentifier::Handle(handle.clone())));

    assert!(handle.dns_name().is_none_or(|name| name.len() <= 253 && name.ends_with(handle.as_str())));
    let never = BOTH.map(|development| handle.never_resolves(development));
    assert!(never[1].is_none() || never[0].is_some(), "development allows more, not less");
    assert_eq!(well_known::request(&handle).request.uri().host(), Some(handle.as_str()));
}

/// The grammar of <https://atproto.com/specs/handle>, written out a second time.
fn is_handle(text: &str) -> bool {
    let labels: Vec<&[u8]> = text.as_bytes().split(|octet| *octet == b'.').collect();
    let label = |label: &&[u8]| match label {
        [only] => only.is_ascii_alphanumeric(),
        [first, inner @ .., last] => {
            label.len() <= 63
                && first.is_ascii_alphanumeric()
                && last.is_ascii_alphanumeric()
                && inner.iter().all(|octet| octet.is_ascii_alphanumeric() || *octet == b'-')
        }
        [] => false,
    };
    let top_is_a_name = labels.last().is_some_and(|top| top.first().is_some_and(u8::is_ascii_alphabetic));
    text.len() <= 253 && labels.len() >= 2 && labels.iter().all(label) && top_is_a_name
}

/// A DID is kept as received, and the request for its document goes where it says and nowhere else.
pub fn did(data: &[u8]) {
    let Some(text) = text(data) else { return };
    if let Ok(key) = text.parse::<DidKey>() {
        assert!(matches!(key.compressed_point()[0], 2 | 3));
    }
    let parsed = text.parse::<Did>();
    assert_eq!(parsed.is_ok(), is_did(text), "{text:?}: {parsed:?}");
    let did = match parsed {
        Ok(did) => did,
        Err(error) => return is_one_line(&error),
    };
    prints_and_parses(&did);
    survives_json(&did);
    assert_eq!(did.as_str(), text);
    assert_eq!(format!("did:{}:{}", did.method_name(), did.method_specific_id()), text);
    assert_eq!(text.parse(), Ok(AtIdentifier::Did(did.clone())));
    assert_eq!(DidKey::try_from(&did).is_ok(), text.parse::<DidKey>().is_ok());

    let methods = BOTH.map(|development| did.method(development));
    assert!(methods[0].is_err() || methods[0] == methods[1], "development allows more, not less");
    match &methods[1] {
        Ok(DidMethod::Plc) => {
            let directory = Url::parse(plc::DEFAULT_DIRECTORY).unwrap();
            let call = plc::request(&directory, &did);
            assert_eq!(call.request.uri().to_string(), format!("https://plc.directory/{did}"));
        }
        Ok(DidMethod::Web(host)) => {
            let call = did_web::request(host);
            let uri = call.request.uri();
            let scheme = if host.is_localhost() { "http" } else { "https" };
            assert_eq!(uri.to_string(), format!("{scheme}://{host}/.well-known/did.json"));
            assert_eq!((uri.host(), uri.port_u16()), (Some(host.name()), host.port()));
            assert!(call.trust == Trust::UserSupplied);
        }
        Err(error) => is_one_line(error),
    }
}

/// The grammar of <https://atproto.com/specs/did>, written out a second time.
fn is_did(text: &str) -> bool {
    let mut parts = text.splitn(3, ':');
    let (Some("did"), Some(method), Some(id)) = (parts.next(), parts.next(), parts.next()) else {
        return false;
    };
    let id = id.as_bytes();
    text.len() <= 2048
        && !method.is_empty()
        && method.bytes().all(|octet| octet.is_ascii_lowercase())
        && id.iter().all(|octet| octet.is_ascii_alphanumeric() || b"._:%-".contains(octet))
        && id.last().is_some_and(|octet| !b":%".contains(octet))
}

/// An NSID is what the specification's grammar says, and belongs to its own group.
pub fn nsid(data: &[u8]) {
    let Some(text) = text(data) else { return };
    let parsed = text.parse::<Nsid>();
    assert_eq!(parsed.is_ok(), is_nsid(text), "{text:?}: {parsed:?}");
    let nsid = match parsed {
        Ok(nsid) => nsid,
        Err(error) => return is_one_line(&error),
    };
    prints_and_parses(&nsid);
    survives_json(&nsid);
    assert_eq!(nsid.as_str(), text);
    assert_eq!(format!("{}.{}", nsid.group(), nsid.name()), text);
    assert!(nsid.is_in_group_of(&nsid));
    let below: Nsid = match format!("{}.sub.{}", nsid.group(), nsid.name()).parse() {
        Ok(below) => below,
        Err(_) => return, // longer than a name may be
    };
    assert!(below.is_in_group_of(&nsid) && !nsid.is_in_group_of(&below));
}

/// The grammar of <https://atproto.com/specs/nsid>, written out a second time.
fn is_nsid(text: &str) -> bool {
    let segments: Vec<&str> = text.split('.').collect();
    let Some((name, authority)) = segments.split_last() else { return false };
    let sized = |segment: &str| (1..=63).contains(&segment.len());
    let letters = |segment: &str, others: &[u8]| {
        segment.bytes().all(|octet| octet.is_ascii_alphanumeric() || others.contains(&octet))
    };
    text.len() <= 317
        && authority.len() >= 2
        && authority.iter().all(|s| sized(s) && letters(s, b"-") && !s.starts_with('-') && !s.ends_with('-'))
        && !authority[0].starts_with(|c: char| c.is_ascii_digit())
        && sized(name)
        && letters(name, b"")
        && !name.starts_with(|c: char| c.is_ascii_digit())
}

/// An AT URI is its parts with slashes between, and each part parses alone.
pub fn at_uri(data: &[u8]) {
    let Some(text) = text(data) else { return };
    let uri = match text.parse::<AtUri>() {
        Ok(uri) => uri,
        Err(error) => return is_one_line(&error),
    };
    prints_and_parses(&uri);
    survives_json(&uri);
    assert_eq!(uri.as_str(), text);
    assert!(uri.record_key().is_none() || uri.collection().is_some());
    let mut rebuilt = format!("at://{}", uri.authority());
    for part in [uri.collection().map(Nsid::as_str), uri.record_key()].into_iter().flatten() {
        rebuilt.push('/');
        rebuilt.push_str(part);
    }
    assert!(rebuilt.eq_ignore_ascii_case(text), "{rebuilt:?} is not {text:?}");
    let again: AtUri = rebuilt.parse().unwrap();
    assert_eq!(again.authority(), uri.authority());
    assert_eq!(again.collection(), uri.collection());
    assert_eq!(again.record_key(), uri.record_key());
}

/// What is read from a field reads as itself, and development names and a default suffix let more in and change nothing.
pub fn login_input(data: &[u8]) {
    let Some(text) = text(data) else { return };
    let read = BOTH.map(|development| LoginInput::parse(text, None, development));
    assert!(read[0].is_err() || read[0] == read[1], "{text:?}: {read:?}");
    for (read, development) in read.into_iter().zip(BOTH) {
        let input = match read {
            Ok(input) => input,
            Err(error) => {
                is_one_line(&error);
                if let Ok(input) = LoginInput::parse(text, Some(".example.com"), development) {
                    assert!(input.as_str().ends_with(".example.com"), "{input:?}");
                }
                continue;
            }
        };
        assert!(input.as_str().bytes().all(|octet| octet.is_ascii_graphic() && octet != b'@'), "{input:?}");
        assert_eq!(LoginInput::parse(input.as_str(), None, development).as_ref(), Ok(&input));
        assert_eq!(LoginInput::parse(text, Some("example.com"), development).as_ref(), Ok(&input));
        if let LoginInput::Server(origin) = &input {
            assert!(origin.url().scheme() == "https" || origin.is_loopback());
        }
    }
}

/// An origin is a scheme, a host and perhaps a port, printed in one way.
pub fn server_origin(data: &[u8]) {
    let Some(text) = text(data) else { return };
    let read = BOTH.map(|development| ServerOrigin::parse(text, development));
    assert!(read[0].is_err() || read[0] == read[1], "{text:?}: {read:?}");
    assert!(read[0].as_ref().is_ok_and(|origin| origin.url().scheme() == "https") || read[0].is_err());
    let origin = match &read[1] {
        Ok(origin) => origin,
        Err(error) => return is_one_line(error),
    };
    assert_eq!(ServerOrigin::parse(origin.as_str(), DevelopmentNames::Allowed).as_ref(), Ok(origin));
    survives_json(origin);
    let url = Url::parse(&origin.join("/path?query")).unwrap();
    assert_eq!(url.origin(), origin.url().origin());
    assert_eq!((url.path(), url.query()), ("/path", Some("query")));
    assert!(url.username().is_empty() && url.password().is_none());
    let uri: http::Uri = origin.join("/path").parse().unwrap();
    assert_eq!(uri.host(), origin.url().host_str(), "two readers see two hosts");
}

/// An issuer keeps its text, and its metadata is asked for at its own origin.
pub fn issuer(data: &[u8]) {
    let Some(text) = text(data) else { return };
    let read = [Transport::HttpsOnly, Transport::LoopbackHttpToo]
        .map(|transport| Issuer::parse_with(text, transport));
    assert!(read[0].is_err() || read[0] == read[1]);
    let issuer = match &read[1] {
        Ok(issuer) => issuer,
        Err(error) => return is_one_line(error),
    };
    assert_eq!(issuer.as_str(), text);
    assert_eq!(issuer.to_string(), text);
    assert_eq!(issuer.is_development(), read[0].is_err());
    assert_eq!(Issuer::parse_with(text, issuer.transport()).as_ref(), Ok(issuer));
    let origin = issuer.url().origin();
    assert_eq!(issuer.well_known_url().origin(), origin);
    assert_eq!(issuer.openid_configuration_url().origin(), origin);
    assert!(issuer.well_known_url().path().starts_with("/.well-known/oauth-authorization-server"));
    assert!(issuer.openid_configuration_url().path().ends_with("/.well-known/openid-configuration"));
    for (call, url) in [
        (ServerMetadata::request(issuer, Trust::UserSupplied), issuer.well_known_url()),
        (ServerMetadata::request_openid(issuer, Trust::UserSupplied), issuer.openid_configuration_url()),
    ] {
        assert_eq!(call.request.uri().to_string(), url.as_str());
    }
    let of_origin = Issuer::of_origin(issuer.url(), issuer.transport()).unwrap();
    assert!(of_origin.is_origin());
    assert_eq!(issuer.is_origin(), of_origin == *issuer);
}

/// A redirect URI keeps its text, admits itself, and on loopback any port and nothing else.
pub fn redirect_uri(data: &[u8]) {
    let parsed: Vec<RedirectUri> =
        lines(data).take(3).filter_map(text).filter_map(|text| text.parse().ok()).collect();
    for uri in &parsed {
        prints_and_parses(uri);
        survives_json(uri);
        assert!(uri.admits(uri));
        assert!(uri.url().fragment().is_none() && uri.url().password().is_none());
        assert_eq!(uri.is_private_use(), !matches!(uri.scheme(), "http" | "https"));
        if uri.is_loopback() {
            assert!(matches!(uri.url().host_str(), Some("127.0.0.1" | "[::1]")), "{uri}");
            assert_eq!(uri.scheme(), "http");
        }
        for other in &parsed {
            assert_eq!(uri.admits(other), other.admits(uri));
            let (ours, theirs) = (uri.url(), other.url());
            let same = ours.host() == theirs.host()
                && ours.path() == theirs.path()
                && ours.query() == theirs.query();
            assert!(!uri.admits(other) || same, "{uri} admits {other}");
            assert!(!uri.admits(other) || uri == other || uri.is_loopback());
        }
    }
    if let Some(Err(error)) = text(data).map(str::parse::<RedirectUri>) {
        is_one_line(&error);
    }
}
