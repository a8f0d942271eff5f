//! Who may be reached, under which trust.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use rustls::ServerConfig;
use tokio_rustls::TlsAcceptor;
use vestibule_atproto_identity::net::{Network, PrivateNetwork};
use vestibule_oauth_core::{HttpErrorKind, Trust};

use crate::calls::{SHORT, config, failure, get, open, send};
use crate::dns::{A, Dns, Reply};
use crate::peer::{Peer, Say, Trap};

#[tokio::test]
async fn r110_a_private_address_is_refused_before_it_is_dialled() {
    let trap = Trap::set().await;
    let dns = Dns::start(|_, kind| match kind {
        A => Reply::addresses(&[Ipv4Addr::LOCALHOST]),
        _ => Reply::Records(Vec::new()),
    })
    .await;
    let network = Network::new(config().with_dns(dns.address)).unwrap();
    for host in
        ["127.0.0.1", "127.1.2.3", "[::1]", "[::ffff:127.0.0.1]", "localhost", "a.localhost", "pds.example"]
    {
        let call = get(&format!("https://{host}:{}/", trap.port()), Trust::UserSupplied);
        assert_eq!(failure(&network, call).await, HttpErrorKind::Blocked, "{host}");
    }
    assert_eq!(dns.asked_for(A), 1, "only the last one is a name to ask for");
    assert!(!trap.sprung().await);
    // The trap works: whom the operator names is dialled.
    let call = get(&format!("https://pds.example:{}/", trap.port()), Trust::Configured);
    let call = call.with_timeout(SHORT);
    assert_eq!(failure(&network, call).await, HttpErrorKind::ConnectTimeout);
    assert!(trap.sprung().await);
}

#[tokio::test]
async fn r110_the_address_that_was_judged_is_the_one_dialled() {
    let peer = Peer::start(Say::ok("hello")).await;
    // First the one that listens, then one that does not: a second look-up would be seen as a failure.
    let answers = AtomicU8::new(1);
    let dns = Dns::start(move |_, kind| match kind {
        A => Reply::addresses(&[Ipv4Addr::new(127, 0, 0, answers.fetch_add(1, Ordering::Relaxed))]),
        _ => Reply::Records(Vec::new()),
    })
    .await;
    let config = config().with_dns(dns.address);
    let network = Network::new(config.clone().with_private_network(PrivateNetwork::Allowed)).unwrap();
    let call = get(&peer.url("pds.example"), Trust::UserSupplied);
    assert_eq!(send(&network, call).await.unwrap().body(), "hello");
    assert_eq!(dns.asked_for(A), 1);
    // And each connection is judged by its own look-up.
    let network = Network::new(config).unwrap();
    for asked in 2..4 {
        let call = get("https://pds.example/", Trust::UserSupplied);
        assert_eq!(failure(&network, call).await, HttpErrorKind::Blocked);
        assert_eq!(dns.asked_for(A), asked);
    }
}

#[tokio::test]
async fn r110_a_stranger_may_only_name_https() {
    let network = Network::new(config()).unwrap();
    for url in [
        "http://192.0.2.1/",
        "http://localhost/",
        "ftp://192.0.2.1/",
        "https://user@192.0.2.1/",
        "/just/a/path",
    ] {
        let call = get(url, Trust::UserSupplied);
        assert_eq!(failure(&network, call).await, HttpErrorKind::Blocked, "{url}");
    }
}

#[tokio::test]
async fn the_operator_may_name_any_address() {
    let peer = Peer::start(Say::ok("hello")).await;
    let network = Network::new(config()).unwrap();
    for host in ["127.0.0.1", "localhost", "plc.localhost"] {
        let answer = send(&network, get(&peer.url(host), Trust::Configured)).await.unwrap();
        assert_eq!(answer.body(), "hello", "{host}");
    }
    assert_eq!(
        failure(&network, get("ftp://127.0.0.1/", Trust::Configured)).await,
        HttpErrorKind::Blocked,
        "but no other scheme"
    );
}

#[tokio::test]
async fn the_next_address_is_tried_when_one_refuses() {
    let peer = Peer::start(Say::ok("hello")).await;
    let dns = Dns::start(|_, kind| match kind {
        A => {
            Reply::addresses(&[Ipv4Addr::new(127, 0, 0, 9), Ipv4Addr::new(127, 0, 0, 8), Ipv4Addr::LOCALHOST])
        }
        _ => Reply::Records(Vec::new()),
    })
    .await;
    let network = Network::new(config().with_dns(dns.address)).unwrap();
    let answer = send(&network, get(&peer.url("plc.example"), Trust::Configured)).await.unwrap();
    assert_eq!(answer.body(), "hello");
}

#[tokio::test]
async fn connections_are_reused_within_a_trust_and_never_across() {
    let peer = Peer::start(Say::ok("hello")).await;
    let network = open();
    let mut connections = [Vec::new(), Vec::new()];
    for _ in 0..10 {
        for (trust, connections) in [Trust::Configured, Trust::UserSupplied].into_iter().zip(&mut connections)
        {
            send(&network, get(&peer.url("127.0.0.1"), trust)).await.unwrap();
            connections.push(peer.received().last().unwrap().connection);
        }
    }
    let [configured, user_supplied] = connections;
    assert!(configured.iter().all(|connection| !user_supplied.contains(connection)));
    let opened = peer.received().iter().map(|received| received.connection).max().unwrap() + 1;
    assert!(opened < 20, "{opened} connections for 20 requests");
}

#[tokio::test]
async fn tls_needs_a_root_it_knows_and_the_right_name() {
    let names = vec![String::from("localhost"), String::from("127.0.0.1")];
    let made = rcgen::generate_simple_self_signed(names).unwrap();
    let key = rustls::pki_types::PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    let tls = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key.into())
        .unwrap();
    let peer = Peer::start_tls(Say::ok("hello"), TlsAcceptor::from(Arc::new(tls))).await;
    let url = |host| peer.url(host).replacen("http", "https", 1);

    let knowing = Network::new(config().with_extra_roots_pem(made.cert.pem())).unwrap();
    for host in ["localhost", "127.0.0.1"] {
        let answer = send(&knowing, get(&url(host), Trust::Configured)).await.unwrap();
        assert_eq!(answer.body(), "hello", "{host}");
    }
    let call = get(&url("other.localhost"), Trust::Configured);
    assert_eq!(failure(&knowing, call).await, HttpErrorKind::Connect);

    let error = send(&Network::new(config()).unwrap(), get(&url("localhost"), Trust::Configured)).await;
    let error = error.map(|answer| answer.status()).unwrap_err();
    assert_eq!(error.kind(), HttpErrorKind::Connect);
    assert!(error.to_string().contains("UnknownIssuer"), "{error}");
    assert!(!error.to_string().contains("query"), "{error}");
}
