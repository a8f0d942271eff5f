//! A disk that is full, and one that is read-only: nothing breaks, and it goes on when the disk can be written to again.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

use vestibule_tests::oauth::{At, Ground, Live};
use vestibule_tests::{Browser, Folder, Peers, Vestibule, VestibuleConfig};

/// A script that makes a small disk that nobody else sees, and goes on as the server.
const MOUNT: &str = r#"mount -t tmpfs -o size=48m tmpfs "$1" && shift && exec "$@""#;

/// What makes a mount namespace: as root, or as root of a user namespace. Where the system has neither, a full disk is left to the store's own
/// test, `a_file_that_may_not_grow_refuses_and_goes_on_when_it_may`.
fn namespace() -> Option<Vec<String>> {
    let ways = [&["unshare", "--mount"][..], &["unshare", "--user", "--map-root-user", "--mount"]];
    let works = |way: &&[&str]| {
        let folder = Folder::new();
        let mut tried = Command::new(way[0]);
        tried.args(&way[1..]).args(["sh", "-c", MOUNT, "sh"]).arg(folder.path()).arg("true");
        tried.output().is_ok_and(|output| output.status.success())
    };
    let way = ways.into_iter().find(works);
    if way.is_none() {
        eprintln!("this system makes no mount namespaces: nothing was tried on a real disk");
    }
    way.map(|way| way.iter().map(|&word| word.to_owned()).collect())
}

/// A server whose disk is the matter.
struct OnDisk {
    live: Live,
}

impl OnDisk {
    /// On a small disk of its own.
    async fn start(peers: &Peers) -> Option<Self> {
        let way = namespace()?;
        let folder = Arc::new(Folder::new());
        let disk = folder.file("disk");
        fs::create_dir(&disk).unwrap();
        let words = ["sh", "-c", MOUNT, "sh", disk.to_str().unwrap()];
        let config = VestibuleConfig {
            store: Some(format!("sqlite:{}", disk.join("vestibule.db").display())),
            under: way.into_iter().chain(words.map(str::to_owned)).collect(),
            folder,
            ..VestibuleConfig::for_peers(peers)
        };
        Some(Self { live: Live::start_with(peers, config).await })
    }

    /// A file on the disk, as its server sees it.
    fn file(&self, name: &str) -> PathBuf {
        let disk = self.live.vestibule.config().folder.file("disk");
        let root = PathBuf::from(format!("/proc/{}/root", self.live.vestibule.id()));
        root.join(disk.strip_prefix("/").unwrap()).join(name)
    }

    fn fill(&self) {
        // As much as there is room for, in ever smaller pieces.
        let mut file = fs::File::create(self.file("filler")).unwrap();
        for size in [1 << 20, 1 << 12, 1] {
            while std::io::Write::write_all(&mut file, &vec![1; size]).is_ok() {}
        }
    }

    async fn is_ready(&self) -> u16 {
        Browser::new().get(&self.live.vestibule.url("/readyz"), &[]).await.status()
    }

    /// What a request that writes is answered; a page that only reads is still there.
    async fn says(&self) -> (u16, bool, String) {
        let at: &dyn Ground = &self.live;
        let reply = at.send(at.by("opaque", At::Token).field("grant_type", "client_credentials")).await;
        let page = Browser::new().get(&self.live.vestibule.url("/"), &[]).await;
        assert_eq!(page.status(), 200, "{}", page.text());
        (reply.status, reply.headers.contains_key("retry-after"), reply.json["error"].to_string())
    }

    async fn is_refused(&self, because: &str) {
        let refused = (503, true, "\"temporarily_unavailable\"".to_owned());
        assert_eq!(self.says().await, refused, "{}", self.live.vestibule.logs());
        assert_eq!(self.is_ready().await, 503);
        let logs = self.live.vestibule.logs();
        let line = logs.lines().find(|line| line.contains(because));
        assert!(line.is_some_and(|line| line.contains("vestibule.db")), "one clear line: {logs}");
    }

    async fn goes_on(&self) {
        assert_eq!(self.says().await.0, 200, "{}", self.live.vestibule.logs());
        assert_eq!(self.is_ready().await, 200);
        let logs = self.live.vestibule.logs();
        assert!(!logs.contains("panicked") && !logs.contains("malformed"), "{logs}");
    }

    /// What no program that reads the file would forgive, asked of a copy with SQLite itself.
    fn is_whole(&self) {
        let copy = Folder::new();
        for name in ["vestibule.db", "vestibule.db-wal"] {
            fs::copy(self.file(name), copy.file(name)).unwrap();
        }
        let script = "import sqlite3, sys; print(sqlite3.connect(sys.argv[1]).execute('PRAGMA integrity_check').fetchone()[0])";
        let said =
            Command::new("python3").args(["-c", script]).arg(copy.file("vestibule.db")).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&said.stdout), "ok\n", "{said:?}");
    }
}

#[tokio::test]
async fn a_full_disk_refuses_and_goes_on_when_there_is_room() {
    let Some(server) = OnDisk::start(Peers::shared().await).await else { return };
    let at: &dyn Ground = &server.live;
    let code = at.code("web").await;
    let tokens = at.tokens("app").await;
    server.goes_on().await;
    server.fill();
    // What fits into what the log has already is still kept; before long not even an act that changes a single page does.
    let (mut asked, mut refused) = (0, 0);
    while refused < 20 {
        let some_is_kept = server.says().await.0 == 200 || server.is_ready().await == 200;
        refused = if some_is_kept { 0 } else { refused + 1 };
        asked += 1;
        assert!(asked < 10_000, "the disk is full");
    }
    server.is_refused("database or disk is full").await;
    assert_eq!(at.send(at.redeem("web", &code)).await.status, 503);
    assert_eq!(at.send(at.refresh("app", &tokens.refresh)).await.status, 503);
    fs::remove_file(server.file("filler")).unwrap();
    server.goes_on().await;
    assert_eq!(
        at.send(at.redeem("web", &code)).await.said(),
        "200",
        "a code that was refused is not used up"
    );
    assert_eq!(at.send(at.refresh("app", &tokens.refresh)).await.said(), "200", "nor is a refresh token");
    server.is_whole();
}

#[tokio::test]
async fn a_disk_that_is_read_only_is_said_to_be_and_loses_nothing() {
    let Some(way) = namespace() else { return };
    let mut live = Live::start(Peers::shared().await).await;
    let at: &dyn Ground = &live;
    let (code, tokens) = (at.code("web").await, at.tokens("app").await);
    // With a log that is not in its place yet, as a machine leaves it that went down.
    live.vestibule.kill().await;
    // A disk that is in use does not become read-only at anybody's wish, so the server meets one when it starts.
    let mount = r#"mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" && shift && exec "$@""#;
    let folder = live.vestibule.config().folder.path().to_str().unwrap().to_owned();
    let words = ["sh", "-c", mount, "sh", &folder].map(str::to_owned);
    let under = way.into_iter().chain(words).collect();
    let read_only = VestibuleConfig { under, ..live.vestibule.config().clone() };
    let url = live.vestibule.url("");
    let read_only = Vestibule::start(read_only.with_args(&["--public-url", &url])).await;
    let server = OnDisk { live: Live::at_rest(read_only) };
    server.is_refused("readonly").await;
    let refresh = (&server.live as &dyn Ground).refresh("app", &tokens.refresh);
    assert_eq!((&server.live as &dyn Ground).send(refresh).await.status, 503);
    drop(server);
    live.vestibule.restart().await;
    let at: &dyn Ground = &live;
    assert_eq!(at.send(at.redeem("web", &code)).await.said(), "200");
    assert_eq!(at.send(at.refresh("app", &tokens.refresh)).await.said(), "200");
}
