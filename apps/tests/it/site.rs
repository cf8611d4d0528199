//! Tests of the guest book with visitors.

use eepkit::I2pSocketAddr;
use eepkit_apps::site::{Visitor, app};

use crate::{net, session};

#[tokio::test(start_paused = true)]
async fn entries_have_the_address_of_the_visitor() {
    let net = net().start();
    let server = session(&net).await;
    let host = server.destination().to_b32();
    let service = app().into_make_service_with_connect_info::<I2pSocketAddr>();
    let listener = server.listen(80).unwrap();
    tokio::spawn(async move { axum::serve(listener, service).await });

    let (ann, bob) = (session(&net).await, session(&net).await);
    let first = Visitor::new(ann.clone(), &host);
    let second = Visitor::new(bob.clone(), &host);
    first.write("Hello & <welcome>!").await.unwrap();
    second.write("Gr\u{fc}\u{df}e").await.unwrap();

    let book = first.read().await.unwrap();
    let written: Vec<_> = book
        .iter()
        .map(|entry| (&*entry.visitor, &*entry.text))
        .collect();
    let (ann, bob) = (ann.destination().to_b32(), bob.destination().to_b32());
    assert_eq!(
        written,
        [(&*ann, "Hello & <welcome>!"), (&*bob, "Gr\u{fc}\u{df}e")]
    );
}

#[tokio::test(start_paused = true)]
async fn the_client_connects_only_to_i2p_destinations() {
    let net = net().start();
    for host in ["example.com", "127.0.0.1", "localhost", "[::1]"] {
        let visitor = Visitor::new(session(&net).await, host);
        let error = visitor.read().await.unwrap_err();
        let mut text = error.to_string();
        let mut source = std::error::Error::source(&error);
        while let Some(error) = source {
            text = format!("{text}: {error}");
            source = error.source();
        }
        assert!(text.contains("not a name on I2P"), "{host}: {text}");
    }
}
