//! Other providers than the AT Protocol, as people meet them: the program as it is shipped, a real provider of OpenID Connect with its own
//! pages, one that speaks as GitHub does, and the real AT Protocol servers beside them.

mod e2e_app;

use std::net::SocketAddr;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use e2e_app::{App, CALLBACK, decides, send};
use serde_json::{Value, json};
use vestibule_tests::{
    Answer, Browser, Decision, FakeGitHub, Mode, Peers, PeersConfig, Person, SentBack, SignInPeer, Vestibule,
    VestibuleConfig, free_port,
};

/// A server with two providers beside the AT Protocol, and a browser that has never been there.
struct Scene {
    peers: &'static Peers,
    sso: SignInPeer,
    github: FakeGitHub,
    vestibule: Vestibule,
    browser: Browser,
}

impl Scene {
    async fn new() -> Self {
        let peers = Peers::shared().await;
        let port = free_port();
        let back = format!("http://127.0.0.1:{port}/auth/sso/callback");
        let accounts = json!({
            "ada": { "name": "Ada Lovelace", "preferred_username": "ada", "email": "ada@example.com", "email_verified": true },
            "bob": { "name": "<b>Bob</b>" },
        });
        let (sso, github) =
            (SignInPeer::start(&[&back], accounts).await, FakeGitHub::start(583_231, "octocat").await);
        let config = VestibuleConfig {
            listen: format!("127.0.0.1:{port}"),
            ..VestibuleConfig::for_peers(peers)
                .with_file("sso.secret", SignInPeer::SECRET)
                .with_file("github.secret", FakeGitHub::SECRET)
        };
        let secret = |name: &str| config.folder.file(name).display().to_string();
        let tables = format!(
            "[[provider]]\nname = \"sso\"\nkind = \"oidc\"\nlabel = \"Company SSO\"\nissuer = {:?}\nclient_id = \"our-app\"\n\
             secret_file = {:?}\n\n[[provider]]\nkind = \"github\"\nbase_url = {:?}\nclient_id = \"our-app\"\nsecret_file = {:?}\n",
            sso.issuer(),
            secret("sso.secret"),
            github.url(),
            secret("github.secret")
        );
        let vestibule = Vestibule::start(config.with_file("vestibule.toml", &tables)).await;
        Self { peers, sso, github, vestibule, browser: Browser::new() }
    }

    fn url(&self, path: &str) -> String {
        self.vestibule.url(path)
    }

    /// Presses the button of a provider, with these hidden fields; gives the page that the person is sent to.
    async fn presses(&mut self, provider: &str, fields: &[(&str, &str)]) -> String {
        let answer = self.browser.submit(&self.url(&format!("/auth/{provider}")), fields).await;
        assert_eq!(answer.status(), 303, "{}\n{}", answer.text(), self.vestibule.logs());
        answer.location()
    }

    /// Goes through the pages of the provider `sso` as `person`, and comes back.
    async fn comes_back(&mut self, page: &str, person: Person<'_>) -> Answer {
        match self.sso.passes(&mut self.browser, page, person).await {
            SentBack::To(callback) => self.browser.arrive(&callback).await,
            SentBack::ByForm { action, .. } => panic!("a form to {action}"),
        }
    }

    async fn signs_in_with_sso(&mut self, name: &str, fields: &[(&str, &str)]) -> Answer {
        let page = self.presses("sso", fields).await;
        let answer = self.comes_back(&page, Person::SignsIn(name)).await;
        assert_eq!(answer.status(), 303, "{}\n{}", answer.text(), self.vestibule.logs());
        answer
    }

    async fn signs_in_with_github(&mut self, fields: &[(&str, &str)]) -> Answer {
        let page = self.presses("github", fields).await;
        let back = self.browser.arrive(&page).await.location();
        self.browser.arrive(&back).await
    }

    async fn signs_in_with_handle(&mut self, fields: &[(&str, &str)]) -> Answer {
        let alice = self.peers.alice();
        let mut all = vec![("handle", alice.handle.as_str())];
        all.extend(fields);
        let answer = self.browser.submit(&self.url("/login"), &all).await;
        let callback = self.peers.consent(&answer.location(), alice, Decision::Allow).await.unwrap();
        self.browser.arrive(&callback).await
    }

    async fn signs_out(&mut self) {
        assert_eq!(self.browser.submit(&self.url("/logout"), &[]).await.status(), 303);
    }

    async fn session(&mut self) -> Value {
        let answer = self.vestibule.session(&mut self.browser).await;
        assert_eq!(answer.status(), 200, "{}\n{}", answer.text(), self.vestibule.logs());
        answer.json()
    }

    /// The account that is signed in.
    async fn sub(&mut self) -> String {
        self.session().await["sub"].as_str().unwrap().to_owned()
    }

    async fn page(&mut self) -> String {
        let answer = self.browser.visit(&self.url("/")).await;
        assert_eq!(answer.status(), 200);
        answer.text()
    }

    /// The `sub` that an app is told of whoever is signed in.
    async fn sub_for(&mut self, app: &App) -> String {
        let page = self.browser.arrive(&app.link(&self.vestibule, "")).await;
        let back = decides(&self.vestibule, &mut self.browser, &page, "allow").await;
        let code =
            back.location_parameter("code").unwrap_or_else(|| panic!("no code in {}", back.location()));
        let tokens = send(app.redeems(&self.vestibule, &code)).await;
        let token = tokens.text("access_token").to_owned();
        let payload = token.split('.').nth(1).unwrap_or_else(|| panic!("no JWT: {token}"));
        let claims: Value = serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap();
        claims["sub"].as_str().unwrap().to_owned()
    }
}

const LINK: (&str, &str) = ("intent", "link");

#[tokio::test]
async fn a_person_signs_in_with_a_real_openid_provider_from_the_button_to_their_name() {
    let mut scene = Scene::new().await;
    let page = scene.page().await;
    for button in ["Sign in with Company SSO", "Sign in with GitHub"] {
        assert!(page.contains(button), "{page}");
    }
    let answer = scene.signs_in_with_sso("ada", &[("return_to", "/session")]).await;
    assert_eq!(answer.location(), scene.url("/session"));
    let session = scene.session().await;
    assert_eq!(session["provider"], "sso");
    for lacking in ["did", "handle", "pds", "scope", "expires_at"] {
        assert_eq!(session[lacking], Value::Null, "{lacking}: {session}");
    }
    let page = scene.page().await;
    assert!(page.contains("<h1>ada</h1>") && page.contains("Company SSO"), "{page}");
    assert_eq!(
        scene.browser.cookie_names(&scene.url("/")).iter().filter(|name| name.contains("flow")).count(),
        0
    );

    // Nobody's server is asked for who has none.
    let call = scene.vestibule.query(&mut scene.browser, "com.atproto.server.getSession").await;
    assert_eq!((call.status(), call.json()["error"].as_str()), (403, Some("no_atproto_session")));

    // The same person comes to the same account; another one to another.
    let ada = scene.sub().await;
    scene.signs_out().await;
    scene.signs_in_with_sso("ada", &[]).await;
    assert_eq!(scene.sub().await, ada);
    let mut elsewhere = Scene { browser: Browser::new(), ..scene };
    elsewhere.signs_in_with_sso("bob", &[]).await;
    assert_ne!(elsewhere.sub().await, ada);
    let page = elsewhere.page().await;
    assert!(page.contains("&lt;b&gt;Bob") && !page.contains("<b>Bob"), "{page}");
}

#[tokio::test]
async fn s24_a_sign_in_survives_that_the_provider_changes_its_key() {
    let mut scene = Scene::new().await;
    scene.signs_in_with_sso("ada", &[]).await;
    scene.signs_out().await;
    scene.sso.rotate().await;
    scene.signs_in_with_sso("ada", &[]).await;
    assert_eq!(scene.session().await["provider"], "sso");
}

#[tokio::test]
async fn s21_a_provider_that_answers_by_a_form_behind_tls() {
    const SITE: &str = "https://app.peer.internal";
    let upstream: SocketAddr = ([127, 0, 0, 1], free_port()).into();
    let config =
        PeersConfig { mode: Mode::Https, app_upstream: Some(upstream), ..PeersConfig::on_port_443() };
    let peers = Peers::start(config).await;
    let back = format!("{SITE}/auth/sso/callback");
    let mut sso = SignInPeer::start(&[&back], json!({ "ada": { "preferred_username": "ada" } })).await;
    let config = VestibuleConfig {
        listen: upstream.to_string(),
        ..VestibuleConfig::for_peers(&peers).with_file("sso.secret", SignInPeer::SECRET)
    };
    let table = format!(
        "[[provider]]\nname = \"sso\"\nkind = \"oidc\"\nissuer = {:?}\nclient_id = \"our-app\"\nsecret_file = {:?}\n\
         response_mode = \"form_post\"\n",
        sso.issuer(),
        config.folder.file("sso.secret").display().to_string()
    );
    let config = config.with_file("vestibule.toml", &table).with_args(&["--public-url", SITE]);
    let vestibule = Vestibule::start(config).await;
    let mut browser = Browser::new().reaching_tls(SITE, peers.tls.address, &peers.tls.ca);
    let begin = async |browser: &mut Browser, fields: &[(&str, &str)]| {
        let begun = browser.submit(&format!("{SITE}/auth/sso"), fields).await;
        assert_eq!(begun.status(), 303, "{}\n{}", begun.text(), vestibule.logs());
        let set = begun.set_cookies().join("\n");
        assert!(set.contains("SameSite=None") && set.contains("Secure"), "the flow's cookie alone: {set}");
        begun.location()
    };

    // A code that has been in a URL, and in every log on the way, is not taken.
    let page = begin(&mut browser, &[]).await;
    let (action, fields) = by_form(sso.passes(&mut browser, &page, Person::SignsIn("ada")).await);
    assert_eq!(action, back);
    let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(&fields).finish();
    let refused = browser.arrive(&format!("{action}?{query}")).await;
    assert_eq!(refused.status(), 400);
    assert!(refused.text().contains("invalid_callback_request"), "{}", refused.text());

    let page = begin(&mut browser, &[]).await;
    let (action, fields) = by_form(sso.passes(&mut browser, &page, Person::SignsIn("ada")).await);
    let posted: Vec<_> = fields.iter().map(|(name, value)| (&**name, &**value)).collect();
    let answer = browser.submit_from(sso.issuer(), &action, &posted).await;
    assert_eq!(answer.status(), 303, "{}\n{}", answer.text(), vestibule.logs());
    let session = browser.get(&format!("{SITE}/session"), &[]).await.json();
    assert_eq!(session["provider"], "sso");
    let cookies = browser.cookie_names(SITE).join(" ");
    assert!(cookies.contains("session") && !cookies.contains("flow"), "{cookies}");
    assert_eq!(browser.submit(&format!("{SITE}/logout"), &[]).await.status(), 303);

    // After a change of the provider's key it goes on; and whoever is signed in links by a form, too.
    sso.rotate().await;
    let answer = browser.submit(&format!("{SITE}/login"), &[("handle", "alice.test")]).await;
    let callback = peers.consent(&answer.location(), peers.alice(), Decision::Allow).await.unwrap();
    assert_eq!(browser.arrive(&callback).await.status(), 303);
    for (fields, provider) in [(&[LINK][..], "atproto"), (&[], "sso")] {
        let page = begin(&mut browser, fields).await;
        let (action, fields) = by_form(sso.passes(&mut browser, &page, Person::SignsIn("bob")).await);
        let posted: Vec<_> = fields.iter().map(|(name, value)| (&**name, &**value)).collect();
        let answer = browser.submit_from(sso.issuer(), &action, &posted).await;
        assert_eq!(answer.status(), 303, "{}\n{}", answer.text(), vestibule.logs());
        let session = browser.get(&format!("{SITE}/session"), &[]).await.json();
        assert_eq!(
            (session["provider"].as_str(), session["sub"].as_str()),
            (Some(provider), Some(&*peers.alice().did))
        );
        if provider == "atproto" {
            assert_eq!(browser.submit(&format!("{SITE}/logout"), &[]).await.status(), 303);
        }
    }
}

fn by_form(sent: SentBack) -> (String, Vec<(String, String)>) {
    match sent {
        SentBack::ByForm { action, fields } => (action, fields),
        SentBack::To(url) => panic!("a redirect to {url}"),
    }
}

#[tokio::test]
async fn one_person_three_ways_in_and_an_app_knows_them_by_one_name() {
    let mut scene = Scene::new().await;
    let app = App::add(&scene.vestibule, &["Notes", "--redirect-uri", CALLBACK]).await;

    // The account is made with a handle; the two others are linked to it.
    scene.signs_in_with_handle(&[]).await;
    let did = scene.peers.alice().did.clone();
    assert_eq!(scene.sub().await, did, "an account made with a handle is the DID");
    scene.signs_in_with_sso("ada", &[LINK]).await;
    let linked = scene.signs_in_with_github(&[LINK]).await;
    assert_eq!(linked.status(), 303, "{}\n{}", linked.text(), scene.vestibule.logs());
    let page = scene.page().await;
    for shown in ["AT Protocol", "@alice.test", "Company SSO", "ada", "GitHub", "octocat"] {
        assert!(page.contains(shown), "{shown}: {page}");
    }
    assert_eq!(scene.session().await["provider"], "atproto", "linking signs nobody in anew");
    let sub = scene.sub_for(&app).await;
    assert_eq!(sub, did);

    scene.signs_out().await;
    scene.signs_in_with_sso("ada", &[]).await;
    assert_eq!((scene.sub().await, scene.sub_for(&app).await), (did.clone(), did.clone()));
    scene.signs_out().await;
    scene.signs_in_with_github(&[]).await;
    assert_eq!((scene.sub().await, scene.sub_for(&app).await), (did.clone(), did));
}

#[tokio::test]
async fn an_identity_that_has_an_account_is_not_linked_to_another() {
    let mut scene = Scene::new().await;
    scene.signs_in_with_github(&[]).await;
    let octocat = scene.sub().await;
    scene.signs_out().await;
    scene.signs_in_with_sso("ada", &[]).await;
    let ada = scene.sub().await;
    let refused = scene.signs_in_with_github(&[LINK]).await;
    assert_eq!(refused.status(), 409);
    assert!(refused.text().contains("identity_taken"), "{}", refused.text());
    assert_eq!(scene.sub().await, ada, "whoever is signed in stays so");
    // And a handle that has an account is not, either; what was issued for it is given back.
    scene.signs_in_with_handle(&[LINK]).await;
    let mut other = Scene { browser: Browser::new(), ..scene };
    other.signs_in_with_github(&[]).await;
    assert_eq!(other.sub().await, octocat);
    let refused = other.signs_in_with_handle(&[LINK]).await;
    assert_eq!(refused.status(), 409);
    other.vestibule.says("signed out").await;
}

#[tokio::test]
async fn the_last_way_in_stays_and_one_that_is_unlinked_leads_elsewhere() {
    let mut scene = Scene::new().await;
    scene.signs_in_with_github(&[]).await;
    let octocat = scene.sub().await;
    let unlink = scene.url("/identities/unlink");
    let github = [("realm", "http://127.0.0.1/login/oauth"), ("uid", "583231")];
    let realm = {
        let page = scene.browser.visit(&scene.url("/")).await;
        assert!(page.field("realm").is_none(), "the only way in has no button");
        format!("{}/login/oauth", scene.github.url())
    };
    let github = [("realm", realm.as_str()), github[1]];
    let refused = scene.browser.submit(&unlink, &github).await;
    assert_eq!(refused.status(), 409);
    assert!(refused.text().contains("last_identity"));

    // With a second way in, the first one may go; another browser that is signed in is signed out.
    let mut other = Browser::new();
    std::mem::swap(&mut scene.browser, &mut other);
    scene.signs_in_with_github(&[]).await;
    std::mem::swap(&mut scene.browser, &mut other);
    scene.signs_in_with_handle(&[LINK]).await;
    assert_eq!(scene.session().await["handle"], "alice.test", "the handle's own server can be used now");
    assert_eq!(scene.browser.submit(&unlink, &github).await.status(), 303);
    assert_eq!(scene.sub().await, octocat);
    assert_eq!(scene.vestibule.session(&mut other).await.status(), 401);
    scene.signs_out().await;
    scene.signs_in_with_handle(&[]).await;
    assert_eq!(scene.sub().await, octocat, "a sub never changes");
    scene.signs_out().await;
    scene.signs_in_with_github(&[]).await;
    assert_ne!(scene.sub().await, octocat);
}

#[tokio::test]
async fn an_account_has_twenty_ways_in_and_no_more() {
    let mut scene = Scene::new().await;
    scene.signs_in_with_sso("ada", &[]).await;
    for id in 1..20 {
        scene.github.becomes(id, &format!("ada-{id}"));
        assert_eq!(scene.signs_in_with_github(&[LINK]).await.status(), 303, "{}", scene.vestibule.logs());
    }
    scene.github.becomes(20, "ada-20");
    let refused = scene.signs_in_with_github(&[LINK]).await;
    assert_eq!(refused.status(), 409);
    assert!(refused.text().contains("too_many_identities"), "{}", refused.text());
    // Linking one that is there already is no mistake.
    scene.github.becomes(19, "ada-renamed");
    assert_eq!(scene.signs_in_with_github(&[LINK]).await.status(), 303);
}

#[tokio::test]
async fn s20_linking_is_begun_by_a_form_of_this_site_by_whoever_is_signed_in() {
    let mut scene = Scene::new().await;
    let link = scene.url("/auth/sso");
    let refused = scene.browser.submit(&link, &[LINK]).await;
    assert_eq!(refused.status(), 401);
    assert!(refused.text().contains("not_signed_in"));
    scene.signs_in_with_github(&[]).await;
    let refused = scene.browser.visit(&format!("{link}?intent=link")).await;
    assert_eq!(refused.status(), 403, "not by a link");
    let refused = scene.browser.submit_from("https://evil.test", &link, &[LINK]).await;
    assert!(matches!(refused.status(), 401 | 403), "not from another site: {}", refused.status());

    // Who has signed out meanwhile, or is somebody else now, links nothing.
    for next in [None, Some(())] {
        let page = scene.presses("sso", &[LINK]).await;
        scene.signs_out().await;
        if next.is_some() {
            scene.signs_in_with_handle(&[]).await;
        }
        let refused = scene.comes_back(&page, Person::SignsIn("ada")).await;
        assert_eq!(refused.status(), 401, "{}", refused.text());
        assert!(refused.text().contains("not_signed_in") && refused.text().contains("Not linked"));
        if next.is_none() {
            scene.signs_in_with_github(&[]).await;
        }
    }
    let page = scene.page().await;
    assert!(!page.contains("Unlink"), "nothing was linked: {page}");
}

#[tokio::test]
async fn s12_two_tabs_with_two_providers_finish_in_the_opposite_order() {
    let mut scene = Scene::new().await;
    let first = scene.presses("sso", &[("return_to", "/?tab=1")]).await;
    let second = scene.presses("github", &[("return_to", "/?tab=2")]).await;
    let back = scene.browser.arrive(&second).await.location();
    let answer = scene.browser.arrive(&back).await;
    assert_eq!(answer.location(), scene.url("/?tab=2"));
    let answer = scene.comes_back(&first, Person::SignsIn("ada")).await;
    assert_eq!(answer.location(), scene.url("/?tab=1"));
    assert_eq!(scene.session().await["provider"], "sso");

    // The callback of one is not the other's.
    let page = scene.presses("github", &[]).await;
    let back = scene.browser.arrive(&page).await.location();
    let astray = back.replace("/auth/github/callback", "/auth/sso/callback");
    let refused = scene.browser.arrive(&astray).await;
    assert_eq!(refused.status(), 400);
    assert!(refused.text().contains("flow_provider_mismatch"), "{}", refused.text());
}

#[tokio::test]
async fn a_person_who_presses_cancel_reads_that_they_did_and_may_start_again() {
    let mut scene = Scene::new().await;
    let page = scene.presses("sso", &[("return_to", "/session")]).await;
    let answer = scene.comes_back(&page, Person::Cancels).await;
    assert_eq!(answer.status(), 403);
    let text = answer.text();
    assert!(text.contains("You said no") && text.contains("access_denied"), "{text}");
    assert_eq!(answer.field("return_to").as_deref(), Some("/session"));
    assert!(text.contains("Sign in with Company SSO"));
}

#[tokio::test]
async fn r20_addresses_of_providers_are_what_the_public_url_says_and_answer_what_they_take() {
    let mut scene = Scene::new().await;
    let page = scene.presses("sso", &[]).await;
    let sent = url::Url::parse(&page).unwrap();
    let redirect_uri = sent.query_pairs().find(|(name, _)| name == "redirect_uri").unwrap().1.into_owned();
    assert_eq!(redirect_uri, scene.url("/auth/sso/callback"));
    for (path, status) in [("/auth/unknown", 404), ("/auth/unknown/callback", 404), ("/auth", 404)] {
        assert_eq!(scene.browser.visit(&scene.url(path)).await.status(), status, "{path}");
    }
    // The AT Protocol has an address like the others.
    let answer = scene.browser.submit(&scene.url("/auth/atproto"), &[("handle", "alice.test")]).await;
    assert_eq!(answer.status(), 303);
    let request =
        http::Request::builder().method("DELETE").uri(scene.url("/auth/sso")).body(bytes::Bytes::new());
    let answer = scene.browser.send(request.unwrap()).await;
    assert_eq!((answer.status(), answer.header("allow")), (405, Some("GET, POST")));
}
