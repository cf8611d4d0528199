//! A server whose process has run out of file descriptors.
//!
//! A separate test program, because it uses up the descriptors of the whole process.
#![cfg(target_os = "linux")]

use std::{fs::File, time::Duration};

use eepkit_services::serve::{Endpoint, Limits, Listeners, Server};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

#[tokio::test]
async fn clients_wait_without_descriptors_and_are_served_afterwards() {
    let endpoint = Endpoint::Tcp("127.0.0.1:0".parse().expect("an address"));
    let listeners = Listeners::bind([endpoint]).await.expect("free");
    let at = listeners.addresses().tcp[0];
    let server = Server::new(Limits::new(100));
    server.serve(listeners, |mut connection| async move {
        let _ = connection.socket.write_all(b"hello").await;
    });

    let old = getrlimit(Resource::Nofile);
    let few = Rlimit {
        current: Some(64),
        maximum: old.maximum,
    };
    setrlimit(Resource::Nofile, few).expect("fewer are allowed");
    // Creates the client's socket while there are descriptors.
    let mut client = TcpStream::connect(at).await.expect("it listens");
    client.read_exact(&mut [0; 5]).await.expect("it serves");
    let socket = tokio::net::TcpSocket::new_v4().expect("a descriptor");
    let mut held = Vec::new();
    while let Ok(file) = File::open("/dev/null") {
        held.push(file);
    }
    let mut waiting = socket.connect(at).await.expect("the system takes it");
    let mut hello = [0; 5];
    let served = timeout(Duration::from_millis(300), waiting.read_exact(&mut hello)).await;
    assert!(served.is_err(), "there are no descriptors");
    drop(held);
    let served = timeout(Duration::from_secs(10), waiting.read_exact(&mut hello)).await;
    served.expect("in time").expect("a greeting");
    assert_eq!(&hello, b"hello");
    server.shutdown(Duration::from_secs(5)).await;
}
