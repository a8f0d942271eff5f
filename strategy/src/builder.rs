//! An engine, put together.

use std::collections::BTreeMap;
use std::sync::{Arc, RwLock};

use http::Method;
use thiserror::Error;
use url::Url;
use vestibule_oauth_core::seal::SealKeys;

use crate::cookie::{CookiePolicy, InsecureSite};
use crate::engine::{Engine, FlowKeeping, Mounted};
use crate::provider::Provider;
use crate::provider_id::ProviderId;
use crate::routes::{Paths, Routes};

/// Puts an [`Engine`] together, at run time and from data. It is cheap, and asks nobody: an application with other providers for
/// every tenant makes an engine for each of them, and one whose providers change makes a new one and swaps it for the old.
///
/// ```
/// use std::sync::Arc;
/// use url::Url;
/// use vestibule_oauth_core::{Secret, seal::SealKeys};
/// use vestibule_strategy::{Engine, FlowKeeping, GitHub, Provider};
///
/// let github = GitHub::new("Iv1.0123456789abcdef", Secret::new("from a file".to_owned())).unwrap();
/// let engine = Engine::builder(Url::parse("https://app.example").unwrap(), &SealKeys::new([7; 32], []), FlowKeeping::Cookie)
///     .base_path("/sign-in")
///     .provider(Provider::new("github".parse().unwrap(), Arc::new(github)))
///     .build()
///     .unwrap();
///
/// let github = "github".parse().unwrap();
/// assert_eq!(engine.request_path(&github).unwrap(), "/sign-in/github");
/// assert_eq!(engine.redirect_uri(&github).unwrap().as_str(), "https://app.example/sign-in/github/callback");
/// ```
#[derive(Debug)]
#[must_use]
pub struct EngineBuilder {
    site: Url,
    keys: SealKeys,
    keeping: FlowKeeping,
    base_path: String,
    providers: Vec<Provider>,
}

impl EngineBuilder {
    pub(crate) fn new(site: Url, keys: SealKeys, keeping: FlowKeeping) -> Self {
        Self { site, keys, keeping, base_path: "/auth".to_owned(), providers: Vec::new() }
    }

    /// What the usual addresses of providers begin with, below the site's own path; `/auth` if nothing is said.
    pub fn base_path(mut self, path: impl Into<String>) -> Self {
        self.base_path = path.into();
        self
    }

    /// One provider more.
    pub fn provider(mut self, provider: Provider) -> Self {
        self.providers.push(provider);
        self
    }

    /// The engine.
    ///
    /// # Errors
    /// [`BuildError`].
    pub fn build(self) -> Result<Engine, BuildError> {
        let cookies = CookiePolicy::for_site(&self.site).map_err(BuildError::Insecure)?;
        let mut routes = Routes::below(&self.site);
        let mut providers = BTreeMap::new();
        for provider in self.providers {
            let paths = Paths::of(&provider, &self.base_path);
            if providers.contains_key(&provider.id) {
                return Err(BuildError::DuplicateProvider(provider.id));
            }
            routes.add(&provider, &paths)?;
            let redirect_uri = match provider.redirect_uri {
                Some(redirect_uri) => redirect_uri,
                None => {
                    let path = format!("{}{}", routes.prefix(), paths.callback);
                    self.site.join(&path).map_err(|_| BuildError::InvalidPath(path))?
                }
            };
            let mounted = Mounted {
                strategy: provider.strategy,
                redirect_uri,
                request_path: format!("{}{}", routes.prefix(), paths.request),
                strict_cookie: provider.strict_cookie,
            };
            providers.insert(provider.id, mounted);
        }
        Ok(Engine {
            site: self.site,
            cookies,
            keys: RwLock::new(Arc::new(self.keys)),
            keeping: self.keeping,
            providers,
            routes,
        })
    }
}

/// Why an engine cannot be built.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The site is on plain http, and not on loopback.
    #[error(transparent)]
    Insecure(InsecureSite),
    /// Two providers have one name.
    #[error("two providers are called {0}")]
    DuplicateProvider(ProviderId),
    /// Two phases have one address.
    #[error("two phases are to answer {0} {1}")]
    DuplicateRoute(Method, String),
    /// A path is none.
    #[error("{0:?} is no path like /auth/github")]
    InvalidPath(String),
}
