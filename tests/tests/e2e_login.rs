//! Sign-in at the real AT Protocol servers, by the program as it is shipped.

use vestibule_tests::{Account, Browser, Decision, Peers, PeersConfig, Vestibule, VestibuleConfig};

/// Goes from the sign-in form to the callback's answer.
async fn sign_in(
    browser: &mut Browser,
    peers: &Peers,
    vestibule: &Vestibule,
    typed: &str,
    account: &Account,
) -> u16 {
    let answer = browser.submit(&vestibule.url("/login"), &[("handle", typed)]).await;
    assert_eq!(answer.status(), 303, "{}", answer.text());
    let callback = peers.consent(&answer.location(), account, Decision::Allow).await.unwrap();
    browser.arrive(&callback).await.status()
}

#[tokio::test]
async fn a_handle_signs_in_by_plain_calls_and_signs_out_on_both_sides() {
    let peers = Peers::start(PeersConfig::default()).await;
    let mut vestibule = Vestibule::start(VestibuleConfig::for_peers(&peers)).await;
    let mut browser = Browser::new();

    let answer = browser.get(&vestibule.url("/login?handle=alice.test"), &[]).await;
    assert_eq!(answer.status(), 303, "{}\n{}", answer.text(), vestibule.logs());
    let callback = peers.consent(&answer.location(), peers.alice(), Decision::Allow).await.unwrap();
    let answer = browser.arrive(&callback).await;
    assert_eq!(answer.status(), 303, "{}\n{}", answer.text(), vestibule.logs());
    assert_eq!(answer.location(), vestibule.url("/"));

    let session = browser.get(&vestibule.url("/session"), &[]).await;
    assert_eq!(session.status(), 200);
    assert_eq!(session.json()["did"], peers.alice().did.as_str());
    assert_eq!(session.json()["handle"], "alice.test");
    assert_eq!(session.json()["provider"], "atproto");

    let call = browser.get(&vestibule.url("/xrpc/com.atproto.server.getSession"), &[]).await;
    assert_eq!(call.status(), 200, "{}\n{}", call.text(), vestibule.logs());
    assert_eq!(call.json()["did"], peers.alice().did.as_str());

    let answer = browser.submit(&vestibule.url("/logout"), &[]).await;
    assert_eq!(answer.status(), 303, "{}", answer.text());
    assert_eq!(browser.get(&vestibule.url("/session"), &[]).await.status(), 401);
    assert!(vestibule.logs().contains("signed out"), "{}", vestibule.logs());
    assert_eq!(vestibule.terminate().await, 0);
}

#[tokio::test]
async fn a_did_signs_in() {
    let peers = Peers::start(PeersConfig::default()).await;
    let vestibule = Vestibule::start(VestibuleConfig::for_peers(&peers)).await;
    let mut browser = Browser::new();
    let status = sign_in(&mut browser, &peers, &vestibule, &peers.alice().did, peers.alice()).await;
    assert_eq!(status, 303, "{}", vestibule.logs());
}
