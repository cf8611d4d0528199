//! A windowed maximum filter.

use std::collections::VecDeque;

/// The maximum of the values of the last [`FILTER_ROUNDS`] rounds.
#[derive(Debug, Default)]
pub(super) struct MaxFilter {
    /// Candidates, in the order of falling value and rising round.
    candidates: VecDeque<(u64, f64)>,
}

impl MaxFilter {
    pub(super) fn insert(&mut self, round: u64, value: f64) {
        while self
            .candidates
            .back()
            .is_some_and(|(_, later)| *later <= value)
        {
            self.candidates.pop_back();
        }
        if self.candidates.back().is_none_or(|(at, _)| *at != round) {
            self.candidates.push_back((round, value));
        }
        while self
            .candidates
            .front()
            .is_some_and(|(at, _)| at + FILTER_ROUNDS < round)
        {
            self.candidates.pop_front();
        }
    }

    /// Multiplies all values by `factor`.
    pub(super) fn scale(&mut self, factor: f64) {
        for (_, value) in &mut self.candidates {
            *value *= factor;
        }
    }

    /// The maximum, or `None` without a value.
    pub(super) fn get(&self) -> Option<f64> {
        self.candidates.front().map(|(_, value)| *value)
    }
}

/// Rounds over which the maximum is taken. Specified: BBR takes the maximum of the delivery rate over ten
/// rounds.
const FILTER_ROUNDS: u64 = 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_maximum_is_taken_over_ten_rounds() {
        let mut filter = MaxFilter::default();
        assert_eq!(filter.get(), None);
        for (round, value, expected) in [
            (1, 50.0, 50.0),
            (2, 40.0, 50.0),
            (12, 30.0, 40.0),
            (30, 10.0, 10.0),
        ] {
            filter.insert(round, value);
            assert_eq!(filter.get(), Some(expected), "round {round}");
        }
    }

    #[test]
    fn later_values_of_a_round_replace_smaller_ones_only() {
        let mut filter = MaxFilter::default();
        filter.insert(1, 50.0);
        filter.insert(1, 60.0);
        filter.insert(1, 20.0);
        assert_eq!(filter.get(), Some(60.0));
        filter.scale(0.5);
        assert_eq!(filter.get(), Some(30.0));
    }
}
