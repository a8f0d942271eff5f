//! What a login yields, in one shape for every provider.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use vestibule_oauth_core::{ScopeSet, Secret, UnixTime};

use crate::provider_id::ProviderId;

/// A person, as a provider vouches for them.
///
/// Whose account it is says [`Auth::account`]. Never an e-mail address and never a nickname: both change hands.
///
/// It is written by serde without what the provider issued as a secret, for a session or a log of who signed in. Tokens are kept where an
/// application keeps its secrets.
///
/// ```
/// use vestibule_oauth_core::Secret;
/// use vestibule_strategy::Auth;
///
/// let mut auth = Auth::new("42", "github".parse().unwrap(), "github");
/// auth.info.nickname = Some("ada".to_owned());
/// auth.credentials.token = Some(Secret::new("gho_s3cret".to_owned()));
/// let json = serde_json::to_string(&auth).unwrap();
/// assert!(json.contains(r#""nickname":"ada""#) && !json.contains("s3cret"));
/// ```
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Auth {
    /// The person's permanent name at the provider; a DID for the AT Protocol.
    pub uid: String,
    /// Which configured provider.
    pub provider: ProviderId,
    /// Which strategy: `atproto`, `oidc`.
    pub strategy: &'static str,
    /// The issuer within which the uid is this person's, where the protocol names one. A DID is one person's everywhere, whoever
    /// serves them, so an AT Protocol sign-in has none.
    pub issuer: Option<String>,
    /// What the provider tells about the person.
    pub info: Info,
    /// What the provider issued. Tokens that a strategy keeps in a session of its own are not repeated here.
    pub credentials: Credentials,
    /// Whatever else came.
    pub extra: Extra,
}

impl Auth {
    /// An account without any further information.
    pub fn new(uid: impl Into<String>, provider: ProviderId, strategy: &'static str) -> Self {
        Self {
            uid: uid.into(),
            provider,
            strategy,
            issuer: None,
            info: Info::default(),
            credentials: Credentials::default(),
            extra: Extra::default(),
        }
    }

    /// What an account is known by: where the uid means this person, and the uid. The first is the issuer, so that one provider is one
    /// place under whatever names it is configured; the configured name where there is no issuer.
    ///
    /// ```
    /// use vestibule_strategy::Auth;
    ///
    /// let mut auth = Auth::new("42", "company-sso".parse().unwrap(), "oidc");
    /// assert_eq!(auth.account(), ("company-sso", "42"));
    /// auth.issuer = Some("https://sso.example".to_owned());
    /// assert_eq!(auth.account(), ("https://sso.example", "42"));
    /// ```
    pub fn account(&self) -> (&str, &str) {
        (self.issuer.as_deref().unwrap_or_else(|| self.provider.as_str()), &self.uid)
    }

    /// Whether there is somebody: a uid and a name, as Ueberauth counts it.
    ///
    /// ```
    /// use vestibule_strategy::Auth;
    ///
    /// let mut auth = Auth::new("42", "github".parse().unwrap(), "github");
    /// assert!(!auth.is_valid());
    /// auth.info.name = Some("Ada".to_owned());
    /// assert!(auth.is_valid());
    /// ```
    pub fn is_valid(&self) -> bool {
        !self.uid.is_empty() && self.info.name.is_some()
    }
}

/// What a provider tells about a person. Everything is optional, and nothing is verified unless it says so.
#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Info {
    /// The whole name, as shown.
    pub name: Option<String>,
    /// The given name.
    pub first_name: Option<String>,
    /// The family name.
    pub last_name: Option<String>,
    /// What the account is called: a login, a verified AT Protocol handle.
    pub nickname: Option<String>,
    /// An e-mail address. See [`email_verified`](Self::email_verified).
    pub email: Option<String>,
    /// Whether the provider says that it checked the address; `None` when it does not say.
    pub email_verified: Option<bool>,
    /// A place, in the person's words.
    pub location: Option<String>,
    /// A few words about the person.
    pub description: Option<String>,
    /// The address of a picture.
    pub image: Option<String>,
    /// A telephone number.
    pub phone: Option<String>,
    /// A birthday, as the provider writes it.
    pub birthday: Option<String>,
    /// Addresses of pages about the person, by kind.
    pub urls: BTreeMap<String, String>,
}

/// What a provider issued. No secret of it is shown by `Debug` or written by serde.
#[derive(Clone, Default, Debug, Serialize)]
#[non_exhaustive]
pub struct Credentials {
    /// The access token.
    #[serde(skip)]
    pub token: Option<Secret>,
    /// The refresh token.
    #[serde(skip)]
    pub refresh_token: Option<Secret>,
    /// The kind of access token: `Bearer`, `DPoP`.
    pub token_type: Option<String>,
    /// A second secret beside the token, for protocols that have one.
    #[serde(skip)]
    pub secret: Option<Secret>,
    /// An ID token, as received and verified.
    #[serde(skip)]
    pub id_token: Option<Secret>,
    /// When the access token ends; `None` when it does not, or nobody said.
    pub expires_at: Option<UnixTime>,
    /// When the refresh token ends.
    pub refresh_expires_at: Option<UnixTime>,
    /// What was granted.
    pub scopes: ScopeSet,
    /// Whatever else was issued, by name: the password of the identity strategy, the session of the AT Protocol.
    #[serde(skip)]
    pub other: BTreeMap<String, Secret>,
}

impl Credentials {
    /// Whether the access token ends some time.
    pub const fn expires(&self) -> bool {
        self.expires_at.is_some()
    }
}

/// What does not fit anywhere else. Holds no token and no password.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Extra {
    /// The provider's own answer, by name.
    pub raw: BTreeMap<String, Value>,
}

impl fmt::Debug for Extra {
    /// Shows the names: what a provider tells of a person does not belong in a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.raw.keys()).finish()
    }
}
