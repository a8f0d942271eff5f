//! Apple.

use std::sync::Arc;

use serde_json::Value;
use vestibule_dpop::{Signer, Verifier};
use vestibule_oauth_core::{BoxFuture, HttpClient, InvalidIssuer, Secret};

use crate::auth::{Auth, Info};
use crate::client_auth::{ClientAuth, SignedSecret};
use crate::failure::Fault;
use crate::openid::{OpenId, OpenIdSetup};
use crate::strategy::{Begin, CallbackCx, IssuerPolicy, RequestCx, ResponseMode, Stash, Strategy};
use crate::user_fields::{UserField, put};

/// The key that Apple gave to a team, whose secrets it signs.
#[derive(Clone, Debug)]
#[allow(clippy::exhaustive_structs, reason = "meant to be written out by whoever has the key")]
pub struct AppleKey {
    /// The team's id, ten characters.
    pub team_id: String,
    /// The key's id, ten characters.
    pub key_id: String,
    /// The key itself, of P-256: what the `.p8` file holds.
    pub signer: Arc<dyn Signer>,
}

/// Sign-in with Apple.
///
/// Apple answers by a form (so the site has to be on https), and the client's secret is signed afresh for every request. The person's name
/// comes in that form beside the code, with the first sign-in only and signed by nobody: it is taken as a name, and nothing else is taken
/// from there. The e-mail address is that of the ID token, perhaps one that Apple passes on to the person.
///
/// ```
/// use std::sync::Arc;
/// use vestibule_dpop::{DefaultVerifier, Es256Secret, default_signer};
/// use vestibule_strategy::{Apple, AppleKey, Strategy};
///
/// let key = AppleKey {
///     team_id: "TEAM123456".to_owned(),
///     key_id: "KEY1234567".to_owned(),
///     signer: default_signer(&Es256Secret::from_entropy([7; 32])), // the .p8 file, in earnest
/// };
/// assert_eq!(Apple::new("com.example.app", key, Arc::new(DefaultVerifier)).unwrap().kind(), "apple");
/// ```
#[derive(Debug)]
pub struct Apple {
    openid: OpenId,
}

const ISSUER: &str = "https://appleid.apple.com";

impl Apple {
    /// Apple, for the services id `client_id`.
    ///
    /// # Errors
    /// Never in fact: the issuer is Apple's.
    pub fn new(
        client_id: impl Into<String>,
        key: AppleKey,
        verifier: Arc<dyn Verifier>,
    ) -> Result<Self, InvalidIssuer> {
        let secret = SignedSecret::new(key.team_id, ISSUER, &key.key_id, key.signer);
        let mut setup = OpenIdSetup::new(ISSUER.parse()?, client_id, Secret::new(String::new()), verifier);
        setup.kind = "apple";
        setup.client_auth = ClientAuth::SignedSecret(secret);
        setup.scope = "openid name email".parse().unwrap_or_default();
        // With a scope beyond `openid` nothing else is taken.
        setup.mode = ResponseMode::FormPost;
        setup.allowed_params = &["login_hint"];
        Ok(Self { openid: OpenId::new(setup) })
    }

    async fn sign_in(&self, cx: &CallbackCx<'_>, http: &dyn HttpClient) -> Result<Auth, Fault> {
        let mut auth = self.openid.sign_in(cx, http).await?;
        // What is no JSON, or no name, is no name.
        let user = cx.params.value("user").and_then(|text| serde_json::from_str(text).ok());
        if let Some(user) = user {
            put_name(&mut auth.info, &user);
        }
        Ok(auth)
    }
}

/// Takes the name, and nothing else, of what came beside the code.
fn put_name(info: &mut Info, user: &Value) {
    for (field, pointer) in
        [(UserField::FirstName, "/name/firstName"), (UserField::LastName, "/name/lastName")]
    {
        let one_line =
            |value: &&Value| value.as_str().is_some_and(|name| !name.chars().any(char::is_control));
        if let Some(value) = user.pointer(pointer).filter(one_line) {
            put(info, field, value);
        }
    }
    let whole = [&info.first_name, &info.last_name].map(Option::as_deref).into_iter().flatten();
    let whole = whole.collect::<Vec<_>>().join(" ");
    put(info, UserField::Name, &whole.into());
}

impl Strategy for Apple {
    fn kind(&self) -> &'static str {
        self.openid.kind()
    }

    fn issuer(&self, stash: &Stash) -> IssuerPolicy {
        self.openid.issuer(stash)
    }

    fn allowed_params(&self) -> &'static [&'static str] {
        self.openid.allowed_params()
    }

    fn request<'a>(
        &'a self,
        cx: RequestCx<'a>,
        http: &'a dyn HttpClient,
    ) -> BoxFuture<'a, Result<Begin, Fault>> {
        self.openid.request(cx, http)
    }

    fn callback<'a>(
        &'a self,
        cx: CallbackCx<'a>,
        http: &'a dyn HttpClient,
    ) -> BoxFuture<'a, Result<Auth, Fault>> {
        Box::pin(async move { self.sign_in(&cx, http).await })
    }
}
