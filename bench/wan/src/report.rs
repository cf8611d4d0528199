//! The results as text: a table for readers, and all figures for programs.

use std::{
    fmt::Write as _,
    fs,
    io::{self, Write as _},
};

use serde::Serialize;

use crate::{
    args::{Options, RouterSoftware},
    link_profile::LinkProfile,
    measure::{Results, Side, Transfer},
};

/// One line about a transfer.
pub(crate) fn line(transfer: &Transfer) -> String {
    let Transfer {
        network,
        link,
        side,
        round,
        nth,
        ..
    } = transfer;
    let who = side.name(network);
    let mut text = format!("{network:8} {link:6} round {round}.{nth} {who:8} ");
    match (transfer.goodput(), &transfer.failure) {
        (Some(goodput), _) => {
            let _ = write!(
                text,
                "{:6.3} MB/s in {:5.1} s (connected after {:.2} s), cores {:.0} % busy",
                goodput / 1e6,
                transfer.seconds,
                transfer.connect,
                transfer.load.busy * 100.0
            );
        }
        (None, why) => {
            let why = why.as_deref().unwrap_or("no time was measured");
            let _ = write!(text, "failed: {why}");
        }
    }
    if let Some(last) = transfer.samples.last() {
        let _ = write!(
            text,
            "; cwnd {} rtt {:.0} ms, {} of {} packets resent",
            last.window,
            last.rtt_ms.unwrap_or_default(),
            last.resent,
            last.sent
        );
    }
    text
}

/// Median, minimum and maximum of the goodput of a kind of transfer, in MB/s.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Spread {
    median: f64,
    least: f64,
    most: f64,
}

impl Spread {
    fn of(mut values: Vec<f64>) -> Option<Self> {
        values.sort_by(f64::total_cmp);
        let (&least, &most) = (values.first()?, values.last()?);
        let middle = values.len() / 2;
        let median = if values.len() % 2 == 1 {
            values[middle]
        } else {
            (values[middle - 1] + values[middle]) / 2.0
        };
        Some(Self {
            median,
            least,
            most,
        })
    }
}

impl std::fmt::Display for Spread {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            median,
            least,
            most,
        } = self;
        write!(f, "{median:.2} ({least:.2}-{most:.2})")
    }
}

/// The transfers of a session in one column.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Which {
    First,
    Later,
}

impl Results {
    fn spread(
        &self,
        network: RouterSoftware,
        link: &LinkProfile,
        side: Side,
        which: Which,
    ) -> Option<Spread> {
        let chosen = self.of(network, link, side).filter(|transfer| match which {
            Which::First => transfer.nth == 1,
            Which::Later => transfer.nth > 1,
        });
        // A failed transfer counts as 0. Omitting it would improve the result of an unreliable
        // implementation.
        let values = chosen.map(|transfer| transfer.goodput().unwrap_or(0.0) / 1e6);
        Spread::of(values.collect())
    }

    /// The transfers of a pair of implementations on a network and a link.
    pub(crate) fn of(
        &self,
        network: RouterSoftware,
        link: &LinkProfile,
        side: Side,
    ) -> impl Iterator<Item = &Transfer> {
        self.transfers.iter().filter(move |transfer| {
            transfer.network == network.as_str()
                && transfer.link == link.name
                && transfer.side == side
        })
    }
}

/// The table, in Markdown.
fn table(options: &Options, results: &Results) -> String {
    let mut text = format!(
        "{} bytes per transfer, {} routers, tunnels of {} hops, {} each way, {}. \
         MB/s from the first step of connecting to the last byte: median (least-most) of {} rounds.\n\n\
         | routers | link | theirs, first | ours, first | ratio | theirs, again | ours, again \
         | ratio | datagrams | limit |\n|---|---|---|---|---|---|---|---|---|---|\n",
        options.bytes,
        options.lab.routers,
        options.lab.hops,
        options.lab.tunnels,
        options.lab.transport.as_str(),
        options.rounds,
    );
    for (network, version) in &results.versions {
        for link in &options.links {
            let spread = |side, which| results.spread(*network, link, side, which);
            let Some(theirs) = spread(Side::Theirs, Which::First) else {
                continue;
            };
            let ours = spread(Side::Ours, Which::First);
            let theirs_again = spread(Side::Theirs, Which::Later);
            let ours_again = spread(Side::Ours, Which::Later);
            let raw = results.raw.iter();
            let raw = raw.filter(|raw| raw.network == network.as_str() && raw.link == link.name);
            let raw = Spread::of(raw.map(|raw| raw.best() / 1e6).collect());
            let megabytes = |rate: Option<f64>| {
                rate.map_or_else(|| "-".to_owned(), |rate| format!("{:.2}", rate / 1e6))
            };
            let _ = writeln!(
                text,
                "| {version} | {link}: {about} | {theirs} | {first} | {ratio} | {before} | {again} \
                 | {ratio_again} | {raw} | {limit} |",
                about = link.describe(),
                first = or_dash(ours),
                ratio = ratio(ours, Some(theirs)),
                before = or_dash(theirs_again),
                again = or_dash(ours_again),
                ratio_again = ratio(ours_again, theirs_again),
                raw = or_dash(raw),
                limit = megabytes(link.limit()),
            );
        }
    }
    if options.mixed {
        text.push_str(&mixed(options, results));
    }
    let failed = results
        .transfers
        .iter()
        .filter(|transfer| transfer.failure.is_some());
    for transfer in failed {
        let _ = writeln!(text, "\n{}", line(transfer));
    }
    text
}

/// The table of all pairs of senders and receivers.
fn mixed(options: &Options, results: &Results) -> String {
    let mut text = "\nFrom whose streams to whose, first and again:\n\n\
         | routers | link | theirs to theirs | ours to theirs | theirs to ours | ours to ours |\n\
         |---|---|---|---|---|---|\n"
        .to_owned();
    for (network, version) in &results.versions {
        for link in &options.links {
            let _ = write!(text, "| {version} | {link} ");
            for side in [Side::Theirs, Side::ToTheirs, Side::FromTheirs, Side::Ours] {
                let spread = |which| or_dash(results.spread(*network, link, side, which));
                let (first, again) = (spread(Which::First), spread(Which::Later));
                let _ = write!(text, "| {first}, {again} ");
            }
            text.push_str("|\n");
        }
    }
    text
}

fn or_dash(spread: Option<Spread>) -> String {
    spread.map_or_else(|| "-".to_owned(), |spread| spread.to_string())
}

fn ratio(ours: Option<Spread>, theirs: Option<Spread>) -> String {
    match (ours, theirs) {
        (Some(ours), Some(theirs)) if theirs.median > 0.0 => {
            format!("{:.2}", ours.median / theirs.median)
        }
        _ => "-".to_owned(),
    }
}

/// Prints the table, and writes it and all figures.
pub(crate) fn write(options: &Options, results: &Results) -> Result<(), String> {
    save(options, results)?;
    // Fails only if the reader has closed standard output.
    let _ = writeln!(io::stdout(), "{}", table(options, results));
    Ok(())
}

/// Writes the results so far, in case the run does not complete.
pub(crate) fn save(options: &Options, results: &Results) -> Result<(), String> {
    let mut lines = String::new();
    let mut add = |line: Result<String, serde_json::Error>| {
        // Numbers, strings and lists can always be serialised.
        if let Ok(line) = line {
            lines.push_str(&line);
            lines.push('\n');
        }
    };
    for transfer in &results.transfers {
        add(serde_json::to_string(&Line::Transfer(transfer)));
    }
    for raw in &results.raw {
        add(serde_json::to_string(&Line::Datagrams(raw)));
    }
    for (name, text) in [("wan.md", table(options, results)), ("wan.jsonl", lines)] {
        let path = options.lab.output.join(name);
        fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    Ok(())
}

/// A line of `wan.jsonl`.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Line<'a> {
    Transfer(&'a Transfer),
    Datagrams(&'a crate::measure::RawRate),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_whatever_the_order() {
        let spread = Spread::of(vec![3.0, 1.0, 2.0]).unwrap();
        assert_eq!(spread.to_string(), "2.00 (1.00-3.00)");
        let spread = Spread::of(vec![4.0, 1.0, 2.0, 3.0]).unwrap();
        assert_eq!(spread.to_string(), "2.50 (1.00-4.00)");
        assert_eq!(Spread::of(Vec::new()), None);
    }

    #[test]
    fn a_ratio_needs_both_values() {
        let one = Spread::of(vec![1.0]).unwrap();
        let nothing = Spread::of(vec![0.0]).unwrap();
        assert_eq!(ratio(Some(one), Some(one)), "1.00");
        assert_eq!(ratio(Some(one), Some(nothing)), "-");
        assert_eq!(ratio(Some(one), None), "-");
        assert_eq!(ratio(None, Some(one)), "-");
    }
}
