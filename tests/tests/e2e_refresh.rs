//! Tokens that end while they are needed: refreshed once, whoever asks, at the real server.

use std::sync::Arc;

use vestibule_tests::{Browser, Peers, PeersConfig, Vestibule, VestibuleConfig, clock_shows};

const GET_SESSION: &str = "com.atproto.server.getSession";

async fn peers(token_seconds: u32, nonce_rotation_ms: Option<u32>) -> Peers {
    let config =
        PeersConfig { token_seconds: Some(token_seconds), nonce_rotation_ms, ..PeersConfig::default() };
    Peers::start(config).await
}

async fn signed_in(peers: &Peers) -> (Vestibule, Browser) {
    let vestibule = Vestibule::start(VestibuleConfig::for_peers(peers)).await;
    let mut browser = Browser::new();
    vestibule.sign_in(&mut browser, peers, peers.alice()).await;
    (vestibule, browser)
}

/// When the access token ends, as `/session` says it.
async fn end(vestibule: &Vestibule, browser: &mut Browser) -> u64 {
    let session = vestibule.session(browser).await;
    assert_eq!(session.status(), 200, "{}", session.text());
    session.json()["expires_at"].as_u64().unwrap()
}

#[tokio::test]
async fn calls_go_on_over_several_ends_of_the_token_while_nonces_rotate() {
    let peers = peers(2, Some(1000)).await;
    let (vestibule, mut browser) = signed_in(&peers).await;
    let mut ends = vec![end(&vestibule, &mut browser).await];
    for round in 1..=4 {
        clock_shows(*ends.last().unwrap()).await;
        let call = vestibule.query(&mut browser, GET_SESSION).await;
        assert_eq!(call.status(), 200, "round {round}: {}\n{}", call.text(), vestibule.logs());
        ends.push(end(&vestibule, &mut browser).await);
    }
    assert!(ends.windows(2).all(|pair| pair[0] < pair[1]), "{ends:?}");
    let tokens = peers.tokens_of(&vestibule.url("/")).await;
    assert_eq!(tokens.granted("authorization_code"), 1);
    assert!(tokens.granted("refresh_token") >= 4, "{}", tokens.granted("refresh_token"));
    // One session all along, and what is kept here is what the server takes.
    assert_eq!(tokens.alive.len(), 1);
    assert_eq!(tokens.alive[0].refresh, tokens.issued.last().unwrap().refresh);

    assert_eq!(browser.submit(&vestibule.url("/logout"), &[]).await.status(), 303);
    assert_eq!(peers.tokens_of(&vestibule.url("/")).await.alive, []);
}

#[tokio::test]
async fn r100_ten_calls_at_the_tokens_end_make_one_refresh() {
    // Long enough for ten calls on a busy machine to be over before the next end.
    let peers = peers(6, None).await;
    let (vestibule, mut browser) = signed_in(&peers).await;
    clock_shows(end(&vestibule, &mut browser).await).await;
    let vestibule = Arc::new(vestibule);
    let calls: Vec<_> = (0..10)
        .map(|_| {
            let (vestibule, mut browser) = (Arc::clone(&vestibule), browser.clone());
            tokio::spawn(async move { vestibule.query(&mut browser, GET_SESSION).await.status() })
        })
        .collect();
    for call in calls {
        assert_eq!(call.await.unwrap(), 200, "{}", vestibule.logs());
    }
    assert_eq!(peers.tokens_of(&vestibule.url("/")).await.granted("refresh_token"), 1);
    assert_eq!(vestibule.query(&mut browser, GET_SESSION).await.status(), 200);
}

#[tokio::test]
async fn a_refresh_after_a_restart_uses_the_stored_key_and_a_new_nonce() {
    let peers = peers(2, Some(1000)).await;
    let (mut vestibule, mut browser) = signed_in(&peers).await;
    let end = end(&vestibule, &mut browser).await;
    vestibule.kill().await;
    clock_shows(end).await;
    vestibule.restart().await;
    let call = vestibule.query(&mut browser, GET_SESSION).await;
    assert_eq!(call.status(), 200, "{}\n{}", call.text(), vestibule.logs());
    // And what the refresh brought is there after the next power cut.
    vestibule.kill().await;
    vestibule.restart().await;
    let call = vestibule.query(&mut browser, GET_SESSION).await;
    assert_eq!(call.status(), 200, "{}\n{}", call.text(), vestibule.logs());
    assert_eq!(peers.tokens_of(&vestibule.url("/")).await.alive.len(), 1);
}

#[tokio::test]
async fn a_record_written_with_an_ended_token_is_written_once() {
    let peers = peers(2, None).await;
    let config = VestibuleConfig::for_peers(&peers)
        .with_file("vestibule.toml", "[atproto]\nscope = \"atproto transition:generic\"\n");
    let vestibule = Vestibule::start(config).await;
    let mut browser = Browser::new();
    vestibule.sign_in(&mut browser, &peers, peers.alice()).await;
    let did = &peers.alice().did;
    for round in 1..=2_usize {
        clock_shows(end(&vestibule, &mut browser).await).await;
        let body = serde_json::json!({ "repo": did, "collection": "com.example.shelf", "record": { "$type": "com.example.shelf" } });
        let request = http::Request::post(vestibule.url("/xrpc/com.atproto.repo.createRecord"))
            .header("origin", vestibule.url(""))
            .header("content-type", "application/json")
            .body(body.to_string().into())
            .unwrap();
        let answer = browser.send(request).await;
        assert_eq!(answer.status(), 200, "{}\n{}", answer.text(), vestibule.logs());
        let list = format!("com.atproto.repo.listRecords?repo={did}&collection=com.example.shelf");
        let list = vestibule.query(&mut browser, &list).await.json();
        assert_eq!(list["records"].as_array().unwrap().len(), round, "{list}");
    }
}

#[tokio::test]
async fn a_server_that_is_gone_at_the_tokens_end_costs_nobody_the_session() {
    let peers = peers(2, None).await;
    let (vestibule, mut browser) = signed_in(&peers).await;
    let end = end(&vestibule, &mut browser).await;
    drop(peers);
    clock_shows(end).await;
    let call = vestibule.query(&mut browser, GET_SESSION).await;
    assert_eq!((call.status(), call.json()["error"].as_str()), (503, Some("temporarily_unavailable")));
    assert!(call.header("retry-after").is_some_and(|seconds| seconds.parse::<u32>().is_ok()));
    assert_eq!(vestibule.session(&mut browser).await.status(), 200);
}
