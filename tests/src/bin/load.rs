//! Asks a running server as fast as it answers, and says how fast that is.
//!
//! ```text
//! cargo run --release -p vestibule-tests --bin load -- http://127.0.0.1:8080
//! cargo run --release -p vestibule-tests --bin load -- http://127.0.0.1:8080 --client ID --secret SECRET --seconds 60
//! ```
//!
//! One scenario after the other, each over kept connections: what anybody may ask, and with a client what that client may: client
//! credentials, introspection of the token it got, and a pushed request. Progress goes to standard error, the summary to standard output; it
//! ends with 1 when any answer was not the one expected. Only for servers that are yours, by plain HTTP.

#![allow(clippy::print_stdout, reason = "it prints what it measured")]

use std::collections::BTreeMap;
use std::net::{SocketAddr, ToSocketAddrs};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use url::Url;
use vestibule_tests::Times;

const USAGE: &str = "usage: load URL [--client ID --secret SECRET] [--seconds N] [--in-flight N]";

#[tokio::main]
async fn main() -> ExitCode {
    let options = match Options::parse(std::env::args().skip(1)) {
        Ok(options) => Arc::new(options),
        Err(why) => {
            eprintln!("load: {why}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    let mut scenarios = vec![
        Scenario::get("metadata", "/.well-known/oauth-authorization-server"),
        Scenario::get("keys", "/oauth2/jwks.json"),
        Scenario::get("sign-in page", "/"),
    ];
    match &options.client {
        None => {
            println!("without --client and --secret: no client credentials, introspection or pushed requests")
        }
        Some(client) => match client.scenarios(options.address).await {
            Ok(more) => scenarios.extend(more),
            Err(why) => {
                eprintln!("load: the client gets no token by client credentials: {why}");
                return ExitCode::FAILURE;
            }
        },
    }
    let mut summary = Vec::new();
    for scenario in scenarios {
        summary.push((scenario.name, run(scenario, &options).await));
    }
    println!(
        "{:<20} {:>9} {:>9} {:>9} {:>9}  other answers",
        "scenario", "a second", "p50 us", "p99 us", "most us"
    );
    let mut failed = false;
    for (name, figures) in summary {
        failed |= !figures.others.is_empty();
        println!("{name:<20} {figures}", figures = figures.line());
    }
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// What was asked for.
#[derive(Debug)]
struct Options {
    address: SocketAddr,
    client: Option<Client>,
    seconds: u64,
    in_flight: usize,
}

#[derive(Debug)]
struct Client {
    id: String,
    secret: String,
}

impl Options {
    fn parse(mut words: impl Iterator<Item = String>) -> Result<Self, String> {
        let (mut url, mut id, mut secret, mut seconds, mut in_flight) = (None, None, None, 10, 16);
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or_else(|| format!("{word} takes a value"));
            let number = |text: String| match text.parse() {
                Ok(number @ 1..=100_000) => Ok(number),
                _ => Err(format!("{word} takes a number from 1 to 100000, not {text}")),
            };
            match word.as_str() {
                "--client" => id = Some(value()?),
                "--secret" => secret = Some(value()?),
                "--seconds" => seconds = number(value()?)?,
                "--in-flight" => in_flight = number(value()?)? as usize,
                other if other.starts_with('-') => return Err(format!("there is no option {other}")),
                other if url.is_none() => url = Some(other.to_owned()),
                other => return Err(format!("one URL, and then {other}?")),
            }
        }
        let url: Url =
            url.ok_or("which server?")?.parse().map_err(|error| format!("the URL is none: {error}"))?;
        if url.scheme() != "http" {
            return Err("the server is asked by plain http, behind its proxy".to_owned());
        }
        let host = (url.host_str().unwrap_or_default(), url.port_or_known_default().unwrap_or(80));
        let address = host.to_socket_addrs().map_err(|error| format!("{}: {error}", host.0))?.next();
        let client = match (id, secret) {
            (Some(id), Some(secret)) => Some(Client { id, secret }),
            (None, None) => None,
            _ => return Err("--client and --secret go together".to_owned()),
        };
        Ok(Self { address: address.ok_or("the host has no address")?, client, seconds, in_flight })
    }
}

impl Client {
    /// What this client can ask, tried once.
    async fn scenarios(&self, address: SocketAddr) -> Result<Vec<Scenario>, String> {
        let login = STANDARD.encode(format!("{}:{}", self.id, self.secret));
        let post = |name, path, form: String| Scenario {
            name,
            request: Request::post(path)
                .header("authorization", format!("Basic {login}"))
                .header("content-type", "application/x-www-form-urlencoded")
                .body(Bytes::from(form))
                .expect("a request"),
        };
        let token = post("client credentials", "/oauth2/token", "grant_type=client_credentials".to_owned());
        let mut connection = Connection::open(address).await?;
        let (status, body) = connection.send(&token.request).await?;
        let answer: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
        let Some(text) = answer["access_token"].as_str() else {
            return Err(format!("{status} {}", answer["error_description"].as_str().unwrap_or_default()));
        };
        let introspection = post("introspection", "/oauth2/introspect", format!("token={text}"));
        let mut scenarios = vec![token, introspection];
        let challenge = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
        let par = post(
            "pushed request",
            "/oauth2/par",
            format!(
                "response_type=code&client_id={}&code_challenge={challenge}&code_challenge_method=S256",
                self.id
            ),
        );
        match connection.send(&par.request).await? {
            (201, _) => scenarios.push(par),
            (status, _) => println!("no pushed requests: this client's are answered {status}"),
        }
        Ok(scenarios)
    }
}

/// One request, asked over and over.
struct Scenario {
    name: &'static str,
    request: Request<Bytes>,
}

impl Scenario {
    fn get(name: &'static str, path: &'static str) -> Self {
        Self { name, request: Request::get(path).body(Bytes::new()).expect("a request") }
    }
}

struct Connection {
    sender: SendRequest<Full<Bytes>>,
    host: String,
}

impl Connection {
    async fn open(address: SocketAddr) -> Result<Self, String> {
        let text = |error: &dyn std::error::Error| format!("{address}: {error}");
        let stream = TcpStream::connect(address).await.map_err(|error| text(&error))?;
        stream.set_nodelay(true).map_err(|error| text(&error))?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(|error| text(&error))?;
        tokio::spawn(connection);
        Ok(Self { sender, host: address.to_string() })
    }

    async fn send(&mut self, request: &Request<Bytes>) -> Result<(u16, Bytes), String> {
        let mut sent = request.clone().map(Full::new);
        sent.headers_mut().insert("host", self.host.parse().map_err(|_| "no host".to_owned())?);
        self.sender.ready().await.map_err(|error| error.to_string())?;
        let response = self.sender.send_request(sent).await.map_err(|error| error.to_string())?;
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.map_err(|error| error.to_string())?;
        Ok((status, body.to_bytes()))
    }
}

/// What came of a scenario.
#[derive(Default)]
struct Figures {
    took: Vec<Duration>,
    others: BTreeMap<String, usize>,
    lasted: Duration,
}

impl Figures {
    fn line(self) -> String {
        let times = Times::of(self.took);
        let rate = times.number() as f64 / self.lasted.as_secs_f64().max(f64::EPSILON);
        let us = |percent| times.at(percent).as_micros();
        let others: Vec<_> = self.others.iter().map(|(what, times)| format!("{times} x {what}")).collect();
        let others = if others.is_empty() { "none".to_owned() } else { others.join(", ") };
        format!("{rate:>9.0} {:>9} {:>9} {:>9}  {others}", us(50), us(99), us(100))
    }
}

async fn run(scenario: Scenario, options: &Arc<Options>) -> Figures {
    let began = Instant::now();
    let until = began + Duration::from_secs(options.seconds);
    let answered = Arc::new(AtomicUsize::new(0));
    let request = Arc::new(scenario.request);
    let mut asking = JoinSet::new();
    for _ in 0..options.in_flight {
        let (request, answered, address) = (request.clone(), answered.clone(), options.address);
        asking.spawn(async move {
            let mut figures = Figures::default();
            let mut connection = None;
            while Instant::now() < until {
                let mut kept = match connection.take() {
                    Some(kept) => kept,
                    None => match Connection::open(address).await {
                        Ok(new) => new,
                        Err(why) => {
                            *figures.others.entry(why).or_default() += 1;
                            break;
                        }
                    },
                };
                let sent = Instant::now();
                match kept.send(&request).await {
                    Ok((200 | 201, _)) => figures.took.push(sent.elapsed()),
                    Ok((status, _)) => *figures.others.entry(status.to_string()).or_default() += 1,
                    Err(why) => {
                        *figures.others.entry(why).or_default() += 1;
                        continue;
                    }
                }
                answered.fetch_add(1, Ordering::Relaxed);
                connection = Some(kept);
            }
            figures
        });
    }
    let mut looks = tokio::time::interval(Duration::from_secs(1));
    looks.tick().await;
    let mut all = Figures::default();
    loop {
        tokio::select! {
            _ = looks.tick() => eprintln!(
                "{:<20} {:>3} of {} s, {} answers",
                scenario.name, began.elapsed().as_secs(), options.seconds, answered.load(Ordering::Relaxed)
            ),
            done = asking.join_next() => match done {
                Some(figures) => {
                    let figures = figures.expect("a task that asks does not panic");
                    all.took.extend(figures.took);
                    for (what, times) in figures.others {
                        *all.others.entry(what).or_default() += times;
                    }
                }
                None => break,
            },
        }
    }
    all.lasted = began.elapsed();
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &str) -> Result<Options, String> {
        Options::parse(words.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn arguments_are_read_and_what_is_wrong_with_them_is_said() {
        let options = parse("http://127.0.0.1:81/ --client a --secret b --seconds 3 --in-flight 2").unwrap();
        assert_eq!((options.seconds, options.in_flight), (3, 2));
        assert_eq!(options.address, "127.0.0.1:81".parse().unwrap());
        assert_eq!(options.client.unwrap().id, "a");
        for (words, said) in [
            ("", "which server"),
            ("https://example.com", "plain http"),
            ("nonsense", "URL"),
            ("http://127.0.0.1 --seconds", "takes a value"),
            ("http://127.0.0.1 --seconds 0", "from 1"),
            ("http://127.0.0.1 --client a", "go together"),
            ("http://127.0.0.1 --fast", "no option --fast"),
            ("http://127.0.0.1 http://127.0.0.2", "one URL"),
        ] {
            let error = parse(words).unwrap_err();
            assert!(error.contains(said), "{words}: {error}");
        }
    }

    #[test]
    fn figures_are_of_those_that_were_answered_as_expected() {
        let mut figures = Figures { lasted: Duration::from_secs(2), ..Figures::default() };
        figures.took = (1..=200).rev().map(Duration::from_micros).collect();
        figures.others.insert("503".to_owned(), 3);
        assert_eq!(
            figures.line().split_whitespace().collect::<Vec<_>>(),
            ["100", "101", "199", "200", "3", "x", "503"]
        );
        assert!(Figures::default().line().contains("none"));
    }
}
