//! Token requests ([RFC 6749, section 3.2]): which grant a form asks for, and what it brings.
//!
//! [RFC 6749, section 3.2]: https://www.rfc-editor.org/rfc/rfc6749#section-3.2

use crate::client_credentials::ClientCredentialsRequest;
use crate::client_request::ClientRequest;
use crate::code_grant::CodeRequest;
use crate::denial::Denial;
use crate::device_grant::DeviceRequest;
use crate::endpoint::Endpoint;
use crate::grant_type::GrantType;
use crate::refresh_grant::RefreshRequest;

/// A token request, by its grant. Each has a `decide` of its own, which takes what the store has of what it presents.
#[derive(Debug)]
#[allow(clippy::exhaustive_enums, reason = "whoever drives the steps has to serve each of these")]
pub enum TokenRequest {
    /// `authorization_code`.
    Code(CodeRequest),
    /// `refresh_token`.
    Refresh(RefreshRequest),
    /// `client_credentials`.
    ClientCredentials(ClientCredentialsRequest),
    /// `urn:ietf:params:oauth:grant-type:device_code`.
    Device(DeviceRequest),
    /// A grant that was added to the endpoint.
    Extension(GrantType),
}

impl TokenRequest {
    /// Reads which grant the form asks for.
    ///
    /// # Errors
    /// [`Denial::Missing`] and [`Denial::UnsupportedGrantType`].
    pub fn read(form: &ClientRequest<'_>, endpoint: &Endpoint) -> Result<Self, Denial> {
        let grant_type: GrantType =
            form.required("grant_type")?.parse().map_err(|_| Denial::UnsupportedGrantType)?;
        if endpoint.extension(&grant_type).is_some() {
            return Ok(Self::Extension(grant_type));
        }
        if !endpoint.setup().grant_types.contains(&grant_type) {
            return Err(Denial::UnsupportedGrantType);
        }
        if grant_type == GrantType::AUTHORIZATION_CODE {
            CodeRequest::read(form).map(Self::Code)
        } else if grant_type == GrantType::REFRESH_TOKEN {
            RefreshRequest::read(form).map(Self::Refresh)
        } else if grant_type == GrantType::CLIENT_CREDENTIALS {
            Ok(Self::ClientCredentials(ClientCredentialsRequest))
        } else if grant_type == GrantType::DEVICE_CODE {
            DeviceRequest::read(form).map(Self::Device)
        } else {
            Err(Denial::UnsupportedGrantType)
        }
    }
}
