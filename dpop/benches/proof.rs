//! What a proof costs beside the bare signature inside it, for each backend that is compiled in.
//!
//! `cargo bench -p vestibule-dpop --features aws-lc-rs` prints criterion's figures, then ratios from loops that take
//! turns: those hold on a machine that is busy with other things, where absolute figures do not.

#![allow(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
#![allow(clippy::print_stdout, reason = "a benchmark prints")]
#![allow(clippy::unwrap_used, reason = "a benchmark stops at what it did not expect")]
#![allow(missing_docs, reason = "criterion's macros make public functions")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group};
use http::Method;
use url::Url;
use vestibule_dpop::{Es256Secret, Expected, KeyMaterial, Proof, ProofKey, Signer, TargetUri, Verifier};
use vestibule_oauth_core::{UnixTime, base64url};

const NOW: UnixTime = UnixTime::from_secs(1_700_000_000);
const NONCE: &str = "5b1hJ8kQm3tYc0sWnVx2LrZpAqEeUoDf";
const TOKEN: &str = "Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU";

/// The four things that are compared, for one backend: the bare signature is that of the same octets by the same
/// library, with nothing of ours in between; the bare verification begins at the coordinates, as it must.
struct Backend {
    name: &'static str,
    bare_sign: Box<dyn Fn()>,
    prove: Box<dyn Fn()>,
    bare_verify: Box<dyn Fn()>,
    read: Box<dyn Fn()>,
}

fn url() -> Url {
    "https://morel.us-east.host.bsky.network/xrpc/app.bsky.x.yz".parse().unwrap() // 58 octets
}

/// A proof for a request to a resource server: nonce and access token included.
fn proof(key: &ProofKey, url: &Url) -> String {
    let proof = Proof::new(&Method::POST, url, [9; 16], NOW).with_nonce(NONCE).with_access_token(TOKEN);
    key.prove(&proof).unwrap()
}

fn backend(
    name: &'static str,
    signer: Arc<dyn Signer>,
    verifier: &'static dyn Verifier,
    bare_sign: impl Fn(&[u8]) + 'static,
    bare_verify: impl Fn(&[u8; 65], &[u8], &[u8]) + 'static,
) -> Backend {
    let key = ProofKey::from_signer(signer);
    let url = url();
    let text = proof(&key, &url);
    let (input, signature) = text.rsplit_once('.').unwrap();
    let (input, signature) = (input.as_bytes().to_vec(), base64url::decode(signature).unwrap());
    let point: [u8; 65] = match key.public_key().material() {
        KeyMaterial::P256 { x, y, .. } => [&[4], x.as_slice(), y].concat().try_into().ok(),
        _ => None,
    }
    .unwrap();
    let (target, thumbprint) = (TargetUri::from_url(&url).unwrap(), key.thumbprint().clone());
    println!("{name}: a signing input of {} octets, a proof of {}", input.len(), text.len());
    let signed = input.clone();
    Backend {
        name,
        bare_sign: Box::new(move || bare_sign(black_box(&signed))),
        prove: Box::new(move || {
            black_box(proof(black_box(&key), black_box(&url)));
        }),
        bare_verify: Box::new(move || bare_verify(black_box(&point), &input, &signature)),
        read: Box::new(move || {
            let expected = Expected::new(&Method::POST, &target).with_access_token(TOKEN);
            let proof = expected.with_thumbprint(&thumbprint).read(black_box(&text), verifier, NOW).unwrap();
            black_box(proof.replay_key());
        }),
    }
}

fn pure() -> Backend {
    use p256::ecdsa::signature::{Signer as _, Verifier as _};
    use p256::ecdsa::{Signature, SigningKey, VerifyingKey};
    use vestibule_dpop::{P256Signer, P256Verifier};

    let secret = Es256Secret::from_entropy([7; 32]);
    let key = SigningKey::from_slice(secret.expose().expose()).unwrap();
    backend(
        "p256",
        Arc::new(P256Signer::from_secret(&secret)),
        &P256Verifier,
        move |input| {
            let signature: Signature = key.sign(input);
            black_box(signature.to_bytes());
        },
        |point, input, signature| {
            let key = VerifyingKey::from_sec1_bytes(point).unwrap();
            key.verify(input, &Signature::from_slice(signature).unwrap()).unwrap();
        },
    )
}

#[cfg(feature = "aws-lc-rs")]
fn aws() -> Backend {
    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::signature::{
        ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, UnparsedPublicKey,
    };
    use vestibule_dpop::{AwsLcSigner, AwsLcVerifier};

    let signer = AwsLcSigner::from_secret(&Es256Secret::from_entropy([7; 32])).unwrap();
    let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    backend(
        "aws-lc-rs",
        Arc::new(signer),
        &AwsLcVerifier,
        move |input| {
            black_box(key.sign(&SystemRandom::new(), input).unwrap());
        },
        |point, input, signature| {
            UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(input, signature).unwrap();
        },
    )
}

fn backends() -> Vec<Backend> {
    vec![
        pure(),
        #[cfg(feature = "aws-lc-rs")]
        aws(),
    ]
}

fn figures(criterion: &mut Criterion) {
    for backend in backends() {
        let mut group = criterion.benchmark_group(backend.name);
        group.sample_size(50).measurement_time(Duration::from_secs(3)).warm_up_time(Duration::from_secs(1));
        group.bench_function("bare signature", |bencher| bencher.iter(&backend.bare_sign));
        group.bench_function("proof made", |bencher| bencher.iter(&backend.prove));
        group.bench_function("bare verification", |bencher| bencher.iter(&backend.bare_verify));
        group.bench_function("proof read", |bencher| bencher.iter(&backend.read));
        group.finish();
    }
}

/// The median time of each of two things that take turns, in microseconds.
fn medians(first: &dyn Fn(), second: &dyn Fn()) -> (f64, f64) {
    // Few calls at a time: a turn longer than the scheduler's would be interrupted each time on a busy machine.
    const ROUNDS: usize = 3001;
    const CALLS: u32 = 4;
    let time = |f: &dyn Fn()| {
        let start = Instant::now();
        (0..CALLS).for_each(|_| f());
        start.elapsed().as_secs_f64() * 1e6 / f64::from(CALLS)
    };
    let mut times: Vec<(f64, f64)> = (0..ROUNDS).map(|_| (time(first), time(second))).collect();
    let mut median = |of: fn(&(f64, f64)) -> f64| {
        times.sort_by(|a, b| of(a).total_cmp(&of(b)));
        times.get(ROUNDS / 2).map_or(0.0, of)
    };
    (median(|times| times.0), median(|times| times.1))
}

fn ratios() {
    for backend in backends() {
        let name = backend.name;
        let (bare, proof) = medians(&*backend.bare_sign, &*backend.prove);
        println!("proof/bare {name}: {:.3} ({proof:.1} / {bare:.1} us)", proof / bare);
        let (bare, read) = medians(&*backend.bare_verify, &*backend.read);
        println!("verify/bare {name}: {:.3} ({read:.1} / {bare:.1} us)", read / bare);
    }
}

criterion_group!(benches, figures);

fn main() {
    benches();
    Criterion::default().configure_from_args().final_summary();
    ratios();
}
