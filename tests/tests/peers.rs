//! The peers themselves: what every end-to-end test takes for granted about them.

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use serde_json::json;

use vestibule_tests::{Browser, Decision, Peers, PeersConfig};

const REDIRECT_URI: &str = "http://127.0.0.1:8765/callback";
/// The challenge of RFC 7636, appendix B.
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

/// Pushes an authorization request of a loopback client, and gives the URL of the page the person is sent to.
async fn authorization_url(peers: &Peers, browser: &mut Browser) -> String {
    let scope = "atproto transition:generic";
    let mut client_id = url::form_urlencoded::Serializer::new("http://localhost?".to_owned());
    client_id.extend_pairs([("scope", scope), ("redirect_uri", REDIRECT_URI)]);
    let client_id = client_id.finish();
    let fields = [
        ("client_id", client_id.as_str()),
        ("response_type", "code"),
        ("redirect_uri", REDIRECT_URI),
        ("scope", scope),
        ("state", "the-state"),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
    ];
    let answer = browser.post_form(&format!("{}/oauth/par", peers.pds), &fields, &[]).await;
    assert_eq!(answer.status(), 201, "{}", answer.text());
    let request_uri = answer.json()["request_uri"].as_str().unwrap().to_owned();
    let mut url = url::Url::parse(&format!("{}/oauth/authorize", peers.pds)).unwrap();
    url.query_pairs_mut().append_pair("client_id", &client_id).append_pair("request_uri", &request_uri);
    url.into()
}

fn parameter(url: &str, name: &str) -> Option<String> {
    url::Url::parse(url).unwrap().query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into())
}

#[tokio::test]
async fn a_person_can_allow_narrow_and_deny() {
    let peers = Peers::start(PeersConfig::default()).await;
    let mut browser = Browser::new();
    for decision in [Decision::Allow, Decision::AllowScopes("atproto"), Decision::Deny] {
        let url = authorization_url(&peers, &mut browser).await;
        let callback = peers.consent(&url, peers.alice(), decision).await.unwrap();
        assert!(callback.starts_with(REDIRECT_URI), "{callback}");
        assert_eq!(parameter(&callback, "state").as_deref(), Some("the-state"));
        assert_eq!(parameter(&callback, "iss").as_deref(), Some(peers.pds.as_str()));
        match decision {
            Decision::Deny => assert_eq!(parameter(&callback, "error").as_deref(), Some("access_denied")),
            _ => assert!(parameter(&callback, "code").is_some(), "{callback}"),
        }
    }
    let error = peers.consent(&format!("{}/oauth/authorize", peers.pds), peers.bob(), Decision::Allow).await;
    assert!(error.unwrap_err().contains("HTTP 400"));
}

#[tokio::test]
async fn names_lead_to_port_443_and_one_handle_has_no_txt_record() {
    let config = PeersConfig { no_txt: vec!["bob.test".to_owned()], ..PeersConfig::on_port_443() };
    let host = config.tls_host.unwrap();
    let peers = Peers::start(config).await;
    assert_eq!(peers.tls.address, SocketAddr::from((host, 443)));

    let (a, txt) = (1, 16);
    for handle in ["alice.test", "bob.test"] {
        assert_eq!(ask(&peers, handle, a), Some(host.octets().to_vec()), "{handle}");
    }
    let mut expected = format!("did={}", peers.alice().did).into_bytes();
    expected.insert(0, u8::try_from(expected.len()).unwrap());
    assert_eq!(ask(&peers, "_atproto.alice.test", txt), Some(expected));
    assert_eq!(ask(&peers, "_atproto.bob.test", txt), None);

    // What the front answers for the handle's host; only the TLS around it is left out here.
    let mut browser = Browser::new().reaching("https://bob.test", ([127, 0, 0, 1], peers.pds_port).into());
    let answer = browser.get("https://bob.test/.well-known/atproto-did", &[]).await;
    assert_eq!((answer.status(), answer.text()), (200, peers.bob().did.clone()));
}

#[tokio::test]
async fn the_directory_knows_both_accounts() {
    let peers = Peers::start(PeersConfig::default()).await;
    let mut browser = Browser::new();
    for account in [peers.alice(), peers.bob()] {
        let document = browser.get(&format!("{}/{}", peers.plc, account.did), &[]).await.json();
        assert_eq!(document["alsoKnownAs"], json!([format!("at://{}", account.handle)]));
        assert_eq!(document["service"][0]["serviceEndpoint"], peers.pds.as_str());
    }
}

/// The data of the last record that the peers' name server gives; `None` when it says that there is none.
fn ask(peers: &Peers, name: &str, kind: u8) -> Option<Vec<u8>> {
    // One question, recursion desired (RFC 1035, section 4.1).
    let mut query = vec![0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        query.push(u8::try_from(label.len()).unwrap());
        query.extend(label.bytes());
    }
    query.extend([0, 0, kind, 0, 1]);
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    socket.send_to(&query, peers.dns).unwrap();
    let mut answer = [0; 512];
    let length = socket.recv(&mut answer).unwrap();
    let records = answer[7];
    // The answer: a name, type, class and time to live, two octets of length, the data.
    let data = answer[query.len()..length].windows(10).enumerate().find_map(|(at, fixed)| {
        let size = usize::from(fixed[9]);
        let whole = query.len() + at + 10 + size == length;
        (whole && fixed[..4] == [0, kind, 0, 1]).then(|| answer[length - size..length].to_vec())
    });
    if records == 0 { None } else { data }
}
