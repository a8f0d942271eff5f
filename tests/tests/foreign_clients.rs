//! Clients that others have written, at our server. What they do is in `tests/peers`; here is the operator who registers them, and the
//! person who lets them in.

use serde_json::{Value, json};
use vestibule_tests::{Answer, Browser, Peers, Talk, Vestibule, VestibuleConfig, ledger};

/// The server, and Alice's browser.
struct Host {
    vestibule: Vestibule,
    browser: Browser,
    clients: usize,
}

impl Host {
    /// Starts a server that trusts these keys for the client `bearer`, and signs Alice in.
    async fn start(idp: &Value) -> Self {
        let toml = "[[client]]\nid = \"bearer\"\nname = \"The app bearer\"\nsecret_file = \"bearer.secret\"\n\
            grants = [\"urn:ietf:params:oauth:grant-type:jwt-bearer\"]\n\
            [[client.trusted_issuer]]\nissuer = \"https://idp.test\"\njwks_file = \"idp.json\"\n";
        let peers = Peers::shared().await;
        let config = VestibuleConfig::for_peers(peers)
            .with_file("vestibule.toml", toml)
            .with_file("bearer.secret", "a-secret-of-the-test-0123456789abcdef\n")
            .with_file("idp.json", &idp.to_string());
        let vestibule = Vestibule::start(config).await;
        let mut browser = Browser::new();
        vestibule.sign_in(&mut browser, peers, peers.alice()).await;
        Self { vestibule, browser, clients: 0 }
    }

    /// Registers a client as its author asks.
    async fn register(&mut self, asked: &Value) -> Value {
        let mut args = vec!["client", "add", asked["name"].as_str().unwrap(), "--json"];
        args.extend(asked["args"].as_array().unwrap().iter().map(|arg| arg.as_str().unwrap()));
        self.clients += 1;
        let file = self.vestibule.config().folder.file(&format!("client-{}.json", self.clients));
        let file = file.display().to_string();
        if asked["jwks"].is_object() {
            std::fs::write(&file, asked["jwks"].to_string()).unwrap();
            args.extend(["--jwks", &file]);
        }
        let outcome = self.vestibule.command(&args).await;
        assert_eq!(outcome.code, Some(0), "{outcome:?}");
        let client: Value = serde_json::from_str(&outcome.stdout).unwrap();
        ledger::note("client secret", client["client_secret"].as_str().unwrap_or_default());
        client
    }

    /// Opens a page, and says yes to what it asks.
    async fn allow(&mut self, url: &str) -> Answer {
        let page = self.browser.arrive(url).await;
        assert_eq!(page.status(), 200, "{}\n{}", page.text(), self.vestibule.logs());
        let fields: Vec<(&str, String)> = ["client_id", "request_uri", "user_code", "subject"]
            .into_iter()
            .filter_map(|name| Some((name, page.field(name)?)))
            .collect();
        let mut fields: Vec<_> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
        fields.push(("decision", "allow"));
        let address = url.split('?').next().unwrap();
        self.browser.submit(address, &fields).await
    }
}

#[tokio::test]
async fn oauth4webapi_gets_every_grant_by_every_method() {
    let mut client = Talk::start("oauth4webapi", "client.mjs");
    let begun = client.hear().await;
    assert_eq!(begun["need"], "server");
    let mut host = Host::start(&begun["jwks"]).await;
    client.say(&json!({ "issuer": host.vestibule.url("") })).await;
    let mut steps: Vec<String> = Vec::new();
    loop {
        let said = client.hear().await;
        let url = said["url"].as_str().unwrap_or_default();
        match said["need"].as_str() {
            Some("client") => {
                let registered = host.register(&said).await;
                client.say(&registered).await;
            }
            Some("browser") => {
                let back = host.allow(url).await;
                assert_eq!(back.status(), 303, "{}\n{}", back.text(), host.vestibule.logs());
                client.say(&json!({ "url": back.location() })).await;
            }
            Some("device") => {
                let answer = host.allow(url).await;
                assert!(answer.text().contains("The device is signed in"), "{}", answer.text());
                client.say(&json!({})).await;
            }
            Some(other) => panic!("it needs {other}"),
            None => match said["done"].as_u64() {
                Some(done) => {
                    assert_eq!(done, steps.len() as u64);
                    break;
                }
                None => steps.push(said["step"].as_str().unwrap().to_owned()),
            },
        }
    }
    // Four ways of authentication, pushed or not, with DPoP or without, and what is told only to confidential clients; machines; devices;
    // token exchange; JWT bearer; and where all of it is.
    let redeemed = steps.iter().filter(|step| step.starts_with("authorization_code")).count();
    let refreshed = steps.iter().filter(|step| step.starts_with("refresh_token")).count();
    let machines = steps.iter().filter(|step| step.starts_with("client_credentials")).count();
    assert_eq!((redeemed, refreshed, machines), (16, 18, 6), "{steps:?}");
    for step in ["discovery", "device_code", "device_code, DPoP", "token-exchange", "jwt-bearer"] {
        assert!(steps.iter().any(|done| done == step), "no {step} in {steps:?}");
    }
}
