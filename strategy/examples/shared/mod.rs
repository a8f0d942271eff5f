//! What both examples stand on: one provider of OpenID Connect, from the environment, and the system's clock and randomness.
//!
//!     ISSUER=https://accounts.google.com CLIENT_ID=… CLIENT_SECRET=… cargo run -p vestibule-strategy --features hyper --example hyper
//!
//! Register `http://127.0.0.1:3000/auth/sso/callback` there.

#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    reason = "an application has a clock and an environment, and ends where the system has no randomness"
)]

use std::env;
use std::sync::Arc;
use std::time::SystemTime;

use vestibule_atproto_identity::net::{Network, NetworkConfig, PrivateNetwork};
use vestibule_dpop::AwsLcVerifier;
use vestibule_oauth_core::seal::SealKeys;
use vestibule_oauth_core::{Issuer, Secret, Seed, Transport, UnixTime};
use vestibule_strategy::mount::{Ambient, Mount};
use vestibule_strategy::{Engine, FlowKeeping, OpenId, OpenIdSetup, Provider};

/// Where the examples listen.
pub(crate) const ADDRESS: &str = "127.0.0.1:3000";

struct System;

impl Ambient for System {
    fn now(&self) -> UnixTime {
        SystemTime::now().into()
    }

    fn seed(&self) -> Seed {
        Seed::from_entropy(octets())
    }
}

fn octets() -> [u8; 32] {
    let mut octets = [0; 32];
    getrandom::fill(&mut octets).expect("the system gives random octets");
    octets
}

/// An engine with the provider `sso`, mounted.
pub(crate) fn mount() -> Result<Mount, Box<dyn std::error::Error>> {
    let variable = |name: &str| env::var(name).map_err(|_| format!("set {name}"));
    // An issuer on this machine is for trying things out.
    let issuer = Issuer::parse_with(&variable("ISSUER")?, Transport::LoopbackHttpToo)?;
    let private = if issuer.is_development() { PrivateNetwork::Allowed } else { PrivateNetwork::Refused };
    let network = Network::new(NetworkConfig::default().with_private_network(private))?;
    let secret = Secret::new(variable("CLIENT_SECRET")?);
    let setup = OpenIdSetup::new(issuer, variable("CLIENT_ID")?, secret, Arc::new(AwsLcVerifier));
    // A secret of the application, in earnest: logins that are under way end with it.
    let keys = SealKeys::new(octets(), []);
    let engine = Engine::builder(format!("http://{ADDRESS}").parse()?, &keys, FlowKeeping::Cookie)
        .provider(Provider::new("sso".parse()?, Arc::new(OpenId::new(setup))))
        .build()?;
    Ok(Mount::new(Arc::new(engine), Arc::new(network), Arc::new(System)))
}
