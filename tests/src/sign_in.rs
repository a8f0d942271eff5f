//! A real provider of OpenID Connect that people sign in with: oidc-provider, of `tests/peers/oidc-provider`, by its own pages.

use serde_json::{Value, json};
use url::Url;

use crate::browser::{Answer, Browser};
use crate::talk::Talk;

/// A running oidc-provider. It is ended with this value.
#[derive(Debug)]
pub struct SignInPeer {
    issuer: String,
    talk: Talk,
}

/// How the provider sends the person back.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(clippy::exhaustive_enums, reason = "there are two ways")]
pub enum SentBack {
    /// By a redirect to this address.
    To(String),
    /// By a form of its page, to be posted there.
    ByForm {
        /// Where the form goes.
        action: String,
        /// Its fields.
        fields: Vec<(String, String)>,
    },
}

/// What the person does at the provider.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(clippy::exhaustive_enums, reason = "a person can do these")]
pub enum Person<'a> {
    /// Signs in by this name, and agrees.
    SignsIn(&'a str),
    /// Presses Cancel.
    Cancels,
}

/// A person goes through so many pages, and no more.
const PAGES: usize = 12;

impl SignInPeer {
    /// Starts it, for an application that comes back to these addresses, with people and what is known of them. The application is
    /// `our-app`, its secret `the-secret-of-our-app`.
    ///
    /// # Panics
    /// When it is not installed, or does not start.
    pub async fn start(redirect_uris: &[&str], accounts: Value) -> Self {
        let mut talk = Talk::start("oidc-provider", "sign-in.mjs");
        let loopback = redirect_uris.iter().any(|uri| uri.starts_with("http:"));
        let client = json!({
            "client_id": "our-app",
            "client_secret": Self::SECRET,
            "redirect_uris": redirect_uris,
            "application_type": if loopback { "native" } else { "web" },
        });
        talk.say(&json!({ "clients": [client], "accounts": accounts })).await;
        let issuer = talk.hear().await["issuer"].as_str().expect("an issuer").to_owned();
        Self { issuer, talk }
    }

    /// The application's secret there.
    pub const SECRET: &str = "the-secret-of-our-app";

    /// Who it is.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// From here on it signs with a new key, and publishes no other.
    ///
    /// # Panics
    /// When it has ended.
    pub async fn rotate(&mut self) {
        self.talk.say(&json!({ "rotate": true })).await;
        assert!(self.talk.hear().await["kid"].is_string());
    }

    /// The person, sent to this page, goes through the provider's pages until they are sent back.
    ///
    /// # Panics
    /// When that does not come to an end.
    pub async fn passes(&self, browser: &mut Browser, page: &str, person: Person<'_>) -> SentBack {
        let provider: Url = page.parse().expect("a URL");
        let mut answer = browser.arrive(page).await;
        for _ in 0..PAGES {
            if (300..400).contains(&answer.status()) {
                let to = answer.location();
                if !to.starts_with(&self.issuer) {
                    return SentBack::To(to);
                }
                answer = browser.follow(&to).await;
                continue;
            }
            assert_eq!(answer.status(), 200, "{}", answer.text());
            let form = form(&answer, &provider).unwrap_or_else(|| panic!("no form in {}", answer.text()));
            if !form.0.starts_with(&self.issuer) {
                return SentBack::ByForm { action: form.0, fields: form.1 };
            }
            answer = match person {
                Person::Cancels => browser.follow(&format!("{}/abort", form.0)).await,
                Person::SignsIn(name) => {
                    let mut fields: Vec<_> = form.1.iter().map(|(name, value)| (&**name, &**value)).collect();
                    if answer.text().contains("name=\"login\"") {
                        fields.extend([("login", name), ("password", "any")]);
                    }
                    browser.submit(&form.0, &fields).await
                }
            };
        }
        panic!("the provider has more than {PAGES} pages");
    }
}

/// Where the first form of a page goes, and its hidden fields.
fn form(page: &Answer, base: &Url) -> Option<(String, Vec<(String, String)>)> {
    let text = page.text();
    let form = text.split("<form").nth(1)?.split("</form>").next()?;
    let attribute = |tag: &str, name: &str| {
        let value = tag.split(&format!(" {name}=\"")).nth(1)?.split('"').next()?;
        Some(value.replace("&quot;", "\"").replace("&#39;", "'").replace("&amp;", "&"))
    };
    let action = base.join(&attribute(form, "action")?).ok()?.to_string();
    let hidden = form.split("<input").skip(1).filter(|tag| tag.contains("type=\"hidden\""));
    let fields = hidden.filter_map(|tag| Some((attribute(tag, "name")?, attribute(tag, "value")?)));
    Some((action, fields.collect()))
}
