//! The table of attacks, row by row against the pure crate and in one go against the running program; and the rows that need a clock,
//! a broken store or another setting.

use vestibule_tests::oauth::attacks::{self, Seen};
use vestibule_tests::oauth::{Lab, Live};
use vestibule_tests::{Peers, block_on, own_loopback};

/// The steps that came out otherwise than they are wanted.
fn failures(name: &str, seen: &Seen) -> Vec<String> {
    let wrong = seen.steps().iter().filter(|step| step.wanted != step.came);
    wrong.map(|step| format!("{name}: {}: {} and not {}", step.what, step.came, step.wanted)).collect()
}

/// A test of this name for the row of the table with the same name.
macro_rules! rows {
    ($($name:ident)*) => {
        $(#[test]
        fn $name() {
            let row = attacks::all().into_iter().find(|row| row.name == stringify!($name)).expect("a row of this name");
            let seen = block_on(row.run(&Lab::new()));
            assert!(!seen.steps().is_empty());
            let wrong = failures(row.name, &seen);
            assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
        })*

        #[test]
        fn every_row_has_its_test() {
            let rows: Vec<&str> = attacks::all().iter().map(|row| row.name).collect();
            assert_eq!(rows, [$(stringify!($name)),*]);
        }
    };
}

rows! {
    a1_other_methods
    a2_json
    a3_multipart
    a4_another_charset
    a5_no_media_type
    a6_a_body_too_large
    a7_ten_thousand_pairs
    a8_broken_escapes
    a9_broken_utf8
    a10_control_characters
    a11_a_secret_in_the_url
    a12_a_parameter_twice
    a13_names_of_other_languages
    a14_an_empty_grant_type
    a15_two_grant_types_in_one
    a16_a_grant_type_spelt_otherwise
    a17_unknown_parameters
    a18_two_authorization_fields
    a19_basic_and_a_secret_in_the_body
    a20_basic_and_another_client_in_the_body
    a21_basic_and_an_assertion
    a22_another_scheme
    a23_basic_that_is_none
    a24_a_secret_of_all_characters
    a25_an_empty_secret
    a26_a_wrong_secret
    a27_an_unknown_client
    a28_a_public_client_with_a_secret
    a29_a_method_it_is_not_registered_for
    a31_no_algorithm
    a32_a_public_key_as_a_secret
    a33_a_key_of_the_attacker
    a34_something_critical
    a35_an_assertion_for_somebody_else
    a36_another_time
    a37_another_subject
    a38_an_assertion_twice
    a39_a_long_jti_and_somebody_elses
    a40_a_signed_text_that_is_none
    a41_a_signature_that_is_none
    a43_a_code_that_is_none
    a44_another_clients_code
    a45_a_replay_that_is_valid
    a46_a_replay_that_is_not
    a47_a_hundred_at_once
    a48_no_verifier
    a50_a_verifier_that_is_none
    a51_a_verifier_without_a_challenge
    a52_the_challenge_as_verifier
    a53_another_redirect_uri
    a54_no_redirect_uri
    a55_one_thing_for_another
    a56_a_wider_scope
    a59_again_because_the_answer_was_lost
    a60_twenty_at_once
    a61_another_clients_token
    a62_another_key
    a63_a_wider_scope
    a66_a_client_that_may_not_refresh
    a67_two_proofs
    a68_a_header_that_is_none
    a69_another_request
    a70_another_time
    a71_another_nonce
    a72_a_proof_twice
    a74_a_code_for_a_key
    a75_another_host_in_the_headers
    a73_the_clients_own_key
    a76_a_public_client_for_itself
    a77_a_password
    a78_a_device_that_asks_too_often
    a79_a_resource_that_is_none
    a80_an_exchange_that_is_none
    t43_an_assertion_as_a_grant
    a81_introspection_of_what_is_not_ones_own
    a82_revocation_of_what_is_not_ones_own
    a83_revocation_with_a_wrong_hint
    a84_text_for_the_error_page
}

#[tokio::test]
async fn every_row_holds_over_http() {
    let live = Live::start(Peers::shared().await).await;
    let mut wrong = Vec::new();
    for row in attacks::all() {
        // An address of its own for each: failures are counted by address.
        live.send_from(own_loopback());
        wrong.extend(failures(row.name, &row.run(&live).await));
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}
