//! Tests of requests over datagrams, with loss.

use std::time::Duration;

use eepkit::{Format, sim::SimNet};
use eepkit_apps::ask::{AskError, Asker, answer};
use futures_util::future::join_all;
use tokio::time::Instant;

use crate::{net, session};

async fn asker(net: &SimNet) -> Asker {
    let session = session(net).await;
    let socket = session.datagrams(Format::Datagram2).bind(0);
    Asker::new(socket.expect("a port is free"))
}

#[tokio::test(start_paused = true)]
async fn requests_are_answered_although_datagrams_get_lost() {
    let net = net().loss(0.25).seed(3).start();
    let server = session(&net).await;
    let socket = server.datagrams(Format::Datagram2).bind(37).unwrap();
    tokio::spawn(async move {
        answer(&socket, |_, question| {
            question.iter().rev().copied().collect()
        })
        .await
    });
    let asker = asker(&net).await;

    let questions: Vec<String> = (0..40).map(|number| format!("question {number}")).collect();
    let asking = questions
        .iter()
        .map(|question| asker.ask(server.destination(), 37, question.as_bytes()));
    let answers = join_all(asking).await;

    let mut answered = 0;
    for (question, answer) in questions.iter().zip(answers) {
        // Four consecutive losses have a probability of one in fifty.
        if let Ok(answer) = answer {
            let expected: Vec<u8> = question.bytes().rev().collect();
            assert_eq!(answer, expected);
            answered += 1;
        }
    }
    assert!(answered >= 35, "{answered} of 40");
}

#[tokio::test(start_paused = true)]
async fn a_request_to_an_offline_destination_times_out() {
    let net = net().start();
    let silent = session(&net).await;
    let asker = asker(&net).await;
    let began = Instant::now();

    let error = asker.ask(silent.destination(), 37, b"?").await.unwrap_err();

    assert!(matches!(error, AskError::Timeout(_)), "{error}");
    assert!(
        began.elapsed() < Duration::from_secs(60),
        "{:?}",
        began.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn responses_of_other_destinations_are_dropped() {
    let net = net().start();
    let (server, forger) = (session(&net).await, session(&net).await);
    let session = session(&net).await;
    let socket = session.datagrams(Format::Datagram2).bind(5).unwrap();
    let asker = Asker::new(socket);
    let forging = forger.datagrams(Format::Datagram2).bind(37).unwrap();
    let asked = session.destination().clone();
    let forge = async move {
        for number in 0..10_u64 {
            let mut packet = vec![2];
            packet.extend(number.to_be_bytes());
            packet.extend(b"forged");
            forging.send_to(&packet, (&asked, 5)).await.unwrap();
        }
    };

    let (answer, ()) = tokio::join!(asker.ask(server.destination(), 37, b"?"), forge);

    assert!(matches!(answer, Err(AskError::Timeout(_))), "{answer:?}");
}
