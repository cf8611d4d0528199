//! Fetches a web page over I2P, as in the article "Developing privacy-aware applications with
//! Python and I2P".
//!
//! Usage: `http_get [HOST]`. Uses the router at `$EEPKIT_ROUTER`, or the one that listens for I2CP
//! on this machine.
#![expect(clippy::print_stdout, reason = "the page is the output")]

use eepkit::{Address, Error, Router};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// The web server of the I2P project, `i2p-projekt.i2p`.
const PROJECT: &str = "udhdrtrcetjm5sxzskjyr5ztpeszydbh4dpl3pl4utgqqw2v4jna.b32.i2p";

#[tokio::main]
async fn main() -> Result<(), Error> {
    let host = std::env::args()
        .nth(1)
        .unwrap_or_else(|| PROJECT.to_owned());
    let address: Address = host.parse()?;

    let session = Router::from_env()?.session().open().await?;

    let mut stream = session.connect(&address).await?;
    let request = format!("GET /en/ HTTP/1.0\r\nHost: {host}\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    println!("{}", String::from_utf8_lossy(&answer));

    session.close().await;
    Ok(())
}
