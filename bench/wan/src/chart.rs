//! The chart: goodput over the time of each transfer, with a panel for each network and link.

use std::error::Error;

use plotters::{
    chart::ChartBuilder,
    coord::Shift,
    drawing::{DrawingArea, IntoDrawingArea as _},
    element::PathElement,
    prelude::SVGBackend,
    series::LineSeries,
    style::{Color as _, IntoFont as _, RGBColor, WHITE},
};

use crate::{
    args::{Options, RouterSoftware},
    link_profile::LinkProfile,
    measure::{Results, Side, Transfer},
};

/// Size of a panel in pixels.
const PANEL: (u32, u32) = (560, 320);

/// Colours that colour-blind readers can distinguish (Okabe and Ito).
const THEIRS: RGBColor = RGBColor(0xd5, 0x5e, 0x00);
const FIRST: RGBColor = RGBColor(0x00, 0x72, 0xb2);
const AGAIN: RGBColor = RGBColor(0x00, 0x9e, 0x73);

/// The number of steps of a transfer over which goodput is computed, and their shortest length.
const STEPS: f64 = 40.0;
const SHORTEST_STEP: f64 = 0.25;

/// Writes `wan.svg`.
pub(crate) fn write(options: &Options, results: &Results) -> Result<(), String> {
    let path = options.lab.output.join("wan.svg");
    let (rows, columns) = (results.versions.len(), options.links.len());
    let size = (PANEL.0 * columns as u32, PANEL.1 * rows as u32);
    let draw = || -> Result<(), Box<dyn Error>> {
        let area = SVGBackend::new(&path, size).into_drawing_area();
        area.fill(&WHITE)?;
        let panels = area.split_evenly((rows, columns));
        let places = results
            .versions
            .iter()
            .flat_map(|version| options.links.iter().map(move |link| (version, link)));
        for (panel, ((network, version), link)) in panels.iter().zip(places) {
            let title = format!("{version}; {}", link.describe());
            draw_panel(panel, &title, &lines(results, *network, link))?;
        }
        area.present()?;
        Ok(())
    };
    draw().map_err(|error| format!("{}: {error}", path.display()))
}

/// A transfer as a line.
struct Line {
    what: &'static str,
    colour: RGBColor,
    /// Time in seconds, and MB/s.
    points: Vec<(f64, f64)>,
}

fn lines(results: &Results, network: RouterSoftware, link: &LinkProfile) -> Vec<Line> {
    let mut lines = Vec::new();
    for side in [Side::Theirs, Side::Ours] {
        for transfer in results.of(network, link, side) {
            let (what, colour) = match (side, transfer.nth) {
                (Side::Theirs, _) => ("over SAM", THEIRS),
                (Side::Ours, 1) => ("eepkit, first", FIRST),
                (Side::Ours, _) => ("eepkit, again", AGAIN),
                (Side::ToTheirs | Side::FromTheirs, _) => continue,
            };
            let points = goodput(transfer);
            if !points.is_empty() {
                lines.push(Line {
                    what,
                    colour,
                    points,
                });
            }
        }
    }
    lines
}

/// MB/s in steps of equal length, each at its middle. The remainder at the end is added to the last
/// step, because the rate of a short interval is not meaningful.
fn goodput(transfer: &Transfer) -> Vec<(f64, f64)> {
    let step = (transfer.seconds / STEPS).max(SHORTEST_STEP);
    let steps = (transfer.seconds / step) as usize;
    let mut points = Vec::with_capacity(steps);
    let (mut had, mut series) = (0, transfer.series.iter().peekable());
    for number in 0..steps {
        let begin = number as f64 * step;
        let end = if number + 1 == steps {
            transfer.seconds
        } else {
            begin + step
        };
        let mut have = had;
        while let Some((_, bytes)) = series.next_if(|(time, _)| *time <= end) {
            have = *bytes;
        }
        let rate = (have - had) as f64 / (end - begin) / 1e6;
        points.push((begin.midpoint(end), rate));
        had = have;
    }
    points
}

fn draw_panel(
    area: &DrawingArea<SVGBackend<'_>, Shift>,
    title: &str,
    lines: &[Line],
) -> Result<(), Box<dyn Error + 'static>> {
    let points = || lines.iter().flat_map(|line| &line.points);
    let seconds = points().map(|point| point.0).fold(1.0, f64::max);
    let most = points().map(|point| point.1).fold(0.01, f64::max);
    let mut chart = ChartBuilder::on(area)
        .caption(title, ("sans-serif", 16).into_font())
        .margin(8)
        .x_label_area_size(34)
        .y_label_area_size(48)
        .build_cartesian_2d(0.0..seconds, 0.0..most * 1.1)
        .map_err(|error| error.to_string())?;
    chart
        .configure_mesh()
        .light_line_style(WHITE)
        .x_desc("seconds since connecting began")
        .y_desc("MB/s")
        .draw()
        .map_err(|error| error.to_string())?;
    let mut named = Vec::new();
    for Line {
        what,
        colour,
        points,
    } in lines
    {
        let style = colour.mix(0.75).stroke_width(1);
        let series = chart
            .draw_series(LineSeries::new(points.iter().copied(), style))
            .map_err(|error| error.to_string())?;
        if !named.contains(what) {
            named.push(what);
            let colour = *colour;
            series.label(*what).legend(move |(x, y)| {
                PathElement::new(vec![(x, y), (x + 16, y)], colour.stroke_width(2))
            });
        }
    }
    chart
        .configure_series_labels()
        .background_style(WHITE.mix(0.8))
        .draw()
        .map_err(|error| error.to_string())?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn goodput_is_computed_over_equal_steps_and_adds_up() {
        let transfer = Transfer {
            network: "i2pd".to_owned(),
            link: "clean".to_owned(),
            side: Side::Ours,
            round: 1,
            nth: 1,
            bytes: 3_000_000,
            failure: None,
            connect: 0.1,
            seconds: 1.1,
            series: vec![
                (0.1, 1),
                (0.6, 1_000_000),
                (1.09, 2_999_999),
                (1.1, 3_000_000),
            ],
            load: crate::measure::Load::now(),
            busiest_host: 0.0,
            lost_packets: (0, 0),
            samples: Vec::new(),
        };

        let points = goodput(&transfer);

        assert_eq!(points.len(), 4);
        assert_eq!(points[1], (0.375, 0.0));
        let moved =
            points[..3].iter().map(|point| point.1 * 0.25).sum::<f64>() + points[3].1 * 0.35;
        assert!((moved - 3.0).abs() < 1e-6, "{points:?}");
    }
}
