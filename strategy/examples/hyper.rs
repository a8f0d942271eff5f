//! Sign-in in a plain hyper server. `shared/mod.rs` says what to set; then open <http://127.0.0.1:3000/auth/sso>.

mod shared;

use std::sync::Arc;

use bytes::Bytes;
use http::Response;
use http::request::Parts;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use vestibule_oauth_core::BoxFuture;
use vestibule_strategy::mount::{AuthHandler, AuthService};
use vestibule_strategy::{Auth, Failure, FlowInfo};

struct Answers;

impl AuthHandler for Answers {
    fn success<'a>(
        &'a self,
        auth: Auth,
        _: Option<FlowInfo>,
        _: &'a Parts,
    ) -> BoxFuture<'a, Response<Bytes>> {
        let name = auth.info.name.unwrap_or_else(|| auth.uid.clone());
        Box::pin(async move { Response::new(format!("signed in: {name}\n").into()) })
    }

    fn failure<'a>(
        &'a self,
        failure: Failure,
        _: Option<FlowInfo>,
        _: &'a Parts,
    ) -> BoxFuture<'a, Response<Bytes>> {
        let text = format!("{} ({})\n", failure.for_person(), failure.kind().code());
        let mut response = Response::new(Bytes::from(text));
        *response.status_mut() = failure.kind().status();
        Box::pin(async move { response })
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let service = AuthService::new(shared::mount()?, Arc::new(Answers));
    let listener = TcpListener::bind(shared::ADDRESS).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service.clone()));
    }
}
