//! What people try at a token endpoint: a table that any server can be held against.
//!
//! Each row is a function that does what its name says and writes down what came of it, beside what comes of it here. Rows that need
//! a clock, a broken store or another setting are tests of the pure crate alone; everything a wire can carry is here.

mod client;
mod code;
mod dpop;
mod other;
mod refresh;
mod transport;

use vestibule_oauth_core::BoxFuture;

use super::ground::{Arrived, Ground};
use super::reply::Reply;

/// What came of an attack, step by step.
#[derive(Clone, Default, Debug)]
pub struct Seen(Vec<Step>);

/// One step.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(clippy::exhaustive_structs, reason = "what was done, and what came of it here and there")]
pub struct Step {
    /// What was done.
    pub what: String,
    /// What comes of it here.
    pub wanted: String,
    /// What came of it.
    pub came: String,
}

impl Seen {
    /// An answer.
    pub fn reply(&mut self, what: &str, wanted: &str, reply: &Reply) {
        self.note(what, wanted, reply.said());
    }

    /// The end of an authorization request.
    pub fn arrived(&mut self, what: &str, wanted: &str, arrived: &Arrived) {
        self.note(what, wanted, arrived.said());
    }

    /// Anything else.
    pub fn note(&mut self, what: &str, wanted: &str, came: impl ToString) {
        self.0.push(Step { what: what.to_owned(), wanted: wanted.to_owned(), came: came.to_string() });
    }

    /// How often each answer was given: `1 x 200, 99 x 400 invalid_grant`.
    pub fn replies(&mut self, what: &str, wanted: &str, replies: &[Reply]) {
        let mut counts = std::collections::BTreeMap::new();
        for reply in replies {
            *counts.entry(reply.said()).or_insert(0) += 1;
        }
        let said: Vec<String> = counts.into_iter().map(|(said, count)| format!("{count} x {said}")).collect();
        self.note(what, wanted, said.join(", "));
    }

    /// All steps.
    pub fn steps(&self) -> &[Step] {
        &self.0
    }
}

/// A row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Attack {
    /// Its number and what is done, as in `a12_a_parameter_twice`.
    pub name: &'static str,
    run: for<'a> fn(&'a dyn Ground, &'a mut Seen) -> BoxFuture<'a, ()>,
}

impl Attack {
    /// Its number: `A12`.
    pub fn number(&self) -> String {
        self.name.split('_').next().unwrap_or_default().to_uppercase()
    }

    /// Tries it.
    pub async fn run(&self, at: &dyn Ground) -> Seen {
        let mut seen = Seen::default();
        (self.run)(at, &mut seen).await;
        seen
    }
}

/// Makes the rows of a part of the table.
macro_rules! attacks {
    ($(async fn $name:ident($at:ident, $seen:ident) $body:block)*) => {
        $(async fn $name($at: &dyn $crate::oauth::Ground, $seen: &mut super::Seen) $body)*
        pub(super) const ATTACKS: &[super::Attack] = &[$(super::Attack {
            name: stringify!($name),
            run: |at, seen| Box::pin($name(at, seen)),
        }),*];
    };
}
use attacks;

/// All rows.
pub fn all() -> Vec<Attack> {
    [transport::ATTACKS, client::ATTACKS, code::ATTACKS, refresh::ATTACKS, dpop::ATTACKS, other::ATTACKS]
        .concat()
}
