//! A request to an endpoint, put together field by field, right or wrong.

use std::net::Ipv4Addr;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue};
use http::{HeaderMap, Method, Request};
use url::form_urlencoded;

/// A request that is not sent yet. By default it is a form that is posted.
///
/// ```
/// use vestibule_tests::oauth::Ask;
///
/// let ask = Ask::post("https://as.test/oauth2/token").field("grant_type", "client_credentials").basic("a b", "c:d");
/// let request = ask.into_request();
/// assert_eq!(request.body(), "grant_type=client_credentials");
/// assert_eq!(request.headers()["authorization"], "Basic YStiOmMlM0Fk"); // a+b:c%3Ad
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Ask {
    method: Method,
    url: String,
    headers: HeaderMap,
    fields: Vec<(String, String)>,
    body: Option<Bytes>,
    from: Option<Ipv4Addr>,
}

/// The media type of forms.
const FORM: HeaderValue = HeaderValue::from_static("application/x-www-form-urlencoded");

impl Ask {
    /// An empty form for this address.
    pub fn post(url: impl Into<String>) -> Self {
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, FORM)]);
        Self { method: Method::POST, url: url.into(), headers, fields: Vec::new(), body: None, from: None }
    }

    /// The same with another method.
    pub fn method(mut self, method: &str) -> Self {
        self.method = method.parse().expect("a method");
        self
    }

    /// The same with this behind the address.
    pub fn query(mut self, query: &str) -> Self {
        self.url = format!("{}?{query}", self.url);
        self
    }

    /// The same with one field more.
    pub fn field(mut self, name: &str, value: &str) -> Self {
        self.fields.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The same with these fields more.
    pub fn fields(self, fields: &[(&str, &str)]) -> Self {
        fields.iter().fold(self, |ask, (name, value)| ask.field(name, value))
    }

    /// The same without this field.
    pub fn without(mut self, name: &str) -> Self {
        self.fields.retain(|(known, _)| known != name);
        self
    }

    /// The same with this field and no other of its name.
    pub fn with(self, name: &str, value: &str) -> Self {
        self.without(name).field(name, value)
    }

    /// The value of a field.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The same with one header field more.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        let name: HeaderName = name.parse().expect("the name of a header field");
        self.headers
            .append(name, HeaderValue::from_bytes(value.as_bytes()).expect("the value of a header field"));
        self
    }

    /// The same without this header field.
    pub fn bare(mut self, name: &str) -> Self {
        self.headers.remove(name);
        self
    }

    /// The same with another media type.
    pub fn media_type(self, value: &str) -> Self {
        self.bare("content-type").header("content-type", value)
    }

    /// The same with Basic credentials, encoded as RFC 6749 has it.
    pub fn basic(self, id: &str, secret: &str) -> Self {
        let encode = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
        self.basic_as_it_stands(&format!("{}:{}", encode(id), encode(secret)))
    }

    /// The same with Basic credentials, whatever they are.
    pub fn basic_as_it_stands(self, text: &str) -> Self {
        use base64::Engine as _;
        let encoded = base64::engine::general_purpose::STANDARD.encode(text);
        self.bare(AUTHORIZATION.as_str()).header(AUTHORIZATION.as_str(), &format!("Basic {encoded}"))
    }

    /// The same with this body in the place of the fields.
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = Some(body.into());
        self
    }

    /// The same from another address of this machine, where that makes a difference.
    pub const fn from(mut self, address: Ipv4Addr) -> Self {
        self.from = Some(address);
        self
    }

    /// Where it comes from.
    pub const fn sender(&self) -> Option<Ipv4Addr> {
        self.from
    }

    /// The fields as they are sent.
    pub fn form(&self) -> String {
        form_urlencoded::Serializer::new(String::new()).extend_pairs(&self.fields).finish()
    }

    /// As it is sent.
    ///
    /// # Panics
    /// When the address is none.
    pub fn into_request(self) -> Request<Bytes> {
        let body = self.body.clone().unwrap_or_else(|| self.form().into());
        let mut request =
            Request::builder().method(self.method).uri(&self.url).body(body).expect("a request");
        *request.headers_mut() = self.headers;
        request
    }
}
