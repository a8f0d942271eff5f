//! What every server under test can be asked, and the requests that most tests begin with.

use std::task::Poll;

use http::Method;
use serde_json::json;
use url::{Url, form_urlencoded};
use vestibule_dpop::Proof;
use vestibule_oauth_core::{BoxFuture, PkceVerifier, UnixTime, base64url};

use super::ask::Ask;
use super::keys::{Key, fresh, jwt};
use super::reply::Reply;
use super::roster;

/// An endpoint.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(clippy::exhaustive_enums, reason = "the endpoints there are")]
pub enum At {
    /// `token_endpoint`.
    Token,
    /// `pushed_authorization_request_endpoint`.
    Par,
    /// `revocation_endpoint`.
    Revoke,
    /// `introspection_endpoint`.
    Introspect,
    /// `device_authorization_endpoint`.
    Device,
}

/// Where an authorization request ended.
#[derive(Clone, Debug)]
#[allow(clippy::exhaustive_enums, reason = "at the client, or on a page")]
pub enum Arrived {
    /// Back at the client.
    Back(Url),
    /// On a page of the server.
    Page(Reply),
}

impl Arrived {
    /// A parameter of the address that the browser was sent back to, in its query or its fragment.
    pub fn value(&self, name: &str) -> Option<String> {
        match self {
            Self::Back(url) => {
                let fragment = form_urlencoded::parse(url.fragment().unwrap_or_default().as_bytes());
                let mut all = url.query_pairs().chain(fragment);
                all.find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
            }
            Self::Page(_) => None,
        }
    }

    /// `code`, or the error and where it is told: `back: access_denied`, `page: 400 invalid_request`.
    pub fn said(&self) -> String {
        match self {
            Self::Back(_) => match self.value("error") {
                Some(error) => format!("back: {error}"),
                None => "code".to_owned(),
            },
            Self::Page(reply) => format!("page: {}", reply.said()),
        }
    }
}

/// A server under test. It knows the clients of the [`roster`], and a person who is signed in and allows everything.
pub trait Ground: Sync {
    /// Its issuer.
    fn issuer(&self) -> String;

    /// Where an endpoint is.
    fn url(&self, at: At) -> String;

    /// Its time.
    fn now(&self) -> UnixTime;

    /// Sends a request.
    fn exchange(&self, ask: Ask) -> BoxFuture<'_, Reply>;

    /// The person arrives with this query at the authorization endpoint, and allows what they are asked.
    fn authorize(&self, query: String) -> BoxFuture<'_, Arrived>;
}

/// The tokens that a grant began with.
#[derive(Clone, Debug)]
#[allow(clippy::exhaustive_structs, reason = "the two tokens")]
pub struct Tokens {
    /// The access token.
    pub access: String,
    /// The refresh token.
    pub refresh: String,
}

/// The verifier of every code that a test asks for.
pub const VERIFIER: &str = "averifierofatest0123456789-._~ABCDEFGHIJKLMNOP";

impl dyn Ground + '_ {
    /// Sends a request.
    pub async fn send(&self, ask: Ask) -> Reply {
        self.exchange(ask).await
    }

    /// Sends these requests at once, and gives the answers in their order.
    pub async fn send_at_once(&self, asks: Vec<Ask>) -> Vec<Reply> {
        all_of(asks.into_iter().map(|ask| self.exchange(ask)).collect()).await
    }

    /// The parameters of an authorization request of this client that has everything.
    pub fn parameters(&self, id: &str) -> Vec<(String, String)> {
        let challenge = challenge(VERIFIER);
        [
            ("client_id", id),
            ("response_type", "code"),
            ("redirect_uri", &roster::redirect_uri(id)),
            ("scope", "read write"),
            ("state", "af0ifjsldkj"),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into()
    }

    /// What comes of an authorization request of this client, with these parameters in the place of others of the same name; one with
    /// an empty value is left out.
    pub async fn ask_for(&self, id: &str, changes: &[(&str, &str)]) -> Arrived {
        let mut parameters = self.parameters(id);
        parameters.retain(|(name, _)| changes.iter().all(|(change, _)| change != name));
        let added = changes.iter().filter(|(_, value)| !value.is_empty());
        parameters.extend(added.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(parameters).finish();
        self.authorize(query).await
    }

    /// A code for this client.
    ///
    /// # Panics
    /// When there is none.
    pub async fn code(&self, id: &str) -> String {
        self.code_with(id, &[]).await
    }

    /// A code for a request with these changes.
    ///
    /// # Panics
    /// When there is none.
    pub async fn code_with(&self, id: &str, changes: &[(&str, &str)]) -> String {
        let arrived = self.ask_for(id, changes).await;
        arrived.value("code").unwrap_or_else(|| panic!("no code for {id}: {arrived:?}"))
    }

    /// An empty form for an endpoint, by this client as it is registered to authenticate.
    pub fn by(&self, id: &str, at: At) -> Ask {
        let ask = Ask::post(self.url(at));
        match id {
            "app" | "bound" | "tv" | "tv-too" | "half" => ask.field("client_id", id),
            "signed" => self.with_assertion(ask, id, roster::SIGNED_KEY),
            "signed-too" => self.with_assertion(ask, id, roster::SIGNED_TOO_KEY),
            "post" | "wordpress" => ask.field("client_id", id).field("client_secret", &roster::secret(id)),
            id => ask.basic(id, &roster::secret(id)),
        }
    }

    /// The same with a client assertion.
    pub fn with_assertion(&self, ask: Ask, id: &str, key: Key) -> Ask {
        self.asserting(ask, &self.assertion(id, &[], key))
    }

    /// The same with this text as a client assertion.
    pub fn asserting(&self, ask: Ask, text: &str) -> Ask {
        ask.with("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
            .with("client_assertion", text)
    }

    /// A client assertion with these claims in the place of others; `null` takes one away.
    pub fn assertion(&self, id: &str, changes: &[(&str, serde_json::Value)], key: Key) -> String {
        let now = self.now().as_secs();
        let mut claims = json!({
            "iss": id, "sub": id, "aud": self.issuer(), "jti": base64url::encode(fresh::<16>()),
            "iat": now.saturating_sub(5), "exp": now + 60,
        });
        for (name, value) in changes {
            claims[*name] = value.clone();
        }
        if let Some(members) = claims.as_object_mut() {
            members.retain(|_, value| !value.is_null());
        }
        jwt(&json!({ "alg": "ES256", "typ": "JWT", "kid": key.kid() }), &claims, key)
    }

    /// The request that redeems a code of this client.
    pub fn redeem(&self, id: &str, code: &str) -> Ask {
        self.by(id, At::Token).fields(&[
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", &roster::redirect_uri(id)),
            ("code_verifier", VERIFIER),
        ])
    }

    /// The request that uses a refresh token of this client.
    pub fn refresh(&self, id: &str, token: &str) -> Ask {
        self.by(id, At::Token).fields(&[("grant_type", "refresh_token"), ("refresh_token", token)])
    }

    /// The tokens of a new grant of this client.
    ///
    /// # Panics
    /// When there are none.
    pub async fn tokens(&self, id: &str) -> Tokens {
        let code = self.code(id).await;
        let reply = self.send(self.redeem(id, &code)).await;
        assert_eq!(reply.status, 200, "{id}: {}", reply.json);
        Tokens {
            access: reply.text("access_token").to_owned(),
            refresh: reply.text("refresh_token").to_owned(),
        }
    }

    /// What introspection says of a token to the client `id`.
    pub async fn introspect(&self, id: &str, token: &str) -> Reply {
        self.send(self.by(id, At::Introspect).field("token", token)).await
    }

    /// Whether a token is good, as its own client is told.
    ///
    /// # Panics
    /// When the answer is none.
    pub async fn is_active(&self, id: &str, token: &str) -> bool {
        let reply = self.introspect(id, token).await;
        reply.json["active"]
            .as_bool()
            .unwrap_or_else(|| panic!("introspection: {} {}", reply.status, reply.json))
    }

    /// A proof for an endpoint.
    ///
    /// # Panics
    /// Never: this backend signs everything.
    pub fn proof(&self, at: At, key: Key, nonce: Option<&str>) -> String {
        let url: Url = self.url(at).parse().expect("the URL of an endpoint");
        let mut proof = Proof::new(&Method::POST, &url, fresh(), self.now());
        if let Some(nonce) = nonce {
            proof = proof.with_nonce(nonce);
        }
        key.proof_key().prove(&proof).expect("a proof")
    }

    /// A proof with these claims in the place of others; `null` takes one away.
    pub fn odd_proof(
        &self,
        header: &[(&str, serde_json::Value)],
        claims: &[(&str, serde_json::Value)],
        key: Key,
    ) -> String {
        let mut jwk = key.jwk();
        if let Some(members) = jwk.as_object_mut() {
            members.remove("kid");
        }
        let mut head = json!({ "typ": "dpop+jwt", "alg": "ES256", "jwk": jwk });
        let mut body = json!({
            "jti": base64url::encode(fresh::<16>()), "htm": "POST", "htu": self.url(At::Token), "iat": self.now().as_secs(),
        });
        for (part, changes) in [(&mut head, header), (&mut body, claims)] {
            for (name, value) in changes {
                part[*name] = value.clone();
            }
            if let Some(members) = part.as_object_mut() {
                members.retain(|_, value| !value.is_null());
            }
        }
        jwt(&head, &body, key)
    }

    /// A nonce for proofs at the token endpoint, from the answer that asks for one.
    ///
    /// # Panics
    /// When there is none.
    pub async fn nonce(&self) -> String {
        let ask =
            self.refresh("signed", "no-such-token").header("dpop", &self.proof(At::Token, Key(99), None));
        let reply = self.send(ask).await;
        assert_eq!(reply.said(), "400 use_dpop_nonce", "{}", reply.json);
        reply.header("dpop-nonce").expect("a nonce").to_owned()
    }

    /// The same request with a good proof by this key.
    pub async fn proven(&self, ask: Ask, key: Key) -> Ask {
        let nonce = self.nonce().await;
        ask.header("dpop", &self.proof(At::Token, key, Some(&nonce)))
    }
}

/// Waits for all of these at once, and gives what they give in their order.
pub async fn all_of<F: Future>(futures: Vec<F>) -> Vec<F::Output> {
    let mut waiting: Vec<_> = futures.into_iter().map(Box::pin).collect();
    let mut outputs: Vec<Option<F::Output>> = waiting.iter().map(|_| None).collect();
    std::future::poll_fn(|cx| {
        for (future, output) in waiting.iter_mut().zip(&mut outputs) {
            if output.is_none()
                && let Poll::Ready(ready) = future.as_mut().poll(cx)
            {
                *output = Some(ready);
            }
        }
        if outputs.iter().all(Option::is_some) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    outputs.into_iter().flatten().collect()
}

/// The S256 challenge of a verifier.
pub(crate) fn challenge(verifier: &str) -> String {
    let verifier: PkceVerifier = verifier.parse().expect("a verifier");
    verifier.challenge().as_str().to_owned()
}
