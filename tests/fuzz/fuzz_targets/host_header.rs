#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| vestibule_tests::property::host_header(data));
