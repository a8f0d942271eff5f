//! What browsers and servers send: parameters, headers, and the answers of token and push endpoints.

use http::header::{COOKIE, HeaderMap, HeaderValue, ORIGIN};
use url::{Url, form_urlencoded};
use vestibule_oauth_core::{ErrorResponse, FormRules, Params};
use vestibule_strategy::cookie::CookiePolicy;
use vestibule_strategy::{Provenance, Pushed, ReturnTo, TokenAnswer, is_navigation};

use super::material::{
    CANARY, answer, halves, headers, hides_the_canary, holds_the_canary, is_one_line, text, with_member,
};

/// What is accepted, every reader of forms reads the same way; what is refused shows no value.
pub fn params(data: &[u8]) {
    let rules = FormRules::DEFAULT.with_repeatable(&["resource"]);
    match Params::parse(data, &rules) {
        Err(error) => {
            is_one_line(&error);
            assert!(error.to_string().len() <= 160, "{error}");
        }
        Ok(params) => {
            let theirs: Vec<_> = form_urlencoded::parse(data).collect();
            let names: Vec<&str> = theirs.iter().map(|(name, _)| &**name).collect();
            assert_eq!(params.names().collect::<Vec<_>>(), names);
            assert!(names.len() <= 64 && data.len() <= 16 * 1024);
            let copy = params.clone().into_owned();
            for name in &names {
                let values = || theirs.iter().filter(|(known, value)| known == name && !value.is_empty());
                let values: Vec<&str> = values().map(|(_, value)| &**value).collect();
                assert_eq!(params.all(name).collect::<Vec<_>>(), values);
                assert_eq!(copy.all(name).collect::<Vec<_>>(), values);
                assert_eq!(params.value(name), values.first().copied());
                assert!(*name == "resource" || names.iter().filter(|other| *other == name).count() == 1);
            }
            let written = form_urlencoded::Serializer::new(String::new()).extend_pairs(&theirs).finish();
            if written.len() <= 16 * 1024 {
                let again = Params::parse(written.as_bytes(), &rules).unwrap();
                assert!(again.names().eq(params.names()));
                assert!(names.iter().all(|name| again.all(name).eq(params.all(name))));
            }
            let strict = Params::parse(data, &FormRules::DEFAULT).is_ok();
            assert_eq!(strict, names.iter().filter(|name| **name == "resource").count() <= 1);
        }
    }
    if !holds_the_canary(data) {
        for end in [format!("&password={CANARY}"), format!("&password={CANARY}%zz&password={CANARY}")] {
            match Params::parse(&[data, end.as_bytes()].concat(), &rules) {
                Ok(params) => hides_the_canary(&params),
                Err(error) => hides_the_canary(&error),
            }
        }
    }
}

/// A refusal is a code and one clean line, and cleaning it again changes nothing.
pub fn error_response(data: &[u8]) {
    let Some(refusal) = ErrorResponse::read(data) else { return };
    assert!((1..=100).contains(&refusal.code.as_str().len()));
    assert!(refusal.code.as_str().bytes().all(|octet| matches!(octet, 0x20..=0x7e)));
    assert_eq!(refusal.code.as_str().parse(), Ok(refusal.code.clone()));
    if let Some(description) = &refusal.description {
        assert!((1..=300).contains(&description.chars().count()));
        assert!(!description.chars().any(char::is_control), "{description:?}");
        assert_eq!(description.trim(), description);
    }
    let again = ErrorResponse::from_parts(refusal.code.as_str(), refusal.description.as_deref());
    assert_eq!(again.as_ref(), Some(&refusal));
    is_one_line(&refusal);
}

/// Tokens are sized and fit for a header; neither an answer nor its error shows one.
pub fn token_answer(data: &[u8]) {
    let response = answer(data);
    match TokenAnswer::read(&response) {
        Ok(tokens) => {
            assert!(response.status().is_success());
            let secrets =
                [Some(&tokens.access_token), tokens.refresh_token.as_ref(), tokens.id_token.as_ref()];
            for secret in secrets.into_iter().flatten() {
                assert!((1..=TokenAnswer::MAX_TOKEN).contains(&secret.expose().len()));
                HeaderValue::from_str(&format!("DPoP {}", secret.expose())).unwrap();
            }
            assert_eq!(ErrorResponse::read(response.body()), None);
        }
        Err(error) => is_one_line(&error),
    }
    if holds_the_canary(data) {
        return;
    }
    for name in ["access_token", "refresh_token", "id_token"] {
        let Some(body) = with_member(response.body(), name, CANARY) else { continue };
        let mut response = response.clone();
        *response.body_mut() = body.into();
        match TokenAnswer::read(&response) {
            Ok(tokens) => hides_the_canary(&tokens),
            Err(error) => hides_the_canary(&error),
        }
    }
}

/// A pushed request is named by a bounded text, which comes out of the authorization URL as it was.
pub fn push_answer(data: &[u8]) {
    let response = answer(data);
    match Pushed::read(&response) {
        Ok(pushed) => {
            assert!(matches!(response.status().as_u16(), 200 | 201));
            assert!((1..=Pushed::MAX_REQUEST_URI).contains(&pushed.request_uri.len()));
            let endpoint = Url::parse("https://as.example/authorize?keep=1").unwrap();
            let url = pushed.authorization_url(&endpoint, "https://app.example/client.json");
            assert_eq!((url.origin(), url.path()), (endpoint.origin(), endpoint.path()));
            let pairs: Vec<_> = url.query_pairs().collect();
            let expected = [
                ("keep", "1"),
                ("client_id", "https://app.example/client.json"),
                ("request_uri", pushed.request_uri.as_str()),
            ];
            assert!(pairs.iter().map(|(name, value)| (&**name, &**value)).eq(expected), "{url}");
            HeaderValue::from_str(url.as_str()).unwrap();
        }
        Err(error) => is_one_line(&error),
    }
}

/// No value breaks out of the cookie it is set in, and what is set is what comes back. The first line is a value to set,
/// the rest a `Cookie` header.
pub fn cookie_header(data: &[u8]) {
    let (value, header) = halves(data);
    let policies = ["https://app.example", "http://127.0.0.1:8080"]
        .map(|site| CookiePolicy::for_site(&Url::parse(site).unwrap()).unwrap());
    for policy in policies {
        if let Some(set) = text(value).and_then(|value| policy.set("session", value, Some(60))) {
            let set = set.to_str().unwrap();
            let attributes: Vec<&str> = set.split("; ").skip(1).collect();
            assert!(attributes.starts_with(&["Path=/", "HttpOnly", "SameSite=Lax", "Max-Age=60"]), "{set}");
            assert!(attributes.len() <= 5 && set.matches(';').count() == attributes.len(), "{set}");
            let pair = set.split(';').next().unwrap_or_default();
            let jar = HeaderMap::from_iter([(
                COOKIE,
                HeaderValue::from_str(&format!("a=b; {pair}; c=d")).unwrap(),
            )]);
            assert_eq!(policy.read(&jar, "session").map(str::as_bytes), Some(value));
        }
        let Ok(header) = HeaderValue::from_bytes(header) else { continue };
        let jar = HeaderMap::from_iter([(COOKIE, header)]);
        let names: Vec<&str> = policy.with_prefix(&jar, "s").map(|(name, _)| name).collect();
        assert!(names.len() <= 200 && names.iter().all(|name| name.starts_with('s')));
        assert_eq!(names.contains(&"session"), policy.read(&jar, "session").is_some());
        assert!(policy.read(&jar, "session").is_none_or(|value| !value.contains(';')));
        // Each name that a browser shows can be taken away without saying anything else.
        for name in names {
            if let Some(cleared) = policy.clear(name) {
                assert_eq!(
                    cleared.to_str().unwrap().matches(';').count(),
                    policy.clear("s").unwrap().to_str().unwrap().matches(';').count()
                );
            }
        }
    }
}

/// Where a person is sent back to is on this site, for every reader of a `Location`.
pub fn return_to(data: &[u8]) {
    let Some(text) = text(data) else { return };
    for site in ["https://app.example", "http://127.0.0.1:8080", "https://app.example/below/"] {
        let site = Url::parse(site).unwrap();
        let place = match ReturnTo::parse(text, &site) {
            Ok(place) => place,
            Err(error) => return is_one_line(&error),
        };
        assert_eq!(place.as_str(), text);
        assert!(text.len() <= ReturnTo::MAX_OCTETS);
        assert!(text.starts_with('/') && !text.starts_with("//"));
        HeaderValue::from_str(text).unwrap();
        let url = site.join(text).unwrap();
        assert_eq!(url.origin(), site.origin());
        assert!(url.username().is_empty() && url.password().is_none());
        // Whoever makes it absolute by hand lands on the same site.
        let by_hand = Url::parse(&format!("{}{text}", site.origin().ascii_serialization())).unwrap();
        assert_eq!(by_hand.origin(), site.origin());
        assert_eq!(ReturnTo::parse(place.as_str(), &site), Ok(place));
    }
}

/// A request that may change something says that it is from this site, and nothing in it says otherwise.
pub fn provenance(data: &[u8]) {
    let site = Url::parse("https://app.example").unwrap();
    let headers = headers(data);
    let from = Provenance::of(&headers, &site);
    let _any_answer_will_do = is_navigation(&headers);
    assert!(!from.may_post() || from.may_start());
    let is_ours = |value: &HeaderValue| {
        value
            .to_str()
            .ok()
            .and_then(|text| Url::parse(text).ok())
            .is_some_and(|url| url.origin() == site.origin())
    };
    if let Some(origin) = headers.get(ORIGIN).filter(|origin| *origin != "null") {
        assert!(is_ours(origin) || from == Provenance::Elsewhere, "{headers:?}");
    }
    if let Some(fetch_site) = headers.get("sec-fetch-site") {
        assert!(fetch_site == "same-origin" || !from.may_post(), "{headers:?}");
        assert!(fetch_site == "same-origin" || fetch_site == "none" || !from.may_start(), "{headers:?}");
    }
    if from.may_post() {
        let says_so = headers.get("sec-fetch-site").is_some_and(|value| value == "same-origin")
            || headers.get(ORIGIN).is_some_and(is_ours)
            || headers.get("referer").is_some_and(is_ours);
        assert!(says_so, "{headers:?}");
    }
    if ["sec-fetch-site", "origin", "referer"].into_iter().all(|name| !headers.contains_key(name)) {
        assert_eq!(from, Provenance::Unsaid);
    }
}
