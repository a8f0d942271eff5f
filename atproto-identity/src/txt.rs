//! The first way from a handle to a DID: a TXT record ([DNS TXT method]).
//!
//! [DNS TXT method]: https://atproto.com/specs/handle#dns-txt-method

use thiserror::Error;
use vestibule_oauth_core::TxtRecord;

use crate::did::{Did, InvalidDid};
use crate::handle::Handle;

/// The name to look up; none when the handle is too long to have one. The same as [`Handle::dns_name`].
pub fn name(handle: &Handle) -> Option<String> {
    handle.dns_name()
}

/// Reads the answer: the DID, or nothing when no record speaks of one.
///
/// Records that do not start with `did=` are somebody else's, and are ignored. White space is not trimmed: the value is
/// a DID or it is not. The same record twice is accepted: the specification refuses records that disagree, and these
/// do not.
///
/// ```
/// use vestibule_atproto_identity::txt;
/// use vestibule_oauth_core::TxtRecord;
///
/// let record = |text: &str| TxtRecord::new([text.as_bytes().to_vec()]);
/// let did = txt::read(&[record("v=spf1 -all"), record("did=did:web:example.com")]).unwrap().unwrap();
/// assert_eq!(did.as_str(), "did:web:example.com");
/// assert_eq!(txt::read(&[]), Ok(None));
/// ```
///
/// # Errors
/// When two records name two DIDs, when one names something that is no DID, and when there are too many.
pub fn read(records: &[TxtRecord]) -> Result<Option<Did>, TxtAnswerError> {
    if records.len() > MAX_RECORDS {
        return Err(TxtAnswerError::TooMany);
    }
    let mut found: Option<Did> = None;
    for record in records {
        let octets = record.joined();
        let Some(value) = octets.strip_prefix(PREFIX) else { continue };
        // What is not UTF-8 holds a character that no DID has.
        let text = std::str::from_utf8(value).map_err(|_| TxtAnswerError::NotADid(InvalidDid::Character))?;
        let did: Did = text.parse().map_err(TxtAnswerError::NotADid)?;
        match &found {
            Some(first) if *first != did => return Err(TxtAnswerError::Conflict),
            _ => found = Some(did),
        }
    }
    Ok(found)
}

/// Why a DNS answer names no DID although it tries to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum TxtAnswerError {
    /// Two records name two DIDs.
    #[error("TXT records name two different DIDs")]
    Conflict,
    /// A record starts with `did=`, and what follows is no DID.
    #[error("TXT record does not name a DID: {0}")]
    NotADid(InvalidDid),
    /// More records than are looked at.
    #[error("TXT answer must have at most 100 records")]
    TooMany,
}

const PREFIX: &[u8] = b"did=";
/// Names that hold this record hold few others; an answer of 64 KiB, the most that DNS carries, could have thousands.
const MAX_RECORDS: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(records: &[&str]) -> Result<Option<String>, TxtAnswerError> {
        let records: Vec<TxtRecord> =
            records.iter().map(|text| TxtRecord::new([text.as_bytes().to_vec()])).collect();
        read(&records).map(|did| did.map(|did| did.to_string()))
    }

    #[test]
    fn r33_one_did_is_found_among_other_records() {
        let did = || Ok(Some("did:plc:a".to_owned()));
        assert_eq!(answer(&["did=did:plc:a"]), did());
        assert_eq!(answer(&["other", "did=did:plc:a", "DID=did:plc:b", " did=did:plc:c"]), did());
        assert_eq!(answer(&["other", "did:plc:a", ""]), Ok(None));
        assert_eq!(answer(&[]), Ok(None));
    }

    #[test]
    fn r33_the_chunks_of_one_record_are_joined_and_those_of_two_are_not() {
        let chunks = TxtRecord::new([b"di".to_vec(), b"d=did:".to_vec(), b"plc:a".to_vec()]);
        assert_eq!(read(&[chunks]).unwrap().unwrap().as_str(), "did:plc:a");
        assert_eq!(answer(&["did=did:", "plc:a"]), Err(TxtAnswerError::NotADid(InvalidDid::Prefix)));
    }

    #[test]
    fn r33_two_dids_in_txt_refuse() {
        assert_eq!(answer(&["did=did:plc:a", "did=did:plc:b"]), Err(TxtAnswerError::Conflict));
    }

    #[test]
    fn r33_the_same_did_twice_is_accepted() {
        assert_eq!(answer(&["did=did:plc:a", "x", "did=did:plc:a"]), Ok(Some("did:plc:a".to_owned())));
    }

    #[test]
    fn r33_nothing_is_trimmed() {
        for text in ["did= did:plc:a", "did=did:plc:a ", "did=\"did:plc:a\"", "did=did:plc:é", "did="] {
            assert!(matches!(answer(&[text]), Err(TxtAnswerError::NotADid(_))), "{text}");
        }
        let binary = TxtRecord::new([b"did=did:plc:\xff".to_vec()]);
        assert_eq!(read(&[binary]), Err(TxtAnswerError::NotADid(InvalidDid::Character)));
        assert_eq!(answer(&["x"; 101]), Err(TxtAnswerError::TooMany));
    }
}
