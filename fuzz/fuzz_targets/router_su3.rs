#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| eepkit_router::fuzzing::su3(data));
