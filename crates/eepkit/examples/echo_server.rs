//! The echo server of the I2P developer guide. It prints its destination. Then it prints each line
//! that a client sends, and sends it back.
//!
//! Uses the router at `$EEPKIT_ROUTER`, or the one that listens for I2CP on this machine.
#![expect(clippy::print_stdout, reason = "the guide specifies the output")]

use eepkit::{Error, Router, Stream};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};

#[tokio::main]
async fn main() -> Result<(), Error> {
    let session = Router::from_env()?.session().open().await?;
    // Clients need the destination. It is new at each start; `key_file` would keep it.
    println!("{}", session.destination().to_base64());

    let listener = session.listen(0)?;
    loop {
        let stream = listener.accept().await?;
        tokio::spawn(async move {
            if let Err(error) = answer(stream).await {
                println!("A client went away: {error}");
            }
        });
    }
}

async fn answer(stream: Stream) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    stream.read_line(&mut line).await?;
    println!("Received from client: {}", line.trim_end());
    stream.write_all(line.as_bytes()).await?;
    // Written data is still delivered after the stream is dropped.
    stream.shutdown().await
}
