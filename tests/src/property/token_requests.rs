//! What becomes of codes and tokens, whatever clients do with them, in whatever order, however often and at once.

mod kept;
mod outcome;
mod race;

use std::sync::LazyLock;
use std::time::Duration;

use vestibule_dpop::Thumbprint;
use vestibule_token_endpoint::{EndReason, GrantId, OpaqueToken, Profile, TokenHash, TokenKind};

use super::material::{lines, text};
use super::token::is_told;
use crate::fixed::block_on;
use crate::oauth::{ALICE, Ask, At, Ground, Key, Lab, Reply, VERIFIER, roster};

/// A code gives tokens once, to its own client. Of the refresh tokens of a grant one at most is good, and whoever uses one that was
/// replaced gets that same one, within a minute and while it is not used, or ends the grant. What has ended stays so. Whoever may
/// not have what they ask for changes nothing, and neither does an answer that was not given because the store is away.
///
/// Each line is a step, a letter and what it is done with, each of them one character, and what is left out is the first of its kind:
///
/// | step | |
/// | --- | --- |
/// | `c` client key | a code for the client, bound to the key |
/// | `x` code client verifier redirect key scope | the client redeems the code |
/// | `f` token client key scope | the client refreshes the token |
/// | `v` kind token client | the client gives the token back |
/// | `i` kind token client | the client asks about the token |
/// | `s` | the last request once more, as it was sent |
/// | `p` turns | the steps `x`, `f`, `v` and `i` of the next four lines, or up to one that is none, at once; the turns say who goes on |
/// | `t` span | the time goes on, by a span of `1` (a second) to `9` and `0` (90 days), or goes back by half a minute, `-` |
/// | `d` acts | in the next step the store does so many acts, and then none |
/// | `e` | the person ends everything |
/// | `=` setup | only in the first line: codes may be sent twice (`d`), lost answers are told never (`z`) or long (`l`), OAuth 2.0 (`o`) |
/// | `/` address form | any form at all; `$CODE`, `$REFRESH`, `$ACCESS`, `$SECRET` and `$VERIFIER` stand for what there is |
///
/// Clients are `w o a b p s g 1`, codes and tokens are counted from `0`, keys are `-` for none and `0 1 2`.
pub fn token_requests(data: &[u8]) {
    let setup = data.strip_prefix(b"=").and_then(|rest| rest.first());
    let mut world = World::new(setup.map_or(SETUPS[0], |letter| SETUPS[With(&[*letter]).of(b"-dzlo")]));
    let mut steps = lines(data).take(MAX_STEPS);
    while let Some(step) = steps.next() {
        let Some((letter, rest)) = step.split_first() else { continue };
        let mut with = With(rest);
        match letter {
            b'=' => {}
            b'c' => world.authorize(with.client(), with.key()),
            b't' => world.wait(with.of(b"1234567890-")),
            b'd' => world.failing = Some(u32::try_from(with.of(b"01234567")).unwrap()),
            b'e' => world.end_all(),
            b's' => world.again(),
            b'/' => world.send_anything(rest),
            b'p' => {
                let turns: Vec<usize> = rest.iter().map(|octet| usize::from(*octet)).collect();
                let acts: Vec<Act> = steps.by_ref().take(4).map_while(|step| world.act(step)).collect();
                world.race(&acts, turns);
            }
            _ => {
                if let Some(act) = world.act(step) {
                    world.do_one(act);
                }
            }
        }
        world.agrees();
    }
}

/// A sequence that says something is shorter.
const MAX_STEPS: usize = 40;

/// How a server is set up; the spans are in seconds.
#[derive(Clone, Copy)]
struct Setup {
    /// How long a lost answer is told again.
    lost_answer: u64,
    /// How long a code that is sent twice ends nothing.
    double_submit: u64,
    code: u64,
    profile: Profile,
}

const PLAIN: Setup = Setup { lost_answer: 60, double_submit: 0, code: 60, profile: Profile::OAUTH21 };

const SETUPS: [Setup; 5] = [
    PLAIN,
    Setup { double_submit: 20, ..PLAIN },
    Setup { lost_answer: 0, ..PLAIN },
    Setup { lost_answer: 300, ..PLAIN },
    Setup { code: 600, profile: Profile::LEGACY20, ..PLAIN },
];

/// A client of the roster, and what its grants are like.
struct Who {
    letter: u8,
    id: &'static str,
    access: u64,
    idle: u64,
    absolute: u64,
    refreshes: bool,
    is_public: bool,
}

const fn who(letter: u8, id: &'static str) -> Who {
    Who { letter, id, access: 600, idle: 14 * DAY, absolute: 90 * DAY, refreshes: true, is_public: false }
}

const DAY: u64 = 24 * 3600;

const CLIENTS: [Who; 8] = [
    who(b'w', "web"),
    who(b'o', "other"),
    Who { is_public: true, ..who(b'a', "app") },
    Who { is_public: true, ..who(b'b', "bound") },
    who(b'p', "opaque"),
    Who { access: 5, idle: 1000, absolute: 3000, ..who(b's', "short") },
    who(b'g', "signed"),
    Who { refreshes: false, ..who(b'1', "once") },
];

/// The client whose access tokens are in the store, and the one that signs assertions.
const OPAQUE: usize = 4;
const SIGNED: usize = 6;

/// The spans that a step may wait, in seconds, and one back.
const SPANS: [i64; 11] = [1, 10, 30, 59, 60, 61, 600, 1000, 13 * DAY as i64, 90 * DAY as i64, -30];

/// What is left of a line.
struct With<'a>(&'a [u8]);

impl With<'_> {
    /// Which of these letters is next; any other octet stands for one of them, and none for the first.
    fn of(&mut self, letters: &[u8]) -> usize {
        let Some((octet, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        let known = letters.iter().position(|letter| letter == octet);
        known.unwrap_or_else(|| usize::from(*octet) % letters.len())
    }

    fn client(&mut self) -> usize {
        self.of(&CLIENTS.map(|client| client.letter))
    }

    fn key(&mut self) -> Option<u8> {
        self.of(b"-012").checked_sub(1).map(|key| u8::try_from(key).unwrap())
    }

    fn number(&mut self) -> usize {
        self.of(b"0123456789")
    }
}

/// What a client does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Act {
    Redeem { grant: usize, client: usize, verifier: usize, redirect: usize, key: Option<u8>, scope: usize },
    Refresh { token: Link, client: usize, key: Option<u8>, scope: usize },
    Revoke { token: Named, client: usize },
    Introspect { token: Named, client: usize },
}

/// A refresh token: the grant, and its place among those of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Link {
    grant: usize,
    at: usize,
}

/// A token that is given back or asked about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Named {
    Refresh(Link),
    Access(Link),
}

/// A grant as it must be.
#[derive(Debug)]
struct Promise {
    client: usize,
    code: String,
    id: GrantId,
    code_ends: u64,
    redeemed: Option<u64>,
    /// How often tokens were given for the code.
    successes: usize,
    ended: bool,
    /// The key that the code was asked for with.
    asked: Option<u8>,
    /// The key that the code was redeemed with.
    key: Option<u8>,
    ends: u64,
    refresh: Vec<Refresh>,
    access: Vec<Access>,
}

#[derive(Debug)]
struct Refresh {
    text: String,
    ends: u64,
    replaced: Option<u64>,
}

#[derive(Debug)]
struct Access {
    text: String,
    ends: u64,
    taken_back: bool,
}

/// What must come of an act.
struct Outcome {
    said: &'static str,
    effect: Effect,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Effect {
    /// Nothing, and nothing could have come of it at any time: it is by somebody else, or without what it takes.
    Never,
    Nothing,
    /// The grant ends.
    End(usize),
    /// The first tokens of a grant.
    Begin(usize),
    /// A new refresh token for this one.
    Rotate(Link),
    /// The token that has replaced this one, again.
    Repeat(Link),
    TakeBack(Link),
    Active(&'static str),
}

const INVALID_GRANT: &str = "400 invalid_grant";

/// A server, and what must be true of it.
struct World {
    lab: Lab,
    setup: Setup,
    grants: Vec<Promise>,
    /// In the next step the store does so many acts.
    failing: Option<u32>,
    /// The last act, as it was sent, and the status that came of it.
    last: Option<(Act, Ask, u16)>,
}

impl World {
    fn new(setup: Setup) -> Self {
        let lab = Lab::set_up(|of| {
            of.profile = setup.profile;
            of.lost_answer = Duration::from_secs(setup.lost_answer);
            of.double_submit = Duration::from_secs(setup.double_submit);
        });
        Self { lab, setup, grants: Vec::new(), failing: None, last: None }
    }

    fn now(&self) -> u64 {
        self.lab.now().as_secs()
    }

    /// The step that a line is, if there is anything that it can be done with.
    fn act(&self, line: &[u8]) -> Option<Act> {
        let (letter, rest) = line.split_first()?;
        let mut with = With(rest);
        let all = |of: fn(&Promise) -> usize| {
            let links = self.grants.iter().enumerate();
            links.flat_map(move |(grant, promise)| (0..of(promise)).map(move |at| Link { grant, at }))
        };
        let refresh = |number: usize| {
            let count = all(|promise| promise.refresh.len()).count();
            all(|promise| promise.refresh.len()).nth(number.checked_rem(count)?)
        };
        let access = |number: usize| {
            let count = all(|promise| promise.access.len()).count();
            all(|promise| promise.access.len()).nth(number.checked_rem(count)?)
        };
        let named = |with: &mut With<'_>| match with.of(b"ra") {
            0 => refresh(with.number()).map(Named::Refresh),
            _ => access(with.number()).map(Named::Access),
        };
        Some(match letter {
            b'x' => Act::Redeem {
                grant: with.number().checked_rem(self.grants.len())?,
                client: with.client(),
                verifier: with.of(b"+!-s"),
                redirect: with.of(b"+!-"),
                key: with.key(),
                scope: with.of(b"-rw?x"),
            },
            b'f' => Act::Refresh {
                token: refresh(with.number())?,
                client: with.client(),
                key: with.key(),
                scope: with.of(b"-rw?x"),
            },
            b'v' => Act::Revoke { token: named(&mut with)?, client: with.client() },
            b'i' => Act::Introspect { token: named(&mut with)?, client: with.client() },
            _ => return None,
        })
    }

    fn authorize(&mut self, client: usize, key: Option<u8>) {
        let ground: &dyn Ground = &self.lab;
        let bound = [("dpop_jkt", key.map_or("", |key| thumbprint(key).as_str()))];
        self.lab.fail_after(self.failing.unwrap_or(u32::MAX));
        let arrived = block_on(ground.ask_for(CLIENTS[client].id, &bound));
        self.lab.mend();
        let Some(code) = arrived.value("code") else {
            assert_eq!(arrived.said(), "page: 503 temporarily_unavailable");
            assert!(self.failing.take().is_some(), "the store was there");
            return;
        };
        self.failing = None;
        let hash = hash(TokenKind::Code, &code);
        let stored = block_on(self.lab.ports().store.code(hash)).unwrap().expect("the code is kept");
        self.grants.push(Promise {
            client,
            code,
            id: stored.code.grant.id,
            code_ends: self.now() + self.setup.code,
            redeemed: None,
            successes: 0,
            ended: false,
            asked: key,
            key: None,
            ends: self.now() + self.setup.code,
            refresh: Vec::new(),
            access: Vec::new(),
        });
    }

    fn wait(&mut self, span: usize) {
        let span = SPANS[span];
        let length = Duration::from_secs(span.unsigned_abs());
        if span < 0 {
            self.lab.earlier(length);
            // What was good once may be so again where the time comes twice.
            self.last = None;
        } else {
            self.lab.later(length);
        }
    }

    fn end_all(&mut self) {
        let (store, now) = (self.lab.ports().store, self.lab.now());
        let _those_it_ended = block_on(store.end_grants_of(ALICE, EndReason::ByPerson, now)).unwrap();
        let lived: Vec<bool> = self.grants.iter().map(|promise| promise.lives(now.as_secs())).collect();
        self.learn();
        let ended = self.grants.iter().map(|promise| promise.ended);
        assert!(ended.zip(lived).all(|(ended, lived)| ended || !lived), "the person has ended everything");
    }

    /// The request that an act is.
    fn ask(&self, act: Act) -> Ask {
        let ground: &dyn Ground = &self.lab;
        let scoped =
            |ask: Ask, scope: usize| match ["", "read", "read write profile", "read other", "other"][scope] {
                "" => ask,
                scope => ask.field("scope", scope),
            };
        let proven = |ask: Ask, key: Option<u8>| match key {
            None => ask,
            Some(key) => {
                let nonce = Lab::nonces(1).issue(self.lab.now());
                ask.header("dpop", &ground.proof(At::Token, proof_key(key), Some(&nonce)))
            }
        };
        match act {
            Act::Redeem { grant, client, verifier, redirect, key, scope } => {
                let promise = &self.grants[grant];
                let ask = ground.redeem(CLIENTS[client].id, &promise.code);
                let ask = match redirect {
                    0 => ask.with("redirect_uri", &roster::redirect_uri(CLIENTS[promise.client].id)),
                    1 => ask.with("redirect_uri", "https://elsewhere.test/cb"),
                    _ => ask.without("redirect_uri"),
                };
                let ask = match verifier {
                    0 => ask,
                    1 => ask.with("code_verifier", &VERIFIER.to_ascii_lowercase()),
                    2 => ask.without("code_verifier"),
                    _ => ask.with("code_verifier", &VERIFIER[..42]),
                };
                proven(scoped(ask, scope), key)
            }
            Act::Refresh { token, client, key, scope } => {
                let text = &self.grants[token.grant].refresh[token.at].text;
                proven(scoped(ground.refresh(CLIENTS[client].id, text), scope), key)
            }
            Act::Revoke { token, client } => {
                ground.by(CLIENTS[client].id, At::Revoke).field("token", self.text(token))
            }
            Act::Introspect { token, client } => {
                ground.by(CLIENTS[client].id, At::Introspect).field("token", self.text(token))
            }
        }
    }

    fn text(&self, token: Named) -> &str {
        match token {
            Named::Refresh(Link { grant, at }) => &self.grants[grant].refresh[at].text,
            Named::Access(Link { grant, at }) => &self.grants[grant].access[at].text,
        }
    }

    fn do_one(&mut self, act: Act) {
        let ask = self.ask(act);
        self.send(act, ask);
    }

    /// Sends a request, and holds the answer to what must come of it.
    fn send(&mut self, act: Act, ask: Ask) {
        let outcome = self.outcome(act);
        let reply = self.exchange(ask.clone(), self.failing);
        let is_away = reply.status == 503 && self.failing.is_some();
        self.failing = None;
        self.last = Some((act, ask, reply.status));
        if is_away {
            return;
        }
        assert_eq!(
            reply.said(),
            outcome.said,
            "{act:?} at {}: {}\n{:#?}",
            self.now(),
            reply.json,
            self.grants
        );
        match outcome.effect {
            Effect::Never | Effect::Nothing => {}
            Effect::End(grant) => self.grants[grant].ended = true,
            Effect::Begin(_) | Effect::Rotate(_) | Effect::Repeat(_) => self.give(act, &reply),
            Effect::TakeBack(Link { grant, at }) => {
                let now = self.now();
                let access = &mut self.grants[grant].access[at];
                // A signed one that has ended is not looked at any more.
                access.taken_back |= access.ends > now || access.text.starts_with("vat_");
            }
            Effect::Active(active) => assert_eq!(reply.json["active"].to_string(), active, "{act:?}"),
        }
    }

    /// Tokens that were given: each is told once, but for the one that is told again.
    fn give(&mut self, act: Act, reply: &Reply) {
        let now = self.now();
        let (grant, key, scope) = match act {
            Act::Redeem { grant, key, scope, .. } => (grant, key, scope),
            Act::Refresh { token, key, scope, .. } => (token.grant, key, scope),
            Act::Revoke { .. } | Act::Introspect { .. } => panic!("{act:?} gives no tokens"),
        };
        let promise = &mut self.grants[grant];
        let client = &CLIENTS[promise.client];
        if let Act::Redeem { .. } = act {
            promise.successes += 1;
            assert_eq!(promise.successes, 1, "a code gives tokens once");
            promise.redeemed = Some(now);
            promise.key = key;
            promise.ends = now + if client.refreshes { client.absolute } else { client.access };
        }
        assert_eq!(reply.text("token_type"), if key.is_some() { "DPoP" } else { "Bearer" });
        // "other" is no word of this server's, and passed over.
        assert_eq!(reply.text("scope"), if matches!(scope, 1 | 3) { "read" } else { "read write" });
        let ends = (now + client.access).min(promise.ends);
        assert_eq!(reply.json["expires_in"], ends - now);
        let access = reply.text("access_token").to_owned();
        assert!(promise.access.iter().all(|known| known.text != access), "an access token is given once");
        promise.access.push(Access { text: access, ends, taken_back: false });

        let given = reply.json["refresh_token"].as_str().map(str::to_owned);
        assert_eq!(given.is_some(), client.refreshes);
        let Some(given) = given else { return };
        let place = match act {
            Act::Refresh { token, .. } => token.at + 1,
            _ => 0,
        };
        if let Some(known) = promise.refresh.get(place) {
            assert_eq!(known.text, given, "one branch of a grant");
            return;
        }
        assert_eq!(promise.refresh.len(), place);
        assert!(promise.refresh.iter().all(|known| known.text != given), "a refresh token is given once");
        if let Some(last) = promise.refresh.last_mut() {
            last.replaced = Some(now);
        }
        promise.refresh.push(Refresh {
            text: given,
            ends: (now + client.idle).min(promise.ends),
            replaced: None,
        });
    }

    /// The last request, octet for octet. What is good once is so no more, but for a request that was not answered.
    fn again(&mut self) {
        let Some((act, ask, status)) = self.last.clone() else { return };
        let is_once = ask.value("client_assertion").is_some() || has_proof(&ask);
        if !is_once {
            return self.send(act, ask);
        }
        let reply = self.exchange(ask.clone(), self.failing);
        if status == 503 || (reply.status == 503 && self.failing.is_some()) {
            self.learn_from(&[(Some(act), reply.clone())]);
        } else {
            assert_ne!(reply.status, 200, "{act:?}: what is good once");
        }
        self.failing = None;
        self.last = Some((act, ask, if status == 503 { reply.status } else { status }));
    }

    /// Any form, to any address.
    fn send_anything(&mut self, line: &[u8]) {
        let Some(line) = text(line) else { return };
        let (address, form) = line.split_at_checked(1).unwrap_or(("t", ""));
        let at = match address {
            "p" => At::Par,
            "v" => At::Revoke,
            "i" => At::Introspect,
            "d" => At::Device,
            _ => At::Token,
        };
        let last = self.grants.last();
        let code = last.map_or("", |promise| promise.code.as_str());
        let refresh =
            last.and_then(|promise| promise.refresh.last()).map_or("", |refresh| refresh.text.as_str());
        let access = last.and_then(|promise| promise.access.last()).map_or("", |access| access.text.as_str());
        let secret = roster::secret("web");
        let named = [
            ("$CODE", code),
            ("$REFRESH", refresh),
            ("$ACCESS", access),
            ("$SECRET", &secret),
            ("$VERIFIER", VERIFIER),
        ];
        let form = named.iter().fold(form.to_owned(), |form, (name, value)| form.replacen(name, value, 1));
        let ask = Ask::post(self.lab.url(at)).body(form);
        let reply = self.exchange(ask, self.failing);
        self.failing = None;
        self.learn_from(&[(None, reply)]);
    }

    /// Sends a request while the store does so many acts.
    fn exchange(&self, ask: Ask, failing: Option<u32>) -> Reply {
        self.lab.fail_after(failing.unwrap_or(u32::MAX));
        let reply = block_on(self.lab.exchange(ask.clone()));
        self.lab.mend();
        self.is_told(&reply, &ask, failing);
        reply
    }

    /// An answer is told as it must be, and an error has nothing of the request; nor has what is told to the operator.
    fn is_told(&self, reply: &Reply, ask: &Ask, failing: Option<u32>) {
        is_told(reply);
        assert!(reply.status != 503 || failing.is_some(), "the store is there");
        let told = format!("{:?}", self.lab.events());
        let names = ["code", "refresh_token", "token", "code_verifier", "client_secret", "client_assertion"];
        for value in names.into_iter().filter_map(|name| ask.value(name)) {
            assert!(!told.contains(value), "{told}");
            assert!(reply.status == 200 || !format!("{reply:?}").contains(value), "{reply:?}");
        }
    }
}

impl Promise {
    const fn lives(&self, now: u64) -> bool {
        !self.ended && now < if self.redeemed.is_some() { self.ends } else { self.code_ends }
    }
}

static THUMBPRINTS: LazyLock<[Thumbprint; 3]> =
    LazyLock::new(|| [0, 1, 2].map(|key| proof_key(key).signer().public_key().thumbprint()));

fn thumbprint(key: u8) -> &'static Thumbprint {
    &THUMBPRINTS[usize::from(key)]
}

/// The keys of proofs.
const fn proof_key(key: u8) -> Key {
    Key(60 + key)
}

fn hash(kind: TokenKind, text: &str) -> TokenHash {
    OpaqueToken::parse(kind, text).expect("a text of this server").hash()
}

fn has_proof(ask: &Ask) -> bool {
    ask.clone().into_request().headers().contains_key("dpop")
}

impl Act {
    /// The grant it is about.
    const fn grant(self) -> usize {
        match self {
            Self::Redeem { grant, .. } => grant,
            Self::Refresh { token, .. } => token.grant,
            Self::Revoke { token, .. } | Self::Introspect { token, .. } => match token {
                Named::Refresh(link) | Named::Access(link) => link.grant,
            },
        }
    }
}
