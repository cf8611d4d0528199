//! Memory of a bridge after misbehaving clients.
//!
//! A separate test program, because it measures the memory of the whole process.
#![cfg(target_os = "linux")]

#[path = "it/lab.rs"]
#[expect(dead_code, reason = "this test needs a part of it")]
mod lab;

use lab::{Client, Lab};
use tokio::io::AsyncWriteExt as _;

/// Misbehaviour of many clients at once.
async fn abuse(lab: &Lab) {
    let mut clients = Vec::new();
    let long = vec![b'x'; 60_000];
    for number in 0..250_usize {
        let mut client = match number % 5 {
            0 => lab.raw().await,
            _ => lab.client("3.3").await,
        };
        let said: &[u8] = match number % 5 {
            0 => &long,
            1 => b"RAW SEND DESTINATION=x SIZE=65000\nhalf",
            2 => b"NAMING LOOKUP NAME=nobody.i2p\nNAMING LOOKUP NAME=nobody.i2p\n",
            3 => b"STREAM ACCEPT ID=there\n",
            _ => b"SESSION CREATE STYLE=PRIMARY ID=half",
        };
        // The bridge may have closed it already.
        let _ = client.socket.write_all(said).await;
        clients.push(client);
    }
    for number in 0..20 {
        let (control, _) = lab.session(&number.to_string(), "STYLE=RAW").await;
        clients.push(control);
    }
    drop(clients);
}

/// The resident memory of the process, in bytes.
fn resident() -> usize {
    let text = std::fs::read_to_string("/proc/self/statm").expect("Linux has it");
    let pages = text.split(' ').nth(1).expect("the second number");
    pages.parse::<usize>().expect("a number") * 4096
}

#[tokio::test(start_paused = true)]
async fn memory_does_not_grow_with_repeated_abuse() {
    let lab = Lab::new().await;
    let mut after = Vec::new();
    for _ in 0..6 {
        let (there, _) = lab.session("there", "STYLE=STREAM").await;
        abuse(&lab).await;
        drop(there);
        lab.empties().await;
        after.push(resident());
    }
    // The first rounds fill caches of allocators and tables.
    let grown = after[5].saturating_sub(after[2]);
    assert!(grown < 4 << 20, "{after:?}");
    let mut client: Client = lab.client("3.3").await;
    assert_eq!(client.ask("PING").await, "PONG");
}
