//! Addresses and ports on loopback that no other test uses.

use std::net::{Ipv4Addr, TcpListener};
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};

/// An address in 127.0.0.0/8 of this caller's own, so that two tests can each have port 443 at once.
///
/// The process's id and a counter make it; on Linux every such address is loopback without being set up.
pub fn own_loopback() -> Ipv4Addr {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    // 127.64.0.0 to 127.127.255.255: 22 bits, of which the counter takes the low six.
    let own = (process::id() << 6 | NEXT.fetch_add(1, Ordering::Relaxed) & 0x3f) & 0x003f_ffff;
    Ipv4Addr::from(u32::from(Ipv4Addr::new(127, 64, 0, 0)) | own)
}

/// A port of 127.0.0.1 that was free a moment ago. For what must know its port before it starts; everything else
/// listens on port 0.
///
/// # Panics
/// When there is none.
pub fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|listener| listener.local_addr())
        .map(|address| address.port())
        .expect("no free port on 127.0.0.1")
}

#[cfg(test)]
mod tests {
    use super::own_loopback;

    #[test]
    fn each_call_gives_another_loopback_address() {
        let (one, two) = (own_loopback(), own_loopback());
        assert_ne!(one, two);
        for address in [one, two] {
            assert!(address.is_loopback());
            assert!((64..128).contains(&address.octets()[1]));
        }
    }
}
