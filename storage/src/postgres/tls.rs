//! The way to the database, if others might be on it.

use std::path::Path;
use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::{Error as PemError, PemObject};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::PostgresError;

/// Connects to who has a certificate from one of the anchors in this file, or else from a public authority.
pub(super) fn connector(anchors: Option<&Path>, place: &str) -> Result<MakeRustlsConnect, PostgresError> {
    let mut roots = RootCertStore::empty();
    match anchors {
        Some(path) => read_anchors(path, &mut roots)?,
        None => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| PostgresError::Tls { place: place.to_owned(), detail: error.to_string() })?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(MakeRustlsConnect::new(config))
}

fn read_anchors(path: &Path, roots: &mut RootCertStore) -> Result<(), PostgresError> {
    let none = || PostgresError::NoTrustAnchor { path: path.to_owned() };
    let failed = |error| match error {
        PemError::Io(source) => PostgresError::TrustAnchors { path: path.to_owned(), source },
        _ => none(),
    };
    for certificate in CertificateDer::pem_file_iter(path).map_err(failed)? {
        roots.add(certificate.map_err(failed)?).map_err(|_| none())?;
    }
    if roots.is_empty() { Err(none()) } else { Ok(()) }
}
