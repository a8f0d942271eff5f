//! One provider of an application: a strategy, the name it goes by, and how it is reached.

use std::sync::Arc;

use http::Method;
use url::Url;

use crate::provider_id::ProviderId;
use crate::strategy::Strategy;

/// A strategy under a name, and how it is reached.
///
/// Without more it has the addresses `{base}/{name}` and `{base}/{name}/callback`, each by GET and by POST. Paths are those below
/// the site's own: what a proxy or a framework in front takes away is not said again here.
///
/// ```
/// use std::sync::Arc;
/// use http::Method;
/// use vestibule_oauth_core::Secret;
/// use vestibule_strategy::{GitHub, Provider};
///
/// let github = GitHub::new("Iv1.0123456789abcdef", Secret::new("from a file".to_owned())).unwrap();
/// let provider = Provider::new("github".parse().unwrap(), Arc::new(github))
///     .with_request_path("/login/github")
///     .with_request_methods([Method::POST]); // only from a form of ours
/// assert_eq!(provider.id().as_str(), "github");
/// ```
#[derive(Clone)]
#[must_use]
pub struct Provider {
    pub(crate) id: ProviderId,
    pub(crate) strategy: Arc<dyn Strategy>,
    pub(crate) request_path: Option<String>,
    pub(crate) callback_path: Option<String>,
    pub(crate) request_methods: Vec<Method>,
    pub(crate) callback_methods: Vec<Method>,
    pub(crate) redirect_uri: Option<Url>,
    pub(crate) strict_cookie: bool,
}

impl Provider {
    /// A provider with the usual addresses. The same strategy may stand under several names.
    pub fn new(id: ProviderId, strategy: Arc<dyn Strategy>) -> Self {
        Self {
            id,
            strategy,
            request_path: None,
            callback_path: None,
            request_methods: vec![Method::GET, Method::POST],
            callback_methods: vec![Method::GET, Method::POST],
            redirect_uri: None,
            strict_cookie: false,
        }
    }

    /// The name.
    pub const fn id(&self) -> &ProviderId {
        &self.id
    }

    /// The same provider, its logins begun at this path: `/login`.
    pub fn with_request_path(mut self, path: impl Into<String>) -> Self {
        self.request_path = Some(path.into());
        self
    }

    /// The same provider, its logins coming back to this path. It may be the request path, if the methods differ.
    pub fn with_callback_path(mut self, path: impl Into<String>) -> Self {
        self.callback_path = Some(path.into());
        self
    }

    /// The same provider, its logins begun by these methods only. With POST alone no link begins one: what a page of this site
    /// posts does.
    pub fn with_request_methods(mut self, methods: impl IntoIterator<Item = Method>) -> Self {
        self.request_methods = methods.into_iter().collect();
        self
    }

    /// The same provider, its callbacks taken by these methods only.
    pub fn with_callback_methods(mut self, methods: impl IntoIterator<Item = Method>) -> Self {
        self.callback_methods = methods.into_iter().collect();
        self
    }

    /// The same provider, with this redirect URI, octet for octet. Otherwise it is the site with the callback path.
    pub fn with_redirect_uri(mut self, redirect_uri: Url) -> Self {
        self.redirect_uri = Some(redirect_uri);
        self
    }

    /// The same provider with flow cookies that are `SameSite=Strict`. Browsers send such a cookie with a callback only if the
    /// provider is of the same site: `sso.example.com` for `app.example.com`.
    pub const fn with_strict_cookie(mut self) -> Self {
        self.strict_cookie = true;
        self
    }
}

impl std::fmt::Debug for Provider {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = f.debug_struct("Provider");
        shown.field("id", &self.id).field("kind", &self.strategy.kind()).finish_non_exhaustive()
    }
}
