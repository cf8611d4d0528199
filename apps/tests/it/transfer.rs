//! Tests of downloads over connections that fail.

use std::time::Duration;

use eepkit::{Address, serve};
use eepkit_apps::transfer::{FetchError, Offer, Progress, fetch};

use crate::{net, session};

fn content(bytes: usize) -> Vec<u8> {
    (0..bytes)
        .map(|index| (index * 7 + index / 251) as u8)
        .collect()
}

#[tokio::test(start_paused = true)]
async fn a_download_continues_where_the_connection_failed() {
    let (there, here) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let data = content(2_000_000);
    std::fs::write(there.path().join("film.bin"), &data).unwrap();
    let net = net().start();
    let server = session(&net).await;
    let address = Address::new(server.destination().clone()).with_port(70);
    let offering = serve(server.listen(70).unwrap(), Offer::new(there.path())).start();
    let client = session(&net).await;
    let target = here.path().join("film.bin");

    let mut seen: Vec<Progress> = Vec::new();
    let mut lost = 0;
    let watch = |progress: Progress| {
        // The router of the server restarts twice during the download.
        if lost < 2 && progress.stored > 600_000 * (lost + 1) {
            assert!(net.lose_session(server.destination()));
            lost += 1;
        }
        seen.push(progress);
    };
    fetch(&client, &address, "film.bin", &target, watch)
        .await
        .unwrap();

    assert_eq!(std::fs::read(&target).unwrap(), data);
    assert!(
        seen.is_sorted_by_key(|progress| progress.stored),
        "no byte came twice"
    );
    let last = seen.last().unwrap();
    assert_eq!((last.stored, last.size), (2_000_000, 2_000_000));
    assert_eq!(last.connections, 3);
    assert!(!here.path().join("film.bin.part").exists());
    offering.shutdown(Duration::from_secs(1)).await;
}

#[tokio::test(start_paused = true)]
async fn only_files_of_the_directory_are_offered() {
    let there = tempfile::tempdir().unwrap();
    std::fs::create_dir(there.path().join("open")).unwrap();
    std::fs::write(there.path().join("secret"), "secret").unwrap();
    let net = net().start();
    let server = session(&net).await;
    let address = Address::new(server.destination().clone()).with_port(70);
    let _offering = serve(
        server.listen(70).unwrap(),
        Offer::new(there.path().join("open")),
    )
    .start();
    let client = session(&net).await;
    let target = there.path().join("got");

    for name in ["../secret", "/etc/passwd", "missing", "..", "", "."] {
        let error = fetch(&client, &address, name, &target, |_| ())
            .await
            .unwrap_err();
        assert!(matches!(error, FetchError::Refused(_)), "{name}: {error}");
    }
    assert!(!target.exists());
}

#[tokio::test(start_paused = true)]
async fn a_part_of_another_file_is_detected() {
    let (there, here) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    std::fs::write(there.path().join("a"), content(5000)).unwrap();
    std::fs::write(here.path().join("a.part"), [9; 100]).unwrap();
    let net = net().start();
    let server = session(&net).await;
    let address = Address::new(server.destination().clone()).with_port(70);
    let _offering = serve(server.listen(70).unwrap(), Offer::new(there.path())).start();
    let client = session(&net).await;
    let target = here.path().join("a");

    let error = fetch(&client, &address, "a", &target, |_| ())
        .await
        .unwrap_err();
    assert!(matches!(error, FetchError::Damaged), "{error}");
    fetch(&client, &address, "a", &target, |_| ())
        .await
        .unwrap();
    assert_eq!(std::fs::read(&target).unwrap(), content(5000));
}
