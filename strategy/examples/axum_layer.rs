//! Sign-in in axum, as a layer around the application's own routes. `shared/mod.rs` says what to set; then open
//! <http://127.0.0.1:3000/auth/sso>.

mod shared;

use axum::http::StatusCode;
use axum::routing::get;
use axum::{Extension, Router};
use tokio::net::TcpListener;
use vestibule_strategy::mount::{AuthLayer, AuthOutcome};

/// What the provider's callback comes to: who it is, or what went wrong.
async fn signed_in(Extension(login): Extension<AuthOutcome>) -> (StatusCode, String) {
    match login.outcome {
        // Here a session of the application begins, under a new id.
        Ok(auth) => (StatusCode::OK, format!("signed in: {}\n", auth.info.name.unwrap_or(auth.uid))),
        Err(failure) => {
            let text = format!("{} ({})\n", failure.for_person(), failure.kind().code());
            (failure.kind().status(), text)
        }
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let app = Router::new()
        .route("/", get(|| async { "open /auth/sso\n" }))
        .route("/auth/sso", get(signed_in).post(signed_in)) // reached only when a login cannot be begun
        .route("/auth/sso/callback", get(signed_in).post(signed_in))
        .layer(AuthLayer::new(shared::mount()?));
    Ok(axum::serve(TcpListener::bind(shared::ADDRESS).await?, app).await?)
}
