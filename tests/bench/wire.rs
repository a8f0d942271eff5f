//! One keep-alive connection to a server, and the server that others are compared with.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use vestibule_tests::oauth::Reply;

/// A connection that is kept.
pub(crate) struct Wire {
    sender: SendRequest<Full<Bytes>>,
    host: http::HeaderValue,
}

impl Wire {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.expect("a connection");
        stream.set_nodelay(true).expect("a socket option");
        let (sender, connection) = handshake(TokioIo::new(stream)).await.expect("HTTP");
        tokio::spawn(connection);
        Self { sender, host: address.to_string().parse().expect("a host") }
    }

    pub(crate) async fn send(&mut self, request: Request<Bytes>) -> Reply {
        let (mut parts, body) = request.into_parts();
        parts.headers.insert("host", self.host.clone());
        parts.uri = parts.uri.path().parse().expect("a path");
        self.sender.ready().await.expect("the connection is kept");
        let request = Request::from_parts(parts, Full::new(body));
        let response = self.sender.send_request(request).await.expect("an answer");
        let (parts, body) = response.into_parts();
        let body = body.collect().await.expect("a whole answer").to_bytes();
        Reply::from(http::Response::from_parts(parts, body))
    }
}

/// The example `bare`, running.
pub(crate) struct Bare {
    child: Child,
    pub(crate) address: SocketAddr,
}

impl Bare {
    /// Starts it, under another program if there is one.
    pub(crate) async fn start(under: &[String]) -> Self {
        let bare = beside("bare");
        let mut command = match under {
            [] => Command::new(bare),
            [outer, args @ ..] => {
                let mut command = Command::new(outer);
                command.args(args).arg(bare);
                command
            }
        };
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it starts");
        let stdout = child.stdout.take().expect("it is piped");
        let line = BufReader::new(stdout).lines().next().expect("a line").expect("a line");
        let address = line.trim_start_matches("listening on http://").parse().expect("an address");
        Self { child, address }
    }

    #[allow(dead_code, reason = "for who counts instructions")]
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Another example, beside this one.
pub(crate) fn beside(name: &str) -> PathBuf {
    std::env::current_exe().expect("this program's own path").with_file_name(name)
}
