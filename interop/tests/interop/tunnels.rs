//! Tests of our tunnels with those of i2pd.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    sync::Arc,
    time::Duration,
};

use eepkit::{PrivateKeys, Router};
use eepkit_interop::{I2pdNet, Peer};
use eepkit_services::{
    import::{Imported, Source},
    service::{Context, Definition as _},
    tunnel::{DatagramTunnel, UdpClientConfig, UdpServerConfig},
};
use libtest_mimic::{Failed, Trial};
use tokio::{
    net::UdpSocket,
    time::{Instant, sleep, timeout},
};

use crate::{
    lab::{Lab, Outcome, STEP_LIMIT, same},
    net::{OURS, ROUTERS, THEIRS},
};

pub(crate) fn add(lab: &Arc<Lab>, trials: &mut Vec<Trial>) {
    lab.add(trials, &[Peer::I2pd], "udp_tunnels_cross_both_ways", udp);
}

async fn udp(_lab: Arc<Lab>, _peer: Peer) -> Outcome {
    // A network of its own, because a router restarts.
    let net = I2pdNet::start(ROUTERS).await?;
    let theirs = &net.routers()[THEIRS];
    let router = Router::attach(&format!("i2cp://{}", net.routers()[OURS].i2cp()))?;
    let context = Context::new(router);
    let echo = echo().await?;
    let our_server = UdpServerConfig::new().target(echo).port(7001);
    let our_server = our_server
        .option("inbound.length", 2)
        .option("inbound.quantity", 3)
        .launch(&context)
        .await?;
    let their_port = free_port()?;
    let tunnels = format!(
        "[server]\ntype = udpserver\nhost = 127.0.0.1\nport = {}\ninport = 7000\nkeys = udp.dat\n{OPTIONS}\
         [client]\ntype = udpclient\naddress = 127.0.0.1\nport = {}\ndestination = {}\n\
         destinationport = 7001\nkeys = client.dat\n{OPTIONS}",
        echo.port(),
        their_port.port(),
        our_server.destination().to_b32(),
    );
    theirs.set_tunnels(&tunnels).await?;
    let keys = written(&theirs.dir().join("udp.dat")).await?;
    let address = format!("{}:7000", keys.destination().to_b32());
    let our_client = UdpClientConfig::new()
        .listen(SocketAddr::from(([127, 0, 0, 1], 0)))
        .destination(address.parse()?)
        .option("inbound.length", 2)
        .option("inbound.quantity", 3)
        .launch(&context)
        .await?;
    let to_theirs = exchange("over our client", our_client.udp_addrs()[0]);
    let to_ours = exchange("over their client", their_port);
    let (one, other) = tokio::join!(to_theirs, to_ours);
    let log = theirs.log();
    stop([&our_client, &our_server]).await;
    if one.is_err() || other.is_err() {
        return Err(format!("{one:?}, {other:?}\n{log}").into());
    }

    // The same file as an import: it has both tunnels, with the same ports and keys.
    let files = [Source {
        name: "tunnels.conf".to_owned(),
        text: tunnels,
    }];
    let imported = Imported::from_i2pd(&files, theirs.dir())?;
    same("imported tunnels", imported.sections(), 2)?;
    let file = imported.key_files().find(|file| file.ends_with("udp.dat"));
    let loaded = PrivateKeys::load(file.ok_or("no key file")?)?;
    same("the destination", loaded.destination(), keys.destination())
}

async fn stop(tunnels: [&DatagramTunnel; 2]) {
    for tunnel in tunnels {
        tunnel.stop().await;
    }
}

/// Sends datagrams until one comes back, and then many at once, of which most are raw.
async fn exchange(what: &str, tunnel: SocketAddr) -> Outcome {
    let socket = UdpSocket::bind("127.0.0.1:0").await?;
    let mut buffer = [0; 2048];
    let deadline = Instant::now() + STEP_LIMIT * 2;
    loop {
        socket.send_to(b"hello", tunnel).await?;
        let answer = timeout(Duration::from_secs(2), socket.recv(&mut buffer)).await;
        if let Ok(Ok(count)) = answer {
            same(what, &buffer[..count], b"hello")?;
            break;
        }
        if Instant::now() > deadline {
            return Err(format!("{what}: no answer").into());
        }
    }
    let mut answered = 0;
    for number in 0..BURST {
        let text = format!("datagram {number} {}", "x".repeat(500));
        socket.send_to(text.as_bytes(), tunnel).await?;
        sleep(Duration::from_millis(20)).await;
    }
    while let Ok(Ok(_)) = timeout(Duration::from_secs(5), socket.recv(&mut buffer)).await {
        answered += 1;
    }
    match answered >= BURST * 3 / 4 {
        true => Ok(()),
        false => Err(format!("{what}: {answered} of {BURST} datagrams came back").into()),
    }
}

/// A UDP server that sends back what it receives.
async fn echo() -> Result<SocketAddr, Failed> {
    let socket = UdpSocket::bind("127.0.0.1:0").await?;
    let address = socket.local_addr()?;
    tokio::spawn(async move {
        let mut buffer = vec![0; 65_535];
        while let Ok((count, from)) = socket.recv_from(&mut buffer).await {
            let _ = socket.send_to(&buffer[..count], from).await;
        }
    });
    Ok(address)
}

fn free_port() -> Result<SocketAddr, Failed> {
    let port = eepkit_interop::free_port(Ipv4Addr::LOCALHOST)?;
    Ok((Ipv4Addr::LOCALHOST, port).into())
}

/// Waits until a router has written a key file.
async fn written(file: &Path) -> Result<PrivateKeys, Failed> {
    let deadline = Instant::now() + STEP_LIMIT;
    loop {
        match PrivateKeys::load(file) {
            Ok(keys) => return Ok(keys),
            Err(error) if Instant::now() > deadline => return Err(error.into()),
            Err(_) => sleep(Duration::from_millis(200)).await,
        }
    }
}

/// Datagrams that are sent within two seconds.
const BURST: usize = 40;

const OPTIONS: &str = "inbound.length = 2\noutbound.length = 2\ninbound.quantity = 3\n";
