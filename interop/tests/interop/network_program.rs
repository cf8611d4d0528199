//! The program `i2pd_network`, which runs a private network for programs in other languages.

use std::{process::Stdio, sync::Arc, time::Duration};

use eepkit_interop::{Peer, sam_command};
use libtest_mimic::Trial;
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    net::TcpStream,
    process::Command,
    time::timeout,
};

use crate::lab::{Lab, Outcome, same};

/// The program's time limit for tunnels, and some more.
const READY: Duration = Duration::from_secs(200);

/// The time in which the program ends. Measured: 0.1 s.
const END: Duration = Duration::from_secs(20);

pub(crate) fn add(lab: &Arc<Lab>, trials: &mut Vec<Trial>) {
    lab.add(
        trials,
        &[Peer::I2pd],
        "the_network_program_prints_addresses_and_ends_with_its_input",
        |_, _| prints_addresses_and_ends_with_its_input(),
    );
    lab.add(
        trials,
        &[Peer::I2pd],
        "the_network_program_rejects_a_wrong_number_of_routers",
        |_, _| rejects_a_wrong_number_of_routers(),
    );
}

fn program() -> Command {
    let mut program = Command::new(env!("CARGO_BIN_EXE_i2pd_network"));
    program.kill_on_drop(true);
    program
}

async fn prints_addresses_and_ends_with_its_input() -> Outcome {
    let mut child = program()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let output = child.stdout.take().ok_or("its output is piped")?;
    let mut lines = BufReader::new(output).lines();
    let line = timeout(READY, lines.next_line()).await??;
    let network: Value = serde_json::from_str(&line.ok_or("the program ended")?)?;
    let version = network["i2pd"].as_str().ok_or("no version")?;
    same("a version", version.starts_with("2."), true)?;
    let routers = network["routers"].as_array().ok_or("no routers")?;
    same("routers", routers.len(), 8)?;
    let last = routers.last().ok_or("no routers")?;
    let sam = last["sam"].as_str().ok_or("no address of SAM")?.to_owned();
    let (_, reply) = sam_command(sam.parse()?, "DEST GENERATE SIGNATURE_TYPE=7").await?;
    same("an answer", reply.starts_with("DEST REPLY PUB="), true)?;
    let i2cp = last["i2cp"].as_str().ok_or("no address of I2CP")?;
    TcpStream::connect(i2cp).await?;

    drop(child.stdin.take());
    let status = timeout(END, child.wait()).await??;
    same("success", status.success(), true)?;
    same(
        "a router that runs on",
        TcpStream::connect(sam).await.is_ok(),
        false,
    )
}

async fn rejects_a_wrong_number_of_routers() -> Outcome {
    for wrong in ["0", "201", "many"] {
        let output = timeout(END, program().arg(wrong).output()).await??;
        same("success", output.status.success(), false)?;
        let error = String::from_utf8_lossy(&output.stderr);
        same("the reason", error.contains("from 1 to 200"), true)?;
    }
    Ok(())
}
