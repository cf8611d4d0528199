//! Tests with arbitrary sequences of inputs.

use super::{
    subsessions::{SUB, open_subsession},
    *,
};

#[derive(Debug, Clone)]
enum Step {
    Router(Vec<u8>),
    Frame(u8, Vec<u8>),
    Known(usize),
    Command(usize),
    Pass(u16),
    Eof,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        1 => any::<Vec<u8>>().prop_map(Step::Router),
        3 => (any::<u8>(), any::<Vec<u8>>()).prop_map(|(kind, body)| Step::Frame(kind, body)),
        6 => (0_usize..10).prop_map(Step::Known),
        4 => (0_usize..6).prop_map(Step::Command),
        2 => any::<u16>().prop_map(Step::Pass),
        1 => Just(Step::Eof),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_sequence_of_inputs_panics_or_loops_forever(
        steps in prop::collection::vec(step(), 0..40),
    ) {
        let mut bench = Bench::new(&[]);
        let known = [
            set_date("0.9.66"),
            Message::BandwidthLimits(emissary_limits()),
            Message::BandwidthLimits(BandwidthLimits::default()),
            Message::SessionStatus { session: ID, status: SessionStatus::CREATED },
            Message::SessionStatus { session: SessionId(7), status: SessionStatus::CREATED },
            Message::SessionStatus { session: ID, status: SessionStatus::INVALID },
            lease_set_request(ID),
            Message::HostReply(HostReply::found(ID, 0, peer())),
            Message::HostReply(HostReply::failed(ID, 1, HostResult::FAILURE)),
            Message::MessagePayload(MessagePayload {
                session: ID,
                message: 1,
                payload: Bytes::new(),
            }),
        ];
        for step in steps {
            match step {
                Step::Router(bytes) => bench.receive(&bytes),
                Step::Frame(kind, body) => {
                    let length = u32::try_from(body.len()).expect("short");
                    let mut frame = length.to_be_bytes().to_vec();
                    frame.push(kind);
                    frame.extend(body);
                    bench.receive(&frame);
                }
                Step::Known(index) => bench.router(&known[index]),
                Step::Command(index) => {
                    let command = match index {
                        0 => publish(Handle::PRIMARY),
                        1 => send(&bench, 1),
                        2 => lookup(1, LookupTarget::Hash(peer().hash())),
                        3 => open_subsession(SUB),
                        4 => Command::Reconfigure {
                            session: Handle::PRIMARY,
                            options: Options::new(),
                        },
                        _ => Command::Close(SUB),
                    };
                    bench.command(command);
                }
                Step::Pass(milliseconds) => bench.pass(Duration::from_millis(milliseconds.into())),
                Step::Eof => bench.input(Input::Eof),
            }
        }
        let closed = bench.events.iter().filter(|event| matches!(event, Event::Closed(_))).count();
        prop_assert!(closed <= 1);
        prop_assert_eq!(closed == 1, bench.session.is_closed());
    }
}
