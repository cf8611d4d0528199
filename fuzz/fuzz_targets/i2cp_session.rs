#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| eepkit_i2cp::fuzzing::session(data));
