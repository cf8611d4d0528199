#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| eepkit_services::fuzzing::http_request(data));
