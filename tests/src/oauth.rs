//! An authorization server under test, wherever it is: in this process over a store in memory, as the `vestibule` program on a socket,
//! or another server altogether. A table of requests is written once, and says what each of them answers.
//!
//! ```
//! use vestibule_tests::block_on;
//! use vestibule_tests::oauth::{Ground, Lab};
//!
//! let lab = Lab::new();
//! let ground: &dyn Ground = &lab;
//! block_on(async {
//!     let code = ground.code("app").await;
//!     let reply = ground.send(ground.redeem("app", &code)).await;
//!     assert_eq!(reply.said(), "200");
//!     // The same again: what OAuth 2.1 says of a replay.
//!     assert_eq!(ground.send(ground.redeem("app", &code)).await.said(), "400 invalid_grant");
//!     assert_eq!(ground.send(ground.refresh("app", reply.text("refresh_token"))).await.said(), "400 invalid_grant");
//! });
//! ```

mod ask;
pub mod attacks;
mod flaky;
mod ground;
mod keys;
mod lab;
mod live;
mod oidc;
pub mod races;
mod reply;
pub mod roster;

pub use ask::Ask;
pub use ground::{Arrived, At, Ground, Tokens, VERIFIER, all_of};
pub use keys::{Key, fresh, jwt, sign};
pub use lab::{ALICE, Lab};
pub use live::Live;
pub use oidc::OidcProvider;
pub use reply::Reply;
