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
    OAuth2Setup, Provider, ProviderId, ResponseMode, Strategy, UserField, UserFields,
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
        let engine = Engine::builder(SITE.parse().unwrap(), &SealKeys::new([7; 32], []), FlowKeeping::Cookie)
            .provider(Provider::new(provider.clone(), Arc::new(strategy)))
            .build()
            .unwrap();
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
    fn s10_what_a_provider_repeats_of_a_secret_is_kept_nowhere() {
        let world = world();
        let me = json!({ "user": { "id": 7, "name": "Ada" }, "auth": { "token": TOKEN, "all": [format!("Bearer {TOKEN}"), 1] } });
        world.net.answer("GET", ME, ok(me));
        let auth = world.finish("code=c-1").unwrap();
        assert_eq!(auth.uid, "7");
        let raw = serde_json::to_string(&auth.extra).unwrap();
        assert!(!raw.contains(TOKEN) && raw.contains("\"all\":[null,1]"), "{raw}");

        let refusal = json!({ "error": "invalid_grant", "error_description": "no such code: c-1-secret" });
        world.net.answer("POST", EXCHANGE, answer(400, &refusal));
        let failure = world.finish("code=c-1-secret").unwrap_err();
        assert_eq!(failure.kind().code(), "token_endpoint");
        assert!(!format!("{failure} {failure:?}").contains("c-1-secret"), "{failure:?}");
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
            ("a text that repeats the token", ok(json!(format!("bad token: {TOKEN}")))),
        ] {
            let world = world();
            world.net.answer("GET", EMAILS, emails);
            let auth = world.finish("code=c").unwrap();
            assert_eq!((auth.info.email, auth.info.email_verified), (None, None), "{row}");
            assert!(!format!("{:?}", auth.extra.raw.get("emails")).contains(TOKEN), "S10: {row}");
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

mod openid {
    use std::sync::Mutex;
    use std::time::Duration;

    use vestibule_dpop::{AwsLcVerifier, sha256};
    use vestibule_oauth_core::{UnixTime, base64url};
    use vestibule_strategy::{OpenId, OpenIdSetup};
    use vestibule_tests::oauth::{Key, jwt};

    use super::*;

    const ISSUER: &str = "https://sso.test/realm";
    const DISCOVERY: &str = "https://sso.test/realm/.well-known/openid-configuration";
    const EXCHANGE: &str = "https://sso.test/token";
    const JWKS: &str = "https://sso.test/jwks";
    const ME: &str = "https://sso.test/me";
    const KEY: Key = Key(61);
    const NEXT_KEY: Key = Key(62);

    fn setup() -> OpenIdSetup {
        let secret = Secret::new(SECRET.to_owned());
        OpenIdSetup::new(ISSUER.parse().unwrap(), "our-app", secret, Arc::new(AwsLcVerifier))
    }

    fn discovery() -> Value {
        json!({
            "issuer": ISSUER, "authorization_endpoint": "https://sso.test/authorize", "token_endpoint": EXCHANGE, "jwks_uri": JWKS,
            "userinfo_endpoint": ME, "response_types_supported": ["code"], "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["ES256"],
        })
    }

    /// A provider that signs with this key, and the application that knows its issuer.
    struct Sso {
        world: World,
        signs_with: Key,
        now: UnixTime,
        /// Each login of a test has randomness of its own.
        logins: Mutex<u8>,
    }

    impl Sso {
        fn new() -> Self {
            Self::of(setup())
        }

        fn of(setup: OpenIdSetup) -> Self {
            let world = World::of("sso", OpenId::new(setup));
            world.net.answer("GET", DISCOVERY, ok(discovery()));
            world.net.answer("GET", JWKS, text(200, &KEY.jwks()));
            world.net.answer(
                "GET",
                ME,
                ok(json!({ "sub": "u-1", "email": "ada@example.com", "email_verified": "true" })),
            );
            Self { world, signs_with: KEY, now: NOW, logins: Mutex::new(0) }
        }

        fn claims(&self, nonce: &str) -> Value {
            let now = self.now.as_secs();
            json!({ "iss": ISSUER, "sub": "u-1", "aud": "our-app", "nonce": nonce, "iat": now, "exp": now + 300, "name": "Ada" })
        }

        /// A whole login; the ID token says what `change` makes of it.
        fn sign_in(&self, change: impl FnOnce(&mut Value, &mut Value)) -> Result<Auth, Failure> {
            self.sign_in_with("", change)
        }

        fn sign_in_with(
            &self,
            rest: &str,
            change: impl FnOnce(&mut Value, &mut Value),
        ) -> Result<Auth, Failure> {
            let login = {
                let mut logins = self.logins.lock().unwrap();
                *logins += 1;
                *logins
            };
            let World { engine, provider, net } = &self.world;
            let mut headers = HeaderMap::new();
            let incoming = Incoming::new(&Method::GET, &headers, b"");
            let seed = Seed::from_entropy([login; 32]);
            let Begun::Redirect { to, set_cookies } =
                block_on(engine.begin(provider, incoming, Intent::SignIn, seed, self.now, net))?
            else {
                panic!("no redirect")
            };
            let (state, nonce) = (sent(&to, "state").unwrap(), sent(&to, "nonce").unwrap());
            let mut header = json!({ "alg": "ES256", "kid": self.signs_with.kid() });
            let mut claims = self.claims(&nonce);
            change(&mut header, &mut claims);
            let id_token =
                if claims.is_null() { Value::Null } else { jwt(&header, &claims, self.signs_with).into() };
            net.answer(
                "POST",
                EXCHANGE,
                ok(json!({ "access_token": TOKEN, "token_type": "Bearer", "id_token": id_token })),
            );
            headers.insert(
                "cookie",
                set_cookies[0].to_str().unwrap().split(';').next().unwrap().parse().unwrap(),
            );
            let query = format!("state={state}&code=c{rest}");
            let incoming = Incoming::new(&Method::GET, &headers, query.as_bytes());
            let seed = Seed::from_entropy([login ^ 0x80; 32]);
            block_on(engine.finish(provider, incoming, seed, self.now, net)).outcome
        }
    }

    #[test]
    fn s24_a_sign_in_that_knows_the_issuer_alone() {
        let sso = Sso::new();
        let auth = sso.sign_in(|_, _| {}).unwrap();
        assert_eq!((auth.uid.as_str(), auth.strategy, auth.issuer.as_deref()), ("u-1", "oidc", Some(ISSUER)));
        assert_eq!(
            (auth.info.name.as_deref(), auth.info.email.as_deref()),
            (Some("Ada"), Some("ada@example.com"))
        );
        assert_eq!(auth.info.email_verified, Some(true));
        assert!(auth.credentials.id_token.is_some());
        // The document and the keys are kept.
        sso.sign_in(|_, _| {}).unwrap();
        let asked = |url| sso.world.net.count("GET", url);
        assert_eq!((asked(DISCOVERY), asked(JWKS), asked(ME)), (1, 1, 2));
    }

    #[test]
    fn s24_each_rule_of_an_id_token() {
        let now = NOW.as_secs();
        let half = |token: &str| base64url::encode(&sha256(token)[..16]);
        type Change = Box<dyn Fn(&mut Value, &mut Value)>;
        let claim = |name: &'static str, value: Value| -> Change {
            Box::new(move |_, claims| claims[name] = value.clone())
        };
        let without = |name: &'static str| -> Change {
            Box::new(move |_, claims| {
                claims.as_object_mut().unwrap().remove(name);
            })
        };
        let header = |name: &'static str, value: Value| -> Change {
            Box::new(move |header, _| header[name] = value.clone())
        };
        for (row, change, refused) in [
            ("as it should be", claim("at_hash", json!(half(TOKEN))), false),
            ("one audience in a list", claim("aud", json!(["our-app"])), false),
            ("made a minute ago by a fast clock", claim("iat", json!(now + 60)), false),
            ("ended within the leeway", claim("exp", json!(now - 59)), false),
            ("another issuer", claim("iss", json!("https://evil.test")), true),
            ("the issuer with a slash more", claim("iss", json!(format!("{ISSUER}/"))), true),
            ("another audience", claim("aud", json!("other-app")), true),
            ("several audiences and no party", claim("aud", json!(["our-app", "other"])), true),
            ("another party", claim("azp", json!("other-app")), true),
            ("expired", claim("exp", json!(now - 60)), true),
            ("without an end", without("exp"), true),
            ("of the future", claim("iat", json!(now + 61)), true),
            ("not yet good", claim("nbf", json!(now + 61)), true),
            ("another login's", claim("nonce", json!("n-of-another-login")), true),
            ("without a nonce", without("nonce"), true),
            ("of another access token", claim("at_hash", json!(half("another"))), true),
            ("about nobody", claim("sub", json!("")), true),
            ("without anybody", without("sub"), true),
            ("unsigned", header("alg", json!("none")), true),
            ("signed with a shared secret", header("alg", json!("HS256")), true),
            ("with something critical", header("crit", json!(["exp"])), true),
            ("by a key that is not there", header("kid", json!("nobodys")), true),
            ("none at all", Box::new(|_: &mut Value, claims: &mut Value| *claims = Value::Null), true),
        ] {
            let outcome = Sso::new().sign_in(|header, claims| change(header, claims));
            let code = outcome.as_ref().err().map(|failure| failure.kind().code());
            assert_eq!(code, refused.then_some("id_token"), "{row}: {outcome:?}");
            if let Err(failure) = outcome {
                assert!(!failure.to_string().contains(TOKEN), "{row}: {failure}");
                assert_eq!(failure.kind().status().as_u16(), 502);
            }
        }
    }

    #[test]
    fn s24_a_key_that_is_new_has_the_keys_fetched_again_once_a_minute() {
        let mut sso = Sso::new();
        sso.sign_in(|_, _| {}).unwrap();
        // The provider changes its key.
        sso.signs_with = NEXT_KEY;
        sso.world.net.answer("GET", JWKS, text(200, &NEXT_KEY.jwks()));
        let asked = |sso: &Sso| sso.world.net.count("GET", JWKS);
        sso.sign_in(|_, _| {}).unwrap();
        assert_eq!(asked(&sso), 2, "at once, however young the keys were that were kept");
        // A key that is nowhere does not make us ask without end.
        for seconds in [0, 30, 59] {
            sso.now = NOW.after(Duration::from_secs(seconds));
            sso.sign_in(|header, _| header["kid"] = json!("made-up")).unwrap_err();
        }
        assert_eq!(asked(&sso), 2);
        sso.now = NOW.after(Duration::from_secs(60));
        sso.sign_in(|header, _| header["kid"] = json!("made-up")).unwrap_err();
        assert_eq!(asked(&sso), 3);
        sso.sign_in(|_, _| {}).unwrap();
    }

    #[test]
    fn s24_what_userinfo_says_counts_only_about_the_same_person() {
        let sso = Sso::new();
        sso.world.net.answer("GET", ME, ok(json!({ "sub": "u-2", "name": "Eve" })));
        assert_eq!(sso.sign_in(|_, _| {}).unwrap_err().kind().code(), "userinfo_mismatch");
        sso.world.net.answer("GET", ME, text(500, ""));
        assert_eq!(
            sso.sign_in(|_, _| {}).unwrap().info.name.as_deref(),
            Some("Ada"),
            "the ID token has said who"
        );
    }

    #[test]
    fn s24_the_document_is_the_issuers_own() {
        for (row, answer, code) in [
            (
                "another issuer's",
                ok(json!({ "issuer": "https://evil.test" })),
                "authorization_server_metadata_failed",
            ),
            ("without an endpoint", ok(json!({ "issuer": ISSUER })), "authorization_server_metadata_failed"),
            ("gone", text(404, ""), "authorization_server_metadata_failed"),
        ] {
            let sso = Sso::new();
            sso.world.net.answer("GET", DISCOVERY, answer);
            assert_eq!(sso.sign_in(|_, _| {}).unwrap_err().kind().code(), code, "{row}");
        }
        let sso = Sso::new();
        sso.world.net.fail("GET", DISCOVERY, HttpErrorKind::AnswerTimeout);
        assert_eq!(sso.sign_in(|_, _| {}).unwrap_err().kind().code(), "transport");
        for keys in [text(500, ""), text(200, "<html>"), text(200, "{}")] {
            let sso = Sso::new();
            sso.world.net.answer("GET", JWKS, keys);
            assert_eq!(sso.sign_in(|_, _| {}).unwrap_err().kind().code(), "bad_response");
        }
    }

    #[test]
    fn s16_iss_is_wanted_where_the_document_promises_it() {
        for (promised, rest, code) in [
            (true, "", Some("issuer_missing")),
            (true, "&iss=https%3A%2F%2Fsso.test%2Frealm", None),
            (false, "", None),
            (false, "&iss=https%3A%2F%2Fevil.test", Some("issuer_mismatch")),
        ] {
            let sso = Sso::new();
            let mut document = discovery();
            document["authorization_response_iss_parameter_supported"] = json!(promised);
            sso.world.net.answer("GET", DISCOVERY, ok(document));
            let outcome = sso.sign_in_with(rest, |_, _| {});
            assert_eq!(outcome.err().map(|failure| failure.kind().code()), code, "{promised} {rest}");
        }
    }

    #[test]
    fn s21_an_answer_by_form_is_taken_as_a_form_and_in_no_other_way() {
        let mut posts = setup();
        posts.mode = ResponseMode::FormPost;
        let sso = Sso::of(posts.clone());
        let (to, headers) = sso.world.begin("");
        assert_eq!(sent(&to, "response_mode").as_deref(), Some("form_post"));
        let (state, nonce) = (sent(&to, "state").unwrap(), sent(&to, "nonce").unwrap());
        let id_token = jwt(&json!({ "alg": "ES256", "kid": KEY.kid() }), &sso.claims(&nonce), KEY);
        sso.world.net.answer(
            "POST",
            EXCHANGE,
            ok(json!({ "access_token": TOKEN, "token_type": "Bearer", "id_token": id_token })),
        );
        let query = format!("state={state}&code=c");
        let finish = |method: Method| {
            let incoming = Incoming::new(&method, &headers, query.as_bytes());
            let seed = Seed::from_entropy([9; 32]);
            block_on(sso.world.engine.finish(&sso.world.provider, incoming, seed, NOW, &sso.world.net))
        };
        let refused = finish(Method::GET).outcome.unwrap_err();
        assert_eq!(refused.kind().code(), "invalid_callback_request");
        assert_eq!(sso.world.net.count("POST", EXCHANGE), 0, "a code that was in a URL is not spent");
        assert_eq!(finish(Method::POST).outcome.unwrap().uid, "u-1");

        // Only the cookie of such a flow goes along with another site's form, and only on https.
        let cookie_of = |setup: OpenIdSetup, site: &str| {
            let engine =
                Engine::builder(site.parse().unwrap(), &SealKeys::new([7; 32], []), FlowKeeping::Cookie)
                    .provider(Provider::new("sso".parse().unwrap(), Arc::new(OpenId::new(setup))))
                    .build()
                    .unwrap();
            let (headers, seed) = (HeaderMap::new(), Seed::from_entropy([1; 32]));
            let incoming = Incoming::new(&Method::GET, &headers, b"");
            match block_on(engine.begin(
                &sso.world.provider,
                incoming,
                Intent::SignIn,
                seed,
                NOW,
                &sso.world.net,
            )) {
                Ok(Begun::Redirect { set_cookies, .. }) => Ok(set_cookies[0].to_str().unwrap().to_owned()),
                Ok(other) => panic!("{other:?}"),
                Err(failure) => Err(failure.kind().code()),
            }
        };
        let by_form = cookie_of(posts.clone(), SITE).unwrap();
        assert!(by_form.contains("SameSite=None") && by_form.contains("Secure"), "{by_form}");
        let by_query = cookie_of(setup(), SITE).unwrap();
        assert!(by_query.contains("SameSite=Lax"), "{by_query}");
        assert_eq!(cookie_of(posts, "http://127.0.0.1:8080").unwrap_err(), "misconfigured");
    }

    #[test]
    fn google_may_be_named_in_two_ways_and_a_domain_is_required_by_its_claim() {
        let issuer = "https://accounts.google.com";
        let verifier = Arc::new(AwsLcVerifier);
        let mut google = OpenIdSetup::google("our-app", Secret::new(SECRET.to_owned()), verifier).unwrap();
        google.required_claims = vec![("hd".to_owned(), "corp.test".to_owned())];
        for (iss, hd, code) in [
            (issuer, "corp.test", None),
            ("accounts.google.com", "corp.test", None),
            ("http://accounts.google.com", "corp.test", Some("id_token")),
            (issuer, "gmail.test", Some("account_mismatch")),
        ] {
            let sso = Sso::of(google.clone());
            let mut document = discovery();
            document["issuer"] = json!(issuer);
            sso.world.net.answer("GET", &format!("{issuer}/.well-known/openid-configuration"), ok(document));
            let outcome = sso.sign_in(|_, claims| {
                claims["iss"] = json!(iss);
                claims["hd"] = json!(hd);
            });
            assert_eq!(
                outcome.as_ref().err().map(|failure| failure.kind().code()),
                code,
                "{iss} {hd}: {outcome:?}"
            );
            if let Ok(auth) = outcome {
                assert_eq!(
                    (auth.strategy, auth.issuer.as_deref()),
                    ("google", Some(issuer)),
                    "one account by either name"
                );
            }
        }
    }
}

mod identity {
    use std::sync::Mutex;

    use vestibule_oauth_core::BoxFuture;
    use vestibule_strategy::{
        CredentialsVerifier, FailureKind, Fault, Identity, IdentityForm, SubmittedCredentials,
        VerifiedAccount,
    };

    use super::*;

    /// Knows Ada, writes down who asked, and can be out of order.
    #[derive(Default)]
    struct Accounts {
        asked: Mutex<Vec<String>>,
        down: bool,
    }

    impl CredentialsVerifier for Accounts {
        fn verify<'a>(
            &'a self,
            typed: &'a SubmittedCredentials,
        ) -> BoxFuture<'a, Result<Option<VerifiedAccount>, Fault>> {
            self.asked.lock().unwrap().push(format!("{typed:?}"));
            let right = typed.name == "ada@example.com"
                && typed.password.as_ref().is_some_and(|secret| secret.same_as(" love lace "));
            let answer = match self.down {
                true => Err(Fault::new(FailureKind::StoreUnavailable, "no accounts to be had")),
                false => Ok(right.then(|| VerifiedAccount::new("account-1"))),
            };
            Box::pin(async move { answer })
        }
    }

    fn submit(accounts: &Arc<Accounts>, origin: Option<&str>, body: &str) -> Result<Auth, Failure> {
        let form = IdentityForm::new("email")
            .nested_in("user")
            .with(UserField::Email, "email")
            .with(UserField::FirstName, "first_name")
            .with(UserField::Location, "location");
        let world =
            World::of("form", Identity::new(form, Arc::clone(accounts) as Arc<dyn CredentialsVerifier>));
        let mut headers = HeaderMap::new();
        headers.extend(origin.map(|origin| (http::header::ORIGIN, origin.parse().unwrap())));
        let incoming = Incoming::new(&Method::POST, &headers, body.as_bytes());
        let seed = Seed::from_entropy([1; 32]);
        block_on(world.engine.finish(&world.provider, incoming, seed, NOW, &world.net)).outcome
    }

    #[test]
    fn a_form_of_this_site_signs_in_whom_the_application_knows() {
        let accounts = Arc::new(Accounts::default());
        let body = "user[email]=+ada%40example.com&user[password]=+love+lace+&user[first_name]=Ada&user[location]=++&email=eve";
        let body = body.replace('[', "%5B").replace(']', "%5D");
        let auth = submit(&accounts, Some(SITE), &body).unwrap();
        assert_eq!((auth.uid.as_str(), auth.strategy), ("account-1", "identity"));
        assert_eq!((auth.info.email.as_deref(), auth.info.email_verified), (Some("ada@example.com"), None));
        assert_eq!(
            (auth.info.first_name.as_deref(), auth.info.location),
            (Some("Ada"), None),
            "blank is nothing"
        );
        assert!(
            auth.extra.raw.is_empty() && auth.credentials.other.is_empty(),
            "no password goes on from here"
        );
        let asked = accounts.asked.lock().unwrap().join("");
        assert!(!asked.contains("love"), "{asked}");
    }

    #[test]
    fn whatever_is_wrong_looks_the_same_and_another_site_asks_nobody() {
        let field = |name: &str, value: &str| format!("user%5B{name}%5D={value}");
        let (ada, right) = (field("email", "ada%40example.com"), field("password", "+love+lace+"));
        let bad = Some("invalid_credentials");
        for (row, origin, body, code) in [
            ("right", Some(SITE), format!("{ada}&{right}"), None),
            (
                "repeated rightly",
                Some(SITE),
                format!("{ada}&{right}&{}", field("password_confirmation", "+love+lace+")),
                None,
            ),
            ("a wrong password", Some(SITE), format!("{ada}&{}", field("password", "x")), bad),
            ("nobody", Some(SITE), format!("{}&{right}", field("email", "eve")), bad),
            ("no name", Some(SITE), right.clone(), bad),
            ("no password", Some(SITE), ada.clone(), bad),
            (
                "repeated wrongly",
                Some(SITE),
                format!("{ada}&{right}&{}", field("password_confirmation", "x")),
                bad,
            ),
            ("twice", Some(SITE), format!("{ada}&{ada}&{right}"), Some("duplicate_param")),
            ("another site", Some("https://evil.test"), format!("{ada}&{right}"), Some("cross_site_request")),
            ("nobody says where from", None, format!("{ada}&{right}"), Some("cross_site_request")),
        ] {
            let accounts = Arc::new(Accounts::default());
            let outcome = submit(&accounts, origin, &body);
            assert_eq!(
                outcome.as_ref().err().map(|failure| failure.kind().code()),
                code,
                "{row}: {outcome:?}"
            );
            if code == Some("cross_site_request") {
                assert!(accounts.asked.lock().unwrap().is_empty(), "{row}");
            }
        }
        let down = Arc::new(Accounts { down: true, ..Accounts::default() });
        let failure = submit(&down, Some(SITE), &format!("{ada}&{right}")).unwrap_err();
        assert_eq!(
            (failure.kind().code(), failure.kind().status().as_u16()),
            ("temporarily_unavailable", 503)
        );
    }
}
