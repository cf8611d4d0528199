//! The echo client of the I2P developer guide. It prompts for the server's destination, sends a
//! line to it and prints the answer.
//!
//! Uses the router at `$EEPKIT_ROUTER`, or the one that listens for I2CP on this machine.
#![expect(clippy::print_stdout, reason = "the guide specifies the output")]

use eepkit::{Error, Router};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, stdin};

#[tokio::main]
async fn main() -> Result<(), Error> {
    println!("Please enter a Destination:");
    let mut destination = String::new();
    BufReader::new(stdin()).read_line(&mut destination).await?;

    let session = Router::from_env()?.session().open().await?;
    let mut stream = BufReader::new(session.connect(&destination).await?);

    stream.write_all(b"Hello I2P!\n").await?;
    // Small writes may be delayed until more data follows. Flushing sends them at once.
    stream.flush().await?;
    let mut lines = stream.lines();
    while let Some(line) = lines.next_line().await? {
        println!("Received from server: {line}");
    }
    session.close().await;
    Ok(())
}
