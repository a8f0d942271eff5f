//! Forms and secrets that clients send to the endpoints.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Method, Request};
use url::form_urlencoded;
use vestibule_token_endpoint::{ClientRequest, ClientSecret, Denial, SecretHash};

use super::material::{CANARY, halves, hides_the_canary, holds_the_canary, is_one_line, text};
use crate::fixed::block_on;
use crate::oauth::{Ask, At, Ground, Lab, Reply, roster};

/// A form is read as every reader of forms reads it, or not at all; nothing is passed over that two could read in two ways, and
/// no answer has anything of it. The first line is the media type (that of forms if it is empty), the rest is the body.
pub fn token_form(data: &[u8]) {
    let (kind, body) = halves(data);
    let kind = if kind.is_empty() { FORM.as_bytes() } else { kind };
    let Ok(kind) = HeaderValue::from_bytes(kind) else { return };
    let request = |body: &[u8]| {
        let mut request = Request::new(body.to_vec());
        *request.method_mut() = Method::POST;
        request.headers_mut().insert(CONTENT_TYPE, kind.clone());
        request
    };
    let pairs = pairs(body);
    let sent = request(body);
    match ClientRequest::parse(&sent) {
        Ok(form) => {
            let pairs = pairs.expect("what is accepted is a form");
            assert!(is_form_in_utf8(&kind), "{kind:?}");
            reads_the_same(&form, body, &pairs);
        }
        Err(denial) => {
            is_denied(&denial);
            let names_a_client = |pairs: Vec<(String, String)>| {
                let has = |name: &str| pairs.iter().any(|(known, value)| known == name && !value.is_empty());
                has("client_id") && !has("client_assertion") && !has("client_assertion_type")
            };
            let is_good = kind == FORM && pairs.is_some_and(names_a_client);
            assert!(!is_good, "{denial}: {}", String::from_utf8_lossy(body));
        }
    }
    if holds_the_canary(data) {
        return;
    }
    let end = format!("&code={CANARY}&code_verifier={CANARY}&state={CANARY}");
    let body = [body, end.as_bytes()].concat();
    match ClientRequest::parse(&request(&body)) {
        Ok(form) => hides_the_canary(&form),
        Err(denial) => {
            hides_the_canary(&denial);
            is_denied(&denial);
        }
    }
    let lab = Lab::new();
    let Ok(kind) = kind.to_str() else { return };
    for at in [At::Token, At::Par, At::Revoke, At::Introspect, At::Device] {
        let ask = Ask::post(lab.url(at)).media_type(kind).body(body.clone());
        is_told(&block_on(lab.exchange(ask)));
        hides_the_canary(&lab.events());
    }
}

/// Only a secret that is right, written as it stands or encoded as a form is, lets a client in by the `Authorization` header
/// field, and no error shows it. The octets are the header field, and the name and the secret under its base64.
pub fn basic_header(data: &[u8]) {
    let lab = Lab::new();
    lab.change("guess", |client| client.secrets.push(ClientSecret::new(SecretHash::plain(TEMPTING))));
    let of = |credentials: &[u8]| format!("Basic {}", STANDARD.encode(credentials));
    for field in [text(data).map(str::to_owned), Some(of(data))].into_iter().flatten() {
        if HeaderValue::from_bytes(field.as_bytes()).is_err() {
            continue;
        }
        let reply = by(&lab, &field);
        match who(&field) {
            Some(id) => {
                let wanted = match id {
                    "machine" | "api" | "api-b" | "exchanger" | "bearer" | "once" => {
                        "400 unauthorized_client"
                    }
                    _ => "400 invalid_grant",
                };
                assert_eq!(reply.said(), wanted, "{id}: {field}");
            }
            None => {
                assert_eq!(reply.said(), "401 invalid_client", "{field}");
                assert!(reply.header("www-authenticate").unwrap().starts_with("Basic "), "{field}");
            }
        }
    }
    if !holds_the_canary(data) {
        let (name, canary) =
            (data.split(|octet| *octet == b':').next().unwrap_or_default(), CANARY.as_bytes());
        for credentials in
            [&[name, b":", canary][..], &[name, b":", canary, data], &[name, canary], &[data, canary]]
        {
            let field = of(&credentials.concat());
            let headers = [(CONTENT_TYPE.as_str(), FORM), ("authorization", &field)];
            let request = headers
                .into_iter()
                .fold(Request::post("/"), |request, (name, value)| request.header(name, value));
            match ClientRequest::parse(&request.body(Vec::new()).unwrap()) {
                Ok(form) => hides_the_canary(&form),
                Err(denial) => {
                    hides_the_canary(&denial);
                    is_denied(&denial);
                }
            }
            let reply = by(&lab, &field);
            assert_eq!(reply.said(), "401 invalid_client", "nobody has this secret");
            hides_the_canary(&reply);
            hides_the_canary(&lab.events());
        }
    }
}

/// What a client hears that asks with this header field for something it does not have.
fn by(lab: &Lab, field: &str) -> Reply {
    let ask = Ask::post(lab.url(At::Token)).header("authorization", field);
    let ask = ask.fields(&[("grant_type", "refresh_token"), ("refresh_token", "none")]);
    let reply = block_on(lab.exchange(ask));
    is_told(&reply);
    reply
}

const FORM: &str = "application/x-www-form-urlencoded";

/// What each answer of an endpoint is like, and each error of one.
pub(super) fn is_told(reply: &Reply) {
    assert!(matches!(reply.status, 200 | 201 | 400 | 401 | 413 | 503), "{} {}", reply.status, reply.json);
    assert_eq!(reply.header("cache-control"), Some("no-store"));
    assert_eq!(reply.header("pragma"), Some("no-cache"));
    assert_eq!(reply.status == 401, reply.headers.contains_key("www-authenticate"));
    assert!(reply.body.is_empty() || reply.header("content-type") == Some("application/json"));
    assert!(reply.body.is_empty() || reply.json.is_object(), "{}", reply.json);
    hides_the_canary(reply);
    if reply.status >= 400 {
        let members: Vec<&String> = reply.json.as_object().unwrap().keys().collect();
        assert_eq!(members, ["error", "error_description"]);
        is_a_description(reply.text("error_description"));
    }
}

fn is_denied(denial: &Denial) {
    is_one_line(denial);
    let row = denial.row();
    assert!(matches!(row.status.as_u16(), 400 | 413), "{denial}");
    is_a_description(row.for_client);
}

/// RFC 6749, section 5.2: what an `error_description` may have in it.
fn is_a_description(text: &str) {
    let fits = |b: u8| matches!(b, 0x20..=0x21 | 0x23..=0x5b | 0x5d..=0x7e);
    assert!(!text.is_empty() && text.bytes().all(fits), "{text}");
}

/// What was read is in the form, in the eyes of another reader as well, and nothing else is.
fn reads_the_same(form: &ClientRequest<'_>, body: &[u8], pairs: &[(String, String)]) {
    let theirs: Vec<(Cow<'_, str>, Cow<'_, str>)> = form_urlencoded::parse(body).collect();
    let ours = pairs.iter().map(|(name, value)| (Cow::from(name), Cow::from(value)));
    assert!(ours.eq(theirs), "{}", String::from_utf8_lossy(body));
    for (name, _) in pairs {
        let values = || {
            let of_it = pairs.iter().filter(|(known, value)| known == name && !value.is_empty());
            of_it.map(|(_, value)| value.as_str())
        };
        assert_eq!(form.value(name), values().next(), "{name}");
        assert!(form.all(name).eq(values()), "{name}");
    }
    let absent = "a name that no form of a corpus has";
    assert!(form.value(absent).is_none() || pairs.iter().any(|(name, _)| name == absent));
    let named = form.value("client_id");
    assert!(named.is_none_or(|named| named == form.client_id()), "{}", form.client_id());
    match form.value("client_assertion") {
        None => assert_eq!(named, Some(form.client_id())),
        Some(_) => {
            assert_eq!(
                form.value("client_assertion_type"),
                Some("urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
            );
            assert_eq!(form.value("client_secret"), None, "one way of authentication");
        }
    }
}

/// The names and values of a form that can be read in one way only (T4, T7, T8, T9).
fn pairs(body: &[u8]) -> Option<Vec<(String, String)>> {
    let mut pairs: Vec<(String, String)> = Vec::new();
    for pair in body.split(|octet| *octet == b'&').filter(|pair| !pair.is_empty()) {
        let mut halves = pair.splitn(2, |octet| *octet == b'=');
        let [name, value] = [(); 2].map(|()| decoded(halves.next().unwrap_or_default()));
        pairs.push((name?, value?));
    }
    let repeatable = ["resource", "audience"];
    let visible = [
        "grant_type",
        "client_id",
        "code",
        "code_verifier",
        "redirect_uri",
        "refresh_token",
        "scope",
        "client_assertion",
        "client_assertion_type",
        "device_code",
        "token",
        "resource",
    ];
    let mut names: Vec<&str> = pairs.iter().map(|(name, _)| name.as_str()).collect();
    names.retain(|name| !repeatable.contains(name));
    names.sort_unstable();
    let fits = |(name, value): &(String, String)| {
        let may_be = |c: char| !c.is_control() && (!visible.contains(&name.as_str()) || c.is_ascii());
        !name.is_empty() && value.len() <= 16 * 1024 && value.chars().all(may_be)
    };
    let is_read = body.len() <= 64 * 1024
        && pairs.len() <= 64
        && names.windows(2).all(|pair| pair[0] != pair[1])
        && pairs.iter().all(fits);
    is_read.then_some(pairs)
}

/// What a piece of a form stands for; `None` if no encoder wrote it.
fn decoded(piece: &[u8]) -> Option<String> {
    let mut octets = Vec::new();
    let mut rest = piece;
    while let Some((first, more)) = rest.split_first() {
        rest = more;
        octets.push(match first {
            b'+' => b' ',
            b'%' => {
                let (digits, more) = rest.split_first_chunk::<2>()?;
                rest = more;
                let [high, low] = digits.map(|digit| char::from(digit).to_digit(16));
                u8::try_from(high? * 16 + low?).unwrap()
            }
            octet if octet.is_ascii_graphic() => *octet,
            _ => return None,
        });
    }
    String::from_utf8(octets).ok()
}

/// The media type is that of forms, and no character set but UTF-8 is named (T3), as far as its parameters can be read.
fn is_form_in_utf8(kind: &HeaderValue) -> bool {
    let Ok(kind) = kind.to_str() else { return false };
    let kind = kind.trim().to_ascii_lowercase();
    let Some(rest) = kind.strip_prefix(FORM) else { return false };
    let is_whole = rest.is_empty() || rest.starts_with([';', ' ', '\t']);
    is_whole
        && parameters(rest)
            .is_none_or(|all| all.iter().all(|(name, value)| name != "charset" || value == "utf-8"))
}

/// RFC 9110, section 5.6.6: the parameters of a media type; `None` if they are none.
fn parameters(text: &str) -> Option<Vec<(String, String)>> {
    let is_token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    let mut all = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        rest = rest.strip_prefix(';')?.trim_start();
        if rest.is_empty() || rest.starts_with(';') {
            continue;
        }
        let (name, after) = rest.split_at(rest.find(|c| !is_token(c))?);
        let value = after.strip_prefix('=')?;
        let mut chars = value.chars();
        let quoted: String = match value.strip_prefix('"') {
            None => value.chars().take_while(|c| is_token(*c)).collect(),
            Some(_) => {
                chars.next();
                let mut quoted = String::new();
                loop {
                    match chars.next()? {
                        '"' => break quoted,
                        '\\' => quoted.push(chars.next()?),
                        c => quoted.push(c),
                    }
                }
            }
        };
        if !value.starts_with('"') {
            chars = value[quoted.len()..].chars();
        }
        all.push((name.to_owned(), quoted));
        rest = chars.as_str().trim_start();
    }
    Some(all)
}

/// The client whose name and secret a Basic header field holds (T15).
fn who(field: &str) -> Option<&'static str> {
    let (scheme, rest) = field.split_once(' ')?;
    let octets = STANDARD
        .decode(rest.trim_start_matches(' '))
        .ok()
        .filter(|_| scheme.eq_ignore_ascii_case("basic"))?;
    let credentials = String::from_utf8(octets).ok()?;
    let (name, secret) = credentials.split_once(':')?;
    let plain = Some((name.to_owned(), secret.to_owned()));
    let encoded = decoded(name.as_bytes()).zip(decoded(secret.as_bytes()));
    HAVE_SECRETS.into_iter().find(|id| {
        let is_secret = |secret: &str| secret == roster::secret(id) || (*id == "guess" && secret == TEMPTING);
        let is_it = |(name, secret): &(String, String)| name == id && is_secret(secret);
        plain.iter().chain(&encoded).any(is_it)
    })
}

/// Another secret of the client `guess`, which is something else once it is decoded.
const TEMPTING: &str = "1+1%3D2";

/// Those who may show a secret in the header field.
const HAVE_SECRETS: [&str; 17] = [
    "web",
    "other",
    "half",
    "basic",
    "odd",
    "umlaut",
    "machine",
    "opaque",
    "short",
    "once",
    "exempt",
    "api",
    "api-b",
    "exchanger",
    "bearer",
    "spray",
    "guess",
];
