//! The providers people may sign in with, as the pages show them.

use serde::Serialize;
use vestibule_strategy::{Provider, ProviderId};

/// A provider beside the AT Protocol, and what its button says.
#[derive(Clone, Debug)]
#[allow(clippy::exhaustive_structs, reason = "meant to be written out by whoever makes a server")]
pub struct SignInWith {
    /// The provider.
    pub provider: Provider,
    /// What people call it: `GitHub`.
    pub label: String,
}

/// A button of a page.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Button {
    pub(crate) provider: String,
    pub(crate) label: String,
    /// Where its form goes.
    pub(crate) action: String,
}

/// What people call each provider.
#[derive(Clone, Debug)]
pub(crate) struct Labels(Vec<(ProviderId, String)>);

impl Labels {
    pub(crate) fn of(providers: &[SignInWith]) -> Self {
        Self(providers.iter().map(|with| (with.provider.id().clone(), with.label.clone())).collect())
    }

    /// What people call this provider; its own name if it is not configured any more.
    pub(crate) fn label<'a>(&'a self, provider: &'a ProviderId) -> &'a str {
        match self.0.iter().find(|(id, _)| id == provider) {
            Some((_, label)) => label,
            None if provider.as_str() == "atproto" => "AT Protocol",
            None => provider.as_str(),
        }
    }

    /// A button for each, in the order of the configuration.
    pub(crate) fn buttons(&self) -> Vec<Button> {
        let button = |(id, label): &(ProviderId, String)| Button {
            provider: id.to_string(),
            label: label.clone(),
            action: format!("/auth/{id}"),
        };
        self.0.iter().map(button).collect()
    }
}
