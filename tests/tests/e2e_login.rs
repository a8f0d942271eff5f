//! Sign-in at the real AT Protocol servers, by the program as it is shipped: every way in, and how it may end instead.

use serde_json::{Value, json};

use vestibule_tests::{Answer, Browser, Decision, Peers, PeersConfig, Vestibule, VestibuleConfig};

/// What a test needs: the shared peers, a server of its own, and a browser that has never been there.
async fn scene() -> (&'static Peers, Vestibule, Browser) {
    let peers = Peers::shared().await;
    let vestibule = Vestibule::start(VestibuleConfig::for_peers(peers)).await;
    (peers, vestibule, Browser::new())
}

/// Consents at the page, comes back, and expects to be signed in as Alice.
async fn comes_back_as_alice(peers: &Peers, vestibule: &Vestibule, browser: &mut Browser, page: &str) {
    let callback = peers.consent(page, peers.alice(), Decision::Allow).await.unwrap();
    let answer = browser.arrive(&callback).await;
    assert_eq!(answer.status(), 303, "{}\n{}", answer.text(), vestibule.logs());
    let session = vestibule.session(browser).await;
    assert_eq!(session.status(), 200, "{}", session.text());
    assert_eq!(session.json()["did"], peers.alice().did.as_str());
    assert_eq!(session.json()["handle"], "alice.test");
}

/// Expects the answer to be this refusal, and nobody to be signed in.
async fn is_refused(vestibule: &Vestibule, browser: &mut Browser, answer: &Answer, status: u16, code: &str) {
    assert_eq!(answer.status(), status, "{}\n{}", answer.text(), vestibule.logs());
    assert!(answer.text().contains(code), "no {code} in {}", answer.text());
    assert_eq!(vestibule.session(browser).await.status(), 401);
}

#[tokio::test]
async fn a_handle_signs_in_by_its_txt_record_and_signs_out_on_both_sides() {
    let (peers, mut vestibule, mut browser) = scene().await;
    let alice = peers.alice();

    let answer = browser.get(&vestibule.url("/login?handle=alice.test"), &[]).await;
    assert_eq!(answer.status(), 303, "{}\n{}", answer.text(), vestibule.logs());
    assert!(answer.location().starts_with(&format!("{}/oauth/authorize?", peers.pds)));
    let callback = peers.consent(&answer.location(), alice, Decision::Allow).await.unwrap();
    let answer = browser.arrive(&callback).await;
    assert_eq!(answer.status(), 303, "{}\n{}", answer.text(), vestibule.logs());
    assert_eq!(answer.location(), vestibule.url("/"));

    let session = vestibule.session(&mut browser).await;
    assert_eq!(session.status(), 200);
    let session = session.json();
    let expires_at = session["expires_at"].as_u64().unwrap();
    let expected = json!({
        "sub": alice.did, "did": alice.did, "handle": "alice.test", "pds": peers.pds, "scope": "atproto", "provider": "atproto",
        "expires_at": expires_at,
    });
    assert_eq!(session, expected);

    let call = vestibule.query(&mut browser, "com.atproto.server.getSession").await;
    assert_eq!(call.status(), 200, "{}\n{}", call.text(), vestibule.logs());
    assert_eq!(call.json()["did"], alice.did.as_str());

    let home = browser.visit(&vestibule.url("/")).await;
    assert!(home.text().contains("@alice.test") && home.text().contains(&alice.did), "{}", home.text());

    let answer = browser.submit(&vestibule.url("/logout"), &[]).await;
    assert_eq!((answer.status(), answer.location()), (303, vestibule.url("/")), "{}", answer.text());
    assert_eq!(vestibule.session(&mut browser).await.status(), 401);
    assert!(vestibule.logs().contains("signed out"), "{}", vestibule.logs());
    let tokens = peers.tokens_of(&vestibule.url("/")).await;
    assert_eq!((tokens.issued.len(), tokens.alive.len()), (1, 0));
    assert_eq!(vestibule.terminate().await, 0);
}

#[tokio::test]
async fn a_handle_without_txt_record_signs_in_by_the_https_host_of_its_name() {
    let config = PeersConfig { no_txt: vec!["bob.test".to_owned()], ..PeersConfig::on_port_443() };
    let peers = Peers::start(config).await;
    let vestibule = Vestibule::start(VestibuleConfig::for_peers(&peers)).await;
    let mut browser = Browser::new();
    vestibule.sign_in(&mut browser, &peers, peers.bob()).await;
    let session = vestibule.session(&mut browser).await.json();
    assert_eq!(session["did"], peers.bob().did.as_str());
    assert_eq!(session["handle"], "bob.test");
}

#[tokio::test]
async fn a_did_signs_in_and_its_handle_is_shown_as_verified() {
    let (peers, vestibule, mut browser) = scene().await;
    let page = vestibule.begin(&mut browser, &peers.alice().did).await;
    comes_back_as_alice(peers, &vestibule, &mut browser, &page).await;
}

#[tokio::test]
async fn the_address_of_a_server_signs_in_whoever_says_so_there() {
    let (peers, vestibule, mut browser) = scene().await;
    let page = vestibule.begin(&mut browser, &peers.pds).await;
    assert!(!page.contains("login_hint"));
    comes_back_as_alice(peers, &vestibule, &mut browser, &page).await;
}

#[tokio::test]
async fn a_handle_as_people_type_and_paste_it_signs_in_by_post_and_by_get() {
    let (peers, vestibule, mut browser) = scene().await;
    let page = vestibule.begin(&mut browser, "@Alice.test ").await;
    comes_back_as_alice(peers, &vestibule, &mut browser, &page).await;

    let mut browser = Browser::new();
    let answer = browser.visit(&vestibule.url("/login?handle=%40Alice.test%20")).await;
    assert_eq!(answer.status(), 303, "{}", answer.text());
    comes_back_as_alice(peers, &vestibule, &mut browser, &answer.location()).await;

    // All lead to the same page; one consent more would show nothing new.
    for typed in ["ALICE.TEST", "at://alice.test", "\u{202a}alice.test\u{202c}", "\talice.test\n"] {
        let page = vestibule.begin(&mut Browser::new(), typed).await;
        assert!(page.starts_with(&peers.pds), "{typed:?}: {page}");
    }
}

#[tokio::test]
async fn a_person_who_refuses_is_told_so_and_not_signed_in() {
    let (peers, vestibule, mut browser) = scene().await;
    for page_wanted in [true, false] {
        let page = vestibule.begin(&mut browser, "alice.test").await;
        let callback = peers.consent(&page, peers.alice(), Decision::Deny).await.unwrap();
        let answer = if page_wanted {
            browser.arrive(&callback).await
        } else {
            browser.get(&callback, &[("accept", "application/json")]).await
        };
        is_refused(&vestibule, &mut browser, &answer, 403, "access_denied").await;
        let kind = answer.header("content-type").unwrap();
        if page_wanted {
            assert!(kind.starts_with("text/html"), "{kind}");
            assert!(answer.text().contains("<form method=\"post\" action=\"/login\">"), "{}", answer.text());
        } else {
            assert_eq!(kind, "application/json");
            assert_eq!(answer.json()["error"], "access_denied");
        }
    }
    assert_eq!(peers.tokens_of(&vestibule.url("/")).await.issued, []);
}

#[tokio::test]
async fn r81_another_account_than_the_one_named_is_refused_and_its_tokens_given_back() {
    let (peers, vestibule, mut browser) = scene().await;
    let page = vestibule.begin(&mut browser, "alice.test").await;
    let callback = peers.consent(&page, peers.bob(), Decision::Allow).await.unwrap();
    let answer = browser.arrive(&callback).await;
    is_refused(&vestibule, &mut browser, &answer, 403, "account_mismatch").await;
    let tokens = peers.tokens_of(&vestibule.url("/")).await;
    let dids: Vec<_> = tokens.issued.iter().map(|issued| issued.did.as_str()).collect();
    assert_eq!(dids, [peers.bob().did.as_str()]);
    assert_eq!(tokens.alive, []);
}

#[tokio::test]
async fn scopes_that_the_person_unticks_are_not_in_the_session() {
    let peers = Peers::shared().await;
    let config = VestibuleConfig::for_peers(peers)
        .with_file("vestibule.toml", "[atproto]\nscope = \"atproto transition:generic\"\n");
    let vestibule = Vestibule::start(config).await;
    let full = json!("atproto transition:generic");
    for (decision, granted) in [(Decision::Allow, full), (Decision::AllowScopes("atproto"), json!("atproto"))]
    {
        let mut browser = Browser::new();
        let page = vestibule.begin(&mut browser, "alice.test").await;
        let callback = peers.consent(&page, peers.alice(), decision).await.unwrap();
        assert_eq!(browser.arrive(&callback).await.status(), 303, "{}", vestibule.logs());
        assert_eq!(vestibule.session(&mut browser).await.json()["scope"], granted);
        let home = browser.visit(&vestibule.url("/")).await.text();
        assert_eq!(home.contains("transition:generic"), granted != "atproto", "{home}");
    }
}

#[tokio::test]
async fn a_configuration_file_may_lie_anywhere() {
    let peers = Peers::shared().await;
    let config = VestibuleConfig::for_peers(peers)
        .with_file("elsewhere.toml", "[atproto]\nscope = \"atproto transition:email\"\n");
    let path = config.folder.file("elsewhere.toml").display().to_string();
    let vestibule = Vestibule::start(config.with_args(&["--config", &path])).await;
    let metadata = Browser::new().get(&vestibule.url("/client-metadata.json"), &[]).await.json();
    assert_eq!(metadata["scope"], "atproto transition:email");
}

#[tokio::test]
async fn what_leads_to_nobody_says_what_to_do_and_keeps_its_code() {
    let (_, vestibule, mut browser) = scene().await;
    let rows = [
        ("", 400, "missing_handle"),
        ("  ", 400, "missing_handle"),
        ("alice", 400, "invalid_handle"),
        ("alice@test.example", 400, "invalid_handle"),
        ("nobody.test", 400, "invalid_handle"),
        ("did:plc:aaaaaaaaaaaaaaaaaaaaaaaa", 502, "bad_response"),
    ];
    for (typed, status, code) in rows {
        let answer = browser.submit(&vestibule.url("/login"), &[("handle", typed)]).await;
        assert_eq!(answer.status(), status, "{typed:?}: {}\n{}", answer.text(), vestibule.logs());
        assert!(answer.header("content-type").unwrap().starts_with("text/html"));
        assert!(answer.text().contains(code), "{typed:?}: {}", answer.text());

        let url = vestibule.url("/login");
        let answer = browser.post_form(&url, &[("handle", typed)], &[("accept", "application/json")]).await;
        assert_eq!((answer.status(), &answer.json()["error"]), (status, &Value::from(code)), "{typed:?}");
    }
}

#[tokio::test]
async fn s20_a_login_is_not_started_by_another_site() {
    let (_, vestibule, mut browser) = scene().await;
    let url = vestibule.url("/login");
    let answer = browser.submit_from("https://evil.example", &url, &[("handle", "alice.test")]).await;
    is_refused(&vestibule, &mut browser, &answer, 403, "cross_site_request").await;
    // A link, a picture and a prefetch.
    for headers in [
        &[("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")][..],
        &[("sec-fetch-site", "same-origin"), ("sec-fetch-mode", "no-cors"), ("sec-fetch-dest", "image")],
        &[("sec-fetch-site", "none"), ("sec-purpose", "prefetch")],
    ] {
        let answer = browser.get(&vestibule.url("/login?handle=alice.test"), headers).await;
        is_refused(&vestibule, &mut browser, &answer, 403, "cross_site_request").await;
    }
}

#[tokio::test]
async fn a_form_that_is_none_or_too_large_is_refused() {
    let (_, vestibule, mut browser) = scene().await;
    let url = vestibule.url("/login");
    let large = "a".repeat(17 * 1024);
    assert_eq!(browser.submit(&url, &[("handle", &large)]).await.status(), 413);
    let twice = [("handle", "alice.test"), ("handle", "bob.test")];
    let answer = browser.submit(&url, &twice).await;
    assert_eq!(answer.status(), 400);
    assert!(answer.text().contains("duplicate_param"), "{}", answer.text());
    let json =
        http::Request::post(&url).header("content-type", "application/json").body("{}".into()).unwrap();
    assert_eq!(browser.send(json).await.status(), 415);
}
