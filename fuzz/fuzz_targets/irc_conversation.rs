#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| eepkit_irc::fuzzing::conversation(data));
