//! A kit to test a strategy of one's own, and an application that signs people in (feature `test-kit`).
//!
//! Nothing in it is global, reads a clock, draws randomness or opens a socket, and its futures never wait: [`run`] is all the runtime
//! that a test needs. It ends no test itself: what is wrong is a [`Broken`], with the rule in plain words, to be unwrapped.
//!
//! - [`conformance()`] holds a strategy to everything its application relies on, and plays every hostile case.
//! - [`FakeProvider`] is a provider of OAuth 2.0 or OpenID Connect in memory, strict or as strange as told to; [`FakeForm`] a person
//!   in front of a form; [`Counterpart`] what to write for another protocol.
//! - [`ScriptedHttp`] is a network that answers what a test says, and keeps the [`Call`]s to be looked at.
//! - [`MockStrategy`] signs in whom the test of an application says, behind the real engine.
//! - [`NOW`] and [`seed`] are the time and the randomness.
//!
//! A whole strategy, its sign-in and its test:
//!
//! ```
#![doc = include_str!("../examples/own_strategy.rs")]
//! ```

mod answer;
mod broken;
mod call;
mod callback_query;
mod conformance;
mod counterpart;
mod fake_form;
mod fake_provider;
mod fixed;
mod mock_strategy;
mod scripted_http;
#[cfg(test)]
mod tests;

pub use answer::{json_answer, text_answer};
pub use broken::Broken;
pub use call::Call;
pub use callback_query::CallbackQuery;
pub use conformance::{REDIRECT_URI, SITE, conformance};
pub use counterpart::Counterpart;
pub use fake_form::FakeForm;
pub use fake_provider::{Endpoint, FakeProvider, Quirk};
pub use fixed::{NOW, run, seed};
pub use mock_strategy::MockStrategy;
pub use scripted_http::ScriptedHttp;
