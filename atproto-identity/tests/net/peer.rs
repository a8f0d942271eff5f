//! An HTTP server that says what it is told to, octet by octet.

use std::future::poll_fn;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::task::Poll;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// What happens once a request has arrived.
#[derive(Clone)]
pub(crate) enum Say {
    /// These octets; then the connection waits for its next request.
    Answer(String),
    /// These octets, and the connection is closed.
    ThenClose(String),
}

impl Say {
    /// A complete answer with this body.
    pub(crate) fn ok(body: &str) -> Self {
        Self::Answer(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len()))
    }

    /// Octets that leave the caller waiting for more.
    pub(crate) fn no_more_than(octets: &str) -> Self {
        Self::Answer(octets.to_owned())
    }
}

/// One request as it came: the connection it came on, counted from 0, and its text.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    pub(crate) connection: usize,
    pub(crate) text: String,
}

pub(crate) struct Peer {
    pub(crate) address: SocketAddr,
    received: Arc<Mutex<Vec<Received>>>,
}

impl Peer {
    /// Says the same to every request.
    pub(crate) async fn start(say: Say) -> Self {
        Self::scripted(vec![say], None).await
    }

    /// Says the same to every request, over TLS.
    pub(crate) async fn start_tls(say: Say, tls: TlsAcceptor) -> Self {
        Self::scripted(vec![say], Some(tls)).await
    }

    /// Says the first to the first request and so on, and the last one to all that follow.
    pub(crate) async fn scripted(script: Vec<Say>, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let received = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&received);
        tokio::spawn(async move {
            for connection in 0.. {
                let (stream, _) = listener.accept().await.unwrap();
                let (script, log, tls) = (script.clone(), Arc::clone(&log), tls.clone());
                tokio::spawn(async move {
                    match tls {
                        None => serve(stream, connection, &script, &log).await,
                        // A handshake that fails is the caller's to report.
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                serve(stream, connection, &script, &log).await;
                            }
                        }
                    }
                });
            }
        });
        Self { address, received }
    }

    pub(crate) fn url(&self, host: &str) -> String {
        format!("http://{host}:{}/path?query=1", self.address.port())
    }

    pub(crate) fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap().clone()
    }
}

/// An address nobody listens at.
pub(crate) async fn nobody() -> SocketAddr {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap().local_addr().unwrap()
}

/// A port that counts connections and does nothing else.
pub(crate) struct Trap(TcpListener);

impl Trap {
    pub(crate) async fn set() -> Self {
        Self(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap())
    }

    pub(crate) fn port(&self) -> u16 {
        self.0.local_addr().unwrap().port()
    }

    /// Whether anybody has connected: the kernel finishes a connection to loopback before the caller knows of it.
    pub(crate) async fn sprung(&self) -> bool {
        poll_fn(|cx| Poll::Ready(self.0.poll_accept(cx).is_ready())).await
    }
}

async fn serve(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    connection: usize,
    script: &[Say],
    log: &Mutex<Vec<Received>>,
) {
    while let Some(text) = request(&mut stream).await {
        let number = {
            let mut log = log.lock().unwrap();
            log.push(Received { connection, text });
            log.len() - 1
        };
        match script.get(number).or_else(|| script.last()).unwrap() {
            Say::Answer(octets) => {
                // The caller may have seen enough and gone.
                if stream.write_all(octets.as_bytes()).await.is_err() {
                    return;
                }
            }
            Say::ThenClose(octets) => {
                stream.write_all(octets.as_bytes()).await.unwrap();
                stream.shutdown().await.unwrap();
                return;
            }
        }
    }
}

/// One request, body included; `None` when the connection was closed instead.
async fn request(stream: &mut (impl AsyncRead + Unpin)) -> Option<String> {
    let mut text = String::new();
    loop {
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let head = head.to_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            let complete = match length {
                Some(length) => body.len() >= length.parse().unwrap(),
                None if head.contains("transfer-encoding: chunked") => body.ends_with("0\r\n\r\n"),
                None => true,
            };
            if complete {
                return Some(text);
            }
        }
        let mut buffer = [0; 4_096];
        match stream.read(&mut buffer).await {
            Ok(0) | Err(_) => return None,
            Ok(length) => text.push_str(std::str::from_utf8(&buffer[..length]).unwrap()),
        }
    }
}
