//! A SAM bridge over a simulated network, for tests of a SAM client without a router.
//!
//! ```sh
//! cargo run -p eepkit-services --example simulated -- 127.0.0.1:7656 127.0.0.1:7655
//! ```
//!
//! All sessions of the bridge are on one network and can reach each other, with a delay of 50 ms.
//! The program prints its addresses, and runs until it is killed.

#![expect(clippy::print_stdout, reason = "an example prints its results")]

use std::{error::Error, time::Duration};

use eepkit::{Router, sim::SimNet};
use eepkit_services::sam::{SamBridge, SamConfig};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut addresses = std::env::args().skip(1);
    let mut address = || addresses.next().unwrap_or_else(|| "127.0.0.1:0".to_owned());
    let net = SimNet::builder().delay(Duration::from_millis(50)).start();
    let config = SamConfig::new()
        .listen(address().parse()?)
        .udp(address().parse()?);
    let bridge = SamBridge::start(Router::new(net.i2cp_router()), config).await?;
    println!(
        "SAM at {:?}, UDP at {:?}",
        bridge.tcp_addrs(),
        bridge.udp_addrs()
    );
    std::future::pending::<()>().await;
    Ok(())
}
