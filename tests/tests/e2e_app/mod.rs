//! An app that people sign in to through the program, and what it does.

#![allow(dead_code, reason = "each test file uses a part of it")]

use serde_json::Value;
use vestibule_tests::oauth::{Ask, Reply, VERIFIER};
use vestibule_tests::{Account, Answer, Browser, Decision, Outcome, Peers, Vestibule, ledger};

/// `vestibule client …` beside the running server.
pub(crate) async fn client_command(vestibule: &Vestibule, args: &[&str]) -> Outcome {
    vestibule.command(&[&["client"], args].concat()).await
}

/// An app that was added to a running server.
pub(crate) struct App {
    pub(crate) id: String,
    pub(crate) secret: Option<String>,
}

impl App {
    pub(crate) async fn add(vestibule: &Vestibule, args: &[&str]) -> Self {
        let mut all = vec!["add"];
        all.extend(args);
        all.push("--json");
        let outcome = client_command(vestibule, &all).await;
        assert_eq!(outcome.code, Some(0), "{outcome:?}");
        let said: Value = serde_json::from_str(&outcome.stdout).unwrap();
        let secret = said["client_secret"].as_str().map(str::to_owned);
        ledger::note("client secret", secret.as_deref().unwrap_or_default());
        Self { id: said["client_id"].as_str().unwrap().to_owned(), secret }
    }

    /// What it asks the browser to open.
    pub(crate) fn link(&self, vestibule: &Vestibule, more: &str) -> String {
        let challenge = "yvqWsn0SoyZDijZm8xJ4rmrJu_qlsreleBdTAjww3UA";
        vestibule.url(&format!(
            "/oauth2/authorize?response_type=code&client_id={}&scope=openid%20profile&state=xyz&code_challenge={challenge}\
             &code_challenge_method=S256{more}",
            self.id
        ))
    }

    /// A form by it.
    pub(crate) fn asks(&self, url: &str) -> Ask {
        match &self.secret {
            Some(secret) => Ask::post(url).basic(&self.id, secret),
            None => Ask::post(url).field("client_id", &self.id),
        }
    }

    pub(crate) fn redeems(&self, vestibule: &Vestibule, code: &str) -> Ask {
        self.asks(&vestibule.url("/oauth2/token")).fields(&[
            ("grant_type", "authorization_code"),
            ("code", code),
            ("code_verifier", VERIFIER),
        ])
    }

    pub(crate) fn refreshes(&self, vestibule: &Vestibule, token: &str) -> Ask {
        self.asks(&vestibule.url("/oauth2/token"))
            .fields(&[("grant_type", "refresh_token"), ("refresh_token", token)])
    }
}

pub(crate) const CALLBACK: &str = "https://app.test/cb";

pub(crate) async fn send(ask: Ask) -> Reply {
    let answer = Browser::new().send(ask.into_request()).await;
    let mut response = http::Response::new(answer.body().clone());
    *response.status_mut() = answer.status().try_into().unwrap();
    *response.headers_mut() = answer.headers().clone();
    response.into()
}

/// Fills in the sign-in page that stands there, and signs in. Gives the page that the browser is sent on to.
pub(crate) async fn signs_in(
    vestibule: &Vestibule,
    browser: &mut Browser,
    peers: &Peers,
    account: &Account,
    page: &Answer,
) -> Answer {
    let return_to = page.field("return_to").unwrap_or_else(|| panic!("no form in {}", page.text()));
    let fields = [("handle", account.handle.as_str()), ("return_to", &return_to)];
    let answer = browser.submit(&vestibule.url("/login"), &fields).await;
    assert_eq!(answer.status(), 303, "{}\n{}", answer.text(), vestibule.logs());
    let callback = peers.consent(&answer.location(), account, Decision::Allow).await.unwrap();
    let answer = browser.arrive(&callback).await;
    assert_eq!(answer.status(), 303, "{}\n{}", answer.text(), vestibule.logs());
    browser.follow(&answer.location()).await
}

/// Presses a button of the consent page.
pub(crate) async fn decides(
    vestibule: &Vestibule,
    browser: &mut Browser,
    page: &Answer,
    decision: &str,
) -> Answer {
    let value = |name| page.field(name).unwrap_or_else(|| panic!("no {name} in {}", page.text()));
    let (client, request, subject) = (value("client_id"), value("request_uri"), value("subject"));
    let fields =
        [("client_id", &*client), ("request_uri", &request), ("subject", &subject), ("decision", decision)];
    browser.submit(&vestibule.url("/oauth2/authorize"), &fields).await
}

/// A code for Alice, who is signed in with this browser.
pub(crate) async fn code(vestibule: &Vestibule, browser: &mut Browser, app: &App) -> String {
    let page = browser.arrive(&app.link(vestibule, "")).await;
    let back = decides(vestibule, browser, &page, "allow").await;
    back.location_parameter("code").unwrap_or_else(|| panic!("no code in {}", back.location()))
}
