#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| eepkit_naming::fuzzing::feed(data));
