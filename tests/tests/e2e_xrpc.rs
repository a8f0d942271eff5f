//! `/xrpc`: calls of an app's front end, made with the session's tokens at the person's real server.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Request;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use vestibule_tests::{Answer, Browser, Peers, PeersConfig, Vestibule, VestibuleConfig, clock_shows};

const SCOPE: &str = "[atproto]\nscope = \"atproto transition:generic\"\n";
const GET_SESSION: &str = "com.atproto.server.getSession";

/// What a test needs: the shared peers, a server of its own, and a browser that is signed in as Alice and may write.
async fn signed_in() -> (&'static Peers, Vestibule, Browser) {
    let peers = Peers::shared().await;
    let config = VestibuleConfig::for_peers(peers).with_file("vestibule.toml", SCOPE);
    let vestibule = Vestibule::start(config).await;
    let mut browser = Browser::new();
    vestibule.sign_in(&mut browser, peers, peers.alice()).await;
    (peers, vestibule, browser)
}

/// A POST as a script of this site sends it.
fn post(vestibule: &Vestibule, method: &str, kind: &str, body: impl Into<Bytes>) -> Request<Bytes> {
    Request::post(vestibule.url(&format!("/xrpc/{method}")))
        .header("origin", vestibule.url(""))
        .header("sec-fetch-site", "same-origin")
        .header("content-type", kind)
        .body(body.into())
        .unwrap()
}

async fn create(vestibule: &Vestibule, browser: &mut Browser, did: &str, record: Value) -> Answer {
    let body = json!({ "repo": did, "collection": record["$type"], "record": record });
    let method = "com.atproto.repo.createRecord";
    browser.send(post(vestibule, method, "application/json", body.to_string())).await
}

/// Octets that no compression makes small and that say where they are.
fn octets(length: usize) -> Bytes {
    (0..length as u64 / 8).flat_map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes()).collect()
}

#[tokio::test]
async fn a_query_and_a_record_go_through_with_parameters_and_answers_as_they_are() {
    let (peers, vestibule, mut browser) = signed_in().await;
    let did = &peers.alice().did;
    let session = vestibule.query(&mut browser, GET_SESSION).await;
    assert_eq!((session.status(), session.json()["did"].as_str()), (200, Some(did.as_str())));
    assert!(session.header("content-type").unwrap().starts_with("application/json"));
    assert!(session.set_cookies().is_empty(), "{:?}", session.set_cookies());
    assert_eq!(session.header("dpop-nonce"), None);

    let post =
        json!({ "$type": "app.bsky.feed.post", "text": "hei 👋", "createdAt": "2026-11-21T21:00:00Z" });
    let created = create(&vestibule, &mut browser, did, post.clone()).await;
    assert_eq!(created.status(), 200, "{}\n{}", created.text(), vestibule.logs());
    let rkey = created.json()["uri"].as_str().unwrap().rsplit('/').next().unwrap().to_owned();
    let query = format!("com.atproto.repo.getRecord?repo={did}&collection=app.bsky.feed.post&rkey={rkey}");
    let record = vestibule.query(&mut browser, &query).await;
    assert_eq!((record.status(), &record.json()["value"]), (200, &post));
}

#[tokio::test]
async fn a_blob_of_several_mib_passes_through_in_both_directions() {
    let (peers, vestibule, mut browser) = signed_in().await;
    let did = &peers.alice().did;
    let blob = octets(4 * 1024 * 1024);
    let method = "com.atproto.repo.uploadBlob";
    let uploaded = browser.send(post(&vestibule, method, "application/octet-stream", blob.clone())).await;
    assert_eq!(uploaded.status(), 200, "{}\n{}", uploaded.text(), vestibule.logs());
    let reference = uploaded.json()["blob"].clone();
    assert_eq!(reference["size"], blob.len());

    let record = json!({ "$type": "com.example.shelf", "file": reference });
    let created = create(&vestibule, &mut browser, did, record).await;
    assert_eq!(created.status(), 200, "{}", created.text());
    let cid = reference["ref"]["$link"].as_str().unwrap();
    let back = vestibule.query(&mut browser, &format!("com.atproto.sync.getBlob?did={did}&cid={cid}")).await;
    assert_eq!(back.status(), 200);
    assert!(
        back.body() == &blob,
        "{} octets came back, others than the {} sent",
        back.body().len(),
        blob.len()
    );
    // What a stranger uploaded is never shown as a page of this site.
    assert!(back.header("content-security-policy").unwrap().contains("sandbox"));
    assert_eq!(back.header("x-content-type-options"), Some("nosniff"));
    // Nor does a cache between here and the browser keep it for others, whatever the person's server thinks of that.
    let caching = back.header("cache-control").unwrap();
    assert!(caching.contains("private") && !caching.contains("public"), "{caching}");
}

#[tokio::test]
async fn a_large_body_goes_through_although_the_last_nonce_is_stale() {
    let peers = Peers::start(PeersConfig { nonce_rotation_ms: Some(1000), ..PeersConfig::default() }).await;
    let config = VestibuleConfig::for_peers(&peers).with_file("vestibule.toml", SCOPE);
    let vestibule = Vestibule::start(config).await;
    let mut browser = Browser::new();
    vestibule.sign_in(&mut browser, &peers, peers.alice()).await;
    assert_eq!(vestibule.query(&mut browser, GET_SESSION).await.status(), 200);
    // The server knows the nonces of three seconds at most.
    clock_shows(now() + 5).await;
    let method = "com.atproto.repo.uploadBlob";
    let blob = octets(1024 * 1024);
    let uploaded = browser.send(post(&vestibule, method, "application/octet-stream", blob)).await;
    assert_eq!(uploaded.status(), 200, "{}\n{}", uploaded.text(), vestibule.logs());
}

#[tokio::test]
async fn a_large_body_with_a_token_that_its_server_ended_is_told_so() {
    let (_, mut vestibule, mut browser) = signed_in().await;
    vestibule.terminate().await;
    let other = Vestibule::start(vestibule.config().copied()).await;
    vestibule.restart().await;
    assert_eq!(browser.clone().submit(&other.url("/logout"), &[]).await.status(), 303);
    let method = "com.atproto.repo.uploadBlob";
    let answer = browser.send(post(&vestibule, method, "image/x-test", octets(1024 * 1024))).await;
    assert_eq!((answer.status(), answer.json()["error"].as_str()), (401, Some("session_ended")));
    assert_eq!(vestibule.session(&mut browser).await.status(), 401);
}

fn now() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()
}

#[tokio::test]
async fn the_persons_server_says_itself_what_it_does_not_know_or_allow() {
    let (peers, vestibule, mut browser) = signed_in().await;
    let direct = Browser::new().get(&format!("{}/xrpc/com.example.nothing", peers.pds), &[]).await;
    let unknown = vestibule.query(&mut browser, "com.example.nothing").await;
    assert_eq!((unknown.status(), unknown.json()), (direct.status(), direct.json()));
    assert_ne!(unknown.status(), 200);

    let invalid = vestibule.query(&mut browser, "com.atproto.repo.getRecord?repo=x").await;
    assert_eq!((invalid.status(), invalid.json()["error"].as_str()), (400, Some("InvalidRequest")));

    // Alice's token does not write to Bob's repository.
    let record = json!({ "$type": "com.example.shelf" });
    let refused = create(&vestibule, &mut browser, &peers.bob().did, record).await;
    assert!(matches!(refused.status(), 400..=403), "{}", refused.text());
    assert_eq!(vestibule.session(&mut browser).await.status(), 200);
}

#[tokio::test]
async fn what_was_not_consented_to_the_server_refuses() {
    let peers = Peers::shared().await;
    let vestibule = Vestibule::start(VestibuleConfig::for_peers(peers)).await;
    let mut browser = Browser::new();
    vestibule.sign_in(&mut browser, peers, peers.alice()).await;
    let record = json!({ "$type": "com.example.shelf" });
    let refused = create(&vestibule, &mut browser, &peers.alice().did, record).await;
    assert_eq!(refused.status(), 403, "{}", refused.text());
    assert_eq!(vestibule.query(&mut browser, GET_SESSION).await.status(), 200);
}

#[tokio::test]
async fn an_address_that_is_no_method_is_refused_here() {
    let (_, vestibule, mut browser) = signed_in().await;
    for name in [
        "",
        "nope",
        "com.atproto",
        "com.atproto.server.get-Session",
        "com.atproto.server/getSession",
        "com.atproto.server.getSession/",
        "/xrpc/com.atproto.server.getSession",
        "..%2foauth",
        "com.atproto.server.getSession%0d%0a",
    ] {
        let answer = vestibule.query(&mut browser, name).await;
        assert_eq!(answer.status(), 400, "{name:?}: {}", answer.text());
        assert_eq!(answer.json()["error"], "invalid_request", "{name:?}");
    }
}

#[tokio::test]
async fn nobody_signed_in_is_401_and_says_so() {
    let peers = Peers::shared().await;
    let vestibule = Vestibule::start(VestibuleConfig::for_peers(peers)).await;
    let mut browser = Browser::new();
    let answer = vestibule.query(&mut browser, GET_SESSION).await;
    assert_eq!((answer.status(), answer.json()["error"].as_str()), (401, Some("not_signed_in")));
    let answer = vestibule.session(&mut browser).await;
    assert_eq!((answer.status(), answer.json()["error"].as_str()), (401, Some("not_signed_in")));
    browser.set_cookie(&vestibule.url("/"), "vestibule.session=made-up; Path=/");
    assert_eq!(vestibule.query(&mut browser, GET_SESSION).await.status(), 401);
}

#[tokio::test]
async fn s20_a_call_from_another_site_is_refused() {
    let (_, vestibule, mut browser) = signed_in().await;
    let url = vestibule.url(&format!("/xrpc/{GET_SESSION}"));
    for headers in [
        &[("sec-fetch-site", "cross-site")][..],
        &[("sec-fetch-site", "same-site")],
        &[("origin", "https://evil.example")],
        &[("origin", "null")],
        &[("referer", "https://evil.example/a")],
    ] {
        let answer = browser.get(&url, headers).await;
        assert_eq!(answer.status(), 403, "{headers:?}");
        assert_eq!(answer.json()["error"], "cross_site_request");
    }
    let create = vestibule.url("/xrpc/com.atproto.repo.createRecord");
    let answer = browser.submit_from("https://evil.example", &create, &[]).await;
    assert_eq!(answer.status(), 403);
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_however_it_is_sent() {
    let peers = Peers::shared().await;
    let config = VestibuleConfig::for_peers(peers).with_file("vestibule.toml", SCOPE);
    let vestibule = Vestibule::start(config.with_args(&["--xrpc-body-limit", "300000"])).await;
    let mut browser = Browser::new();
    vestibule.sign_in(&mut browser, peers, peers.alice()).await;
    let method = "com.atproto.repo.uploadBlob";
    for (length, status) in [(299_992, 200), (300_000, 200), (300_008, 413), (2_000_000, 413)] {
        let answer = browser.send(post(&vestibule, method, "image/x-test", octets(length))).await;
        assert_eq!(answer.status(), status, "{length}: {}", answer.text());
        // The same without a word about its length.
        let answer = chunked(&vestibule, &browser, method, &octets(length)).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{length}: {answer}");
        if status == 413 {
            assert!(answer.contains("too_large"), "{length}: {answer}");
        }
    }
}

#[tokio::test]
async fn a_limit_below_what_is_kept_for_a_second_try_holds_for_chunks_too() {
    let peers = Peers::shared().await;
    let config = VestibuleConfig::for_peers(peers).with_file("vestibule.toml", SCOPE);
    let vestibule = Vestibule::start(config.with_args(&["--xrpc-body-limit", "1000"])).await;
    let mut browser = Browser::new();
    vestibule.sign_in(&mut browser, peers, peers.alice()).await;
    let method = "com.atproto.repo.uploadBlob";
    for (length, status) in [(1000, 200), (1008, 413)] {
        let answer = chunked(&vestibule, &browser, method, &octets(length)).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{length}: {answer}");
    }
}

/// A POST in chunks of 16 KiB. Gives the whole answer; one that comes before the body's end ends the sending.
async fn chunked(vestibule: &Vestibule, browser: &Browser, method: &str, body: &[u8]) -> String {
    let (mut stream, head) = begun(vestibule, browser, method).await;
    stream.write_all(format!("{head}transfer-encoding: chunked\r\n\r\n").as_bytes()).await.unwrap();
    let (mut reader, mut writer) = stream.split();
    let send = async {
        for chunk in body.chunks(16 * 1024) {
            writer.write_all(format!("{:x}\r\n", chunk.len()).as_bytes()).await?;
            writer.write_all(chunk).await?;
            writer.write_all(b"\r\n").await?;
        }
        writer.write_all(b"0\r\n\r\n").await
    };
    let mut answer = Vec::new();
    // Once it has answered a body that is too large, the server need not read it.
    let (_sent, read) = tokio::join!(send, reader.read_to_end(&mut answer));
    let answer_text = String::from_utf8_lossy(&answer).into_owned();
    assert!(read.is_ok() || !answer.is_empty(), "{read:?}");
    answer_text
}

/// A connection, and the head of a POST as a script of this site sends it, but for its end.
async fn begun(vestibule: &Vestibule, browser: &Browser, method: &str) -> (TcpStream, String) {
    let address: SocketAddr = vestibule.address();
    let cookie = browser.cookie(&vestibule.url("/"), "vestibule.session").unwrap();
    let head = format!(
        "POST /xrpc/{method} HTTP/1.1\r\nhost: {address}\r\norigin: http://{address}\r\nconnection: close\r\n\
         cookie: vestibule.session={cookie}\r\ncontent-type: image/x-test\r\n"
    );
    (TcpStream::connect(address).await.unwrap(), head)
}

#[tokio::test]
async fn a_call_under_way_comes_to_its_end_when_the_server_is_told_to_stop() {
    for signal in ["TERM", "INT"] {
        let (_, mut vestibule, browser) = signed_in().await;
        let body = octets(1024 * 1024);
        let (mut stream, head) = begun(&vestibule, &browser, "com.atproto.repo.uploadBlob").await;
        let head = format!("{head}content-length: {}\r\nexpect: 100-continue\r\n\r\n", body.len());
        stream.write_all(head.as_bytes()).await.unwrap();
        // It says so when it begins to read the body: the call is under way.
        let mut go_on = vec![0; "HTTP/1.1 100 Continue\r\n\r\n".len()];
        stream.read_exact(&mut go_on).await.unwrap();
        assert!(go_on.starts_with(b"HTTP/1.1 100 "), "{}", String::from_utf8_lossy(&go_on));

        vestibule.signal(signal);
        vestibule.says("stopping").await;
        assert!(TcpStream::connect(vestibule.address()).await.is_err());
        stream.write_all(&body).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 "), "{signal}: {answer}\n{}", vestibule.logs());
        assert_eq!(vestibule.exit_code().await, 0, "{}", vestibule.logs());
    }
}

#[tokio::test]
async fn connections_on_which_nothing_is_asked_hold_up_no_stop() {
    let mut vestibule = Vestibule::start(VestibuleConfig::default()).await;
    let silent = TcpStream::connect(vestibule.address()).await.unwrap();
    let mut kept = TcpStream::connect(vestibule.address()).await.unwrap();
    kept.write_all(b"GET /healthz HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n").await.unwrap();
    let mut answer = [0; 16];
    kept.read_exact(&mut answer).await.unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 200"));
    let since = Instant::now();
    assert_eq!(vestibule.terminate().await, 0);
    // Heads that do not come are given up after 15 seconds, whatever is under way after 20.
    assert!(since.elapsed() < Duration::from_secs(10), "{:?}\n{}", since.elapsed(), vestibule.logs());
    drop((silent, kept));
}

#[tokio::test]
async fn a_server_that_is_gone_is_a_502_and_the_session_stays() {
    let peers = Peers::start(PeersConfig::default()).await;
    let vestibule = Vestibule::start(VestibuleConfig::for_peers(&peers)).await;
    let mut browser = Browser::new();
    vestibule.sign_in(&mut browser, &peers, peers.alice()).await;
    drop(peers);
    let answer = vestibule.query(&mut browser, GET_SESSION).await;
    assert_eq!((answer.status(), answer.json()["error"].as_str()), (502, Some("transport")));
    assert_eq!(vestibule.session(&mut browser).await.status(), 200);
    assert_eq!(browser.visit(&vestibule.url("/")).await.status(), 200);
    // Signing out works here, and the log says that the tokens were not given back.
    assert_eq!(browser.submit(&vestibule.url("/logout"), &[]).await.status(), 303);
    assert_eq!(vestibule.session(&mut browser).await.status(), 401);
    assert!(vestibule.logs().contains("not revoked"), "{}", vestibule.logs());
}
