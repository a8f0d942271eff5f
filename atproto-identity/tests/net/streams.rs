//! Bodies handed on piece by piece.

use bytes::Bytes;
use http::Request;
use http_body::Body;
use http_body_util::channel::Channel;
use http_body_util::{BodyExt, Empty, Full};
use vestibule_atproto_identity::net::Network;
use vestibule_oauth_core::{HttpErrorKind, Trust};

use crate::calls::{AMPLE, SHORT, config, open};
use crate::peer::{Peer, Say, nobody};

fn get(url: &str) -> Request<Empty<Bytes>> {
    Request::get(url).body(Empty::new()).unwrap()
}

#[tokio::test]
async fn a_body_goes_out_in_pieces_and_the_answer_comes_back() {
    let peer = Peer::start(Say::ok("hello")).await;
    let (mut pieces, body) = Channel::<Bytes, std::convert::Infallible>::new(1);
    let request = Request::post(peer.url("127.0.0.1")).body(body).unwrap();
    let network = open();
    let sending = async move {
        for piece in ["one", "two", "three"] {
            pieces.send_data(Bytes::from(piece)).await.unwrap();
        }
    };
    let (answer, ()) = tokio::join!(network.stream(request, Trust::UserSupplied, AMPLE), sending);
    let body = answer.unwrap().into_body();
    assert_eq!(body.size_hint().exact(), Some(5));
    assert_eq!(body.collect().await.unwrap().to_bytes(), "hello");
    let received = &peer.received()[0].text;
    assert!(received.ends_with("\r\n\r\n3\r\none\r\n3\r\ntwo\r\n5\r\nthree\r\n0\r\n\r\n"), "{received}");
}

#[tokio::test]
async fn a_body_of_known_length_says_so() {
    let peer = Peer::start(Say::ok("")).await;
    let request = Request::post(peer.url("127.0.0.1")).body(Full::new(Bytes::from("blob"))).unwrap();
    open().stream(request, Trust::UserSupplied, AMPLE).await.unwrap();
    let received = peer.received()[0].text.to_lowercase();
    assert!(received.contains("content-length: 4\r\n") && received.ends_with("\r\n\r\nblob"), "{received}");
}

#[tokio::test]
async fn an_answer_that_stops_half_way_is_an_error_of_its_body() {
    let half = "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf";
    let rows = [
        (Say::no_more_than(half), HttpErrorKind::AnswerTimeout),
        (Say::ThenClose(half.to_owned()), HttpErrorKind::AnswerLost),
    ];
    for (say, kind) in rows {
        let peer = Peer::start(say).await;
        let answer = open().stream(get(&peer.url("127.0.0.1")), Trust::UserSupplied, SHORT).await;
        let mut body = answer.unwrap().into_body();
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "half");
        assert_eq!(body.frame().await.unwrap().unwrap_err().kind(), kind);
        assert!(body.frame().await.is_none());
        assert!(body.is_end_stream());
    }
}

#[tokio::test]
async fn the_rules_are_those_of_a_collected_call() {
    let silent = Peer::start(Say::no_more_than("")).await;
    let nobody = format!("http://{}/", nobody().await);
    let closed = Network::new(config()).unwrap();
    let open = open();
    let rows = [
        (&closed, "https://127.0.0.1/", Trust::UserSupplied, HttpErrorKind::Blocked),
        (&closed, "http://192.0.2.1/", Trust::UserSupplied, HttpErrorKind::Blocked),
        (&open, nobody.as_str(), Trust::UserSupplied, HttpErrorKind::Connect),
        (&closed, &silent.url("127.0.0.1"), Trust::Configured, HttpErrorKind::AnswerTimeout),
    ];
    for (network, url, trust, kind) in rows {
        let answer = network.stream(get(url), trust, SHORT).await;
        assert_eq!(answer.map(|answer| answer.status()).unwrap_err().kind(), kind, "{url}");
    }
}
