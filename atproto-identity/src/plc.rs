//! Documents of `did:plc`, from a directory ([did:plc method]).
//!
//! [did:plc method]: https://web.plc.directory/spec/v0.1/did-plc

use bytes::Bytes;
use url::Url;
use vestibule_oauth_core::{HttpCall, Trust};

use crate::call;
use crate::did::Did;
use crate::document::{self, DidDocument, DidDocumentError, MEDIA, PURPOSE};

/// The directory that everybody uses.
pub const DEFAULT_DIRECTORY: &str = "https://plc.directory";

/// Asks `directory` for the document of `did`, a `did:plc`. The directory was chosen by the operator.
///
/// ```
/// use vestibule_atproto_identity::plc;
///
/// let directory = plc::DEFAULT_DIRECTORY.parse().unwrap();
/// let call = plc::request(&directory, &"did:plc:ewvi7nxzyoun6zhxrhs64oiz".parse().unwrap());
/// assert_eq!(call.request.uri(), "https://plc.directory/did:plc:ewvi7nxzyoun6zhxrhs64oiz");
/// ```
pub fn request(directory: &Url, did: &Did) -> HttpCall {
    let url = format!("{}/{did}", directory.as_str().trim_end_matches('/'));
    call::get(&url, MEDIA, PURPOSE, Trust::Configured)
}

/// Reads the directory's answer about `did`.
///
/// # Errors
/// When the directory does not know the DID, or knows it to be given up, or answers something else.
pub fn read(did: &Did, response: &http::Response<Bytes>) -> Result<DidDocument, DidDocumentError> {
    document::read(did, response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r44_the_directory_is_asked_by_did() {
        let did: Did = "did:plc:ewvi7nxzyoun6zhxrhs64oiz".parse().unwrap();
        for (directory, uri) in [
            ("https://plc.directory", "https://plc.directory/did:plc:ewvi7nxzyoun6zhxrhs64oiz"),
            ("http://127.0.0.1:2582/", "http://127.0.0.1:2582/did:plc:ewvi7nxzyoun6zhxrhs64oiz"),
            ("https://a.com/plc/", "https://a.com/plc/did:plc:ewvi7nxzyoun6zhxrhs64oiz"),
        ] {
            let call = request(&directory.parse().unwrap(), &did);
            assert_eq!(call.request.uri(), uri);
            assert_eq!((call.trust, call.purpose), (Trust::Configured, "DID document"));
        }
    }

    #[test]
    fn r44_unknown_and_tombstoned_are_told_apart() {
        let did: Did = "did:plc:ewvi7nxzyoun6zhxrhs64oiz".parse().unwrap();
        for (status, why) in [(404, DidDocumentError::NotFound), (410, DidDocumentError::Tombstoned)] {
            let response = http::Response::builder().status(status).body(Bytes::new()).unwrap();
            assert_eq!(read(&did, &response), Err(why));
        }
    }
}
