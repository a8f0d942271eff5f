//! The authorization server as apps and people meet it: the program as it is shipped, people who sign in at the real AT Protocol
//! servers, and clients that know no more of it than its issuer.

mod e2e_app;

use e2e_app::{App, CALLBACK, client_command, code, decides, send, signs_in};
use serde_json::{Value, json};
use vestibule_tests::oauth::{Ask, Key, VERIFIER, sign};
use vestibule_tests::{Answer, Browser, Outcome, Peers, Vestibule, VestibuleConfig, ledger};

/// A server, and a browser that has never been there.
async fn scene() -> (&'static Peers, Vestibule, Browser) {
    let peers = Peers::shared().await;
    (peers, Vestibule::start(VestibuleConfig::for_peers(peers)).await, Browser::new())
}

#[tokio::test]
async fn a_client_that_knows_only_the_issuer_gets_tokens_for_a_person_with_a_handle() {
    let (peers, vestibule, mut browser) = scene().await;
    let app = App::add(
        &vestibule,
        &[
            "Notes",
            "--redirect-uri",
            CALLBACK,
            "--serves",
            "https://notes.test",
            "--resource",
            "https://notes.test",
        ],
    )
    .await;

    let metadata = Browser::new().get(&vestibule.url("/.well-known/oauth-authorization-server"), &[]).await;
    assert_eq!(metadata.status(), 200);
    let metadata = metadata.json();
    let at =
        |name: &str| metadata[name].as_str().unwrap_or_else(|| panic!("no {name} in {metadata}")).to_owned();
    assert_eq!(at("issuer"), vestibule.url(""));
    assert_eq!(metadata["code_challenge_methods_supported"], json!(["S256"]));
    assert_eq!(metadata["authorization_response_iss_parameter_supported"], json!(true));

    // Who is not signed in sees the sign-in page, with the app's name and whom it thinks they are.
    assert!(app.link(&vestibule, "").starts_with(&at("authorization_endpoint")));
    let page = browser.arrive(&app.link(&vestibule, "&login_hint=alice.test")).await;
    assert_eq!(page.status(), 200, "{}", page.text());
    assert!(page.text().contains("Notes"), "{}", page.text());
    assert_eq!(page.field("handle").as_deref(), Some("alice.test"));
    let page = signs_in(&vestibule, &mut browser, peers, peers.alice(), &page).await;
    assert_eq!(page.status(), 200, "{}", page.text());
    assert!(page.text().contains("Notes") && page.text().contains("@alice.test"), "{}", page.text());
    let back = decides(&vestibule, &mut browser, &page, "allow").await;
    assert_eq!(back.status(), 303, "{}\n{}", back.text(), vestibule.logs());
    assert!(back.location().starts_with("https://app.test/cb?"), "{}", back.location());
    assert_eq!(back.location_parameter("state").as_deref(), Some("xyz"));
    assert_eq!(back.location_parameter("iss"), Some(at("issuer")));
    let code = back.location_parameter("code").unwrap();

    // The button pressed twice: one code.
    let again = decides(&vestibule, &mut browser, &page, "allow").await;
    assert_eq!(again.status(), 400, "{}", again.text());
    assert!(again.text().contains("Start again in the app"), "{}", again.text());

    let ask = app.asks(&at("token_endpoint")).fields(&[
        ("grant_type", "authorization_code"),
        ("code", &code),
        ("redirect_uri", CALLBACK),
        ("code_verifier", VERIFIER),
    ]);
    let first = send(ask).await;
    assert_eq!(first.status, 200, "{}\n{}", first.json, vestibule.logs());
    assert_eq!(first.json["token_type"], "Bearer");
    assert_eq!(first.json["scope"], "openid profile");
    assert_eq!(first.json["expires_in"], 600);
    assert_eq!(first.header("cache-control"), Some("no-store"));

    let refresh = app
        .asks(&at("token_endpoint"))
        .fields(&[("grant_type", "refresh_token"), ("refresh_token", first.text("refresh_token"))]);
    let second = send(refresh).await;
    assert_eq!(second.status, 200, "{}", second.json);
    assert_ne!(second.text("refresh_token"), first.text("refresh_token"));

    let introspect = app.asks(&at("introspection_endpoint")).field("token", second.text("access_token"));
    let facts = send(introspect.clone()).await.json;
    assert_eq!(facts["active"], true, "{facts}");
    assert_eq!(facts["sub"], peers.alice().did.as_str());
    assert_eq!(facts["client_id"], app.id.as_str());
    assert_eq!(facts["iss"], at("issuer"));

    let revoke = app.asks(&at("revocation_endpoint")).field("token", second.text("refresh_token"));
    assert_eq!(send(revoke).await.status, 200);
    assert_eq!(send(introspect).await.json, json!({ "active": false }));
    let refresh = app.refreshes(&vestibule, second.text("refresh_token"));
    assert_eq!(send(refresh).await.said(), "400 invalid_grant");

    // The access token is one that its resource reads by itself.
    let jwks = Browser::new().get(&at("jwks_uri"), &[]).await.json();
    assert_eq!(jwks["keys"][0]["crv"], "P-256", "{jwks}");
    assert!(jwks["keys"][0]["kid"].is_string() && jwks["keys"][0].get("d").is_none(), "{jwks}");
}

#[tokio::test]
async fn a_person_who_says_no_goes_back_to_the_app_with_that() {
    let (peers, vestibule, mut browser) = scene().await;
    let app = App::add(&vestibule, &["Notes", "--redirect-uri", CALLBACK]).await;
    vestibule.sign_in(&mut browser, peers, peers.alice()).await;
    let page = browser.arrive(&app.link(&vestibule, "")).await;
    let back = decides(&vestibule, &mut browser, &page, "deny").await;
    assert_eq!(back.location_parameter("error").as_deref(), Some("access_denied"), "{}", back.location());
    assert_eq!(back.location_parameter("state").as_deref(), Some("xyz"));
    assert_eq!(back.location_parameter("iss"), Some(vestibule.url("")));
    // Another site cannot press the button.
    let page = browser.arrive(&app.link(&vestibule, "")).await;
    let request = page.field("request_uri").unwrap();
    let fields = [
        ("client_id", &*app.id),
        ("request_uri", &request),
        ("subject", &peers.alice().did),
        ("decision", "allow"),
    ];
    let answer = browser.submit_from("https://evil.test", &vestibule.url("/oauth2/authorize"), &fields).await;
    assert_eq!(answer.status(), 403, "{}", answer.text());
    assert!(answer.text().contains("cross_site_request"), "{}", answer.text());
}

#[tokio::test]
async fn two_tabs_sign_in_for_two_apps_at_once() {
    let (peers, vestibule, mut browser) = scene().await;
    let notes = App::add(&vestibule, &["Notes", "--redirect-uri", CALLBACK]).await;
    let photos = App::add(&vestibule, &["Photos", "--redirect-uri", "https://photos.test/cb"]).await;
    let first = browser.arrive(&notes.link(&vestibule, "")).await;
    let second = browser.arrive(&photos.link(&vestibule, "")).await;
    // Both were there before anybody was signed in; the second one comes back first.
    let second = signs_in(&vestibule, &mut browser, peers, peers.alice(), &second).await;
    assert!(second.text().contains("Photos"), "{}", second.text());
    let first = signs_in(&vestibule, &mut browser, peers, peers.alice(), &first).await;
    assert!(first.text().contains("Notes"), "{}", first.text());
    let back = decides(&vestibule, &mut browser, &first, "allow").await;
    assert!(back.location().starts_with(CALLBACK), "{}", back.location());
    let back = decides(&vestibule, &mut browser, &second, "allow").await;
    assert!(back.location().starts_with("https://photos.test/cb"), "{}", back.location());
}

#[tokio::test]
async fn who_is_asked_again_is_as_the_app_says() {
    let (peers, vestibule, mut browser) = scene().await;
    let app = App::add(&vestibule, &["Notes", "--redirect-uri", CALLBACK]).await;
    let error = |answer: &Answer| answer.location_parameter("error");

    let back = browser.arrive(&app.link(&vestibule, "&prompt=none")).await;
    assert_eq!(error(&back).as_deref(), Some("login_required"), "{}", back.location());
    vestibule.sign_in(&mut browser, peers, peers.alice()).await;
    let back = browser.arrive(&app.link(&vestibule, "&prompt=none")).await;
    assert_eq!(error(&back).as_deref(), Some("consent_required"), "{}", back.location());

    let granted = code(&vestibule, &mut browser, &app).await;
    assert_eq!(send(app.redeems(&vestibule, &granted)).await.status, 200);
    let back = browser.arrive(&app.link(&vestibule, "&prompt=none")).await;
    assert!(back.location_parameter("code").is_some(), "{}", back.location());
    let page = browser.arrive(&app.link(&vestibule, "&prompt=consent")).await;
    assert!(page.field("decision").is_some(), "{}", page.text());
    // A place is part of what was said yes to.
    let resources = ["https://api-a.test", "https://api-b.test"];
    let both = App::add(
        &vestibule,
        &["Both", "--redirect-uri", CALLBACK, "--resource", resources[0], "--resource", resources[1]],
    )
    .await;
    let a = format!("&resource={}", resources[0]);
    let page = browser.arrive(&both.link(&vestibule, &a)).await;
    let granted = decides(&vestibule, &mut browser, &page, "allow").await.location_parameter("code").unwrap();
    assert_eq!(send(both.redeems(&vestibule, &granted)).await.status, 200);
    for (more, agreed) in [(a.as_str(), true), ("", false), (&format!("&resource={}", resources[1]), false)] {
        let back = browser.arrive(&both.link(&vestibule, &format!("{more}&prompt=none"))).await;
        let error = error(&back);
        assert_eq!(error.as_deref(), if agreed { None } else { Some("consent_required") }, "{more}");
    }

    // To sign in again is to sign in again, even for whoever finds the form that says yes.
    for more in ["&prompt=login", "&prompt=select_account", "&max_age=0"] {
        vestibule_tests::clock_shows(now() + 2).await;
        let page = browser.arrive(&app.link(&vestibule, more)).await;
        let return_to = page.field("return_to").unwrap_or_else(|| panic!("{more}: {}", page.text()));
        let request = url::Url::parse(&vestibule.url(&return_to)).unwrap();
        let request = request.query_pairs().find(|(name, _)| name == "request_uri").unwrap().1.into_owned();
        let fields = [
            ("client_id", &*app.id),
            ("request_uri", &request),
            ("subject", &peers.alice().did),
            ("decision", "allow"),
        ];
        let answer = browser.submit(&vestibule.url("/oauth2/authorize"), &fields).await;
        assert_eq!(
            (answer.status(), answer.field("return_to").is_some()),
            (200, true),
            "{more}: {}",
            answer.text()
        );
        let page = signs_in(&vestibule, &mut browser, peers, peers.alice(), &page).await;
        assert!(page.field("decision").is_some(), "{more}: {}", page.text());
        let back = decides(&vestibule, &mut browser, &page, "allow").await;
        assert!(back.location_parameter("code").is_some(), "{more}: {}", back.location());
    }
    let back = browser.arrive(&app.link(&vestibule, "&prompt=none%20login")).await;
    assert_eq!(error(&back).as_deref(), Some("invalid_request"), "{}", back.location());
}

#[tokio::test]
async fn who_may_not_be_sent_back_sees_a_page_and_goes_nowhere() {
    let (_, vestibule, mut browser) = scene().await;
    let app = App::add(&vestibule, &["Notes", "--redirect-uri", CALLBACK]).await;
    let unknown = App { id: "nobody".to_owned(), secret: None };
    for (link, code) in [
        (unknown.link(&vestibule, ""), "invalid_client"),
        (app.link(&vestibule, "&redirect_uri=https%3A%2F%2Fevil.test%2Fcb"), "invalid_request"),
        (app.link(&vestibule, "&redirect_uri=https%3A%2F%2Fapp.test%2Fcb%2F"), "invalid_request"),
        (
            app.link(&vestibule, "&request_uri=urn%3Aietf%3Aparams%3Aoauth%3Arequest_uri%3Avpr_nothing"),
            "invalid_request_uri",
        ),
    ] {
        let answer = browser.arrive(&link).await;
        assert_eq!(answer.status(), 400, "{link}: {}", answer.text());
        assert!(answer.text().contains(&format!("<code>{code}:")), "{link}: {}", answer.text());
    }
}

#[tokio::test]
async fn a_request_that_was_pushed_is_answered_once() {
    let (peers, vestibule, mut browser) = scene().await;
    let app = App::add(&vestibule, &["Notes", "--redirect-uri", CALLBACK, "--require-pushed"]).await;
    vestibule.sign_in(&mut browser, peers, peers.alice()).await;
    let back = browser.arrive(&app.link(&vestibule, "")).await;
    assert_eq!(back.location_parameter("error").as_deref(), Some("invalid_request"), "{}", back.location());

    let link = url::Url::parse(&app.link(&vestibule, "")).unwrap();
    let push = link
        .query_pairs()
        .filter(|(name, _)| name != "client_id")
        .fold(app.asks(&vestibule.url("/oauth2/par")), |ask, (name, value)| ask.field(&name, &value));
    let pushed = send(push).await;
    assert_eq!(pushed.status, 201, "{}", pushed.json);
    let query = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("client_id", &app.id)
        .append_pair("request_uri", pushed.text("request_uri"))
        .finish();
    let page = browser.arrive(&vestibule.url(&format!("/oauth2/authorize?{query}"))).await;
    let back = decides(&vestibule, &mut browser, &page, "allow").await;
    let code = back.location_parameter("code").unwrap();
    assert_eq!(send(app.redeems(&vestibule, &code)).await.status, 200);
    let page = browser.arrive(&vestibule.url(&format!("/oauth2/authorize?{query}"))).await;
    assert_eq!(page.status(), 400, "{}", page.text());
}

#[tokio::test]
async fn a_device_is_let_in_by_a_person_who_looks_at_it() {
    let (peers, vestibule, mut browser) = scene().await;
    let app =
        App::add(&vestibule, &["Telly", "--public", "--grant", "device_code", "--grant", "refresh_token"])
            .await;
    let begin = || app.asks(&vestibule.url("/oauth2/device_authorization")).field("scope", "openid");
    let begun = send(begin()).await;
    assert_eq!(begun.status, 200, "{}", begun.json);
    assert_eq!(begun.text("verification_uri"), vestibule.url("/oauth2/device"));
    let poll = |code: &str| {
        let grant = "urn:ietf:params:oauth:grant-type:device_code";
        send(
            app.asks(&vestibule.url("/oauth2/token")).fields(&[("grant_type", grant), ("device_code", code)]),
        )
    };
    assert_eq!(poll(begun.text("device_code")).await.said(), "400 authorization_pending");

    // The link of the QR code: first sign in, then look, then say yes.
    let page = browser.visit(begun.text("verification_uri_complete")).await;
    let page = signs_in(&vestibule, &mut browser, peers, peers.alice(), &page).await;
    assert!(
        page.text().contains("Telly") && page.text().contains(begun.text("user_code")),
        "{}",
        page.text()
    );
    let subject = page.field("subject").unwrap();
    let fields = [("user_code", begun.text("user_code")), ("subject", &subject), ("decision", "allow")];
    let answer = browser.submit(&vestibule.url("/oauth2/device"), &fields).await;
    assert_eq!(answer.status(), 200, "{}", answer.text());
    assert!(answer.text().contains("The device is signed in"), "{}", answer.text());
    vestibule_tests::clock_shows(now() + begun.json["interval"].as_u64().unwrap()).await;
    let tokens = poll(begun.text("device_code")).await;
    assert_eq!(tokens.status, 200, "{}", tokens.json);
    assert_eq!(poll(begun.text("device_code")).await.said(), "400 invalid_grant");

    // Typed by hand, and refused.
    let begun = send(begin()).await;
    let typed = begun.text("user_code").replace('-', " ").to_lowercase();
    let page = browser.submit(&vestibule.url("/oauth2/device"), &[("user_code", &typed)]).await;
    assert!(page.field("decision").is_some(), "{}", page.text());
    let fields = [("user_code", begun.text("user_code")), ("subject", &subject), ("decision", "deny")];
    let answer = browser.submit(&vestibule.url("/oauth2/device"), &fields).await;
    assert!(answer.text().contains("The device was refused"), "{}", answer.text());
    assert_eq!(poll(begun.text("device_code")).await.said(), "400 access_denied");

    // Guessed: told so, and after a while told to wait.
    let mut statuses = Vec::new();
    for _ in 0..12 {
        let answer = browser.submit(&vestibule.url("/oauth2/device"), &[("user_code", "BCDF-GHJK")]).await;
        statuses.push(answer.status());
    }
    assert_eq!(statuses, [vec![400; 10], vec![429; 2]].concat());
    // And then the right one waits as well: who guesses must not learn which it was.
    let begun = send(begin()).await;
    let right = begun.text("user_code");
    let answer = browser.submit(&vestibule.url("/oauth2/device"), &[("user_code", right)]).await;
    assert_eq!(answer.status(), 429, "{}", answer.text());
    let fields = [("user_code", right), ("subject", &subject), ("decision", "allow")];
    assert_eq!(browser.submit(&vestibule.url("/oauth2/device"), &fields).await.status(), 429);
    assert_eq!(poll(begun.text("device_code")).await.said(), "400 authorization_pending");
    // Somebody else is not kept waiting.
    let mut other = Browser::new();
    vestibule.sign_in(&mut other, peers, peers.bob()).await;
    let page = other.submit(&vestibule.url("/oauth2/device"), &[("user_code", right)]).await;
    assert!(page.field("decision").is_some(), "{}", page.text());
}

/// The hidden field of the form that stands behind this app's name.
fn granted_to(page: &str, app: &str) -> String {
    let behind = page.split(app).nth(1).and_then(|rest| rest.split("name=\"grant\" value=\"").nth(1));
    behind.and_then(|rest| rest.split('"').next()).expect("a connection of this app").to_owned()
}

#[tokio::test]
async fn ending_app_connections_and_signing_out_everywhere_are_two_acts() {
    let (peers, vestibule, mut browser) = scene().await;
    let notes = App::add(&vestibule, &["Notes", "--redirect-uri", CALLBACK]).await;
    let photos = App::add(&vestibule, &["Photos", "--redirect-uri", CALLBACK]).await;
    let mut other_browser = Browser::new();
    vestibule.sign_in(&mut browser, peers, peers.alice()).await;
    vestibule.sign_in(&mut other_browser, peers, peers.alice()).await;
    let granted = code(&vestibule, &mut browser, &notes).await;
    let notes_token = send(notes.redeems(&vestibule, &granted)).await.text("refresh_token").to_owned();
    let granted = code(&vestibule, &mut browser, &photos).await;
    let photos_token = send(photos.redeems(&vestibule, &granted)).await.text("refresh_token").to_owned();

    let home = browser.visit(&vestibule.url("/")).await;
    for word in ["Notes", "Photos", "End all app connections", "Sign out everywhere"] {
        assert!(home.text().contains(word), "no {word} in {}", home.text());
    }
    // One app.
    let grant = granted_to(&home.text(), "Photos");
    let answer = browser.submit(&vestibule.url("/connections/end"), &[("grant", &grant)]).await;
    assert_eq!(answer.status(), 303, "{}", answer.text());
    assert_eq!(send(photos.refreshes(&vestibule, &photos_token)).await.said(), "400 invalid_grant");
    let notes_token = send(notes.refreshes(&vestibule, &notes_token)).await.text("refresh_token").to_owned();

    // Everywhere: no browser is signed in, and the app is.
    let answer = other_browser.submit_from("https://evil.test", &vestibule.url("/sessions/end"), &[]).await;
    assert_eq!(answer.status(), 403);
    let answer = other_browser.submit(&vestibule.url("/sessions/end"), &[]).await;
    assert_eq!(answer.status(), 303, "{}", answer.text());
    assert_eq!(vestibule.session(&mut browser).await.status(), 401);
    assert_eq!(vestibule.session(&mut other_browser).await.status(), 401);
    let notes_token = send(notes.refreshes(&vestibule, &notes_token)).await.text("refresh_token").to_owned();
    // The session at the person's server that the app's grant came from lives on, the other one does not.
    vestibule.says("web: signed out session=").await;
    assert_eq!(peers.tokens_of(&vestibule.url("/")).await.alive.len(), 1, "{}", vestibule.logs());

    // All apps: the browser stays signed in, and the last use of the old session is over.
    vestibule.sign_in(&mut browser, peers, peers.alice()).await;
    let answer = browser.submit(&vestibule.url("/connections/end"), &[]).await;
    assert_eq!(answer.status(), 303, "{}", answer.text());
    assert_eq!(send(notes.refreshes(&vestibule, &notes_token)).await.said(), "400 invalid_grant");
    assert_eq!(vestibule.session(&mut browser).await.status(), 200);
    let home = browser.visit(&vestibule.url("/")).await;
    assert!(!home.text().contains("End all app connections"), "{}", home.text());
    assert!(vestibule.logs().contains("the person ended it"), "{}", vestibule.logs());
}

#[tokio::test]
async fn clients_are_added_listed_changed_and_removed_beside_a_running_server() {
    let (peers, vestibule, mut browser) = scene().await;
    let added = client_command(&vestibule, &["add", "Wiki", "--redirect-uri", CALLBACK, "--no-pkce"]).await;
    assert_eq!(added.code, Some(0), "{added:?}");
    assert!(added.stderr.contains("warning") && added.stderr.contains("PKCE"), "{added:?}");
    let line = |name: &str, outcome: &Outcome| {
        outcome.stdout.lines().find_map(|line| line.strip_prefix(&format!("{name}: "))).unwrap().to_owned()
    };
    let (id, secret) = (line("client_id", &added), line("client_secret", &added));
    ledger::note("client secret", &secret);
    assert!(secret.len() >= 40 && secret.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'), "{secret}");

    let listed = client_command(&vestibule, &["list"]).await;
    assert!(
        listed.stdout.contains(&id) && listed.stdout.contains("Wiki") && !listed.stdout.contains(&secret)
    );
    let listed = client_command(&vestibule, &["list", "--json"]).await;
    let listed: Value = serde_json::from_str(&listed.stdout).unwrap();
    assert_eq!(listed[0]["client_name"], "Wiki");
    assert_eq!(listed[0]["pkce_required"], false);
    assert!(!listed.to_string().contains("secret\""), "{listed}");

    // Without a challenge, because this one may; each use is in the log.
    vestibule.sign_in(&mut browser, peers, peers.alice()).await;
    let link = format!("/oauth2/authorize?response_type=code&client_id={id}&scope=openid");
    let page = browser.arrive(&vestibule.url(&link)).await;
    let back = decides(&vestibule, &mut browser, &page, "allow").await;
    let code = back.location_parameter("code").unwrap();
    let redeem = |secret: &str| {
        Ask::post(vestibule.url("/oauth2/token"))
            .fields(&[("grant_type", "authorization_code"), ("code", &code)])
            .basic(&id, secret)
    };

    // A new secret; the old one is good beside it until there is another.
    let updated = client_command(&vestibule, &["update", &id, "--new-secret", "--name", "The wiki"]).await;
    let newer = line("client_secret", &updated);
    ledger::note("client secret", &newer);
    assert_eq!(send(redeem("wrong")).await.said(), "401 invalid_client");
    let tokens = send(redeem(&secret)).await;
    assert_eq!(tokens.status, 200, "{}", tokens.json);
    assert!(vestibule.logs().contains("without PKCE"), "{}", vestibule.logs());
    let refresh = |secret: &str, token: &str| {
        Ask::post(vestibule.url("/oauth2/token"))
            .fields(&[("grant_type", "refresh_token"), ("refresh_token", token)])
            .basic(&id, secret)
    };
    let tokens = send(refresh(&newer, tokens.text("refresh_token"))).await;
    assert_eq!(tokens.status, 200, "{}", tokens.json);

    // Removed: it is nobody any more.
    let removed = client_command(&vestibule, &["remove", &id]).await;
    assert_eq!(removed.code, Some(0), "{removed:?}");
    assert_eq!(send(refresh(&newer, tokens.text("refresh_token"))).await.said(), "401 invalid_client");
    let again = client_command(&vestibule, &["remove", &id]).await;
    assert_ne!(again.code, Some(0));
    assert!(again.stderr.contains("there is no client called"), "{again:?}");
}

#[tokio::test]
async fn a_client_that_could_not_work_is_not_added() {
    let (_, vestibule, _) = scene().await;
    for (args, why) in [
        (&["add", "A"][..], "needs a redirect URI"),
        (&["add", "A", "--redirect-uri", "http://app.test/cb"], "plain http is for this machine only"),
        (&["add", "A", "--redirect-uri", "https://app.test/cb#top"], "redirect URI"),
        (&["add", "A", "--public", "--no-pkce", "--redirect-uri", CALLBACK], "nothing but PKCE"),
        (&["add", "A", "--public", "--grant", "client_credentials"], "confidential clients"),
        (&["add", "A", "--auth-method", "private_key_jwt", "--redirect-uri", CALLBACK], "--jwks"),
        (
            &["add", "A", "--auth-method", "tls_client_auth", "--redirect-uri", CALLBACK],
            "authentication method",
        ),
        (&["add", "A", "--jwks", "nowhere.json", "--redirect-uri", CALLBACK], "nowhere.json: cannot be read"),
        (&["add", "A", "--redirect-uri", CALLBACK, "--scope", "a\"b"], "scope"),
    ] {
        let outcome = client_command(&vestibule, args).await;
        assert_ne!(outcome.code, Some(0), "{args:?}");
        assert!(outcome.stderr.contains(why), "{args:?}: {}", outcome.stderr);
    }
    let listed = client_command(&vestibule, &["list", "--json"]).await;
    assert_eq!(listed.stdout.trim(), "[]");
}

#[tokio::test]
async fn a_client_with_keys_is_added_from_a_file_and_uses_them() {
    let (_, vestibule, _) = scene().await;
    let file = vestibule.config().folder.file("keys.json");
    std::fs::write(&file, Key(7).jwks()).unwrap();
    let args = [
        "Job",
        "--jwks",
        &file.display().to_string(),
        "--grant",
        "client_credentials",
        "--scope",
        "read",
        "--access-token",
        "opaque",
    ];
    let app = App::add(&vestibule, &args).await;
    assert_eq!(app.secret, None);
    let assertion = |aud: &str, jti: &str| {
        let (id, exp) = (&app.id, now() + 60);
        let claims = format!(r#"{{"iss":"{id}","sub":"{id}","aud":"{aud}","jti":"{jti}","exp":{exp}}}"#);
        sign(r#"{"alg":"ES256"}"#, &claims, Key(7))
    };
    let ask = |assertion: &str| {
        Ask::post(vestibule.url("/oauth2/token")).fields(&[
            ("grant_type", "client_credentials"),
            ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
            ("client_assertion", assertion),
        ])
    };
    let token = send(ask(&assertion(&vestibule.url(""), "one"))).await;
    assert_eq!(token.status, 200, "{}", token.json);
    assert!(token.text("access_token").starts_with("vat_"), "{}", token.json);
    assert_eq!(
        send(ask(&assertion(&vestibule.url("/oauth2/token"), "two"))).await.said(),
        "400 invalid_client"
    );
}

fn now() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()
}
