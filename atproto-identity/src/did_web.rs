//! Documents of `did:web`, from the host they name ([did:web method]).
//!
//! [did:web method]: https://w3c-ccg.github.io/did-method-web/#read-resolve

use bytes::Bytes;
use vestibule_oauth_core::{HttpCall, Trust};

use crate::call;
use crate::did::{Did, DidWebHost};
use crate::document::{self, DidDocument, DidDocumentError, MEDIA, PURPOSE};

/// Asks `host`, which [`Did::method`] found, for its document: over https, or over http of `localhost`.
///
/// ```
/// use vestibule_atproto_identity::{DevelopmentNames, Did, DidMethod, did_web};
///
/// let did: Did = "did:web:example.com".parse().unwrap();
/// let Ok(DidMethod::Web(host)) = did.method(DevelopmentNames::Refused) else { panic!() };
/// assert_eq!(did_web::request(&host).request.uri(), "https://example.com/.well-known/did.json");
/// ```
pub fn request(host: &DidWebHost) -> HttpCall {
    let scheme = if host.is_localhost() { "http" } else { "https" };
    call::get(&format!("{scheme}://{host}{PATH}"), MEDIA, PURPOSE, Trust::UserSupplied)
}

/// Reads the host's answer. No redirect is followed.
///
/// # Errors
/// When the host has no document, or one about another DID, or answers something else.
pub fn read(did: &Did, response: &http::Response<Bytes>) -> Result<DidDocument, DidDocumentError> {
    document::read(did, response)
}

const PATH: &str = "/.well-known/did.json";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::did::DidMethod;
    use crate::handle::DevelopmentNames;

    #[test]
    fn r45_the_document_is_at_one_place_on_the_host() {
        for (did, uri) in [
            ("did:web:example.com", "https://example.com/.well-known/did.json"),
            ("did:web:localhost%3A2583", "http://localhost:2583/.well-known/did.json"),
        ] {
            let did: Did = did.parse().unwrap();
            let Ok(DidMethod::Web(host)) = did.method(DevelopmentNames::Allowed) else { panic!("{did}") };
            let call = request(&host);
            assert_eq!(call.request.uri(), uri);
            assert_eq!((call.trust, call.purpose), (Trust::UserSupplied, "DID document"));
        }
    }
}
