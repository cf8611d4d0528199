//! WebSocket through the HTTP proxy and a tunnel to a web server, with two Python packages.

use std::sync::Arc;

use eepkit_services::{
    service::{Context, Definition as _},
    tunnel::{HttpServerTunnelConfig, Target},
};

use crate::{
    Lab, Outcome,
    run::{Program, free_port, listens},
    same,
};

pub(crate) const PROGRAMS: &[&str] = &[
    PYTHON,
    "/usr/lib/python3/dist-packages/websocket/__init__.py",
    "/usr/lib/python3/dist-packages/websockets/__init__.py",
];

/// The interpreter for which Debian's packages are installed.
const PYTHON: &str = "/usr/bin/python3";

/// Sends back the messages. The first one is answered with the headers of the request, without those
/// that the tunnel adds.
const SERVER: &str = r#"
import asyncio, sys, websockets

async def echo(socket):
    await socket.recv()
    headers = [pair for pair in socket.request_headers.raw_items() if pair[0][:5] != "X-I2p"]
    await socket.send(repr(sorted(headers)))
    async for message in socket:
        await socket.send(message)

async def main():
    async with websockets.serve(echo, "127.0.0.1", int(sys.argv[1])):
        await asyncio.Future()

asyncio.run(main())
"#;

/// Opens a tunnel with CONNECT, as browsers do.
const WITH_CONNECT: &str = r#"
import sys, websocket

proxy, host = sys.argv[1].rsplit(":", 1), sys.argv[2]
socket = websocket.create_connection(
    "ws://%s/echo" % host, http_proxy_host=proxy[0], http_proxy_port=proxy[1], timeout=80)
socket.send("headers")
socket.recv()
socket.send("text")
print(socket.recv())
message = bytes(range(256)) * 1200
socket.send_binary(message)
print(socket.recv() == message)
socket.ping("here")
opcode, frame = socket.recv_data_frame(control_frame=True)
print(opcode == websocket.ABNF.OPCODE_PONG, frame.data)
socket.close(1000, b"done")
"#;

/// Requests the upgrade from the proxy, as some programs do.
const WITH_UPGRADE: &str = r#"
import socket, sys, websockets.client, websockets.uri
from websockets.frames import Opcode

proxy, host = sys.argv[1].rsplit(":", 1), sys.argv[2]
machine = websockets.client.ClientConnection(websockets.uri.parse_uri("ws://%s/echo" % host))
request = machine.connect()
request.path = "http://%s/echo" % host
request.headers["User-Agent"] = "secret/1"
request.headers["Accept-Language"] = "xx"
request.headers["Origin"] = "http://elsewhere.i2p"
machine.send_request(request)
connection = socket.create_connection(proxy, 80)
connection.settimeout(80)

def message():
    whole = b""
    while True:
        for event in machine.events_received():
            if hasattr(event, "opcode") and event.opcode in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
                whole += event.data
                if event.fin:
                    return whole
            elif not hasattr(event, "opcode"):
                machine.send_text(b"headers")
        for data in machine.data_to_send():
            connection.sendall(data)
        machine.receive_data(connection.recv(65536))

print(message().decode())
machine.send_text(b"text")
print(message().decode())
machine.send_close(1000)
for data in machine.data_to_send():
    connection.sendall(data)
while data := connection.recv(65536):
    machine.receive_data(data)
"#;

/// What arrives at the server if a program requests the upgrade from the proxy.
fn headers(host: &str, key: &str) -> String {
    let pairs = [
        ("Connection", "upgrade"),
        ("Host", host),
        ("Origin", "null"),
        ("Sec-Websocket-Key", key),
        ("Sec-Websocket-Version", "13"),
        ("Upgrade", "websocket"),
        ("User-Agent", "MYOB/6.66 (AN/ON)"),
    ];
    let pairs: Vec<_> = pairs
        .iter()
        .map(|(name, value)| format!("('{name}', '{value}')"))
        .collect();
    format!("[{}]", pairs.join(", "))
}

pub(crate) async fn echo(lab: Arc<Lab>) -> Outcome {
    let dir = tempfile::tempdir()?;
    let port = free_port()?;
    let _server = Program::new(PYTHON)
        .args(["-c", SERVER, &port.to_string()])
        .spawn()?;
    listens(port).await?;
    let server = HttpServerTunnelConfig::new()
        .name("websocket")
        .keys(dir.path().join("keys.dat"))
        .target(Target::Tcp(([127, 0, 0, 1], port).into()))
        .option("inbound.length", 1)
        .option("outbound.length", 1)
        .launch(&Context::new(lab.far()))
        .await?;
    let host = server.destination().to_b32();
    let proxy = lab.proxy_address();
    let client = |script: &str| Program::new(PYTHON).args(["-c", script, &proxy, &host]);
    let connect = client(WITH_CONNECT).output().await?;
    let upgrade = client(WITH_UPGRADE).output().await?;
    server.stop().await;
    same(
        "the answers over CONNECT",
        &connect,
        &"text\nTrue\nTrue b'here'\n".to_owned(),
    )?;
    // The key is random.
    let key = upgrade.split("'Sec-Websocket-Key', '").nth(1);
    let key = key.and_then(|rest| rest.split('\'').next()).unwrap_or("");
    same(
        "the answers to an upgrade",
        &upgrade,
        &format!("{}\ntext\n", headers(&host, key)),
    )
}
