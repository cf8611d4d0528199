//! Tables of results.

use std::{collections::BTreeMap, io::Write as _};

use crate::{Outcome, say};

/// The figures of one network. The columns are the compared implementations.
#[derive(Debug)]
pub struct Report {
    title: String,
    columns: &'static [&'static str],
    /// The column that is compared with the others.
    ours: usize,
    rows: Vec<&'static str>,
    figures: BTreeMap<(&'static str, usize), Vec<Option<f64>>>,
}

impl Report {
    /// Creates a report without figures. The ratios are those of the column `ours` to each other
    /// one. Rows have the given order. Others follow in the order of their first figure.
    #[must_use]
    pub fn new(
        title: &str,
        columns: &'static [&'static str],
        ours: usize,
        rows: &[&'static str],
    ) -> Self {
        Self {
            title: title.to_owned(),
            columns,
            ours,
            rows: rows.to_vec(),
            figures: BTreeMap::new(),
        }
    }

    /// Adds the figure of a round. Failures are reported, and have no figure.
    pub fn add(&mut self, row: &'static str, column: usize, figure: Outcome<f64>) {
        let figure = self.unless_failed(row, column, figure);
        self.push(row, column, figure);
    }

    /// Adds the rate of a round. Failures are reported, and count as a rate of 0.
    pub fn add_rate(&mut self, row: &'static str, column: usize, rate: Outcome<f64>) {
        let rate = self.unless_failed(row, column, rate).unwrap_or_default();
        self.push(row, column, Some(rate));
    }

    /// The figure. Reports a failure.
    fn unless_failed(&self, row: &str, column: usize, figure: Outcome<f64>) -> Option<f64> {
        figure
            .inspect_err(|error| say(&format!("{row}: {}: {error}", self.columns[column])))
            .ok()
    }

    fn push(&mut self, row: &'static str, column: usize, figure: Option<f64>) {
        if !self.rows.contains(&row) {
            self.rows.push(row);
        }
        let rounds = self.figures.entry((row, column)).or_default();
        rounds.push(figure);
    }

    /// Prints the table.
    pub fn print(&self) {
        // Fails only if standard output is closed.
        let _ = std::io::stdout().write_all(self.to_markdown().as_bytes());
    }

    fn to_markdown(&self) -> String {
        let used: Vec<usize> = (0..self.columns.len())
            .filter(|column| self.figures.keys().any(|(_, other)| other == column))
            .collect();
        let others: Vec<usize> = used.iter().copied().filter(|it| *it != self.ours).collect();
        let mut head = vec![String::new()];
        head.extend(used.iter().map(|column| self.columns[*column].to_owned()));
        let ours = self.columns[self.ours];
        head.extend(
            others
                .iter()
                .map(|other| format!("{ours} / {}", self.columns[*other])),
        );
        let mut lines = vec![head.clone(), vec!["---".to_owned(); head.len()]];
        for row in &self.rows {
            if used
                .iter()
                .all(|column| self.rounds(row, *column).is_empty())
            {
                continue;
            }
            let mut line = vec![(*row).to_owned()];
            line.extend(used.iter().map(|column| {
                let figures = self.rounds(row, *column).iter().flatten();
                with_range(figures.copied().collect())
            }));
            line.extend(
                others
                    .iter()
                    .map(|other| with_range(self.ratios(row, *other))),
            );
            lines.push(line);
        }
        let lines = lines
            .iter()
            .map(|cells| format!("| {} |\n", cells.join(" | ")));
        format!("\n{}:\n\n{}", self.title, lines.collect::<String>())
    }

    fn rounds(&self, row: &'static str, column: usize) -> &[Option<f64>] {
        let rounds = self.figures.get(&(row, column));
        rounds.map_or(&[], Vec::as_slice)
    }

    /// The ratio of each round in which both columns have a figure.
    fn ratios(&self, row: &'static str, other: usize) -> Vec<f64> {
        let pairs = self
            .rounds(row, self.ours)
            .iter()
            .zip(self.rounds(row, other));
        pairs
            .filter_map(|(ours, other)| Some((*ours)? / (*other).filter(|other| *other > 0.0)?))
            .collect()
    }
}

/// The median, and the range if there are several figures.
fn with_range(mut figures: Vec<f64>) -> String {
    figures.sort_by(f64::total_cmp);
    let median = match (figures.len(), figures.len() / 2) {
        (0, _) => return "-".to_owned(),
        (count, middle) if count % 2 == 1 => figures[middle],
        (_, middle) => f64::midpoint(figures[middle - 1], figures[middle]),
    };
    match &figures[..] {
        [least, .., most] => format!("{} ({}-{})", short(median), short(*least), short(*most)),
        _ => short(median),
    }
}

/// A number with three significant digits.
#[must_use]
pub fn short(figure: f64) -> String {
    match figure {
        100.0.. => format!("{figure:.0}"),
        10.0.. => format!("{figure:.1}"),
        _ => format!("{figure:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_medians_ranges_and_ratios_of_rounds_and_failed_rates_count_as_zero() {
        let mut report = Report::new("Over a network", &["a", "b", "c"], 1, &["second"]);
        for (a, b) in [(10.0, 20.0), (1.0, 4.0), (100.0, 300.0)] {
            report.add("first", 0, Ok(a));
            report.add("first", 1, Ok(b));
        }
        report.add("second", 0, Err("failed".into()));
        report.add("second", 1, Ok(0.5));
        report.add_rate("third", 0, Err("failed".into()));
        report.add_rate("third", 1, Ok(0.5));
        assert_eq!(
            report.to_markdown(),
            "\nOver a network:\n\n\
             |  | a | b | b / a |\n\
             | --- | --- | --- | --- |\n\
             | second | - | 0.50 | - |\n\
             | first | 10.0 (1.00-100) | 20.0 (4.00-300) | 3.00 (2.00-4.00) |\n\
             | third | 0.00 | 0.50 | - |\n"
        );
    }

    #[test]
    fn an_even_number_of_figures_has_the_mean_of_the_middle_ones() {
        assert_eq!(with_range(vec![4.0, 1.0]), "2.50 (1.00-4.00)");
        assert_eq!(with_range(Vec::new()), "-");
    }
}
