//! Names and TXT records.

use vestibule_atproto_identity::net::Network;
use vestibule_oauth_core::{HttpErrorKind, Trust, TxtError, TxtLookup, TxtRecord};

use crate::calls::{SHORT, config, failure, get, open};
use crate::dns::{CNAME, Dns, Reply, TXT, name, txt};

async fn asking(zone: impl Fn(&str, u16) -> Reply + Send + Sync + 'static) -> Network {
    Network::new(config().with_dns(Dns::start(zone).await.address)).unwrap()
}

fn record(strings: &[&str]) -> TxtRecord {
    TxtRecord::new(strings.iter().map(|string| string.as_bytes().to_vec()))
}

#[tokio::test]
async fn txt_records_keep_their_strings() {
    let network = asking(|name, kind| {
        assert_eq!((name, kind), ("_atproto.alice.example", TXT));
        Reply::Records(vec![
            txt(&["did=did:plc:", "ewvi7nxzyoun6zhxrhs64oiz"]),
            txt(&["other"]),
            txt(&["", "a"]),
        ])
    })
    .await;
    let mut records = network.txt("_atproto.Alice.example").await.unwrap();
    records.sort_by_key(TxtRecord::joined);
    let expected =
        [record(&["", "a"]), record(&["did=did:plc:", "ewvi7nxzyoun6zhxrhs64oiz"]), record(&["other"])];
    assert_eq!(records, expected);
}

#[tokio::test]
async fn txt_records_behind_an_alias_are_found() {
    let network = asking(|asked, _| match asked {
        "_atproto.alice.example" => Reply::Records(vec![(CNAME, name("handles.example"))]),
        "handles.example" => Reply::Records(vec![txt(&["did=did:web:alice.example"])]),
        _ => Reply::Code(3),
    })
    .await;
    let records = network.txt("_atproto.alice.example").await;
    assert_eq!(records, Ok(vec![record(&["did=did:web:alice.example"])]));
}

#[tokio::test]
async fn an_answer_too_long_for_udp_comes_over_tcp() {
    let network = asking(|_, _| Reply::OverTcp(vec![txt(&["did=did:web:alice.example"])])).await;
    let records = network.txt("_atproto.alice.example").await;
    assert_eq!(records, Ok(vec![record(&["did=did:web:alice.example"])]));
}

#[tokio::test]
async fn no_such_name_is_no_record() {
    for reply in [|| Reply::Code(3), || Reply::Records(Vec::new())] {
        let network = asking(move |_, _| reply()).await;
        assert_eq!(network.txt("_atproto.alice.example").await, Ok(Vec::new()));
    }
}

#[tokio::test]
async fn a_server_that_fails_is_an_error() {
    for code in [2, 5] {
        let network = asking(move |_, _| Reply::Code(code)).await;
        let answer = network.txt("_atproto.alice.example").await;
        assert!(matches!(answer, Err(TxtError::Failed(_))), "{code}: {answer:?}");
    }
}

#[tokio::test]
async fn r38_a_silent_name_server_is_a_timeout() {
    let network = asking(|_, _| Reply::Silence).await;
    let call = get("https://pds.example/", Trust::Configured).with_timeout(SHORT);
    let (records, call) = tokio::join!(network.txt("_atproto.alice.example"), failure(&network, call));
    assert_eq!(records, Err(TxtError::Timeout));
    assert_eq!(call, HttpErrorKind::ConnectTimeout);
}

#[tokio::test]
async fn a_host_without_an_address_is_unknown() {
    for reply in [|| Reply::Code(3), || Reply::Records(Vec::new())] {
        let network = asking(move |_, _| reply()).await;
        for trust in [Trust::Configured, Trust::UserSupplied] {
            assert_eq!(
                failure(&network, get("https://pds.example/", trust)).await,
                HttpErrorKind::UnknownHost
            );
        }
    }
    let network = asking(|_, _| Reply::Code(2)).await;
    let call = get("https://pds.example/", Trust::UserSupplied);
    assert_eq!(failure(&network, call).await, HttpErrorKind::Connect, "the server failed: nobody knows");
    let call = get("https://not..a.name/", Trust::UserSupplied);
    assert_eq!(failure(&open(), call).await, HttpErrorKind::UnknownHost);
}
