//! Downloads that resume: `transfer offer DIRECTORY`, and `transfer fetch ADDRESS NAME`.
#![expect(clippy::print_stdout, reason = "the address is shown there")]

use std::{error::Error, path::PathBuf, time::Duration};

use clap::{Parser, Subcommand};
use eepkit::{Address, Router, serve};
use eepkit_apps::transfer::{Offer, fetch};
use indicatif::{ProgressBar, ProgressStyle};

/// Offers or fetches files over I2P, on the router named by EEPKIT_ROUTER.
#[derive(Debug, Parser)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Offers the files of DIRECTORY and prints the address.
    Offer {
        directory: PathBuf,
        /// The file with the keys of the address; it is created if it is missing.
        #[arg(long, default_value = "transfer.dat")]
        keys: PathBuf,
    },
    /// Fetches the file NAME from ADDRESS into the current directory.
    Fetch { address: Address, name: String },
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let router = Router::from_env()?;
    match Args::parse().command {
        Command::Offer { directory, keys } => {
            let session = router.session().key_file(keys).open().await?;
            let server = serve(session.listen(0)?, Offer::new(directory)).start();
            println!("{}", session.destination().to_b32());
            tokio::signal::ctrl_c().await?;
            server.shutdown(Duration::from_secs(5)).await;
        }
        Command::Fetch { address, name } => {
            let session = router.session().open().await?;
            let style = "{bar:40} {bytes}/{total_bytes} {bytes_per_sec} {eta} {msg}";
            let bar = ProgressBar::new(0).with_style(ProgressStyle::with_template(style)?);
            let target = PathBuf::from(&name);
            fetch(&session, &address, &name, &target, |progress| {
                bar.set_length(progress.size);
                bar.set_position(progress.stored);
                if progress.connections > 1 {
                    bar.set_message(format!("connection {}", progress.connections));
                }
            })
            .await?;
            bar.finish();
        }
    }
    router.shutdown().await;
    Ok(())
}
