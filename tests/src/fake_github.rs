//! A server that speaks as GitHub Enterprise Server does, quirks included: errors with status 200, scopes by commas, numeric ids.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http::{Request, Response, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use url::Url;

/// A running server, at which one person is signed in. It is ended with this value.
#[derive(Debug)]
pub struct FakeGitHub {
    address: SocketAddr,
    person: Arc<Mutex<Known>>,
    running: JoinHandle<()>,
}

/// The person there.
#[derive(Clone, Debug)]
struct Known {
    id: u64,
    login: String,
}

const CODE: &str = "a-code-of-the-fake";
const TOKEN: &str = "gho_a-token-of-the-fake";

impl FakeGitHub {
    /// The app's secret there; its client id is `our-app`.
    pub const SECRET: &str = "the-secret-at-github";

    /// Starts it, with the person `login`, whose id is `id`.
    ///
    /// # Panics
    /// When nothing can be listened at.
    pub async fn start(id: u64, login: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it has an address");
        let person = Arc::new(Mutex::new(Known { id, login: login.to_owned() }));
        let served = Arc::clone(&person);
        let running = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let known = Arc::clone(&served);
                let service = service_fn(move |request| {
                    let known = known.lock().unwrap_or_else(PoisonError::into_inner).clone();
                    async move { Ok::<_, Infallible>(answer(&known, request).await) }
                });
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
        Self { address, person, running }
    }

    /// From here on somebody else is signed in there.
    pub fn becomes(&self, id: u64, login: &str) {
        let mut person = self.person.lock().unwrap_or_else(PoisonError::into_inner);
        *person = Known { id, login: login.to_owned() };
    }

    /// Where it is.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for FakeGitHub {
    fn drop(&mut self) {
        self.running.abort();
    }
}

async fn answer(known: &Known, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let (parts, body) = request.into_parts();
    let bearer =
        parts.headers.get(header::AUTHORIZATION).is_some_and(|value| *value == *format!("Bearer {TOKEN}"));
    match parts.uri.path() {
        "/login/oauth/authorize" => {
            let query = parts.uri.query().unwrap_or_default();
            let sent = |name: &str| {
                let mut pairs = url::form_urlencoded::parse(query.as_bytes());
                pairs.find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
            };
            let Some(mut back) = sent("redirect_uri").and_then(|uri| Url::parse(&uri).ok()) else {
                return json_answer(404, &json!({ "message": "Not Found" }));
            };
            let issuer =
                format!("http://{}/login/oauth", parts.headers[header::HOST].to_str().unwrap_or_default());
            back.query_pairs_mut()
                .append_pair("code", CODE)
                .append_pair("state", &sent("state").unwrap_or_default())
                .append_pair("iss", &issuer);
            let mut response = Response::new(Full::default());
            *response.status_mut() = http::StatusCode::FOUND;
            response.headers_mut().insert(header::LOCATION, back.as_str().parse().expect("a URL"));
            response
        }
        "/login/oauth/access_token" => {
            let form = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
            let form: Vec<_> = url::form_urlencoded::parse(&form).into_owned().collect();
            let is = |name: &str, value: &str| form.iter().any(|(key, sent)| key == name && sent == value);
            let has = |name: &str| form.iter().any(|(key, _)| key == name);
            if !is("client_secret", FakeGitHub::SECRET) {
                return json_answer(200, &json!({ "error": "incorrect_client_credentials" }));
            }
            if !is("code", CODE) || !has("code_verifier") {
                return json_answer(200, &json!({ "error": "bad_verification_code" }));
            }
            json_answer(
                200,
                &json!({ "access_token": TOKEN, "token_type": "bearer", "scope": "read:user,user:email" }),
            )
        }
        "/api/v3/user" if bearer && parts.headers.contains_key(header::USER_AGENT) => {
            json_answer(200, &json!({ "id": known.id, "login": known.login, "name": null }))
        }
        // This app has no permission to see addresses.
        "/api/v3/user/emails" if bearer => json_answer(404, &json!({ "message": "Not Found" })),
        _ => json_answer(401, &json!({ "message": "Requires authentication" })),
    }
}

fn json_answer(status: u16, body: &Value) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body.to_string())));
    *response.status_mut() = http::StatusCode::from_u16(status).expect("a status");
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json; charset=utf-8"));
    response
}
