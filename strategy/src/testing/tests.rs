//! The kit passes what is right, and catches what is wrong by the rule that is broken.

mod flawed;
mod provider;
mod pushed;

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Method, Request};
use serde_json::json;
use url::Url;
use vestibule_dpop::{DefaultVerifier, Es256Secret, default_signer};
use vestibule_oauth_core::seal::SealKeys;
use vestibule_oauth_core::{BoxFuture, HttpCall, HttpClient, HttpErrorKind, Issuer, Secret, Trust};

use super::{
    Broken, CallbackQuery, Counterpart, FakeForm, FakeProvider, MockStrategy, NOW, Quirk, SITE, ScriptedHttp,
    conformance, run, seed,
};
use crate::{
    AssertionKey, Auth, Begun, ClientAuth, CredentialsVerifier, Engine, Failure, FailureKind, Fault,
    FlowKeeping, GitHub, Identity, IdentityForm, Incoming, Intent, IssuerPolicy, OAuth2, OAuth2Setup, OpenId,
    OpenIdSetup, Provider, ProviderId, ResponseMode, Strategy, SubmittedCredentials, VerifiedAccount,
};

const SECRET: &str = "the-secret-of-the-app";

fn secret() -> Secret {
    Secret::new(SECRET.to_owned())
}

fn at(path: &str) -> Url {
    Url::parse("https://forum.example").unwrap().join(path).unwrap()
}

fn issuer() -> Issuer {
    "https://sso.example/realm".parse().unwrap()
}

fn sso() -> FakeProvider {
    FakeProvider::openid(&issuer(), "our-app", ClientAuth::SecretBasic(secret()))
}

fn openid() -> OpenIdSetup {
    OpenIdSetup::new(issuer(), "our-app", secret(), Arc::new(DefaultVerifier))
}

fn forum(client_auth: &ClientAuth) -> FakeProvider {
    FakeProvider::oauth2(&at("authorize"), &at("token"), &at("me"), "our-app", client_auth.clone())
}

fn oauth2(client_auth: &ClientAuth) -> OAuth2Setup {
    let mut setup = OAuth2Setup::new(at("authorize"), at("token"), at("me"), "our-app");
    setup.client_auth = client_auth.clone();
    setup
}

fn octocat() -> FakeProvider {
    let below = |path: &str| Url::parse(&format!("https://git.example{path}")).unwrap();
    let (authorize, token) = (below("/login/oauth/authorize"), below("/login/oauth/access_token"));
    let client_auth = ClientAuth::SecretPost(secret());
    FakeProvider::oauth2(&authorize, &token, &below("/api/v3/user"), "Iv1.0", client_auth)
        .with_person(json!({ "id": "583231", "login": "octocat", "name": null }))
        .with_resource(
            "https://git.example/api/v3/user/emails?per_page=100",
            json!([{ "email": "octocat@example.com", "primary": true, "verified": true }]),
        )
        .with_quirk(Quirk::NumericIds)
        .with_quirk(Quirk::CommaSeparatedScopes)
        .with_quirk(Quirk::ErrorsWithStatus200)
}

/// A whole login at a fake provider.
fn sign_in(strategy: impl Strategy + 'static, provider: &FakeProvider) -> Result<Auth, Failure> {
    Login::begun(Arc::new(strategy), provider).finished(provider)
}

/// A login whose person is at the provider.
struct Login {
    engine: Engine,
    name: ProviderId,
    headers: HeaderMap,
    to: Url,
}

impl Login {
    fn begun(strategy: Arc<dyn Strategy>, http: &dyn HttpClient) -> Self {
        let name: ProviderId = "sso".parse().unwrap();
        let engine = Engine::builder(SITE.parse().unwrap(), &SealKeys::new([7; 32], []), FlowKeeping::Cookie)
            .provider(Provider::new(name.clone(), strategy))
            .build()
            .unwrap();
        let mut headers = HeaderMap::new();
        let incoming = Incoming::new(&Method::GET, &headers, b"");
        let begun = run(engine.begin(&name, incoming, Intent::SignIn, seed(1), NOW, http)).unwrap();
        let Ok(Begun::Redirect { to, set_cookies }) = begun else { panic!("{begun:?}") };
        let cookie = set_cookies[0].to_str().unwrap().split(';').next().unwrap().parse().unwrap();
        headers.insert("cookie", cookie);
        Self { engine, name, headers, to }
    }

    fn finished(&self, provider: &FakeProvider) -> Result<Auth, Failure> {
        self.arrived(&provider.authorize(&self.to).unwrap(), provider)
    }

    fn arrived(&self, query: &CallbackQuery, http: &dyn HttpClient) -> Result<Auth, Failure> {
        let (method, encoded) = (query.method(), query.encoded());
        let incoming = Incoming::new(&method, &self.headers, encoded.as_bytes());
        run(self.engine.finish(&self.name, incoming, seed(2), NOW, http)).unwrap().outcome
    }
}

#[test]
fn s27_openid_connect_passes() {
    conformance(Arc::new(OpenId::new(openid())), &sso()).unwrap();
    conformance(Arc::new(OpenId::new(openid())), &sso().without_iss()).unwrap();
    let mut by_form = openid();
    by_form.mode = ResponseMode::FormPost;
    conformance(Arc::new(OpenId::new(by_form)), &sso()).unwrap();
}

#[test]
fn s27_oauth_passes_whatever_way_the_client_proves_itself() {
    let signer = default_signer(&Es256Secret::from_entropy([5; 32]));
    for client_auth in [
        ClientAuth::Public,
        ClientAuth::SecretBasic(Secret::new("a secret: with % and ü".to_owned())),
        ClientAuth::SecretPost(secret()),
        ClientAuth::PrivateKeyJwt(AssertionKey::new("one", signer)),
    ] {
        conformance(Arc::new(OAuth2::new(oauth2(&client_auth))), &forum(&client_auth)).unwrap();
        let mut promised = oauth2(&client_auth);
        promised.issuer = IssuerPolicy::Exact("https://forum.example".to_owned());
        let provider = forum(&client_auth).with_iss("https://forum.example");
        conformance(Arc::new(OAuth2::new(promised)), &provider).unwrap();
    }
}

#[test]
fn s27_github_passes_with_all_its_quirks() {
    let github = || GitHub::enterprise("https://git.example", "Iv1.0", secret()).unwrap();
    conformance(Arc::new(github()), &octocat()).unwrap();
    conformance(Arc::new(github()), &octocat().with_iss("https://git.example/login/oauth")).unwrap();
    let auth = sign_in(github(), &octocat()).unwrap();
    assert_eq!((auth.uid.as_str(), auth.info.email.as_deref()), ("583231", Some("octocat@example.com")));
    assert_eq!(auth.credentials.scopes.iter().collect::<Vec<_>>(), ["read:user", "user:email"]);
}

struct Ada;

impl CredentialsVerifier for Ada {
    fn verify<'a>(
        &'a self,
        typed: &'a SubmittedCredentials,
    ) -> BoxFuture<'a, Result<Option<VerifiedAccount>, Fault>> {
        let right =
            typed.name == "ada" && typed.password.as_ref().is_some_and(|typed| typed.same_as("love lace"));
        Box::pin(async move { Ok(right.then(|| VerifiedAccount::new("1"))) })
    }
}

fn form() -> FakeForm {
    FakeForm::new([("name", "ada")]).with_secret("password", "love lace")
}

#[test]
fn s27_a_form_passes() {
    conformance(Arc::new(Identity::new(IdentityForm::new("name"), Arc::new(Ada))), &form()).unwrap();
}

#[test]
fn a_mock_fails_as_it_is_told_to_behind_every_check() {
    let nobody = ScriptedHttp::new();
    let login = Login::begun(Arc::new(MockStrategy::fails(FailureKind::IdToken)), &nobody);
    let query = MockStrategy::callback_for(&login.to).unwrap();
    let code = |query: &CallbackQuery| login.arrived(query, &nobody).unwrap_err().kind().code();
    assert_eq!(code(&query), "id_token");
    assert_eq!(code(&query.clone().without("code")), "missing_code");
    assert_eq!(code(&query.with("error", "access_denied")), "code_and_error");
    assert!(MockStrategy::callback_for(&at("authorize")).is_err());

    let sso: ProviderId = "sso".parse().unwrap();
    let refuses = MockStrategy::fails_to_begin(FailureKind::RateLimited);
    let engine = Engine::builder(SITE.parse().unwrap(), &SealKeys::new([7; 32], []), FlowKeeping::Cookie)
        .provider(Provider::new(sso.clone(), Arc::new(refuses)))
        .build()
        .unwrap();
    let headers = HeaderMap::new();
    let incoming = Incoming::new(&Method::GET, &headers, b"");
    let begun = run(engine.begin(&sso, incoming, Intent::SignIn, seed(1), NOW, &nobody)).unwrap();
    assert_eq!(begun.unwrap_err().kind(), &FailureKind::RateLimited);
}

#[test]
fn a_network_forgets_what_it_was_asked_and_keeps_what_it_answers() {
    let http = ScriptedHttp::new();
    http.fail(Method::GET, "https://a.example", HttpErrorKind::Connect);
    let get = |url: &str| {
        let request = Request::get(url).body(Bytes::new()).unwrap();
        run(http.send(HttpCall::new(request, "a test", Trust::UserSupplied))).unwrap().unwrap_err().kind()
    };
    assert_eq!(get("https://a.example:443/"), HttpErrorKind::Connect);
    assert_eq!(get("https://b.example/"), HttpErrorKind::UnknownHost);
    assert_eq!(http.calls_to(Method::GET, "https://b.example")[0].trust, Trust::UserSupplied);
    http.forget_calls();
    assert_eq!((http.calls().len(), get("https://a.example/")), (0, HttpErrorKind::Connect));
    let broken: Broken = run(std::future::pending::<()>()).unwrap_err();
    assert_eq!(broken.seen, "a future is waiting");
}
