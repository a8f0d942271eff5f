//! The other side of a strategy: its provider, and the person there.

use url::Url;
use vestibule_oauth_core::{HttpClient, UnixTime};

use super::broken::Broken;
use super::call::Call;
use super::callback_query::CallbackQuery;

/// What [`conformance`](super::conformance()) needs of the provider that a strategy signs in with: its endpoints, as an
/// [`HttpClient`], and a person who is sent there.
///
/// [`FakeProvider`](super::FakeProvider) is one for OAuth 2.0 and OpenID Connect, [`FakeForm`](super::FakeForm) for a form of the
/// application's own. Whoever writes a strategy of another protocol writes one for it. It is asked for one login after another, each
/// at a later time.
///
/// ```
/// use bytes::Bytes;
/// use http::{Response, StatusCode};
/// use url::Url;
/// use vestibule_oauth_core::{BoxFuture, HttpCall, HttpClient, HttpError};
/// use vestibule_strategy::testing::{Broken, CallbackQuery, Counterpart, text_answer};
///
/// /// A provider whose codes are people's names, and whose only endpoint is its page.
/// struct Toy;
///
/// impl HttpClient for Toy {
///     fn send<'a>(&'a self, _: HttpCall) -> BoxFuture<'a, Result<Response<Bytes>, HttpError>> {
///         Box::pin(async { Ok(text_answer(StatusCode::NOT_FOUND, "there is nothing else here")) })
///     }
/// }
///
/// impl Counterpart for Toy {
///     fn authorize(&self, to: &Url) -> Result<CallbackQuery, Broken> {
///         let (_, state) = to.query_pairs().find(|(name, _)| name == "state").ok_or_else(|| Broken::new("there is a state", to))?;
///         Ok(CallbackQuery::new().with("state", state).with("code", "ada"))
///     }
///
///     fn cancel(&self, to: &Url) -> Result<CallbackQuery, Broken> {
///         Ok(self.authorize(to)?.without("code").with("error", "access_denied"))
///     }
/// }
///
/// let to = Url::parse("https://toy.example/?state=s-1").unwrap();
/// assert_eq!(Toy.authorize(&to).unwrap().encoded(), "state=s-1&code=ada");
/// assert_eq!(Toy.cancel(&to).unwrap().encoded(), "state=s-1&error=access_denied");
/// ```
pub trait Counterpart: HttpClient {
    /// The person opens the address that the strategy sent them to, signs in and allows. Gives the callback.
    ///
    /// # Errors
    /// [`Broken`] for a request that such a provider would refuse.
    fn authorize(&self, to: &Url) -> Result<CallbackQuery, Broken>;

    /// The same, and the person says no: a callback with `error=access_denied`.
    ///
    /// # Errors
    /// [`Broken`] for a request that such a provider would refuse.
    fn cancel(&self, to: &Url) -> Result<CallbackQuery, Broken>;

    /// From here on it is this time.
    fn at(&self, now: UnixTime) {
        let _a_provider_that_signs_nothing_needs_no_time = now;
    }

    /// What the person asks to begin with, encoded: `handle=alice.example`.
    fn asked_with(&self) -> String {
        String::new()
    }

    /// A form that signs somebody in, encoded, for a strategy that is guarded by
    /// [`SameOriginPost`](crate::CsrfGuard::SameOriginPost).
    fn form(&self) -> Option<String> {
        None
    }

    /// Whether the sign-in may do without an answer to this call: who the person is does not hang on it.
    fn is_optional(&self, call: &Call) -> bool {
        let _every_answer_counts = call;
        false
    }

    /// Every text so far that no failure and no `Debug` may show: the client's secret, codes, tokens, passwords. One of less
    /// than six characters stands in any text by chance, and is not looked for.
    fn secrets(&self) -> Vec<String> {
        Vec::new()
    }
}
