//! The least that a server can do: hyper, and a constant answer. Others are compared with it.
//!
//! `bare` prints where it listens, and ends with its standard input. `bare signature TIMES` verifies one ES256 signature so many times,
//! with AWS-LC and nothing around it, from the coordinates of the key as a proof brings them, and ends. `bare proof TIMES` reads a whole
//! proof: its signature, its key's thumbprint and its claims.

#![allow(clippy::print_stdout, reason = "it says where it listens")]

use std::convert::Infallible;
use std::io::Read;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair, UnparsedPublicKey,
};
use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use url::Url;
use vestibule_dpop::{AwsLcVerifier, Es256Secret, Expected, Proof, ProofKey, TargetUri};
use vestibule_oauth_core::UnixTime;

/// As long as the answer that it stands for.
const ANSWER: &str = r#"{"access_token":"vat_mfrggzdfmztwq2lknnwg23tpobyxe43uov3ho6dzpiydcmrq4kq7v5y","token_type":"Bearer","expires_in":3600,"scope":"read write"}"#;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[..] {
        ["signature", times] => return signature(times.parse().expect("a number")),
        ["proof", times] => return proof(times.parse().expect("a number")),
        _ => {}
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(serve());
}

async fn serve() {
    std::thread::spawn(|| {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(0);
    });
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
    println!("listening on http://{}", listener.local_addr().expect("an address"));
    loop {
        let (stream, _) = listener.accept().await.expect("a connection");
        stream.set_nodelay(true).expect("a socket option");
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(answer)));
    }
}

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    // The body is read, as it has to be.
    let _ = request.into_body().collect().await;
    let answer = Response::builder()
        .header("content-type", "application/json")
        .header("cache-control", "no-store")
        .body(Full::from(ANSWER));
    Ok(answer.expect("an answer"))
}

fn signature(times: u64) {
    let document =
        EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new()).expect("a key");
    let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, document.as_ref()).expect("a key");
    // As long as what a proof signs.
    let message = [b'm'; 420];
    let signature = key.sign(&SystemRandom::new(), &message).expect("a signature");
    for _ in 0..times {
        let point = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, key.public_key().as_ref());
        point.verify(&message, signature.as_ref()).expect("it is right");
    }
}

fn proof(times: u64) {
    let url: Url = "https://login.example.com/oauth2/token".parse().expect("a URL");
    let (target, now) = (TargetUri::from_url(&url).expect("a target"), UnixTime::from_secs(1_700_000_000));
    let key = ProofKey::from_secret(Es256Secret::from_entropy([7; 32]));
    let nonce = "5b1hJ8kQm3tYc0sWnVx2LrZpAqEeUoDf";
    let proof = Proof::new(&Method::POST, &url, [9; 16], now).with_nonce(nonce);
    let proof = key.prove(&proof).expect("a proof");
    for _ in 0..times {
        Expected::new(&Method::POST, &target).read(&proof, &AwsLcVerifier, now).expect("it is right");
    }
}
