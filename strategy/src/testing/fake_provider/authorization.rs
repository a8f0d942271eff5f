//! The page that people see.

use std::collections::BTreeMap;

use url::Url;
use vestibule_oauth_core::PkceChallenge;

use super::{Code, FakeProvider};
use crate::testing::broken::{Broken, hold};
use crate::testing::callback_query::CallbackQuery;

/// The shortest `state` taken, in characters: 22 of base64url hold the 128 bits that nobody guesses
/// ([RFC 6819, section 5.1.4.2.2](https://www.rfc-editor.org/rfc/rfc6819#section-5.1.4.2.2)).
const MIN_STATE: usize = 22;

/// A request that such a provider takes.
struct Asked {
    state: String,
    by_form: bool,
    code: Code,
}

impl FakeProvider {
    pub(super) fn allow(&self, to: &Url) -> Result<CallbackQuery, Broken> {
        let asked = self.asked(to)?;
        let code = {
            let mut state = self.state();
            let code = state.make("code");
            state.codes.insert(code.clone(), asked.code.clone());
            code
        };
        Ok(self.sent_back(&asked, CallbackQuery::new().with("code", code)))
    }

    pub(super) fn refuse(&self, to: &Url) -> Result<CallbackQuery, Broken> {
        let asked = self.asked(to)?;
        Ok(self.sent_back(&asked, CallbackQuery::new().with("error", "access_denied")))
    }

    fn sent_back(&self, asked: &Asked, answer: CallbackQuery) -> CallbackQuery {
        let answer = answer.with("state", asked.state.clone());
        let answer = self.iss.iter().fold(answer, |answer, iss| answer.with("iss", iss.clone()));
        if asked.by_form { answer.by_form() } else { answer }
    }

    /// Reads a request as a strict provider does.
    fn asked(&self, to: &Url) -> Result<Asked, Broken> {
        let (page, _) = to.as_str().split_once('?').unwrap_or((to.as_str(), ""));
        let ours = self.authorization_endpoint.split('?').next().unwrap_or_default();
        hold("people are sent to the authorization endpoint", page == ours, || page.to_owned())?;
        let mut params = BTreeMap::new();
        for (name, value) in to.query_pairs() {
            let twice = params.insert(name.to_string(), value.into_owned()).is_some();
            hold("no parameter of the request is sent twice", !twice, || name.into_owned())?;
        }
        let value = |name: &str| params.get(name).map(String::as_str);
        let shown = |name: &str| format!("{:?}", value(name));
        hold("response_type is code", value("response_type") == Some("code"), || shown("response_type"))?;
        let client = value("client_id") == Some(&self.client_id);
        hold("client_id is the application's", client, || shown("client_id"))?;
        let redirect_uri = value("redirect_uri").unwrap_or_default();
        let registered = self.redirect_uri.as_deref().unwrap_or(redirect_uri);
        let known = redirect_uri == registered && Url::parse(redirect_uri).is_ok();
        hold("redirect_uri is the registered one", known, || shown("redirect_uri"))?;
        let state = value("state").unwrap_or_default();
        hold("state is long enough not to be guessed", state.len() >= MIN_STATE, || shown("state"))?;
        let method = value("code_challenge_method") == Some(PkceChallenge::METHOD);
        hold("code_challenge_method is S256", method, || shown("code_challenge_method"))?;
        let challenge: PkceChallenge =
            value("code_challenge").and_then(|text| text.parse().ok()).ok_or_else(|| {
                Broken::new("code_challenge is a SHA-256 hash in base64url", shown("code_challenge"))
            })?;
        let scope = value("scope").unwrap_or_default();
        let openid = scope.split(' ').any(|word| word == "openid");
        let nonce = value("nonce").filter(|nonce| !nonce.is_empty());
        hold("a request for openid has a nonce", !openid || nonce.is_some(), || shown("nonce"))?;
        Ok(Asked {
            state: state.to_owned(),
            by_form: value("response_mode") == Some("form_post"),
            code: Code {
                redirect_uri: redirect_uri.to_owned(),
                challenge,
                nonce: nonce.map(str::to_owned),
                scope: scope.to_owned(),
                spent: false,
            },
        })
    }
}
