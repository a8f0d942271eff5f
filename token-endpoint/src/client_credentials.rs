//! Tokens for a client itself ([RFC 6749, section 4.4]).
//!
//! [RFC 6749, section 4.4]: https://www.rfc-editor.org/rfc/rfc6749#section-4.4

use vestibule_oauth_core::ScopeSet;

use crate::client::ClientKind;
use crate::denial::Denial;
use crate::grant_type::GrantType;
use crate::issue::{Conclusion, Deciding, Order};
use crate::target;

/// A client that asks for itself. It brings nothing but who it is.
#[derive(Debug)]
#[non_exhaustive]
pub struct ClientCredentialsRequest;

impl ClientCredentialsRequest {
    /// Decides it: there is nothing to look for in a store, and no refresh token (T41).
    ///
    /// # Errors
    /// A [`Denial`].
    pub fn decide(&self, cx: &Deciding<'_>) -> Result<Conclusion, Denial> {
        if cx.client().kind == ClientKind::Public {
            return Err(Denial::PublicClient);
        }
        cx.may_use(&GrantType::CLIENT_CREDENTIALS)?;
        cx.proof_if_wanted()?;
        let may = if cx.client().scope.is_empty() { &cx.endpoint.setup().scope } else { &cx.client().scope };
        let scope = match cx.form.value("scope") {
            None => may.clone(),
            Some(text) => {
                let asked: ScopeSet = text.parse().map_err(|_| Denial::ScopeSyntax)?;
                if !asked.is_subset_of(may) {
                    return Err(Denial::ScopeTooWide);
                }
                asked
            }
        };
        cx.issue(Order {
            grant_type: GrantType::CLIENT_CREDENTIALS,
            grant: None,
            // RFC 9068, section 2.2: the client is whom the token speaks for.
            subject: cx.client().id.as_str(),
            scope,
            resources: target::read(cx.form.params(), cx.client())?,
            actors: Vec::new(),
            ends_by: None,
        })
        .map(Conclusion::giving)
    }
}
