//! i2pd's cwnd, pacing and RTT estimate. Times are in milliseconds, as in the original.

/// Window, pacing and retransmission timeout of one stream.
#[derive(Debug)]
pub(super) struct Control {
    pub(super) window: f64,
    pub(super) max_window: f64,
    /// The cwnd to be set when the packets in flight fall to this number; 0 is none.
    target: f64,
    /// The cwnd at the last congestion; 0 is none.
    last_drop: f64,
    credit: i64,
    last_growth: u64,
    is_dropped: bool,
    pub(super) is_first_ack: bool,
    pub(super) is_first_sample: bool,
    /// The packet whose acknowledgement ends the recovery of the cwnd.
    pub(super) drop_seq: i64,
    pub(super) rtt: f64,
    pub(super) least_rtt: f64,
    slow_rtt: f64,
    fast_rtt: f64,
    previous_sample: f64,
    jitter: f64,
    jitter_sum: u64,
    jitter_count: u64,
    ack_interval: u64,
    last_ack: u64,
    pub(super) timeout: u64,
    /// Microseconds per packet.
    pub(super) pacing: u64,
}

impl Control {
    pub(super) const fn new() -> Self {
        Self {
            window: INITIAL_WINDOW,
            max_window: MAX_WINDOW,
            target: 0.0,
            last_drop: 0.0,
            credit: 0,
            last_growth: 0,
            is_dropped: true,
            is_first_ack: false,
            is_first_sample: false,
            drop_seq: 10,
            rtt: INITIAL_RTT,
            least_rtt: INITIAL_RTT,
            slow_rtt: INITIAL_RTT,
            fast_rtt: INITIAL_RTT,
            previous_sample: INITIAL_RTT,
            jitter: 0.0,
            jitter_sum: 0,
            jitter_count: 1,
            ack_interval: MAX_ACK_DELAY,
            last_ack: 0,
            timeout: INITIAL_TIMEOUT,
            pacing: 150_000,
        }
    }

    /// The acknowledgement delay.
    pub(super) fn ack_delay(&self) -> u64 {
        ((self.rtt / 10.0) as u64).min(MAX_ACK_DELAY)
    }

    fn update_pacing(&mut self) {
        let rtt = self.least_rtt + self.jitter * 2.0;
        let window = if self.target > 0.0 {
            self.target
        } else {
            self.window
        };
        self.pacing = (rtt * 1000.0 / window).round() as u64;
    }

    /// Grows the cwnd by the credit: at most one step per packet that is due.
    pub(super) fn grow(&mut self, ts: u64, packets: i64, has_data: bool) {
        let may = self.window < self.max_window || self.target > 0.0;
        if self.credit > 0 && may && has_data {
            let mut size = if self.target > 0.0 {
                self.target
            } else {
                self.window
            };
            let mut most = self.max_window;
            if self.last_growth > 0 {
                most = (ts - self.last_growth) as f64 / (self.rtt / 512.0) + size;
            }
            for _ in 0..packets {
                if self.credit == 0 {
                    break;
                }
                size = self.step(size).min(self.max_window);
                self.credit -= 1;
                if size >= most {
                    size = most;
                    break;
                }
            }
            if self.target > 0.0 {
                self.target = size;
            } else {
                self.window = size;
            }
            self.update_pacing();
        }
        self.last_growth = ts;
    }

    fn step(&self, size: f64) -> f64 {
        const KEEP: f64 = 0.2;
        let last = self.last_drop;
        if last > 0.0 && last >= size {
            size + 1.0 - 1.0 / ((last + KEEP) / size)
        } else if last > 0.0 {
            size + (size - (last - KEEP)) / size
        } else {
            size + (size - (1.0 - KEEP)) / size
        }
    }

    /// Adds an RTT sample. Returns whether the timeout was still the initial one.
    pub(super) fn on_ack(
        &mut self,
        ts: u64,
        sample: Option<u64>,
        acked: usize,
        buffer_empty: bool,
    ) -> bool {
        let mut gain = 0;
        if !self.is_first_ack && !self.is_dropped && self.credit < self.max_window as i64 {
            gain = acked as i64;
        }
        if self.last_ack > 0 {
            let interval = ts - self.last_ack;
            self.ack_interval = if self.ack_interval > 0 {
                u64::midpoint(self.ack_interval, interval)
            } else {
                interval
            };
        }
        self.last_ack = ts;
        let Some(sample) = sample else { return false };
        let sample = sample as f64;
        if self.is_first_sample && !self.is_first_ack {
            self.begin(sample);
        } else {
            self.rtt = f64::midpoint(self.previous_sample, sample);
        }
        if !self.is_dropped {
            self.average(sample);
        }
        let high = self.least_rtt + self.jitter * 3.0;
        let queue = self.fast_rtt >= high
            || self.rtt >= high
            || self.slow_rtt >= high
            || self.rtt > self.fast_rtt;
        if buffer_empty || queue {
            gain = 0;
            self.credit = 0;
        }
        self.credit += gain;
        self.timeout == INITIAL_TIMEOUT
    }

    fn begin(&mut self, sample: f64) {
        self.rtt = sample;
        self.least_rtt = sample;
        self.slow_rtt = sample;
        self.fast_rtt = sample;
        self.previous_sample = sample;
        self.jitter = (sample / 5.0).floor() + 3.0;
        self.jitter_sum = self.jitter as u64;
        self.jitter_count = 1;
        self.is_first_sample = false;
    }

    fn average(&mut self, sample: f64) {
        self.slow_rtt = 0.02 * self.rtt + 0.98 * self.slow_rtt;
        self.fast_rtt = 0.1 * self.rtt + 0.9 * self.fast_rtt;
        let change = (sample - self.previous_sample).abs();
        if change > 0.0 {
            self.jitter_sum += (change + 3.0) as u64;
            self.jitter = (self.jitter_sum / self.jitter_count) as f64;
            self.jitter_count += 1;
        }
        if self.least_rtt > self.rtt {
            self.least_rtt = self.rtt;
            self.fast_rtt = self.least_rtt + self.jitter;
            self.slow_rtt = self.least_rtt + self.jitter;
        }
    }

    /// Halves the cwnd when the RTT has been rising for long. Returns how many further packets
    /// must be sent and acknowledged before it may grow.
    pub(super) fn drop_if_congested(&mut self, sample: Option<u64>, choked: bool) -> Option<i64> {
        sample?;
        if self.is_dropped || choked || self.slow_rtt <= self.least_rtt + self.jitter * 6.0 {
            return None;
        }
        let base = if self.target > 0.0 {
            self.target
        } else {
            self.window
        };
        self.last_drop = base * ((self.least_rtt + self.jitter * 4.0) / self.fast_rtt);
        self.target = (self.last_drop * 0.5).max(MIN_WINDOW);
        self.credit = 0;
        self.is_first_ack = true;
        self.is_dropped = true;
        Some(self.target as i64)
    }

    pub(super) fn after_sample(&mut self, sample: Option<u64>) {
        let Some(sample) = sample else { return };
        self.update_pacing();
        self.previous_sample = sample as f64;
        let timeout = self.rtt * 1.3 + self.jitter + self.ack_interval as f64;
        self.timeout = (timeout as u64).max(MIN_TIMEOUT);
    }

    pub(super) fn after_acks(&mut self, through: u32, in_flight: usize) {
        if self.is_dropped && i64::from(through) > self.drop_seq {
            self.is_first_sample = true;
            self.is_dropped = false;
        }
        if self.target > 0.0 && in_flight <= self.target as usize {
            self.window = self.target;
            self.target = 0.0;
        }
    }

    /// Sets the longer timeout that applies when no data is left to send.
    pub(super) fn set_tail_timeout(&mut self) {
        let timeout = self.rtt * 1.5 + self.jitter + self.ack_interval as f64;
        self.timeout = (timeout as u64).max(MIN_TIMEOUT);
    }

    pub(super) const fn forget_ack_interval(&mut self) {
        self.last_ack = 0;
        self.ack_interval = MAX_ACK_DELAY;
    }

    /// Handles the answer to a request for an acknowledgement that was sent without data.
    pub(super) fn on_answer(&mut self, sample: u64) {
        let sample = sample as f64;
        if self.is_first_sample {
            self.rtt = sample;
            self.is_first_sample = false;
        } else {
            self.rtt = f64::midpoint(self.rtt, sample);
        }
    }

    pub(super) fn choke(&mut self, by_java: bool) {
        if by_java {
            self.max_window = MAX_WINDOW_TO_JAVA;
        }
        self.target = MIN_WINDOW;
        self.last_drop = 0.0;
        self.credit = 0;
        self.is_dropped = false;
        self.is_first_sample = true;
        self.update_pacing();
    }

    /// Handles the second consecutive timeout.
    pub(super) fn start_over_after_timeout(&mut self) {
        self.timeout = INITIAL_TIMEOUT;
        self.target = INITIAL_WINDOW;
        self.last_drop = 0.0;
        self.credit = 0;
        self.is_dropped = true;
        self.is_first_sample = true;
        self.drop_seq = 0;
        self.is_first_ack = true;
        self.forget_ack_interval();
        self.update_pacing();
    }

    /// Handles a change of the lease.
    pub(super) fn start_over(&mut self, next: i64, in_flight: i64, choked: bool) {
        self.timeout = INITIAL_TIMEOUT;
        if !choked {
            if self.window > INITIAL_WINDOW {
                self.target = INITIAL_WINDOW;
            } else {
                self.window = INITIAL_WINDOW;
            }
        }
        self.last_drop = 0.0;
        self.credit = 0;
        self.is_first_sample = true;
        self.is_first_ack = true;
        self.is_dropped = true;
        self.drop_seq = next - in_flight + INITIAL_WINDOW as i64;
        self.update_pacing();
    }
}

const INITIAL_WINDOW: f64 = 10.0;
const MIN_WINDOW: f64 = 3.0;
const MAX_WINDOW: f64 = 512.0;
const MAX_WINDOW_TO_JAVA: f64 = 64.0;
const INITIAL_RTT: f64 = 1500.0;
pub(super) const INITIAL_TIMEOUT: u64 = 9000;
const MIN_TIMEOUT: u64 = 20;
const MAX_ACK_DELAY: u64 = 200;
