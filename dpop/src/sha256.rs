//! SHA-256, by the backend that is compiled in.

/// The SHA-256 hash of these octets.
///
/// With the feature `aws-lc-rs` it is AWS-LC's, which on a processor without SHA instructions takes little more than half as long as the
/// one in pure Rust; on all others there is no difference worth a choice.
///
/// ```
/// let hash = vestibule_dpop::sha256("abc");
/// assert_eq!(hash[..4], [0xba, 0x78, 0x16, 0xbf]); // FIPS 180-4, appendix B.1
/// ```
pub fn sha256(octets: impl AsRef<[u8]>) -> [u8; 32] {
    #[cfg(feature = "aws-lc-rs")]
    {
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, octets.as_ref());
        let mut hash = [0; 32];
        // Both have 32 octets.
        hash.iter_mut().zip(digest.as_ref()).for_each(|(to, from)| *to = *from);
        hash
    }
    #[cfg(not(feature = "aws-lc-rs"))]
    {
        use sha2::{Digest, Sha256};
        Sha256::digest(octets).into()
    }
}

#[cfg(test)]
mod tests {
    use sha2::{Digest, Sha256};

    use super::sha256;

    #[test]
    fn the_backends_agree() {
        for length in [0, 1, 55, 56, 63, 64, 65, 1000] {
            let octets = vec![b'x'; length];
            assert_eq!(sha256(&octets), <[u8; 32]>::from(Sha256::digest(&octets)), "{length} octets");
        }
    }
}
