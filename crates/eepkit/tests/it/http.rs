//! Servers with axum, and clients with hyper.

use std::time::Duration;

use axum::{Router as Site, extract::ConnectInfo, routing::get};
use eepkit::{AddressError, ConnectError, HttpConnector, I2pSocketAddr, Session};
use http_body_util::{BodyExt as _, Empty};
use hyper::{StatusCode, body::Bytes};
use hyper_util::{
    client::legacy::{Client, Error},
    rt::TokioExecutor,
};

use crate::lab::{Lab, Link, over_both_links, within};

over_both_links! {
    an_axum_site_answers_a_hyper_client,
    an_axum_site_ends_with_its_session,
    hosts_outside_of_i2p_are_refused,
}

fn client(session: &Session) -> Client<HttpConnector, Empty<Bytes>> {
    Client::builder(TokioExecutor::new()).build(HttpConnector::new(session.clone()))
}

async fn get_text(client: &Client<HttpConnector, Empty<Bytes>>, uri: &str) -> String {
    let response = client.get(uri.parse().expect("a URI")).await.expect(uri);
    assert_eq!(response.status(), StatusCode::OK);
    let body = response.into_body().collect().await.expect("whole");
    String::from_utf8(body.to_bytes().to_vec()).expect("text")
}

fn site() -> Site {
    let who = async |ConnectInfo(peer): ConnectInfo<I2pSocketAddr>| peer.to_string();
    Site::new()
        .route("/", get(async || "Hello I2P!"))
        .route("/who", get(who))
}

async fn an_axum_site_answers_a_hyper_client(link: Link) {
    let lab = Lab::new(link);
    let server = lab.session().await;
    let listener = server.listen(80).expect("free");
    let service = site().into_make_service_with_connect_info::<I2pSocketAddr>();
    let serving = tokio::spawn(axum::serve(listener, service).into_future());

    let name = "site.i2p";
    let visitor = lab
        .builder()
        .host(name, server.destination().clone())
        .open()
        .await
        .expect("opens");
    let client = client(&visitor);
    assert_eq!(get_text(&client, "http://site.i2p/").await, "Hello I2P!");
    let b32 = server.destination().to_b32();
    let who = get_text(&client, &format!("http://{b32}:80/who")).await;
    assert_eq!(who, format!("{}:0", visitor.destination().to_b32()));

    let uri = "http://site.i2p/".parse().expect("a URI");
    let response = client.get(uri).await.expect("answers");
    let info = response.extensions().get::<I2pSocketAddr>();
    let peer = info.map(|addr| (addr.destination().clone(), addr.port()));
    assert_eq!(peer, Some((server.destination().clone(), 80)));
    serving.abort();
}

async fn an_axum_site_ends_with_its_session(link: Link) {
    let lab = Lab::new(link);
    let server = lab.session().await;
    let listener = server.listen(80).expect("free");
    let service = site().into_make_service_with_connect_info::<I2pSocketAddr>();
    let serving = axum::serve(listener, service).with_graceful_shutdown(server.closed());
    let closing = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        server.close().await;
    };
    let both = async { tokio::join!(serving.into_future(), closing) };
    let (served, ()) = within(Duration::from_secs(40), both).await;
    served.expect("ends well");
}

async fn hosts_outside_of_i2p_are_refused(link: Link) {
    let lab = Lab::new(link);
    let session = lab.session().await;
    let client = client(&session);
    for uri in [
        "http://example.com/",
        "http://127.0.0.1:80/",
        "http://[::1]/",
        "http://localhost/",
    ] {
        let error = refused(client.get(uri.parse().expect("a URI")).await);
        assert!(
            matches!(error, ConnectError::Address(AddressError::NotI2p(_))),
            "{uri}: {error:?}"
        );
    }
    let uri = "https://site.i2p/".parse().expect("a URI");
    let error = refused(client.get(uri).await);
    assert!(matches!(error, ConnectError::Scheme(_)), "{error:?}");
}

/// The connector's error inside that of the client.
fn refused<T>(result: Result<T, Error>) -> ConnectError {
    let error = result.err().expect("refused");
    let mut source = std::error::Error::source(&error);
    while let Some(cause) = source {
        if let Some(cause) = cause.downcast_ref::<ConnectError>() {
            return cause.clone();
        }
        source = cause.source();
    }
    panic!("no error of ours in {error:?}");
}
