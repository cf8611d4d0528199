//! Web sites of files as services.

use eepkit_services::{
    service::{Running as _, ServiceError},
    site::SiteConfig,
};

use super::*;

#[tokio::test(start_paused = true)]
async fn a_site_is_online_with_its_keys_until_it_stops() {
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::write(dir.path().join("index.html"), "hello").expect("written");
    let keys = dir.path().join(".keys.dat");
    let lab = Lab::new();
    let config = SiteConfig::new()
        .folder(dir.path())
        .keys(&keys)
        .option("inbound.length", 1);
    let site = lab.start(config.clone()).await;
    let destination = site.destination();
    assert_eq!(site.addresses().i2p, [destination.to_b32()]);
    let peer = lab.host("peer.i2p").await;
    let mut stream = peer.connect((&destination, 80)).await.expect("connects");
    let request = b"GET / HTTP/1.1\r\nHost: a.i2p\r\nConnection: close\r\n\r\n";
    stream.write_all(request).await.expect("writes");
    let answer = rest(&mut stream).await.expect("ends");
    assert!(answer.ends_with("\r\n\r\nhello"), "{answer}");
    site.stop().await;
    assert_eq!(lab.online(), 0);
    let site = lab.start(config).await;
    assert_eq!(site.destination(), destination);

    let missing = SiteConfig::new().folder(dir.path().join("missing"));
    let error = missing.launch(&lab.context).await.expect_err("is missing");
    assert!(matches!(error, ServiceError::Invalid(_)), "{error}");
    let none = SiteConfig::new().launch(&lab.context).await;
    assert!(matches!(none, Err(ServiceError::Invalid(_))));
}
