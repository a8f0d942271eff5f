//! The requirements of strategies by number, S1 to S30, and where each is tested.
//!
//! | number | what it asks for | where it is tested |
//! | --- | --- | --- |
//! | S1 | providers are put together at run time; one strategy under several names | here, `s1_one_strategy_under_several_names_and_a_set_that_is_swapped_whole` |
//! | S2 | routing is a pure function | `strategy/src/routes.rs` `s2_a_request_leads_to_a_phase_of_a_provider`, `s2_an_address_belongs_to_one_provider` |
//! | S3 | paths, methods, redirect URI and cookies by provider | here, `s3_a_provider_is_reached_as_it_is_set_up` |
//! | S4 | the fields of Ueberauth, and what is written of them | here, `s4_what_is_written_of_a_person_holds_no_secret`; `strategy/src/user_fields.rs` `s4_a_person_is_read_from_any_shape` |
//! | S5 | a service and a layer | `strategy_mounts` `s5_the_endpoint_answers_below_a_path_of_axum_which_takes_the_path_away`, `s5_the_layer_puts_the_outcome_before_the_applications_own_route` |
//! | S6 | a flow is over, whatever comes | `scripted_callback` `s13_a_callback_of_this_browser_that_breaks_a_rule_ends_the_flow` |
//! | S7 | the same seed gives the same login | here, `s7_the_same_seed_gives_the_same_login` |
//! | S8 | bounded everything | `strategy_mounts` `s8_a_form_is_bounded_and_of_its_kind`; `scripted_hostile` `no_step_takes_a_body_without_end_or_waits_for_ever` |
//! | S9 | failures with code, status and sentence | `strategy/src/failure.rs` `s9_each_kind_has_a_code_a_status_and_a_sentence_to_act_on`; here, `s9_every_code_is_reached_by_a_test` |
//! | S10 | no secret is shown | here, `s4_what_is_written_of_a_person_holds_no_secret`; `strategy/src/pending.rs` `s10_debug_shows_no_secret` |
//! | S11 | a flow's record is sealed | `scripted_callback` `s11_a_cookie_of_another_flow_or_of_nobody_opens_nothing`; here, `s11_a_cookie_opens_after_a_rotation_as_long_as_its_key_is_there` |
//! | S12 | a cookie for each flow | `scripted_callback` `s12_of_twenty_flows_the_newest_eight_finish_and_the_others_say_that_they_are_over`, `s12_flows_of_one_browser_do_not_meet` |
//! | S13 | the order of checks | `scripted_callback` `s13_checks_are_made_in_order`; `strategy/src/pending.rs` `s13_each_rule_before_the_next` |
//! | S14 | flows in a store | `scripted_callback` `r70_a_stored_flow_is_finished_once`, `s14_a_copied_cookie_and_callback_are_stopped_by_the_code` |
//! | S15 | PKCE always | `strategies` `s15_s17_a_sign_in_with_pkce_from_the_link_to_the_person` |
//! | S16 | the callback's issuer | `strategies` `s16_it_names_its_issuer_or_does_not`, `s16_iss_is_wanted_where_the_document_promises_it` |
//! | S17 | one redirect URI in both legs | `strategies` `s15_s17_a_sign_in_with_pkce_from_the_link_to_the_person`; here, `s3_a_provider_is_reached_as_it_is_set_up` |
//! | S18 | the site's address is configured | `scripted_callback` `s18_cookies_are_this_sites_alone`; the property `host_header` |
//! | S19 | where a person returns to | `scripted_callback` `s19_a_login_leads_to_a_page_of_this_site`; `strategy/src/return_to.rs` `s19_no_place_leaves_the_site` |
//! | S20 | who may begin a login | `scripted_callback` `s20_only_a_person_on_this_site_or_on_their_own_begins_a_login`, `s20_linking_is_a_form_of_this_site` |
//! | S21 | callbacks by form | `strategies` `s21_an_answer_by_form_is_taken_as_a_form_and_in_no_other_way`; `e2e_providers` `s21_a_provider_that_answers_by_a_form_behind_tls` |
//! | S22 | what an answer carries | `strategy_mounts` `s22_cookies_of_the_application_stay_beside_the_logins_own`; `scripted_callback` `s18_cookies_are_this_sites_alone` |
//! | S23 | what a call carries | here, `s23_every_call_says_what_it_is_for_and_has_its_limits` |
//! | S24 | ID tokens, discovery, keys | `strategies` `s24_a_key_that_is_new_has_the_keys_fetched_again_once_a_minute`, `s24_what_userinfo_says_counts_only_about_the_same_person` |
//! | S25 | answers of many shapes | `strategies` `s25_its_errors_come_with_status_200` |
//! | S26 | what a person may choose | `scripted_callback` `s26_a_person_chooses_their_name_and_nothing_else`; here, `s26_what_the_engine_sends_is_not_a_persons_to_choose` |
//! | S28 | an outcome for the application's session | `strategy_mounts` `s12_a_strict_session_of_the_application_does_not_kill_a_callback` |
//! | S29 | a failure names its cause | here, `s29_a_csrf_failure_names_its_cause` |
//! | S30 | for any machine | `layering` `s30_pure_crates_are_for_any_machine` |

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use http::{HeaderMap, Method};
use serde_json::{Value, json};
use url::Url;
use vestibule_oauth_core::seal::SealKeys;
use vestibule_oauth_core::{BoxFuture, HttpClient, Secret, Seed, Trust};
use vestibule_strategy::{
    Auth, Begin, Begun, BuildError, CallbackCx, ClientAuth, CsrfCause, Engine, FailureKind, Fault, Finished,
    FlowKeeping, GitHub, Incoming, Info, Intent, OAuth2, OAuth2Setup, Phase, Provider, ProviderId, RequestCx,
    Routed, Stash, Strategy,
};
use vestibule_tests::{NOW, ScriptedNetwork, block_on, json as answer};

const SITE: &str = "https://app.test";
const TOKEN: &str = "the-token-of-the-person";

fn keys() -> SealKeys {
    SealKeys::new([7; 32], [])
}

fn forum() -> OAuth2Setup {
    let url = |path: &str| format!("https://forum.test/{path}").parse().unwrap();
    let mut setup = OAuth2Setup::new(url("authorize"), url("token"), url("me"), "our-app");
    setup.client_auth = ClientAuth::SecretBasic(Secret::new("the-secret-of-the-app".to_owned()));
    setup
}

fn network() -> ScriptedNetwork {
    let network = ScriptedNetwork::new();
    let tokens = json!({ "access_token": TOKEN, "token_type": "bearer", "refresh_token": "rt-1", "scope": "identify" });
    network.answer("POST", "https://forum.test/token", answer(200, &tokens));
    network.answer("GET", "https://forum.test/me", answer(200, &json!({ "sub": "7", "name": "Ada" })));
    network
}

fn id(name: &str) -> ProviderId {
    name.parse().unwrap()
}

fn builder(keys: &SealKeys) -> vestibule_strategy::EngineBuilder {
    Engine::builder(SITE.parse().unwrap(), keys, FlowKeeping::Cookie)
}

fn engine(provider: Provider) -> Engine {
    builder(&keys()).provider(provider).build().unwrap()
}

fn of(name: &str) -> Provider {
    Provider::new(id(name), Arc::new(OAuth2::new(forum())))
}

fn begin(engine: &Engine, provider: &str, query: &str, net: &ScriptedNetwork) -> (Url, String) {
    let headers = HeaderMap::new();
    let incoming = Incoming::new(&Method::GET, &headers, query.as_bytes());
    let (provider, seed) = (id(provider), Seed::from_entropy([1; 32]));
    let begun = engine.begin(&provider, incoming, Intent::SignIn, seed, NOW, net);
    let Ok(Begun::Redirect { to, set_cookies }) = block_on(begun) else { panic!("no redirect") };
    (to, set_cookies[0].to_str().unwrap().to_owned())
}

fn finish(engine: &Engine, provider: &str, to: &Url, cookie: &str, net: &ScriptedNetwork) -> Finished {
    let mut headers = HeaderMap::new();
    headers.insert("cookie", cookie.split(';').next().unwrap().parse().unwrap());
    let query = format!("state={}&code=c-1", sent(to, "state"));
    let incoming = Incoming::new(&Method::GET, &headers, query.as_bytes());
    block_on(engine.finish(&id(provider), incoming, Seed::from_entropy([2; 32]), NOW, net))
}

fn sent(to: &Url, name: &str) -> String {
    let all: Vec<_> = to.query_pairs().filter(|(key, _)| key == name).collect();
    assert_eq!(all.len(), 1, "{name} in {to}");
    all[0].1.clone().into_owned()
}

#[test]
fn s1_one_strategy_under_several_names_and_a_set_that_is_swapped_whole() {
    let strategy: Arc<dyn Strategy> = Arc::new(OAuth2::new(forum()));
    let with = |names: &[&str]| {
        let one = |name: &&str| Provider::new(id(name), Arc::clone(&strategy));
        names.iter().map(one).fold(builder(&keys()), vestibule_strategy::EngineBuilder::provider).build()
    };
    let old = with(&["one", "two"]).unwrap();
    let (to, cookie) = begin(&old, "two", "", &network());
    // The names are the application's data; the engine that was made later goes on with what was begun.
    let new = with(&["one", "two", "three"]).unwrap();
    assert_eq!(new.providers().map(ProviderId::as_str).collect::<Vec<_>>(), ["one", "three", "two"]);
    let auth = finish(&new, "two", &to, &cookie, &network()).outcome.unwrap();
    assert_eq!((auth.provider.as_str(), auth.uid.as_str()), ("two", "7"));
    assert_eq!(with(&["one", "one"]).unwrap_err(), BuildError::DuplicateProvider(id("one")));
    assert!("A/B".parse::<ProviderId>().is_err());
}

#[test]
fn s3_a_provider_is_reached_as_it_is_set_up() {
    let elsewhere: Url = "https://login.app.test/back?x=1".parse().unwrap();
    let provider = of("forum")
        .with_request_path("/login/forum")
        .with_callback_path("/back")
        .with_request_methods([Method::POST])
        .with_redirect_uri(elsewhere.clone())
        .with_strict_cookie();
    let engine = builder(&keys()).base_path("/unused").provider(provider).build().unwrap();
    assert_eq!(engine.request_path(&id("forum")), Some("/login/forum"));
    assert_eq!(engine.redirect_uri(&id("forum")), Some(&elsewhere));
    assert_eq!(engine.route(&Method::GET, "/login/forum"), Routed::WrongMethod("POST".to_owned()));
    assert_eq!(engine.route(&Method::GET, "/back"), Routed::Phase(Phase::Callback, &id("forum")));
    assert_eq!(engine.route(&Method::GET, "/unused/forum"), Routed::Elsewhere);
    let net = network();
    let (to, cookie) = begin(&engine, "forum", "", &net);
    assert_eq!(sent(&to, "redirect_uri"), elsewhere.as_str());
    assert!(cookie.contains("SameSite=Strict"), "{cookie}");
    finish(&engine, "forum", &to, &cookie, &net).outcome.unwrap();
    let calls = net.calls();
    assert_eq!(calls[0].field("redirect_uri").as_deref(), Some(elsewhere.as_str()), "S17: the same octets");
}

#[test]
fn s4_what_is_written_of_a_person_holds_no_secret() {
    let net = network();
    let engine = engine(of("forum"));
    let (to, cookie) = begin(&engine, "forum", "", &net);
    let auth = finish(&engine, "forum", &to, &cookie, &net).outcome.unwrap();
    assert!(auth.credentials.token.is_some() && auth.credentials.refresh_token.is_some());
    let json = serde_json::to_value(&auth).unwrap();
    for shown in [json.to_string(), format!("{auth:?}")] {
        assert!(!shown.contains(TOKEN) && !shown.contains("rt-1"), "S10: {shown}");
    }
    assert_eq!(
        (&json["uid"], &json["provider"], &json["strategy"]),
        (&json!("7"), &json!("forum"), &json!("oauth2"))
    );
    assert_eq!(json["credentials"]["scopes"], "identify");
    // Every field of Ueberauth's, by its name.
    let names = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<BTreeSet<_>>();
    for (value, fields) in [
        (&json, "credentials extra info issuer provider strategy uid"),
        (
            &json["info"],
            "birthday description email email_verified first_name image last_name location name nickname phone urls",
        ),
        (&json["credentials"], "expires_at refresh_expires_at scopes token_type"),
        (&json["extra"], "raw"),
    ] {
        assert_eq!(names(value), fields.split(' ').map(str::to_owned).collect(), "{value}");
    }
    let info: Info = serde_json::from_value(json["info"].clone()).unwrap();
    assert_eq!(info, auth.info);

    let failure = finish(&engine, "forum", &to, "", &net).outcome.unwrap_err();
    let json = serde_json::to_value(&failure).unwrap();
    assert_eq!(
        (&json["provider"], &json["phase"], &json["code"]),
        (&json!("forum"), &json!("callback"), &json!("csrf_attack"))
    );
    assert_eq!(json["errors"][0], json!({ "code": "csrf_attack", "message": failure.for_person() }));
}

#[test]
fn s7_the_same_seed_gives_the_same_login() {
    let net = network();
    let engine = engine(of("forum"));
    let first = begin(&engine, "forum", "", &net);
    assert_eq!(begin(&engine, "forum", "", &net), first);
    assert!(net.calls().is_empty(), "the request phase of plain OAuth 2.0 asks nobody");
    let calls = |net: &ScriptedNetwork| {
        finish(&engine, "forum", &first.0, &first.1, net).outcome.unwrap();
        net.calls().iter().map(|call| (call.url.clone(), call.body.clone())).collect::<Vec<_>>()
    };
    assert_eq!(calls(&network()), calls(&network()));
}

#[test]
fn s11_a_cookie_opens_after_a_rotation_as_long_as_its_key_is_there() {
    let made = engine(of("forum"));
    let (to, cookie) = begin(&made, "forum", "", &network());
    for (row, keys, cause) in [
        ("rotated", SealKeys::new([8; 32], [[7; 32]]), None),
        ("rotated, and the old key retired", SealKeys::new([8; 32], []), Some(CsrfCause::CookieUnreadable)),
    ] {
        let engine = builder(&keys).provider(of("forum")).build().unwrap();
        let outcome = finish(&engine, "forum", &to, &cookie, &network()).outcome;
        let kind = outcome.err().map(|failure| failure.kind().clone());
        assert_eq!(kind, cause.map(FailureKind::CsrfAttack), "{row}");
    }
}

#[test]
fn s11_an_engine_takes_up_keys_while_logins_are_under_way() {
    let running = engine(of("forum"));
    let (to, cookie) = begin(&running, "forum", "", &network());
    running.take_up(&SealKeys::new([8; 32], [[7; 32]]));
    assert!(finish(&running, "forum", &to, &cookie, &network()).outcome.is_ok(), "begun before");
    let (to, cookie) = begin(&running, "forum", "", &network());
    let only_new = builder(&SealKeys::new([8; 32], [])).provider(of("forum")).build().unwrap();
    assert!(finish(&only_new, "forum", &to, &cookie, &network()).outcome.is_ok(), "begun after");
}

#[test]
fn s23_every_call_says_what_it_is_for_and_has_its_limits() {
    let net = network();
    let engine = engine(of("forum"));
    let (to, cookie) = begin(&engine, "forum", "", &net);
    finish(&engine, "forum", &to, &cookie, &net).outcome.unwrap();
    let calls = net.calls();
    assert_eq!(calls.iter().map(|call| call.purpose).collect::<Vec<_>>(), ["token exchange", "userinfo"]);
    for call in calls {
        assert_eq!(call.trust, Trust::Configured, "{call:?}");
        assert!((1..=30).contains(&call.timeout.as_secs()), "{call:?}");
        assert!((1..=1024 * 1024).contains(&call.body_limit), "{call:?}");
    }
}

#[test]
fn s26_what_the_engine_sends_is_not_a_persons_to_choose() {
    /// It would let a person choose everything.
    struct Open(OAuth2);

    impl Strategy for Open {
        fn kind(&self) -> &'static str {
            self.0.kind()
        }

        fn allowed_params(&self) -> &'static [&'static str] {
            &["login_hint"]
        }

        fn request<'a>(
            &'a self,
            cx: RequestCx<'a>,
            http: &'a dyn HttpClient,
        ) -> BoxFuture<'a, Result<Begin, Fault>> {
            assert_eq!(
                (cx.param("login_hint"), cx.param("state"), cx.param("scope")),
                (Some("ada"), None, None)
            );
            self.0.request(cx, http)
        }

        fn callback<'a>(
            &'a self,
            cx: CallbackCx<'a>,
            http: &'a dyn HttpClient,
        ) -> BoxFuture<'a, Result<Auth, Fault>> {
            self.0.callback(cx, http)
        }
    }

    let engine = engine(Provider::new(id("open"), Arc::new(Open(OAuth2::new(forum())))));
    let query = "login_hint=ada&state=mine&nonce=mine&redirect_uri=https%3A%2F%2Fevil.test&client_id=mine&scope=all\
                 &response_type=token&code_challenge=mine&code_challenge_method=plain";
    let (to, _) = begin(&engine, "open", query, &network());
    assert_eq!(sent(&to, "login_hint"), "ada");
    for name in
        ["state", "redirect_uri", "client_id", "response_type", "code_challenge", "code_challenge_method"]
    {
        let value = sent(&to, name);
        assert!(
            value != "mine" && value != "token" && value != "plain" && !value.contains("evil"),
            "{name}: {value}"
        );
    }
    assert!(!to.as_str().contains("mine") && !to.as_str().contains("scope="), "{to}");
}

#[test]
fn s29_a_csrf_failure_names_its_cause() {
    let net = network();
    let engine = engine(of("forum"));
    let (to, cookie) = begin(&engine, "forum", "", &net);
    let (name, value) = cookie.split(';').next().unwrap().split_once('=').unwrap();
    let mut changed = value.to_owned().into_bytes();
    changed[40] ^= 1;
    let changed = String::from_utf8(changed).unwrap();
    for (row, cookie, cause) in [
        ("no cookie", String::new(), CsrfCause::CookieAbsent),
        ("a changed cookie", format!("{name}={changed}"), CsrfCause::CookieUnreadable),
        ("nonsense", format!("{name}=%%%"), CsrfCause::CookieUnreadable),
    ] {
        let failure = finish(&engine, "forum", &to, &cookie, &net).outcome.unwrap_err();
        assert_eq!(failure.kind(), &FailureKind::CsrfAttack(cause), "{row}");
        assert!(failure.for_person().contains("Start again"), "{row}: {}", failure.for_person());
    }
    assert!(net.calls().is_empty(), "nobody is asked about a callback that is not believed");
}

#[test]
fn s3_the_same_strategy_needs_no_stash_and_github_is_one_like_any_other() {
    let github = GitHub::new("Iv1.0", Secret::new("s".to_owned())).unwrap();
    let engine = engine(Provider::new(id("github"), Arc::new(github)));
    let (to, _) = begin(&engine, "github", "", &network());
    assert_eq!(to.host_str(), Some("github.com"));
    assert_eq!(Stash::empty().read::<Value>().unwrap(), Value::Null);
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every test of the tests' folder, in one text.
fn all_tests() -> String {
    let folder = fs::read_dir(root().join("tests/tests")).unwrap().flatten();
    folder.map(|file| file.path()).filter(|path| path.is_file()).map(|path| read(&path)).collect()
}

#[test]
fn s9_every_code_is_reached_by_a_test() {
    let source = read(&root().join("strategy/src/failure.rs"));
    let table =
        source.split("pub const fn code(&self)").nth(1).unwrap().split("pub const fn status").next().unwrap();
    let codes: Vec<&str> = table.split("=> \"").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
    assert!(codes.len() > 35, "the table of codes was not understood: {codes:?}");
    let tests = all_tests() + &read(&root().join("atproto-identity/src/login/fault.rs"));
    // It is for a rule without a code of its own; every rule of today has one.
    for code in codes.into_iter().filter(|code| *code != "token_validation_failed") {
        let reached = [format!("\"{code}\""), format!("{code})"), format!("/// `{code}`")];
        assert!(reached.iter().any(|text| tests.contains(text)), "no test reaches {code}");
    }
}

#[test]
fn the_table_above_names_tests_that_are_there() {
    let own = read(&root().join("tests/tests/strategy_requirements.rs"));
    let rows: Vec<&str> = own.lines().filter(|line| line.starts_with("//! | S")).collect();
    assert!(rows.len() >= 29, "{} rows", rows.len());
    for row in rows {
        let mut file = root().join("tests/tests/strategy_requirements.rs");
        // A word that is a file is where the names after it are.
        for name in row.split('`').skip(1).step_by(2) {
            let in_tests = root().join(format!("tests/tests/{name}.rs"));
            if name.ends_with(".rs") {
                file = root().join(name);
            } else if in_tests.exists() {
                file = in_tests;
            } else if name == "host_header" {
                assert!(root().join("tests/fuzz/fuzz_targets/host_header.rs").exists());
            } else {
                let here = read(&root().join("tests/tests/strategy_requirements.rs"));
                let found = read(&file).contains(&format!("fn {name}("))
                    || row.contains("here, `") && here.contains(&format!("fn {name}("));
                assert!(found, "{row}: no {name} in {}", file.display());
            }
        }
    }
}
