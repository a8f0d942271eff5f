//! Strategies with a flaw each.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};
use serde_json::{Value, json};
use url::Url;
use vestibule_oauth_core::{BoxFuture, HttpCall, HttpClient, Trust};

use super::{Ada, SECRET, at, form, forum, secret, sso};
use crate::testing::{Counterpart, FakeForm, conformance};
use crate::token::code_form;
use crate::{
    Auth, Backchannel, Begin, CallbackCx, ClientAuth, CsrfGuard, FailureKind, Fault, Identity, IdentityForm,
    RequestCx, ResponseMode, Stash, Strategy, TokenAnswer,
};

/// What somebody who writes a strategy does wrong.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Flaw {
    None,
    ForgetsState,
    SendsStateTwice,
    ForgetsPkce,
    SendsPlainChallenge,
    AddsASlash,
    MakesItsOwnNonce,
    HasRandomnessOfItsOwn,
    LetsScopesIn,
    SendsTheSecretAlong,
    ShowsTheAnswer,
    IgnoresTheStatus,
    SignsInAGuest,
    BlamesTheSite,
    HidesTransport,
    WaitsForEver,
    ReadsWithoutEnd,
    KeepsTheToken,
    NamesNobody,
    NamesALine,
    NamesItself,
    NamesEachLoginAnew,
    WaitsForSomethingElse,
}

/// A strategy for the forum, with a flaw.
struct Flawed(Flaw, AtomicU64);

impl Flawed {
    fn new(flaw: Flaw) -> Arc<Self> {
        Arc::new(Self(flaw, AtomicU64::new(0)))
    }

    fn begun(&self, cx: &RequestCx<'_>) -> Url {
        let is = |flaw| self.0 == flaw;
        let mut to = at("authorize");
        let mut query = to.query_pairs_mut();
        query.append_pair("response_type", "code").append_pair("client_id", "our-app");
        for _ in
            0..[1, 0, 2][usize::from(is(Flaw::ForgetsState)) + 2 * usize::from(is(Flaw::SendsStateTwice))]
        {
            query.append_pair("state", cx.state);
        }
        if !is(Flaw::ForgetsPkce) {
            query.append_pair("code_challenge", cx.pkce.as_str());
            let method = if is(Flaw::SendsPlainChallenge) { "plain" } else { "S256" };
            query.append_pair("code_challenge_method", method);
        }
        let slash = if is(Flaw::AddsASlash) { "/" } else { "" };
        query.append_pair("redirect_uri", &format!("{}{slash}", cx.redirect_uri));
        if is(Flaw::MakesItsOwnNonce) {
            query.append_pair("nonce", "always-the-same");
        }
        if is(Flaw::HasRandomnessOfItsOwn) {
            query.append_pair("device", &self.1.fetch_add(1, Ordering::Relaxed).to_string());
        }
        if is(Flaw::SendsTheSecretAlong) {
            query.append_pair("client_secret", SECRET);
        }
        if let Some(scope) = cx.param("scope") {
            query.append_pair("scope", scope);
        }
        drop(query);
        to
    }

    async fn signed_in(&self, cx: &CallbackCx<'_>, http: &dyn HttpClient) -> Result<Auth, Fault> {
        let is = |flaw| self.0 == flaw;
        let bad = |what: &str| match self.0 {
            Flaw::BlamesTheSite => Fault::new(FailureKind::Misconfigured, what),
            _ => Fault::new(FailureKind::BadResponse, what),
        };
        if is(Flaw::WaitsForSomethingElse) {
            std::future::pending::<()>().await;
        }
        let (token, client_auth) = (at("token"), ClientAuth::SecretPost(secret()));
        let channel = Backchannel::new("https://forum.example", "our-app", &client_auth, Trust::Configured);
        let form = code_form(&token, cx.code()?, cx.redirect_uri, cx.verifier);
        let mut call = channel.request(&form, None, cx.seed, cx.now).unwrap();
        if is(Flaw::WaitsForEver) {
            call = call.with_timeout(Duration::MAX);
        }
        if is(Flaw::ReadsWithoutEnd) {
            call = call.with_body_limit(usize::MAX);
        }
        let answer = http.send(call).await.map_err(|error| match self.0 {
            Flaw::HidesTransport => bad("no answer"),
            _ => Fault::transport("token", &error),
        })?;
        if is(Flaw::ShowsTheAnswer) {
            serde_json::from_slice::<BTreeMap<String, Value>>(answer.body())
                .map_err(|error| bad(&error.to_string()))?;
        }
        let tokens = TokenAnswer::read(&answer).map_err(|error| bad(&error.to_string()))?;

        let token = tokens.access_token.expose();
        let asked = Request::get(at("me").as_str()).header("authorization", format!("Bearer {token}"));
        let call = HttpCall::new(asked.body(Bytes::new()).unwrap(), "person", Trust::Configured);
        let answer = http.send(call).await.map_err(|error| Fault::transport("person", &error));
        let person: Result<Value, Fault> = answer.and_then(|answer| {
            let ok = answer.status() == StatusCode::OK || is(Flaw::IgnoresTheStatus);
            serde_json::from_slice(answer.body()).ok().filter(|_| ok).ok_or_else(|| bad("no person"))
        });
        let person = if is(Flaw::SignsInAGuest) {
            person.unwrap_or_else(|_| json!({ "sub": "guest" }))
        } else {
            person?
        };
        let uid = person.get("sub").and_then(Value::as_str).ok_or_else(|| bad("nobody"))?;
        let uid = match self.0 {
            Flaw::NamesNobody => String::new(),
            Flaw::NamesALine => format!("{uid}\r\nadmin"),
            Flaw::NamesEachLoginAnew => format!("{uid} {}", self.1.fetch_add(1, Ordering::Relaxed)),
            _ => uid.to_owned(),
        };
        let strategy = if is(Flaw::NamesItself) { "another" } else { "forum" };
        let mut auth = Auth::new(uid, cx.provider.clone(), strategy);
        if is(Flaw::KeepsTheToken) {
            auth.extra.raw.insert("tokens".to_owned(), json!({ "access_token": token }));
        }
        Ok(auth)
    }
}

impl Strategy for Flawed {
    fn kind(&self) -> &'static str {
        "forum"
    }

    fn allowed_params(&self) -> &'static [&'static str] {
        if self.0 == Flaw::LetsScopesIn { &["scope"] } else { &[] }
    }

    fn request<'a>(
        &'a self,
        cx: RequestCx<'a>,
        _: &'a dyn HttpClient,
    ) -> BoxFuture<'a, Result<Begin, Fault>> {
        let to = self.begun(&cx);
        Box::pin(async { Ok(Begin::Redirect { to, stash: Stash::empty(), mode: ResponseMode::Query }) })
    }

    fn callback<'a>(
        &'a self,
        cx: CallbackCx<'a>,
        http: &'a dyn HttpClient,
    ) -> BoxFuture<'a, Result<Auth, Fault>> {
        Box::pin(async move { self.signed_in(&cx, http).await })
    }
}

#[test]
fn s27_a_flaw_is_caught_by_the_rule_that_it_breaks() {
    let provider = || forum(&ClientAuth::SecretPost(secret()));
    conformance(Flawed::new(Flaw::None), &provider()).unwrap();
    for (flaw, rule) in [
        (Flaw::ForgetsState, "the redirect has the engine's state, once"),
        (Flaw::SendsStateTwice, "the redirect has the engine's state, once"),
        (Flaw::ForgetsPkce, "the redirect has the engine's PKCE challenge, once"),
        (Flaw::SendsPlainChallenge, "the redirect has the challenge method S256, once"),
        (Flaw::AddsASlash, "the redirect has the engine's redirect_uri, octet for octet, once"),
        (Flaw::MakesItsOwnNonce, "a nonce in the redirect is the engine's"),
        (Flaw::HasRandomnessOfItsOwn, "the same seed gives the same redirect"),
        (Flaw::LetsScopesIn, "what a stranger adds to the request does not reach the provider"),
        (Flaw::SendsTheSecretAlong, "the redirect holds no secret of the application"),
        (Flaw::ShowsTheAnswer, "no failure shows a secret"),
        (Flaw::IgnoresTheStatus, "nobody is signed in on an answer that is none"),
        (Flaw::SignsInAGuest, "nobody is signed in on an answer that is none"),
        (Flaw::BlamesTheSite, "an answer that is none is the other server's fault"),
        (Flaw::HidesTransport, "a call that fails is a failure of transport"),
        (Flaw::WaitsForEver, "every call has a time limit that a person waits for"),
        (Flaw::ReadsWithoutEnd, "every call has a limit on the octets of its answer"),
        (Flaw::KeepsTheToken, "extra.raw holds no secret"),
        (Flaw::NamesNobody, "a uid is not empty"),
        (Flaw::NamesALine, "a uid holds no control character"),
        (Flaw::NamesItself, "an account names the strategy's kind"),
        (Flaw::NamesEachLoginAnew, "one person has one uid"),
        (Flaw::WaitsForSomethingElse, "a strategy waits for the network it is given, and for nothing else"),
    ] {
        let broken = conformance(Flawed::new(flaw), &provider());
        assert_eq!(broken.as_ref().map_err(|broken| broken.rule), Err(rule), "{flaw:?}: {broken:?}");
    }
}

/// Takes whoever sends a form, with a guard or without one.
struct Gullible(CsrfGuard);

impl Strategy for Gullible {
    fn kind(&self) -> &'static str {
        "gullible"
    }

    fn csrf(&self) -> CsrfGuard {
        self.0
    }

    fn request<'a>(&'a self, _: RequestCx<'a>, _: &'a dyn HttpClient) -> BoxFuture<'a, Result<Begin, Fault>> {
        Box::pin(async { Ok(Begin::PassThrough) })
    }

    fn callback<'a>(
        &'a self,
        cx: CallbackCx<'a>,
        _: &'a dyn HttpClient,
    ) -> BoxFuture<'a, Result<Auth, Fault>> {
        Box::pin(async move { Ok(Auth::new("admin", cx.provider.clone(), "gullible")) })
    }
}

#[test]
fn s27_a_form_that_lets_anybody_in_is_caught() {
    let rule = |guard, form: &dyn Counterpart| conformance(Arc::new(Gullible(guard)), form).unwrap_err().rule;
    assert_eq!(rule(CsrfGuard::SameOriginPost, &form()), "an empty form signs nobody in");
    assert_eq!(
        rule(CsrfGuard::FlowCookie, &form()),
        "a strategy that is guarded by the flow's cookie sends people to their provider"
    );
    assert_eq!(
        rule(CsrfGuard::SameOriginPost, &sso()),
        "the counterpart of a strategy that takes a form has a form"
    );
    let nobody = FakeForm::new([("name", "eve")]);
    let identity = Identity::new(IdentityForm::new("name"), Arc::new(Ada));
    assert_eq!(conformance(Arc::new(identity), &nobody).unwrap_err().rule, "the good form signs somebody in");
}
