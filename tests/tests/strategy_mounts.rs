//! The mounts of `vestibule-strategy`: as a service of hyper and of tower, and as a layer, below paths of axum and beside what an
//! application has.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use axum::body::Body;
use axum::extract::Request;
use axum::routing::get;
use axum::{Extension, Router};
use bytes::Bytes;
use http::request::Parts;
use http::{Method, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use tower::ServiceExt;
use url::Url;
use vestibule_oauth_core::seal::SealKeys;
use vestibule_oauth_core::{BoxFuture, HttpClient, Seed, UnixTime};
use vestibule_strategy::mount::{Ambient, AuthHandler, AuthLayer, AuthOutcome, AuthService, Mount};
use vestibule_strategy::{
    Auth, Begin, CallbackCx, CredentialsVerifier, Engine, Failure, Fault, FlowInfo, FlowKeeping, Identity,
    IdentityForm, Intent, IssuerPolicy, Provider, RequestCx, ResponseMode, ReturnTo, Stash, Strategy,
    SubmittedCredentials, VerifiedAccount,
};
use vestibule_tests::{NOW, ScriptedNetwork};

/// A provider whose codes are people's names.
struct Toy(ResponseMode);

impl Strategy for Toy {
    fn kind(&self) -> &'static str {
        "toy"
    }

    fn issuer(&self, _: &Stash) -> IssuerPolicy {
        IssuerPolicy::NotIdentified
    }

    fn request<'a>(
        &'a self,
        cx: RequestCx<'a>,
        _: &'a dyn HttpClient,
    ) -> BoxFuture<'a, Result<Begin, Fault>> {
        let mut to = Url::parse("https://sso.test/authorize").unwrap();
        to.query_pairs_mut()
            .append_pair("state", cx.state)
            .append_pair("redirect_uri", cx.redirect_uri.as_str());
        Box::pin(async move { Ok(Begin::Redirect { to, stash: Stash::empty(), mode: self.0 }) })
    }

    fn callback<'a>(
        &'a self,
        cx: CallbackCx<'a>,
        _: &'a dyn HttpClient,
    ) -> BoxFuture<'a, Result<Auth, Fault>> {
        Box::pin(async move { Ok(Auth::new(cx.code()?.expose().clone(), cx.provider.clone(), self.kind())) })
    }
}

struct Ada;

impl CredentialsVerifier for Ada {
    fn verify<'a>(
        &'a self,
        typed: &'a SubmittedCredentials,
    ) -> BoxFuture<'a, Result<Option<VerifiedAccount>, Fault>> {
        let right =
            typed.name == "ada" && typed.password.as_ref().is_some_and(|secret| secret.same_as("lovelace"));
        Box::pin(async move { Ok(right.then(|| VerifiedAccount::new("1"))) })
    }
}

/// Other randomness each time, the same time.
#[derive(Default)]
struct Counted(AtomicU8);

impl Ambient for Counted {
    fn now(&self) -> UnixTime {
        NOW
    }

    fn seed(&self) -> Seed {
        Seed::from_entropy([self.0.fetch_add(1, Ordering::SeqCst); 32])
    }
}

/// An engine for this site with the providers `sso`, `post` and `form`, mounted.
fn mount(site: &str, base: &str) -> Mount {
    let identity = Identity::new(IdentityForm::new("name"), Arc::new(Ada));
    let engine = Engine::builder(site.parse().unwrap(), &SealKeys::new([7; 32], []), FlowKeeping::Cookie)
        .base_path(base)
        .provider(Provider::new("sso".parse().unwrap(), Arc::new(Toy(ResponseMode::Query))))
        .provider(Provider::new("post".parse().unwrap(), Arc::new(Toy(ResponseMode::FormPost))))
        .provider(Provider::new("form".parse().unwrap(), Arc::new(identity)))
        .build()
        .unwrap();
    Mount::new(Arc::new(engine), Arc::new(ScriptedNetwork::new()), Arc::new(Counted::default()))
}

/// Says who it is, and where they go.
struct Answers;

impl AuthHandler for Answers {
    fn success<'a>(
        &'a self,
        auth: Auth,
        flow: Option<FlowInfo>,
        _: &'a Parts,
    ) -> BoxFuture<'a, Response<Bytes>> {
        let place = flow.and_then(|flow| flow.return_to);
        let text = format!("{} to {}", auth.uid, place.as_ref().map_or("/", ReturnTo::as_str));
        Box::pin(async move { Response::new(text.into()) })
    }

    fn failure<'a>(
        &'a self,
        failure: Failure,
        _: Option<FlowInfo>,
        _: &'a Parts,
    ) -> BoxFuture<'a, Response<Bytes>> {
        Box::pin(async move {
            let mut response = Response::new(Bytes::from_static(failure.kind().code().as_bytes()));
            *response.status_mut() = failure.kind().status();
            response
        })
    }
}

/// What a route of an application says of the login that ended there.
async fn told(login: Option<Extension<AuthOutcome>>, request: Request) -> (StatusCode, String) {
    let body = request.into_body().collect().await.unwrap().to_bytes();
    let body = String::from_utf8(body.to_vec()).unwrap();
    match login.map(|Extension(login)| login.outcome) {
        None => (StatusCode::OK, format!("no login; {body}")),
        Some(Ok(auth)) => (StatusCode::OK, format!("{}; {body}", auth.uid)),
        Some(Err(failure)) => (failure.kind().status(), failure.kind().code().to_owned()),
    }
}

/// An application's routes with the layer around them.
fn decorated(mount: Mount) -> Router {
    let told = || get(told).post(told);
    Router::new()
        .route("/", told())
        .route("/auth/{provider}", told())
        .route("/auth/{provider}/callback", told())
        .layer(AuthLayer::new(mount))
}

/// A request as a browser sends it, and what came of it.
struct Seen {
    status: u16,
    headers: http::HeaderMap,
    text: String,
}

impl Seen {
    fn location(&self) -> Url {
        self.headers["location"].to_str().unwrap().parse().unwrap()
    }

    /// What the browser sends back of the cookies it was given.
    fn cookie(&self) -> String {
        let set = self.headers.get_all("set-cookie").into_iter().map(|value| value.to_str().unwrap());
        set.map(|value| value.split(';').next().unwrap()).collect::<Vec<_>>().join("; ")
    }

    /// The path and query to which the provider sends the person back.
    fn back(&self, rest: &str) -> String {
        let to = self.location();
        let sent = |name: &str| to.query_pairs().find(|(key, _)| key == name).unwrap().1.into_owned();
        let callback = Url::parse(&sent("redirect_uri")).unwrap();
        format!("{}?state={}&{rest}", callback.path(), sent("state"))
    }
}

async fn ask(app: &Router, method: Method, path: &str, headers: &[(&str, &str)], body: &str) -> Seen {
    let mut request = http::Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let answer = app.clone().oneshot(request.body(Body::from(body.to_owned())).unwrap()).await.unwrap();
    let (parts, body) = answer.into_parts();
    let text = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
    Seen { status: parts.status.as_u16(), headers: parts.headers, text }
}

const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");
const OURS: (&str, &str) = ("sec-fetch-site", "same-origin");

/// Begins a login at `path` and comes back with `code=ada`.
async fn signs_in(app: &Router, path: &str) -> Seen {
    let begun = ask(app, Method::GET, path, &[], "").await;
    assert_eq!(begun.status, 303, "{path}: {}", begun.text);
    assert_eq!(
        (&begun.headers["cache-control"], &begun.headers["referrer-policy"]),
        (&"no-store".parse().unwrap(), &"no-referrer".parse().unwrap()),
        "S22"
    );
    ask(app, Method::GET, &begun.back("code=ada"), &[("cookie", &begun.cookie())], "").await
}

#[tokio::test]
async fn s5_the_endpoint_answers_below_a_path_of_axum_which_takes_the_path_away() {
    let service = AuthService::new(mount("https://app.test/hall/auth", ""), Arc::new(Answers));
    let app = Router::new().nest_service("/hall/auth", service);
    let done = signs_in(&app, "/hall/auth/sso?return_to=/inbox").await;
    assert_eq!((done.status, done.text.as_str()), (200, "ada to /inbox"));
    assert_eq!(done.headers["cache-control"], "no-store");
    assert!(done.headers["set-cookie"].to_str().unwrap().contains("Max-Age=0"), "S6: the flow is over");
    for (method, path, status) in [
        (Method::GET, "/hall/auth/sso/callback?state=x&code=c", 400),
        (Method::GET, "/hall/auth/nobody", 404),
        (Method::DELETE, "/hall/auth/sso", 405),
        (Method::HEAD, "/hall/auth/sso", 405),
        (Method::GET, "/hall/auth/form", 404),
    ] {
        assert_eq!(ask(&app, method.clone(), path, &[], "").await.status, status, "{method} {path}");
    }
}

#[tokio::test]
async fn s5_the_endpoint_is_a_service_of_hyper() {
    use hyper::service::Service;

    let service = AuthService::new(mount("https://app.test", "/auth"), Arc::new(Answers));
    let request = |path: &str, cookie: &str| {
        http::Request::get(path).header("cookie", cookie).body(Full::<Bytes>::default()).unwrap()
    };
    let begun = service.call(request("/auth/sso", "")).await.unwrap();
    let seen =
        Seen { status: begun.status().as_u16(), headers: begun.headers().clone(), text: String::new() };
    assert_eq!(seen.status, 303);
    let done = service.call(request(&seen.back("code=bob"), &seen.cookie())).await.unwrap();
    assert_eq!(done.into_body().collect().await.unwrap().to_bytes(), "bob to /");
}

#[tokio::test]
async fn s5_the_layer_puts_the_outcome_before_the_applications_own_route() {
    for (site, app, prefix) in [
        ("at the root", decorated(mount("https://app.test", "/auth")), ""),
        (
            "inside what axum nests",
            Router::new().nest("/hall", decorated(mount("https://app.test/hall", "/auth"))),
            "/hall",
        ),
        (
            "around what axum nests",
            Router::new()
                .nest("/hall", Router::new().route("/auth/{provider}/callback", get(told)))
                .layer(AuthLayer::new(mount("https://app.test/hall", "/auth"))),
            "/hall",
        ),
    ] {
        let done = signs_in(&app, &format!("{prefix}/auth/sso")).await;
        assert_eq!((done.status, done.text.as_str()), (200, "ada; "), "{site}");
        assert_eq!(done.headers["cache-control"], "no-store", "{site}");
        assert!(done.headers["set-cookie"].to_str().unwrap().contains("Max-Age=0"), "{site}");
        let failed =
            ask(&app, Method::GET, &format!("{prefix}/auth/sso/callback?state=x&code=c"), &[], "").await;
        assert_eq!((failed.status, failed.text.as_str()), (400, "csrf_attack"), "{site}");
    }
    let app = decorated(mount("https://app.test", "/auth"));
    assert_eq!(ask(&app, Method::GET, "/", &[], "").await.text, "no login; ");
}

#[tokio::test]
async fn s5_what_passes_through_and_what_cannot_be_begun_comes_to_the_application() {
    let app = decorated(mount("https://app.test", "/auth"));
    let page = ask(&app, Method::GET, "/auth/form", &[], "").await;
    assert_eq!((page.status, page.text.as_str()), (200, "no login; "), "the application's form");

    let typed = "name=ada&password=lovelace";
    let done = ask(&app, Method::POST, "/auth/form/callback", &[FORM, OURS], typed).await;
    assert_eq!(done.text, format!("1; {typed}"), "the form is there for the application, too");
    let wrong = ask(&app, Method::POST, "/auth/form/callback", &[FORM, OURS], "name=ada&password=x").await;
    assert_eq!((wrong.status, wrong.text.as_str()), (403, "invalid_credentials"));

    // S20: not from another site, not by a prefetch.
    for headers in [&[("sec-fetch-site", "cross-site")][..], &[("sec-purpose", "prefetch")]] {
        let refused = ask(&app, Method::GET, "/auth/sso", headers, "").await;
        assert_eq!((refused.status, refused.text.as_str()), (403, "cross_site_request"), "{headers:?}");
        assert!(!refused.headers.contains_key("set-cookie"));
    }
}

#[tokio::test]
async fn s21_a_callback_by_form_is_read_and_handed_on() {
    let app = decorated(mount("https://app.test", "/auth"));
    let begun = ask(&app, Method::GET, "/auth/post", &[], "").await;
    let back = begun.back("code=ada");
    let (path, form) = back.split_once('?').unwrap();
    let headers = [
        ("cookie", &*begun.cookie()),
        FORM,
        ("origin", "https://sso.test"),
        ("sec-fetch-site", "cross-site"),
    ];
    let done = ask(&app, Method::POST, path, &headers, form).await;
    assert_eq!((done.status, done.text), (200, format!("ada; {form}")));
}

#[tokio::test]
async fn s8_a_form_is_bounded_and_of_its_kind() {
    for app in [
        decorated(mount("https://app.test", "/auth")),
        Router::new()
            .nest_service("/auth", AuthService::new(mount("https://app.test/auth", ""), Arc::new(Answers))),
    ] {
        let post = "/auth/post/callback";
        let long = format!("state=x&code={}", "c".repeat(64 * 1024));
        assert_eq!(ask(&app, Method::POST, post, &[FORM], &long).await.status, 413);
        let json = [("content-type", "application/json")];
        assert_eq!(ask(&app, Method::POST, post, &json, "{}").await.status, 415);
        let refused = ask(&app, Method::PUT, post, &[], "").await;
        assert_eq!((refused.status, &refused.headers["allow"]), (405, &"GET, POST".parse().unwrap()));
    }
}

#[tokio::test]
async fn s22_cookies_of_the_application_stay_beside_the_logins_own() {
    let with_cookie = || async { ([("set-cookie", "host=1"), ("referrer-policy", "same-origin")], "in") };
    let app = Router::new()
        .route("/auth/sso/callback", get(with_cookie))
        .layer(AuthLayer::new(mount("https://app.test", "/auth")));
    let done = signs_in(&app, "/auth/sso").await;
    let cookies: Vec<_> = done.headers.get_all("set-cookie").into_iter().collect();
    assert_eq!(cookies.len(), 2, "{cookies:?}");
    assert_eq!(done.headers["referrer-policy"], "same-origin", "the application's own word");
}

#[tokio::test]
async fn s12_a_strict_session_of_the_application_does_not_kill_a_callback() {
    // The browser does not send it with a redirect from another site; the cookie of the flow is enough.
    let app = decorated(mount("https://app.test", "/auth"));
    let begun = ask(&app, Method::GET, "/auth/sso", &[("cookie", "session=strict")], "").await;
    let set = begun.headers["set-cookie"].to_str().unwrap();
    assert!(set.contains("SameSite=Lax") && set.starts_with("__Host-"), "{set}");
    let headers = [("cookie", &*begun.cookie()), ("sec-fetch-site", "cross-site")];
    assert_eq!(ask(&app, Method::GET, &begun.back("code=ada"), &headers, "").await.text, "ada; ");
}

#[tokio::test]
async fn s20_linking_is_for_whom_the_application_says_and_by_form_only() {
    let subject = |parts: &Parts| match parts.headers.get("x-signed-in") {
        Some(_) => Intent::Link { subject: "acct-1".to_owned() },
        None => Intent::SignIn,
    };
    let intents = |Extension(login): Extension<AuthOutcome>| async move {
        format!("{:?}", login.flow.map(|flow| flow.intent))
    };
    let app = Router::new()
        .route("/auth/sso", get(told).post(told))
        .route("/auth/sso/callback", get(intents))
        .layer(AuthLayer::new(mount("https://app.test", "/auth").with_intent(subject)));
    let signed_in = ("x-signed-in", "1");
    let refused = ask(&app, Method::GET, "/auth/sso", &[signed_in], "").await;
    assert_eq!((refused.status, refused.text.as_str()), (403, "cross_site_request"));
    let begun = ask(&app, Method::POST, "/auth/sso", &[signed_in, FORM, OURS], "").await;
    assert_eq!(begun.status, 303, "{}", begun.text);
    let done = ask(&app, Method::GET, &begun.back("code=ada"), &[("cookie", &begun.cookie())], "").await;
    assert_eq!(done.text, "Some(Link { subject: \"acct-1\" })");
}
