#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| eepkit_attach::fuzzing::i2cp(data));
