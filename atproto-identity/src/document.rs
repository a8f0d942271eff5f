//! DID documents: where an account lives, what it is called, what it signs with.

use bytes::Bytes;
use serde_json::{Map, Value};
use thiserror::Error;

use crate::did::Did;
use crate::handle::{DevelopmentNames, Handle};
use crate::server_origin::{InvalidServerOrigin, ServerOrigin};

/// A DID document, as far as AT Protocol reads it ([DID documents]).
///
/// The document comes from a stranger: it is bounded, it belongs to the DID it was asked for, and nothing else in it
/// has been believed. Whether the handle it claims is its own, only the handle can say.
///
/// ```
/// use vestibule_atproto_identity::{DevelopmentNames, Did, DidDocument};
///
/// let did: Did = "did:web:example.com".parse().unwrap();
/// let body = br##"{
///     "id": "did:web:example.com",
///     "alsoKnownAs": ["at://alice.example.com"],
///     "service": [{
///         "id": "#atproto_pds",
///         "type": "AtprotoPersonalDataServer",
///         "serviceEndpoint": "https://pds.example.com"
///     }]
/// }"##;
/// let document = DidDocument::parse(body, &did).unwrap();
/// assert_eq!(document.claimed_handle().unwrap().as_str(), "alice.example.com");
/// assert_eq!(document.pds(DevelopmentNames::Refused).unwrap().as_str(), "https://pds.example.com");
/// ```
///
/// [DID documents]: https://atproto.com/specs/did#did-documents
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DidDocument {
    id: Did,
    also_known_as: Vec<String>,
    verification_methods: Vec<VerificationMethod>,
    services: Vec<Service>,
}

impl DidDocument {
    /// Reads the document of `asked`.
    ///
    /// An entry of a list that has not the shape of its kind is passed over, as other methods and services than those
    /// of AT Protocol may have any.
    ///
    /// # Errors
    /// When it is too large, no JSON object, about another DID, or has something else than a list where one belongs.
    pub fn parse(body: &[u8], asked: &Did) -> Result<Self, InvalidDidDocument> {
        if body.len() > MAX_OCTETS {
            return Err(InvalidDidDocument::TooLarge);
        }
        let Ok(Value::Object(fields)) = serde_json::from_slice(body) else {
            return Err(InvalidDidDocument::NotAnObject);
        };
        match fields.get("id") {
            Some(Value::String(id)) if id == asked.as_str() => {}
            Some(Value::String(_)) => return Err(InvalidDidDocument::OtherId),
            _ => return Err(InvalidDidDocument::NoId),
        }
        Ok(Self {
            id: asked.clone(),
            also_known_as: list(&fields, "alsoKnownAs", |value| value.as_str().map(str::to_owned))?,
            verification_methods: list(&fields, "verificationMethod", VerificationMethod::read)?,
            services: list(&fields, "service", Service::read)?,
        })
    }

    /// The DID this document is about.
    pub const fn id(&self) -> &Did {
        &self.id
    }

    /// Everything the account says it is also known as, in order.
    pub fn also_known_as(&self) -> &[String] {
        &self.also_known_as
    }

    /// The handle this account claims: its first entry that is `at://` and a handle. Any other entry is ignored.
    pub fn claimed_handle(&self) -> Option<Handle> {
        self.also_known_as.iter().find_map(|name| name.strip_prefix("at://")?.parse().ok())
    }

    /// The services, in order.
    pub fn services(&self) -> &[Service] {
        &self.services
    }

    /// The personal data server: the first service with the id `#atproto_pds`, relative or absolute, and the type
    /// `AtprotoPersonalDataServer`.
    ///
    /// # Errors
    /// When there is none, and when its endpoint is not an origin; http is accepted during development only.
    pub fn pds(&self, development: DevelopmentNames) -> Result<ServerOrigin, InvalidPds> {
        let service = self
            .services
            .iter()
            .find(|service| self.is_own(&service.id, PDS_ID) && service.kind == PDS_TYPE)
            .ok_or(InvalidPds::Missing)?;
        ServerOrigin::parse(&service.endpoint, development).map_err(InvalidPds::Endpoint)
    }

    /// The verification methods, in order.
    pub fn verification_methods(&self) -> &[VerificationMethod] {
        &self.verification_methods
    }

    /// The key that the account's repository is signed with: the first method with the id `#atproto`, relative or
    /// absolute.
    pub fn signing_key(&self) -> Option<&VerificationMethod> {
        self.verification_methods.iter().find(|method| self.is_own(&method.id, SIGNING_KEY_ID))
    }

    /// Whether `id` is `fragment`, on its own or behind the DID of this document.
    fn is_own(&self, id: &str, fragment: &str) -> bool {
        id.strip_prefix(self.id.as_str()).unwrap_or(id) == fragment
    }
}

/// One service of a DID document.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Service {
    id: String,
    kind: String,
    endpoint: String,
}

impl Service {
    /// Its id: a fragment, or the DID and a fragment.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Its `type`.
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// Its endpoint, as it was received: not yet a URL that may be called.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    fn read(value: &Value) -> Option<Self> {
        Some(Self {
            id: text(value, "id")?,
            kind: text(value, "type")?,
            endpoint: text(value, "serviceEndpoint")?,
        })
    }
}

/// One verification method of a DID document.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct VerificationMethod {
    id: String,
    kind: String,
    public_key: Option<String>,
}

impl VerificationMethod {
    /// Its id: a fragment, or the DID and a fragment.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Its `type`.
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// Its `publicKeyMultibase`, as it was received. Of the type `Multikey`, [`DidKey`](crate::DidKey) reads it.
    pub fn public_key_multibase(&self) -> Option<&str> {
        self.public_key.as_deref()
    }

    fn read(value: &Value) -> Option<Self> {
        Some(Self {
            id: text(value, "id")?,
            kind: text(value, "type")?,
            public_key: text(value, "publicKeyMultibase"),
        })
    }
}

/// Why a body is not the DID document that was asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum InvalidDidDocument {
    /// Larger than 64 KiB.
    #[error("DID document must have at most 64 KiB")]
    TooLarge,
    /// No JSON, or JSON other than an object.
    #[error("DID document must be a JSON object")]
    NotAnObject,
    /// No `id`, or not a text.
    #[error("DID document must have an id")]
    NoId,
    /// It is about another DID.
    #[error("id of the DID document must be the DID that was asked for")]
    OtherId,
    /// Something else than a list where one belongs; the name of the field.
    #[error("{0} of the DID document must be a list")]
    NotAList(&'static str),
    /// A list of more entries than any account has; the name of the field.
    #[error("{0} of the DID document must have at most 100 entries")]
    TooMany(&'static str),
}

/// Why a DID document names no personal data server.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum InvalidPds {
    /// It has no service of that id and type.
    #[error("DID document names no personal data server")]
    Missing,
    /// The endpoint is not the origin of a server.
    #[error("endpoint of the personal data server is not acceptable: {0}")]
    Endpoint(InvalidServerOrigin),
}

/// Reads the answer of whoever keeps the document of `did`. Both methods answer alike; only a directory of `did:plc`
/// says "gone" (410) of an account that was closed.
pub(crate) fn read(did: &Did, response: &http::Response<Bytes>) -> Result<DidDocument, DidDocumentError> {
    match response.status().as_u16() {
        200..=299 => DidDocument::parse(response.body(), did).map_err(DidDocumentError::Invalid),
        404 => Err(DidDocumentError::NotFound),
        410 => Err(DidDocumentError::Tombstoned),
        status => Err(DidDocumentError::Refused(status)),
    }
}

/// Why an answer gives no DID document.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum DidDocumentError {
    /// Whoever should know the DID does not (404).
    #[error("DID is not known to whoever keeps its document (404)")]
    NotFound,
    /// The account was closed for good (410).
    #[error("DID has been given up by its owner (410)")]
    Tombstoned,
    /// Another answer than the document; a redirect is one too. The status.
    #[error("DID document was refused with status {0}")]
    Refused(u16),
    /// A document that is not the one asked for.
    #[error("{0}")]
    Invalid(InvalidDidDocument),
}

/// The entries of one field that have the shape of their kind; a field that is absent or null is an empty list.
fn list<T>(
    fields: &Map<String, Value>,
    name: &'static str,
    read: impl Fn(&Value) -> Option<T>,
) -> Result<Vec<T>, InvalidDidDocument> {
    match fields.get(name) {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Array(values)) if values.len() > MAX_ENTRIES => Err(InvalidDidDocument::TooMany(name)),
        Some(Value::Array(values)) => Ok(values.iter().filter_map(read).collect()),
        Some(_) => Err(InvalidDidDocument::NotAList(name)),
    }
}

fn text(value: &Value, name: &str) -> Option<String> {
    value.get(name)?.as_str().map(str::to_owned)
}

/// What is asked for, and what the answer is called in logs and errors; both methods use these.
pub(crate) const MEDIA: &str = "application/did+ld+json, application/json";
pub(crate) const PURPOSE: &str = "DID document";
/// Real documents have less than 1 KiB; the directory of `did:plc` refuses operations over 7.5 KB.
const MAX_OCTETS: usize = 64 * 1024;
/// Real lists have one to three entries; the directory of `did:plc` refuses more than ten.
const MAX_ENTRIES: usize = 100;
const PDS_ID: &str = "#atproto_pds";
const PDS_TYPE: &str = "AtprotoPersonalDataServer";
const SIGNING_KEY_ID: &str = "#atproto";

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn did() -> Did {
        "did:web:example.com".parse().unwrap()
    }

    fn parse(value: &Value) -> Result<DidDocument, InvalidDidDocument> {
        DidDocument::parse(value.to_string().as_bytes(), &did())
    }

    fn pds(services: &Value) -> Result<String, InvalidPds> {
        let document = parse(&json!({"id": "did:web:example.com", "service": services})).unwrap();
        document.pds(DevelopmentNames::Refused).map(|origin| origin.to_string())
    }

    #[test]
    fn r46_a_document_is_about_the_did_asked_for() {
        for (value, why) in [
            (json!({"id": "did:web:example.org"}), InvalidDidDocument::OtherId),
            (json!({"id": "did:web:Example.com"}), InvalidDidDocument::OtherId),
            (json!({"id": ["did:web:example.com"]}), InvalidDidDocument::NoId),
            (json!({}), InvalidDidDocument::NoId),
            (json!([]), InvalidDidDocument::NotAnObject),
            (json!({"id": "did:web:example.com", "service": {}}), InvalidDidDocument::NotAList("service")),
            (
                json!({"id": "did:web:example.com", "alsoKnownAs": vec!["a"; 101]}),
                InvalidDidDocument::TooMany("alsoKnownAs"),
            ),
            (json!({"id": "did:web:example.com", "x": "x".repeat(65536)}), InvalidDidDocument::TooLarge),
        ] {
            assert_eq!(parse(&value), Err(why));
        }
        assert_eq!(DidDocument::parse(b"<html>", &did()), Err(InvalidDidDocument::NotAnObject));
        let deep = format!("{{\"id\":{}", "[".repeat(60_000));
        assert_eq!(DidDocument::parse(deep.as_bytes(), &did()), Err(InvalidDidDocument::NotAnObject));
    }

    #[test]
    fn r40_the_first_valid_handle_is_the_one_claimed() {
        for (names, claimed) in [
            (json!(["at://Alice.example.com", "at://bob.example.com"]), Some("alice.example.com")),
            (json!(["https://a.com", 1, "at://_", "at://a.com/b", "at://bob.com"]), Some("bob.com")),
            (json!(["at://did:web:example.com", "alice.example.com", "AT://alice.example.com"]), None),
            (json!([]), None),
            (json!(null), None),
        ] {
            let document = parse(&json!({"id": "did:web:example.com", "alsoKnownAs": names})).unwrap();
            assert_eq!(document.claimed_handle().as_ref().map(Handle::as_str), claimed, "{names}");
        }
    }

    #[test]
    fn r47_the_pds_is_the_first_service_of_its_id_and_type() {
        let service = |id: &str, kind: &str, endpoint: &str| json!({"id": id, "type": kind, "serviceEndpoint": endpoint});
        let good = service("did:web:example.com#atproto_pds", "AtprotoPersonalDataServer", "https://a.com");
        for (services, origin) in [
            (json!([good]), Ok("https://a.com")),
            (
                json!([service("#atproto_pds", "AtprotoPersonalDataServer", "https://b.com/"), good]),
                Ok("https://b.com"),
            ),
            (json!([service("#atproto_pds", "Other", "https://b.com"), good]), Ok("https://a.com")),
            (
                json!([service("#other", "AtprotoPersonalDataServer", "https://b.com"), good]),
                Ok("https://a.com"),
            ),
            (json!([{"id": "#atproto_pds"}, "x", null, good]), Ok("https://a.com")),
            (
                json!([service("did:web:b.com#atproto_pds", "AtprotoPersonalDataServer", "https://b.com")]),
                Err(InvalidPds::Missing),
            ),
            (
                json!([{"id": "#atproto_pds", "type": "AtprotoPersonalDataServer", "serviceEndpoint": {}}]),
                Err(InvalidPds::Missing),
            ),
            (json!([]), Err(InvalidPds::Missing)),
            (
                json!([service("#atproto_pds", "AtprotoPersonalDataServer", "https://a.com/x"), good]),
                Err(InvalidPds::Endpoint(InvalidServerOrigin::Path)),
            ),
            (
                json!([service("#atproto_pds", "AtprotoPersonalDataServer", "http://a.com")]),
                Err(InvalidPds::Endpoint(InvalidServerOrigin::NotHttps)),
            ),
        ] {
            assert_eq!(pds(&services).as_deref().map_err(|why| *why), origin, "{services}");
        }
    }

    #[test]
    fn the_signing_key_is_kept_as_text() {
        let method = |id: &str| json!({"id": id, "type": "Multikey", "publicKeyMultibase": "zQ3s"});
        for id in ["#atproto", "did:web:example.com#atproto"] {
            let value =
                json!({"id": "did:web:example.com", "verificationMethod": [method("#other"), method(id)]});
            let document = parse(&value).unwrap();
            let key = document.signing_key().unwrap();
            assert_eq!((key.id(), key.kind(), key.public_key_multibase()), (id, "Multikey", Some("zQ3s")));
        }
    }

    #[test]
    fn an_answer_is_a_document_or_says_why_not() {
        let answer = |status: u16, body: &'static str| {
            let response = http::Response::builder().status(status).body(Bytes::from_static(body.as_bytes()));
            read(&did(), &response.unwrap())
        };
        assert!(answer(200, r#"{"id": "did:web:example.com"}"#).is_ok());
        for (status, why) in [
            (404, DidDocumentError::NotFound),
            (410, DidDocumentError::Tombstoned),
            (302, DidDocumentError::Refused(302)),
            (429, DidDocumentError::Refused(429)),
            (503, DidDocumentError::Refused(503)),
            (200, DidDocumentError::Invalid(InvalidDidDocument::NotAnObject)),
        ] {
            assert_eq!(answer(status, "<html>"), Err(why), "{status}");
        }
    }
}
