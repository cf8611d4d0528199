//! An echo server and client for datagrams. Without an argument it sends each datagram back to its
//! sender. With an ADDRESS it sends three datagrams there and prints the round-trip times.
//!
//! Uses the router at `$EEPKIT_ROUTER`, or the one that listens for I2CP on this machine.
#![expect(
    clippy::print_stdout,
    reason = "the output is the purpose of the example"
)]

use std::time::Duration;

use eepkit::{DatagramSocket, Error, Format, Router};
use tokio::time::{Instant, timeout};

#[tokio::main]
async fn main() -> Result<(), Error> {
    let session = Router::from_env()?.session().open().await?;
    // Every router and library supports Datagram1.
    let datagrams = session.datagrams(Format::Datagram1);
    match std::env::args().nth(1) {
        Some(address) => ask(&datagrams.bind(0)?, &address).await,
        None => {
            println!("{}:7", session.destination().to_b32());
            answer(&datagrams.bind(7)?).await
        }
    }
}

async fn answer(socket: &DatagramSocket) -> Result<(), Error> {
    loop {
        let question = socket.recv_from().await?;
        if let Some(sender) = question.sender() {
            println!("{} bytes from {sender}", question.payload().len());
        }
        socket.reply(&question, question.payload()).await?;
    }
}

async fn ask(socket: &DatagramSocket, address: &str) -> Result<(), Error> {
    for number in 1..=3_u8 {
        let began = Instant::now();
        socket.send_to(&[number; 32], address).await?;
        // The datagram or its answer may be lost.
        match timeout(Duration::from_secs(10), socket.recv_from()).await {
            Ok(answer) => println!(
                "{} bytes after {:?}",
                answer?.payload().len(),
                began.elapsed()
            ),
            Err(_) => println!("no answer"),
        }
    }
    Ok(())
}
