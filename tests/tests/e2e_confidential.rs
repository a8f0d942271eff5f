//! A deployment on the web: https, a confidential client, real servers in their production mode.

use std::net::SocketAddr;

use vestibule_tests::{Browser, Decision, Mode, Peers, PeersConfig, Vestibule, VestibuleConfig, free_port};

const SITE: &str = "https://app.peer.internal";

/// Peers in https mode whose front shows `vestibule` as `https://app.peer.internal`.
async fn deployment() -> (Peers, Vestibule, Browser) {
    let upstream: SocketAddr = ([127, 0, 0, 1], free_port()).into();
    let config =
        PeersConfig { mode: Mode::Https, app_upstream: Some(upstream), ..PeersConfig::on_port_443() };
    let peers = Peers::start(config).await;
    let config = VestibuleConfig { listen: upstream.to_string(), ..VestibuleConfig::for_peers(&peers) };
    let vestibule = Vestibule::start(config.with_args(&["--public-url", SITE])).await;
    let browser = Browser::new().reaching(SITE, upstream);
    (peers, vestibule, browser)
}

#[tokio::test]
async fn r82_a_confidential_client_signs_in_calls_and_signs_out() {
    let (peers, vestibule, mut browser) = deployment().await;
    let url = |path: &str| format!("{SITE}{path}");

    let answer = browser.submit(&url("/login"), &[("handle", "alice.test")]).await;
    assert_eq!(answer.status(), 303, "{}\n{}", answer.text(), vestibule.logs());
    let client_id = answer.location_parameter("client_id").unwrap();
    assert_eq!(client_id, "https://app.peer.internal/client-metadata.json");
    let callback = peers.consent(&answer.location(), peers.alice(), Decision::Allow).await.unwrap();
    let answer = browser.arrive(&callback).await;
    assert_eq!(answer.status(), 303, "{}\n{}", answer.text(), vestibule.logs());
    assert!(browser.cookie_names(SITE).iter().all(|name| name.starts_with("__Host-")));

    let session = browser.get(&url("/session"), &[]).await.json();
    assert_eq!(session["did"], peers.alice().did.as_str());
    let call = browser.get(&url("/xrpc/com.atproto.server.getSession"), &[]).await;
    assert_eq!(call.status(), 200, "{}\n{}", call.text(), vestibule.logs());

    let answer = browser.submit(&url("/logout"), &[]).await;
    assert_eq!(answer.status(), 303, "{}", answer.text());
    assert!(vestibule.logs().contains("signed out"), "{}", vestibule.logs());
}

#[tokio::test]
async fn r12_the_published_keys_have_names_and_no_private_member() {
    let (_peers, _vestibule, mut browser) = deployment().await;
    let keys = browser.get(&format!("{SITE}/jwks.json"), &[]).await.json();
    let keys = keys["keys"].as_array().unwrap().clone();
    assert_eq!(keys.len(), 1);
    assert!(
        keys[0]["kid"].is_string() && keys[0]["alg"] == "ES256" && keys[0].get("d").is_none(),
        "{keys:?}"
    );
}
