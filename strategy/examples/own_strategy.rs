//! A strategy of one's own, held to what every strategy owes:
//! `cargo run -p vestibule-strategy --features test-kit --example own_strategy`.

use std::{error::Error, sync::Arc};

use http::{Request, header::AUTHORIZATION};
use url::Url;
use vestibule_oauth_core::{BoxFuture, HttpCall, HttpClient, Trust};
use vestibule_strategy::testing::{FakeProvider, conformance};
use vestibule_strategy::{Auth, Begin, CallbackCx, ClientAuth, FailureKind, Fault, RequestCx, ResponseMode};
use vestibule_strategy::{Backchannel, Stash, Strategy, TokenAnswer, token::code_form};

/// Sign-in with a forum that speaks OAuth, and says at `me` who somebody is.
struct Forum([Url; 3]);

impl Strategy for Forum {
    fn kind(&self) -> &'static str {
        "forum"
    }

    fn request<'a>(
        &'a self,
        cx: RequestCx<'a>,
        _: &'a dyn HttpClient,
    ) -> BoxFuture<'a, Result<Begin, Fault>> {
        let [mut to, ..] = self.0.clone();
        to.query_pairs_mut()
            .extend_pairs([("response_type", "code"), ("client_id", "our-app"), ("state", cx.state)])
            .extend_pairs([("code_challenge", cx.pkce.as_str()), ("code_challenge_method", "S256")])
            .append_pair("redirect_uri", cx.redirect_uri.as_str());
        Box::pin(async { Ok(Begin::Redirect { to, stash: Stash::empty(), mode: ResponseMode::Query }) })
    }

    fn callback<'a>(
        &'a self,
        cx: CallbackCx<'a>,
        http: &'a dyn HttpClient,
    ) -> BoxFuture<'a, Result<Auth, Fault>> {
        Box::pin(async move {
            let bad = |what: &str| Fault::new(FailureKind::BadResponse, what);
            let [_, token, me] = &self.0;
            let channel = Backchannel::new("forum", "our-app", &ClientAuth::Public, Trust::Configured);
            let form = code_form(token, cx.code()?, cx.redirect_uri, cx.verifier);
            let call = channel.request(&form, None, cx.seed, cx.now).map_err(|_| bad("no key signs here"))?;
            let answer = http.send(call).await.map_err(|error| Fault::transport("token", &error))?;
            let token = TokenAnswer::read(&answer).map_err(|_| bad("no token"))?.access_token;

            let me = Request::get(me.as_str()).header(AUTHORIZATION, format!("Bearer {}", token.expose()));
            let me = me.body(Default::default()).map_err(|_| bad("a token that fits no header field"))?;
            let call = HttpCall::new(me, "person", Trust::Configured);
            let answer = http.send(call).await.map_err(|error| Fault::transport("person", &error))?;
            let person: serde_json::Value = serde_json::from_slice(answer.body()).unwrap_or_default();
            let uid = person.get("id").and_then(|id| id.as_str()).filter(|_| answer.status() == 200);
            Ok(Auth::new(uid.ok_or_else(|| bad("nobody"))?, cx.provider.clone(), self.kind()))
        })
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let at = |path: &str| Url::parse("https://forum.example").and_then(|forum| forum.join(path));
    let urls = [at("authorize")?, at("token")?, at("me")?];
    let provider = FakeProvider::oauth2(&urls[0], &urls[1], &urls[2], "our-app", ClientAuth::Public)
        .with_person(serde_json::json!({ "id": "u-7", "name": "Ada" }));
    Ok(conformance(Arc::new(Forum(urls)), &provider)?)
}
