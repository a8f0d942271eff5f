//! What is kept at rest: sealed texts, stored sessions, and the master secret.

use vestibule_atproto_identity::login::SessionRecord;
use vestibule_oauth_core::seal::{SealError, SealKeys};
use vestibule_oauth_core::{Secret, base64url};
use vestibule_storage::{KeyPurpose, KeyRing, KeyRingError, MasterSecret, RingKey};

use super::material::{
    CANARY, edited, halves, hides_the_canary, holds_the_canary, is_one_line, text, with_member,
};
use crate::fixed::NOW;

/// What is sealed opens unchanged, at its place, under its ring, and in no other way; what was not sealed never opens. The
/// first line is the place, the rest the text, and what changes it.
pub fn sealed(data: &[u8]) {
    let (place, plain) = halves(data);
    let keys = SealKeys::new([1; 32], []);
    let opens = |keys: &SealKeys, octets: &[u8], place: &[u8]| {
        keys.open(octets, place).map(|plain| plain.expose().clone())
    };
    let refused = Err(SealError::Unreadable);

    let octets = keys.seal(plain, place, [9; 24]).unwrap();
    assert_eq!(opens(&keys, &octets, place).as_deref(), Ok(plain));
    assert!(!keys.is_outdated(&octets));
    let rotated = SealKeys::new([2; 32], [[1; 32]]);
    assert_eq!(opens(&rotated, &octets, place).as_deref(), Ok(plain));
    assert!(rotated.is_outdated(&octets));

    assert_eq!(opens(&SealKeys::new([2; 32], []), &octets, place), refused);
    assert_eq!(opens(&keys.for_purpose("other"), &octets, place), refused);
    assert_eq!(opens(&keys, &octets, &[place, b"x"].concat()), refused);
    assert_eq!(opens(&keys, &octets[..octets.len() - 1], place), refused);
    let changed = edited(&octets, plain);
    assert_eq!(opens(&keys, &changed, place).is_ok(), changed == octets);
    assert_eq!(opens(&keys, data, place), refused);
    let _any_answer_will_do = keys.is_outdated(data);
}

/// A stored session is written as it was read, and shows no token.
pub fn session_record(data: &[u8]) {
    match SessionRecord::from_octets(data) {
        Ok(record) => {
            let written = record.to_octets().unwrap();
            let again = SessionRecord::from_octets(&written).unwrap();
            assert_eq!(*again.to_octets().unwrap(), *written);
            assert_eq!((again.key, again.pds, again.scope), (record.key, record.pds, record.scope));
            assert!(again.dpop_key.same_as(record.dpop_key.expose()));
        }
        Err(error) => is_one_line(&error),
    }
    if !holds_the_canary(data) {
        for name in ["access_token", "refresh_token", "dpop_key"] {
            match with_member(data, name, CANARY).map(|data| SessionRecord::from_octets(&data)) {
                Some(Ok(record)) => hides_the_canary(&record),
                Some(Err(error)) => hides_the_canary(&error),
                None => {}
            }
        }
    }
}

/// A secret file is the keys on its lines, and opens exactly what one of them sealed.
pub fn master_secret(data: &[u8]) {
    let Some(text) = text(data) else { return };
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let keys: Vec<Option<[u8; 32]>> = lines.map(base64url::decode_array).collect();
    let sound = (1..=32).contains(&keys.len()) && keys.iter().all(Option::is_some);
    let secret = match MasterSecret::parse(text) {
        Ok(secret) => secret,
        Err(error) => {
            assert!(!sound, "{error}");
            assert!(error.to_string().len() <= 100);
            return is_one_line(&error);
        }
    };
    assert!(sound);
    let shown = format!("{secret:?}");
    assert!(text.lines().all(|line| line.len() < 43 || !shown.contains(line)));

    let ring = |master: &MasterSecret| {
        KeyPurpose::ALL.map(|purpose| RingKey::generate(purpose, [4; 32], NOW).seal(master, [6; 24]).unwrap())
    };
    let rows = ring(&secret);
    assert_eq!(KeyRing::open(&rows, &secret).unwrap().signing_keys().len(), 1);
    // The last of its lines opens too: that is what keeps a rotated secret working.
    let last = Secret::new(keys.last().copied().flatten().map(base64url::encode).unwrap_or_default());
    let last = MasterSecret::parse(last.expose()).unwrap();
    assert!(KeyRing::open(&ring(&last), &secret).is_ok());
    let (stranger, _) = MasterSecret::generate([0x5a; 32]);
    if !keys.contains(&Some([0x5a; 32])) {
        let opened = KeyRing::open(&rows, &stranger);
        assert!(matches!(opened, Err(KeyRingError::OtherSecret { .. })), "{opened:?}");
    }
}
