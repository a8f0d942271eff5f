//! Protected resource metadata ([RFC 9728]): which authorization server rules over a resource.
//!
//! [RFC 9728]: https://www.rfc-editor.org/rfc/rfc9728

use bytes::Bytes;
use http::Uri;
use serde::Deserialize;
use thiserror::Error;
use url::Url;

use crate::finding::shown;
use crate::issuer::{InvalidIssuer, Issuer};
use crate::json_answer::{self, JsonAnswerError};
use crate::port::{HttpCall, Trust};
use crate::transport::Transport;

/// What a protected resource, such as a PDS, says about itself ([RFC 9728, section 2]). Members without a field here
/// are ignored.
///
/// ```
/// use bytes::Bytes;
/// use url::Url;
/// use vestibule_oauth_core::{ResourceMetadata, Transport};
///
/// let pds = Url::parse("https://pds.example/").unwrap();
/// let answer = http::Response::builder()
///     .header("content-type", "application/json")
///     .body(Bytes::from(r#"{"resource":"https://pds.example","authorization_servers":["https://as.example"]}"#))
///     .unwrap();
/// let metadata = ResourceMetadata::read(&answer, &pds, Transport::HttpsOnly).unwrap();
/// assert_eq!(metadata.atproto_issuer().unwrap().as_str(), "https://as.example");
/// ```
///
/// [RFC 9728, section 2]: https://www.rfc-editor.org/rfc/rfc9728#section-2
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct ResourceMetadata {
    /// Its identifier, the same text as [`identifier`](Self::identifier) makes of its URL.
    pub resource: String,
    /// The authorization servers whose tokens it takes.
    pub authorization_servers: Vec<Issuer>,
    /// Scope words; others may work too.
    pub scopes_supported: Vec<String>,
    /// Ways to send a bearer token: `header`, `body`, `query`.
    pub bearer_methods_supported: Vec<String>,
}

impl ResourceMetadata {
    /// The identifier of the resource at `url`: the bare origin where there is no path, as the AT Protocol and the
    /// examples of RFC 9728 write it.
    ///
    /// ```
    /// use url::Url;
    /// use vestibule_oauth_core::ResourceMetadata;
    ///
    /// let pds = Url::parse("https://pds.example:443/").unwrap();
    /// assert_eq!(ResourceMetadata::identifier(&pds), "https://pds.example");
    /// ```
    pub fn identifier(url: &Url) -> String {
        if url.path() == "/" && url.query().is_none() {
            url.origin().ascii_serialization()
        } else {
            let mut url = url.clone();
            url.set_fragment(None);
            url.into()
        }
    }

    /// Asks the resource at `url` for its metadata ([RFC 9728, section 3.1]; requirement R48): the well-known path goes
    /// between host and path.
    ///
    /// # Errors
    ///
    /// [`ResourceMetadataError::Url`] if `url` is not one of the web.
    ///
    /// [RFC 9728, section 3.1]: https://www.rfc-editor.org/rfc/rfc9728#section-3.1
    pub fn request(url: &Url, trust: Trust) -> Result<HttpCall, ResourceMetadataError> {
        if !matches!(url.scheme(), "https" | "http") {
            return Err(ResourceMetadataError::Url);
        }
        let path = url.path();
        let path = format!("/.well-known/oauth-protected-resource{}", if path == "/" { "" } else { path });
        let mut well_known = url.clone();
        well_known.set_path(&path);
        well_known.set_fragment(None);
        let uri = Uri::try_from(well_known.as_str()).map_err(|_| ResourceMetadataError::Url)?;
        let request = json_answer::request(uri);
        Ok(HttpCall::new(request, "protected resource metadata", trust).with_body_limit(Self::MAX_OCTETS))
    }

    /// Reads the answer of the resource at `url` (requirements R48 and R49): status 200 and no other,
    /// `application/json`, about the resource that was asked, and authorization servers that are issuers `transport`
    /// allows.
    ///
    /// # Errors
    ///
    /// The first rule that is broken.
    pub fn read(
        answer: &http::Response<Bytes>,
        url: &Url,
        transport: Transport,
    ) -> Result<Self, ResourceMetadataError> {
        let wire: Wire =
            json_answer::read(answer, Self::MAX_OCTETS).map_err(ResourceMetadataError::Answer)?;
        let expected = Self::identifier(url);
        if wire.resource != expected {
            return Err(ResourceMetadataError::Resource { expected, found: shown(&wire.resource) });
        }
        let servers = wire.authorization_servers.unwrap_or_default();
        if servers.len() > Self::MAX_SERVERS {
            return Err(ResourceMetadataError::TooMany);
        }
        let authorization_servers = servers
            .iter()
            .map(|text| {
                Issuer::parse_with(text, transport)
                    .map_err(|rule| ResourceMetadataError::Issuer { found: shown(text), rule })
            })
            .collect::<Result<_, _>>()?;
        Ok(Self {
            resource: wire.resource,
            authorization_servers,
            scopes_supported: wire.scopes_supported.unwrap_or_default(),
            bearer_methods_supported: wire.bearer_methods_supported.unwrap_or_default(),
        })
    }

    /// The one authorization server of an AT Protocol resource (requirement R50): there is exactly one, and it is an
    /// origin.
    ///
    /// # Errors
    ///
    /// [`ResourceMetadataError::Servers`] or [`ResourceMetadataError::NotOrigin`].
    pub fn atproto_issuer(&self) -> Result<&Issuer, ResourceMetadataError> {
        match self.authorization_servers.as_slice() {
            [issuer] if issuer.is_origin() => Ok(issuer),
            [issuer] => Err(ResourceMetadataError::NotOrigin { found: shown(issuer.as_str()) }),
            several => Err(ResourceMetadataError::Servers { number: several.len() }),
        }
    }

    /// The most octets of such a document: the reference PDS writes 200.
    pub const MAX_OCTETS: usize = 64 * 1024;

    /// The most authorization servers: the AT Protocol has one, and nobody has been seen with more than a handful.
    pub const MAX_SERVERS: usize = 32;
}

/// Why metadata of a resource cannot be used.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum ResourceMetadataError {
    /// The resource is not at a URL of the web.
    #[error("protected resource metadata: the resource must have an http or https URL")]
    Url,
    /// The answer is not a JSON document of the right shape (requirement R48).
    #[error("protected resource metadata: {0}")]
    Answer(JsonAnswerError),
    /// The document is about another resource than the one asked (requirement R49).
    #[error("protected resource metadata: resource must be \"{expected}\", and is {found}")]
    Resource {
        /// The resource asked.
        expected: String,
        /// The resource of the document, quoted.
        found: String,
    },
    /// An authorization server that is not an issuer (requirement R50).
    #[error("protected resource metadata: authorization_servers holds {found}, and an {rule}")]
    Issuer {
        /// The text of the document, quoted.
        found: String,
        /// What is wrong with it.
        rule: InvalidIssuer,
    },
    /// Not exactly one authorization server (requirement R50).
    #[error(
        "protected resource metadata: authorization_servers must have exactly one entry, and has {number}"
    )]
    Servers {
        /// How many there are.
        number: usize,
    },
    /// The authorization server is more than an origin (requirement R50).
    #[error(
        "protected resource metadata: authorization_servers must hold an origin without path, and holds {found}"
    )]
    NotOrigin {
        /// The text of the document, quoted.
        found: String,
    },
    /// More than [`ResourceMetadata::MAX_SERVERS`] authorization servers.
    #[error("protected resource metadata: authorization_servers must have at most 32 entries")]
    TooMany,
}

impl ResourceMetadataError {
    /// The requirement that is broken.
    pub const fn rule(&self) -> &'static str {
        match self {
            Self::Url | Self::Answer(_) => "R48",
            Self::Resource { .. } => "R49",
            Self::Issuer { .. } | Self::Servers { .. } | Self::NotOrigin { .. } | Self::TooMany => "R50",
        }
    }
}

/// The document as it travels; known members given twice are refused, unknown ones ignored.
#[derive(Deserialize)]
struct Wire {
    resource: String,
    authorization_servers: Option<Vec<String>>,
    scopes_supported: Option<Vec<String>>,
    bearer_methods_supported: Option<Vec<String>>,
}

#[cfg(test)]
mod tests {
    use http::Response;
    use serde_json::{Value, json};

    use super::*;

    fn read(document: &Value, url: &str) -> Result<ResourceMetadata, ResourceMetadataError> {
        let answer = Response::builder()
            .header("content-type", "application/json; charset=utf-8")
            .body(Bytes::from(document.to_string()))
            .unwrap();
        ResourceMetadata::read(&answer, &Url::parse(url).unwrap(), Transport::LoopbackHttpToo)
    }

    #[test]
    fn rfc9728_section_3_2() {
        let document = json!({
            "resource": "https://resource.example.com",
            "authorization_servers": ["https://as1.example.com", "https://as2.example.net"],
            "bearer_methods_supported": ["header", "body"],
            "scopes_supported": ["profile", "email", "phone"],
            "resource_documentation": "https://resource.example.com/resource_documentation.html"
        });
        let metadata = read(&document, "https://resource.example.com/").unwrap();
        assert_eq!(metadata.authorization_servers[1].as_str(), "https://as2.example.net");
        assert_eq!(metadata.scopes_supported, ["profile", "email", "phone"]);
        assert_eq!(metadata.atproto_issuer(), Err(ResourceMetadataError::Servers { number: 2 }));
    }

    #[test]
    fn rfc9728_section_3_1_puts_the_well_known_path_before_the_path() {
        for (url, uri) in [
            ("https://r.example", "https://r.example/.well-known/oauth-protected-resource"),
            ("https://r.example:8443/", "https://r.example:8443/.well-known/oauth-protected-resource"),
            ("https://r.example/one", "https://r.example/.well-known/oauth-protected-resource/one"),
            ("https://r.example/one?k=v#f", "https://r.example/.well-known/oauth-protected-resource/one?k=v"),
        ] {
            let call = ResourceMetadata::request(&Url::parse(url).unwrap(), Trust::UserSupplied).unwrap();
            assert_eq!(call.request.uri().to_string(), uri);
            assert_eq!((call.trust, call.purpose), (Trust::UserSupplied, "protected resource metadata"));
        }
        let url = Url::parse("did:web:a.example").unwrap();
        assert!(ResourceMetadata::request(&url, Trust::UserSupplied).is_err());
    }

    #[test]
    fn the_reference_pds_keeps_every_rule() {
        let document = json!({
            "resource": "http://localhost:2583",
            "authorization_servers": ["http://localhost:2583"],
            "scopes_supported": [],
            "bearer_methods_supported": ["header"],
            "resource_documentation": "https://atproto.com"
        });
        let metadata = read(&document, "http://localhost:2583").unwrap();
        assert_eq!(metadata.atproto_issuer().unwrap().as_str(), "http://localhost:2583");
        // The same document is worth nothing where http is not wanted.
        let answer = Response::builder()
            .header("content-type", "application/json")
            .body(Bytes::from(document.to_string()))
            .unwrap();
        let url = Url::parse("http://localhost:2583").unwrap();
        assert_eq!(ResourceMetadata::read(&answer, &url, Transport::HttpsOnly).unwrap_err().rule(), "R50");
    }

    #[test]
    fn r48_to_r50_every_broken_rule_is_named() {
        let servers =
            |servers: Value| json!({"resource": "https://pds.example", "authorization_servers": servers});
        for (document, rule) in [
            (json!([]), "R48"),
            (json!({"authorization_servers": ["https://as.example"]}), "R48"),
            (
                json!({"resource": "https://pds.example/", "authorization_servers": ["https://as.example"]}),
                "R49",
            ),
            (
                json!({"resource": "https://evil.example", "authorization_servers": ["https://as.example"]}),
                "R49",
            ),
            (json!({"resource": "https://pds.example"}), "R50"),
            (servers(json!([])), "R50"),
            (servers(json!(["https://as.example", "https://as.example"])), "R50"),
            (servers(json!(["https://as.example/"])), "R50"),
            (servers(json!(["https://as.example/x"])), "R50"),
            (servers(json!(["https://as.example:443"])), "R50"),
            (servers(json!(["https://u@as.example"])), "R50"),
            (servers(json!(["https://as.example?"])), "R50"),
            (servers(json!(["https://as.example#"])), "R50"),
            (servers(json!(["http://as.example"])), "R50"),
            (servers(json!(vec!["https://as.example"; 33])), "R50"),
        ] {
            let error = read(&document, "https://pds.example/")
                .and_then(|metadata| metadata.atproto_issuer().cloned());
            assert_eq!(error.unwrap_err().rule(), rule, "{document}");
        }
        assert!(
            read(&servers(json!(["https://as.example:8443"])), "https://pds.example")
                .unwrap()
                .atproto_issuer()
                .is_ok()
        );
    }

    #[test]
    fn r48_exactly_200_and_json() {
        let good = r#"{"resource":"https://pds.example","authorization_servers":["https://as.example"]}"#;
        for (status, content_type) in [
            (204, "application/json"),
            (301, "application/json"),
            (404, "application/json"),
            (200, "text/html"),
        ] {
            let answer = Response::builder()
                .status(status)
                .header("content-type", content_type)
                .body(Bytes::from(good))
                .unwrap();
            let url = Url::parse("https://pds.example").unwrap();
            let error = ResourceMetadata::read(&answer, &url, Transport::HttpsOnly).unwrap_err();
            assert_eq!(error.rule(), "R48", "{status} {content_type}");
        }
    }
}
