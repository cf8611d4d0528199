//! Options under their names in the streaming documentation.

use std::{collections::HashSet, time::Duration};

use eepkit_wire::Hash;

use super::{
    Access, EndpointConfig, InactivityAction, LimitAction, MAX_INITIAL_WINDOW, MAX_WINDOW, Profile,
};
use crate::{
    StreamOptionError,
    mtu::{MAX_MTU, MIN_MTU},
};

/// The description of an option, for documentation and completion.
#[derive(Debug, Clone, Copy)]
pub struct OptionInfo {
    /// The name of the option.
    pub key: &'static str,
    /// The default value.
    pub default: &'static str,
    /// The effect of the option in this library.
    pub effect: &'static str,
    apply: Apply,
}

type Apply = fn(&mut EndpointConfig, Given<'_>) -> Result<(), StreamOptionError>;

pub(super) fn set(
    config: &mut EndpointConfig,
    key: &str,
    value: &str,
) -> Result<(), StreamOptionError> {
    let info = OPTIONS
        .iter()
        .find(|info| info.key == key)
        .ok_or_else(|| StreamOptionError::Unknown(key.to_owned()))?;
    (info.apply)(
        config,
        Given {
            key: info.key,
            value: value.trim(),
        },
    )
}

/// A value as text, with the name of its option for error messages.
#[derive(Clone, Copy)]
struct Given<'a> {
    key: &'static str,
    value: &'a str,
}

impl Given<'_> {
    fn invalid(self, expected: &'static str) -> StreamOptionError {
        StreamOptionError::Invalid {
            key: self.key,
            value: self.value.chars().take(MAX_ECHO).collect(),
            expected,
        }
    }

    fn refused(self, why: &'static str) -> Result<(), StreamOptionError> {
        Err(StreamOptionError::Refused { key: self.key, why })
    }

    fn bool(self) -> Result<bool, StreamOptionError> {
        match self.value.to_ascii_lowercase().as_str() {
            "true" | "yes" | "1" => Ok(true),
            "false" | "no" | "0" => Ok(false),
            _ => Err(self.invalid("true or false")),
        }
    }

    fn integer(self, min: i64, max: i64) -> Result<i64, StreamOptionError> {
        let value = self
            .value
            .parse::<i64>()
            .map_err(|_| self.invalid("a whole number"))?;
        if (min..=max).contains(&value) {
            Ok(value)
        } else {
            Err(StreamOptionError::OutOfRange {
                key: self.key,
                value,
                min,
                max,
            })
        }
    }

    fn count(self, min: u32, max: u32) -> Result<u32, StreamOptionError> {
        self.integer(min.into(), max.into())
            .map(|value| u32::try_from(value).unwrap_or(max))
    }

    /// A limit. Zero and negative numbers mean no limit.
    fn limit(self) -> Result<u32, StreamOptionError> {
        self.integer(i64::MIN, u32::MAX.into())
            .map(|value| u32::try_from(value).unwrap_or(0))
    }

    fn size(self, min: u32, max: u32) -> Result<usize, StreamOptionError> {
        self.count(min, max)
            .map(|value| usize::try_from(value).unwrap_or(usize::MAX))
    }

    fn factor(self, min: f64, max: f64) -> Result<f64, StreamOptionError> {
        match self.value.parse::<f64>() {
            Ok(value) if (min..=max).contains(&value) => Ok(value),
            _ => Err(self.invalid("a number in its range")),
        }
    }

    fn millis(self, min: i64, max: i64) -> Result<Duration, StreamOptionError> {
        self.integer(min, max)
            .map(|value| Duration::from_millis(value.unsigned_abs()))
    }

    /// Milliseconds. A negative number means no limit.
    fn wait(self) -> Result<Option<Duration>, StreamOptionError> {
        let value = self.integer(i64::MIN, DAY_MS)?;
        Ok(u64::try_from(value).ok().map(Duration::from_millis))
    }

    /// Hashes in base64, separated by commas or white space.
    fn hashes(self) -> Result<HashSet<Hash>, StreamOptionError> {
        let mut hashes = HashSet::new();
        for text in self
            .value
            .split([',', ' ', '\t', '\r', '\n'])
            .filter(|text| !text.is_empty())
        {
            if hashes.len() >= MAX_HASHES {
                return Err(self.invalid("a list of at most 65,536 hashes"));
            }
            hashes.insert(
                Hash::from_base64(text).map_err(|_| self.invalid("a list of hashes in base64"))?,
            );
        }
        Ok(hashes)
    }
}

fn limit_action(given: Given<'_>) -> LimitAction {
    match given.value {
        "reset" => LimitAction::Reset,
        "drop" => LimitAction::Drop,
        "http" => LimitAction::Http,
        text => LimitAction::Custom(
            text.replace("\\r", "\r")
                .replace("\\n", "\n")
                .chars()
                .take(MAX_RESPONSE)
                .collect(),
        ),
    }
}

fn listed(access: &mut Access) -> HashSet<Hash> {
    match std::mem::replace(access, Access::Everyone) {
        Access::Everyone => HashSet::new(),
        Access::Only(list) | Access::AllBut(list) | Access::Unused(list) => list,
    }
}

/// Enables an access rule, or disables it if it is the current one.
fn switch_access(config: &mut EndpointConfig, on: bool, rule: fn(HashSet<Hash>) -> Access) {
    let current = config.access.clone();
    let list = listed(&mut config.access);
    let ruled = rule(list.clone());
    config.access = match (on, current) {
        (true, _) => ruled,
        (false, current) if current == ruled => Access::Unused(list),
        (false, current) => current,
    };
}

macro_rules! option {
    ($key:literal, $default:literal, $effect:literal, $apply:expr) => {
        OptionInfo {
            key: $key,
            default: $default,
            effect: $effect,
            apply: $apply,
        }
    };
}

/// Every option of the streaming documentation and of the routers: accepted, or refused with a
/// reason. Times are in milliseconds, sizes in bytes, windows in packets.
pub const OPTIONS: &[OptionInfo] = &[
    option!(
        "i2p.streaming.answerPings",
        "true",
        "answer pings",
        |c, v| {
            c.answer_pings = v.bool()?;
            Ok(())
        }
    ),
    option!(
        "i2p.streaming.blacklist",
        "",
        "hashes that may never connect",
        |c, v| {
            c.blacklist = v.hashes()?;
            Ok(())
        }
    ),
    option!(
        "i2p.streaming.bufferSize",
        "65536",
        "bytes accepted from the writer and not sent yet",
        |c, v| {
            c.stream.send_buffer = v.size(1024, 1 << 28)?;
            Ok(())
        }
    ),
    option!(
        "i2p.streaming.congestionAvoidanceGrowthRateFactor",
        "1",
        "divides the growth of the cwnd, with every congestion control",
        |c, v| {
            c.stream.avoidance_factor = v.factor(1.0, 1000.0)?;
            Ok(())
        }
    ),
    option!(
        "i2p.streaming.connectDelay",
        "-1",
        "how long the first packet waits for data",
        |c, v| {
            c.stream.connect_delay = v.wait()?.unwrap_or_default();
            Ok(())
        }
    ),
    option!(
        "i2p.streaming.connectTimeout",
        "60000",
        "time limit for connecting; negative means no limit",
        |c, v| {
            c.stream.connect_timeout = v.wait()?;
            Ok(())
        }
    ),
    option!(
        "i2p.streaming.disableRejectLogging",
        "false",
        "the driver does not log refused streams",
        |c, v| {
            c.disable_reject_logging = v.bool()?;
            Ok(())
        }
    ),
    option!("i2p.streaming.dsalist", "", "refused", |_, v| v
        .refused("a destination has one signature type here")),
    option!(
        "i2p.streaming.dontSign",
        "false",
        "refused when true",
        |_, v| match v.bool()? {
            true => v.refused("streams are always signed and always checked"),
            false => Ok(()),
        }
    ),
    option!(
        "i2p.streaming.enforceProtocol",
        "true",
        "accept only packets marked as streaming",
        |c, v| {
            c.enforce_protocol = v.bool()?;
            Ok(())
        }
    ),
    option!(
        "i2p.streaming.inactivityAction",
        "2",
        "0 nothing, 1 disconnect, 2 ask the peer, and disconnect if it does not answer",
        |c, v| {
            c.stream.inactivity_action = match v.integer(0, 2)? {
                0 => InactivityAction::Nothing,
                1 => InactivityAction::Disconnect,
                _ => InactivityAction::Send,
            };
            Ok(())
        }
    ),
    option!(
        "i2p.streaming.inactivityTimeout",
        "90000",
        "idle time before the inactivity action",
        |c, v| {
            c.stream.inactivity_timeout = v.millis(1000, DAY_MS)?;
            Ok(())
        }
    ),
    option!(
        "i2p.streaming.initialAckDelay",
        "100",
        "delay of the first acknowledgements",
        |c, v| {
            c.stream.initial_ack_delay = v.millis(0, 10_000)?;
            Ok(())
        }
    ),
    option!(
        "i2p.streaming.initialReceiveWindow",
        "289",
        "initial receive buffer, in packets",
        |c, v| {
            c.stream.receive_buffer = v.size(1, 65_536)? * c.stream.mtu();
            Ok(())
        }
    ),
    option!(
        "i2p.streaming.initialResendDelay",
        "1000",
        "stated to the peer in each packet, in whole seconds",
        |c, v| {
            c.stream.initial_resend_delay =
                u8::try_from(v.integer(0, 255_000)? / 1000).unwrap_or(u8::MAX);
            Ok(())
        }
    ),
    option!(
        "i2p.streaming.initialRTO",
        "9000",
        "retransmission timeout before the first RTT sample",
        |c, v| {
            c.stream.initial_rto = v.millis(100, 45_000)?;
            Ok(())
        }
    ),
    option!(
        "i2p.streaming.initialRTT",
        "8000",
        "none, as in Java since 0.9.8: the RTT is measured",
        |_, v| v.integer(0, DAY_MS).map(drop)
    ),
    option!(
        "i2p.streaming.initialWindowSize",
        "24",
        "initial cwnd in packets",
        |c, v| {
            c.stream.initial_window = v.count(1, MAX_INITIAL_WINDOW)?;
            Ok(())
        }
    ),
    option!(
        "i2p.streaming.limitAction",
        "reset",
        "reset, drop, http, or a text to send",
        |c, v| {
            c.limit_action = limit_action(v);
            Ok(())
        }
    ),
    option!(
        "i2p.streaming.maxConcurrentStreams",
        "-1",
        "incoming and outgoing; 0 or less is no limit",
        |c, v| {
            c.max_concurrent_streams = usize::try_from(v.limit()?).unwrap_or(0);
            Ok(())
        }
    ),
    option!(
        "i2p.streaming.maxConcurrentStreamsPerPeer",
        "4096",
        "incoming and outgoing, with one peer (eepkit only); 0 or less is as many as with all",
        |c, v| {
            c.max_streams_per_peer = usize::try_from(v.limit()?).unwrap_or(0);
            Ok(())
        }
    ),
    option!(
        "i2p.streaming.maxConnsPerMinute",
        "0",
        "incoming, per peer",
        |c, v| {
            c.per_peer.per_minute = v.limit()?;
            Ok(())
        }
    ),
    option!(
        "i2p.streaming.maxConnsPerHour",
        "0",
        "incoming, per peer",
        |c, v| {
            c.per_peer.per_hour = v.limit()?;
            Ok(())
        }
    ),
    option!(
        "i2p.streaming.maxConnsPerDay",
        "0",
        "incoming, per peer",
        |c, v| {
            c.per_peer.per_day = v.limit()?;
            Ok(())
        }
    ),
    option!(
        "i2p.streaming.maxTotalConnsPerMinute",
        "0",
        "incoming, of all peers",
        |c, v| {
            c.total.per_minute = v.limit()?;
            Ok(())
        }
    ),
    option!(
        "i2p.streaming.maxTotalConnsPerHour",
        "0",
        "incoming, of all peers",
        |c, v| {
            c.total.per_hour = v.limit()?;
            Ok(())
        }
    ),
    option!(
        "i2p.streaming.maxTotalConnsPerDay",
        "0",
        "incoming, of all peers",
        |c, v| {
            c.total.per_day = v.limit()?;
            Ok(())
        }
    ),
    option!(
        "i2p.streaming.maxMessageSize",
        "1812",
        "largest payload of a packet",
        |c, v| {
            c.stream.max_message_size =
                u16::try_from(v.count(MIN_MTU.into(), MAX_MTU.into())?).unwrap_or(MAX_MTU);
            Ok(())
        }
    ),
    option!(
        "i2p.streaming.maxResends",
        "8",
        "retransmissions before the stream fails",
        |c, v| {
            c.stream.max_resends = v.count(0, 16)?;
            Ok(())
        }
    ),
    option!(
        "i2p.streaming.maxWindowSize",
        "4096",
        "largest cwnd in packets",
        |c, v| {
            c.stream.max_window = v.count(1, MAX_WINDOW)?;
            Ok(())
        }
    ),
    option!(
        "i2p.streaming.maxOutboundSpeed",
        "0",
        "bytes per second to one peer; 0 is no limit",
        |c, v| {
            c.stream.max_outbound_speed = Some(u64::from(v.limit()?)).filter(|speed| *speed > 0);
            Ok(())
        }
    ),
    option!(
        "i2p.streaming.maxInboundSpeed",
        "0",
        "refused unless 0",
        |_, v| {
            match v.limit()? {
        0 => Ok(()),
        _ => v.refused("a receiver can only be slowed by withholding acknowledgements, which looks like loss"),
    }
        }
    ),
    option!(
        "i2p.streaming.profile",
        "1",
        "2 is interactive; every other number is bulk",
        |c, v| {
            c.stream.profile = match v.integer(i64::MIN, i64::MAX)? {
                2 => Profile::Interactive,
                _ => Profile::Bulk,
            };
            Ok(())
        }
    ),
    option!(
        "i2p.streaming.readTimeout",
        "-1",
        "time limit for reads, in the driver; negative means no limit",
        |c, v| {
            c.stream.read_timeout = v.wait()?;
            Ok(())
        }
    ),
    option!(
        "i2p.streaming.writeTimeout",
        "-1",
        "time limit for writes, in the driver; negative means no limit",
        |c, v| {
            c.stream.write_timeout = v.wait()?;
            Ok(())
        }
    ),
    option!(
        "i2p.streaming.slowStartGrowthRateFactor",
        "1",
        "slows the exponential growth of the cwnd",
        |c, v| {
            c.stream.slow_start_factor = v.factor(1.0, 1000.0)?;
            Ok(())
        }
    ),
    option!(
        "i2p.streaming.tcbcache.rttDampening",
        "0.75",
        "none: each path state has an RTT estimate and each peer has one; new streams use them",
        |_, v| v.factor(0.0, 1.0).map(drop)
    ),
    option!(
        "i2p.streaming.tcbcache.rttdevDampening",
        "0.75",
        "none, for the same reason",
        |_, v| v.factor(0.0, 1.0).map(drop)
    ),
    option!(
        "i2p.streaming.tcbcache.wdwDampening",
        "0.75",
        "fraction of the cwnd that is kept over a pause",
        |c, v| {
            c.window_dampening = v.factor(0.0, 1.0)?;
            Ok(())
        }
    ),
    option!(
        "i2cp.accessList",
        "",
        "hashes for the access rules",
        |c, v| {
            let list = v.hashes()?;
            c.access = match &c.access {
                Access::Only(_) => Access::Only(list),
                Access::AllBut(_) => Access::AllBut(list),
                Access::Everyone | Access::Unused(_) => Access::Unused(list),
            };
            Ok(())
        }
    ),
    option!(
        "i2cp.enableAccessList",
        "false",
        "only listed peers may connect",
        |c, v| {
            switch_access(c, v.bool()?, Access::Only);
            Ok(())
        }
    ),
    option!(
        "i2cp.enableBlackList",
        "false",
        "listed peers may not connect",
        |c, v| {
            switch_access(c, v.bool()?, Access::AllBut);
            Ok(())
        }
    ),
];

const DAY_MS: i64 = 86_400_000;
/// Characters of an invalid value that an error repeats. Chosen so that a message stays readable.
const MAX_ECHO: usize = 64;
/// The longest custom response, in characters. Chosen so that it fits one packet with its headers.
const MAX_RESPONSE: usize = 1024;
/// Hashes in an access list. Chosen because a full list uses 2 MB of memory.
const MAX_HASHES: usize = 65_536;

#[cfg(test)]
mod tests {
    use super::*;

    fn set(key: &str, value: &str) -> Result<EndpointConfig, StreamOptionError> {
        let mut config = EndpointConfig::default();
        config.set(key, value).map(|()| config)
    }

    fn hash(byte: u8) -> Hash {
        Hash::from([byte; 32])
    }

    #[test]
    fn every_documented_default_is_accepted_and_changes_nothing() {
        let before = format!("{:?}", EndpointConfig::default());
        for info in OPTIONS.iter().filter(|info| !info.default.is_empty()) {
            let mut config = EndpointConfig::default();
            config.set(info.key, info.default).unwrap();
            let same = format!("{config:?}") == before;
            // 289 packets are not exactly the default in bytes.
            assert!(
                same || info.key == "i2p.streaming.initialReceiveWindow",
                "{}",
                info.key
            );
        }
    }

    #[test]
    fn no_option_is_listed_twice() {
        let keys: HashSet<_> = OPTIONS.iter().map(|info| info.key).collect();
        assert_eq!(keys.len(), OPTIONS.len());
    }

    #[test]
    fn values_out_of_range_are_errors() {
        for (key, value) in [
            ("i2p.streaming.maxMessageSize", "511"),
            ("i2p.streaming.maxMessageSize", "70000"),
            ("i2p.streaming.maxResends", "17"),
            ("i2p.streaming.initialWindowSize", "0"),
            ("i2p.streaming.inactivityAction", "3"),
        ] {
            assert!(
                matches!(set(key, value), Err(StreamOptionError::OutOfRange { .. })),
                "{key}={value}"
            );
        }
        assert!(matches!(
            set("i2p.streaming.answerPings", "perhaps"),
            Err(StreamOptionError::Invalid { .. })
        ));
        assert!(matches!(
            set("i2p.streaming.slowStartGrowthRateFactor", "NaN"),
            Err(StreamOptionError::Invalid { .. })
        ));
    }

    #[test]
    fn unlimited_is_zero_or_less() {
        for value in ["0", "-1", "-99999999999"] {
            assert_eq!(
                set("i2p.streaming.maxConnsPerHour", value)
                    .unwrap()
                    .per_peer
                    .per_hour,
                0
            );
            assert_eq!(
                set("i2p.streaming.maxConcurrentStreams", value)
                    .unwrap()
                    .max_concurrent_streams,
                0
            );
        }
    }

    #[test]
    fn negative_times_mean_no_limit() {
        assert_eq!(
            set("i2p.streaming.connectTimeout", "-1")
                .unwrap()
                .stream
                .connect_timeout,
            None
        );
        assert_eq!(
            set("i2p.streaming.readTimeout", "5")
                .unwrap()
                .stream
                .read_timeout,
            Some(Duration::from_millis(5))
        );
    }

    #[test]
    fn limit_actions_are_keywords_or_a_response_with_escapes() {
        let action = |value| {
            set("i2p.streaming.limitAction", value)
                .unwrap()
                .limit_action
        };
        assert_eq!(action("reset"), LimitAction::Reset);
        assert_eq!(action("drop"), LimitAction::Drop);
        assert_eq!(action("http"), LimitAction::Http);
        assert_eq!(action("busy\\r\\n"), LimitAction::Custom("busy\r\n".into()));
    }

    #[test]
    fn access_lists_have_commas_and_spaces_and_any_order_of_options() {
        let list = format!("{}, {}", hash(1).to_base64(), hash(2).to_base64());
        let both = HashSet::from([hash(1), hash(2)]);
        for (key, access) in [
            ("i2cp.enableAccessList", Access::Only(both.clone())),
            ("i2cp.enableBlackList", Access::AllBut(both)),
        ] {
            let options = [
                (key, "true"),
                ("i2cp.accessList", list.as_str()),
                ("inbound.length", "3"),
            ];
            assert_eq!(
                EndpointConfig::from_options(options).unwrap().access,
                access
            );
            let options = [("i2cp.accessList", list.as_str()), (key, "true")];
            assert_eq!(
                EndpointConfig::from_options(options).unwrap().access,
                access
            );
        }
        let options = [
            ("i2cp.accessList", list.as_str()),
            ("i2cp.enableAccessList", "false"),
        ];
        assert!(
            EndpointConfig::from_options(options)
                .unwrap()
                .access
                .admits(&hash(9))
        );
    }

    #[test]
    fn unsupported_options_are_refused_with_a_reason() {
        for (key, value) in [
            ("i2p.streaming.dsalist", "x"),
            ("i2p.streaming.dontSign", "true"),
            ("i2p.streaming.maxInboundSpeed", "9"),
        ] {
            assert!(
                matches!(set(key, value), Err(StreamOptionError::Refused { .. })),
                "{key}"
            );
        }
        assert_eq!(
            set("i2p.streaming.nonsense", "1").unwrap_err(),
            StreamOptionError::Unknown("i2p.streaming.nonsense".into())
        );
        assert!(EndpointConfig::from_options([("i2p.streaming.nonsense", "1")]).is_err());
    }

    #[test]
    fn any_profile_but_interactive_is_bulk() {
        for (value, profile) in [
            ("1", Profile::Bulk),
            ("2", Profile::Interactive),
            ("7", Profile::Bulk),
        ] {
            assert_eq!(
                set("i2p.streaming.profile", value).unwrap().stream.profile,
                profile
            );
        }
    }
}
