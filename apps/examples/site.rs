//! A guest book as an eepsite: open the printed address in a browser that uses I2P.
#![expect(clippy::print_stdout, reason = "the address is shown there")]

use std::error::Error;

use eepkit::{I2pSocketAddr, Router};
use eepkit_apps::site::app;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let router = Router::from_env()?;
    let session = router.session().key_file("site.dat").open().await?;
    println!("http://{}/", session.destination().to_b32());
    let service = app().into_make_service_with_connect_info::<I2pSocketAddr>();
    axum::serve(session.listen(80)?, service)
        .with_graceful_shutdown(async {
            // Without a signal handler the program runs until it is killed.
            let _ = tokio::signal::ctrl_c().await;
        })
        .await?;
    router.shutdown().await;
    Ok(())
}
