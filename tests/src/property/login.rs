//! A login that is under way, and whatever comes back: callbacks, and the sealed cookie of the flow.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use http::Method;
use http::header::{COOKIE, HeaderMap, HeaderName, HeaderValue};
use url::Url;
use vestibule_oauth_core::seal::SealKeys;
use vestibule_oauth_core::{BoxFuture, FormRules, HttpClient, Params, Seed, UnixTime, base64url};
use vestibule_strategy::cookie::CookiePolicy;
use vestibule_strategy::{
    Auth, Begin, Begun, Callback, CallbackCx, Engine, Fault, Finished, FlowKeeping, Incoming, Intent,
    IssuerPolicy, Phase, Provider, ProviderId, RequestCx, ResponseMode, Routed, Stash, Strategy,
};

use super::material::{CANARY, edited, hides_the_canary, holds_the_canary, is_one_line, text};
use crate::fixed::{NOW, block_on};
use crate::scripted::ScriptedNetwork;

/// A provider whose codes are people's names.
struct Toy;

impl Strategy for Toy {
    fn kind(&self) -> &'static str {
        "toy"
    }

    fn issuer(&self, _: &Stash) -> IssuerPolicy {
        IssuerPolicy::Exact(ISSUER.to_owned())
    }

    fn request<'a>(
        &'a self,
        cx: RequestCx<'a>,
        _: &'a dyn HttpClient,
    ) -> BoxFuture<'a, Result<Begin, Fault>> {
        Box::pin(async move {
            let mut to = Url::parse(ISSUER).unwrap();
            to.query_pairs_mut().append_pair("state", cx.state);
            Ok(Begin::Redirect { to, stash: Stash::empty(), mode: ResponseMode::Query })
        })
    }

    fn callback<'a>(
        &'a self,
        cx: CallbackCx<'a>,
        _: &'a dyn HttpClient,
    ) -> BoxFuture<'a, Result<Auth, Fault>> {
        Box::pin(async move { Ok(Auth::new(cx.code()?.expose().clone(), cx.provider.clone(), self.kind())) })
    }
}

const ISSUER: &str = "https://sso.example";

/// One login, begun and not finished.
struct Login {
    engine: Engine,
    keys: SealKeys,
    policy: CookiePolicy,
    provider: ProviderId,
    state: String,
    /// The name of its cookie, without prefix, and the value.
    name: String,
    value: String,
}

static LOGIN: LazyLock<Login> = LazyLock::new(Login::begin);

impl Login {
    fn begin() -> Self {
        let site = Url::parse("https://app.example").unwrap();
        let keys = SealKeys::new([7; 32], []);
        let (provider, other): (ProviderId, ProviderId) = ("sso".parse().unwrap(), "other".parse().unwrap());
        let engine = Engine::builder(site.clone(), &keys, FlowKeeping::Cookie)
            .provider(Provider::new(provider.clone(), Arc::new(Toy)))
            .provider(Provider::new(other, Arc::new(Toy)))
            .build()
            .unwrap();
        let headers = HeaderMap::new();
        let incoming = Incoming::new(&Method::GET, &headers, b"return_to=/inbox");
        let seed = Seed::from_entropy([1; 32]);
        let network = ScriptedNetwork::new();
        let begun = block_on(engine.begin(&provider, incoming, Intent::SignIn, seed, NOW, &network)).unwrap();
        let Begun::Redirect { to, set_cookies } = begun else { panic!("the toy redirects") };
        let (_, state) = to.query_pairs().next().unwrap();
        let pair = set_cookies[0].to_str().unwrap().split(';').next().unwrap();
        let (name, value) = pair.split_once('=').unwrap();
        Self {
            state: state.into_owned(),
            name: name.strip_prefix("__Host-").unwrap().to_owned(),
            value: value.to_owned(),
            policy: CookiePolicy::for_site(&site).unwrap(),
            keys: keys.for_purpose("flow"),
            engine,
            provider,
        }
    }

    fn finish(
        &self,
        provider: &ProviderId,
        query: &[u8],
        cookie: Option<&HeaderValue>,
        now: UnixTime,
    ) -> Finished {
        let headers = HeaderMap::from_iter(cookie.map(|cookie| (COOKIE, cookie.clone())));
        let incoming = Incoming::new(&Method::GET, &headers, query);
        let network = ScriptedNetwork::new();
        let finished =
            block_on(self.engine.finish(provider, incoming, Seed::from_entropy([2; 32]), now, &network));
        if let Err(failure) = &finished.outcome {
            is_one_line(failure);
            assert!(failure.kind().status().as_u16() >= 400 && !failure.for_person().is_empty());
        }
        for cookie in &finished.set_cookies {
            let cookie = cookie.to_str().unwrap();
            assert!(cookie.starts_with("__Host-vestibule.flow.") && cookie.contains("=; "), "{cookie}");
        }
        if let Some(place) = finished.flow.as_ref().and_then(|flow| flow.return_to.as_ref()) {
            assert!(place.as_str().starts_with('/') && !place.as_str().starts_with("//"));
        }
        finished
    }

    /// The header that carries the flow's cookie with this value.
    fn cookie(&self, value: &str) -> HeaderValue {
        HeaderValue::try_from(format!("{}={value}", self.policy.name(&self.name))).unwrap()
    }

    /// The query of a provider that lets Ada in.
    fn good_query(&self) -> Vec<u8> {
        format!("state={}&iss=https%3A%2F%2Fsso.example&code=ada", self.state).into_bytes()
    }

    /// The octets with what only this login knows written in.
    fn filled(&self, data: &[u8]) -> Vec<u8> {
        let pair = format!("{}={}", self.policy.name(&self.name), self.value);
        let data = replaced(data, b"$STATE", self.state.as_bytes());
        let data = replaced(&data, b"$COOKIE", pair.as_bytes());
        replaced(&data, b"$VALUE", self.value.as_bytes())
    }
}

/// The octets with the first `pattern` in them replaced.
fn replaced(data: &[u8], pattern: &[u8], by: &[u8]) -> Vec<u8> {
    match data.windows(pattern.len()).position(|window| window == pattern) {
        Some(at) => [&data[..at], by, &data[at + pattern.len()..]].concat(),
        None => data.to_vec(),
    }
}

/// A callback signs in whom the provider named, if it is of this browser's flow, of this provider and in time, and nobody
/// in every other case. `$STATE` stands for the state of the flow.
pub fn callback(data: &[u8]) {
    let login = &*LOGIN;
    let query = login.filled(data);
    let cookie = login.cookie(&login.value);
    let rules = FormRules::DEFAULT.with_max_octets(64 * 1024);
    let named = Params::parse(&query, &rules).ok().and_then(|params| {
        let value = |name| params.value(name);
        let ours = value("state") == Some(&login.state) && value("iss") == Some(ISSUER);
        let plain = value("error").is_none() && value("response").is_none();
        if let Ok(callback) = Callback::read(&params) {
            assert_eq!((Some(callback.state()), callback.issuer()), (value("state"), value("iss")));
        }
        value("code").filter(|_| ours && plain).map(str::to_owned)
    });
    let finished = login.finish(&login.provider, &query, Some(&cookie), NOW);
    assert_eq!(finished.outcome.ok().map(|auth| auth.uid), named);

    let other: ProviderId = "other".parse().unwrap();
    let expired = NOW.after(Duration::from_secs(600));
    assert!(login.finish(&login.provider, &query, None, NOW).outcome.is_err(), "another browser");
    assert!(login.finish(&login.provider, &query, Some(&cookie), expired).outcome.is_err(), "too late");
    assert!(login.finish(&other, &query, Some(&cookie), NOW).outcome.is_err(), "another provider");

    if !holds_the_canary(&query) {
        let query = [&query, &b"&code="[..], CANARY.as_bytes()].concat();
        if let Err(failure) = login.finish(&login.provider, &query, Some(&cookie), NOW).outcome {
            hides_the_canary(&failure);
        }
        if let Ok(params) = Params::parse(&query, &rules) {
            match Callback::read(&params) {
                Ok(callback) => hides_the_canary(&callback),
                Err(fault) => hides_the_canary(&fault),
            }
        }
    }
}

/// A flow goes on with the very cookie that it was given; changed, or made by somebody without the key, it is none. The
/// octets are a `Cookie` header, and changes, and the text under the seal. `$COOKIE` stands for the cookie, `$VALUE` for its
/// value.
pub fn sealed_cookie(data: &[u8]) {
    let login = &*LOGIN;
    let query = login.good_query();
    let signs_in =
        |cookie: &HeaderValue| login.finish(&login.provider, &query, Some(cookie), NOW).outcome.is_ok();

    if let Ok(header) = HeaderValue::from_bytes(&login.filled(data)) {
        let headers = HeaderMap::from_iter([(COOKIE, header.clone())]);
        let ours = login.policy.read(&headers, &login.name) == Some(&*login.value);
        assert_eq!(signs_in(&header), ours, "{header:?}");
    }
    let sealed = base64url::decode(&login.value).unwrap();
    let changed = edited(&sealed, data);
    assert_eq!(signs_in(&login.cookie(&base64url::encode(&changed))), changed == sealed);
    assert!(!signs_in(&login.cookie(&base64url::encode(data))), "nobody sealed this");

    // Whoever has the key may write anything, another version of this program for one.
    let record = replaced(data, b"$STATE", login.state.as_bytes());
    let resealed = login.keys.seal(&record, login.name.as_bytes(), [8; 24]).unwrap();
    let finished =
        login.finish(&login.provider, &query, Some(&login.cookie(&base64url::encode(resealed))), NOW);
    assert!(finished.outcome.is_err() || finished.flow.is_some());
}

/// Whatever a request says of the host it is for, what is built is built of the site's own address. The lines are `Host`,
/// `X-Forwarded-Host`, `X-Forwarded-Proto` and `Forwarded`.
pub fn host_header(data: &[u8]) {
    let login = &*LOGIN;
    let names = ["host", "x-forwarded-host", "x-forwarded-proto", "forwarded"];
    let lines = data.split(|octet| *octet == b'\n');
    let said = names.into_iter().zip(lines).filter_map(|(name, line)| {
        Some((HeaderName::from_static(name), HeaderValue::from_bytes(line).ok()?))
    });
    let begun = |headers: &HeaderMap| {
        let incoming = Incoming::new(&Method::GET, headers, b"return_to=/inbox");
        let (seed, network) = (Seed::from_entropy([1; 32]), ScriptedNetwork::new());
        let begun = login.engine.begin(&login.provider, incoming, Intent::SignIn, seed, NOW, &network);
        let Ok(Begun::Redirect { to, set_cookies }) = block_on(begun) else { panic!("the toy redirects") };
        (to, set_cookies)
    };
    assert_eq!(begun(&said.collect()), begun(&HeaderMap::new()));
}

/// A path leads to a phase of a provider if it is one of the provider's addresses, with or without the site's own path before it and with
/// or without a slash behind it, and to nobody in every other case.
pub fn route(data: &[u8]) {
    let Some(path) = text(data) else { return };
    let site = Url::parse("https://app.example/hall").unwrap();
    let sso = || Provider::new("sso".parse().unwrap(), Arc::new(Toy));
    let engine = Engine::builder(site, &SealKeys::new([7; 32], []), FlowKeeping::Cookie).provider(sso());
    let engine = engine.build().unwrap();
    let ours = |at: &str| {
        ["/hall", ""].iter().any(|prefix| ["", "/"].iter().any(|end| path == format!("{prefix}{at}{end}")))
    };
    for method in [Method::GET, Method::POST, Method::HEAD, Method::PUT] {
        let takes = matches!(method, Method::GET | Method::POST);
        match engine.route(&method, path) {
            Routed::Phase(Phase::Request, provider) => {
                assert!(takes && ours("/auth/sso") && provider.as_str() == "sso");
            }
            Routed::Phase(Phase::Callback, _) => assert!(takes && ours("/auth/sso/callback")),
            Routed::WrongMethod(allowed) => {
                assert!(
                    !takes && allowed == "GET, POST" && (ours("/auth/sso") || ours("/auth/sso/callback"))
                );
            }
            Routed::Elsewhere => assert!(!ours("/auth/sso") && !ours("/auth/sso/callback")),
        }
    }
}
