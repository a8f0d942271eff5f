//! What the server shows of itself: documents, methods, headers, names, and what it says on its two outputs.

use serde_json::json;

use vestibule_tests::{Answer, Browser, Decision, Peers, Vestibule, VestibuleConfig};

/// A server that needs no peers: nobody signs in.
async fn alone() -> (Vestibule, Browser) {
    (Vestibule::start(VestibuleConfig::default()).await, Browser::new())
}

async fn ask(browser: &mut Browser, method: &str, url: &str, accept: &str) -> Answer {
    let request = http::Request::builder().method(method).uri(url).header("accept", accept);
    browser.send(request.body(Default::default()).unwrap()).await
}

#[tokio::test]
async fn the_published_documents_describe_the_client_of_development() {
    let (vestibule, mut browser) = alone().await;
    let answer = browser.get(&vestibule.url("/client-metadata.json"), &[]).await;
    assert_eq!((answer.status(), answer.header("content-type")), (200, Some("application/json")));
    let metadata = answer.json();
    assert!(metadata["client_id"].as_str().unwrap().starts_with("http://localhost?"), "{metadata}");
    assert_eq!(metadata["redirect_uris"], json!([vestibule.url("/callback")]));
    assert_eq!(metadata["scope"], "atproto");
    assert_eq!(metadata["dpop_bound_access_tokens"], true);
    assert_eq!(metadata["token_endpoint_auth_method"], "none");

    let answer = browser.get(&vestibule.url("/jwks.json"), &[]).await;
    assert_eq!((answer.status(), answer.json()), (200, json!({ "keys": [] })));
    for path in ["/healthz", "/readyz"] {
        let answer = browser.get(&vestibule.url(path), &[]).await;
        assert_eq!((answer.status(), answer.header("cache-control")), (200, Some("no-store")), "{path}");
    }
    assert!(browser.cookie_names(&vestibule.url("/")).is_empty());
}

#[tokio::test]
async fn an_unknown_address_is_404_in_the_form_that_is_asked_for() {
    let (vestibule, mut browser) = alone().await;
    for path in ["/nothing", "/login/x", "/xrpc", "/callback/x", "/assets/", "/%2e%2e/etc/passwd", "/.env"] {
        let page = browser.visit(&vestibule.url(path)).await;
        assert_eq!(page.status(), 404, "{path}");
        assert!(page.header("content-type").unwrap().starts_with("text/html"), "{path}");
        let json = ask(&mut browser, "GET", &vestibule.url(path), "application/json").await;
        assert_eq!((json.status(), json.json()["error"].as_str()), (404, Some("not_found")), "{path}");
    }
}

#[tokio::test]
async fn a_wrong_method_is_405_and_says_which_are_right() {
    let (vestibule, mut browser) = alone().await;
    for (path, wrong, allow) in [
        ("/", &["POST", "DELETE"][..], "GET, HEAD"),
        ("/session", &["POST", "PUT"], "GET, HEAD"),
        ("/healthz", &["POST"], "GET, HEAD"),
        ("/readyz", &["POST"], "GET, HEAD"),
        ("/assets/style.css", &["POST"], "GET, HEAD"),
        ("/client-metadata.json", &["POST", "OPTIONS"], "GET, HEAD"),
        ("/jwks.json", &["DELETE"], "GET, HEAD"),
        ("/login", &["PUT", "HEAD", "OPTIONS"], "GET, POST"),
        ("/callback", &["DELETE", "HEAD"], "GET, POST"),
        ("/logout", &["GET", "HEAD", "PUT"], "POST"),
        ("/xrpc/com.atproto.server.getSession", &["PUT", "DELETE", "OPTIONS"], "GET, POST"),
    ] {
        for method in wrong {
            let answer = ask(&mut browser, method, &vestibule.url(path), "*/*").await;
            assert_eq!((answer.status(), answer.header("allow")), (405, Some(allow)), "{method} {path}");
        }
    }
}

#[tokio::test]
async fn head_is_get_without_the_body() {
    let (vestibule, mut browser) = alone().await;
    for path in [
        "/",
        "/session",
        "/healthz",
        "/readyz",
        "/client-metadata.json",
        "/jwks.json",
        "/assets/style.css",
        "/nothing",
    ] {
        let get = ask(&mut browser, "GET", &vestibule.url(path), "*/*").await;
        let head = ask(&mut browser, "HEAD", &vestibule.url(path), "*/*").await;
        assert_eq!(head.status(), get.status(), "{path}");
        assert!(head.body().is_empty() && !get.body().is_empty(), "{path}");
        let without_date = |answer: &Answer| {
            let mut headers = answer.headers().clone();
            headers.remove("date");
            headers
        };
        assert_eq!(without_date(&head), without_date(&get), "{path}");
    }
}

#[tokio::test]
async fn pages_run_nothing_are_framed_by_nobody_and_kept_by_no_cache() {
    let peers = Peers::shared().await;
    let vestibule = Vestibule::start(VestibuleConfig::for_peers(peers)).await;
    let mut browser = Browser::new();
    let mut pages = vec![
        browser.visit(&vestibule.url("/")).await,
        browser.visit(&vestibule.url("/nothing")).await,
        browser.submit(&vestibule.url("/login"), &[("handle", "alice")]).await,
        browser.arrive(&vestibule.url("/callback?state=x")).await,
        browser.submit_from("https://evil.example", &vestibule.url("/logout"), &[]).await,
    ];
    vestibule.sign_in(&mut browser, peers, peers.alice()).await;
    pages.push(browser.visit(&vestibule.url("/")).await);
    for page in pages {
        let said = format!("{} {:?}", page.url(), page.headers());
        assert!(page.header("content-type").unwrap().starts_with("text/html"), "{said}");
        let policy = page.header("content-security-policy").unwrap();
        for directive in ["default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'"] {
            assert!(policy.contains(directive), "{said}");
        }
        assert!(!policy.contains("unsafe") && !page.text().contains("<script"), "{said}");
        assert_eq!(page.header("x-content-type-options"), Some("nosniff"), "{said}");
        assert_eq!(page.header("cache-control"), Some("no-store"), "{said}");
        // Under `no-referrer` a form would post `Origin: null`.
        assert_eq!(page.header("referrer-policy"), Some("same-origin"), "{said}");
    }
    for path in ["/session", "/client-metadata.json", "/assets/style.css", "/healthz"] {
        let answer = browser.get(&vestibule.url(path), &[]).await;
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{path}");
        assert!(
            answer.header("content-security-policy").unwrap().contains("frame-ancestors 'none'"),
            "{path}"
        );
    }
    assert_eq!(browser.get(&vestibule.url("/session"), &[]).await.header("cache-control"), Some("no-store"));
    // On plain http this would be a promise that loopback cannot keep.
    assert_eq!(browser.visit(&vestibule.url("/")).await.header("strict-transport-security"), None);
}

#[tokio::test]
async fn what_a_stranger_puts_into_an_address_stays_text_on_the_page() {
    let (vestibule, mut browser) = alone().await;
    let script = "%22%3E%3Cscript%3Ealert(1)%3C%2Fscript%3E";
    for path in [
        format!("/?return_to=%2F{script}"),
        format!("/login?handle={script}"),
        format!("/callback?state={script}&error={script}&error_description={script}"),
        format!("/{script}"),
    ] {
        let page = browser.visit(&vestibule.url(&path)).await;
        assert!(!page.text().contains("<script"), "{path}: {}", page.text());
    }
}

#[tokio::test]
async fn the_name_localhost_leads_to_the_address_that_cookies_are_for() {
    let (vestibule, mut browser) = alone().await;
    let named = format!("http://localhost:{}", vestibule.address().port());
    for path in ["/", "/?return_to=%2Fa", "/login?handle=alice.test"] {
        let answer = browser.visit(&format!("{named}{path}")).await;
        assert_eq!((answer.status(), answer.location()), (303, vestibule.url(path)), "{path}");
        assert!(answer.set_cookies().is_empty(), "{path}");
    }
    assert_eq!(browser.visit(&format!("{named}/healthz")).await.status(), 200);
}

#[tokio::test]
async fn a_server_that_cannot_reach_its_store_is_alive_and_not_ready() {
    let peers = Peers::shared().await;
    let vestibule = Vestibule::start(VestibuleConfig::for_peers(peers)).await;
    let mut browser = Browser::new();
    vestibule.sign_in(&mut browser, peers, peers.alice()).await;
    // A later version has made the file into something that this one does not know.
    let database = vestibule.config().folder.file("vestibule.db");
    let drop = "import sqlite3,sys\nd=sqlite3.connect(sys.argv[1],timeout=20)\n\
                for t in ('flows','sessions','web_sessions','keys'): d.execute('DROP TABLE '+t)\n\
                d.execute('PRAGMA user_version=99')\nd.commit()";
    let done = tokio::process::Command::new("python3").arg("-c").arg(drop).arg(&database).status().await;
    assert!(done.is_ok_and(|status| status.success()));

    let session = vestibule.session(&mut browser).await;
    assert_eq!((session.status(), session.json()["error"].as_str()), (503, Some("temporarily_unavailable")));
    assert!(session.header("retry-after").is_some());
    let page = browser.visit(&vestibule.url("/")).await;
    assert_eq!(page.status(), 503);
    assert!(page.header("content-type").unwrap().starts_with("text/html"));
    assert_eq!(vestibule.query(&mut browser, "com.atproto.server.getSession").await.status(), 503);
    let login = browser.submit(&vestibule.url("/login"), &[("handle", "alice.test")]).await;
    assert_eq!(login.status(), 503, "{}", login.text());
    // Nobody was signed out by that: the cookie is still there.
    assert!(browser.cookie(&vestibule.url("/"), "vestibule.session").is_some());
    assert_eq!(browser.get(&vestibule.url("/healthz"), &[]).await.status(), 200);
    assert_eq!(browser.get(&vestibule.url("/readyz"), &[]).await.status(), 503);
}

#[tokio::test]
async fn standard_output_has_one_line_which_says_where_it_listens() {
    let peers = Peers::shared().await;
    let mut vestibule = Vestibule::start(VestibuleConfig::for_peers(peers)).await;
    let mut browser = Browser::new();
    vestibule.sign_in(&mut browser, peers, peers.alice()).await;
    browser.submit(&vestibule.url("/logout"), &[]).await;
    assert_eq!(vestibule.terminate().await, 0);
    assert_eq!(vestibule.stdout(), format!("listening on {}\n", vestibule.url("")));
    assert!(!vestibule.logs().contains('\u{1b}'), "{}", vestibule.logs());
}

#[tokio::test]
async fn no_secret_is_in_the_logs_even_when_they_say_everything() {
    let peers = Peers::shared().await;
    let config = VestibuleConfig::for_peers(peers)
        .with_file("vestibule.toml", "[atproto]\nscope = \"atproto transition:generic\"\n")
        .with_env("VESTIBULE_LOG", "trace");
    let mut vestibule = Vestibule::start(config).await;
    let mut browser = Browser::new();
    let mut secrets: Vec<(&str, String)> = Vec::new();
    let parameter = |url: &str, name: &str| {
        let url = url::Url::parse(url).unwrap();
        url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned()).unwrap()
    };

    // One login that ends well and one that does not, calls, an upload, a restart, and the sign-out.
    let page = vestibule.begin(&mut browser, "alice.test").await;
    secrets.extend(
        browser
            .cookie_names(&vestibule.url("/"))
            .into_iter()
            .map(|name| ("flow cookie", browser.cookie(&vestibule.url("/"), name).unwrap().to_owned())),
    );
    let callback = peers.consent(&page, peers.alice(), Decision::Allow).await.unwrap();
    secrets.extend(["code", "state"].map(|name| (name, parameter(&callback, name))));
    assert_eq!(Browser::new().arrive(&callback).await.status(), 400);
    assert_eq!(browser.arrive(&callback).await.status(), 303);
    let cookie = browser.cookie(&vestibule.url("/"), "vestibule.session").unwrap().to_owned();
    secrets.push(("session cookie", cookie));
    let mut stranger = Browser::new();
    let page = vestibule.begin(&mut stranger, "alice.test").await;
    let callback = peers.consent(&page, peers.bob(), Decision::Allow).await.unwrap();
    secrets.extend(["code", "state"].map(|name| (name, parameter(&callback, name))));
    assert_eq!(stranger.arrive(&callback).await.status(), 403);

    assert_eq!(vestibule.query(&mut browser, "com.atproto.server.getSession").await.status(), 200);
    let upload = http::Request::post(vestibule.url("/xrpc/com.atproto.repo.uploadBlob"))
        .header("origin", vestibule.url(""))
        .header("content-type", "image/x-test")
        .body(vec![7; 300_000].into())
        .unwrap();
    assert_eq!(browser.send(upload).await.status(), 200);
    let mut logs = vestibule.logs();
    vestibule.restart().await;
    assert_eq!(vestibule.query(&mut browser, "com.atproto.server.getSession").await.status(), 200);
    assert_eq!(browser.submit(&vestibule.url("/logout"), &[]).await.status(), 303);
    vestibule.terminate().await;
    logs.push_str(&vestibule.logs());

    let tokens = peers.tokens_of(&vestibule.url("/")).await;
    assert_eq!((tokens.issued.len(), tokens.alive.len()), (2, 0));
    for issued in tokens.issued {
        // A token's signature alone is in no log either.
        let signature = issued.access.rsplit('.').next().unwrap().to_owned();
        secrets.extend([
            ("access token", issued.access),
            ("its signature", signature),
            ("refresh token", issued.refresh),
        ]);
    }
    let secret = std::fs::read_to_string(vestibule.config().folder.file("vestibule.secret")).unwrap();
    secrets.push(("master secret", secret.trim().to_owned()));
    assert!(logs.contains("TRACE") && logs.contains("signed in"), "{logs}");
    for (what, value) in &secrets {
        assert!(value.len() > 16, "{what} is {value:?}");
        assert!(!logs.contains(value.as_str()), "the {what} is in the logs");
    }
    // Proofs and tokens whose values no test knows.
    for start in ["DPoP ey", "dpop: ey", "Bearer ey", "eyJ"] {
        assert!(!logs.contains(start), "{start:?} is in the logs");
    }
}

#[tokio::test]
async fn logins_are_counted_by_who_starts_them() {
    let args = ["--client-address-header", "x-forwarded-for"];
    let vestibule = Vestibule::start(VestibuleConfig::default().with_args(&args)).await;
    let mut browser = Browser::new();
    let url = vestibule.url("/login?handle=nodot");
    for n in 0..31 {
        // What the person wrote into the header is not believed, what the proxy put behind it is.
        let said = format!("198.51.100.{n}, 203.0.113.9");
        let answer = browser.get(&url, &[("x-forwarded-for", &said)]).await;
        let expected = if n < 30 { (400, "invalid_handle") } else { (429, "rate_limited") };
        assert_eq!((answer.status(), answer.json()["error"].as_str().unwrap()), expected, "start {n}");
        assert_eq!(answer.header("retry-after").is_some(), n == 30);
    }
    let other = browser.get(&url, &[("x-forwarded-for", "203.0.113.10")]).await;
    assert_eq!(other.status(), 400);
    // Without the header there is nobody to count by.
    assert_eq!(browser.get(&url, &[]).await.status(), 400);
}
