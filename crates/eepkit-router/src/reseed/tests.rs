use std::slice;

use tokio::net::TcpListener;

use super::{
    testing::{Answer, Draft, SIGNER, host},
    *,
};
use crate::identity::tests::router_info;

fn signers() -> Signers {
    let mut signers = Signers::default();
    signers.add(SIGNER, clock::unix_now()).unwrap();
    signers
}

#[test]
fn a_valid_file_returns_its_routers() {
    let infos = vec![router_info(2), router_info(2)];

    let bundle = su3::open(&Draft::of(&infos).signed(), &signers()).unwrap();

    assert_eq!(bundle.signer, "test@mail.i2p");
    assert_eq!(bundle.routers, infos);
}

#[test]
fn a_changed_bit_anywhere_is_noticed() {
    let file = Draft::of(&[b"x".to_vec()]).signed();
    let signers = signers();
    // Every part of the header that has a meaning, the content and the signature.
    for position in [
        8,
        13,
        15,
        16,
        20,
        23,
        25,
        27,
        30,
        45,
        58,
        80,
        file.len() - 1,
    ] {
        let mut changed = file.clone();
        changed[position] ^= 1;
        assert!(su3::open(&changed, &signers).is_err(), "byte {position}");
    }
}

#[test]
fn a_file_signed_by_another_key_is_refused() {
    let mut file = Draft::of(&[router_info(2)]).signed();
    let end = file.len();
    file[end - 512..].fill(7);

    let error = su3::open(&file, &signers()).unwrap_err();

    assert_eq!(error, Su3Error::BadSignature("test@mail.i2p".to_owned()));
}

#[test]
fn unknown_signers_and_other_signature_types_are_refused() {
    let draft = Draft {
        signer: "mallory@mail.i2p",
        ..Draft::of(&[])
    };
    let error = su3::open(&draft.signed(), &signers()).unwrap_err();
    assert_eq!(
        error,
        Su3Error::UnknownSigner("mallory@mail.i2p".to_owned())
    );

    let draft = Draft {
        signature_type: 0,
        ..Draft::of(&[])
    };
    let error = su3::open(&draft.signed(), &signers()).unwrap_err();
    assert_eq!(error, Su3Error::SignatureType(0));
}

#[test]
fn truncated_files_and_files_with_trailing_bytes_are_refused() {
    let file = Draft::of(&[b"x".to_vec()]).signed();
    let signers = signers();
    for length in 0..file.len() {
        assert!(
            su3::open(&file[..length], &signers).is_err(),
            "cut at {length}"
        );
    }
    let longer = [&file[..], b"x"].concat();
    assert_eq!(su3::open(&longer, &signers), Err(Su3Error::Length));
}

#[test]
fn signed_files_of_another_kind_are_refused() {
    for (file_type, content_type) in [(0, 1), (3, 3), (0, 4)] {
        let draft = Draft {
            file_type,
            content_type,
            ..Draft::of(&[])
        };
        let error = su3::open(&draft.signed(), &signers()).unwrap_err();
        assert_eq!(
            error,
            Su3Error::Content {
                file_type,
                content_type
            }
        );
    }
}

#[test]
fn oversized_archives_are_refused_even_when_signed() {
    let bomb = Draft::of(&[vec![0; 100 * 1024 * 1024]]).signed();
    assert!(bomb.len() < su3::MAX_FILE);
    let many = Draft::of(&vec![Vec::new(); 501]).signed();
    let broken = Draft {
        content: b"PK\x03\x04 and nothing".to_vec(),
        ..Draft::of(&[])
    }
    .signed();

    for file in [bomb, many, broken] {
        let error = su3::open(&file, &signers()).unwrap_err();
        assert!(matches!(error, Su3Error::Archive(_)), "{error}");
    }
}

#[test]
fn only_routers_of_the_network_are_accepted_and_each_once() {
    let ours = router_info(2);
    let files = [
        ours.clone(),
        ours.clone(),
        router_info(3),
        b"nonsense".to_vec(),
    ];
    let file = Draft::of(&files).signed();

    let routers: Vec<_> = open(&file, &signers(), 2).unwrap().into_values().collect();
    assert_eq!(routers, [ours]);

    let error = open(&file, &signers(), 4).unwrap_err();
    assert!(
        matches!(error, ListError::Empty { network_id: 4, .. }),
        "{error}"
    );
}

#[test]
fn built_in_signers_are_trusted_while_their_certificates_are_valid() {
    // 2026-06-01 and 2060-01-01.
    let in_time = Signers::built_in(Duration::from_secs(1_780_272_000));
    assert_eq!(in_time.len(), 12);
    assert!(in_time.key("reseed@diva.exchange").is_some());

    let late = Signers::built_in(Duration::from_secs(2_840_140_800));
    assert_eq!(late.len(), 0);
}

#[test]
fn invalid_signer_certificates_are_refused() {
    let elliptic = rcgen::generate_simple_self_signed(["x".to_owned()])
        .unwrap()
        .cert
        .pem();
    for pem in [
        "",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        &elliptic,
    ] {
        assert!(Reseed::never().trust_signer(pem).is_err());
    }
}

/// A search at hosts with these answers, all of them trusted.
async fn reseed(answers: Vec<Answer>) -> Reseed {
    let mut urls = Vec::new();
    let mut roots = Vec::new();
    for answer in answers {
        let (url, root) = host(answer).await;
        urls.push(url);
        roots.push(root);
    }
    let reseed = Reseed::hosts(urls).trust_signer(SIGNER).unwrap();
    roots
        .iter()
        .fold(reseed, |reseed, root| reseed.trust_root(root).unwrap())
}

#[tokio::test]
async fn lists_of_two_hosts_are_joined() {
    let (first, second) = (router_info(2), router_info(2));
    let files = [&first, &second].map(|info| Draft::of(slice::from_ref(info)).signed());
    let reseed = reseed(files.map(Answer::File).to_vec()).await;

    let mut routers = reseed.run(2).await.unwrap();

    routers.sort();
    let mut expected = vec![first, second];
    expected.sort();
    assert_eq!(routers, expected);
}

#[tokio::test]
async fn one_working_host_is_enough() {
    let good = router_info(2);
    let file = Draft::of(slice::from_ref(&good)).signed();
    let mut tampered = file.clone();
    tampered[100] ^= 1;
    let answers = vec![
        Answer::Status("404 Not Found"),
        Answer::File(tampered),
        Answer::Endless,
        Answer::File(file),
        Answer::File(b"<html>".to_vec()),
    ];

    let routers = reseed(answers).await.run(2).await.unwrap();

    assert_eq!(routers, [good]);
}

#[tokio::test]
async fn a_host_with_an_untrusted_certificate_is_refused() {
    let (url, _) = host(Answer::File(Draft::of(&[router_info(2)]).signed())).await;
    let reseed = Reseed::hosts([url]).trust_signer(SIGNER).unwrap();

    let error = reseed.run(2).await.unwrap_err();

    let ReseedError::Hosts(failures) = &error else {
        panic!("{error}")
    };
    let (_, why) = failures.iter().next().unwrap();
    assert!(
        matches!(why, ReseedHostError::Fetch(FetchError::Tls(_))),
        "{why}"
    );
}

#[tokio::test]
async fn when_all_hosts_are_down_the_error_names_each_and_a_remedy() {
    let closed = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    let urls = [
        format!("https://{closed}/"),
        "http://plain.example/".to_owned(),
    ];

    let error = Reseed::hosts(urls).run(2).await.unwrap_err().to_string();

    for part in [
        "knows no other routers",
        &closed.to_string(),
        "plain.example",
        "reseed file",
    ] {
        assert!(error.contains(part), "{part} is not in: {error}");
    }
}

#[tokio::test]
async fn hosts_that_never_answer_time_out_at_the_deadline() {
    let reseed = reseed(vec![Answer::Nothing])
        .await
        .deadline(Duration::from_millis(200));

    let error = reseed.run(2).await.unwrap_err().to_string();

    assert!(
        error.contains("no other host answered within 200ms"),
        "{error}"
    );
}

#[tokio::test]
async fn a_file_replaces_the_hosts_and_is_verified_too() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("i2pseeds.su3");
    let info = router_info(2);
    std::fs::write(&path, Draft::of(slice::from_ref(&info)).signed()).unwrap();

    let reseed = Reseed::file(&path).trust_signer(SIGNER).unwrap();
    assert_eq!(reseed.run(2).await.unwrap(), [info]);

    let unknown = Reseed::file(&path).run(2).await.unwrap_err();
    assert!(
        unknown
            .to_string()
            .contains("test@mail.i2p is not a known signer"),
        "{unknown}"
    );

    let missing = Reseed::file(dir.path().join("nothing"))
        .run(2)
        .await
        .unwrap_err();
    assert!(
        matches!(missing, ReseedError::Unreadable { .. }),
        "{missing}"
    );

    std::fs::write(&path, vec![0; su3::MAX_FILE + 1]).unwrap();
    let large = reseed.run(2).await.unwrap_err();
    assert!(matches!(large, ReseedError::Unreadable { .. }), "{large}");
}

#[tokio::test]
async fn without_a_source_the_search_fails() {
    assert!(matches!(
        Reseed::never().run(2).await,
        Err(ReseedError::Never)
    ));
}
