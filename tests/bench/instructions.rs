//! How many instructions of user space a request costs, counted by callgrind: over HTTP, on one keep-alive connection, with the store
//! in memory and opaque access tokens, beside a constant answer of bare hyper and the bare verification of a signature. Ends with 1 when one
//! of the bounds is broken.
//!
//! `cargo build --release --bins --examples -p vestibule-server-hyper -p vestibule-tests`, then
//! `target/release/examples/instructions`, after `tests/run` has installed the peers. A folder as its argument is where the dumps are left, for callgrind_annotate. Needs valgrind, and no quiet machine: instructions are counted, not time.
//!
//! Valgrind has no SHA instructions, so each hash counts more here than it costs elsewhere, on both sides.

#![allow(clippy::print_stdout, reason = "it prints what it counted")]

#[path = "wire.rs"]
mod wire;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use bytes::Bytes;
use http::{Method, Request};
use url::Url;
use vestibule_dpop::{Es256Secret, Proof, ProofKey, sha256};
use vestibule_tests::oauth::{Ask, At, Ground, Key, Live, Reply, fresh};
use vestibule_tests::{Folder, Peers, PeersConfig, VestibuleConfig};
use wire::{Bare, Wire};

/// Before anything is counted: tables are built, buffers have grown.
const WARM: usize = 100;
const COUNTED: usize = 500;

#[tokio::main]
async fn main() -> ExitCode {
    let peers = Peers::start(PeersConfig::default()).await;
    let passing = Folder::new();
    let dumps = std::env::args_os().nth(1).map_or_else(|| passing.path().to_owned(), PathBuf::from);
    let callgrind = |name: &str| -> Vec<String> {
        let out = format!("--callgrind-out-file={}", dumps.join(name).display());
        ["valgrind", "--tool=callgrind", "--quiet", &out].map(str::to_owned).into()
    };

    let bare = Bare::start(&callgrind("bare")).await;
    let constant =
        |_: &Reply| Ask::post("http://bare/").field("grant_type", "client_credentials").into_request();
    let bare_cost = count(bare.address, bare.id(), &dumps.join("bare"), constant).await;
    let [signature, verification] = ["signature", "proof"].map(|what| {
        let cost = |times: u32| {
            let name = format!("{what}-{times}");
            alone(&callgrind(&name), &dumps.join(&name), what, times)
        };
        (cost(1100) - cost(100)) / 1000
    });

    let config = VestibuleConfig {
        store: Some("memory:".to_owned()),
        under: callgrind("vestibule"),
        ..VestibuleConfig::for_peers(&peers)
    };
    let live = Live::start_with(&peers, config).await;
    let at: &dyn Ground = &live;
    let (address, id, dump) = (live.vestibule.address(), live.vestibule.id(), dumps.join("vestibule"));

    let machine = at.by("opaque", At::Token).field("grant_type", "client_credentials");
    let credentials = count(address, id, &dump, |_| machine.clone().into_request()).await;

    let mut kept = at.tokens("opaque").await.refresh;
    let refresh = count(address, id, &dump, |reply| {
        if let Some(token) = reply.json["refresh_token"].as_str() {
            token.clone_into(&mut kept);
        }
        at.refresh("opaque", &kept).into_request()
    })
    .await;

    let mut nonce = at.nonce().await;
    let proven = count(address, id, &dump, |reply| {
        if let Some(newer) = reply.header("dpop-nonce") {
            newer.clone_into(&mut nonce);
        }
        machine.clone().header("dpop", &at.proof(At::Token, Key(1), Some(&nonce))).into_request()
    })
    .await;

    let url: Url = at.url(At::Token).parse().expect("the URL of the endpoint");
    let mut number = 0_u64;
    let of_new_keys = count(address, id, &dump, |reply| {
        if let Some(newer) = reply.header("dpop-nonce") {
            newer.clone_into(&mut nonce);
        }
        number += 1;
        let key = ProofKey::from_secret(Es256Secret::from_entropy(sha256(number.to_be_bytes())));
        let proof = Proof::new(&Method::POST, &url, fresh(), at.now()).with_nonce(&nonce);
        machine.clone().header("dpop", &key.prove(&proof).expect("a proof")).into_request()
    })
    .await;

    println!("user-space instructions per request");
    println!("  bare hyper, a constant answer   {bare_cost:>9}");
    println!("  a bare signature verified       {signature:>9}");
    println!("  a bare proof verified           {verification:>9}");
    let bounds = [
        ("client_credentials", credentials, 45_000),
        ("refresh_token", refresh, 60_000),
        ("client_credentials with DPoP", proven, signature + 60_000),
    ];
    for (what, cost, bound) in bounds {
        let ratio = cost as f64 / bare_cost as f64;
        println!("  {what:<30}  {cost:>9}   at most {bound:>9}   {ratio:.2} x bare");
    }
    println!("  the same, each of a new key     {of_new_keys:>9}");
    if bounds.iter().all(|(_, cost, bound)| cost <= bound) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// What one of these requests costs the process `id`, each made from the answer to the one before it.
async fn count(
    address: SocketAddr,
    id: u32,
    dump: &Path,
    mut next: impl FnMut(&Reply) -> Request<Bytes>,
) -> u64 {
    let mut wire = Wire::connect(address).await;
    let mut reply = Reply::from(http::Response::new(Bytes::new()));
    let mut send = async |times: usize| {
        for _ in 0..times {
            reply = wire.send(next(&reply)).await;
            assert_eq!(reply.status, 200, "{}", reply.json);
        }
    };
    send(WARM).await;
    dump_now(id);
    send(COUNTED).await;
    dump_now(id);
    newest_total(dump) / COUNTED as u64
}

/// Has callgrind write down what it has counted, and begin again from nothing.
fn dump_now(id: u32) {
    let done = Command::new("callgrind_control").args(["--dump", &id.to_string()]).output();
    let done = done.expect("valgrind is installed");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stdout));
}

/// The total of the last dump, which are named `FILE.1`, `FILE.2` and so on; a program that has ended leaves `FILE`.
fn newest_total(dump: &Path) -> u64 {
    let numbered = |number: u32| Path::new(&format!("{}.{number}", dump.display())).to_owned();
    let newest = (1..).map(numbered).take_while(|file| file.exists()).last();
    let text = std::fs::read_to_string(newest.as_deref().unwrap_or(dump)).expect("a dump");
    let total = |key: &str| text.lines().rev().find_map(|line| line.strip_prefix(key)?.trim().parse().ok());
    total("totals:").or_else(|| total("summary:")).expect("a total")
}

/// What the example `bare` costs that does this so many times.
fn alone(under: &[String], dump: &Path, what: &str, times: u32) -> u64 {
    let [outer, args @ ..] = under else { panic!("a program to run it under") };
    let status =
        Command::new(outer).args(args).arg(wire::beside("bare")).args([what, &times.to_string()]).status();
    assert!(status.expect("valgrind is installed").success());
    newest_total(dump)
}
