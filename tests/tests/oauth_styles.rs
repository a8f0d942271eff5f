//! What the token requests of well-known apps look like, byte by byte where it matters: each style against the pure crate and against
//! the running program.

use vestibule_tests::oauth::roster::{redirect_uri, secret};
use vestibule_tests::oauth::{Ask, At, Ground, Lab, Live, VERIFIER};
use vestibule_tests::{Peers, block_on};

/// A style: a name, and what it sends, which is to be answered with tokens.
type Style = (&'static str, for<'a> fn(&'a dyn Ground) -> vestibule_oauth_core::BoxFuture<'a, ()>);

const STYLES: &[Style] = &[
    ("golang.org/x/oauth2: Basic, and on any error the same code again in the body", |at| Box::pin(go(at))),
    ("Grafana, Gitea, oauth2-proxy: Basic at once", |at| Box::pin(go_at_once(at))),
    ("WordPress: scope and acr_values with the code, a host without port, a redirect with a query", |at| {
        Box::pin(wordpress(at))
    }),
    ("JupyterHub: data=None, a charset with a space, raw Basic or post", |at| Box::pin(jupyterhub(at))),
    ("openid-client and oauth4webapi: a charset without a space, every octet of Basic encoded", |at| {
        Box::pin(openid_client(at))
    }),
    ("openidconnect-rs: Basic encoded as a form", |at| Box::pin(openidconnect_rs(at))),
    ("Spring, Authlib: client_id in the body beside Basic", |at| Box::pin(spring(at))),
];

#[test]
fn each_style_is_understood() {
    for (name, style) in STYLES {
        println!("{name}");
        block_on(style(&Lab::new()));
    }
}

#[tokio::test]
async fn each_style_is_understood_over_http() {
    let live = Live::start(Peers::shared().await).await;
    for (name, style) in STYLES {
        println!("{name}");
        style(&live).await;
    }
}

/// A form that redeems a code, by nobody yet.
fn redeeming(at: &dyn Ground, id: &str, code: &str) -> Ask {
    Ask::post(at.url(At::Token)).fields(&[
        ("grant_type", "authorization_code"),
        ("code", code),
        ("redirect_uri", &redirect_uri(id)),
        ("code_verifier", VERIFIER),
    ])
}

async fn tokens(at: &dyn Ground, ask: Ask) {
    let reply = at.send(ask).await;
    assert_eq!(reply.said(), "200", "{}", reply.json);
    assert!(reply.json["access_token"].is_string() && reply.json["refresh_token"].is_string());
}

/// The client takes the secret in the body only, and Go does not know: its first try fails, and must cost the code nothing.
async fn go(at: &dyn Ground) {
    let code = at.code("post").await;
    let ask = redeeming(at, "post", &code);
    let first = at.send(ask.clone().basic("post", &secret("post"))).await;
    assert_eq!(first.said(), "401 invalid_client");
    tokens(at, ask.field("client_id", "post").field("client_secret", &secret("post"))).await;
    // And one that takes both, with the header encoded by url.QueryEscape.
    let code = at.code("odd").await;
    tokens(at, redeeming(at, "odd", &code).basic("odd", &secret("odd"))).await;
}

async fn go_at_once(at: &dyn Ground) {
    let code = at.code("web").await;
    tokens(at, redeeming(at, "web", &code).basic("web", &secret("web"))).await;
}

async fn wordpress(at: &dyn Ground) {
    // No PKCE, as it cannot do it.
    let arrived = at.ask_for("wordpress", &[("code_challenge", ""), ("code_challenge_method", "")]).await;
    let location = format!("{arrived:?}");
    assert!(location.contains("action=openid-connect-authorize&code="), "{location}");
    let code = arrived.value("code").unwrap();
    let ask = redeeming(at, "wordpress", &code)
        .without("code_verifier")
        .fields(&[("client_id", "wordpress"), ("client_secret", &secret("wordpress"))])
        .fields(&[("scope", "openid read"), ("acr_values", "")])
        .header("host", "127.0.0.1");
    let reply = at.send(ask).await;
    assert_eq!(reply.said(), "200", "{}", reply.json);
    assert_eq!(reply.json["scope"], "read");
}

async fn jupyterhub(at: &dyn Ground) {
    let code = at.code("web").await;
    let post = redeeming(at, "web", &code)
        .fields(&[("client_id", "web"), ("client_secret", &secret("web")), ("data", "None")])
        .media_type("application/x-www-form-urlencoded; charset=utf-8");
    tokens(at, post).await;
    let code = at.code("odd").await;
    tokens(at, redeeming(at, "odd", &code).basic_as_it_stands(&format!("odd:{}", secret("odd")))).await;
}

async fn openid_client(at: &dyn Ground) {
    // It encodes `-`, `_`, `.`, `!`, `~`, `*`, `'`, `(` and `)` as well; here everything is, which is more.
    let encode = |text: &str| text.bytes().map(|b| format!("%{b:02X}")).collect::<String>();
    let code = at.code("odd").await;
    let ask = redeeming(at, "odd", &code)
        .basic_as_it_stands(&format!("{}:{}", encode("odd"), encode(&secret("odd"))))
        .media_type("application/x-www-form-urlencoded;charset=UTF-8");
    tokens(at, ask).await;
}

async fn openidconnect_rs(at: &dyn Ground) {
    let code = at.code("umlaut").await;
    tokens(at, redeeming(at, "umlaut", &code).basic("umlaut", &secret("umlaut"))).await;
}

async fn spring(at: &dyn Ground) {
    let code = at.code("web").await;
    tokens(at, redeeming(at, "web", &code).field("client_id", "web").basic("web", &secret("web"))).await;
}
