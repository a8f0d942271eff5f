//! What the token endpoint costs without a socket: `decide` alone for each grant, and a whole request over the store in memory.
//!
//! `cargo bench -p vestibule-tests --bench token_endpoint`.

#![allow(clippy::unwrap_used, reason = "a benchmark stops at what it did not expect")]
#![allow(missing_docs, reason = "criterion's macros make public functions")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use http::Request;
use vestibule_dpop::TargetUri;
use vestibule_tests::block_on;
use vestibule_tests::oauth::{Ask, At, Ground, Key, Lab, fresh};
use vestibule_token_endpoint::{
    Caller, ClientRequest, Deciding, Entropy, OpaqueToken, TokenKind, TokenRequest,
};

/// A request whose sender is known: what `decide` begins with.
struct Asked<'a> {
    lab: &'a Lab,
    form: ClientRequest<'a>,
    caller: Caller,
    entropy: Entropy,
}

impl<'a> Asked<'a> {
    fn by(lab: &'a Lab, id: &str, request: &'a Request<Bytes>) -> Self {
        let form = ClientRequest::parse(request).unwrap();
        let client: Option<Arc<_>> = block_on(lab.ports().clients.client(id)).unwrap();
        let target = TargetUri::from_url(&lab.endpoint().urls().token).unwrap();
        let caller = form.authenticate(client.as_ref(), lab.endpoint(), &target, lab.now()).unwrap();
        Self { lab, form, caller, entropy: Entropy::new(fresh()) }
    }

    fn cx(&self) -> Deciding<'_> {
        Deciding::new(self.lab.endpoint(), &self.caller, &self.form, &self.entropy, self.lab.now())
    }

    fn read(&self) -> TokenRequest {
        TokenRequest::read(&self.form, self.lab.endpoint()).unwrap()
    }
}

fn name(kind: TokenKind, token: &str) -> vestibule_token_endpoint::TokenHash {
    OpaqueToken::parse(kind, token).unwrap().hash()
}

/// The decision alone: the client is known, and what the store has is at hand. Opaque tokens, so that nothing is signed.
fn decide(c: &mut Criterion) {
    let lab = Lab::new();
    let at: &dyn Ground = &lab;
    let mut group = c.benchmark_group("decide");

    let code = block_on(at.code("opaque"));
    let request = at.redeem("opaque", &code).into_request();
    let asked = Asked::by(&lab, "opaque", &request);
    let stored = block_on(lab.ports().store.code(name(TokenKind::Code, &code))).unwrap();
    group.bench_function("authorization_code", |b| {
        b.iter_batched(
            || (asked.read(), stored.clone()),
            |(read, stored)| match read {
                TokenRequest::Code(code) => black_box(code.decide(&asked.cx(), stored).unwrap()),
                _ => panic!("another grant"),
            },
            BatchSize::SmallInput,
        );
    });

    let tokens = block_on(at.tokens("opaque"));
    let request = at.refresh("opaque", &tokens.refresh).into_request();
    let asked = Asked::by(&lab, "opaque", &request);
    let stored =
        block_on(lab.ports().store.refresh_token(name(TokenKind::Refresh, &tokens.refresh))).unwrap();
    group.bench_function("refresh_token", |b| {
        b.iter_batched(
            || (asked.read(), stored.clone()),
            |(read, stored)| match read {
                TokenRequest::Refresh(token) => black_box(token.decide(&asked.cx(), stored).unwrap()),
                _ => panic!("another grant"),
            },
            BatchSize::SmallInput,
        );
    });

    let request = at.by("opaque", At::Token).field("grant_type", "client_credentials").into_request();
    let asked = Asked::by(&lab, "opaque", &request);
    group.bench_function("client_credentials", |b| {
        b.iter(|| match asked.read() {
            TokenRequest::ClientCredentials(machine) => black_box(machine.decide(&asked.cx()).unwrap()),
            _ => panic!("another grant"),
        });
    });

    let begun = block_on(at.send(at.by("tv", At::Device)));
    block_on(lab.decide_device(begun.text("user_code"), true)).unwrap();
    let code = begun.text("device_code");
    let device = ("grant_type", "urn:ietf:params:oauth:grant-type:device_code");
    let request = at.by("tv", At::Token).fields(&[device, ("device_code", code)]).into_request();
    let asked = Asked::by(&lab, "tv", &request);
    let stored = block_on(lab.ports().store.device(name(TokenKind::Device, code))).unwrap();
    group.bench_function("device_code, a signed token", |b| {
        b.iter_batched(
            || (asked.read(), stored.clone()),
            |(read, stored)| match read {
                TokenRequest::Device(device) => black_box(device.decide(&asked.cx(), stored).unwrap()),
                _ => panic!("another grant"),
            },
            BatchSize::SmallInput,
        );
    });
    group.finish();
}

/// From the octets of a request to those of its answer, with the acts of the store between them.
fn request(c: &mut Criterion) {
    let lab = Lab::new();
    let at: &dyn Ground = &lab;
    let mut group = c.benchmark_group("request");
    // A store in memory keeps a million tokens, and two seconds of these are most of them.
    group.warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1));
    let answer = |request: &Request<Bytes>| {
        let answer = block_on(lab.endpoint().token(request, &Entropy::new(fresh()), lab.now(), lab.ports()));
        assert_eq!(answer.response.status(), 200);
        answer.response
    };
    let machine = |id: &str| at.by(id, At::Token).field("grant_type", "client_credentials");

    for (what, id) in [("client_credentials, opaque", "opaque"), ("client_credentials, signed", "machine")] {
        let request = machine(id).into_request();
        group.bench_function(what, |b| b.iter(|| answer(&request)));
    }

    let nonce = block_on(at.nonce());
    let proven =
        || machine("opaque").header("dpop", &at.proof(At::Token, Key(1), Some(&nonce))).into_request();
    group.bench_function("client_credentials, opaque, with DPoP", |b| {
        b.iter_batched(proven, |request| answer(&request), BatchSize::SmallInput);
    });

    group.bench_function("authorization_code, opaque", |b| {
        let redeem = || -> Ask { at.redeem("opaque", &block_on(at.code("opaque"))) };
        b.iter_batched(|| redeem().into_request(), |request| answer(&request), BatchSize::SmallInput);
    });

    group.bench_function("refresh_token, opaque", |b| {
        let refresh = || -> Ask { at.refresh("opaque", &block_on(at.tokens("opaque")).refresh) };
        b.iter_batched(|| refresh().into_request(), |request| answer(&request), BatchSize::SmallInput);
    });
    group.finish();
}

criterion_group!(benches, decide, request);
criterion_main!(benches);
