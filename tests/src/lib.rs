//! What the tests of Vestibule share: a scripted network for flows, and for end-to-end tests the real AT Protocol
//! servers, the `vestibule` program and a browser, all on loopback.
//!
//! A flow of the pure crates is run over a [`ScriptedNetwork`] with [`block_on`]: no runtime, no clock, no waiting.
//!
//! ```
//! use vestibule_oauth_core::{HttpCall, HttpClient, Trust};
//! use vestibule_tests::{ScriptedNetwork, block_on, text};
//!
//! let network = ScriptedNetwork::new();
//! network.answer("GET", "https://alice.test/.well-known/atproto-did", text(200, "did:plc:abc"));
//!
//! let request = http::Request::get("https://alice.test/.well-known/atproto-did").body(Default::default()).unwrap();
//! let response = block_on(network.send(HttpCall::new(request, "handle", Trust::UserSupplied))).unwrap();
//! assert_eq!(response.body(), "did:plc:abc");
//! assert_eq!(network.log(), ["GET https://alice.test/.well-known/atproto-did"]);
//! ```
//!
//! An end-to-end test is three lines of setting up, and then what the person does:
//!
//! ```no_run
//! use vestibule_tests::{Browser, Decision, Peers, PeersConfig, Vestibule, VestibuleConfig};
//!
//! # async fn example() {
//! let peers = Peers::start(PeersConfig::default()).await;
//! let vestibule = Vestibule::start(VestibuleConfig::for_peers(&peers)).await;
//! let mut browser = Browser::new();
//!
//! let page = vestibule.begin(&mut browser, "alice.test").await;
//! let callback = peers.consent(&page, peers.alice(), Decision::Allow).await.unwrap();
//! let answer = browser.arrive(&callback).await;
//! assert_eq!(answer.status(), 303);
//! # }
//! ```
//!
//! Nothing here skips: peers that are not installed, or a program that is not built, fail the test and say what to run.
//! Everything that is started ends with the value that started it.

mod browser;
mod cookies;
mod fake_github;
mod fixed;
mod fleet;
mod folder;
pub mod ledger;
mod login;
mod loopback;
pub mod oauth;
mod peers;
mod postgres;
mod program;
pub mod property;
mod round_robin;
mod scripted;
mod sign_in;
mod suite;
mod talk;
mod times;
mod vestibule;

pub use browser::{Answer, Browser};
pub use fake_github::FakeGitHub;
pub use fixed::{Entropy, NOW, block_on, entropy};
pub use fleet::Fleet;
pub use folder::Folder;
pub use login::clock_shows;
pub use loopback::{free_port, own_loopback};
pub use peers::{Account, Alive, Decision, Issued, Mode, Peers, PeersConfig, TlsFront, Tokens};
pub use postgres::Postgres;
pub use round_robin::RoundRobin;
pub use scripted::{Call, ScriptedNetwork, json, redirect, text};
pub use sign_in::{Person, SentBack, SignInPeer};
pub use suite::suite;
pub use talk::Talk;
pub use times::Times;
pub use vestibule::{Outcome, Vestibule, VestibuleConfig, run_vestibule};
