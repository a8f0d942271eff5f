//! The way back from the person's server: who may finish a login, when, and where it leads.

use vestibule_tests::{Browser, Decision, Peers, Vestibule, VestibuleConfig};

/// A login as far as the callback's URL, nobody has come back with it yet.
struct Login {
    peers: &'static Peers,
    vestibule: Vestibule,
    browser: Browser,
    callback: String,
}

impl Login {
    async fn consented() -> Self {
        let peers = Peers::shared().await;
        let vestibule = Vestibule::start(VestibuleConfig::for_peers(peers)).await;
        let mut browser = Browser::new();
        let page = vestibule.begin(&mut browser, "alice.test").await;
        let callback = peers.consent(&page, peers.alice(), Decision::Allow).await.unwrap();
        Self { peers, vestibule, browser, callback }
    }

    /// The callback with one parameter replaced, or without it.
    fn callback_with(&self, name: &str, value: Option<&str>) -> String {
        let mut url = url::Url::parse(&self.callback).unwrap();
        let kept: Vec<_> = url
            .query_pairs()
            .filter(|(key, _)| key != name)
            .map(|(k, v)| (k.into_owned(), v.into_owned()))
            .collect();
        let mut query = url.query_pairs_mut();
        query.clear().extend_pairs(kept);
        if let Some(value) = value {
            query.append_pair(name, value);
        }
        drop(query);
        url.into()
    }

    /// Expects this callback, brought by this browser, to fail with the code, and the browser not to be signed in.
    async fn fails(&self, browser: &mut Browser, callback: &str, code: &str) {
        let answer = browser.get(callback, &[("accept", "application/json")]).await;
        assert_eq!(answer.status(), 400, "{callback}: {}\n{}", answer.text(), self.vestibule.logs());
        assert_eq!(answer.json()["error"], code, "{callback}");
        assert_eq!(self.vestibule.session(browser).await.status(), 401);
    }

    async fn tokens_issued(&self) -> usize {
        self.peers.tokens_of(&self.vestibule.url("/")).await.issued.len()
    }
}

#[tokio::test]
async fn another_browser_with_the_callback_is_a_csrf_attack_and_spoils_nothing() {
    let mut login = Login::consented().await;
    let mut stranger = Browser::new();
    login.fails(&mut stranger, &login.callback, "csrf_attack").await;

    // One with a login of its own, so with a cookie of the same kind, and one that made the cookie up.
    login.vestibule.begin(&mut stranger, "bob.test").await;
    login.fails(&mut stranger, &login.callback, "csrf_attack").await;
    let mut forger = Browser::new();
    for name in login.browser.cookie_names(&login.vestibule.url("/")) {
        forger.set_cookie(
            &login.vestibule.url("/"),
            &format!("{name}=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA; Path=/"),
        );
    }
    login.fails(&mut forger, &login.callback, "csrf_attack").await;
    assert_eq!(login.tokens_issued().await, 0);

    assert_eq!(login.browser.arrive(&login.callback).await.status(), 303, "{}", login.vestibule.logs());
    assert_eq!(login.vestibule.session(&mut login.browser).await.status(), 200);
}

#[tokio::test]
async fn a_callback_is_good_once_and_a_replay_leaves_the_session_alone() {
    let mut login = Login::consented().await;
    let mut before = login.browser.clone();
    assert_eq!(login.browser.arrive(&login.callback).await.status(), 303);

    let answer = login.browser.arrive(&login.callback).await;
    assert_eq!(answer.status(), 400, "{}", answer.text());
    assert!(answer.text().contains("csrf_attack"), "{}", answer.text());
    // Even with the cookie that was there before.
    login.fails(&mut before, &login.callback, "flow_missing").await;

    // The code was not sent again: a server that sees one twice ends the session.
    assert_eq!(login.tokens_issued().await, 1);
    let call = login.vestibule.query(&mut login.browser, "com.atproto.server.getSession").await;
    assert_eq!(call.status(), 200, "{}", call.text());
}

#[tokio::test]
async fn a_callback_sent_twice_at_once_signs_in_once() {
    let mut login = Login::consented().await;
    let (mut one, mut two) = (login.browser.clone(), login.browser.clone());
    let (one, two) = tokio::join!(one.arrive(&login.callback), two.arrive(&login.callback));
    let mut statuses = [one.status(), two.status()];
    statuses.sort_unstable();
    assert_eq!(statuses, [303, 400], "{}", login.vestibule.logs());
    for set_cookie in one.set_cookies().into_iter().chain(two.set_cookies()) {
        login.browser.set_cookie(&login.vestibule.url("/callback"), set_cookie);
    }
    let call = login.vestibule.query(&mut login.browser, "com.atproto.server.getSession").await;
    assert_eq!(call.status(), 200, "{}", call.text());
}

#[tokio::test]
async fn another_issuer_than_the_one_asked_gets_no_code() {
    for (iss, code) in [
        (Some("https://evil.example"), "issuer_mismatch"),
        // A parameter without a value counts as omitted (RFC 6749, section 3.1).
        (Some(""), "issuer_missing"),
        (None, "issuer_missing"),
    ] {
        let login = Login::consented().await;
        let slash = format!("{}/", login.peers.pds);
        let tampered = login.callback_with("iss", iss);
        login.fails(&mut login.browser.clone(), &tampered, code).await;
        // The login is over with that, and another spelling of the issuer would not have done either.
        login
            .fails(&mut login.browser.clone(), &login.callback_with("iss", Some(&slash)), "flow_missing")
            .await;
        assert_eq!(login.tokens_issued().await, 0, "{iss:?}");
    }
}

#[tokio::test]
async fn an_issuer_with_a_slash_more_is_another_issuer() {
    let login = Login::consented().await;
    let slash = login.callback_with("iss", Some(&format!("{}/", login.peers.pds)));
    login.fails(&mut login.browser.clone(), &slash, "issuer_mismatch").await;
    assert_eq!(login.tokens_issued().await, 0);
}

#[tokio::test]
async fn a_callback_that_is_about_no_login_of_this_browser_changes_nothing() {
    let mut login = Login::consented().await;
    let mut browser = login.browser.clone();
    let rows = [
        (login.vestibule.url("/callback"), "flow_missing"),
        (login.callback_with("state", None), "flow_missing"),
        (login.callback_with("state", Some("another")), "csrf_attack"),
        (format!("{}&state=another", login.callback), "duplicate_param"),
        (format!("{}&code=another", login.callback), "duplicate_param"),
    ];
    for (callback, code) in rows {
        login.fails(&mut browser, &callback, code).await;
    }
    assert_eq!(login.tokens_issued().await, 0);
    assert_eq!(login.browser.arrive(&login.callback).await.status(), 303, "{}", login.vestibule.logs());
}

#[tokio::test]
async fn a_callback_that_cannot_be_what_was_asked_for_ends_its_login() {
    for (name, value, code) in [
        ("code", None, "missing_code"),
        ("response", Some("eyJ.e30.x"), "signed_response_unsupported"),
        ("error", Some("access_denied"), "code_and_error"),
    ] {
        let login = Login::consented().await;
        let mut browser = login.browser.clone();
        login.fails(&mut browser, &login.callback_with(name, value), code).await;
        login.fails(&mut browser, &login.callback, "csrf_attack").await;
        assert_eq!(login.tokens_issued().await, 0, "{name}");
    }
}

#[tokio::test]
async fn a_code_that_the_server_refuses_signs_nobody_in() {
    let login = Login::consented().await;
    let mut browser = login.browser.clone();
    let made_up = login
        .callback_with("code", Some("cod-0000000000000000000000000000000000000000000000000000000000000000"));
    let answer = browser.get(&made_up, &[("accept", "application/json")]).await;
    assert_eq!(answer.status(), 502, "{}", answer.text());
    assert_eq!(answer.json()["error"], "token_endpoint");
    assert_eq!(login.vestibule.session(&mut browser).await.status(), 401);
    assert!(!answer.text().contains("cod-"), "{}", answer.text());
}

#[tokio::test]
async fn two_tabs_both_finish() {
    let peers = Peers::shared().await;
    let vestibule = Vestibule::start(VestibuleConfig::for_peers(peers)).await;
    let mut browser = Browser::new();
    let first = vestibule.begin(&mut browser, "alice.test").await;
    let second = vestibule.begin(&mut browser, "bob.test").await;
    let first = peers.consent(&first, peers.alice(), Decision::Allow).await.unwrap();
    let second = peers.consent(&second, peers.bob(), Decision::Allow).await.unwrap();
    for (callback, account) in [(second, peers.bob()), (first, peers.alice())] {
        let answer = browser.arrive(&callback).await;
        assert_eq!(answer.status(), 303, "{}\n{}", answer.text(), vestibule.logs());
        assert_eq!(vestibule.session(&mut browser).await.json()["did"], account.did.as_str());
    }
    // The browser is Alice's now, and what was Bob's is over on both sides.
    vestibule.says("signed out").await;
    let tokens = peers.tokens_of(&vestibule.url("/")).await;
    assert_eq!(tokens.issued.len(), 2);
    let alive: Vec<_> = tokens.alive.iter().map(|alive| alive.did.as_str()).collect();
    assert_eq!(alive, [peers.alice().did.as_str()]);
    assert_eq!(browser.cookie_names(&vestibule.url("/")).len(), 1);
}

#[tokio::test]
async fn s19_return_to_leads_to_this_site_and_nowhere_else() {
    let peers = Peers::shared().await;
    let vestibule = Vestibule::start(VestibuleConfig::for_peers(peers)).await;
    for (return_to, place) in [
        ("/inbox?page=2#new", "/inbox?page=2#new"),
        ("https://evil.example/", "/"),
        ("//evil.example/", "/"),
        ("/\\evil.example", "/"),
    ] {
        let mut browser = Browser::new();
        let fields = [("handle", "alice.test"), ("return_to", return_to)];
        let answer = browser.submit(&vestibule.url("/login"), &fields).await;
        let callback = peers.consent(&answer.location(), peers.alice(), Decision::Allow).await.unwrap();
        let answer = browser.arrive(&callback).await;
        assert_eq!((answer.status(), answer.location()), (303, vestibule.url(place)), "{return_to}");
    }
    // The sign-in page carries on what leads here, and drops the rest.
    let mut browser = Browser::new();
    let page = browser.visit(&vestibule.url("/?return_to=%2Finbox%3Fpage%3D2")).await.text();
    assert!(
        page.contains("name=\"return_to\" value=\"/inbox?page=2\"")
            || page.contains("value=\"&#x2f;inbox?page=2\""),
        "{page}"
    );
    let page = browser.visit(&vestibule.url("/?return_to=https%3A%2F%2Fevil.example")).await.text();
    assert!(!page.contains("evil.example"), "{page}");
}
