//! Sessions from sign-in to sign-out: whose they are, what ends them, and what they survive.

use std::sync::Arc;

use vestibule_tests::{Browser, Decision, Peers, Vestibule, VestibuleConfig, run_vestibule};

const GET_SESSION: &str = "com.atproto.server.getSession";

/// What a test needs: the shared peers, a server of its own, and a browser that is signed in as Alice.
async fn signed_in() -> (&'static Peers, Vestibule, Browser) {
    let peers = Peers::shared().await;
    let vestibule = Vestibule::start(VestibuleConfig::for_peers(peers)).await;
    let mut browser = Browser::new();
    vestibule.sign_in(&mut browser, peers, peers.alice()).await;
    (peers, vestibule, browser)
}

fn session_cookie(browser: &Browser, vestibule: &Vestibule) -> String {
    browser.cookie(&vestibule.url("/"), "vestibule.session").expect("a session cookie").to_owned()
}

#[tokio::test]
async fn a_sign_in_gives_a_new_session_id_and_ends_the_browsers_former_session_on_both_sides() {
    let (peers, vestibule, mut browser) = signed_in().await;
    let mut former = browser.clone();
    let one = session_cookie(&browser, &vestibule);
    vestibule.sign_in(&mut browser, peers, peers.alice()).await;
    assert_ne!(session_cookie(&browser, &vestibule), one);
    assert_eq!(vestibule.session(&mut browser).await.status(), 200);
    assert_eq!(vestibule.session(&mut former).await.status(), 401);
    vestibule.says("signed out").await;
    let tokens = peers.tokens_of(&vestibule.url("/")).await;
    assert_eq!((tokens.issued.len(), tokens.alive.len()), (2, 1));
    assert_eq!(tokens.alive[0].refresh, tokens.issued[1].refresh);
}

#[tokio::test]
async fn a_session_id_that_somebody_else_chose_is_not_signed_in() {
    let peers = Peers::shared().await;
    let vestibule = Vestibule::start(VestibuleConfig::for_peers(peers)).await;
    let mut browser = Browser::new();
    let planted = "vestibule.session=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA; Path=/";
    browser.set_cookie(&vestibule.url("/"), planted);
    let mut planter = browser.clone();
    vestibule.sign_in(&mut browser, peers, peers.alice()).await;
    assert_eq!(vestibule.session(&mut browser).await.status(), 200);
    assert_eq!(vestibule.session(&mut planter).await.status(), 401);
}

#[tokio::test]
async fn the_session_cookie_is_out_of_reach_of_scripts_and_other_sites() {
    let peers = Peers::shared().await;
    let vestibule = Vestibule::start(VestibuleConfig::for_peers(peers)).await;
    let mut browser = Browser::new();
    let answer = vestibule.sign_in(&mut browser, peers, peers.alice()).await;
    let cookies = answer.set_cookies();
    let cookie = cookies.iter().find(|cookie| cookie.starts_with("vestibule.session=")).unwrap();
    for attribute in ["; HttpOnly", "; SameSite=Lax", "; Path=/", "; Max-Age="] {
        assert!(cookie.contains(attribute), "{attribute} in {cookie}");
    }
    assert!(!cookie.contains("Domain"), "{cookie}");
    // The login's own cookie goes.
    assert_eq!(browser.cookie_names(&vestibule.url("/")), ["vestibule.session"]);
}

#[tokio::test]
async fn two_browsers_have_two_sessions_and_signing_out_in_one_leaves_the_other() {
    let (peers, vestibule, mut one) = signed_in().await;
    let mut two = Browser::new();
    vestibule.sign_in(&mut two, peers, peers.alice()).await;
    assert_eq!(one.submit(&vestibule.url("/logout"), &[]).await.status(), 303);
    assert_eq!(vestibule.session(&mut one).await.status(), 401);
    let call = vestibule.query(&mut two, GET_SESSION).await;
    assert_eq!(call.status(), 200, "{}", call.text());
    assert_eq!(peers.tokens_of(&vestibule.url("/")).await.alive.len(), 1);
}

#[tokio::test]
async fn a_sign_out_that_does_not_come_from_this_site_is_refused_and_the_session_stays() {
    let (peers, vestibule, mut browser) = signed_in().await;
    let url = vestibule.url("/logout");
    let answer = browser.post_form(&url, &[], &[]).await;
    assert_eq!((answer.status(), answer.json()["error"].as_str()), (403, Some("cross_site_request")));
    for headers in [
        &[("origin", "https://evil.example")][..],
        &[("origin", "null")],
        &[("origin", "http://127.0.0.1:1")],
        &[("sec-fetch-site", "cross-site")],
        &[("sec-fetch-site", "same-site")],
        &[("referer", "https://evil.example/")],
    ] {
        assert_eq!(browser.post_form(&url, &[], headers).await.status(), 403, "{headers:?}");
    }
    let answer = browser.submit_from("https://evil.example", &url, &[]).await;
    assert_eq!(answer.status(), 403);
    assert!(answer.header("content-type").unwrap().starts_with("text/html"));
    assert_eq!(browser.get(&url, &[]).await.status(), 405);

    assert_eq!(vestibule.query(&mut browser, GET_SESSION).await.status(), 200);
    assert_eq!(peers.tokens_of(&vestibule.url("/")).await.alive.len(), 1);

    // The sign-out that does come from here.
    let origin = vestibule.url("");
    assert_eq!(browser.post_form(&url, &[], &[("origin", &origin)]).await.status(), 303);
    assert_eq!(vestibule.session(&mut browser).await.status(), 401);
    // Once more is no error: the person is signed out.
    assert_eq!(browser.submit(&url, &[]).await.status(), 303);
}

#[tokio::test]
async fn r107_after_sign_out_the_server_takes_neither_the_access_token_nor_the_refresh_token() {
    let (_, mut vestibule, mut browser) = signed_in().await;
    // Somebody has a copy of store and secret: with it goes the key that tokens are bound to.
    vestibule.terminate().await;
    let copy = vestibule.config().copied();
    vestibule.restart().await;
    let thief = Vestibule::start(copy).await;
    let mut stolen = browser.clone();
    assert_eq!(thief.query(&mut stolen, GET_SESSION).await.status(), 200, "{}", thief.logs());

    assert_eq!(browser.submit(&vestibule.url("/logout"), &[]).await.status(), 303, "{}", vestibule.logs());
    // The access token is refused, so the refresh token is tried, which is refused for good.
    let call = thief.query(&mut stolen, GET_SESSION).await;
    assert_eq!(call.status(), 401, "{}\n{}", call.text(), thief.logs());
    assert_eq!(call.json()["error"], "session_ended", "{}", thief.logs());
    assert!(thief.logs().contains("invalid_grant"), "{}", thief.logs());
}

#[tokio::test]
async fn a_session_that_its_server_ended_is_over_here_too() {
    let (_, mut vestibule, mut browser) = signed_in().await;
    vestibule.terminate().await;
    let other = Vestibule::start(vestibule.config().copied()).await;
    vestibule.restart().await;
    assert_eq!(browser.clone().submit(&other.url("/logout"), &[]).await.status(), 303);

    let call = vestibule.query(&mut browser, GET_SESSION).await;
    assert_eq!((call.status(), call.json()["error"].as_str()), (401, Some("session_ended")));
    assert_eq!(browser.cookie(&vestibule.url("/"), "vestibule.session"), None);
    assert_eq!(vestibule.session(&mut browser).await.status(), 401);
    assert_eq!(browser.visit(&vestibule.url("/")).await.status(), 200);
}

#[tokio::test]
async fn a_login_survives_a_restart_between_leaving_and_coming_back() {
    let peers = Peers::shared().await;
    let mut vestibule = Vestibule::start(VestibuleConfig::for_peers(peers)).await;
    for killed in [true, false] {
        let mut browser = Browser::new();
        let page = vestibule.begin(&mut browser, "alice.test").await;
        if killed {
            vestibule.kill().await;
        } else {
            assert_eq!(vestibule.terminate().await, 0);
        }
        let callback = peers.consent(&page, peers.alice(), Decision::Allow).await.unwrap();
        vestibule.restart().await;
        let answer = browser.arrive(&callback).await;
        assert_eq!(answer.status(), 303, "{}\n{}", answer.text(), vestibule.logs());
        assert_eq!(vestibule.query(&mut browser, GET_SESSION).await.status(), 200);
    }
}

#[tokio::test]
async fn a_session_survives_restarts_and_is_then_signed_out_on_both_sides() {
    let (peers, mut vestibule, mut browser) = signed_in().await;
    vestibule.kill().await;
    vestibule.restart().await;
    assert_eq!(vestibule.session(&mut browser).await.status(), 200);
    assert_eq!(vestibule.query(&mut browser, GET_SESSION).await.status(), 200, "{}", vestibule.logs());
    assert_eq!(vestibule.signal_and_wait("INT").await, 0);
    vestibule.restart().await;
    assert_eq!(vestibule.query(&mut browser, GET_SESSION).await.status(), 200, "{}", vestibule.logs());
    vestibule.restart().await;
    // No call was made since: the sign-out has to learn the server's nonce first.
    assert_eq!(browser.submit(&vestibule.url("/logout"), &[]).await.status(), 303);
    assert_eq!(peers.tokens_of(&vestibule.url("/")).await.alive, []);
}

#[tokio::test]
async fn sessions_in_memory_end_with_the_server() {
    let peers = Peers::shared().await;
    let config = VestibuleConfig { store: Some("memory:".to_owned()), ..VestibuleConfig::for_peers(peers) };
    let mut vestibule = Vestibule::start(config).await;
    let mut browser = Browser::new();
    vestibule.sign_in(&mut browser, peers, peers.alice()).await;
    assert_eq!(vestibule.query(&mut browser, GET_SESSION).await.status(), 200);
    vestibule.restart().await;
    assert_eq!(vestibule.session(&mut browser).await.status(), 401);
}

#[tokio::test]
async fn a_session_and_a_pending_login_survive_new_keys() {
    let (peers, mut vestibule, mut browser) = signed_in().await;
    let mut other = Browser::new();
    let page = vestibule.begin(&mut other, "bob.test").await;
    let folder = Arc::clone(&vestibule.config().folder);

    let before = run_vestibule(folder.path(), &["key", "list"]).await;
    assert_eq!(before.code, Some(0), "{}", before.stderr);
    let rotated = run_vestibule(folder.path(), &["key", "rotate"]).await;
    assert_eq!(rotated.code, Some(0), "{}", rotated.stderr);
    let after = run_vestibule(folder.path(), &["key", "list"]).await;
    // One key of each kind more, and the old ones are still there.
    let kinds = before.stdout.lines().count();
    assert!(kinds > 0, "{}", before.stdout);
    assert_eq!(after.stdout.lines().count(), 2 * kinds, "{}", after.stdout);
    for line in before.stdout.lines() {
        let id = line.split_whitespace().nth(1).unwrap();
        assert!(after.stdout.contains(id), "{id} in {}", after.stdout);
    }

    vestibule.restart().await;
    assert_eq!(vestibule.query(&mut browser, GET_SESSION).await.status(), 200, "{}", vestibule.logs());
    let callback = peers.consent(&page, peers.bob(), Decision::Allow).await.unwrap();
    assert_eq!(other.arrive(&callback).await.status(), 303, "{}", vestibule.logs());
    assert_eq!(vestibule.query(&mut other, GET_SESSION).await.status(), 200);
}

#[tokio::test]
async fn a_store_without_its_secret_is_refused_and_says_why() {
    let (_, mut vestibule, _) = signed_in().await;
    vestibule.terminate().await;
    let copy = vestibule.config().copied();
    std::fs::remove_file(copy.folder.file("vestibule.secret")).unwrap();
    let error = Vestibule::try_start(copy).await.unwrap_err();
    assert!(error.contains("secret") && !error.contains("panicked"), "{error}");
}
