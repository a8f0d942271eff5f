//! Several requests at once.

use super::{Act, Effect, INVALID_GRANT, Link, Named, OPAQUE, Outcome, SIGNED, World};
use crate::oauth::{Ask, Reply};

impl World {
    /// These acts at once. Which of them is first is not said, but what must never come of them is.
    pub(super) fn race(&mut self, acts: &[Act], turns: Vec<usize>) {
        let outcomes: Vec<Outcome> = acts.iter().map(|act| self.outcome(*act)).collect();
        let asks: Vec<Ask> = acts.iter().map(|act| self.ask(*act)).collect();
        let failing = self.failing.take();
        self.lab.fail_after(failing.unwrap_or(u32::MAX));
        let mut answered = self.lab.race(asks.clone(), turns);
        self.lab.mend();
        self.last = None;
        self.nothing_after_the_end(acts, &answered);
        answered.sort_by_key(|(number, _)| *number);
        let replies: Vec<Reply> = answered.into_iter().map(|(_, reply)| reply).collect();
        for (reply, ask) in replies.iter().zip(&asks) {
            self.is_told(reply, ask, failing);
        }
        for ((act, outcome), reply) in acts.iter().zip(&outcomes).zip(&replies) {
            let away = failing.is_some() && reply.status == 503;
            match outcome.effect {
                Effect::Never => {
                    assert!(
                        away || (reply.status == 200) == (outcome.said == "200"),
                        "{act:?}: {}",
                        reply.json
                    );
                }
                _ => assert!(
                    away || matches!(&*reply.said(), "200" | INVALID_GRANT),
                    "{act:?}: {}",
                    reply.json
                ),
            }
        }
        let happened: Vec<_> = acts.iter().map(|act| Some(*act)).zip(replies.iter().cloned()).collect();
        self.learn_from(&happened);

        if failing.is_some() {
            return;
        }
        // What is certain even so: all that would have succeeded alone redeem one code, or refresh one token.
        let count = |effect: Effect| outcomes.iter().filter(|outcome| outcome.effect == effect).count();
        let given = |effect: Effect| {
            let those = outcomes.iter().zip(&replies).filter(|(outcome, _)| outcome.effect == effect);
            those.filter(|(_, reply)| reply.status == 200).count()
        };
        for outcome in &outcomes {
            match outcome.effect {
                Effect::Begin(grant) => {
                    assert_eq!(given(outcome.effect), 1, "of those that redeem a code one does");
                    let are_replays = count(outcome.effect) > 1 && self.setup.double_submit == 0;
                    assert_eq!(self.grants[grant].ended, are_replays, "and the others are replays");
                }
                Effect::Rotate(link) => {
                    let is_alone = outcomes.iter().zip(acts).all(|(other, act)| {
                        other.effect == outcome.effect
                            || other.effect == Effect::Never
                            || act.grant() != link.grant
                    });
                    if is_alone && self.setup.lost_answer > 0 {
                        assert_eq!(
                            given(outcome.effect),
                            count(outcome.effect),
                            "a client that is twice at once"
                        );
                        assert!(!self.grants[link.grant].ended);
                    } else if is_alone {
                        assert_eq!(given(outcome.effect), 1, "no answer is told again");
                        assert_eq!(self.grants[link.grant].ended, count(outcome.effect) > 1);
                    }
                }
                Effect::End(grant) => assert!(self.grants[grant].ended),
                _ => {}
            }
        }
    }

    /// Once a client has heard that its grant has ended, nobody gets a token of it.
    fn nothing_after_the_end(&self, acts: &[Act], answered: &[(usize, Reply)]) {
        let known =
            |grant: usize, text: &str| self.grants[grant].refresh.iter().any(|refresh| refresh.text == text);
        let mut given: Vec<&str> = Vec::new();
        let mut ended: Vec<usize> = Vec::new();
        for (number, reply) in answered.iter().filter(|(_, reply)| reply.status == 200) {
            match acts[*number] {
                Act::Revoke { token: Named::Refresh(Link { grant, .. }), client }
                    if client == self.grants[grant].client =>
                {
                    ended.push(grant);
                }
                Act::Refresh { token: Link { grant, .. }, client, key, .. } => {
                    let text = reply.text("refresh_token");
                    // Only what needs no act of the store any more may come late: the token that was there, told again.
                    let is_once = client == SIGNED || key.is_some();
                    let may_be_told =
                        (known(grant, text) || given.contains(&text)) && is_once && client != OPAQUE;
                    assert!(may_be_told || !ended.contains(&grant), "a token of a grant that has ended");
                    given.push(text);
                }
                _ => {}
            }
        }
    }
}
