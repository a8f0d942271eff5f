#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| vestibule_tests::property::token_requests(data));
