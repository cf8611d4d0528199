//! Logs at level `info` and above contain no IP addresses, full destinations or keys.

use std::{
    fmt::{self, Write as _},
    sync::{Arc, Mutex},
    time::Duration,
};

use eepkit::Router;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tracing::{Event, Level, Subscriber, field::Visit, span};
use tracing_subscriber::{
    Layer,
    layer::{Context, SubscriberExt as _},
    registry::LookupSpan,
};

use crate::lab::{Lab, Link};

/// Records the text of every event and span at `info` and above.
#[derive(Clone, Default)]
struct Notes(Arc<Mutex<Vec<String>>>);

struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn fmt::Debug) {
        write!(self.0, " {}={value:?}", field.name()).expect("a string takes all");
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Notes {
    fn on_new_span(&self, attributes: &span::Attributes<'_>, _: &span::Id, _: Context<'_, S>) {
        if *attributes.metadata().level() <= Level::INFO {
            let mut text = Text(attributes.metadata().name().to_owned());
            attributes.record(&mut text);
            self.0.lock().expect("no panic").push(text.0);
        }
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        if *event.metadata().level() <= Level::INFO {
            let mut text = Text(event.metadata().target().to_owned());
            event.record(&mut text);
            self.0.lock().expect("no panic").push(text.0);
        }
    }
}

#[test]
fn logs_at_info_contain_no_address_and_no_destination() {
    let notes = Notes::default();
    let subscriber = tracing_subscriber::registry().with(notes.clone());
    let mut secrets = vec!["127.0.0.1".to_owned(), "[::1]".to_owned()];
    tracing::subscriber::with_default(subscriber, || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .expect("a runtime");
        runtime.block_on(async {
            for link in [Link::Direct, Link::I2cp] {
                secrets.extend(a_life(link).await);
            }
            // Errors about an unreachable router often contain its address.
            let gone = Router::attach("i2cp://127.0.0.1:1").expect("an address");
            let session = gone.session().start().expect("starts");
            tokio::time::sleep(Duration::from_secs(30)).await;
            session.close().await;
        });
    });
    let notes = notes.0.lock().expect("no panic");
    assert!(!notes.is_empty(), "the test sees the log");
    for note in notes.iter() {
        for secret in &secrets {
            assert!(!note.contains(secret), "{note}");
        }
    }
}

/// Runs streams, errors, a lost session and a close. Returns the texts that must not be logged.
async fn a_life(link: Link) -> Vec<String> {
    let lab = Lab::new(link);
    let mut ends = lab.stream().await;
    ends.near.write_all(b"x").await.expect("writes");
    ends.far.read_u8().await.expect("reads");
    ends.near.reset();
    let refused = ends.client.connect((ends.server.destination(), 9)).await;
    refused.expect_err("nobody listens");
    assert!(lab.net.lose_session(ends.client.destination()));
    tokio::time::sleep(Duration::from_secs(10)).await;
    let destinations = [ends.client.destination(), ends.server.destination()];
    let secrets = destinations.iter().flat_map(|destination| {
        let (base64, base32) = (destination.to_base64(), destination.to_b32());
        // A prefix of this length identifies the destination as well.
        [base64[..100].to_owned(), base32[..32].to_owned()]
    });
    let secrets = secrets.collect();
    ends.client.close().await;
    lab.net.stop();
    tokio::time::sleep(Duration::from_secs(10)).await;
    secrets
}
