//! The properties of the links between the hosts.

use std::{fmt, str::FromStr, time::Duration};

/// The properties of the links from one host to another.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct LinkProfile {
    pub(crate) name: String,
    /// One-way delay; each pair of hosts draws its own from this range.
    pub(crate) delay: (Duration, Duration),
    /// Additional delay of each packet, up to this. It also reorders packets.
    pub(crate) jitter: Duration,
    /// Share of packets that are lost, 0 to 1.
    pub(crate) loss: f64,
    /// Send rate of a host, bytes per second.
    pub(crate) rate: Option<f64>,
    /// Limit of the queue of `rate`; further packets are lost.
    pub(crate) queue: Duration,
}

/// The default queue. Chosen because it is of the order of the queues of home routers at their line
/// rate.
const QUEUE: Duration = Duration::from_millis(250);

impl LinkProfile {
    /// A delay of 50 ms and no faults.
    pub(crate) fn clean() -> Self {
        let delay = Duration::from_millis(50);
        Self {
            name: "clean".to_owned(),
            delay: (delay, delay),
            jitter: Duration::ZERO,
            loss: 0.0,
            rate: None,
            queue: QUEUE,
        }
    }

    /// Links like those of volunteers, with different delays, loss and limited rates.
    pub(crate) fn lossy() -> Self {
        Self {
            name: "lossy".to_owned(),
            delay: (Duration::from_millis(20), Duration::from_millis(80)),
            jitter: Duration::from_millis(5),
            loss: 0.005,
            rate: Some(1_000_000.0),
            queue: QUEUE,
        }
    }

    /// No delay, to measure the processing cost of the routers.
    pub(crate) fn local() -> Self {
        Self {
            name: "local".to_owned(),
            delay: (Duration::ZERO, Duration::ZERO),
            ..Self::clean()
        }
    }

    /// A short description.
    pub(crate) fn describe(&self) -> String {
        let (from, to) = self.delay;
        let mut words = vec![match (from.as_millis(), to.as_millis()) {
            (_, 0) => "no delay".to_owned(),
            (from, to) if from == to => format!("{from} ms"),
            (from, to) => format!("{from}-{to} ms"),
        }];
        if !self.jitter.is_zero() {
            words.push(format!("{} ms jitter", self.jitter.as_millis()));
        }
        if self.loss > 0.0 {
            words.push(format!("{} % loss", self.loss * 100.0));
        }
        if let Some(rate) = self.rate {
            words.push(format!("{} KB/s", rate / 1000.0));
        }
        words.join(", ")
    }

    /// The limit of the goodput in bytes per second, if the links limit it.
    ///
    /// The host of the sender sends all data at least once. 1812 bytes of data take two tunnel
    /// messages of 1028 bytes. The overhead of transports and TCP is not counted.
    pub(crate) fn limit(&self) -> Option<f64> {
        self.rate
            .map(|rate| rate * 1812.0 / 2056.0 * (1.0 - self.loss))
    }
}

impl fmt::Display for LinkProfile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl FromStr for LinkProfile {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        for profile in [Self::clean(), Self::lossy(), Self::local()] {
            if profile.name == text {
                return Ok(profile);
            }
        }
        let mut profile = Self {
            name: text.to_owned(),
            ..Self::local()
        };
        for setting in text.split(',') {
            let (key, value) = setting
                .split_once('=')
                .ok_or_else(|| format!("{setting} is neither clean, lossy, local nor KEY=VALUE"))?;
            match key {
                "delay" => {
                    let (from, to) = value.split_once("..").unwrap_or((value, value));
                    profile.delay = (millis(from)?, millis(to)?);
                    if profile.delay.0 > profile.delay.1 {
                        return Err(format!("the delay {value} ends before it begins"));
                    }
                }
                "jitter" => profile.jitter = millis(value)?,
                "queue" => profile.queue = millis(value)?,
                "loss" => profile.loss = number(value, 100.0)? / 100.0,
                "rate" => profile.rate = Some(number(value, 1e7)? * 1000.0).filter(|&r| r > 0.0),
                _ => return Err(format!("unknown: {key}; delay, jitter, loss, rate, queue")),
            }
        }
        Ok(profile)
    }
}

/// Milliseconds, up to a minute.
fn millis(text: &str) -> Result<Duration, String> {
    number(text, 60_000.0).map(|ms| Duration::from_secs_f64(ms / 1000.0))
}

fn number(text: &str, most: f64) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if (0.0..=most).contains(&number) => Ok(number),
        _ => Err(format!("{text} is not a number from 0 to {most}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn profiles_have_names_or_options() {
        assert_eq!("lossy".parse(), Ok(LinkProfile::lossy()));
        let own: LinkProfile = "delay=20..80,jitter=5,loss=0.5,rate=1000".parse().unwrap();
        assert_eq!(
            LinkProfile {
                name: "lossy".to_owned(),
                ..own
            },
            LinkProfile::lossy()
        );
    }

    #[test]
    fn invalid_profiles_are_refused() {
        for text in [
            "",
            "fast",
            "delay=",
            "delay=9..1",
            "loss=101",
            "rate=-1",
            "x=1",
        ] {
            assert!(text.parse::<LinkProfile>().is_err(), "{text}");
        }
    }

    #[test]
    fn the_description_contains_the_set_options() {
        assert_eq!(LinkProfile::clean().describe(), "50 ms");
        assert_eq!(
            LinkProfile::lossy().describe(),
            "20-80 ms, 5 ms jitter, 0.5 % loss, 1000 KB/s"
        );
        assert_eq!(LinkProfile::local().describe(), "no delay");
    }
}
