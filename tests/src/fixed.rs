//! A fixed time, entropy that repeats, and an executor for futures that never wait.

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use vestibule_oauth_core::UnixTime;

/// The time of tests: 2026-01-01T00:00:00Z.
pub const NOW: UnixTime = UnixTime::from_secs(1_767_225_600);

/// Octets that look random and are the same for the same `seed`, in every run.
///
/// ```
/// use vestibule_tests::entropy;
///
/// assert_eq!(entropy::<32>(1), entropy::<32>(1));
/// assert_ne!(entropy::<32>(1), entropy::<32>(2));
/// ```
pub fn entropy<const N: usize>(seed: u64) -> [u8; N] {
    Entropy::new(seed).draw()
}

/// A sequence of [`entropy`]: each draw differs from the last, each run is the same.
///
/// ```
/// use vestibule_tests::Entropy;
///
/// let mut entropy = Entropy::new(7);
/// let (first, second): ([u8; 16], [u8; 16]) = (entropy.draw(), entropy.draw());
/// assert_ne!(first, second);
/// assert_eq!(Entropy::new(7).draw(), first);
/// ```
#[derive(Clone, Debug)]
pub struct Entropy(u64);

impl Entropy {
    /// The sequence that belongs to `seed`.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next `N` octets.
    pub fn draw<const N: usize>(&mut self) -> [u8; N] {
        let mut octets = [0; N];
        for chunk in octets.chunks_mut(8) {
            let word = self.next_word().to_le_bytes();
            chunk.copy_from_slice(&word[..chunk.len()]);
        }
        octets
    }

    /// SplitMix64: short, and good enough to be unlike a counter.
    const fn next_word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }
}

/// Runs a future that never waits, which is every flow over a [`ScriptedNetwork`](crate::ScriptedNetwork).
///
/// # Panics
/// When the future waits for something: no one would ever wake it.
pub fn block_on<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("a future over a scripted network waited: something in it is not scripted"),
    }
}

#[cfg(test)]
mod tests {
    use super::{Entropy, block_on};

    #[test]
    fn draws_of_any_size_are_filled() {
        assert!(Entropy::new(3).draw::<0>().is_empty());
        let long = Entropy::new(3).draw::<13>();
        assert_eq!(long[..8], Entropy::new(3).draw::<8>());
        assert!(long[8..].iter().any(|octet| *octet != 0));
    }

    #[test]
    fn a_ready_future_gives_its_output() {
        assert_eq!(block_on(async { 7 }), 7);
    }
}
