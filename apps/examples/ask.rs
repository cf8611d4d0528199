//! A time service over datagrams: `ask` serves, `ask ADDRESS` requests the time.
#![expect(clippy::print_stdout, reason = "the answer is shown there")]

use std::error::Error;

use eepkit::{Format, Router, clock};
use eepkit_apps::ask::{Asker, answer};

const PORT: u16 = 37;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let router = Router::from_env()?;
    let session = router.session().open().await?;
    match std::env::args().nth(1) {
        None => {
            let socket = session.datagrams(Format::Datagram2).bind(PORT)?;
            println!("{}", session.destination().to_b32());
            let time = |_: &_, _| clock::unix_now().as_secs().to_string().into_bytes();
            answer(&socket, time).await?;
        }
        Some(server) => {
            let server = session.lookup(&*server).await?;
            let asker = Asker::new(session.datagrams(Format::Datagram2).bind(0)?);
            let answer = asker.ask(&server, PORT, b"time").await?;
            println!("{} s since 1970", String::from_utf8_lossy(&answer));
        }
    }
    router.shutdown().await;
    Ok(())
}
