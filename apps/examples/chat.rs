//! A group chat.
//!
//! `chat serve KEYFILE` opens a room and prints its address. `chat join ADDRESS NAME` joins it and
//! sends the lines of standard input.
//!
//! Uses the router at `$EEPKIT_ROUTER`, or the router that listens for I2CP on this machine.
#![expect(clippy::print_stdout, reason = "the output is the chat")]

use std::time::Duration;

use eepkit::{Router, serve};
use eepkit_apps::chat::{Event, Member, Room};
use tokio::io::{AsyncBufReadExt as _, BufReader, stdin};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["serve", key_file] => host(key_file).await,
        ["join", address, name] => join(address, name).await,
        _ => Err("usage: chat serve KEYFILE | chat join ADDRESS NAME".into()),
    }
}

async fn host(key_file: &str) -> Result<(), Box<dyn std::error::Error>> {
    let router = Router::from_env()?;
    let session = router.session().key_file(key_file).open().await?;
    let server = serve(session.listen(0)?, Room::default()).start();
    println!("{}", session.destination().to_b32());
    tokio::signal::ctrl_c().await?;
    server.shutdown(Duration::from_secs(10)).await;
    router.shutdown().await;
    Ok(())
}

async fn join(address: &str, name: &str) -> Result<(), Box<dyn std::error::Error>> {
    let session = Router::from_env()?.session().open().await?;
    let mut member = Member::join(session.clone(), address.parse()?, name);
    let mut input = BufReader::new(stdin()).lines();
    loop {
        tokio::select! {
            line = input.next_line() => match line? {
                Some(line) => member.say(&line).await,
                None => break,
            },
            event = member.event() => match event {
                Some(Event::Line { name, text }) => println!("{name}: {text}"),
                Some(Event::Joined) => println!("* joined"),
                Some(Event::Away(why)) => println!("* away: {why}"),
                None => break,
            },
        }
    }
    drop(member);
    session.close().await;
    Ok(())
}
