//! Answers, the limits they are held to, and calls that get none.

use bytes::Bytes;
use http::{Request, StatusCode, header};
use vestibule_oauth_core::{HttpCall, HttpErrorKind, Trust};

use crate::calls::{AMPLE, SHORT, failure, get, open, send};
use crate::peer::{Peer, Say, nobody};

fn from(peer: &Peer) -> HttpCall {
    get(&peer.url("127.0.0.1"), Trust::UserSupplied)
}

#[tokio::test]
async fn a_request_says_who_asks_and_nothing_more() {
    let peer = Peer::start(Say::ok("")).await;
    let request = Request::get(peer.url("127.0.0.1"))
        .header("host", "elsewhere.example")
        .header("accept-encoding", "gzip")
        .header("x-own", "1")
        .body(Bytes::new())
        .unwrap();
    let network = open();
    send(&network, HttpCall::new(request, "test document", Trust::UserSupplied)).await.unwrap();
    let mut received: Vec<String> = peer.received()[0].text.trim().lines().map(str::to_lowercase).collect();
    received.sort();
    let mut expected = vec![
        String::from("get /path?query=1 http/1.1"),
        format!("host: {}", peer.address),
        format!("user-agent: vestibule/{}", env!("CARGO_PKG_VERSION")),
        String::from("accept: */*"),
        String::from("x-own: 1"),
    ];
    expected.sort();
    assert_eq!(received, expected);

    let request = Request::post(peer.url("127.0.0.1"))
        .header(header::USER_AGENT, "own")
        .header(header::ACCEPT, "application/json")
        .body(Bytes::from_static(b"a=1"))
        .unwrap();
    send(&network, HttpCall::new(request, "test document", Trust::UserSupplied)).await.unwrap();
    let received = peer.received()[1].text.to_lowercase();
    for part in [
        "post /path",
        "user-agent: own\r\n",
        "accept: application/json\r\n",
        "content-length: 3\r\n",
        "\r\n\r\na=1",
    ] {
        assert!(received.contains(part), "{part}: {received}");
    }
}

#[tokio::test]
async fn r36_a_redirect_is_an_answer() {
    let answer = "HTTP/1.1 302 Found\r\nlocation: https://other.example/\r\ncontent-length: 0\r\n\r\n";
    let peer = Peer::start(Say::Answer(answer.to_owned())).await;
    let answer = send(&open(), from(&peer)).await.unwrap();
    assert_eq!(answer.status(), StatusCode::FOUND);
    assert_eq!(answer.headers()[header::LOCATION], "https://other.example/");
    assert_eq!(peer.received().len(), 1);
}

#[tokio::test]
async fn r37_a_body_over_its_limit_is_too_large() {
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    let until_closed = "HTTP/1.1 200 OK\r\n\r\n";
    let rows = [
        (Say::ok("12345678"), Some("12345678")),
        (Say::ok("123456789"), None),
        // Told by its head alone: the body never comes.
        (Say::no_more_than("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n"), None),
        (Say::Answer(format!("{chunked}4\r\n1234\r\n4\r\n5678\r\n0\r\n\r\n")), Some("12345678")),
        (Say::Answer(format!("{chunked}4\r\n1234\r\n3\r\n567\r\n1\r\n8\r\n0\r\n\r\n")), Some("12345678")),
        (Say::no_more_than(&format!("{chunked}4\r\n1234\r\n5\r\n56789\r\n")), None),
        (Say::no_more_than(&format!("{chunked}9\r\n123456789\r\n")), None),
        (Say::ThenClose(format!("{until_closed}12345678")), Some("12345678")),
        (Say::ThenClose(format!("{until_closed}123456789")), None),
    ];
    for (say, body) in rows {
        let peer = Peer::start(say).await;
        let answer = send(&open(), from(&peer).with_body_limit(8)).await;
        match body {
            Some(body) => assert_eq!(answer.unwrap().body(), body),
            None => {
                let error = answer.map(|answer| answer.status()).unwrap_err();
                assert_eq!(error.kind(), HttpErrorKind::TooLarge, "{error}");
                assert!(error.may_have_arrived());
            }
        }
    }
}

#[tokio::test]
async fn r38_silence_ends_with_the_time_limit() {
    let rows = [
        "",
        "HTTP/1.1 200 OK\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n12345678",
        "HTTP/1.1 200 OK\r\n\r\n",
    ];
    for octets in rows {
        let peer = Peer::start(Say::no_more_than(octets)).await;
        let call = from(&peer).with_timeout(SHORT);
        assert_eq!(failure(&open(), call).await, HttpErrorKind::AnswerTimeout, "{octets:?}");
    }
}

#[tokio::test]
async fn a_broken_answer_is_lost() {
    let long_head = format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "a".repeat(200_000));
    let rows = [
        "",
        "HTTP/1.1 200 OK\r\ncontent-le",
        "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n12345678",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\n1234\r\n",
        "SSH-2.0-OpenSSH_9.2\r\n",
        long_head.as_str(),
    ];
    for octets in rows {
        let peer = Peer::start(Say::ThenClose(octets.to_owned())).await;
        assert_eq!(failure(&open(), from(&peer)).await, HttpErrorKind::AnswerLost, "{octets:.50?}");
    }
}

#[tokio::test]
async fn nothing_listening_is_no_connection() {
    let url = format!("http://{}/path?query=1", nobody().await);
    let error =
        send(&open(), get(&url, Trust::UserSupplied)).await.map(|answer| answer.status()).unwrap_err();
    assert_eq!(error.kind(), HttpErrorKind::Connect);
    assert!(!error.may_have_arrived());
    let text = error.to_string();
    assert!(text.starts_with("no connection: test document at 127.0.0.1: "), "{text}");
    assert!(!text.contains("query"), "{text}");
}

#[tokio::test]
async fn a_request_that_was_read_is_never_sent_again() {
    let peer =
        Peer::scripted(vec![Say::ok("hello"), Say::ThenClose(String::new()), Say::ok("again")], None).await;
    let network = open();
    assert_eq!(send(&network, from(&peer)).await.unwrap().body(), "hello");
    let request = Request::post(peer.url("127.0.0.1")).body(Bytes::from_static(b"once")).unwrap();
    let call = HttpCall::new(request, "test document", Trust::UserSupplied).with_timeout(AMPLE);
    assert_eq!(failure(&network, call).await, HttpErrorKind::AnswerLost);
    assert_eq!(peer.received().len(), 2);
    assert_eq!(send(&network, from(&peer)).await.unwrap().body(), "again");
}
