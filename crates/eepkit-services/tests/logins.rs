//! Memory use of concurrent logins.
//!
//! A separate test program, because it measures the memory of the whole process.
#![cfg(target_os = "linux")]

use std::sync::Arc;

use eepkit_services::users::{Gate, Password, Users};

/// The resident memory of the process, in bytes.
fn resident() -> usize {
    let text = std::fs::read_to_string("/proc/self/statm").expect("Linux has it");
    let pages = text.split(' ').nth(1).expect("the second number");
    pages.parse::<usize>().expect("a number") * 4096
}

#[tokio::test(flavor = "multi_thread")]
async fn forty_concurrent_logins_use_bounded_memory() {
    let mut users = Users::new();
    users.add("foo", "secret").expect("added");
    let gate = Arc::new(Gate::new(users));
    let before = resident();
    let mut logins = Vec::new();
    for number in 0..40 {
        let gate = gate.clone();
        logins.push(tokio::spawn(async move {
            let password = Password::from(format!("wrong {number}"));
            gate.verify("foo".to_owned(), password).await
        }));
    }
    for login in logins {
        assert!(!login.await.expect("no panic"));
    }
    let right = Password::from("secret".to_owned());
    assert!(gate.verify("foo".to_owned(), right).await);
    let grown = resident().saturating_sub(before);
    assert!(grown < 64 << 20, "{} MiB", grown >> 20);
}
