//! Which address begins or ends a login with whom: a table, and a pure look-up in it.

use std::collections::BTreeMap;

use http::Method;
use url::Url;

use crate::builder::BuildError;
use crate::failure::Phase;
use crate::provider::Provider;
use crate::provider_id::ProviderId;

/// Where a request leads.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(clippy::exhaustive_enums, reason = "whoever answers requests must answer each of these")]
pub enum Routed<'a> {
    /// To this phase of a login with this provider.
    Phase(Phase, &'a ProviderId),
    /// To an address of ours that does not take this method; these it takes, as the header field `Allow` has them.
    WrongMethod(String),
    /// To somebody else.
    Elsewhere,
}

/// The addresses of all providers.
#[derive(Default, Debug)]
pub(crate) struct Routes {
    /// What stands before every path of ours, from the site's own address: nothing, or `/prefix`.
    prefix: String,
    by_path: BTreeMap<String, Vec<(Method, Phase, ProviderId)>>,
}

impl Routes {
    /// No addresses yet, below the path of `site`.
    pub(crate) fn below(site: &Url) -> Self {
        Self { prefix: site.path().trim_end_matches('/').to_owned(), by_path: BTreeMap::new() }
    }

    pub(crate) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Adds both addresses of a provider.
    pub(crate) fn add(&mut self, provider: &Provider, paths: &Paths) -> Result<(), BuildError> {
        let both = [
            (Phase::Request, &paths.request, &provider.request_methods),
            (Phase::Callback, &paths.callback, &provider.callback_methods),
        ];
        for (phase, path, methods) in both {
            if !is_path(path) {
                return Err(BuildError::InvalidPath(path.clone()));
            }
            let taken = self.by_path.entry(without_last_slash(path).to_owned()).or_default();
            for method in methods {
                if taken.iter().any(|(other, ..)| other == method) {
                    return Err(BuildError::DuplicateRoute(method.clone(), path.clone()));
                }
                taken.push((method.clone(), phase, provider.id.clone()));
            }
        }
        Ok(())
    }

    /// Looks a request up. `path` may be whole, or without the prefix, as frameworks hand it to what they nest; a slash at its
    /// end is tolerated.
    pub(crate) fn route(&self, method: &Method, path: &str) -> Routed<'_> {
        let below = path.strip_prefix(&self.prefix).filter(|rest| rest.starts_with('/'));
        let found = [below, Some(path)].into_iter().flatten();
        let Some(taken) = found.filter_map(|path| self.by_path.get(without_last_slash(path))).next() else {
            return Routed::Elsewhere;
        };
        match taken.iter().find(|(known, ..)| known == method) {
            Some((_, phase, provider)) => Routed::Phase(*phase, provider),
            None => {
                let allowed: Vec<_> = taken.iter().map(|(known, ..)| known.as_str()).collect();
                Routed::WrongMethod(allowed.join(", "))
            }
        }
    }
}

/// The two paths of a provider, below the prefix.
#[derive(Clone, Debug)]
pub(crate) struct Paths {
    pub(crate) request: String,
    pub(crate) callback: String,
}

impl Paths {
    pub(crate) fn of(provider: &Provider, base: &str) -> Self {
        let base = base.trim_end_matches('/');
        let request = provider.request_path.clone();
        let callback = provider.callback_path.clone();
        Self {
            request: request.unwrap_or_else(|| format!("{base}/{}", provider.id)),
            callback: callback.unwrap_or_else(|| format!("{base}/{}/callback", provider.id)),
        }
    }
}

fn without_last_slash(path: &str) -> &str {
    path.strip_suffix('/').unwrap_or(path)
}

fn is_path(text: &str) -> bool {
    text.starts_with('/')
        && !text.starts_with("//")
        && text.bytes().all(|b| b.is_ascii_graphic() && !b"?#\\".contains(&b))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::failure::Fault;
    use crate::identity::{
        CredentialsVerifier, Identity, IdentityForm, SubmittedCredentials, VerifiedAccount,
    };

    struct Nobody;

    impl CredentialsVerifier for Nobody {
        fn verify<'a>(
            &'a self,
            _: &'a SubmittedCredentials,
        ) -> vestibule_oauth_core::BoxFuture<'a, Result<Option<VerifiedAccount>, Fault>> {
            Box::pin(std::future::ready(Ok(None)))
        }
    }

    fn provider(name: &str) -> Provider {
        let identity = Identity::new(IdentityForm::new("name"), Arc::new(Nobody));
        Provider::new(name.parse().unwrap(), Arc::new(identity))
    }

    fn routes(site: &str, base: &str, providers: &[Provider]) -> Result<Routes, BuildError> {
        let mut routes = Routes::below(&site.parse().unwrap());
        for provider in providers {
            routes.add(provider, &Paths::of(provider, base))?;
        }
        Ok(routes)
    }

    /// `request a`, `callback a`, `allow GET`, or nothing.
    fn looked_up(routes: &Routes, method: Method, path: &str) -> String {
        match routes.route(&method, path) {
            Routed::Phase(phase, provider) => format!("{phase} {provider}"),
            Routed::WrongMethod(allowed) => format!("allow {allowed}"),
            Routed::Elsewhere => String::new(),
        }
    }

    #[test]
    fn s2_a_request_leads_to_a_phase_of_a_provider() {
        let posted = provider("b").with_request_methods([Method::POST]).with_callback_methods([Method::GET]);
        let one_path = provider("c")
            .with_request_path("/c")
            .with_request_methods([Method::GET])
            .with_callback_path("/c")
            .with_callback_methods([Method::POST]);
        let routes = routes("https://app.example", "/auth", &[provider("a"), posted, one_path]).unwrap();
        for (method, path, expected) in [
            (Method::GET, "/auth/a", "request a"),
            (Method::POST, "/auth/a/", "request a"),
            (Method::GET, "/auth/a/callback", "callback a"),
            (Method::POST, "/auth/a/callback/", "callback a"),
            (Method::HEAD, "/auth/a", "allow GET, POST"),
            (Method::DELETE, "/auth/a/callback", "allow GET, POST"),
            (Method::GET, "/auth/b", "allow POST"),
            (Method::POST, "/auth/b/callback", "allow GET"),
            (Method::GET, "/c", "request c"),
            (Method::POST, "/c", "callback c"),
            (Method::GET, "/auth", ""),
            (Method::GET, "/auth/", ""),
            (Method::GET, "/auth/unknown", ""),
            (Method::GET, "/auth/a/b", ""),
            (Method::GET, "/auth//a", ""),
            (Method::GET, "/AUTH/a", ""),
            (Method::GET, "auth/a", ""),
            (Method::GET, "", ""),
        ] {
            assert_eq!(looked_up(&routes, method.clone(), path), expected, "{method} {path}");
        }
    }

    #[test]
    fn s2_what_is_mounted_below_a_path_is_found_with_and_without_it() {
        let routes = routes("https://app.example/hall/", "", &[provider("a")]).unwrap();
        for (path, expected) in [
            ("/hall/a", "request a"),
            ("/a", "request a"),
            ("/hall/a/callback", "callback a"),
            ("/a/callback", "callback a"),
            ("/halla", ""),
            ("/hall", ""),
            ("/hall/hall/a", ""),
        ] {
            assert_eq!(looked_up(&routes, Method::GET, path), expected, "{path}");
        }
    }

    #[test]
    fn s2_an_address_belongs_to_one_provider() {
        let twice = [provider("a"), provider("b").with_request_path("/auth/a/")];
        let error = routes("https://app.example", "/auth", &twice).unwrap_err();
        assert_eq!(error, BuildError::DuplicateRoute(Method::GET, "/auth/a/".to_owned()));
        let both_phases = provider("a").with_callback_path("/auth/a");
        assert!(routes("https://app.example", "/auth", &[both_phases]).is_err());
        for bad in ["auth", "", "//a", "/a?b", "/a#b", "/a b", "/\\a", "/é"] {
            let error =
                routes("https://app.example", "/auth", &[provider("a").with_callback_path(bad)]).unwrap_err();
            assert_eq!(error, BuildError::InvalidPath(bad.to_owned()), "{bad}");
        }
    }
}
