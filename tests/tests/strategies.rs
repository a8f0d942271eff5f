//! The built-in strategies, from the first request to the person, through the engine and over a scripted network: what each provider
//! documents, and what it does besides.

use std::sync::Arc;

use http::{HeaderMap, Method, Response};
use serde_json::{Value, json};
use url::Url;
use vestibule_oauth_core::seal::SealKeys;
use vestibule_oauth_core::{HttpErrorKind, Secret, Seed, Trust};
use vestibule_strategy::{
    Auth, Begun, ClientAuth, Engine, Failure, FlowKeeping, GitHub, Incoming, Intent, IssuerPolicy, OAuth2,
    OAuth2Setup, ProviderId, Strategy, UserField, UserFields,
};
use vestibule_tests::{NOW, ScriptedNetwork, block_on, json as answer, redirect, text};

const SITE: &str = "https://app.test";
const SECRET: &str = "the-secret-of-the-app";
const TOKEN: &str = "the-token-of-the-person";

/// An application with one provider, and the network around it.
struct World {
    engine: Engine,
    provider: ProviderId,
    net: ScriptedNetwork,
}

impl World {
    fn of(name: &str, strategy: impl Strategy + 'static) -> Self {
        let provider: ProviderId = name.parse().unwrap();
        let callback = format!("{SITE}/auth/{name}/callback").parse().unwrap();
        let engine =
            Engine::new(SITE.parse().unwrap(), &SealKeys::new([7; 32], []), FlowKeeping::Cookie).unwrap();
        let engine = engine.with_provider(provider.clone(), callback, Arc::new(strategy)).unwrap();
        Self { engine, provider, net: ScriptedNetwork::new() }
    }

    /// The person is sent to the provider; gives the address, and the browser's cookie.
    fn begin(&self, query: &str) -> (Url, HeaderMap) {
        let mut headers = HeaderMap::new();
        let incoming = Incoming::new(&Method::GET, &headers, query.as_bytes());
        let seed = Seed::from_entropy([1; 32]);
        let begun =
            block_on(self.engine.begin(&self.provider, incoming, Intent::SignIn, seed, NOW, &self.net));
        let Ok(Begun::Redirect { to, set_cookies }) = begun else { panic!("no redirect: {begun:?}") };
        let cookie = set_cookies[0].to_str().unwrap().split(';').next().unwrap().to_owned();
        headers.insert("cookie", cookie.parse().unwrap());
        (to, headers)
    }

    /// The person comes back, with this after `state=…`.
    fn finish(&self, rest: &str) -> Result<Auth, Failure> {
        let (to, headers) = self.begin("");
        let query = format!("state={}&{rest}", sent(&to, "state").unwrap());
        let incoming = Incoming::new(&Method::GET, &headers, query.as_bytes());
        let seed = Seed::from_entropy([2; 32]);
        block_on(self.engine.finish(&self.provider, incoming, seed, NOW, &self.net)).outcome
    }

    /// A callback that fails, with this code and status and without a secret in what is shown.
    fn fails(&self, row: &str, rest: &str, code: &str, status: u16) {
        let failure = self.finish(rest).unwrap_err();
        assert_eq!(
            (failure.kind().code(), failure.kind().status().as_u16()),
            (code, status),
            "{row}: {failure}"
        );
        let shown = format!("{failure} {failure:?} {}", failure.for_person());
        assert!(!shown.contains(SECRET) && !shown.contains(TOKEN), "{row}: {shown}");
    }
}

/// A parameter of the address that the person was sent to.
fn sent(to: &Url, name: &str) -> Option<String> {
    to.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}

fn ok(body: Value) -> Response<bytes::Bytes> {
    answer(200, &body)
}

mod generic {
    use super::*;

    const AUTHORIZE: &str = "https://forum.test/oauth/authorize";
    const EXCHANGE: &str = "https://forum.test/oauth/token";
    const ME: &str = "https://forum.test/api/me";

    fn setup() -> OAuth2Setup {
        let [authorize, exchange, me] = [AUTHORIZE, EXCHANGE, ME].map(|url| url.parse().unwrap());
        let mut setup = OAuth2Setup::new(authorize, exchange, me, "our-app");
        setup.client_auth = ClientAuth::SecretBasic(Secret::new(SECRET.to_owned()));
        setup.scope = "identify".parse().unwrap();
        setup.params = vec![("audience".to_owned(), "people".to_owned())];
        setup.fields = UserFields::new("/user/id").with(UserField::Name, "/user/name");
        setup
    }

    fn world() -> World {
        let world = World::of("forum", OAuth2::new(setup()));
        world.net.answer(
            "POST",
            EXCHANGE,
            ok(json!({ "access_token": TOKEN, "token_type": "bearer", "expires_in": 600 })),
        );
        world.net.answer("GET", ME, ok(json!({ "user": { "id": 7, "name": "Ada" } })));
        world
    }

    #[test]
    fn s15_s17_a_sign_in_with_pkce_from_the_link_to_the_person() {
        let world = world();
        let (to, _) = world.begin("login_hint=ada&evil=1");
        assert!(to.as_str().starts_with(AUTHORIZE));
        for (name, value) in [
            ("response_type", "code"),
            ("client_id", "our-app"),
            ("redirect_uri", "https://app.test/auth/forum/callback"),
            ("scope", "identify"),
            ("code_challenge_method", "S256"),
            ("audience", "people"),
            ("login_hint", "ada"),
        ] {
            assert_eq!(sent(&to, name).as_deref(), Some(value), "{name}");
        }
        assert_eq!(sent(&to, "evil"), None, "S26: what is not on the list stays here");

        let auth = world.finish("code=c-1").unwrap();
        assert_eq!((auth.uid.as_str(), auth.strategy), ("7", "oauth2"));
        assert_eq!(auth.info.name.as_deref(), Some("Ada"));
        assert!(auth.is_valid());
        assert!(auth.credentials.token.as_ref().unwrap().same_as(TOKEN));
        assert_eq!(auth.credentials.expires_at.unwrap().as_secs(), NOW.as_secs() + 600);
        assert_eq!(auth.credentials.scopes.to_string(), "identify", "as asked, since nothing else was said");
        assert!(!format!("{auth:?}").contains(TOKEN));

        let calls = world.net.calls();
        let [exchange, me] = &calls[..] else { panic!("{calls:?}") };
        assert_eq!(exchange.field("code").as_deref(), Some("c-1"));
        assert_eq!(exchange.field("redirect_uri").as_deref(), Some("https://app.test/auth/forum/callback"));
        assert!(exchange.field("code_verifier").is_some());
        assert_eq!(exchange.field("client_secret"), None);
        assert!(exchange.header("authorization").unwrap().starts_with("Basic "));
        assert_eq!(me.header("authorization"), Some(format!("Bearer {TOKEN}").as_str()));
        assert!(calls.iter().all(|call| call.trust == Trust::Configured));
    }

    #[test]
    fn s9_each_way_to_fail_has_its_code() {
        for (row, exchange, me, code, status) in [
            ("refused", answer(400, &json!({"error": "invalid_grant"})), None, "token_endpoint", 502),
            ("no answer of tokens", text(200, "<html>"), None, "token_answer_malformed", 502),
            ("a redirect", redirect(302, "https://elsewhere.test/"), None, "token_endpoint", 502),
            (
                "another kind of token",
                ok(json!({"access_token": TOKEN, "token_type": "mac"})),
                None,
                "token_type_mismatch",
                502,
            ),
            (
                "userinfo refuses",
                ok(json!({"access_token": TOKEN, "token_type": "Bearer"})),
                Some(text(403, "")),
                "bad_response",
                502,
            ),
            (
                "userinfo is a page",
                ok(json!({"access_token": TOKEN, "token_type": "Bearer"})),
                Some(text(200, "<html>")),
                "bad_response",
                502,
            ),
            (
                "nobody",
                ok(json!({"access_token": TOKEN, "token_type": "Bearer"})),
                Some(ok(json!({"user": {"name": "Ada"}}))),
                "subject_missing",
                502,
            ),
        ] {
            let world = world();
            world.net.answer("POST", EXCHANGE, exchange);
            if let Some(me) = me {
                world.net.answer("GET", ME, me);
            }
            world.fails(row, "code=c-1", code, status);
            assert!(!world.net.log().iter().any(|line| line.contains("elsewhere")), "{row}");
        }
        for (kind, code, status) in
            [(HttpErrorKind::AnswerTimeout, "transport", 504), (HttpErrorKind::UnknownHost, "transport", 502)]
        {
            let world = world();
            world.net.fail("POST", EXCHANGE, kind);
            world.fails(&format!("{kind:?}"), "code=c-1", code, status);
        }
    }

    #[test]
    fn s13_what_the_engine_refuses_asks_nobody() {
        for (row, rest, code, status) in [
            ("the person pressed Cancel", "error=access_denied", "access_denied", 403),
            ("no code", "", "missing_code", 400),
            ("two codes", "code=a&code=b", "duplicate_param", 400),
        ] {
            let world = world();
            world.fails(row, rest, code, status);
            assert!(world.net.log().is_empty(), "{row}: {:?}", world.net.log());
        }
    }

    #[test]
    fn s16_a_provider_that_promises_its_issuer_has_to_name_it() {
        let mut setup = setup();
        setup.issuer = IssuerPolicy::Exact("https://forum.test".to_owned());
        for (rest, code) in [
            ("code=c", Some("issuer_missing")),
            ("code=c&iss=https%3A%2F%2Fevil.test", Some("issuer_mismatch")),
            ("code=c&iss=https%3A%2F%2Fforum.test", None),
        ] {
            let world = World { engine: World::of("forum", OAuth2::new(setup.clone())).engine, ..world() };
            let outcome = world.finish(rest);
            assert_eq!(outcome.as_ref().err().map(|failure| failure.kind().code()), code, "{rest}");
            if let Ok(auth) = outcome {
                assert_eq!(auth.issuer.as_deref(), Some("https://forum.test"));
            }
        }
    }
}

mod github {
    use super::*;

    const EXCHANGE: &str = "https://github.com/login/oauth/access_token";
    const USER: &str = "https://api.github.com/user";
    const EMAILS: &str = "https://api.github.com/user/emails?per_page=100";

    fn world() -> World {
        let world = World::of("github", GitHub::new("Iv1.0", Secret::new(SECRET.to_owned())).unwrap());
        let tokens =
            json!({ "access_token": TOKEN, "token_type": "bearer", "scope": "read:user,user:email" });
        world.net.answer("POST", EXCHANGE, ok(tokens));
        let user = json!({
            "id": 583231, "login": "octocat", "name": null, "email": "public@example.com", "bio": "swims", "location": "the sea",
            "avatar_url": "https://avatars.test/u/583231", "html_url": "https://github.com/octocat", "blog": "", "url": USER,
        });
        world.net.answer("GET", USER, ok(user));
        let emails = json!([
            { "email": "old@example.com", "primary": false, "verified": true },
            { "email": "octocat@example.com", "primary": true, "verified": true },
        ]);
        world.net.answer("GET", EMAILS, ok(emails));
        world
    }

    #[test]
    fn a_person_is_a_number_and_their_address_is_the_one_that_was_verified() {
        let world = world();
        let (to, _) = world.begin("login=octocat&allow_signup=false&scope=repo");
        assert!(to.as_str().starts_with("https://github.com/login/oauth/authorize?"));
        assert_eq!(
            sent(&to, "scope").as_deref(),
            Some("read:user user:email"),
            "nobody adds to it from outside"
        );
        assert_eq!(sent(&to, "login").as_deref(), Some("octocat"));

        let auth = world.finish("code=c").unwrap();
        assert_eq!((auth.uid.as_str(), auth.strategy), ("583231", "github"));
        assert_eq!(
            (auth.info.name.as_deref(), auth.info.nickname.as_deref()),
            (Some("octocat"), Some("octocat"))
        );
        assert_eq!(
            (auth.info.email.as_deref(), auth.info.email_verified),
            (Some("octocat@example.com"), Some(true))
        );
        assert_eq!(auth.credentials.scopes.iter().collect::<Vec<_>>(), ["read:user", "user:email"], "commas");
        assert_eq!(auth.info.urls["html_url"], "https://github.com/octocat");
        assert!(!auth.info.urls.contains_key("blog"));
        for call in world.net.calls() {
            assert_eq!(call.header("accept"), Some("application/json"), "{}", call.url);
            let says_what_it_is = call.header("user-agent").is_some();
            assert_eq!(says_what_it_is, call.method == Method::GET, "{}", call.url);
        }
    }

    #[test]
    fn no_address_is_no_failure() {
        for (row, emails) in [
            ("no permission", text(403, "")),
            ("no such thing", text(404, "")),
            (
                "none is primary and verified",
                ok(json!([{ "email": "a@b.test", "primary": true, "verified": false }])),
            ),
            ("no list", ok(json!({}))),
        ] {
            let world = world();
            world.net.answer("GET", EMAILS, emails);
            let auth = world.finish("code=c").unwrap();
            assert_eq!((auth.info.email, auth.info.email_verified), (None, None), "{row}");
        }
        let world = world();
        world.net.fail("GET", EMAILS, HttpErrorKind::AnswerTimeout);
        assert_eq!(world.finish("code=c").unwrap().uid, "583231");
    }

    #[test]
    fn s25_its_errors_come_with_status_200() {
        let world = world();
        let refusal = json!({ "error": "bad_verification_code", "error_description": "The code passed is incorrect or expired." });
        world.net.answer("POST", EXCHANGE, ok(refusal));
        world.fails("bad code", "code=c", "token_endpoint", 502);
        assert_eq!(world.net.count("GET", USER), 0);
    }

    #[test]
    fn s16_it_names_its_issuer_or_does_not() {
        for (iss, code) in [
            ("", None),
            ("&iss=https%3A%2F%2Fgithub.com%2Flogin%2Foauth", None),
            ("&iss=https%3A%2F%2Fgithub.com", Some("issuer_mismatch")),
        ] {
            let outcome = world().finish(&format!("code=c{iss}"));
            assert_eq!(outcome.err().map(|failure| failure.kind().code()), code, "{iss}");
        }
    }

    #[test]
    fn an_enterprise_server_has_addresses_of_its_own() {
        let strategy =
            GitHub::enterprise("https://git.corp.test/", "Iv1.0", Secret::new(SECRET.to_owned())).unwrap();
        let world = World::of("corp", strategy);
        let (to, _) = world.begin("");
        assert!(to.as_str().starts_with("https://git.corp.test/login/oauth/authorize?"));
        world.net.answer(
            "POST",
            "https://git.corp.test/login/oauth/access_token",
            ok(json!({"access_token": TOKEN, "token_type": "bearer"})),
        );
        world.net.answer("GET", "https://git.corp.test/api/v3/user", ok(json!({"id": 1, "login": "ada"})));
        assert_eq!(world.finish("code=c").unwrap().uid, "1");
    }
}
