//! A form that a client sends to one of the endpoints, read: the body, the credentials, the proof.
//!
//! Token, pushed authorization, revocation, introspection and device authorization requests are all such forms, and are read by
//! the same rules. Nothing is looked up and nothing believed yet.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use http::{Method, Request};
use url::form_urlencoded;
use vestibule_dpop::proof_header;
use vestibule_oauth_core::{FormRules, Params, Secret};

use crate::assertion::ClientAssertion;
use crate::denial::Denial;

/// A form of a client, in a shape that can mean one thing only.
///
/// ```
/// use bytes::Bytes;
/// use http::Request;
/// use vestibule_token_endpoint::{ClientRequest, Denial};
///
/// let request = |body: &'static str| {
///     Request::post("/token")
///         .header("content-type", "application/x-www-form-urlencoded")
///         .body(Bytes::from(body))
///         .unwrap()
/// };
/// let good = request("grant_type=client_credentials&client_id=app&client_secret=s3cret");
/// let read = ClientRequest::parse(&good).unwrap();
/// assert_eq!(read.client_id(), "app");
/// assert_eq!(read.value("grant_type"), Some("client_credentials"));
///
/// let twice = request("client_id=app&client_id=app");
/// assert!(matches!(ClientRequest::parse(&twice), Err(Denial::Form(_))));
/// ```
#[derive(Debug)]
pub struct ClientRequest<'a> {
    params: Params<'a>,
    credentials: Credentials<'a>,
    body_secret: Beside,
    proof: Option<&'a str>,
}

/// What a client shows of itself.
#[derive(Debug)]
pub(crate) enum Credentials<'a> {
    /// Its name, and nothing else.
    Name(Cow<'a, str>),
    /// A secret in the header field.
    Basic(Basic),
    /// A secret in the body.
    Post(Cow<'a, str>, Secret),
    /// A signed assertion.
    Assertion(Box<ClientAssertion>),
}

/// A client's name and secret.
#[derive(Debug)]
pub(crate) struct NameAndSecret {
    pub(crate) name: String,
    pub(crate) secret: Secret,
}

/// The credentials of a Basic header field, which clients encode in one of three ways or not at all (T15).
#[derive(Debug)]
pub(crate) enum Basic {
    /// Nothing in them is encoded, so they read the same either way.
    Plain(NameAndSecret),
    /// They are encoded, as the specification says, unless the client has a percent sign or a plus in its secret and does not
    /// encode.
    Either { decoded: NameAndSecret, raw: NameAndSecret },
    /// They do not decode, so they cannot be encoded.
    Raw(NameAndSecret),
}

/// How Basic credentials are read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Reading {
    Decoded,
    AsItStands,
}

impl Basic {
    /// What they may mean, the likelier in front.
    pub(crate) fn readings(&self) -> impl Iterator<Item = (&NameAndSecret, Reading)> {
        let (first, second) = match self {
            Self::Plain(both) => ((both, Reading::Decoded), None),
            Self::Either { decoded, raw } => ((decoded, Reading::Decoded), Some((raw, Reading::AsItStands))),
            Self::Raw(raw) => ((raw, Reading::AsItStands), None),
        };
        std::iter::once(first).chain(second)
    }

    /// The client that they name, most likely.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Plain(one) | Self::Raw(one) | Self::Either { decoded: one, .. } => &one.name,
        }
    }

    pub(crate) fn secret(&self) -> &Secret {
        match self {
            Self::Plain(one) | Self::Raw(one) | Self::Either { decoded: one, .. } => &one.secret,
        }
    }
}

/// What stands in the body beside Basic credentials.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Beside {
    /// No secret.
    Nothing,
    /// A secret as well.
    Secret,
}

impl<'a> ClientRequest<'a> {
    /// The largest body, in octets.
    pub const MAX_OCTETS: usize = 64 * 1024;

    /// The largest value of one parameter, in octets.
    pub const MAX_VALUE_OCTETS: usize = 16 * 1024;

    /// Reads a request. Its query is passed over, unless it holds what should not be in a URL.
    ///
    /// # Errors
    /// The first rule that is broken, among those of the request as such and of the form of credentials.
    pub fn parse<B: AsRef<[u8]>>(request: &'a Request<B>) -> Result<Self, Denial> {
        if request.method() != Method::POST {
            return Err(Denial::Method);
        }
        no_credential_in(request.uri().query().unwrap_or_default())?;
        is_form(request.headers())?;
        let body = request.body().as_ref();
        if body.len() > Self::MAX_OCTETS {
            return Err(Denial::BodyTooLarge);
        }
        let params = Params::parse(body, &RULES).map_err(Denial::Form)?;
        params.iter().try_for_each(|(name, value)| look_at_value(name, value))?;
        let basic = basic(request.headers())?;
        let (credentials, body_secret) = credentials(basic, &params)?;
        let proof = proof_header(request.headers()).map_err(Denial::Proof)?;
        Ok(Self { params, credentials, body_secret, proof })
    }

    /// The client that the request names.
    pub fn client_id(&self) -> &str {
        match &self.credentials {
            Credentials::Name(name) | Credentials::Post(name, _) => name,
            Credentials::Basic(basic) => basic.name(),
            Credentials::Assertion(assertion) => assertion.client_id(),
        }
    }

    /// Whether anybody could have sent this: it has a client's name, and nothing that only that client has.
    pub const fn shows_no_credentials(&self) -> bool {
        matches!(self.credentials, Credentials::Name(_))
    }

    /// Another name that the client may have meant, if there is no client of the first one: some write what stands in a
    /// Basic header field without encoding it.
    pub fn client_id_as_it_stands(&self) -> Option<&str> {
        match &self.credentials {
            Credentials::Basic(Basic::Either { decoded, raw }) if raw.name != decoded.name => Some(&raw.name),
            _ => None,
        }
    }

    /// The value of a parameter; `None` if it is absent or empty (T5).
    pub fn value(&self, name: &str) -> Option<&str> {
        self.params.value(name)
    }

    /// Every value of a parameter that may be repeated.
    pub fn all<'s>(&'s self, name: &'s str) -> impl Iterator<Item = &'s str> {
        self.params.all(name)
    }

    /// The value of a parameter that must be there.
    pub(crate) fn required(&self, name: &'static str) -> Result<&str, Denial> {
        self.value(name).ok_or(Denial::Missing(name))
    }

    pub(crate) const fn params(&self) -> &Params<'a> {
        &self.params
    }

    pub(crate) const fn credentials(&self) -> &Credentials<'a> {
        &self.credentials
    }

    pub(crate) const fn body_secret(&self) -> Beside {
        self.body_secret
    }

    /// The DPoP proof as it came.
    pub(crate) const fn proof(&self) -> Option<&'a str> {
        self.proof
    }
}

/// Whether the answer to this request is to carry a challenge if its client cannot be authenticated: it used the
/// `Authorization` header field ([RFC 6749, section 5.2]).
///
/// [RFC 6749, section 5.2]: https://www.rfc-editor.org/rfc/rfc6749#section-5.2
pub(crate) fn used_authorization(headers: &HeaderMap) -> bool {
    headers.contains_key(AUTHORIZATION)
}

/// RFC 8707, section 2, and RFC 8693, section 2.1, let these two be repeated; nothing else may be.
const RULES: FormRules =
    FormRules::DEFAULT.with_max_octets(ClientRequest::MAX_OCTETS).with_repeatable(&["resource", "audience"]);

/// What is only ever sent in a body or a header field.
const NEVER_IN_A_URL: [&str; 11] = [
    "actor_token",
    "assertion",
    "client_secret",
    "client_assertion",
    "code",
    "code_verifier",
    "refresh_token",
    "access_token",
    "token",
    "subject_token",
    "device_code",
];

fn no_credential_in(query: &str) -> Result<(), Denial> {
    let mut names = form_urlencoded::parse(query.as_bytes()).map(|(name, _)| name);
    if names.any(|name| NEVER_IN_A_URL.contains(&&*name)) { Err(Denial::CredentialInQuery) } else { Ok(()) }
}

/// One `Content-Type`: a form, and UTF-8 if it names a character set (T3).
fn is_form(headers: &HeaderMap) -> Result<(), Denial> {
    let mut fields = headers.get_all(CONTENT_TYPE).iter();
    let (Some(field), None) = (fields.next(), fields.next()) else { return Err(Denial::MediaType) };
    // What almost everybody sends, without taking it apart.
    if field == FORM {
        return Ok(());
    }
    let mut parts = field.to_str().map_err(|_| Denial::MediaType)?.split(';').map(str::trim);
    let is_form = parts.next().is_some_and(|essence| essence.eq_ignore_ascii_case(FORM));
    let is_utf8 = |part: &str| match part.split_once('=') {
        Some((name, value)) if name.trim().eq_ignore_ascii_case("charset") => {
            value.trim().trim_matches('"').eq_ignore_ascii_case("utf-8")
        }
        _ => true,
    };
    if is_form && parts.all(is_utf8) { Ok(()) } else { Err(Denial::MediaType) }
}

const FORM: &str = "application/x-www-form-urlencoded";

/// No control character anywhere; and of what is looked at here, no character that it cannot have (T9).
fn look_at_value(name: &str, value: &str) -> Result<(), Denial> {
    let known = GRAPHIC.into_iter().find(|known| *known == name);
    let fits = is_visible(value) || (known.is_none() && !value.chars().any(char::is_control));
    if fits && value.len() <= ClientRequest::MAX_VALUE_OCTETS {
        Ok(())
    } else {
        Err(Denial::Parameter(known.unwrap_or("a parameter")))
    }
}

/// Whether there are visible ASCII characters and spaces only.
fn is_visible(text: &str) -> bool {
    // Without a branch in it the loop is made of vector instructions.
    text.bytes().fold(true, |visible, b| visible & matches!(b, 0x20..=0x7e))
}

/// Parameters of visible ASCII and spaces ([RFC 6749, appendix A]). A secret is not among them: people write what they like.
///
/// [RFC 6749, appendix A]: https://www.rfc-editor.org/rfc/rfc6749#appendix-A
const GRAPHIC: [&str; 12] = [
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

/// The credentials of a Basic header field (T15).
fn basic(headers: &HeaderMap) -> Result<Option<Basic>, Denial> {
    let mut fields = headers.get_all(AUTHORIZATION).iter();
    let field = match (fields.next(), fields.next()) {
        (None, _) => return Ok(None),
        (Some(field), None) => field,
        (Some(_), Some(_)) => return Err(Denial::SeveralAuthorizations),
    };
    let encoded = scheme_basic(field).ok_or(Denial::AuthorizationScheme)?;
    // The alphabet with + and /, padded, and nothing after it.
    let octets = STANDARD.decode(encoded).map_err(|_| Denial::BasicSyntax("not base64"))?;
    let octets = Secret::new(octets);
    let text = str::from_utf8(octets.expose()).map_err(|_| Denial::BasicSyntax("not UTF-8"))?;
    let (name, secret) = text.split_once(':').ok_or(Denial::BasicSyntax("no colon"))?;
    if !is_visible(text) && text.chars().any(char::is_control) {
        return Err(Denial::BasicSyntax("a control character"));
    }
    let raw = NameAndSecret { name: name.to_owned(), secret: Secret::new(secret.to_owned()) };
    if !text.bytes().fold(false, |encoded, b| encoded | (b == b'%') | (b == b'+')) {
        return Ok(Some(Basic::Plain(raw)));
    }
    Ok(Some(match (decode(name), decode(secret)) {
        (Some(name), Some(secret)) => {
            Basic::Either { decoded: NameAndSecret { name, secret: Secret::new(secret) }, raw }
        }
        _ => Basic::Raw(raw),
    }))
}

fn scheme_basic(field: &HeaderValue) -> Option<&str> {
    let (scheme, rest) = field.to_str().ok()?.split_at_checked("Basic ".len())?;
    scheme.eq_ignore_ascii_case("Basic ").then(|| rest.trim_start_matches(' '))
}

/// One value of a form, decoded ([RFC 6749, appendix B]).
///
/// [RFC 6749, appendix B]: https://www.rfc-editor.org/rfc/rfc6749#appendix-B
fn decode(text: &str) -> Option<String> {
    let form = format!("v={}", text.replace('&', "%26"));
    let params = Params::parse(form.as_bytes(), &FormRules::DEFAULT).ok()?;
    let value = params.value("v").unwrap_or_default().to_owned();
    (!value.chars().any(char::is_control)).then_some(value)
}

/// One way of authentication, from what there is in the header and in the body.
fn credentials<'a>(basic: Option<Basic>, params: &Params<'a>) -> Result<(Credentials<'a>, Beside), Denial> {
    let (name, secret) = (params.value("client_id"), params.value("client_secret"));
    let assertion = match (params.value("client_assertion"), params.value("client_assertion_type")) {
        (None, None) => None,
        (Some(text), Some(ClientAssertion::TYPE)) => Some(text),
        _ => return Err(Denial::AssertionType),
    };
    if let Some(text) = assertion {
        if basic.is_some() || secret.is_some() {
            return Err(Denial::TwoMethods);
        }
        let assertion = ClientAssertion::parse(text)?;
        if name.is_some_and(|name| name != assertion.client_id()) {
            return Err(Denial::OtherClientId);
        }
        return Ok((Credentials::Assertion(Box::new(assertion)), Beside::Nothing));
    }
    if let Some(basic) = basic {
        let is_its = |name: &str| basic.readings().any(|(pair, _)| pair.name == name);
        if name.is_some_and(|name| !is_its(name)) {
            return Err(Denial::OtherClientId);
        }
        let beside = if secret.is_some() { Beside::Secret } else { Beside::Nothing };
        return Ok((Credentials::Basic(basic), beside));
    }
    let name = Cow::Owned(name.ok_or(Denial::NoClient)?.to_owned());
    match secret {
        Some(secret) => Ok((Credentials::Post(name, Secret::new(secret.to_owned())), Beside::Nothing)),
        None => Ok((Credentials::Name(name), Beside::Nothing)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Header = (&'static str, &'static str);
    const TYPE: Header = ("content-type", "application/x-www-form-urlencoded");

    fn request(headers: &[(&str, &str)], body: &str) -> Request<Vec<u8>> {
        let mut request = Request::post("https://as.example/token");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(body.as_bytes().to_vec()).unwrap()
    }

    fn denied(headers: &[(&str, &str)], body: &str) -> Denial {
        ClientRequest::parse(&request(headers, body)).unwrap_err()
    }

    fn basic_of(credentials: &str) -> String {
        format!("Basic {}", STANDARD.encode(credentials))
    }

    #[test]
    fn t1_a1_post_only() {
        for method in ["GET", "PUT", "HEAD", "DELETE", "OPTIONS"] {
            let mut request = request(&[TYPE], "client_id=c");
            *request.method_mut() = method.parse().unwrap();
            assert_eq!(ClientRequest::parse(&request).unwrap_err(), Denial::Method, "{method}");
        }
    }

    #[test]
    fn t3_a2_to_a5_a_form_in_utf_8() {
        for value in [
            "application/x-www-form-urlencoded",
            "application/x-www-form-urlencoded;charset=UTF-8",
            "application/x-www-form-urlencoded; charset=utf-8",
            "Application/X-WWW-Form-UrlEncoded ; Charset=\"utf-8\"; x=y",
        ] {
            assert!(
                ClientRequest::parse(&request(&[("content-type", value)], "client_id=c")).is_ok(),
                "{value}"
            );
        }
        for value in [
            "application/json",
            "multipart/form-data; boundary=x",
            "application/x-www-form-urlencoded; charset=utf-16",
            "application/x-www-form-urlencoded; charset=iso-8859-1",
            "text/plain",
            "",
        ] {
            assert_eq!(denied(&[("content-type", value)], "client_id=c"), Denial::MediaType, "{value}");
        }
        assert_eq!(denied(&[], "client_id=c"), Denial::MediaType);
        assert_eq!(denied(&[TYPE, TYPE], "client_id=c"), Denial::MediaType);
    }

    #[test]
    fn t2_a11_no_credential_in_the_url() {
        for (query, ok) in [
            ("tenant=1", true),
            ("client_id=c", true),
            ("client_secret=s", false),
            ("%63lient_secret=s", false),
            ("x=1&code=c", false),
            ("refresh_token=r", false),
        ] {
            let mut request = request(&[TYPE], "client_id=c");
            *request.uri_mut() = format!("https://as.example/token?{query}").parse().unwrap();
            let read = ClientRequest::parse(&request);
            match ok {
                true => assert_eq!(read.unwrap().value("tenant"), None, "the query is no parameter"),
                false => assert_eq!(read.unwrap_err(), Denial::CredentialInQuery, "{query}"),
            }
        }
    }

    #[test]
    fn t7_a6_a7_what_is_too_large() {
        let large = format!("client_id=c&x={}", "y".repeat(ClientRequest::MAX_OCTETS));
        assert_eq!(denied(&[TYPE], &large), Denial::BodyTooLarge);
        let long = format!("client_id=c&x={}", "y".repeat(ClientRequest::MAX_VALUE_OCTETS + 1));
        assert_eq!(denied(&[TYPE], &long), Denial::Parameter("a parameter"));
        let many: String = (0..10_000).map(|n| format!("p{n}=&")).collect::<String>() + "client_id=c";
        assert!(matches!(denied(&[TYPE], many.get(..60_000).unwrap()), Denial::Form(_)));
    }

    #[test]
    fn t8_t9_a8_to_a10_what_cannot_be_a_value() {
        for body in [
            "client_id=%zz",
            "client_id=%",
            "client_id=%c0%af",
            "client_id=%ed%a0%80",
            "client_id=c&client_id=c",
        ] {
            assert!(matches!(denied(&[TYPE], body), Denial::Form(_)), "{body}");
        }
        for body in
            ["client_id=%00", "client_id=c&code=a%0d%0ab", "client_id=c&x=%0a", "client_id=c&scope=%c3%a9"]
        {
            assert!(matches!(denied(&[TYPE], body), Denial::Parameter(_)), "{body}");
        }
    }

    #[test]
    fn t12_one_way_of_authentication() {
        let basic = basic_of("app:s3cret");
        let basic = [TYPE, ("authorization", basic.as_str())];
        let assertion = format!("client_assertion=a&client_assertion_type={}", ClientAssertion::TYPE);
        for (headers, body, why) in [
            (&basic[..], "client_id=other".to_owned(), Denial::OtherClientId),
            (&basic[..], "client_id=other&client_secret=s".to_owned(), Denial::OtherClientId),
            (&basic[..], assertion.clone(), Denial::TwoMethods),
            (&basic[..1], format!("{assertion}&client_secret=s"), Denial::TwoMethods),
            (&basic[..1], "client_assertion=a".to_owned(), Denial::AssertionType),
            (&basic[..1], "client_assertion=a&client_assertion_type=x".to_owned(), Denial::AssertionType),
            (&basic[..1], format!("client_assertion_type={}", ClientAssertion::TYPE), Denial::AssertionType),
            (&basic[..1], String::new(), Denial::NoClient),
            (&basic[..1], "client_id=&client_secret=s".to_owned(), Denial::NoClient),
        ] {
            assert_eq!(denied(headers, &body), why, "{body}");
        }
        for (body, beside) in [
            ("", Beside::Nothing),
            ("client_id=app", Beside::Nothing),
            ("client_id=app&client_secret=s", Beside::Secret),
            ("client_secret=s", Beside::Secret),
        ] {
            let request = request(&basic, body);
            let read = ClientRequest::parse(&request).unwrap();
            assert_eq!((read.client_id(), read.body_secret()), ("app", beside), "{body}");
        }
    }

    #[test]
    fn t15_a23_a24_basic_is_read_as_everybody_writes_it() {
        let read = |credentials: &str| {
            let basic = basic_of(credentials);
            let request = request(&[TYPE, ("authorization", &basic)], "");
            let read = ClientRequest::parse(&request).unwrap();
            let Credentials::Basic(basic) = read.credentials else { panic!("{credentials}") };
            let pair =
                |(of, how): (&NameAndSecret, Reading)| (of.name.clone(), of.secret.expose().clone(), how);
            basic.readings().map(pair).collect::<Vec<_>>()
        };
        let decoded = |name: &str, secret: &str| (name.to_owned(), secret.to_owned(), Reading::Decoded);
        let raw = |name: &str, secret: &str| (name.to_owned(), secret.to_owned(), Reading::AsItStands);
        for (credentials, readings) in [
            ("app:s3cret", vec![decoded("app", "s3cret")]),
            ("a%2Db:c%2Dd", vec![decoded("a-b", "c-d"), raw("a%2Db", "c%2Dd")]),
            ("a+b:c+d", vec![decoded("a b", "c d"), raw("a+b", "c+d")]),
            ("app:a:b%25&c", vec![decoded("app", "a:b%&c"), raw("app", "a:b%25&c")]),
            ("app:100%", vec![raw("app", "100%")]),
            ("app:%C3%A9", vec![decoded("app", "é"), raw("app", "%C3%A9")]),
            ("app:é", vec![decoded("app", "é")]),
            ("app:", vec![decoded("app", "")]),
        ] {
            assert_eq!(read(credentials), readings, "{credentials}");
        }

        for (value, why) in [
            ("Bearer x".to_owned(), Denial::AuthorizationScheme),
            ("Basic".to_owned(), Denial::AuthorizationScheme),
            ("Basic !".to_owned(), Denial::BasicSyntax("not base64")),
            (format!("{} x", basic_of("a:b")), Denial::BasicSyntax("not base64")),
            (
                format!("Basic {}", STANDARD.encode("a:bc").trim_end_matches('=')),
                Denial::BasicSyntax("not base64"),
            ),
            (format!("Basic {}", STANDARD.encode([0xff, 0xfe, b':'])), Denial::BasicSyntax("not UTF-8")),
            (basic_of("ab"), Denial::BasicSyntax("no colon")),
            (basic_of("a\n:b"), Denial::BasicSyntax("a control character")),
        ] {
            assert_eq!(denied(&[TYPE, ("authorization", &value)], "client_id=c"), why, "{value}");
        }
        let two = basic_of("a:b");
        let two = [TYPE, ("authorization", two.as_str()), ("authorization", two.as_str())];
        assert_eq!(denied(&two, ""), Denial::SeveralAuthorizations, "A18");
        let lower = basic_of("app:s").replace("Basic", "bAsIc");
        assert!(ClientRequest::parse(&request(&[TYPE, ("authorization", &lower)], "")).is_ok());
    }

    #[test]
    fn a13_a17_other_names_are_other_parameters() {
        let request = request(&[TYPE], "client_id=c&grant_type%5B%5D=x&__proto__=1&data=None&scope=");
        let read = ClientRequest::parse(&request).unwrap();
        assert_eq!(
            (read.value("grant_type"), read.value("scope"), read.value("data")),
            (None, None, Some("None"))
        );
        assert_eq!(read.required("grant_type").unwrap_err(), Denial::Missing("grant_type"), "A14");
    }

    #[test]
    fn a86_debug_shows_no_secret() {
        let basic = basic_of("app:s3cret");
        let with_basic = request(&[TYPE, ("authorization", &basic)], "code=c0de");
        let with_post = request(&[TYPE], "client_id=app&client_secret=s3cret&refresh_token=t0ken");
        for request in [with_basic, with_post] {
            let debug = format!("{:?}", ClientRequest::parse(&request).unwrap());
            for secret in ["s3cret", "c0de", "t0ken"] {
                assert!(!debug.contains(secret), "{debug}");
            }
        }
    }
}
