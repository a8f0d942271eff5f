//! Apple and Microsoft, from the first request to the person, over a scripted network: what each does in its own way, and what a stranger
//! could make of it.

use std::sync::Arc;

use http::{HeaderMap, Method, Response};
use serde_json::{Value, json};
use url::Url;
use vestibule_dpop::{AwsLcVerifier, Compact, DefaultVerifier};
use vestibule_oauth_core::seal::SealKeys;
use vestibule_oauth_core::{Secret, Seed};
use vestibule_strategy::{
    Apple, AppleKey, Auth, Begun, Engine, Failure, FlowKeeping, Incoming, Intent, MicrosoftTenant, OpenId,
    OpenIdSetup, Provider, Strategy, Tenants,
};
use vestibule_tests::oauth::{Key, jwt};
use vestibule_tests::{Call, NOW, ScriptedNetwork, block_on, json as answer, text};

const SITE: &str = "https://app.test";
const SECRET: &str = "the-secret-of-the-app";
const TOKEN: &str = "the-token-of-the-person";
const EXCHANGE: &str = "https://provider.test/token";
const JWKS: &str = "https://provider.test/keys";
const KEY: Key = Key(71);

fn ok(body: Value) -> Response<bytes::Bytes> {
    answer(200, &body)
}

/// An application with one provider, and the provider.
struct World {
    engine: Engine,
    net: ScriptedNetwork,
}

/// A login that was begun.
struct Begin {
    to: Url,
    headers: HeaderMap,
}

impl Begin {
    fn sent(&self, name: &str) -> Option<String> {
        self.to.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
    }
}

impl World {
    fn new(site: &str, strategy: impl Strategy + 'static, discovery: &str, issuer: &str) -> Self {
        let engine = Engine::builder(site.parse().unwrap(), &SealKeys::new([7; 32], []), FlowKeeping::Cookie)
            .provider(Provider::new("it".parse().unwrap(), Arc::new(strategy)))
            .build()
            .unwrap();
        let net = ScriptedNetwork::new();
        let document = json!({
            "issuer": issuer, "authorization_endpoint": "https://provider.test/authorize", "token_endpoint": EXCHANGE,
            "jwks_uri": JWKS, "response_types_supported": ["code"], "subject_types_supported": ["pairwise"],
            "id_token_signing_alg_values_supported": ["ES256"],
        });
        net.answer("GET", discovery, ok(document));
        net.answer("GET", JWKS, text(200, &KEY.jwks()));
        Self { engine, net }
    }

    fn begin(&self) -> Result<Begin, Failure> {
        let mut headers = HeaderMap::new();
        let incoming = Incoming::new(&Method::GET, &headers, b"");
        let (provider, seed) = ("it".parse().unwrap(), Seed::from_entropy([1; 32]));
        let begun = block_on(self.engine.begin(&provider, incoming, Intent::SignIn, seed, NOW, &self.net))?;
        let Begun::Redirect { to, set_cookies } = begun else { panic!("no redirect") };
        let cookie = set_cookies[0].to_str().unwrap().split(';').next().unwrap().to_owned();
        headers.insert("cookie", cookie.parse().unwrap());
        Ok(Begin { to, headers })
    }

    /// The provider issues an ID token that says this and what every one says.
    fn issues(&self, begun: &Begin, claims: &Value) {
        let now = NOW.as_secs();
        let mut all = json!({ "sub": "u-1", "aud": "our-app", "iat": now, "exp": now + 300 });
        all["nonce"] = json!(begun.sent("nonce").unwrap());
        all.as_object_mut().unwrap().extend(claims.as_object().unwrap().clone());
        let id_token = jwt(&json!({ "alg": "ES256", "kid": KEY.kid() }), &all, KEY);
        self.net.answer(
            "POST",
            EXCHANGE,
            ok(json!({ "access_token": TOKEN, "token_type": "Bearer", "id_token": id_token })),
        );
    }

    fn finish(&self, begun: &Begin, method: Method, more: &str) -> Result<Auth, Failure> {
        let query = format!("state={}&code=c-1{more}", begun.sent("state").unwrap());
        let incoming = Incoming::new(&method, &begun.headers, query.as_bytes());
        let (provider, seed) = ("it".parse().unwrap(), Seed::from_entropy([2; 32]));
        block_on(self.engine.finish(&provider, incoming, seed, NOW, &self.net)).outcome
    }

    fn sign_in(&self, method: Method, claims: &Value, more: &str) -> Result<Auth, Failure> {
        let begun = self.begin()?;
        self.issues(&begun, claims);
        let outcome = self.finish(&begun, method, more);
        if let Err(failure) = &outcome {
            let shown = format!("{failure} {failure:?} {}", failure.for_person());
            assert!(!shown.contains(SECRET) && !shown.contains(TOKEN) && !shown.contains("c-1"), "{shown}");
        }
        outcome
    }
}

fn code(outcome: Result<Auth, Failure>) -> Option<&'static str> {
    outcome.err().map(|failure| failure.kind().code())
}

mod apple {
    use super::*;

    const ISSUER: &str = "https://appleid.apple.com";
    const TEAM_KEY: Key = Key(72);

    fn world_at(site: &str) -> World {
        let key = AppleKey {
            team_id: "TEAM123456".to_owned(),
            key_id: "KEY1234567".to_owned(),
            signer: TEAM_KEY.signer(),
        };
        let apple = Apple::new("our-app", key, Arc::new(AwsLcVerifier)).unwrap();
        World::new(site, apple, &format!("{ISSUER}/.well-known/openid-configuration"), ISSUER)
    }

    fn claims() -> Value {
        json!({ "iss": ISSUER, "email": "x1@privaterelay.appleid.com", "email_verified": "true", "is_private_email": "true" })
    }

    fn user(json: &Value) -> String {
        url::form_urlencoded::Serializer::new("&".to_owned()).append_pair("user", &json.to_string()).finish()
    }

    #[test]
    fn s21_apple_answers_by_a_form_and_is_told_a_secret_that_is_signed_afresh() {
        let world = world_at(SITE);
        let begun = world.begin().unwrap();
        assert_eq!(begun.sent("response_mode").as_deref(), Some("form_post"));
        assert_eq!(begun.sent("scope").as_deref(), Some("openid name email"));
        world.issues(&begun, &claims());
        let first = user(
            &json!({ "name": { "firstName": "Ada", "lastName": "Lovelace" }, "email": "x1@privaterelay.appleid.com" }),
        );
        let auth = world.finish(&begun, Method::POST, &first).unwrap();
        assert_eq!((auth.uid.as_str(), auth.account().0), ("u-1", ISSUER));
        assert_eq!(auth.info.name.as_deref(), Some("Ada Lovelace"));
        assert_eq!(
            (auth.info.first_name.as_deref(), auth.info.last_name.as_deref()),
            (Some("Ada"), Some("Lovelace"))
        );
        assert_eq!(auth.info.email.as_deref(), Some("x1@privaterelay.appleid.com"));
        assert_eq!(auth.info.email_verified, Some(true), "as a text");
        assert_eq!(auth.extra.raw["id_token"]["is_private_email"], "true");

        let calls = world.net.calls();
        let exchange: &Call = calls.iter().find(|call| call.url == EXCHANGE).unwrap();
        assert_eq!(exchange.field("client_id").as_deref(), Some("our-app"));
        assert_eq!(exchange.header("authorization"), None);
        let secret = exchange.field("client_secret").unwrap();
        let secret = Compact::parse(&secret, 4096).unwrap();
        let signer = TEAM_KEY.signer();
        secret.verify(&DefaultVerifier, signer.public_key(), &[signer.algorithm()]).unwrap();
        assert_eq!(secret.header().kid(), Some("KEY1234567"));
        let claims: Value = serde_json::from_slice(secret.payload()).unwrap();
        assert_eq!(
            (&claims["iss"], &claims["sub"], &claims["aud"]),
            (&json!("TEAM123456"), &json!("our-app"), &json!(ISSUER))
        );
        let (issued, expires) = (claims["iat"].as_u64().unwrap(), claims["exp"].as_u64().unwrap());
        assert!(issued < NOW.as_secs() && expires > NOW.as_secs() && expires - issued <= 300);
    }

    #[test]
    fn what_comes_beside_the_code_is_a_name_and_no_more() {
        // A stranger's words, signed by nobody.
        let forged = json!({
            "name": { "firstName": "Eve", "lastName": 7 }, "email": "ada@corp.test", "email_verified": true, "sub": "u-2",
        });
        let auth = world_at(SITE).sign_in(Method::POST, &claims(), &user(&forged)).unwrap();
        assert_eq!(
            (auth.uid.as_str(), auth.info.email.as_deref()),
            ("u-1", Some("x1@privaterelay.appleid.com"))
        );
        assert_eq!((auth.info.name.as_deref(), auth.info.last_name.as_deref()), (Some("Eve"), None));
        for nothing in ["", "&user=", "&user=%7B", "&user=null", "&user=%5B1%5D", "&user=%22Eve%22"] {
            let auth = world_at(SITE).sign_in(Method::POST, &claims(), nothing).unwrap();
            assert_eq!(auth.info.name, None, "{nothing}");
        }
        let mut without = claims();
        without.as_object_mut().unwrap().remove("email");
        let auth = world_at(SITE).sign_in(Method::POST, &without, &user(&forged)).unwrap();
        assert_eq!((auth.info.email, auth.info.email_verified), (None, Some(true)));
        for name in ["a".repeat(5000), "Eve\nAdmin".to_owned(), "\u{1b}[31mEve".to_owned()] {
            let named = user(&json!({ "name": { "firstName": name } }));
            let auth = world_at(SITE).sign_in(Method::POST, &claims(), &named).unwrap();
            assert_eq!(auth.info.first_name, None);
        }
    }

    #[test]
    fn s21_apple_needs_https_and_a_form() {
        assert_eq!(world_at("http://127.0.0.1:8080").begin().err().unwrap().kind().code(), "misconfigured");
        assert_eq!(
            code(world_at(SITE).sign_in(Method::GET, &claims(), "")),
            Some("invalid_callback_request")
        );
        let mut other = claims();
        other["iss"] = json!("https://evil.test");
        assert_eq!(code(world_at(SITE).sign_in(Method::POST, &other, "")), Some("id_token"));
    }

    #[test]
    fn who_presses_cancel_at_apple_has_said_no() {
        let world = world_at(SITE);
        let begun = world.begin().unwrap();
        let query = format!("state={}&error=user_cancelled_authorize", begun.sent("state").unwrap());
        let incoming = Incoming::new(&Method::POST, &begun.headers, query.as_bytes());
        let (provider, seed) = ("it".parse().unwrap(), Seed::from_entropy([2; 32]));
        let failure =
            block_on(world.engine.finish(&provider, incoming, seed, NOW, &world.net)).outcome.unwrap_err();
        assert_eq!((failure.kind().code(), failure.kind().status().as_u16()), ("access_denied", 403));
    }
}

mod microsoft {
    use super::*;

    const TEMPLATE: &str = "https://login.microsoftonline.com/{tenantid}/v2.0";
    const OURS: &str = "72f988bf-86f1-41af-91ab-2d7cd011db47";
    const OTHER: &str = "11111111-2222-3333-4444-555555555555";

    fn issuer(tenant: &str) -> String {
        format!("https://login.microsoftonline.com/{tenant}/v2.0")
    }

    fn setup(tenant: &str) -> OpenIdSetup {
        let tenant: MicrosoftTenant = tenant.parse().unwrap();
        let secret = Secret::new(SECRET.to_owned());
        OpenIdSetup::microsoft(&tenant, "our-app", secret, Arc::new(AwsLcVerifier)).unwrap()
    }

    fn world(setup: OpenIdSetup, document: &str) -> World {
        let discovery = format!("{}/.well-known/openid-configuration", setup.issuer);
        World::new(SITE, OpenId::new(setup), &discovery, document)
    }

    fn claims(iss: &str, tid: Value) -> Value {
        json!({ "iss": iss, "tid": tid, "name": "Ada", "email": "ada@corp.test", "email_verified": true, "oid": "o-1" })
    }

    #[test]
    fn s24_a_person_is_one_of_their_tenant() {
        let auth = world(setup("common"), TEMPLATE)
            .sign_in(Method::GET, &claims(&issuer(OURS), json!(OURS)), "")
            .unwrap();
        assert_eq!(
            auth.account(),
            (issuer(OURS).as_str(), "u-1"),
            "the same sub at another tenant is another person"
        );
        assert_eq!(auth.strategy, "microsoft");
        assert_eq!(auth.info.email.as_deref(), Some("ada@corp.test"));
        assert_eq!(auth.info.email_verified, None, "whoever runs a tenant may write there what they like");
        assert_eq!(auth.extra.raw["id_token"]["oid"], "o-1");
    }

    #[test]
    fn s24_the_tenant_of_a_token_is_the_tenant_of_its_issuer() {
        for (row, iss, tid) in [
            ("another tenant's issuer", issuer(OTHER), json!(OURS)),
            ("no tenant", issuer(OURS), Value::Null),
            ("a tenant that is no GUID", issuer("common"), json!("common")),
            (
                "a way out of the path",
                "https://login.microsoftonline.com/../evil/v2.0".to_owned(),
                json!("../evil"),
            ),
            ("the template", TEMPLATE.to_owned(), json!("{tenantid}")),
            ("a number", issuer("1"), json!(1)),
            ("somebody else's host", format!("https://evil.test/{OURS}/v2.0"), json!(OURS)),
        ] {
            let outcome = world(setup("common"), TEMPLATE).sign_in(Method::GET, &claims(&iss, tid), "");
            assert_eq!(code(outcome), Some("id_token"), "{row}");
        }
    }

    #[test]
    fn a_document_of_many_tenants_is_taken_where_many_may_sign_in() {
        let good = claims(&issuer(OURS), json!(OURS));
        for (tenant, document, expected) in [
            ("organizations", TEMPLATE.to_owned(), None),
            ("common", issuer("common"), None),
            ("common", issuer(OURS), Some("authorization_server_metadata_failed")),
            (
                "common",
                "https://evil.test/{tenantid}/v2.0".to_owned(),
                Some("authorization_server_metadata_failed"),
            ),
            (OURS, issuer(OURS), None),
            (OURS, TEMPLATE.to_owned(), Some("authorization_server_metadata_failed")),
            (OTHER, issuer(OTHER), Some("id_token")),
        ] {
            let outcome = world(setup(tenant), &document).sign_in(Method::GET, &good, "");
            let failed = outcome.as_ref().err().map(|failure| failure.kind().code());
            assert_eq!(failed, expected, "{tenant} {document}");
        }
        // Everybody's own accounts are a tenant like any other.
        let consumers = "9188040d-6c67-4c5b-b112-36a304b66dad";
        let auth = world(setup("consumers"), &issuer(consumers)).sign_in(
            Method::GET,
            &claims(&issuer(consumers), json!(consumers)),
            "",
        );
        assert_eq!(auth.unwrap().issuer, Some(issuer(consumers)));
    }

    #[test]
    fn only_the_tenants_that_may_do() {
        let mut some = setup("organizations");
        some.tenants = Some(Tenants::new(TEMPLATE).only([OURS.to_uppercase()]));
        let some = world(some, TEMPLATE);
        let of = |tenant: &str| some.sign_in(Method::GET, &claims(&issuer(tenant), json!(tenant)), "");
        assert_eq!(code(of(OURS)), None);
        let refused = of(OTHER).unwrap_err();
        assert_eq!((refused.kind().code(), refused.kind().status().as_u16()), ("account_mismatch", 403));
        assert!(refused.for_person().contains("Use another one"), "{}", refused.for_person());
        // Organizations are not people on their own.
        let consumers = "9188040d-6c67-4c5b-b112-36a304b66dad";
        let organizations = world(setup("organizations"), TEMPLATE);
        let outcome = organizations.sign_in(Method::GET, &claims(&issuer(consumers), json!(consumers)), "");
        assert_eq!(code(outcome), Some("account_mismatch"));
    }

    #[test]
    fn s24_a_key_of_one_tenant_signs_for_no_other() {
        for (owner, expected) in [
            (issuer(OURS), None),
            (TEMPLATE.to_owned(), None),
            (issuer(OTHER), Some("id_token")),
            ("https://evil.test".to_owned(), Some("id_token")),
        ] {
            let world = world(setup("common"), TEMPLATE);
            let mut key = KEY.jwk();
            key["issuer"] = json!(owner);
            world.net.answer("GET", JWKS, ok(json!({ "keys": [key] })));
            let outcome = world.sign_in(Method::GET, &claims(&issuer(OURS), json!(OURS)), "");
            assert_eq!(code(outcome), expected, "{owner}");
        }
    }

    #[test]
    fn s16_whatever_issuer_a_callback_of_many_tenants_names_the_token_says_who_it_is() {
        let world = world(setup("common"), TEMPLATE);
        let more = format!("&iss={}", issuer(OURS));
        assert_eq!(code(world.sign_in(Method::GET, &claims(&issuer(OURS), json!(OURS)), &more)), None);
    }
}
