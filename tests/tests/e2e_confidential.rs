//! A deployment on the web: https, a confidential client, real servers in their production mode.

use std::net::SocketAddr;

use vestibule_tests::{
    Browser, Decision, Mode, Peers, PeersConfig, Vestibule, VestibuleConfig, clock_shows, free_port,
    run_vestibule,
};

const SITE: &str = "https://app.peer.internal";

/// Peers in https mode whose front shows `vestibule` as `https://app.peer.internal`.
async fn deployment() -> (Peers, Vestibule, Browser) {
    deployment_with(PeersConfig::on_port_443()).await
}

async fn deployment_with(config: PeersConfig) -> (Peers, Vestibule, Browser) {
    let upstream: SocketAddr = ([127, 0, 0, 1], free_port()).into();
    let config = PeersConfig { mode: Mode::Https, app_upstream: Some(upstream), ..config };
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

#[tokio::test]
async fn r86_sessions_go_on_with_the_key_they_were_made_with_while_a_new_one_is_published() {
    let config = PeersConfig { token_seconds: Some(2), ..PeersConfig::on_port_443() };
    let (peers, vestibule, mut browser) = deployment_with(config).await;
    let url = |path: &str| format!("{SITE}{path}");
    let answer = browser.submit(&url("/login"), &[("handle", "alice.test")]).await;
    let callback = peers.consent(&answer.location(), peers.alice(), Decision::Allow).await.unwrap();
    assert_eq!(browser.arrive(&callback).await.status(), 303, "{}", vestibule.logs());
    let kids = |set: serde_json::Value| -> Vec<String> {
        set["keys"].as_array().unwrap().iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
    };
    let old = kids(browser.get(&url("/jwks.json"), &[]).await.json());

    let folder = vestibule.config().folder.path();
    assert_eq!(run_vestibule(folder, &["key", "rotate"]).await.code, Some(0));
    vestibule.says("the keys in the store have changed").await;
    let both = kids(browser.get(&url("/jwks.json"), &[]).await.json());
    assert_eq!((both.len(), &both[1]), (2, &old[0]), "the new one in front, the old one still published");

    // The session's tokens are replaced under the old key, which is needed and so not retired.
    let end = browser.get(&url("/session"), &[]).await.json()["expires_at"].as_u64().unwrap();
    clock_shows(end).await;
    let call = browser.get(&url("/xrpc/com.atproto.server.getSession"), &[]).await;
    assert_eq!(call.status(), 200, "{}\n{}", call.text(), vestibule.logs());
    let listed = run_vestibule(folder, &["key", "list"]).await.stdout;
    let line = listed.lines().find(|line| line.contains(&old[0])).unwrap();
    assert!(line.contains("needed by 1 session"), "{listed}");
    assert_eq!(run_vestibule(folder, &["key", "retire", &old[0]]).await.code, Some(1));

    // Somebody who signs in now does so under the old key too: servers have not seen the new one yet.
    let mut other = browser.clone();
    other.clear_cookies();
    let answer = other.submit(&url("/login"), &[("handle", "bob.test")]).await;
    assert_eq!(answer.status(), 303, "{}\n{}", answer.text(), vestibule.logs());
}

/// A soak found it: with tokens of two seconds and a network that takes three, two sessions were given up.
#[tokio::test]
async fn r106_a_token_that_ends_on_its_way_to_the_server_ends_no_session() {
    let config = PeersConfig { token_seconds: Some(2), ..PeersConfig::on_port_443() };
    let (peers, vestibule, mut browser) = deployment_with(config).await;
    let url = |path: &str| format!("{SITE}{path}");
    let answer = browser.submit(&url("/login"), &[("handle", "alice.test")]).await;
    let callback = peers.consent(&answer.location(), peers.alice(), Decision::Allow).await.unwrap();
    assert_eq!(browser.arrive(&callback).await.status(), 303);

    peers.slow().await;
    let call = browser.get(&url("/xrpc/com.atproto.server.getSession"), &[]).await;
    assert_eq!((call.status(), call.json()["error"].as_str()), (503, Some("temporarily_unavailable")));
    peers.faults(0).await;
    let call = browser.get(&url("/xrpc/com.atproto.server.getSession"), &[]).await;
    assert_eq!(call.status(), 200, "{}\n{}", call.text(), vestibule.logs());
}
