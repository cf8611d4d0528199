//! Tests of reconfiguration, bandwidth limits and blinding.

use super::*;

#[test]
fn tunnel_options_can_be_changed() {
    let mut bench = Bench::new(&[("inbound.length", "1")]);
    bench.greet("0.9.66", BandwidthLimits::default());
    bench.accept();
    let mut options = Options::new();
    options.set_inbound_quantity(4).expect("valid");
    for (status, expected) in [
        (SessionStatus::UPDATED, true),
        (SessionStatus::INVALID, false),
    ] {
        let options = options.clone();
        bench.command(Command::Reconfigure {
            session: Handle::PRIMARY,
            options,
        });
        match bench.sent().as_slice() {
            [
                Message::ReconfigureSession {
                    session: ID,
                    config,
                },
            ] => {
                assert_eq!(config.options.get("inbound.quantity"), Some("4"));
                assert_eq!(config.options.get("inbound.length"), Some("1"), "as before");
            }
            other => panic!("{other:?}"),
        }
        bench.router(&Message::SessionStatus {
            session: ID,
            status,
        });
        match bench.events().as_slice() {
            [
                Event::Reconfigured {
                    session: Handle::PRIMARY,
                    accepted,
                },
            ] => {
                assert_eq!(*accepted, expected);
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn reconfigure_session_is_not_sent_to_emissary() {
    let mut bench = Bench::new(&[]);
    bench.greet("0.9.63", emissary_limits());
    bench.accept();
    let options = Options::new();
    bench.command(Command::Reconfigure {
        session: Handle::PRIMARY,
        options,
    });
    assert_eq!(bench.sent(), []);
    assert!(matches!(
        bench.events().as_slice(),
        [Event::Reconfigured {
            session: Handle::PRIMARY,
            accepted: false
        }]
    ));
}

#[test]
fn bandwidth_limits_can_be_requested() {
    let mut bench = Bench::ready("0.9.66");
    bench.command(Command::GetBandwidthLimits);
    assert_eq!(bench.sent(), [Message::GetBandwidthLimits]);
    bench.router(&Message::BandwidthLimits(emissary_limits()));
    assert!(matches!(
        bench.events().as_slice(),
        [Event::BandwidthLimits(_)]
    ));
}

#[test]
fn blinding_info_is_sent_to_routers_that_support_it() {
    for (version, expected) in [("0.9.42", 0), ("0.9.43", 1)] {
        let mut bench = Bench::ready(version);
        bench.command(Command::Blinding {
            endpoint: crate::Endpoint::Destination(peer()),
            expires: 1,
            client: None,
            password: Text::new("secret"),
        });
        assert_eq!(bench.sent().len(), expected, "{version}");
    }
}
