//! What only a wire shows of the requirements: the program on a socket, as clients, proxies and attackers meet it.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use vestibule_tests::oauth::roster::{redirect_uri, secret};
use vestibule_tests::oauth::{Ask, At, Ground, Live};
use vestibule_tests::{Peers, VestibuleConfig};

async fn live() -> Live {
    Live::start(Peers::shared().await).await
}

/// A request that is right.
fn good(at: &dyn Ground) -> Ask {
    at.by("machine", At::Token).field("grant_type", "client_credentials")
}

/// Sends octets as they are, and gives what comes back until the server hangs up.
fn raw(live: &Live, octets: &[u8]) -> String {
    let mut stream = TcpStream::connect(live.vestibule.address()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.write_all(octets).unwrap();
    let mut answer = Vec::new();
    // A connection that is reset has answered as well.
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn t1_t56_t57_t58_t59_answers_on_the_wire() {
    let live = live().await;
    let at: &dyn Ground = &live;
    for at_endpoint in [At::Token, At::Par, At::Revoke, At::Introspect, At::Device] {
        let path = at.url(at_endpoint);
        for method in ["GET", "HEAD", "PUT", "DELETE"] {
            let reply = at.send(Ask::post(&path).method(method)).await;
            assert_eq!((reply.status, reply.header("allow")), (405, Some("POST")), "{method} {path}");
            assert_eq!(reply.header("cache-control"), Some("no-store"));
            assert_eq!(reply.header("content-type"), Some("application/json"));
        }
        let preflight = Ask::post(&path)
            .method("OPTIONS")
            .bare("content-type")
            .header("origin", "https://spa.test")
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "dpop");
        let reply = at.send(preflight).await;
        assert_eq!((reply.status, reply.header("access-control-allow-origin")), (204, Some("*")), "{path}");
        assert_eq!(reply.header("access-control-allow-headers"), Some("authorization, content-type, dpop"));
        let wrong = Ask::post(&path).basic("machine", "wrong").field("token", "x");
        let reply = at.send(wrong).await;
        assert_eq!(reply.said(), "401 invalid_client");
        assert!(reply.header("www-authenticate").unwrap().starts_with("Basic realm="));
        assert_eq!(reply.header("access-control-allow-origin"), Some("*"));
    }
    // Scripts of other sites have no business at the pages.
    let reply =
        at.send(Ask::post(live.vestibule.url("/oauth2/authorize")).method("GET").bare("content-type")).await;
    assert_eq!(reply.header("access-control-allow-origin"), None);
    // The address with a slash more is not ours.
    let reply =
        at.send(Ask::post(format!("{}/", at.url(At::Token))).field("grant_type", "client_credentials")).await;
    assert_eq!(reply.status, 404);
}

#[tokio::test]
async fn t69_bodies_that_never_end_and_lengths_that_lie() {
    let live = live().await;
    let head = "POST /oauth2/token HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-www-form-urlencoded\r\nconnection: close\r\n";
    // A body that stops half way, on a connection that stays open.
    let answer = raw(&live, format!("{head}content-length: 100\r\n\r\ngrant_type=client").as_bytes());
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert!(answer.contains("\"error\":\"invalid_request\""), "{answer}");
    // Two lengths, and a length beside chunks: what smugglers send.
    for smuggled in [
        "content-length: 5\r\ncontent-length: 6\r\n\r\nhello!",
        "content-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    ] {
        let answer = raw(&live, format!("{head}{smuggled}").as_bytes());
        assert!(answer.starts_with("HTTP/1.1 400") || answer.is_empty(), "{answer}");
    }
    // A header that is cut by a line break in a value stays one header.
    let answer = raw(&live, format!("{head}x-a: b\r\nx-injected: c\r\ncontent-length: 0\r\n\r\n").as_bytes());
    assert!(!answer.contains("x-injected"), "{answer}");
}

#[tokio::test]
async fn t2_t53_what_a_proxy_or_a_client_says_of_hosts_decides_nothing() {
    let live = live().await;
    let at: &dyn Ground = &live;
    for (name, value) in [
        ("host", "localhost"),
        ("host", "evil.test"),
        ("x-forwarded-host", "evil.test"),
        ("x-forwarded-proto", "https"),
        ("forwarded", "host=evil.test;proto=https"),
    ] {
        let reply = at.send(good(at).header(name, value)).await;
        assert_eq!(reply.said(), "200", "{name}: {value}");
        let metadata = Ask::post(live.vestibule.url("/.well-known/oauth-authorization-server"))
            .method("GET")
            .bare("content-type")
            .header(name, value);
        assert_eq!(at.send(metadata).await.json["token_endpoint"], at.url(At::Token), "{name}: {value}");
    }
    // WordPress sends the host without its port.
    let ask = good(at).header("host", "127.0.0.1");
    assert_eq!(at.send(ask).await.said(), "200");
}

#[tokio::test]
async fn t65_the_metadata_is_served_where_it_belongs() {
    let live = live().await;
    let at: &dyn Ground = &live;
    let get = |path: &str| Ask::post(live.vestibule.url(path)).method("GET").bare("content-type");
    let reply = at.send(get("/.well-known/oauth-authorization-server")).await;
    assert_eq!((reply.status, reply.header("content-type")), (200, Some("application/json")));
    assert_eq!(reply.json["issuer"], at.issuer());
    for (name, path) in [
        ("authorization_endpoint", "/oauth2/authorize"),
        ("token_endpoint", "/oauth2/token"),
        ("pushed_authorization_request_endpoint", "/oauth2/par"),
        ("revocation_endpoint", "/oauth2/revoke"),
        ("introspection_endpoint", "/oauth2/introspect"),
        ("device_authorization_endpoint", "/oauth2/device_authorization"),
        ("jwks_uri", "/oauth2/jwks.json"),
    ] {
        assert_eq!(reply.json[name], live.vestibule.url(path), "{name}");
    }
    assert_eq!(at.send(get("/oauth2/jwks.json")).await.json["keys"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn t70_keys_are_changed_beside_a_running_server() {
    let live = live().await;
    let at: &dyn Ground = &live;
    let kids = async || {
        let jwks = at
            .send(Ask::post(live.vestibule.url("/oauth2/jwks.json")).method("GET").bare("content-type"))
            .await;
        jwks.json["keys"]
            .as_array()
            .unwrap()
            .iter()
            .map(|key| key["kid"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let (before, token) = (kids().await, at.send(good(at)).await.text("access_token").to_owned());
    let secret_before = at.send(at.by("web", At::Introspect).field("token", "x")).await;
    assert_eq!(secret_before.status, 200);
    let folder = live.vestibule.config().folder.path();
    let store = format!("sqlite:{}", folder.join("vestibule.db").display());
    let secret_file = folder.join("vestibule.secret").display().to_string();
    let outcome = vestibule_tests::run_vestibule(
        folder,
        &["key", "rotate", "--store", &store, "--secret-file", &secret_file],
    )
    .await;
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    live.vestibule.says("the keys in the store have changed").await;
    let after = kids().await;
    assert_eq!(after.len(), 2);
    assert!(after.contains(&before[0]), "{after:?} and {before:?}");
    assert!(at.is_active("machine", &token).await, "a token of the old key");
    assert_eq!(at.send(good(at)).await.said(), "200");
}

#[tokio::test]
async fn t16_who_fails_too_often_waits() {
    let live = live().await;
    let at: &dyn Ground = &live;
    let wrong = good(at).basic("machine", "wrong");
    let mut last = at.send(wrong.clone()).await;
    for _ in 0..70 {
        last = at.send(wrong.clone()).await;
    }
    assert_eq!(last.said(), "429 rate_limited");
    assert_eq!(last.header("content-type"), Some("application/json"));
    assert_eq!(last.header("cache-control"), Some("no-store"));
    assert!(last.header("retry-after").unwrap().parse::<u64>().unwrap() >= 1);
    assert!(!last.text("error_description").is_empty());
    assert_eq!(at.send(good(at)).await.said(), "200", "the right secret works at any time");
}

#[tokio::test]
async fn t62_no_file_of_the_store_holds_what_could_be_presented() {
    let live = live().await;
    let at: &dyn Ground = &live;
    let code = at.code("web").await;
    let first = at.tokens("web").await;
    let second = at.send(at.refresh("web", &first.refresh)).await;
    let opaque = at.tokens("opaque").await;
    let device = at.send(at.by("tv", At::Device)).await;
    let pushed =
        at.by("web", At::Par).fields(&[("response_type", "code"), ("redirect_uri", &redirect_uri("web"))]);
    let challenge = "yvqWsn0SoyZDijZm8xJ4rmrJu_qlsreleBdTAjww3UA";
    let pushed = pushed.fields(&[("code_challenge", challenge), ("code_challenge_method", "S256")]);
    let pushed = at.send(pushed).await;

    let mut files = Vec::new();
    for name in ["vestibule.db", "vestibule.db-wal"] {
        files.extend(std::fs::read(live.vestibule.config().folder.file(name)).unwrap_or_default());
    }
    let holds = |text: &str| files.windows(text.len()).any(|window| window == text.as_bytes());
    assert!(holds("https://web.test/cb"), "what is no secret is there");
    let [secret, others_secret] = ["web", "opaque"].map(secret);
    for (what, text) in [
        ("a code", &*code),
        ("a refresh token", &*first.refresh),
        ("its successor", second.text("refresh_token")),
        ("a signed access token", second.text("access_token")),
        ("an opaque one", &*opaque.access),
        ("a device code", device.text("device_code")),
        ("a user code", device.text("user_code")),
        ("a request_uri", pushed.text("request_uri").rsplit(':').next().unwrap()),
        ("a client's secret", &*secret),
        ("another's", &*others_secret),
    ] {
        assert!(!holds(text), "{what}");
    }
}

#[tokio::test]
async fn t69_who_is_nobody_has_a_thousand_requests_kept_and_no_more() {
    let peers = Peers::shared().await;
    let behind_a_proxy =
        VestibuleConfig::for_peers(peers).with_args(&["--client-address-header", "x-real-ip"]);
    let live = Live::start_with(peers, behind_a_proxy).await;
    let at: &dyn Ground = &live;
    let [crowd, other] = ["192.0.2.1", "192.0.2.2"];
    let begin = |from: &str| {
        let query = "client_id=app&response_type=code&redirect_uri=http%3A%2F%2F127.0.0.1%3A49152%2Fapp\
             &code_challenge=yvqWsn0SoyZDijZm8xJ4rmrJu_qlsreleBdTAjww3UA&code_challenge_method=S256";
        Ask::post(live.vestibule.url("/oauth2/authorize"))
            .method("GET")
            .bare("content-type")
            .query(query)
            .header("x-real-ip", from)
    };
    let mut kept = 0;
    loop {
        let reply = at.send(begin(crowd)).await;
        if reply.status == 429 {
            assert_eq!(
                (reply.said().as_str(), reply.header("retry-after")),
                ("429 rate_limited", Some("60"))
            );
            break;
        }
        assert_eq!(reply.status, 200);
        kept += 1;
        assert!(kept < 1200, "they are kept without end");
    }
    assert!(kept >= 1000, "{kept} were kept");
    // Nor by another way; and nobody else is kept out by it, elsewhere or with a secret.
    assert_eq!(at.send(at.by("tv", At::Device).header("x-real-ip", crowd)).await.said(), "429 rate_limited");
    assert_eq!(at.send(begin(other)).await.status, 200);
    let pushed =
        at.by("web", At::Par).fields(&[("response_type", "code"), ("redirect_uri", &redirect_uri("web"))]);
    let challenge = "yvqWsn0SoyZDijZm8xJ4rmrJu_qlsreleBdTAjww3UA";
    let pushed = pushed.fields(&[("code_challenge", challenge), ("code_challenge_method", "S256")]);
    assert_eq!(at.send(pushed.header("x-real-ip", crowd)).await.status, 201);
}
