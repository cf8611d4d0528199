//! The chart: goodput over the time of each transfer, a panel for each network and link.

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

/// Colours that differ for the colour-blind, too (Okabe and Ito's).
const THEIRS: RGBColor = RGBColor(0xd5, 0x5e, 0x00);
const FIRST: RGBColor = RGBColor(0x00, 0x72, 0xb2);
const AGAIN: RGBColor = RGBColor(0x00, 0x9e, 0x73);

/// Steps over which goodput is taken: so many to a transfer, but none shorter than this.
const STEPS: f64 = 40.0;
const SHORTEST_STEP: f64 = 0.25;

/// Writes `wan.svg`.
pub(crate) fn write(options: &Options, results: &Results) -> Result<(), String> {
    let path = options.output.join("wan.svg");
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
    /// Seconds, and MB/s.
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

/// MB/s in steps, each at its middle.
fn goodput(transfer: &Transfer) -> Vec<(f64, f64)> {
    let step = (transfer.seconds / STEPS).max(SHORTEST_STEP);
    let mut points = vec![(0.0, 0.0)];
    let (mut begin, mut had) = (0.0, 0);
    for &(time, bytes) in &transfer.series {
        if time - begin >= step || bytes == transfer.bytes {
            let length = (time - begin).max(1e-3);
            points.push((begin + length / 2.0, (bytes - had) as f64 / length / 1e6));
            (begin, had) = (time, bytes);
        }
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
    // The last step may be short and seem fast: what almost all are below is the scale.
    let mut rates: Vec<f64> = points().map(|point| point.1).collect();
    rates.sort_by(f64::total_cmp);
    let most = rates.get(rates.len() * 98 / 100).copied().unwrap_or(1.0);
    let mut chart = ChartBuilder::on(area)
        .caption(title, ("sans-serif", 16).into_font())
        .margin(8)
        .x_label_area_size(34)
        .y_label_area_size(48)
        .build_cartesian_2d(0.0..seconds, 0.0..most.max(0.01) * 1.15)
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
        let inside = points.iter().map(|&(x, y)| (x, y.min(most * 1.15)));
        let series = chart
            .draw_series(LineSeries::new(inside, style))
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
