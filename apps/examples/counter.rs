//! One service over three protocols: `counter` serves a codec at port 1, WebSocket at 2, HTTP/2 at
//! 3. `counter ADDRESS NUMBER...` adds numbers over each of them.
#![expect(clippy::print_stdout, reason = "sums are shown there")]

use std::{error::Error, io};

use eepkit::{Router, serve};
use eepkit_apps::counter::{
    Counter, add_by_codec, add_by_http2, add_by_web_socket, serve_codec, serve_http2,
    serve_web_socket,
};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let router = Router::from_env()?;
    let session = router.session().open().await?;
    let mut args = std::env::args().skip(1);
    let Some(server) = args.next() else {
        let counter = Counter::default();
        let [one, two, three] = [counter.clone(), counter.clone(), counter];
        let _codec = serve(session.listen(1)?, move |stream| {
            let counter = one.clone();
            async move { serve_codec(stream, &counter).await }
        })
        .start();
        let _web_socket = serve(session.listen(2)?, move |stream| {
            let counter = two.clone();
            async move {
                serve_web_socket(stream, &counter)
                    .await
                    .map_err(io::Error::other)
            }
        })
        .start();
        let _http2 = serve(session.listen(3)?, move |stream| {
            let counter = three.clone();
            async move {
                serve_http2(stream, &counter)
                    .await
                    .map_err(io::Error::other)
            }
        })
        .start();
        println!("{}", session.destination().to_b32());
        tokio::signal::ctrl_c().await?;
        router.shutdown().await;
        return Ok(());
    };
    let numbers = args
        .map(|arg| arg.parse())
        .collect::<Result<Vec<u64>, _>>()?;
    let to = session.lookup(&*server).await?;
    let stream = session.connect((&to, 1)).await?;
    println!("codec: {}", add_by_codec(stream, &numbers).await?);
    let stream = session.connect((&to, 2)).await?;
    println!(
        "WebSocket: {}",
        add_by_web_socket(stream, &server, &numbers).await?
    );
    let stream = session.connect((&to, 3)).await?;
    println!("HTTP/2: {}", add_by_http2(stream, &server, &numbers).await?);
    router.shutdown().await;
    Ok(())
}
