//! The `vestibule` program on a socket, with the roster in its configuration and somebody signed in at the real AT Protocol servers.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

use http::Request;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpSocket;
use tokio::sync::Mutex;
use tokio::time::timeout;
use vestibule_oauth_core::{BoxFuture, UnixTime};

use super::ask::Ask;
use super::ground::{Arrived, At, Ground};
use super::reply::Reply;
use super::roster;
use crate::browser::{Answer, Browser};
use crate::ledger;
use crate::peers::Peers;
use crate::vestibule::{Vestibule, VestibuleConfig};

/// A running server, and Alice's browser.
#[derive(Debug)]
pub struct Live {
    /// The server.
    pub vestibule: Vestibule,
    browser: Mutex<Browser>,
    /// Where requests come from that do not say; an IPv4 address as a number.
    from: AtomicU32,
}

/// No test waits longer for an answer.
const PATIENCE: Duration = Duration::from_secs(30);

impl Live {
    /// Starts a server with the clients of the roster, and signs Alice in.
    ///
    /// # Panics
    /// When one of the steps fails.
    pub async fn start(peers: &Peers) -> Self {
        Self::start_with(peers, VestibuleConfig::for_peers(peers)).await
    }

    /// The same with this configuration.
    ///
    /// # Panics
    /// When one of the steps fails.
    pub async fn start_with(peers: &Peers, config: VestibuleConfig) -> Self {
        Self::at(peers, Vestibule::start(Self::config(config)).await).await
    }

    /// A configuration with the clients of the roster.
    #[must_use]
    pub fn config(config: VestibuleConfig) -> VestibuleConfig {
        roster::files().iter().fold(config, |config, (name, text)| config.with_file(name, text))
    }

    /// Signs Alice in at a server that runs with the clients of the roster.
    ///
    /// # Panics
    /// When that fails.
    pub async fn at(peers: &Peers, vestibule: Vestibule) -> Self {
        let live = Self::at_rest(vestibule);
        live.vestibule.sign_in(&mut *live.browser.lock().await, peers, peers.alice()).await;
        live
    }

    /// A server that runs with the clients of the roster, and a browser that nobody is signed in with.
    pub fn at_rest(vestibule: Vestibule) -> Self {
        let browser = Browser::new();
        for client in roster::clients() {
            ledger::note("client secret", &roster::secret(client.id.as_str()));
        }
        Self { vestibule, browser: Mutex::new(browser), from: AtomicU32::new(Ipv4Addr::LOCALHOST.to_bits()) }
    }

    /// From now on requests come from this address unless they say otherwise.
    pub fn send_from(&self, address: Ipv4Addr) {
        self.from.store(address.to_bits(), Ordering::SeqCst);
    }

    async fn answer(&self, ask: Ask) -> Reply {
        self.try_answer(ask).await.unwrap_or_else(|error| panic!("{error}\n{}", self.vestibule.logs()))
    }

    /// Sends a request, and tells when there is no whole answer.
    ///
    /// # Errors
    /// What became of the connection.
    pub async fn try_answer(&self, ask: Ask) -> Result<Reply, String> {
        let server = self.vestibule.address();
        let from = ask.sender().unwrap_or_else(|| Ipv4Addr::from_bits(self.from.load(Ordering::SeqCst)));
        let line = format!("{:.200}", format!("{ask:?}"));
        let exchange = async {
            let socket = TcpSocket::new_v4()?;
            socket.bind(SocketAddr::new(IpAddr::V4(from), 0))?;
            let stream = socket.connect(server).await?;
            let (mut sender, connection) =
                http1::handshake(TokioIo::new(stream)).await.map_err(std::io::Error::other)?;
            let connection = tokio::spawn(connection);
            let (mut parts, body) = ask.into_request().into_parts();
            let target = parts.uri.path_and_query().map_or("/", |target| target.as_str());
            let host = server.to_string().parse().map_err(std::io::Error::other)?;
            parts.headers.entry("host").or_insert(host);
            parts.uri = target.parse().map_err(std::io::Error::other)?;
            let request = Request::from_parts(parts, Full::new(body));
            let response = sender.send_request(request).await.map_err(std::io::Error::other)?;
            let (parts, body) = response.into_parts();
            let body = body.collect().await.map_err(std::io::Error::other)?.to_bytes();
            connection.abort();
            Ok::<_, std::io::Error>(http::Response::from_parts(parts, body))
        };
        let response =
            timeout(PATIENCE, exchange).await.map_err(|_| format!("no answer in time to {line}"))?;
        let reply = Reply::from(response.map_err(|error| format!("{error}: {line}"))?);
        for name in ["access_token", "refresh_token", "device_code", "request_uri"] {
            ledger::note(name, reply.json[name].as_str().unwrap_or_default());
        }
        Ok(reply)
    }

    async fn arrive(&self, query: String) -> Arrived {
        let mut browser = self.browser.lock().await;
        let answer = browser.arrive(&self.vestibule.url(&format!("/oauth2/authorize?{query}"))).await;
        if answer.status() != 200 || answer.field("decision").is_none() {
            return arrived(&answer);
        }
        let fields: Vec<_> = ["client_id", "request_uri", "subject"]
            .into_iter()
            .filter_map(|name| Some((name, answer.field(name)?)))
            .collect();
        let mut fields: Vec<_> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
        fields.push(("decision", "allow"));
        arrived(&browser.submit(&self.vestibule.url("/oauth2/authorize"), &fields).await)
    }
}

/// Where a browser was sent.
fn arrived(answer: &Answer) -> Arrived {
    if (300..400).contains(&answer.status()) {
        return Arrived::Back(answer.location().parse().expect("a URL"));
    }
    let mut response = http::Response::new(answer.body().clone());
    *response.status_mut() = answer.status().try_into().expect("a status code");
    let mut reply = Reply::from(response);
    // A page shows its code in words.
    if let Some(code) = answer.text().split("<code>").nth(1).and_then(|rest| rest.split([':', '<']).next()) {
        reply.json = serde_json::json!({ "error": code });
    }
    Arrived::Page(reply)
}

impl Ground for Live {
    fn issuer(&self) -> String {
        self.vestibule.url("")
    }

    fn url(&self, at: At) -> String {
        let path = match at {
            At::Token => "token",
            At::Par => "par",
            At::Revoke => "revoke",
            At::Introspect => "introspect",
            At::Device => "device_authorization",
        };
        self.vestibule.url(&format!("/oauth2/{path}"))
    }

    fn now(&self) -> UnixTime {
        SystemTime::now().into()
    }

    fn exchange(&self, ask: Ask) -> BoxFuture<'_, Reply> {
        Box::pin(self.answer(ask))
    }

    fn authorize(&self, query: String) -> BoxFuture<'_, Arrived> {
        Box::pin(self.arrive(query))
    }
}
