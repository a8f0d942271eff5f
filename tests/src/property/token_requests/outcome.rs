//! What must come of a request.

use vestibule_token_endpoint::Profile;

use super::{Act, CLIENTS, Effect, INVALID_GRANT, Named, Outcome, World};

const fn never(said: &'static str) -> Outcome {
    Outcome { said, effect: Effect::Never }
}

const fn nothing(said: &'static str) -> Outcome {
    Outcome { said, effect: Effect::Nothing }
}

const fn comes(said: &'static str, effect: Effect) -> Outcome {
    Outcome { said, effect }
}

impl World {
    /// What must come of an act now.
    pub(super) fn outcome(&self, act: Act) -> Outcome {
        let now = self.now();
        match act {
            Act::Redeem { grant, client, verifier, redirect, key, scope } => {
                let promise = &self.grants[grant];
                if promise.client != client || redirect == 1 {
                    return never(INVALID_GRANT);
                }
                if redirect == 2 && self.setup.profile == Profile::LEGACY20 {
                    return never("400 invalid_request");
                }
                if verifier != 0 || (promise.asked.is_some() && promise.asked != key) {
                    return never(INVALID_GRANT);
                }
                if CLIENTS[client].id == "bound" && key.is_none() {
                    return never("400 invalid_dpop_proof");
                }
                if matches!(scope, 2 | 4) {
                    return never("400 invalid_scope");
                }
                if let Some(at) = promise.redeemed {
                    match now.saturating_sub(at) < self.setup.double_submit {
                        true => nothing(INVALID_GRANT),
                        false => comes(INVALID_GRANT, Effect::End(grant)),
                    }
                } else if promise.ended || promise.code_ends <= now {
                    nothing(INVALID_GRANT)
                } else {
                    comes("200", Effect::Begin(grant))
                }
            }
            Act::Refresh { token, client, key, scope } => {
                let promise = &self.grants[token.grant];
                let refresh = &promise.refresh[token.at];
                if !CLIENTS[client].refreshes {
                    return never("400 unauthorized_client");
                }
                if promise.client != client {
                    return never(INVALID_GRANT);
                }
                if promise.ended {
                    return nothing(INVALID_GRANT);
                }
                if promise.key.is_some() && promise.key != key {
                    return never(INVALID_GRANT);
                }
                if matches!(scope, 2 | 4) {
                    return never("400 invalid_scope");
                }
                if promise.ends <= now {
                    return nothing(INVALID_GRANT);
                }
                match refresh.replaced {
                    Some(at) => {
                        let is_used = promise.refresh[token.at + 1].replaced.is_some();
                        if is_used || now.saturating_sub(at) >= self.setup.lost_answer {
                            comes(INVALID_GRANT, Effect::End(token.grant))
                        } else {
                            comes("200", Effect::Repeat(token))
                        }
                    }
                    None if refresh.ends <= now => nothing(INVALID_GRANT),
                    None => comes("200", Effect::Rotate(token)),
                }
            }
            Act::Revoke { token, client } => {
                let (Named::Refresh(link) | Named::Access(link)) = token;
                let promise = &self.grants[link.grant];
                if promise.client != client {
                    return never("200");
                }
                match token {
                    Named::Refresh(_) => comes("200", Effect::End(link.grant)),
                    Named::Access(_) => comes("200", Effect::TakeBack(link)),
                }
            }
            Act::Introspect { token, client } => {
                if CLIENTS[client].is_public {
                    return never("400 invalid_client");
                }
                let (Named::Refresh(link) | Named::Access(link)) = token;
                let promise = &self.grants[link.grant];
                let is_good = match token {
                    Named::Refresh(_) => {
                        let refresh = &promise.refresh[link.at];
                        refresh.replaced.is_none() && refresh.ends.min(promise.ends) > now
                    }
                    Named::Access(_) => {
                        let access = &promise.access[link.at];
                        !access.taken_back && access.ends > now
                    }
                };
                let active = promise.client == client && !promise.ended && is_good;
                comes("200", Effect::Active(if active { "true" } else { "false" }))
            }
        }
    }
}
