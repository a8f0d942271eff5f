//! From a server to the authorization server that rules over it (requirements R48 to R58).
//!
//! Two documents are read: the protected resource metadata of the PDS, which names one issuer, and the metadata of that
//! issuer, which says where to send whom. Every URL on the way comes from a stranger, so every call is
//! [`Trust::UserSupplied`].
//!
//! ```
//! use std::pin::pin;
//! use std::task::{Context, Poll, Waker};
//!
//! use bytes::Bytes;
//! use vestibule_atproto_identity::discover::{DiscoverError, discover_from_pds};
//! use vestibule_oauth_core::{BoxFuture, HttpCall, HttpClient, HttpError, HttpErrorKind, Transport};
//!
//! /// A network that is down.
//! struct Down;
//!
//! impl HttpClient for Down {
//!     fn send<'a>(&'a self, _: HttpCall) -> BoxFuture<'a, Result<http::Response<Bytes>, HttpError>> {
//!         Box::pin(async { Err(HttpError::new(HttpErrorKind::Connect, "refused")) })
//!     }
//! }
//!
//! let pds = "https://pds.example.com".parse().unwrap();
//! let flow = pin!(discover_from_pds(&pds, Transport::HttpsOnly, &Down));
//! let Poll::Ready(Err(error)) = flow.poll(&mut Context::from_waker(Waker::noop())) else { panic!() };
//! assert!(matches!(error, DiscoverError::Unreachable { .. }));
//! assert_eq!(
//!     error.to_string(),
//!     "protected resource metadata of https://pds.example.com could not be had: no connection: refused"
//! );
//! ```

use bytes::Bytes;
use http::{Response, StatusCode};
use thiserror::Error;
use vestibule_oauth_core::{
    AtprotoServer, HttpCall, HttpClient, HttpError, HttpErrorKind, Issuer, JsonAnswerError, NotAtprotoServer,
    ResourceMetadata, ResourceMetadataError, ServerMetadata, ServerMetadataError, Transport, Trust,
};

use crate::server_origin::ServerOrigin;

/// An authorization server, and the PDS that named it.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Discovered {
    /// The authorization server; it keeps the rules of the AT Protocol.
    pub server: AtprotoServer,
    /// The PDS that named it; none if the server was asked itself.
    pub pds: Option<ServerOrigin>,
}

impl Discovered {
    /// Who the authorization server is.
    pub const fn issuer(&self) -> &Issuer {
        &self.server.issuer
    }
}

/// Asks a PDS for its authorization server, and that for its metadata (requirements R48 to R56). For the PDS of a DID
/// document: it must have the document of R48; that it might be its own issuer is not tried.
///
/// # Errors
///
/// What could not be reached, or the first rule that is broken; of the AT Protocol's rules for authorization servers,
/// all that are.
pub async fn discover_from_pds(
    pds: &ServerOrigin,
    transport: Transport,
    http: &dyn HttpClient,
) -> Result<Discovered, DiscoverError> {
    let resource = resource_metadata(pds, transport, http).await?;
    from_resource(pds, &resource, http).await
}

/// Asks a server that a person typed, which is a PDS, or an entryway that is an authorization server (requirement R57).
///
/// It is taken for a PDS first. If it answers that it has no document of R48 (another status than 200, or another
/// content type than JSON, as a site that answers everything with a page does), its origin is taken for an issuer: this
/// is what the reference client does as well (R51), and it is safe here because the person named this very server. A
/// server that cannot be reached, or whose document breaks a rule, is an error.
///
/// # Errors
///
/// As for [`discover_from_pds`].
pub async fn discover_from_server(
    server: &ServerOrigin,
    transport: Transport,
    http: &dyn HttpClient,
) -> Result<Discovered, DiscoverError> {
    match resource_metadata(server, transport, http).await {
        Ok(resource) => from_resource(server, &resource, http).await,
        Err(error) if error.is_no_document() => {
            let issuer = Issuer::of_origin(server.url(), transport)
                .map_err(|_| DiscoverError::NotHttps { url: server.to_string() })?;
            Ok(Discovered { server: server_metadata(&issuer, http).await?, pds: None })
        }
        Err(error) => Err(error),
    }
}

async fn from_resource(
    pds: &ServerOrigin,
    resource: &ResourceMetadata,
    http: &dyn HttpClient,
) -> Result<Discovered, DiscoverError> {
    let issuer = resource.atproto_issuer().map_err(|error| resource_error(pds, error))?;
    let server = server_metadata(issuer, http).await?;
    if !server.metadata.admits_resource(&resource.resource) {
        return Err(DiscoverError::NotProtected {
            issuer: issuer.to_string(),
            resource: resource.resource.clone(),
        });
    }
    Ok(Discovered { server, pds: Some(pds.clone()) })
}

async fn resource_metadata(
    pds: &ServerOrigin,
    transport: Transport,
    http: &dyn HttpClient,
) -> Result<ResourceMetadata, DiscoverError> {
    if !transport.allows(pds.url()) {
        return Err(DiscoverError::NotHttps { url: pds.to_string() });
    }
    let call = ResourceMetadata::request(pds.url(), Trust::UserSupplied)
        .map_err(|error| resource_error(pds, error))?;
    let answer = match send(call, pds.as_str(), http).await? {
        Ok(answer) => answer,
        Err(error) => return Err(resource_error(pds, ResourceMetadataError::Answer(error))),
    };
    ResourceMetadata::read(&answer, pds.url(), transport).map_err(|error| resource_error(pds, error))
}

async fn server_metadata(issuer: &Issuer, http: &dyn HttpClient) -> Result<AtprotoServer, DiscoverError> {
    let call = ServerMetadata::request(issuer, Trust::UserSupplied);
    let answer = match send(call, issuer.as_str(), http).await? {
        Ok(answer) => answer,
        Err(error) => return Err(server_error(issuer, ServerMetadataError::Answer(error))),
    };
    let metadata = ServerMetadata::read(&answer, issuer).map_err(|error| server_error(issuer, error))?;
    metadata.into_atproto().map_err(DiscoverError::NotAtproto)
}

/// Sends a call; an answer that is too large is a broken rule of the one who gave it.
async fn send(
    call: HttpCall,
    url: &str,
    http: &dyn HttpClient,
) -> Result<Result<Response<Bytes>, JsonAnswerError>, DiscoverError> {
    let (what, limit) = (call.purpose, call.body_limit);
    match http.send(call).await {
        Ok(answer) => Ok(Ok(answer)),
        Err(error) if error.kind() == HttpErrorKind::TooLarge => Ok(Err(JsonAnswerError::TooLarge(limit))),
        Err(error) if error.is_timeout() => Err(DiscoverError::Timeout { what, url: url.to_owned(), error }),
        Err(error) => Err(DiscoverError::Unreachable { what, url: url.to_owned(), error }),
    }
}

fn resource_error(pds: &ServerOrigin, error: ResourceMetadataError) -> DiscoverError {
    match error {
        ResourceMetadataError::Answer(JsonAnswerError::Status(status)) => {
            DiscoverError::Refused { what: "protected resource metadata", url: pds.to_string(), status }
        }
        error => DiscoverError::Resource { url: pds.to_string(), error },
    }
}

fn server_error(issuer: &Issuer, error: ServerMetadataError) -> DiscoverError {
    match error {
        ServerMetadataError::Answer(JsonAnswerError::Status(status)) => {
            DiscoverError::Refused { what: "authorization server metadata", url: issuer.to_string(), status }
        }
        error => DiscoverError::Server { url: issuer.to_string(), error },
    }
}

/// Why no authorization server was found. All of it is about servers that the person, or their PDS, named; none of it
/// is a fault of ours.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum DiscoverError {
    /// The server's URL is http, and that is not allowed for its host.
    #[error("server URL must start with https://, and is {url}")]
    NotHttps {
        /// The URL.
        url: String,
    },
    /// No answer was had, for another reason than time.
    #[error("{what} of {url} could not be had: {error}")]
    Unreachable {
        /// What was asked for.
        what: &'static str,
        /// Of whom.
        url: String,
        /// Why.
        error: HttpError,
    },
    /// No answer was had in time.
    #[error("{what} of {url} did not come in time: {error}")]
    Timeout {
        /// What was asked for.
        what: &'static str,
        /// Of whom.
        url: String,
        /// Whether the connection or the answer was late.
        error: HttpError,
    },
    /// The answer had another status than 200 (requirements R48 and R52); redirects are not followed.
    #[error("{what} of {url} was refused with status {}", status.as_u16())]
    Refused {
        /// What was asked for.
        what: &'static str,
        /// Of whom.
        url: String,
        /// The status.
        status: StatusCode,
    },
    /// The PDS's document breaks a rule (requirements R48 to R50).
    #[error("{url} breaks a rule: {error}")]
    Resource {
        /// The PDS.
        url: String,
        /// The rule.
        error: ResourceMetadataError,
    },
    /// The authorization server's document breaks a rule (requirements R52, R53 and R58).
    #[error("{url} breaks a rule: {error}")]
    Server {
        /// The issuer.
        url: String,
        /// The rule.
        error: ServerMetadataError,
    },
    /// The authorization server does not do what the AT Protocol asks (requirements R50, R54 and R55).
    #[error(transparent)]
    NotAtproto(NotAtprotoServer),
    /// The authorization server lists the resources it protects, and the PDS that named it is none (requirement R56).
    #[error("{issuer} breaks a rule: protected_resources must hold {resource}, which names it as its server")]
    NotProtected {
        /// The issuer.
        issuer: String,
        /// The resource.
        resource: String,
    },
}

impl DiscoverError {
    /// Whether time ran out.
    pub const fn is_timeout(&self) -> bool {
        matches!(self, Self::Timeout { .. })
    }

    /// The requirement that is broken, if somebody answered and that is what is wrong.
    pub fn rule(&self) -> Option<&'static str> {
        match self {
            Self::NotHttps { .. } => Some("R57"),
            Self::Unreachable { .. } | Self::Timeout { .. } => None,
            Self::Refused { what, .. } => {
                Some(if *what == "protected resource metadata" { "R48" } else { "R52" })
            }
            Self::Resource { error, .. } => Some(error.rule()),
            Self::Server { error, .. } => Some(error.rule()),
            Self::NotAtproto(error) => error.findings.first().map(|finding| finding.rule),
            Self::NotProtected { .. } => Some("R56"),
        }
    }

    /// Whether the server answered that it has no protected resource metadata.
    const fn is_no_document(&self) -> bool {
        matches!(
            self,
            Self::Refused { .. }
                | Self::Resource {
                    error: ResourceMetadataError::Answer(JsonAnswerError::ContentType(_)),
                    ..
                }
        )
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::pin::pin;
    use std::sync::Mutex;
    use std::task::{Context, Poll, Waker};

    use serde_json::{Value, json};
    use vestibule_oauth_core::BoxFuture;

    use super::*;
    use crate::handle::DevelopmentNames;

    /// A network of a few URLs, each with its answer; all others refuse the connection.
    struct Network {
        answers: BTreeMap<String, Result<(u16, &'static str, String), HttpErrorKind>>,
        asked: Mutex<Vec<String>>,
    }

    impl Network {
        fn of(pds: &str, resource: &Value, issuer: &str, server: &Value) -> Self {
            let network = Self { answers: BTreeMap::new(), asked: Mutex::default() };
            network
                .with(&format!("{pds}{RESOURCE}"), Ok((200, JSON, resource.to_string())))
                .with(&format!("{issuer}{SERVER}"), Ok((200, JSON, server.to_string())))
        }

        fn with(mut self, url: &str, answer: Result<(u16, &'static str, String), HttpErrorKind>) -> Self {
            self.answers.insert(url.to_owned(), answer);
            self
        }

        fn ask_pds(&self, pds: &str, transport: Transport) -> Result<Discovered, DiscoverError> {
            let pds = ServerOrigin::parse(pds, DevelopmentNames::Allowed).unwrap();
            run(discover_from_pds(&pds, transport, self))
        }

        fn ask_server(&self, server: &str) -> Result<Discovered, DiscoverError> {
            run(discover_from_server(&server.parse().unwrap(), Transport::HttpsOnly, self))
        }
    }

    impl HttpClient for Network {
        fn send<'a>(&'a self, call: HttpCall) -> BoxFuture<'a, Result<Response<Bytes>, HttpError>> {
            assert_eq!(call.trust, Trust::UserSupplied);
            let url = call.request.uri().to_string();
            let answer = match self.answers.get(&url) {
                Some(Ok((status, content_type, body))) => Ok(Response::builder()
                    .status(*status)
                    .header("content-type", *content_type)
                    .body(Bytes::from(body.clone()))
                    .unwrap()),
                Some(Err(kind)) => Err(HttpError::new(*kind, url.clone())),
                None => Err(HttpError::new(HttpErrorKind::Connect, url.clone())),
            };
            self.asked.lock().unwrap().push(url);
            Box::pin(async { answer })
        }
    }

    /// The network above never waits, so one poll is all.
    fn run<T>(flow: impl Future<Output = T>) -> T {
        match pin!(flow).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(value) => value,
            Poll::Pending => panic!("the network never waits"),
        }
    }

    fn resource(pds: &str, issuer: &str) -> Value {
        json!({"resource": pds, "authorization_servers": [issuer]})
    }

    fn server(issuer: &str) -> Value {
        json!({
            "issuer": issuer,
            "authorization_endpoint": format!("{issuer}/oauth/authorize"),
            "token_endpoint": format!("{issuer}/oauth/token"),
            "pushed_authorization_request_endpoint": format!("{issuer}/oauth/par"),
            "revocation_endpoint": format!("{issuer}/oauth/revoke"),
            "scopes_supported": ["atproto", "transition:generic"],
            "response_types_supported": ["code"],
            "grant_types_supported": ["authorization_code", "refresh_token"],
            "code_challenge_methods_supported": ["S256"],
            "token_endpoint_auth_methods_supported": ["none", "private_key_jwt"],
            "token_endpoint_auth_signing_alg_values_supported": ["ES256"],
            "dpop_signing_alg_values_supported": ["ES256"],
            "authorization_response_iss_parameter_supported": true,
            "require_pushed_authorization_requests": true,
            "client_id_metadata_document_supported": true
        })
    }

    const JSON: &str = "application/json";
    const RESOURCE: &str = "/.well-known/oauth-protected-resource";
    const SERVER: &str = "/.well-known/oauth-authorization-server";
    const PDS: &str = "https://pds.example.com";
    const ISSUER: &str = "https://entryway.example.com";

    fn good() -> Network {
        Network::of(PDS, &resource(PDS, ISSUER), ISSUER, &server(ISSUER))
    }

    #[test]
    fn r48_r52_a_pds_leads_to_its_server() {
        let network = good();
        let found = network.ask_pds(PDS, Transport::HttpsOnly).unwrap();
        assert_eq!(found.issuer().as_str(), ISSUER);
        assert_eq!(found.server.token_endpoint.path(), "/oauth/token");
        assert_eq!(found.pds.unwrap().as_str(), PDS);
        assert_eq!(*network.asked.lock().unwrap(), [format!("{PDS}{RESOURCE}"), format!("{ISSUER}{SERVER}")]);
    }

    #[test]
    fn http_is_for_development_only() {
        let dev = "http://localhost:2583";
        let network = Network::of(dev, &resource(dev, dev), dev, &server(dev));
        assert_eq!(network.ask_pds(dev, Transport::LoopbackHttpToo).unwrap().issuer().as_str(), dev);
        let asked = network.asked.lock().unwrap().len();
        let error = network.ask_pds(dev, Transport::HttpsOnly).unwrap_err();
        assert_eq!(error, DiscoverError::NotHttps { url: dev.to_owned() });
        assert_eq!(network.asked.lock().unwrap().len(), asked);
        // Nor may an https PDS send its people to an http server.
        let network = Network::of(PDS, &resource(PDS, dev), dev, &server(dev));
        assert_eq!(network.ask_pds(PDS, Transport::HttpsOnly).unwrap_err().rule(), Some("R50"));
    }

    #[test]
    fn r48_to_r56_every_broken_rule_is_named() {
        let with = |document: Value, field: &str, value: Value| {
            let mut document = document;
            document[field] = value;
            document
        };
        let pds = || resource(PDS, ISSUER);
        let two = json!([ISSUER, "https://other.example.com"]);
        for (resource, server, rule) in [
            (json!([]), server(ISSUER), "R48"),
            (with(pds(), "resource", json!("https://other.example.com")), server(ISSUER), "R49"),
            (with(pds(), "authorization_servers", two), server(ISSUER), "R50"),
            (with(pds(), "authorization_servers", json!([])), server(ISSUER), "R50"),
            (pds(), json!("x"), "R52"),
            (pds(), with(server(ISSUER), "issuer", json!(format!("{ISSUER}/"))), "R53"),
            (pds(), with(server(ISSUER), "scopes_supported", json!(["openid"])), "R54"),
            (pds(), with(server(ISSUER), "require_pushed_authorization_requests", json!(false)), "R55"),
            (pds(), with(server(ISSUER), "protected_resources", json!(["https://other.example.com"])), "R56"),
            (pds(), with(server(ISSUER), "token_endpoint", json!("http://127.0.0.1/token")), "R58"),
        ] {
            let error =
                Network::of(PDS, &resource, ISSUER, &server).ask_pds(PDS, Transport::HttpsOnly).unwrap_err();
            assert_eq!(error.rule(), Some(rule), "{error}");
            assert!(!error.is_timeout());
        }
        let protected = with(server(ISSUER), "protected_resources", json!([PDS]));
        assert!(Network::of(PDS, &pds(), ISSUER, &protected).ask_pds(PDS, Transport::HttpsOnly).is_ok());
    }

    #[test]
    fn unreachable_refused_late_and_too_large_are_told_apart() {
        for at in [format!("{PDS}{RESOURCE}"), format!("{ISSUER}{SERVER}")] {
            let fail = |answer| good().with(&at, answer).ask_pds(PDS, Transport::HttpsOnly).unwrap_err();
            for kind in [HttpErrorKind::UnknownHost, HttpErrorKind::Blocked, HttpErrorKind::AnswerLost] {
                assert!(matches!(fail(Err(kind)), DiscoverError::Unreachable { .. }), "{at}");
            }
            for kind in [HttpErrorKind::ConnectTimeout, HttpErrorKind::AnswerTimeout] {
                assert!(fail(Err(kind)).is_timeout(), "{at}");
            }
            for status in [201, 301, 404, 500] {
                let error = fail(Ok((status, JSON, String::from("{}"))));
                assert!(
                    matches!(&error, DiscoverError::Refused { status: found, .. } if found.as_u16() == status)
                );
                assert!(matches!(error.rule(), Some("R48" | "R52")));
            }
            let error = fail(Err(HttpErrorKind::TooLarge));
            assert!(matches!(error.rule(), Some("R48" | "R52")), "{error}");
        }
    }

    #[test]
    fn r57_a_server_is_a_pds_first() {
        let network = good();
        let found = network.ask_server(PDS).unwrap();
        assert_eq!((found.issuer().as_str(), found.pds.as_ref().unwrap().as_str()), (ISSUER, PDS));
    }

    #[test]
    fn r51_r57_a_server_without_the_document_is_its_own_issuer() {
        let at = format!("{ISSUER}{RESOURCE}");
        for answer in [(404, JSON, "{}"), (301, JSON, ""), (200, "text/html", "<!doctype html>")] {
            let answer = (answer.0, answer.1, answer.2.to_owned());
            let network = good().with(&at, Ok(answer));
            let found = network.ask_server(ISSUER).unwrap();
            assert_eq!((found.issuer().as_str(), &found.pds), (ISSUER, &None));
            // What a person typed may be tried both ways; what a DID document says may not.
            assert!(network.ask_pds(ISSUER, Transport::HttpsOnly).is_err());
        }
        for answer in [Err(HttpErrorKind::Connect), Ok((200, JSON, String::from("[]")))] {
            let network = good().with(&at, answer);
            assert!(network.ask_server(ISSUER).is_err());
            assert_eq!(*network.asked.lock().unwrap(), std::slice::from_ref(&at));
        }
    }
}
