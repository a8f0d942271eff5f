//! The one place of this crate that draws randomness.

use vestibule_oauth_core::StoreUnavailable;

/// Fresh octets from the operating system.
pub(crate) fn draw<const N: usize>() -> Result<[u8; N], StoreUnavailable> {
    let mut octets = [0; N];
    getrandom::fill(&mut octets)
        .map_err(|error| StoreUnavailable::new(format!("the system gave no randomness: {error}")))?;
    Ok(octets)
}
