//! The program's other commands, and what it says about settings that it cannot use.

use std::fs;
use std::sync::Arc;

use serde_json::Value;

use vestibule_tests::{
    Browser, Folder, Outcome, Peers, PeersConfig, Vestibule, VestibuleConfig, free_port, run_vestibule,
};

/// Runs `resolve` with these peers for a network.
async fn resolve(peers: &Peers, subject: &str, more: &[&str]) -> Outcome {
    let (dns, ca) = (peers.dns.to_string(), peers.tls.ca.display().to_string());
    let mut args = vec![
        "resolve",
        subject,
        "--dns",
        &dns,
        "--plc-url",
        &peers.plc,
        "--ca-file",
        &ca,
        "--allow-private-network",
    ];
    args.extend(more);
    run_vestibule(Folder::new().path(), &args).await
}

fn step_names(report: &Value) -> Vec<&str> {
    report["steps"].as_array().unwrap().iter().map(|step| step["step"].as_str().unwrap()).collect()
}

const ALL_STEPS: [&str; 4] = ["TXT", "DID document", "PDS", "authorization server"];

#[tokio::test]
async fn resolve_shows_each_step_with_its_time_and_what_was_found() {
    let peers = Peers::shared().await;
    let outcome = resolve(peers, "alice.test", &[]).await;
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    assert_eq!(outcome.stderr, "");
    let lines: Vec<_> = outcome.stdout.lines().collect();
    for (line, step) in lines.iter().zip(ALL_STEPS) {
        assert!(line.starts_with(step) && line.contains(" ms  "), "{}", outcome.stdout);
    }
    for found in [
        "_atproto.alice.test".to_owned(),
        format!("did     {}", peers.alice().did),
        "handle  alice.test".to_owned(),
        format!("pds     {}", peers.pds),
        format!("issuer  {}", peers.pds),
    ] {
        assert!(outcome.stdout.contains(&found), "no {found:?} in {}", outcome.stdout);
    }
}

#[tokio::test]
async fn resolve_speaks_json() {
    let peers = Peers::shared().await;
    let outcome = resolve(peers, "@Alice.test", &["--json"]).await;
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    let report: Value = serde_json::from_str(&outcome.stdout).unwrap();
    assert_eq!(step_names(&report), ALL_STEPS);
    for step in report["steps"].as_array().unwrap() {
        assert!(
            step["milliseconds"].is_u64() && step["target"].is_string() && step["outcome"].is_string(),
            "{step}"
        );
    }
    assert_eq!(report["result"]["did"], peers.alice().did.as_str());
    assert_eq!(report["result"]["handle"], "alice.test");
    assert_eq!(report["result"]["pds"], peers.pds.as_str());
    assert_eq!(report["result"]["issuer"], peers.pds.as_str());

    // A DID and a server are resolved too. Its handle is looked up to see whether it leads back.
    let outcome = resolve(peers, &peers.bob().did, &["--json"]).await;
    let report: Value = serde_json::from_str(&outcome.stdout).unwrap();
    assert_eq!((outcome.code, &report["result"]["handle"]), (Some(0), &Value::from("bob.test")), "{report}");
    let outcome = resolve(peers, &peers.pds, &["--json"]).await;
    let report: Value = serde_json::from_str(&outcome.stdout).unwrap();
    assert_eq!(
        (outcome.code, &report["result"]["issuer"]),
        (Some(0), &Value::from(peers.pds.as_str())),
        "{report}"
    );
    assert_eq!(report["result"]["did"], Value::Null);
}

#[tokio::test]
async fn resolve_says_at_which_step_it_stopped_and_why() {
    let peers = Peers::shared().await;
    for (subject, step, why) in [
        ("nobody.test", "handle", "nobody.test"),
        ("alice", "input", "dot"),
        ("alice@example.com", "input", "e-mail"),
        ("did:plc:aaaaaaaaaaaaaaaaaaaaaaaa", "DID document", "not known"),
        ("http://localhost:1", "PDS", "localhost:1"),
    ] {
        let words = resolve(peers, subject, &[]).await;
        assert_eq!(words.code, Some(1), "{subject}: {words:?}");
        let last = words.stdout.lines().last().unwrap();
        assert!(last.starts_with(&format!("failed at {step}: ")), "{subject}: {}", words.stdout);
        assert!(last.contains(why), "{subject}: {last}");

        let json = resolve(peers, subject, &["--json"]).await;
        assert_eq!(json.code, Some(1), "{subject}: {json:?}");
        let report: Value = serde_json::from_str(&json.stdout).unwrap();
        assert_eq!(report["error"]["step"], step, "{report}");
        assert!(report["error"]["reason"].as_str().unwrap().contains(why), "{report}");
        assert_eq!(report["subject"], subject);
        for outcome in [words, json] {
            assert!(!outcome.stderr.contains("panicked"), "{outcome:?}");
        }
    }
}

#[tokio::test]
async fn resolve_shows_the_https_step_where_there_is_no_txt_record() {
    let config = PeersConfig { no_txt: vec!["bob.test".to_owned()], ..PeersConfig::on_port_443() };
    let peers = Peers::start(config).await;
    let outcome = resolve(&peers, "bob.test", &["--json"]).await;
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    let report: Value = serde_json::from_str(&outcome.stdout).unwrap();
    assert!(step_names(&report).contains(&"well-known"), "{report}");
    assert!(outcome.stdout.contains("https://bob.test/.well-known/atproto-did"), "{report}");
    assert_eq!(report["result"]["did"], peers.bob().did.as_str());
}

#[tokio::test]
async fn without_the_flag_nothing_private_is_reached() {
    let peers = Peers::shared().await;
    let (dns, ca) = (peers.dns.to_string(), peers.tls.ca.display().to_string());
    let args = ["resolve", &peers.alice().did, "--dns", &dns, "--ca-file", &ca, "--plc-url", &peers.plc];
    let outcome = run_vestibule(Folder::new().path(), &args).await;
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    assert!(outcome.stdout.contains("failed at "), "{outcome:?}");
}

#[tokio::test]
async fn check_approves_of_settings_that_work() {
    let folder = Folder::new();
    let outcome = run_vestibule(folder.path(), &["check"]).await;
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    assert!(outcome.stdout.lines().all(|line| line.starts_with("ok ")), "{}", outcome.stdout);
    assert!(outcome.stdout.contains("http://127.0.0.1:8080"), "{}", outcome.stdout);
}

#[tokio::test]
async fn check_names_the_redirect_uri_of_each_provider_and_what_is_wrong_with_one() {
    let folder = Folder::new();
    let key = folder.file("apple.p8");
    let made = std::process::Command::new("openssl")
        .args(["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out"])
        .arg(&key)
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    fs::write(folder.file("microsoft.secret"), "s3cret-of-microsoft\n").unwrap();
    let write = |apple: &str| {
        let tables = format!(
            "[[provider]]\nkind = \"apple\"\nclient_id = \"com.example.app\"\nteam_id = \"TEAM123456\"\nkey_id = \"KEY1234567\"\n\
             key_file = \"{apple}\"\n[[provider]]\nkind = \"microsoft\"\nclient_id = \"a\"\nsecret_file = \"microsoft.secret\"\n\
             tenant = \"common\"\ntenants = [\"72f988bf-86f1-41af-91ab-2d7cd011db47\"]\n"
        );
        fs::write(folder.file("vestibule.toml"), tables).unwrap();
    };
    write("apple.p8");
    let outcome = run_vestibule(folder.path(), &["check"]).await;
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    for provider in ["apple", "microsoft"] {
        let line = format!(
            "people may sign in with {provider}; its redirect URI is http://127.0.0.1:8080/auth/{provider}/callback"
        );
        assert!(outcome.stdout.contains(&line), "{}", outcome.stdout);
    }
    for (file, said) in [("microsoft.secret", "it is no PEM file of a key"), ("nowhere.p8", "nowhere.p8")] {
        write(file);
        let outcome = run_vestibule(folder.path(), &["check"]).await;
        assert_eq!(outcome.code, Some(1), "{outcome:?}");
        let all = format!("{}{}", outcome.stdout, outcome.stderr);
        assert!(all.contains("provider \"apple\"") && all.contains(said), "{all}");
        assert!(!all.contains("s3cret"), "{all}");
    }
}

#[tokio::test]
async fn check_compares_what_the_world_sees_with_what_this_server_makes() {
    let upstream = std::net::SocketAddr::from(([127, 0, 0, 1], free_port()));
    let peers =
        Peers::start(PeersConfig { app_upstream: Some(upstream), ..PeersConfig::on_port_443() }).await;
    let mut config =
        VestibuleConfig::for_peers(&peers).with_args(&["--public-url", "https://app.peer.internal"]);
    config.listen = upstream.to_string();
    let mut vestibule = Vestibule::start(config.clone()).await;
    let mut args = vec!["check"];
    args.extend(config.args.iter().map(String::as_str));
    let outcome = run_vestibule(config.folder.path(), &args).await;
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    assert!(
        outcome.stdout.contains("https://app.peer.internal/jwks.json holds this server's keys"),
        "{}",
        outcome.stdout
    );

    // New keys are taken up by the running server; and no server at all.
    assert_eq!(run_vestibule(config.folder.path(), &["key", "rotate"]).await.code, Some(0));
    vestibule.says("the keys in the store have changed").await;
    let outcome = run_vestibule(config.folder.path(), &args).await;
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    vestibule.terminate().await;
    let outcome = run_vestibule(config.folder.path(), &args).await;
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    assert!(outcome.stdout.lines().any(|line| line.starts_with("error ")), "{}", outcome.stdout);
}

#[tokio::test]
async fn keys_are_listed_by_name_and_never_shown() {
    let mut vestibule = Vestibule::start(VestibuleConfig::default()).await;
    assert_eq!(vestibule.terminate().await, 0);
    let folder = Arc::clone(&vestibule.config().folder);
    let listed = run_vestibule(folder.path(), &["key", "list"]).await;
    assert_eq!(listed.code, Some(0), "{listed:?}");
    assert!(listed.stdout.lines().all(|line| line.contains("in use")), "{}", listed.stdout);
    let rotated = run_vestibule(folder.path(), &["key", "rotate"]).await;
    assert_eq!(rotated.code, Some(0), "{rotated:?}");
    assert!(rotated.stdout.contains("publishes the new signing key"), "{}", rotated.stdout);
    let listed_again = run_vestibule(folder.path(), &["key", "list"]).await.stdout;
    let count = |word: &str| listed_again.lines().filter(|line| line.contains(word)).count();
    // One of each purpose, and the one before it.
    for purpose in ["seal", "sign", "token", "nonce", "pepper"] {
        let all = listed_again.lines().filter(|line| line.starts_with(purpose)).count();
        assert_eq!(all, 2, "{purpose} in {listed_again}");
    }
    // What is new is published, and opened with, before it is used.
    assert_eq!((count(" in use "), count(" new ")), (5, 5), "{listed_again}");
    let secret = fs::read_to_string(folder.file("vestibule.secret")).unwrap();
    assert!(!listed_again.contains(secret.trim()));
    // A key that may be needed is not retired, whichever it is.
    let id_of = |line: &str| line.split_whitespace().nth(1).unwrap().to_owned();
    let signs = |line: &&str| line.starts_with("sign") || line.starts_with("token");
    for id in listed_again.lines().filter(signs).map(id_of) {
        let refused = run_vestibule(folder.path(), &["key", "retire", &id]).await;
        assert_eq!(refused.code, Some(1), "{refused:?}");
        assert!(
            refused.stderr.contains("minutes") && refused.stderr.contains("--compromised"),
            "{}",
            refused.stderr
        );
    }
    // One that somebody else has goes at once; the newest stays, or there would be none.
    let tokens: Vec<_> = listed_again.lines().filter(|line| line.starts_with("token")).map(id_of).collect();
    let retire = async |id: &str| run_vestibule(folder.path(), &["key", "retire", id, "--compromised"]).await;
    assert_eq!(retire(&tokens[1]).await.code, Some(0));
    assert_eq!(retire(&tokens[0]).await.code, Some(1));
    let left = run_vestibule(folder.path(), &["key", "list"]).await.stdout;
    assert!(left.contains(&tokens[0]) && !left.contains(&tokens[1]), "{left}");
    let unknown = run_vestibule(folder.path(), &["key", "retire", "nothing"]).await;
    assert!(unknown.stderr.contains("key list"), "{unknown:?}");
}

#[tokio::test]
async fn a_command_that_looks_makes_neither_store_nor_secret() {
    let folder = Folder::new();
    for args in [&["key", "list"][..], &["key", "rotate"]] {
        let outcome = run_vestibule(folder.path(), args).await;
        assert_eq!(outcome.code, Some(1), "{args:?}: {outcome:?}");
    }
    assert_eq!(run_vestibule(folder.path(), &["check"]).await.code, Some(0));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn a_store_whose_secret_is_gone_is_not_given_another() {
    let mut vestibule = Vestibule::start(VestibuleConfig::default()).await;
    assert_eq!(vestibule.terminate().await, 0);
    let secret = vestibule.config().folder.file("vestibule.secret");
    fs::remove_file(&secret).unwrap();
    let refused = Vestibule::try_start(vestibule.config().clone()).await.unwrap_err();
    assert!(refused.contains("put it back"), "{refused}");
    assert!(!secret.exists());
}

#[tokio::test]
async fn every_command_shows_an_example_of_its_use() {
    let folder = Folder::new();
    for command in [
        &[][..],
        &["serve"],
        &["resolve"],
        &["check"],
        &["key"],
        &["key", "list"],
        &["key", "rotate"],
        &["key", "retire"],
    ] {
        let mut args = command.to_vec();
        args.push("--help");
        let outcome = run_vestibule(folder.path(), &args).await;
        assert_eq!(outcome.code, Some(0), "{outcome:?}");
        let example = outcome.stdout.lines().any(|line| line.starts_with("  vestibule "));
        assert!(example, "{command:?}: {}", outcome.stdout);
    }
    let version = run_vestibule(folder.path(), &["--version"]).await;
    assert_eq!((version.code, version.stdout.starts_with("vestibule ")), (Some(0), true));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "help leaves no files behind");
}

/// Runs a command that cannot work, and expects an error of one line that says these words.
async fn refuses(folder: &Folder, args: &[&str], words: &[&str]) {
    let outcome = run_vestibule(folder.path(), args).await;
    let said = format!("{args:?}: {outcome:?}");
    assert!(outcome.code.is_some_and(|code| code == 1 || code == 2), "{said}");
    assert_eq!(outcome.stdout, "", "{said}");
    assert!(!outcome.stderr.contains("panicked") && !outcome.stderr.contains("RUST_BACKTRACE"), "{said}");
    for word in words {
        assert!(outcome.stderr.contains(word), "no {word:?} in {said}");
    }
}

#[tokio::test]
async fn settings_that_cannot_be_used_are_refused_by_name() {
    let folder = Folder::new();
    let write = |name: &str, text: &[u8]| fs::write(folder.file(name), text).unwrap();
    write("unknown.toml", b"[atproto]\nscoop = \"atproto\"\n");
    write("section.toml", b"[atprotocol]\nscope = \"atproto\"\n");
    write("broken.toml", b"[atproto\n");
    write("latin1.toml", b"# caf\xe9\n");
    write("scope.toml", b"[atproto]\nscope = \"transition:generic\"\n");
    write("type.toml", b"[atproto]\nscope = 7\n");
    write("empty.secret", b"");
    write(
        "not.db",
        b"this is a text, and no database; it is long enough to be looked at as one, though. And longer.",
    );
    write("not.pem", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    for command in ["serve", "check"] {
        for (flags, words) in [
            (&["--config", "absent.toml"][..], &["absent.toml", "cannot be read"][..]),
            (&["--config", "unknown.toml"], &["unknown.toml", "scoop"]),
            (&["--config", "section.toml"], &["section.toml", "atprotocol"]),
            (&["--config", "broken.toml"], &["broken.toml"]),
            (&["--config", "latin1.toml"], &["latin1.toml", "UTF-8"]),
            (&["--config", "scope.toml"], &["atproto"]),
            (&["--config", "type.toml"], &["type.toml", "scope"]),
            (&["--public-url", "http://app.example"], &["public URL", "https"]),
            (&["--public-url", "ftp://app.example"], &["public URL", "https"]),
            (&["--public-url", "https://app.example/auth"], &["public URL", "path"]),
            (&["--public-url", "app.example"], &["--public-url"]),
            (&["--listen", "nowhere"], &["--listen"]),
            (&["--store", "postgres://localhost/x"], &["--store", "name a user"]),
            (&["--store", "postgres://u@localhost/x?sslmode=prefer"], &["--store", "sslmode"]),
            (&["--store", "postgres://u@127.0.0.1:1/x"], &["127.0.0.1:1", "onnect"]),
            (&["--store", "redis:x"], &["--store"]),
            (&["--store", "sqlite:"], &["--store"]),
            (&["--store", "sqlite:no/such/folder/x.db"], &["no/such/folder/x.db"]),
            (&["--store", "sqlite:not.db"], &["not.db"]),
            (&["--secret-file", "no/such/folder/x.secret"], &["no/such/folder/x.secret"]),
            (&["--secret-file", "empty.secret"], &["empty.secret"]),
            (&["--ca-file", "absent.pem"], &["absent.pem"]),
            (&["--ca-file", "not.pem"], &["network"]),
            (&["--dns", "localhost"], &["--dns"]),
            (&["--plc-url", "nowhere"], &["--plc-url"]),
            (&["--xrpc-body-limit", "much"], &["--xrpc-body-limit"]),
            (&["--no-such-flag"], &["--no-such-flag"]),
        ] {
            let mut args = vec![command];
            if command == "serve" && !flags.contains(&"--listen") {
                args.extend(["--listen", "127.0.0.1:0"]);
            }
            args.extend(flags);
            refuses(&folder, &args, words).await;
        }
    }
    refuses(&folder, &["no-such-command"], &["no-such-command"]).await;
    refuses(&folder, &["resolve"], &["<SUBJECT>"]).await;
}

#[tokio::test]
async fn an_address_in_use_is_said_by_name() {
    let peer = Vestibule::start(VestibuleConfig::default()).await;
    let taken = peer.address().to_string();
    refuses(&Folder::new(), &["serve", "--listen", &taken], &[&taken, "in use"]).await;
    assert_eq!(Browser::new().get(&peer.url("/healthz"), &[]).await.status(), 200);
}

#[tokio::test]
async fn the_environment_says_what_flags_say() {
    let config = VestibuleConfig::default().with_env("VESTIBULE_PUBLIC_URL", "http://127.0.0.1:4711");
    let vestibule = Vestibule::start(config).await;
    let metadata = Browser::new().get(&vestibule.url("/client-metadata.json"), &[]).await.json();
    assert_eq!(metadata["redirect_uris"][0], "http://127.0.0.1:4711/callback");
}
