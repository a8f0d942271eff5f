//! The steps of a login that most tests take in the same way, and the wait for a token's end.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::interval;

use crate::browser::{Answer, Browser};
use crate::peers::{Account, Decision, Peers};
use crate::vestibule::Vestibule;

impl Vestibule {
    /// Submits the sign-in form with what was typed, and gives the URL of the page that the person is sent to.
    ///
    /// # Panics
    /// When no such page is named.
    pub async fn begin(&self, browser: &mut Browser, typed: &str) -> String {
        let answer = browser.submit(&self.url("/login"), &[("handle", typed)]).await;
        assert_eq!(answer.status(), 303, "{typed}: {}\n{}", answer.text(), self.logs());
        answer.location()
    }

    /// Signs the owner of this account in: form, consent, callback. Gives the answer to the callback.
    ///
    /// # Panics
    /// When one of the steps fails.
    pub async fn sign_in(&self, browser: &mut Browser, peers: &Peers, account: &Account) -> Answer {
        let page = self.begin(browser, &account.handle).await;
        let callback = peers.consent(&page, account, Decision::Allow).await;
        let answer = browser.arrive(&callback.unwrap_or_else(|error| panic!("consent: {error}"))).await;
        assert_eq!(answer.status(), 303, "{}\n{}", answer.text(), self.logs());
        answer
    }

    /// `GET /session`, as the front end of an app does.
    pub async fn session(&self, browser: &mut Browser) -> Answer {
        browser.get(&self.url("/session"), &[("sec-fetch-site", "same-origin")]).await
    }

    /// `GET` of a method of the person's server, as the front end of an app does.
    pub async fn query(&self, browser: &mut Browser, method: &str) -> Answer {
        browser.get(&self.url(&format!("/xrpc/{method}")), &[("sec-fetch-site", "same-origin")]).await
    }
}

/// Waits until the clock shows this time, in seconds since 1970: the end of a token, most likely.
pub async fn clock_shows(seconds: u64) {
    let mut looks = interval(Duration::from_millis(20));
    let end = UNIX_EPOCH + Duration::from_secs(seconds);
    while SystemTime::now() < end {
        looks.tick().await;
    }
}
