//! What the AT Protocol wants of an authorization server.

use std::fmt;

use url::Url;

use crate::finding::{Finding, Findings};
use crate::issuer::Issuer;
use crate::server_metadata::ServerMetadata;

/// An authorization server that keeps the rules of the AT Protocol. Made by [`ServerMetadata::into_atproto`] only.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct AtprotoServer {
    /// Who it is; an origin.
    pub issuer: Issuer,
    /// Where a browser is sent to sign in.
    pub authorization_endpoint: Url,
    /// Where codes and refresh tokens are redeemed.
    pub token_endpoint: Url,
    /// Where authorization requests are pushed.
    pub pushed_authorization_request_endpoint: Url,
    /// Where tokens are revoked; the AT Protocol does not ask for it (requirement R107).
    pub revocation_endpoint: Option<Url>,
    /// The rest of what it says.
    pub metadata: ServerMetadata,
}

impl ServerMetadata {
    /// Everything in which this is not an AT Protocol authorization server (requirements R50, R54 and R55), all at
    /// once. Scopes beyond `atproto` are no sign of anything: granular ones are never listed (R122).
    pub fn atproto_findings(&self) -> Vec<Finding> {
        let mut findings = Findings::default();
        if !self.issuer.is_origin() {
            findings.error(
                "R50",
                "issuer",
                "is not an origin",
                "write scheme and host, and a port unless it is 443",
            );
        }
        for (field, url) in [
            ("authorization_endpoint", &self.authorization_endpoint),
            ("token_endpoint", &self.token_endpoint),
            ("pushed_authorization_request_endpoint", &self.pushed_authorization_request_endpoint),
        ] {
            if url.is_none() {
                findings.error("R54", field, "is missing", "write its https URL");
            }
        }
        for (field, list, wanted) in [
            ("response_types_supported", &self.response_types_supported, "code"),
            ("grant_types_supported", &self.grant_types_supported, "authorization_code"),
            ("grant_types_supported", &self.grant_types_supported, "refresh_token"),
            ("code_challenge_methods_supported", &self.code_challenge_methods_supported, "S256"),
            ("token_endpoint_auth_methods_supported", &self.token_endpoint_auth_methods_supported, "none"),
            (
                "token_endpoint_auth_methods_supported",
                &self.token_endpoint_auth_methods_supported,
                "private_key_jwt",
            ),
            (
                "token_endpoint_auth_signing_alg_values_supported",
                &self.token_endpoint_auth_signing_alg_values_supported,
                "ES256",
            ),
            ("dpop_signing_alg_values_supported", &self.dpop_signing_alg_values_supported, "ES256"),
            ("scopes_supported", &self.scopes_supported, "atproto"),
        ] {
            if !list.iter().any(|value| value == wanted) {
                findings.error("R54", field, format!("does not hold {wanted}"), format!("add {wanted}"));
            }
        }
        if self.token_endpoint_auth_signing_alg_values_supported.iter().any(|alg| alg == "none") {
            let field = "token_endpoint_auth_signing_alg_values_supported";
            findings.error(
                "R54",
                field,
                "holds none",
                "leave none out: an assertion without signature proves nothing",
            );
        }
        for (field, flag) in [
            (
                "authorization_response_iss_parameter_supported",
                self.authorization_response_iss_parameter_supported,
            ),
            ("require_pushed_authorization_requests", self.require_pushed_authorization_requests),
            ("client_id_metadata_document_supported", self.client_id_metadata_document_supported),
        ] {
            if !flag {
                findings.error("R55", field, "is not true", "write true");
            }
        }
        if self.require_request_uri_registration == Some(false) {
            findings.error(
                "R55",
                "require_request_uri_registration",
                "is false",
                "write true, or leave it out",
            );
        }
        findings.into_vec()
    }

    /// This, as an AT Protocol authorization server (requirements R50, R54 and R55).
    ///
    /// # Errors
    ///
    /// Everything that is missing for it, all at once.
    pub fn into_atproto(self) -> Result<AtprotoServer, NotAtprotoServer> {
        let findings = self.atproto_findings();
        match (
            &self.authorization_endpoint,
            &self.token_endpoint,
            &self.pushed_authorization_request_endpoint,
        ) {
            (Some(authorization), Some(token), Some(par)) if findings.is_empty() => Ok(AtprotoServer {
                issuer: self.issuer.clone(),
                authorization_endpoint: authorization.clone(),
                token_endpoint: token.clone(),
                pushed_authorization_request_endpoint: par.clone(),
                revocation_endpoint: self.revocation_endpoint.clone(),
                metadata: self,
            }),
            _ => Err(NotAtprotoServer { issuer: self.issuer.to_string(), findings }),
        }
    }
}

/// The server does not do what the AT Protocol asks of an authorization server.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct NotAtprotoServer {
    /// Who.
    pub issuer: String,
    /// Everything that is missing.
    pub findings: Vec<Finding>,
}

impl fmt::Display for NotAtprotoServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is not an AT Protocol authorization server", self.issuer)?;
        for (at, finding) in self.findings.iter().enumerate() {
            let before = if at == 0 { ":" } else { "," };
            write!(f, "{before} {} {} ({})", finding.field, finding.problem, finding.rule)?;
        }
        Ok(())
    }
}

impl std::error::Error for NotAtprotoServer {}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::server_metadata::tests::{read, reference};

    #[test]
    fn the_reference_server_keeps_every_rule() {
        let server = read(&reference(), "http://localhost:2583").unwrap().into_atproto().unwrap();
        assert_eq!(server.issuer.as_str(), "http://localhost:2583");
        assert_eq!(server.pushed_authorization_request_endpoint.path(), "/oauth/par");
        assert!(server.revocation_endpoint.is_some());
        assert!(server.metadata.admits_resource("http://localhost:2583"));
        assert!(!server.metadata.admits_resource("http://localhost:2584"));
    }

    #[test]
    fn r50_r54_r55_every_broken_rule_is_named() {
        for (field, value, rule) in [
            ("authorization_endpoint", json!(null), "R54"),
            ("token_endpoint", json!(null), "R54"),
            ("pushed_authorization_request_endpoint", json!(null), "R54"),
            ("response_types_supported", json!(["token"]), "R54"),
            ("grant_types_supported", json!(["authorization_code"]), "R54"),
            ("grant_types_supported", json!(["refresh_token"]), "R54"),
            ("code_challenge_methods_supported", json!(["plain"]), "R54"),
            ("token_endpoint_auth_methods_supported", json!(["none"]), "R54"),
            ("token_endpoint_auth_methods_supported", json!(["private_key_jwt"]), "R54"),
            ("token_endpoint_auth_signing_alg_values_supported", json!(["RS256"]), "R54"),
            ("token_endpoint_auth_signing_alg_values_supported", json!(["ES256", "none"]), "R54"),
            ("dpop_signing_alg_values_supported", json!(["RS256"]), "R54"),
            ("scopes_supported", json!(["openid"]), "R54"),
            ("authorization_response_iss_parameter_supported", json!(false), "R55"),
            ("require_pushed_authorization_requests", json!(null), "R55"),
            ("client_id_metadata_document_supported", json!(null), "R55"),
            ("require_request_uri_registration", json!(false), "R55"),
        ] {
            let mut document = reference();
            document[field] = value;
            let error = read(&document, "http://localhost:2583").unwrap().into_atproto().unwrap_err();
            assert_eq!(error.findings.len(), 1, "{field} {error}");
            assert_eq!((error.findings[0].rule, error.findings[0].field.as_str()), (rule, field));
            assert!(error.to_string().contains(field), "{error}");
        }
        let mut document = reference();
        document["issuer"] = json!("http://localhost:2583/as");
        let error = read(&document, "http://localhost:2583/as").unwrap().into_atproto().unwrap_err();
        assert_eq!(error.findings[0].rule, "R50");
        let bare = read(&json!({"issuer": "https://a.example"}), "https://a.example").unwrap();
        assert_eq!(bare.atproto_findings().len(), 15);
    }

    #[test]
    fn r122_granular_scopes_are_not_asked_for() {
        let mut document = reference();
        document["scopes_supported"] = json!(["atproto"]);
        assert!(read(&document, "http://localhost:2583").unwrap().into_atproto().is_ok());
    }
}
