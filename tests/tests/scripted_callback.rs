//! The AT Protocol login when a browser, or another site behind it, does something else: callbacks that break a rule, and
//! logins begun from where none may be begun.

mod scripted_world;

use http::{HeaderMap, Method};
use vestibule_strategy::{Engine, FailureKind, Incoming, Intent, Provenance};
use vestibule_tests::block_on;

use scripted_world::{
    Browser, Client, HANDLE, ISSUER, KEEPINGS, Keeping, PAR, World, atproto, lock, other, query,
};

// The browser comes back with something else.

/// A login up to the callback: the browser, and what it would bring.
struct Left {
    world: World,
    browser: Browser,
    callback: Vec<(String, String)>,
}

impl Left {
    fn new(keeping: Keeping) -> Self {
        let world = World::new(Client::Web, keeping);
        let mut browser = Browser::default();
        let to = world.begin(&mut browser, HANDLE).unwrap();
        let callback = world.consent(&to);
        Self { world, browser, callback }
    }

    /// The callback with this parameter set, or taken out.
    fn with(&self, name: &str, value: Option<&str>) -> Vec<(String, String)> {
        let mut callback = self.callback.clone();
        callback.retain(|(known, _)| known != name);
        callback.extend(value.map(|value| (name.to_owned(), value.to_owned())));
        callback
    }

    fn error(&self, code: &str) -> Vec<(String, String)> {
        let mut callback = self.with("code", None);
        callback.push(("error".to_owned(), code.to_owned()));
        callback
    }

    /// The callback fails like this, and no code goes anywhere.
    fn fails(&mut self, row: &str, callback: &[(String, String)], code: &str, status: u16) {
        let asked = self.world.net.log().len();
        let finished = self.world.finish(&mut self.browser, callback);
        let failure = finished.outcome.unwrap_err();
        assert_eq!(
            (failure.kind().code(), failure.kind().status().as_u16()),
            (code, status),
            "{row}: {failure}"
        );
        assert_eq!(self.world.net.log().len(), asked, "{row}: nobody is asked");
        assert!(lock(&self.world.store.sessions).is_empty(), "{row}");
    }

    /// The flow is over, here and in the browser.
    fn is_over(&self, row: &str) {
        assert!(self.browser.cookies.is_empty(), "{row}: S6: the cookie stays");
        assert!(lock(&self.world.store.flows).is_empty(), "{row}: the flow stays");
    }

    /// The flow is still there for the browser it belongs to.
    fn goes_on(&mut self, row: &str) {
        let callback = self.callback.clone();
        let finished = self.world.finish(&mut self.browser, &callback);
        assert!(finished.outcome.is_ok(), "{row}: {:?}", finished.outcome);
        self.is_over(row);
    }
}

#[test]
fn s13_a_callback_of_this_browser_that_breaks_a_rule_ends_the_flow() {
    type Callback = fn(&Left) -> Vec<(String, String)>;
    let rows: [(&str, Callback, &str, u16); 14] = [
        ("no iss", |left| left.with("iss", None), "issuer_missing", 400),
        ("an empty iss", |left| left.with("iss", Some("")), "issuer_missing", 400),
        ("another iss", |left| left.with("iss", Some("https://evil.example.com")), "issuer_mismatch", 400),
        (
            "iss with a slash",
            |left| left.with("iss", Some("https://as.example.com/")),
            "issuer_mismatch",
            400,
        ),
        ("the person said no", |left| left.error("access_denied"), "access_denied", 403),
        ("the server failed", |left| left.error("server_error"), "provider_error", 502),
        ("an error of its own", |left| left.error("login_required"), "provider_error", 502),
        ("an error that is no code", |left| left.error("a\"b"), "invalid_callback_request", 400),
        ("code and error", |left| left.with("error", Some("server_error")), "code_and_error", 400),
        (
            "a signed response",
            |left| left.with("response", Some("e30.e30.")),
            "signed_response_unsupported",
            400,
        ),
        ("no code", |left| left.with("code", None), "missing_code", 400),
        ("an empty code", |left| left.with("code", Some("")), "missing_code", 400),
        (
            "another's iss with an error",
            |left| {
                let mut callback = left.error("access_denied");
                callback[0].1 = "https://evil.example.com".to_owned();
                callback
            },
            "issuer_mismatch",
            400,
        ),
        ("no iss and no code", |left| vec![left.callback[1].clone()], "issuer_missing", 400),
    ];
    for keeping in KEEPINGS {
        for (row, callback, code, status) in rows {
            let mut left = Left::new(keeping);
            let row = format!("{keeping:?}: {row}");
            left.fails(&row, &callback(&left), code, status);
            left.is_over(&row);
        }
    }
}

#[test]
fn s13_a_callback_without_a_flow_of_this_browser_leaves_every_flow_alone() {
    type Callback = fn(&Left) -> Vec<(String, String)>;
    let rows: [(&str, Callback, &str); 6] = [
        ("no state", |left| left.with("state", None), "flow_missing"),
        ("an empty state", |left| left.with("state", Some("")), "flow_missing"),
        ("an error without state", |left| vec![left.error("access_denied")[2].clone()], "flow_missing"),
        ("another state", |left| left.with("state", Some("c3RhdGU")), "csrf_attack"),
        (
            "a signed response alone",
            |_| vec![("response".to_owned(), "e30.e30.".to_owned())],
            "signed_response_unsupported",
        ),
        ("nothing", |_| Vec::new(), "flow_missing"),
    ];
    for keeping in KEEPINGS {
        for (row, callback, code) in rows {
            let mut left = Left::new(keeping);
            let row = format!("{keeping:?}: {row}");
            left.fails(&row, &callback(&left), code, 400);
            left.goes_on(&row);
        }
    }
}

#[test]
fn s13_parameters_that_can_be_read_in_two_ways_are_not_read() {
    for keeping in KEEPINGS {
        for name in ["state", "code", "iss"] {
            let mut left = Left::new(keeping);
            let twice = left.callback.iter().find(|(known, _)| known == name).unwrap().clone();
            let callback = [left.callback.clone(), vec![twice]].concat();
            left.fails(name, &callback, "duplicate_param", 400);
            left.goes_on(name);
        }
        let mut left = Left::new(keeping);
        let huge = left.with("code", Some(&"c".repeat(70_000)));
        left.fails("70 kB", &huge, "invalid_callback_request", 400);
    }
}

#[test]
fn r71_another_browser_cannot_finish_a_login_nor_end_it() {
    for keeping in KEEPINGS {
        // It has no cookie: somebody was sent another's link.
        let mut left = Left::new(keeping);
        let own = std::mem::take(&mut left.browser);
        let callback = left.callback.clone();
        left.fails("no cookie", &callback, "csrf_attack", 400);
        left.browser = own;
        left.goes_on("no cookie");

        // It has a login of its own under way, which goes on.
        let mut left = Left::new(keeping);
        let own = std::mem::take(&mut left.browser);
        left.world.begin(&mut left.browser, HANDLE).unwrap();
        let waiting = left.browser.cookies.clone();
        let callback = left.callback.clone();
        left.fails("a login of its own", &callback, "csrf_attack", 400);
        assert_eq!(left.browser.cookies, waiting);
        left.browser = own;
        let finished = left.world.finish(&mut left.browser, &callback);
        assert!(finished.outcome.is_ok(), "{keeping:?}: {:?}", finished.outcome);
    }
}

#[test]
fn s11_a_cookie_of_another_flow_or_of_nobody_opens_nothing() {
    for keeping in KEEPINGS {
        for row in ["another flow's", "changed", "rubbish", "empty"] {
            let mut left = Left::new(keeping);
            let own = left.browser.clone();
            let mut theirs = Browser::default();
            left.world.begin(&mut theirs, HANDLE).unwrap();
            let value = &mut left.browser.cookies[0].1;
            match row {
                "another flow's" => value.clone_from(&theirs.cookies[0].1),
                "changed" => {
                    let last = if value.pop() == Some('A') { 'Q' } else { 'A' };
                    value.push(last);
                }
                "rubbish" => "rubbish".clone_into(value),
                _ => value.clear(),
            }
            let callback = left.callback.clone();
            let row = format!("{keeping:?}: {row}");
            left.fails(&row, &callback, "csrf_attack", 400);
            assert!(left.browser.cookies.is_empty(), "{row}: S6: the cookie stays");
            left.browser = own;
            let finished = left.world.finish(&mut left.browser, &callback);
            assert!(finished.outcome.is_ok(), "{row}: {:?}", finished.outcome);
        }
    }
}

#[test]
fn s13_a_flow_ends_after_ten_minutes() {
    for keeping in KEEPINGS {
        let mut left = Left::new(keeping);
        left.world.pass(599);
        left.goes_on("599 s");
        for seconds in [600, 601, 86_400] {
            let mut left = Left::new(keeping);
            left.world.pass(seconds);
            let callback = left.callback.clone();
            left.fails(&format!("{keeping:?} {seconds} s"), &callback, "flow_expired", 400);
            left.is_over("expired");
        }
    }
}

#[test]
fn s13_a_flow_belongs_to_the_provider_it_was_begun_with() {
    for keeping in KEEPINGS {
        let mut left = Left::new(keeping);
        let asked = left.world.net.log().len();
        let finished = left.world.finish_at(&other(), &mut left.browser, &left.callback);
        assert_eq!(finished.outcome.unwrap_err().kind(), &FailureKind::FlowProviderMismatch);
        assert_eq!(left.world.net.log().len(), asked);
        left.is_over("another provider");
    }
}

/// Of two wrongs, the one that stands first in S13 is named.
#[test]
fn s13_checks_are_made_in_order() {
    for keeping in KEEPINGS {
        let late_and_forged = |left: &mut Left| {
            left.world.pass(700);
            left.with("iss", Some("https://evil.example.com"))
        };
        let mut left = Left::new(keeping);
        let callback = late_and_forged(&mut left);
        let finished = left.world.finish_at(&other(), &mut left.browser, &callback);
        assert_eq!(
            finished.outcome.unwrap_err().kind(),
            &FailureKind::FlowExpired,
            "age before provider and issuer"
        );

        let mut left = Left::new(keeping);
        let callback = left.with("iss", None);
        let finished = left.world.finish_at(&other(), &mut left.browser, &callback);
        assert_eq!(
            finished.outcome.unwrap_err().kind(),
            &FailureKind::FlowProviderMismatch,
            "provider before issuer"
        );

        let mut left = Left::new(keeping);
        let callback = late_and_forged(&mut left);
        left.browser = Browser::default();
        left.fails("browser before age", &callback, "csrf_attack", 400);
    }
}

#[test]
fn r70_a_stored_flow_is_finished_once() {
    let mut left = Left::new(Keeping::Store);
    let copy = left.browser.clone();
    left.goes_on("the first");
    let asked = left.world.net.log().len();
    // The browser took its cookie away, and a copy of the cookie finds no flow.
    for (browser, code) in [(left.browser.clone(), "csrf_attack"), (copy, "flow_missing")] {
        let mut browser = browser;
        let finished = left.world.finish(&mut browser, &left.callback);
        assert_eq!(finished.outcome.unwrap_err().kind().code(), code);
        assert!(browser.cookies.is_empty());
    }
    assert_eq!(left.world.net.log().len(), asked);
    assert_eq!(lock(&left.world.store.sessions).len(), 1, "the session that was made stays");
}

#[test]
fn s14_a_copied_cookie_and_callback_are_stopped_by_the_code() {
    let mut left = Left::new(Keeping::Cookie);
    let mut copy = left.browser.clone();
    left.goes_on("the first");
    let finished = left.world.finish(&mut copy, &left.callback);
    assert_eq!(finished.outcome.unwrap_err().kind().code(), "token_endpoint");
    assert!(copy.cookies.is_empty());
    assert_eq!(lock(&left.world.store.sessions).len(), 1);
}

#[test]
fn a_store_that_is_away_consumes_nothing() {
    let mut left = Left::new(Keeping::Store);
    left.world.store.breaks("take");
    let callback = left.callback.clone();
    left.fails("take", &callback, "temporarily_unavailable", 503);
    lock(&left.world.store.broken).clear();
    left.goes_on("back again");
}

#[test]
fn s29_a_failure_after_the_flow_was_found_says_what_the_login_was_for() {
    let world = World::web();
    let mut browser = Browser::default();
    world.begin_with(&mut browser, &[("handle", HANDLE), ("return_to", "/inbox?page=2")]).unwrap();
    let state = world.net.calls_to("POST", PAR)[1].field("state").unwrap();
    let pairs = [("state", &*state), ("iss", ISSUER), ("error", "access_denied")];
    let callback = pairs.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let finished = world.finish(&mut browser, &callback);
    assert_eq!(finished.outcome.unwrap_err().kind(), &FailureKind::AccessDenied);
    let flow = finished.flow.unwrap();
    assert_eq!(flow.return_to.unwrap().as_str(), "/inbox?page=2");
    assert_eq!((flow.intent, flow.started_at), (Intent::SignIn, world.now()));
}

// Where a login may begin, how many there may be, and where it leads.

/// A header, and what a browser says in it.
type Says = (&'static str, &'static str);

/// Begins at the engine's own door.
fn begins(world: &World, method: &Method, says: &[Says], intent: Intent) -> Option<&'static str> {
    let mut headers = HeaderMap::new();
    for (name, value) in says {
        headers.insert(*name, value.parse().unwrap());
    }
    let form = query(&[("handle", HANDLE)]);
    let incoming = Incoming::new(method, &headers, form.as_bytes());
    let begun =
        block_on(world.engine.begin(&atproto(), incoming, intent, world.seed(), world.now(), &*world.net));
    begun.err().map(|failure| {
        assert_eq!(failure.kind().status(), http::StatusCode::FORBIDDEN);
        failure.kind().code()
    })
}

#[test]
fn s20_only_a_person_on_this_site_or_on_their_own_begins_a_login() {
    const NO: Option<&str> = Some("cross_site_request");
    let (get, post, head) = (Method::GET, Method::POST, Method::HEAD);
    for client in [Client::Loopback, Client::Web] {
        let world = World::new(client, Keeping::Store);
        let own = if client == Client::Web { "https://app.example.com" } else { "http://127.0.0.1:8080" };
        let rows: [(&Method, &[Says], Option<&str>); 22] = [
            (&get, &[], None),
            (
                &get,
                &[("sec-fetch-site", "none"), ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")],
                None,
            ),
            (&get, &[("sec-fetch-site", "same-origin")], None),
            (&get, &[("sec-fetch-site", "cross-site")], NO),
            (&get, &[("sec-fetch-site", "same-site")], NO),
            (&get, &[("referer", "https://evil.example.com/")], NO),
            (&get, &[("sec-fetch-site", "none"), ("sec-purpose", "prefetch;prerender")], NO),
            (&get, &[("purpose", "prefetch")], NO),
            (&get, &[("sec-fetch-site", "same-origin"), ("sec-fetch-dest", "iframe")], NO),
            (&get, &[("sec-fetch-site", "same-origin"), ("sec-fetch-dest", "image")], NO),
            (
                &get,
                &[("sec-fetch-site", "same-origin"), ("sec-fetch-dest", "empty"), ("sec-fetch-mode", "cors")],
                NO,
            ),
            (&post, &[("origin", own)], None),
            (&post, &[("origin", own), ("sec-fetch-site", "same-origin")], None),
            (&post, &[("origin", "null"), ("sec-fetch-site", "same-origin")], None),
            (&post, &[], None),
            (&post, &[("origin", "https://evil.example.com")], NO),
            (&post, &[("origin", "null")], NO),
            (&post, &[("sec-fetch-site", "cross-site")], NO),
            (&post, &[("sec-fetch-site", "none")], NO),
            (&post, &[("origin", "https://evil.example.com"), ("sec-fetch-site", "same-origin")], NO),
            (&head, &[], NO),
            (&head, &[("sec-fetch-site", "same-origin")], NO),
        ];
        for (method, says, expected) in rows {
            world.net.forget_calls();
            assert_eq!(begins(&world, method, says, Intent::SignIn), expected, "{method} {says:?}");
            assert_eq!(world.net.log().is_empty(), expected.is_some(), "{method} {says:?}: nobody is asked");
        }
        for method in [Method::PUT, Method::DELETE, Method::OPTIONS] {
            assert_eq!(begins(&world, &method, &[], Intent::SignIn), NO);
        }
    }
}

#[test]
fn s20_linking_is_a_form_of_this_site() {
    const NO: Option<&str> = Some("cross_site_request");
    let world = World::web();
    for (method, says, expected) in [
        (Method::POST, &[("origin", "https://app.example.com")][..], None),
        (Method::POST, &[], NO),
        (Method::POST, &[("origin", "https://evil.example.com")], NO),
        (Method::GET, &[], NO),
        (Method::GET, &[("sec-fetch-site", "same-origin")], NO),
        (Method::GET, &[("sec-fetch-site", "none")], NO),
    ] {
        let intent = Intent::Link { subject: "account 7".to_owned() };
        assert_eq!(begins(&world, &method, says, intent), expected, "{method} {says:?}");
    }
    // What the engine goes by is what the routes of an application can go by too.
    let headers = HeaderMap::new();
    assert_eq!(Provenance::of(&headers, &world.site), Provenance::Unsaid);
}

#[test]
fn s12_flows_of_one_browser_do_not_meet() {
    for keeping in KEEPINGS {
        for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0]] {
            let world = World::new(Client::Web, keeping);
            let mut browser = Browser::default();
            let begun: Vec<_> = (0..3).map(|_| world.begin(&mut browser, HANDLE).unwrap()).collect();
            assert_eq!(browser.cookies.len(), 3);
            let callbacks: Vec<_> = begun.iter().map(|to| world.consent(to)).collect();
            for tab in order {
                let finished = world.finish(&mut browser, &callbacks[tab]);
                assert!(finished.outcome.is_ok(), "{keeping:?} {order:?}: {:?}", finished.outcome);
            }
            assert!(browser.cookies.is_empty());
            assert_eq!(lock(&world.store.sessions).len(), 3, "a session for each");
        }
    }
}

#[test]
fn s12_beyond_eight_the_oldest_flow_is_forgotten() {
    for keeping in KEEPINGS {
        let world = World::new(Client::Web, keeping);
        let mut browser = Browser::default();
        browser.cookies.push(("another".to_owned(), "1".to_owned()));
        let begun: Vec<_> =
            (0..Engine::MAX_PENDING).map(|_| world.begin(&mut browser, HANDLE).unwrap()).collect();
        assert_eq!(browser.cookies.len(), 1 + Engine::MAX_PENDING);
        let oldest = browser.cookies[1].0.clone();
        let last = world.begin(&mut browser, HANDLE).unwrap();
        let left = browser.cookies.iter().find(|(name, _)| *name == oldest).map(|(_, value)| value.as_str());
        assert_eq!(left, Some("forgotten"), "{keeping:?}");
        assert_eq!(browser.cookies[0].0, "another", "no cookie of anybody else's is touched");

        let callback = world.consent(&begun[0]);
        let failure = world.finish(&mut browser, &callback).outcome.unwrap_err();
        assert_eq!(failure.kind().code(), "flow_missing", "{keeping:?}");
        for to in [&begun[1], &last] {
            let callback = world.consent(to);
            assert!(world.finish(&mut browser, &callback).outcome.is_ok(), "{keeping:?}");
        }
    }
}

#[test]
fn s12_of_twenty_flows_the_newest_eight_finish_and_the_others_say_that_they_are_over() {
    for keeping in KEEPINGS {
        let world = World::new(Client::Web, keeping);
        let mut browser = Browser::default();
        let begun: Vec<_> = (0..20).map(|_| world.begin(&mut browser, HANDLE).unwrap()).collect();
        let octets: usize = browser.cookies.iter().map(|(name, value)| name.len() + value.len() + 3).sum();
        // In a store the browser has no more than a name and a binding of each.
        assert!(
            octets <= if keeping == Keeping::Store { 2 * 1024 } else { 16 * 1024 },
            "{keeping:?}: {octets}"
        );
        for (n, to) in begun.iter().enumerate() {
            let callback = world.consent(to);
            let outcome = world.finish(&mut browser, &callback).outcome;
            if n < 12 {
                let failure = outcome.unwrap_err();
                assert_eq!((failure.kind().code(), failure.kind().status().as_u16()), ("flow_missing", 400));
                assert!(failure.for_person().ends_with("Start again."), "{}", failure.for_person());
            } else {
                assert!(outcome.is_ok(), "{keeping:?} {n}: {outcome:?}");
            }
        }
        assert!(browser.cookies.is_empty(), "{keeping:?}: {:?}", browser.cookies);
        // A browser that forgets without end keeps no more than so many traces.
        for _ in 0..60 {
            world.begin(&mut browser, HANDLE).unwrap();
        }
        assert_eq!(browser.cookies.len(), Engine::MAX_PENDING + Engine::MAX_FORGOTTEN, "{keeping:?}");
    }
}

#[test]
fn s18_cookies_are_this_sites_alone() {
    for keeping in KEEPINGS {
        for (client, prefix, end) in [
            (Client::Web, "__Host-vestibule.flow.", "; Path=/; HttpOnly; SameSite=Lax; Max-Age=600; Secure"),
            (Client::Loopback, "vestibule.flow.", "; Path=/; HttpOnly; SameSite=Lax; Max-Age=600"),
        ] {
            let world = World::new(client, keeping);
            let headers = HeaderMap::new();
            let form = query(&[("handle", HANDLE)]);
            let incoming = Incoming::new(&Method::GET, &headers, form.as_bytes());
            let provider = atproto();
            let begin = world.engine.begin(
                &provider,
                incoming,
                Intent::SignIn,
                world.seed(),
                world.now(),
                &*world.net,
            );
            let response = block_on(begin).unwrap().into_response().unwrap();
            assert_eq!(response.status(), 303, "S22");
            assert_eq!(response.headers()["cache-control"], "no-store");
            assert_eq!(response.headers()["referrer-policy"], "no-referrer");
            let cookie = response.headers()["set-cookie"].to_str().unwrap();
            assert!(cookie.starts_with(prefix) && cookie.ends_with(end), "{cookie}");
            assert!(cookie.len() <= 4096, "{} octets", cookie.len());
            let state = world.net.calls_to("POST", PAR)[0].field("state").unwrap();
            assert!(!cookie.contains(&state), "R109");
        }
    }
}

#[test]
fn s19_a_login_leads_to_a_page_of_this_site() {
    for (return_to, expected) in [
        ("/inbox?page=2", Some("/inbox?page=2")),
        ("/", Some("/")),
        ("", None),
        ("https://app.example.com/inbox", None),
        ("https://evil.example.com/", None),
        ("//evil.example.com/", None),
        ("/\\evil.example.com/", None),
        ("/%2fevil.example.com/", None),
        ("/%5Cevil.example.com/", None),
        ("/\tevil", None),
        ("/a\r\nset-cookie: a=b", None),
        ("javascript:alert(1)", None),
        ("inbox", None),
    ] {
        for keeping in KEEPINGS {
            let world = World::new(Client::Web, keeping);
            let mut browser = Browser::default();
            let to = world.begin_with(&mut browser, &[("handle", HANDLE), ("return_to", return_to)]).unwrap();
            let callback = world.consent(&to);
            let finished = world.finish(&mut browser, &callback);
            assert!(finished.outcome.is_ok());
            let found = finished.flow.unwrap().return_to;
            assert_eq!(found.as_ref().map(|place| place.as_str()), expected, "{return_to:?}");
        }
    }
}

#[test]
fn s26_a_person_chooses_their_name_and_nothing_else() {
    let world = World::web();
    let forged = [
        ("handle", HANDLE),
        ("state", "chosen"),
        ("scope", "atproto transition:email"),
        ("redirect_uri", "https://evil.example.com/"),
        ("client_id", "https://evil.example.com/client.json"),
        ("prompt", "none"),
        ("login_hint", "bob.example.com"),
        ("code_challenge", "chosen"),
    ];
    world.begin_with(&mut Browser::default(), &forged).unwrap();
    // The scripted server looks at every field of the push; these two it does not know.
    let push = &world.net.calls_to("POST", PAR)[1];
    assert_eq!(push.field("login_hint").as_deref(), Some(HANDLE));
    assert_eq!(push.field("prompt"), None);
}
