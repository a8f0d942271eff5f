//! Many at once, and a server that dies among them: what has to hold however the requests fall.
//!
//! Each function panics when something does not hold, and says what.

use std::collections::BTreeSet;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use vestibule_oauth_core::BoxFuture;

use super::ask::Ask;
use super::ground::{At, Ground, Tokens, all_of};
use super::keys::Key;
use super::live::Live;
use super::reply::Reply;
use super::roster::SIGNED_KEY;
use crate::loopback::own_loopback;

/// One winner among a hundred redemptions, fifty uses of an assertion and fifty of a proof; one branch after twenty refreshes.
///
/// # Panics
/// When it is not so.
pub async fn race(live: &Live) {
    let at: &dyn Ground = live;
    live.send_from(own_loopback());
    let code = at.code("web").await;
    one_wins(&at.send_at_once(vec![at.redeem("web", &code); 100]).await, "400 invalid_grant");

    live.send_from(own_loopback());
    one_wins(&at.send_at_once(vec![machine(at); 50]).await, "400 invalid_client");

    live.send_from(own_loopback());
    let ask = at.proven(at.by("machine", At::Token).field("grant_type", "client_credentials"), Key(1)).await;
    one_wins(&at.send_at_once(vec![ask; 50]).await, "400 invalid_dpop_proof");

    live.send_from(own_loopback());
    let tokens = at.tokens("app").await;
    let replies = at.send_at_once(vec![at.refresh("app", &tokens.refresh); 20]).await;
    let successors: BTreeSet<&str> = replies.iter().map(|reply| reply.text("refresh_token")).collect();
    assert_eq!(successors.len(), 1, "one branch");
    for kept in successors {
        assert_eq!(at.send(at.refresh("app", kept)).await.said(), "200", "whichever answer the client kept");
    }
    // The first one is used a third time, by who should have the second: now it is a replay, and ends both.
    assert_eq!(at.send(at.refresh("app", &tokens.refresh)).await.said(), "400 invalid_grant");
}

/// A request of the client `signed` whose assertion is good once.
fn machine(at: &dyn Ground) -> Ask {
    at.with_assertion(Ask::post(at.url(At::Token)), "signed", SIGNED_KEY)
        .field("grant_type", "client_credentials")
}

fn one_wins(replies: &[Reply], others: &str) {
    let won = replies.iter().filter(|reply| reply.said() == "200").count();
    assert_eq!(won, 1, "one winner of {}", replies.len());
    let other = replies.iter().map(Reply::said).find(|said| said != "200" && said != others);
    assert_eq!(other, None, "everybody else is refused");
}

/// A burst of redemptions, refreshes and assertions in which the server is killed once so many answers were given; after it was
/// started again over the same file, nobody has won twice, nothing that was answered is forgotten, and every client that refreshed
/// goes on from the answer it kept.
///
/// # Panics
/// When it is not so.
pub async fn crash(live: &mut Live, after: usize) {
    live.send_from(own_loopback());
    let mut burst = Burst::prepare(live).await;
    let rush = Rush { live, answers: AtomicUsize::new(0), after };
    burst.run(&rush).await;
    assert!(rush.answers.load(Ordering::SeqCst) >= after, "the burst was over before the server was killed");
    live.vestibule.kill().await;
    look_at_the_file(live);
    live.vestibule.restart().await;
    live.send_from(own_loopback());
    burst.verify(live).await;
}

/// Requests under way, and the end of the server among them.
struct Rush<'a> {
    live: &'a Live,
    answers: AtomicUsize,
    after: usize,
}

impl Rush<'_> {
    /// The answer, unless the server died first.
    async fn send(&self, ask: Ask) -> Option<Reply> {
        let reply = self.live.try_answer(ask).await.ok()?;
        assert!(reply.status < 500, "{} {}", reply.status, reply.json);
        if self.answers.fetch_add(1, Ordering::SeqCst) + 1 == self.after {
            self.live.vestibule.signal("KILL");
        }
        Some(reply)
    }
}

/// What its clients hold before the burst, and what they know after it.
struct Burst {
    /// Redeemed by their own client, once.
    honest: Vec<Once>,
    /// Redeemed by five at once.
    raced: Vec<Once>,
    assertions: Vec<Once>,
    sessions: Vec<Session>,
}

/// Something that is good for one success.
struct Once {
    ask: Ask,
    answers: Vec<Option<Reply>>,
}

/// A client that refreshes as fast as it can.
struct Session {
    key: Option<Key>,
    kept: String,
    past: Vec<String>,
}

const CODES: usize = 10;
const RACERS: usize = 5;

impl Burst {
    async fn prepare(live: &Live) -> Self {
        let at: &dyn Ground = live;
        let once = |ask| Once { ask, answers: Vec::new() };
        let mut burst =
            Self { honest: Vec::new(), raced: Vec::new(), assertions: Vec::new(), sessions: Vec::new() };
        for _ in 0..CODES {
            burst.honest.push(once(at.redeem("web", &at.code("web").await)));
            burst.raced.push(once(at.redeem("web", &at.code("web").await)));
            burst.assertions.push(once(machine(at)));
            let Tokens { refresh, .. } = at.tokens("app").await;
            burst.sessions.push(Session { key: None, kept: refresh, past: Vec::new() });
            let code = at.code("bound").await;
            let reply = at.send(at.proven(at.redeem("bound", &code), Key(7)).await).await;
            let kept = reply.text("refresh_token").to_owned();
            burst.sessions.push(Session { key: Some(Key(7)), kept, past: Vec::new() });
        }
        burst
    }

    async fn run(&mut self, rush: &Rush<'_>) {
        let nonce = (rush.live as &dyn Ground).nonce().await;
        let mut under_way: Vec<BoxFuture<'_, ()>> = Vec::new();
        let single = self.honest.iter_mut().map(|once| (once, 1));
        let several = self.raced.iter_mut().chain(&mut self.assertions).map(|once| (once, RACERS));
        for (once, racers) in single.chain(several) {
            under_way.push(Box::pin(async move {
                let asks: Vec<_> = (0..racers).map(|_| rush.send(once.ask.clone())).collect();
                once.answers = all_of(asks).await;
            }));
        }
        for session in &mut self.sessions {
            under_way.push(Box::pin(session.refresh_until_the_end(rush, &nonce)));
        }
        all_of(under_way).await;
    }

    async fn verify(&self, live: &Live) {
        let at: &dyn Ground = live;
        for once in &self.honest {
            let again = |reply: &Reply| at.refresh("web", reply.text("refresh_token"));
            match once.answers.iter().flatten().next() {
                Some(reply) => {
                    assert_eq!(at.send(again(reply)).await.said(), "200", "answered, and forgotten")
                }
                // The answer was lost, or the request: the code is spent, or it is not.
                None => assert!(
                    ["200", "400 invalid_grant"].contains(&at.send(once.ask.clone()).await.said().as_str())
                ),
            }
            assert_eq!(at.send(once.ask.clone()).await.said(), "400 invalid_grant", "a code twice");
        }
        live.send_from(own_loopback());
        for once in self.raced.iter().chain(&self.assertions) {
            let mut won = once.answers.iter().flatten().filter(|reply| reply.status == 200).count();
            won += usize::from(at.send(once.ask.clone()).await.status == 200);
            assert!(won <= 1, "{won} successes of {:?}", once.ask);
        }
        live.send_from(own_loopback());
        let nonce = at.nonce().await;
        for session in &self.sessions {
            let reply = at.send(session.ask(at, &session.kept, &nonce)).await;
            assert_eq!(reply.said(), "200", "after {} refreshes: {}", session.past.len(), reply.json);
            let next = at.send(session.ask(at, reply.text("refresh_token"), &nonce)).await;
            assert_eq!(next.said(), "200", "{}", next.json);
            // Whoever comes with an old one has it from a time that is gone: both branches end.
            let old = at.send(session.ask(at, &session.kept, &nonce)).await;
            assert_eq!(old.said(), "400 invalid_grant");
            let newest = at.send(session.ask(at, next.text("refresh_token"), &nonce)).await;
            assert_eq!(newest.said(), "400 invalid_grant", "two live branches");
        }
    }
}

impl Session {
    fn ask(&self, at: &dyn Ground, token: &str, nonce: &str) -> Ask {
        match self.key {
            None => at.refresh("app", token),
            Some(key) => at.refresh("bound", token).header("dpop", &at.proof(At::Token, key, Some(nonce))),
        }
    }

    async fn refresh_until_the_end(&mut self, rush: &Rush<'_>, nonce: &str) {
        while let Some(reply) = rush.send(self.ask(rush.live, &self.kept, nonce)).await {
            assert_eq!(reply.said(), "200", "{}", reply.json);
            self.past.push(std::mem::replace(&mut self.kept, reply.text("refresh_token").to_owned()));
        }
    }
}

/// What no program that reads the file would forgive, asked of a copy with SQLite itself.
fn look_at_the_file(live: &Live) {
    let copy = live.vestibule.config().copied();
    let script = "
import sqlite3, sys
one = sqlite3.connect(sys.argv[1]).execute
print(one('PRAGMA integrity_check').fetchone()[0])
# Two refresh tokens of a grant that are both good: two branches.
print(one('''SELECT count(*) FROM (SELECT 1 FROM refresh_tokens WHERE replaced_at IS NULL
             GROUP BY grant_id HAVING count(*) > 1)''').fetchone()[0])
# A code that is spent and gave nothing.
print(one('''SELECT count(*) FROM codes WHERE redeemed_at IS NOT NULL
             AND grant_id NOT IN (SELECT id FROM grants)''').fetchone()[0])
# A token that was replaced by one that is not there.
print(one('''SELECT count(*) FROM refresh_tokens WHERE successor IS NOT NULL
             AND successor NOT IN (SELECT hash FROM refresh_tokens)''').fetchone()[0])
";
    let output = Command::new("python3")
        .args(["-c", script])
        .arg(copy.folder.file("vestibule.db"))
        .output()
        .expect("python3 is installed");
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(said, "ok\n0\n0\n0\n", "{}", String::from_utf8_lossy(&output.stderr));
}
