//! A gossip node: `gossip [ADDRESS]...` joins the network of these nodes, spreads each line of the
//! standard input, and prints the rumors that it receives.
#![expect(clippy::print_stdout, reason = "rumors are shown there")]

use std::error::Error;

use eepkit::Router;
use eepkit_apps::gossip::Node;
use tokio::io::{AsyncBufReadExt as _, BufReader, stdin};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let router = Router::from_env()?;
    let session = router.session().open().await?;
    let mut peers = Vec::new();
    for address in std::env::args().skip(1) {
        peers.push(session.lookup(&*address).await?);
    }
    let node = Node::start(&session, peers)?;
    println!("{}", session.destination().to_b32());
    let mut rumors = node.subscribe();
    let mut lines = BufReader::new(stdin()).lines();
    loop {
        tokio::select! {
            rumor = rumors.recv() => println!("{}", rumor?.text),
            line = lines.next_line() => match line? {
                Some(line) => node.spread(&line).await,
                None => break,
            },
        }
    }
    router.shutdown().await;
    Ok(())
}
