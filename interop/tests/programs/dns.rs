//! DNS over tunnels for UDP: dnsmasq as the server, dig as the client.

use std::sync::Arc;

use eepkit::Address;
use eepkit_services::{
    service::{Context, Definition as _},
    tunnel::{UdpClientConfig, UdpServerConfig},
};
use tokio::time::timeout;

use crate::{
    Lab, Outcome,
    run::{LIMIT, Program, free_port, listens, path_of},
    same,
};

pub(crate) const PROGRAMS: &[&str] = &["dnsmasq", "dig"];

/// A client sends several questions at a time, of which one has an answer of more than a kilobyte.
pub(crate) async fn questions_and_answers(lab: Arc<Lab>) -> Outcome {
    let dir = tempfile::tempdir()?;
    let port = free_port()?;
    let text = "t".repeat(250);
    let dnsmasq = path_of("dnsmasq").ok_or("no dnsmasq")?;
    let _dnsmasq = Program::new(&dnsmasq)
        .args([
            "--keep-in-foreground",
            "--no-daemon",
            "--conf-file=/dev/null",
        ])
        .args(["--no-resolv", "--no-hosts", "--bind-interfaces"])
        .args(["--listen-address=127.0.0.1", "--edns-packet-max=4096"])
        .args([
            "--address=/one.test/192.0.2.1",
            "--address=/two.test/2001:db8::2",
        ])
        .arg(&format!("--port={port}"))
        .arg(&format!(
            "--txt-record=long.test{}",
            format!(",{text}").repeat(5)
        ))
        .spawn()?;
    listens(port).await?;

    let server = UdpServerConfig::new()
        .name("dns")
        .keys(dir.path().join("dns.dat"))
        .port(53)
        .target(([127, 0, 0, 1], port).into())
        .launch(&Context::new(lab.far()))
        .await?;
    let destination: Address = format!("{}:53", server.destination().to_b32()).parse()?;
    // A datagram has no retransmission, so the tunnels of the server must be there.
    timeout(LIMIT, lab.found(&destination)).await??;
    let client = UdpClientConfig::new()
        .name("dns")
        .listen(([127, 0, 0, 1], 0).into())
        .destination(destination)
        .launch(&Context::new(lab.near()))
        .await?;
    let local = client.udp_addrs()[0].port().to_string();
    let dig = Program::new("dig")
        .args(["@127.0.0.1", "-p", &local, "+notcp", "+short"])
        .args(["+tries=8", "+timeout=10", "+bufsize=4096"])
        .args(["one.test", "A", "two.test", "AAAA", "long.test", "TXT"]);
    let answers = dig.output().await?;
    client.stop().await;
    server.stop().await;
    let long = format!(" \"{text}\"").repeat(5);
    same(
        "the answers",
        &answers,
        &format!("192.0.2.1\n2001:db8::2\n{}\n", long.trim_start()),
    )
}
