//! A strategy that pushes its request, and a counterpart of one's own for it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Response, StatusCode};
use serde_json::json;
use url::Url;
use vestibule_dpop::sha256;
use vestibule_oauth_core::{BoxFuture, HttpCall, HttpClient, HttpError, Trust, UnixTime, base64url};

use super::{at, forum, oauth2};
use crate::testing::{Broken, Call, CallbackQuery, Counterpart, FakeProvider, conformance, json_answer};
use crate::{
    Auth, Backchannel, Begin, CallbackCx, ClientAuth, FailureKind, Fault, Form, OAuth2, RequestCx,
    ResponseMode, Stash, Strategy,
};

/// The forum, with an endpoint more.
struct PushingForum {
    inner: FakeProvider,
    pushed: Mutex<BTreeMap<String, Vec<(String, String)>>>,
}

impl PushingForum {
    fn new() -> Self {
        Self { inner: forum(&ClientAuth::Public), pushed: Mutex::default() }
    }

    /// The request that an address names.
    fn whole(&self, to: &Url) -> Result<Url, Broken> {
        let named = to.query_pairs().find(|(name, _)| name == "request_uri");
        let pushed = self.pushed.lock().unwrap();
        let fields = named.and_then(|(_, uri)| pushed.get(&*uri));
        let fields = fields.ok_or_else(|| Broken::new("the request was pushed", to))?;
        let mut whole = at("authorize");
        whole.query_pairs_mut().extend_pairs(fields);
        Ok(whole)
    }
}

impl HttpClient for PushingForum {
    fn send<'a>(&'a self, call: HttpCall) -> BoxFuture<'a, Result<Response<Bytes>, HttpError>> {
        Box::pin(async move {
            if *call.request.uri() != at("par").as_str() {
                return self.inner.send(call).await;
            }
            let call = Call::from(call);
            let uri = format!("urn:pushed:{}", base64url::encode(sha256(&call.body)));
            self.pushed.lock().unwrap().insert(uri.clone(), call.fields());
            Ok(json_answer(StatusCode::CREATED, &json!({ "request_uri": uri, "expires_in": 60 })))
        })
    }
}

impl Counterpart for PushingForum {
    fn authorize(&self, to: &Url) -> Result<CallbackQuery, Broken> {
        self.inner.authorize(&self.whole(to)?)
    }

    fn cancel(&self, to: &Url) -> Result<CallbackQuery, Broken> {
        self.inner.cancel(&self.whole(to)?)
    }

    fn at(&self, now: UnixTime) {
        self.inner.at(now);
    }

    fn asked_with(&self) -> String {
        "name=ada".to_owned()
    }

    fn secrets(&self) -> Vec<String> {
        self.inner.secrets()
    }
}

/// Whether a pushing strategy sends the state.
#[derive(Clone, Copy, PartialEq)]
enum State {
    Pushed,
    Forgotten,
}

struct Pushing(State, OAuth2);

impl Pushing {
    fn new(state: State) -> Arc<Self> {
        Arc::new(Self(state, OAuth2::new(oauth2(&ClientAuth::Public))))
    }

    async fn begin(&self, cx: &RequestCx<'_>, http: &dyn HttpClient) -> Result<Begin, Fault> {
        let name = cx.param("name");
        let name = name.ok_or_else(|| Fault::new(FailureKind::MissingHandle, "nobody is named"))?;
        let mut fields = vec![
            ("response_type", "code"),
            ("redirect_uri", cx.redirect_uri.as_str()),
            ("code_challenge", cx.pkce.as_str()),
            ("code_challenge_method", "S256"),
            ("login_hint", name),
        ];
        if self.0 == State::Pushed {
            fields.push(("state", cx.state));
        }
        let endpoint = at("par");
        let form = Form::new(&endpoint, "pushed request", fields);
        let channel = Backchannel::new("forum", "our-app", &ClientAuth::Public, Trust::Configured);
        let call = channel.request(&form, None, cx.seed, cx.now).unwrap();
        let answer = http.send(call).await.map_err(|error| Fault::transport("push", &error))?;
        let uri = serde_json::from_slice::<BTreeMap<String, serde_json::Value>>(answer.body())
            .ok()
            .filter(|_| answer.status() == StatusCode::CREATED)
            .and_then(|said| said.get("request_uri")?.as_str().map(str::to_owned))
            .ok_or_else(|| Fault::new(FailureKind::BadResponse, "the push was not taken"))?;
        let mut to = at("authorize");
        to.query_pairs_mut().append_pair("client_id", "our-app").append_pair("request_uri", &uri);
        Ok(Begin::Redirect { to, stash: Stash::empty(), mode: ResponseMode::Query })
    }
}

impl Strategy for Pushing {
    fn kind(&self) -> &'static str {
        "oauth2"
    }

    fn allowed_params(&self) -> &'static [&'static str] {
        &["name"]
    }

    fn request<'a>(
        &'a self,
        cx: RequestCx<'a>,
        http: &'a dyn HttpClient,
    ) -> BoxFuture<'a, Result<Begin, Fault>> {
        Box::pin(async move { self.begin(&cx, http).await })
    }

    fn callback<'a>(
        &'a self,
        cx: CallbackCx<'a>,
        http: &'a dyn HttpClient,
    ) -> BoxFuture<'a, Result<Auth, Fault>> {
        self.1.callback(cx, http)
    }
}

#[test]
fn s27_what_is_pushed_is_held_to_the_same_rules() {
    conformance(Pushing::new(State::Pushed), &PushingForum::new()).unwrap();
    let broken = conformance(Pushing::new(State::Forgotten), &PushingForum::new()).unwrap_err();
    assert_eq!(broken.rule, "the redirect has the engine's state, once");
}
