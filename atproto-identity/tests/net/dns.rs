//! A name server of a few lines, over UDP and TCP on one port.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};

pub(crate) const A: u16 = 1;
pub(crate) const CNAME: u16 = 5;
pub(crate) const TXT: u16 = 16;

/// What the server says to one question.
pub(crate) enum Reply {
    /// These records of the type asked for, or of the one given.
    Records(Vec<(u16, Vec<u8>)>),
    /// An error code: 2 is SERVFAIL, 3 is NXDOMAIN, 5 is REFUSED.
    Code(u8),
    /// "Too long, ask again over TCP"; over TCP the records.
    OverTcp(Vec<(u16, Vec<u8>)>),
    /// Nothing at all.
    Silence,
}

impl Reply {
    pub(crate) fn addresses(addresses: &[Ipv4Addr]) -> Self {
        Self::Records(addresses.iter().map(|address| (A, address.octets().to_vec())).collect())
    }
}

/// The octets of a TXT record of these strings.
pub(crate) fn txt(strings: &[&str]) -> (u16, Vec<u8>) {
    let length = |string: &str| u8::try_from(string.len()).unwrap();
    (TXT, strings.iter().flat_map(|string| [&[length(string)], string.as_bytes()].concat()).collect())
}

/// The octets of a name.
pub(crate) fn name(name: &str) -> Vec<u8> {
    let label = |label: &str| [&[u8::try_from(label.len()).unwrap()], label.as_bytes()].concat();
    name.split('.').flat_map(label).chain([0]).collect()
}

pub(crate) struct Dns {
    pub(crate) address: SocketAddr,
    questions: Arc<Mutex<Vec<(String, u16)>>>,
}

type Zone = dyn Fn(&str, u16) -> Reply + Send + Sync;

impl Dns {
    /// Starts a server that answers what `zone` says for a name and a record type.
    pub(crate) async fn start(zone: impl Fn(&str, u16) -> Reply + Send + Sync + 'static) -> Self {
        let (udp, tcp) = loop {
            let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
            if let Ok(tcp) = TcpListener::bind(udp.local_addr().unwrap()).await {
                break (udp, tcp);
            }
        };
        let address = udp.local_addr().unwrap();
        let zone: Arc<Zone> = Arc::new(zone);
        let questions = Arc::new(Mutex::new(Vec::new()));
        let over_tcp = (Arc::clone(&zone), Arc::clone(&questions));
        let over_udp = (zone, Arc::clone(&questions));
        tokio::spawn(async move {
            let mut buffer = [0; 512];
            loop {
                let (length, from) = udp.recv_from(&mut buffer).await.unwrap();
                if let Some(answer) = answer(&buffer[..length], &*over_udp.0, &over_udp.1, false) {
                    udp.send_to(&answer, from).await.unwrap();
                }
            }
        });
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = tcp.accept().await.unwrap();
                while let Ok(length) = stream.read_u16().await {
                    let mut question = vec![0; usize::from(length)];
                    stream.read_exact(&mut question).await.unwrap();
                    if let Some(answer) = answer(&question, &*over_tcp.0, &over_tcp.1, true) {
                        stream.write_u16(u16::try_from(answer.len()).unwrap()).await.unwrap();
                        stream.write_all(&answer).await.unwrap();
                    }
                }
            }
        });
        Self { address, questions }
    }

    /// How often records of this type were asked for.
    pub(crate) fn asked_for(&self, kind: u16) -> usize {
        self.questions.lock().unwrap().iter().filter(|(_, asked)| *asked == kind).count()
    }
}

fn answer(question: &[u8], zone: &Zone, log: &Mutex<Vec<(String, u16)>>, tcp: bool) -> Option<Vec<u8>> {
    let mut labels = Vec::new();
    let mut at = 12;
    while question[at] != 0 {
        let end = at + 1 + usize::from(question[at]);
        labels.push(String::from_utf8_lossy(&question[at + 1..end]).to_lowercase());
        at = end;
    }
    let name = labels.join(".");
    let kind = u16::from_be_bytes([question[at + 1], question[at + 2]]);
    log.lock().unwrap().push((name.clone(), kind));
    let (code, truncated, records) = match zone(&name, kind) {
        Reply::Records(records) => (0, 0, records),
        Reply::Code(code) => (code, 0, Vec::new()),
        Reply::OverTcp(records) if tcp => (0, 0, records),
        Reply::OverTcp(_) => (0, 2, Vec::new()),
        Reply::Silence => return None,
    };
    let count = u8::try_from(records.len()).unwrap();
    let mut answer = question[..2].to_vec();
    answer.extend([0x81 | truncated, 0x80 | code, 0, 1, 0, count, 0, 0, 0, 0]);
    answer.extend(&question[12..at + 5]);
    for (kind, data) in records {
        answer.extend([0xc0, 12]);
        answer.extend(kind.to_be_bytes());
        answer.extend([0, 1, 0, 0, 0, 0]); // class IN, no time to live
        answer.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
        answer.extend(data);
    }
    Some(answer)
}
