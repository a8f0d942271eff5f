//! A balancer in front of several servers: each connection goes to the next of them.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinHandle;

/// A balancer that listens. It ends with this value, and the connections through it do.
///
/// It passes over servers that do not accept, and answers no request itself. A server sees the address of whoever asked.
#[derive(Debug)]
pub struct RoundRobin {
    address: SocketAddr,
    servers: Arc<Mutex<Servers>>,
    accepting: JoinHandle<()>,
}

#[derive(Default, Debug)]
struct Servers {
    all: Vec<SocketAddr>,
    /// How many connections each was given.
    given: Vec<usize>,
    turn: usize,
}

impl RoundRobin {
    /// Listens, with nobody behind it yet.
    ///
    /// # Panics
    /// When it cannot listen.
    pub async fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        let address = listener.local_addr().expect("its address");
        let servers = Arc::new(Mutex::new(Servers::default()));
        let behind = Arc::clone(&servers);
        let accepting = tokio::spawn(async move {
            while let Ok((stream, from)) = listener.accept().await {
                tokio::spawn(relay(stream, from, Arc::clone(&behind)));
            }
        });
        Self { address, servers, accepting }
    }

    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// One more server.
    pub fn add(&self, server: SocketAddr) {
        let mut servers = self.servers.lock().unwrap_or_else(PoisonError::into_inner);
        servers.all.push(server);
        servers.given.push(0);
    }

    /// How many connections each server was given, in the order they were added.
    pub fn given(&self) -> Vec<usize> {
        self.servers.lock().unwrap_or_else(PoisonError::into_inner).given.clone()
    }
}

impl Drop for RoundRobin {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn relay(mut stream: TcpStream, from: SocketAddr, servers: Arc<Mutex<Servers>>) {
    let number = servers.lock().unwrap_or_else(PoisonError::into_inner).all.len();
    for _ in 0..number {
        let (place, server) = {
            let mut servers = servers.lock().unwrap_or_else(PoisonError::into_inner);
            let place = servers.turn % servers.all.len();
            servers.turn += 1;
            (place, servers.all[place])
        };
        let Ok(mut to) = connect(from, server).await else { continue };
        servers.lock().unwrap_or_else(PoisonError::into_inner).given[place] += 1;
        // An error says that one of both is gone; the other sees that when this ends.
        let _ = copy_bidirectional(&mut stream, &mut to).await;
        return;
    }
}

/// From the same address, so that whoever counts by it counts right.
async fn connect(from: SocketAddr, server: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::new(from.ip(), 0))?;
    socket.connect(server).await
}
