//! What every strategy owes its application, as a function that holds one to it.

mod callbacks;
mod flows;
mod forms;
mod network;
mod person;
mod redirect;
mod stand;
mod watched;
mod wire;

use std::sync::Arc;

use super::broken::Broken;
use super::counterpart::Counterpart;
use crate::strategy::{CsrfGuard, Strategy};

use self::stand::{Keeping, Stand};

/// Where the application of [`conformance()`] is.
pub const SITE: &str = "https://app.example";

/// Where [`conformance()`] has people sent back to: what has to be registered with a provider that looks at it.
pub const REDIRECT_URI: &str = "https://app.example/auth/under-test/callback";

/// Plays a strategy through an [`Engine`](crate::Engine), against its provider: whole logins, with flows in the cookie and in a
/// store, and then everything that people, other sites and broken servers do to one.
///
/// For a strategy that sends people to a provider:
///
/// - the redirect has the engine's `state`, S256 challenge and redirect URI, each once, and no secret of the application;
/// - the same seed gives the same redirect, so there is no randomness but the engine's;
/// - what a stranger adds to the request (`state`, `nonce`, `redirect_uri`, `client_id`, `scope` and the like) reaches nobody;
/// - a callback without the cookie, with another's, with a changed one, too late, of another provider, a second time, with a parameter
///   twice, with both code and error, with neither, or with a wrong `iss`, is refused by the engine, and asks nobody;
/// - every call that fails, answers with an error or answers with something else ends the login with a failure that says whose fault
///   it is, unless the [`Counterpart`] says that the sign-in may do without;
/// - every call has limits, of time and of octets;
/// - no failure and no [`Auth`](crate::Auth) shows a secret;
/// - the person has one name, which is bounded, of the provider that is configured.
///
/// For one that takes a form of the application's own ([`CsrfGuard::SameOriginPost`]): a form of another site, of nobody, by GET,
/// or an empty one, is refused; the good one signs in; and the last four of the above.
///
/// A strategy may keep what it has fetched: each login is seven days after the one before. A request phase is once repeated with the
/// seed that it had, so a [`Counterpart`] that remembers proofs has to forgive that.
///
/// ```
/// use std::sync::Arc;
/// use vestibule_dpop::DefaultVerifier;
/// use vestibule_oauth_core::Secret;
/// use vestibule_strategy::testing::{FakeProvider, REDIRECT_URI, conformance};
/// use vestibule_strategy::{ClientAuth, OpenId, OpenIdSetup};
///
/// let issuer = "https://sso.example".parse().unwrap();
/// let secret = Secret::new("the-secret-of-the-app".to_owned());
/// let provider = FakeProvider::openid(&issuer, "our-app", ClientAuth::SecretBasic(secret.clone()))
///     .with_redirect_uri(REDIRECT_URI);
/// let strategy = OpenId::new(OpenIdSetup::new(issuer, "our-app", secret, Arc::new(DefaultVerifier)));
/// conformance(Arc::new(strategy), &provider).unwrap();
/// ```
///
/// # Errors
/// [`Broken`], the first rule that is not kept.
pub fn conformance(strategy: Arc<dyn Strategy>, provider: &dyn Counterpart) -> Result<(), Broken> {
    let mut stand = Stand::new(Arc::clone(&strategy), provider)?;
    let by_form = strategy.csrf() == CsrfGuard::SameOriginPost;
    let mut uid = String::new();
    for keeping in [Keeping::Store, Keeping::Cookie] {
        stand.keeping = keeping;
        if by_form {
            uid = forms::forms(&mut stand)?;
        } else {
            redirect::redirects(&mut stand)?;
            uid = person::signs_in(&mut stand)?;
            callbacks::callbacks(&mut stand)?;
        }
    }
    network::failures(&mut stand, &uid)
}
