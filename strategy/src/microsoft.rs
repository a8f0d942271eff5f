//! Microsoft: one tenant, or many.

use std::str::FromStr;
use std::sync::Arc;

use thiserror::Error;
use vestibule_dpop::Verifier;
use vestibule_oauth_core::{InvalidIssuer, Secret};

use crate::client_auth::ClientAuth;
use crate::openid::OpenIdSetup;
use crate::tenants::{Tenants, is_guid};
use crate::user_fields::{UserField, UserFields};

/// Whose people may sign in with Microsoft.
///
/// ```
/// use vestibule_strategy::MicrosoftTenant;
///
/// let one: MicrosoftTenant = "72f988bf-86f1-41af-91ab-2d7cd011db47".parse().unwrap();
/// assert!(matches!(one, MicrosoftTenant::One(_)));
/// assert_eq!("organizations".parse(), Ok(MicrosoftTenant::Organizations));
/// assert!("contoso.onmicrosoft.com".parse::<MicrosoftTenant>().is_err(), "a name may change hands");
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum MicrosoftTenant {
    /// Those of one organization, by the GUID of its tenant.
    One(String),
    /// Those of any organization, and everybody else.
    Common,
    /// Those of any organization.
    Organizations,
    /// Everybody with an account of their own.
    Consumers,
}

/// The tenant of everybody who has an account of their own.
const CONSUMERS: &str = "9188040d-6c67-4c5b-b112-36a304b66dad";

impl FromStr for MicrosoftTenant {
    type Err = InvalidMicrosoftTenant;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "common" => Ok(Self::Common),
            "organizations" => Ok(Self::Organizations),
            "consumers" => Ok(Self::Consumers),
            guid if is_guid(guid) => Ok(Self::One(guid.to_ascii_lowercase())),
            _ => Err(InvalidMicrosoftTenant),
        }
    }
}

/// The text names no tenant.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
#[error("a tenant must be a GUID, or common, organizations or consumers")]
pub struct InvalidMicrosoftTenant;

impl OpenIdSetup {
    /// Microsoft, with the rules that it has of its own: each tenant is an issuer, and the document of many of them names none. The tenant
    /// that a token names has to be the one of its issuer.
    ///
    /// The account is the person's `sub` at the tenant's issuer. No e-mail address counts as verified: whoever runs a tenant may write there
    /// what they like. To let in some tenants of many, say which with [`Tenants::only`].
    ///
    /// ```
    /// use std::sync::Arc;
    /// use vestibule_dpop::DefaultVerifier;
    /// use vestibule_oauth_core::Secret;
    /// use vestibule_strategy::{MicrosoftTenant, OpenIdSetup};
    ///
    /// let secret = Secret::new("from a file".to_owned());
    /// let setup = OpenIdSetup::microsoft(&MicrosoftTenant::Common, "our-app", secret, Arc::new(DefaultVerifier)).unwrap();
    /// assert_eq!(setup.issuer.as_str(), "https://login.microsoftonline.com/common/v2.0");
    /// assert!(setup.tenants.is_some());
    /// ```
    ///
    /// # Errors
    /// Never in fact: the issuer is Microsoft's.
    pub fn microsoft(
        tenant: &MicrosoftTenant,
        client_id: impl Into<String>,
        secret: Secret,
        verifier: Arc<dyn Verifier>,
    ) -> Result<Self, InvalidIssuer> {
        let id = match tenant {
            MicrosoftTenant::One(id) => id.as_str(),
            MicrosoftTenant::Common => "common",
            MicrosoftTenant::Organizations => "organizations",
            // Under their own word the document names this tenant, as it does under its id.
            MicrosoftTenant::Consumers => CONSUMERS,
        };
        let issuer = format!("https://login.microsoftonline.com/{id}/v2.0").parse()?;
        let mut setup = Self::new(issuer, client_id, secret.clone(), verifier);
        setup.kind = "microsoft";
        setup.client_auth = ClientAuth::SecretPost(secret);
        setup.allowed_params = &["login_hint", "prompt", "domain_hint"];
        // Its ID tokens say all of it, and for accounts of people's own it may name them otherwise.
        setup.userinfo = false;
        let tenants = || Tenants::new("https://login.microsoftonline.com/{tenantid}/v2.0");
        setup.tenants = match tenant {
            MicrosoftTenant::Common => Some(tenants()),
            MicrosoftTenant::Organizations => Some(tenants().but_not(CONSUMERS)),
            MicrosoftTenant::One(_) | MicrosoftTenant::Consumers => None,
        };
        setup.fields = UserFields::new("/sub")
            .with(UserField::Name, "/name")
            .with(UserField::FirstName, "/given_name")
            .with(UserField::LastName, "/family_name")
            .with(UserField::Nickname, "/preferred_username")
            .with(UserField::Email, "/email")
            .with(UserField::Image, "/picture");
        Ok(setup)
    }
}
