//! What the server publishes about itself ([RFC 8414]): written from the value that configures it, so that it cannot say what does
//! not run (T65).
//!
//! [RFC 8414]: https://www.rfc-editor.org/rfc/rfc8414

use vestibule_dpop::Algorithm;
use vestibule_oauth_core::{PkceChallenge, ServerMetadata};

use super::Endpoint;
use crate::client::{AuthMethod, Pushing};
use crate::grant_type::GrantType;

impl Endpoint {
    /// The metadata of this server.
    pub fn metadata(&self) -> ServerMetadata {
        let (setup, urls, profile) = (self.setup(), self.urls(), self.profile());
        let mut metadata = ServerMetadata::new(setup.issuer.clone());
        let codes =
            urls.authorization.is_some() && setup.grant_types.contains(&GrantType::AUTHORIZATION_CODE);
        metadata.token_endpoint = Some(urls.token.clone());
        metadata.authorization_endpoint = urls.authorization.clone().filter(|_| codes);
        metadata.pushed_authorization_request_endpoint = urls.pushed_authorization.clone();
        metadata.introspection_endpoint = urls.introspection.clone();
        metadata.revocation_endpoint = urls.revocation.clone();
        metadata.device_authorization_endpoint = urls.device_authorization.clone();
        metadata.jwks_uri = urls.jwks.clone();
        metadata.scopes_supported = setup.scope.iter().map(str::to_owned).collect();
        metadata.grant_types_supported = setup
            .grant_types
            .iter()
            .cloned()
            .chain(setup.extensions.iter().map(|extension| extension.grant_type()))
            .map(|grant_type| grant_type.as_str().to_owned())
            .collect();
        if codes {
            metadata.response_types_supported = vec!["code".to_owned()];
            metadata.response_modes_supported = vec!["query".to_owned()];
            metadata.code_challenge_methods_supported = vec![PkceChallenge::METHOD.to_owned()];
            metadata.authorization_response_iss_parameter_supported = true;
            metadata.prompt_values_supported =
                ["none", "login", "consent", "select_account"].map(str::to_owned).to_vec();
            metadata.require_pushed_authorization_requests = profile.pushing() == Pushing::Required;
        }
        let names = |algorithms: &[Algorithm]| -> Vec<String> {
            algorithms.iter().map(|one| one.as_str().to_owned()).collect()
        };
        let methods = profile.auth_methods().iter();
        let by_name = |method: &&AuthMethod| method.as_str().to_owned();
        metadata.token_endpoint_auth_methods_supported =
            methods.clone().map(|method| by_name(&method)).collect();
        let algorithms: Vec<String> = match profile.allows(AuthMethod::PrivateKeyJwt) {
            true => names(&self.algorithms()),
            false => Vec::new(),
        };
        if urls.revocation.is_some() {
            metadata
                .revocation_endpoint_auth_methods_supported
                .clone_from(&metadata.token_endpoint_auth_methods_supported);
            metadata.revocation_endpoint_auth_signing_alg_values_supported.clone_from(&algorithms);
        }
        if urls.introspection.is_some() {
            // Nobody looks tokens up without saying who asks.
            let methods = methods.filter(|method| **method != AuthMethod::None);
            metadata.introspection_endpoint_auth_methods_supported =
                methods.map(|method| by_name(&method)).collect();
            metadata.introspection_endpoint_auth_signing_alg_values_supported.clone_from(&algorithms);
        }
        metadata.token_endpoint_auth_signing_alg_values_supported = algorithms;
        metadata.dpop_signing_alg_values_supported = names(&self.algorithms());
        metadata
    }

    /// The algorithms of assertions and proofs that this build can verify.
    fn algorithms(&self) -> Vec<Algorithm> {
        use vestibule_dpop::{DefaultVerifier, Verifier};
        let all = self.profile().assertion_algorithms().iter().copied();
        all.filter(|algorithm| DefaultVerifier.supports(*algorithm)).collect()
    }
}
