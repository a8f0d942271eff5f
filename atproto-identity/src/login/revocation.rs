//! Giving tokens back (R81, R107).

use url::Url;
use vestibule_dpop::NonceMemory;
use vestibule_oauth_core::{HttpClient, Secret, Seed, UnixTime};
use vestibule_strategy::token::revocation_form;
use vestibule_strategy::{Backchannel, TokenHint};

/// Tokens that are to be given back, and to whom.
pub(super) struct Revocation<'a> {
    pub(super) channel: Backchannel<'a>,
    pub(super) endpoint: Option<&'a Url>,
    pub(super) access_token: &'a Secret,
    pub(super) refresh_token: Option<&'a Secret>,
}

impl Revocation<'_> {
    /// Gives them back, with proof and client authentication, without which servers answer 200 and revoke nothing. With a
    /// refresh token goes the whole session.
    pub(super) async fn send(
        &self,
        nonces: &mut NonceMemory,
        seed: &Seed,
        now: UnixTime,
        http: &dyn HttpClient,
    ) -> Ended {
        let Some(endpoint) = self.endpoint else {
            return Ended::HereOnly("the server takes no tokens back".to_owned());
        };
        let form = match self.refresh_token {
            Some(token) => revocation_form(endpoint, token, TokenHint::RefreshToken),
            None => revocation_form(endpoint, self.access_token, TokenHint::AccessToken),
        };
        match self.channel.post(&form, nonces, &seed.child("revoke"), now, http).await {
            Ok(response) if response.status().is_success() => Ended::OnBothSides,
            Ok(response) => {
                Ended::HereOnly(format!("the revocation endpoint answered {}", response.status()))
            }
            Err(error) => Ended::HereOnly(error.to_string()),
        }
    }
}

/// How far a session was ended.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Ended {
    /// Here, and its server has its tokens back.
    OnBothSides,
    /// Here; why not there, for the operator.
    HereOnly(String),
    /// There was no such session.
    NotThere,
}
