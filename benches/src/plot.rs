//! The plots of a run, as SVG.

use std::path::Path;

use anyhow::{Result, anyhow};
use hdrhistogram::Histogram;
use plotters::{
    chart::{ChartBuilder, SeriesLabelPosition},
    coord::ranged1d::{AsRangedCoord, ValueFormatter},
    prelude::{
        Circle, IntoDrawingArea as _, IntoLogRange as _, LineSeries, Palette, Palette99,
        PathElement, Rectangle, SVGBackend,
    },
    style::{BLACK, Color as _, WHITE},
};

const SIZE: (u32, u32) = (1280, 600);

/// A named line of points.
pub type Line = (String, Vec<(f64, f64)>);

/// Latency in us over the share of answers, in nines, a line a histogram.
///
/// # Errors
/// When the file can't be written.
pub fn percentiles(
    path: &Path,
    title: &str,
    histograms: &[(String, &Histogram<u64>)],
) -> Result<()> {
    let lines = histograms.iter().map(|(name, histogram)| {
        let points =
            histogram.iter_quantiles(4).filter(|step| step.count_since_last_iteration() > 0);
        let points = points.filter_map(|step| {
            let left = 1.0 - step.quantile();
            (left > 1e-7).then(|| (1.0 / left, step.value_iterated_to() as f64 / 1e3))
        });
        (name.clone(), points.collect())
    });
    let axes = ("1 / (1 - share of answers): 10 is p90, 100 is p99", "us from due to answered");
    lines_on_logs(path, title, axes, &lines.collect::<Vec<_>>())
}

/// Lines over two logarithmic axes, their points marked; what is not above 0 is left out.
///
/// # Errors
/// When the file can't be written, or there is nothing to draw.
pub fn lines_on_logs(path: &Path, title: &str, axes: (&str, &str), lines: &[Line]) -> Result<()> {
    let positive = |points: &[(f64, f64)]| {
        points.iter().copied().filter(|p| p.0 > 0.0 && p.1 > 0.0).collect::<Vec<_>>()
    };
    let lines: Vec<_> =
        lines.iter().map(|(name, points)| (name.clone(), positive(points))).collect();
    let all = || lines.iter().flat_map(|(_, points)| points);
    let (x0, x1) = span(all().map(|p| p.0))?;
    let (y0, y1) = span(all().map(|p| p.1))?;
    draw(path, |area| {
        let ranges = ((x0..x1).log_scale(), (y0 / 1.2..y1 * 1.2).log_scale());
        draw_lines(area, title, axes, ranges, &lines, (3, SeriesLabelPosition::UpperLeft))
    })
}

/// Lines over two linear axes that begin at 0.
///
/// # Errors
/// When the file can't be written, or there is nothing to draw.
pub fn lines(path: &Path, title: &str, axes: (&str, &str), lines: &[Line]) -> Result<()> {
    let all = || lines.iter().flat_map(|(_, points)| points);
    let (_, right) = span(all().map(|p| p.0))?;
    let (_, top) = span(all().map(|p| p.1))?;
    draw(path, |area| {
        let ranges = (0.0..right, 0.0..top * 1.2);
        draw_lines(area, title, axes, ranges, lines, (0, SeriesLabelPosition::UpperRight))
    })
}

/// Lines over these ranges, with marks of this size at their points and the legend at this place.
fn draw_lines<X, Y>(
    area: &Area<'_>,
    title: &str,
    axes: (&str, &str),
    ranges: (X, Y),
    lines: &[Line],
    (marks, legend): (u32, SeriesLabelPosition),
) -> Result<(), DrawError>
where
    X: AsRangedCoord<Value = f64>,
    Y: AsRangedCoord<Value = f64>,
    X::CoordDescType: ValueFormatter<f64>,
    Y::CoordDescType: ValueFormatter<f64>,
{
    let mut chart = ChartBuilder::on(area)
        .caption(title, ("sans-serif", 20))
        .margin(16)
        .x_label_area_size(44)
        .y_label_area_size(72)
        .build_cartesian_2d(ranges.0, ranges.1)?;
    chart.configure_mesh().x_desc(axes.0).y_desc(axes.1).draw()?;
    for (index, (name, points)) in lines.iter().enumerate() {
        let colour = Palette99::pick(index).to_rgba();
        if marks > 0 {
            let mark = |point: &(f64, f64)| Circle::new(*point, marks, colour.filled());
            chart.draw_series(points.iter().map(mark))?;
        }
        chart
            .draw_series(LineSeries::new(points.iter().copied(), colour.stroke_width(2)))?
            .label(name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], colour));
    }
    let mut labels = chart.configure_series_labels();
    labels.position(legend).background_style(WHITE).border_style(BLACK).draw()?;
    Ok(())
}

/// One bar a name.
///
/// # Errors
/// When the file can't be written, or there is nothing to draw.
pub fn bars(path: &Path, title: &str, unit: &str, bars: &[(String, f64)]) -> Result<()> {
    let (_, top) = span(bars.iter().map(|bar| bar.1))?;
    draw(path, |area| {
        let mut chart = ChartBuilder::on(area)
            .caption(title, ("sans-serif", 20))
            .margin(16)
            .x_label_area_size(44)
            .y_label_area_size(96)
            .build_cartesian_2d(0.0..bars.len() as f64, 0.0..top * 1.1)?;
        let name = |x: &f64| match bars.get(*x as usize) {
            Some((name, value)) if x.fract() > 0.4 && x.fract() < 0.6 => {
                format!("{name}: {value:.0}")
            }
            _ => String::new(),
        };
        chart
            .configure_mesh()
            .disable_x_mesh()
            .x_labels(2 * bars.len() + 1)
            .x_label_formatter(&name)
            .y_desc(unit)
            .draw()?;
        chart.draw_series(bars.iter().enumerate().map(|(index, (_, value))| {
            let (left, colour) = (index as f64, Palette99::pick(index).to_rgba());
            Rectangle::new([(left + 0.2, 0.0), (left + 0.8, *value)], colour.filled())
        }))?;
        Ok(())
    })
}

/// Two bars beside each other for every place: before and after, with a line at 1.
///
/// # Errors
/// When the file can't be written, or there is nothing to draw.
pub fn pairs(path: &Path, title: &str, unit: &str, [before, after]: &[Vec<f64>; 2]) -> Result<()> {
    let (_, top) = span(before.iter().chain(after).copied())?;
    let count = before.len() as f64;
    draw(path, |area| {
        let mut chart = ChartBuilder::on(area)
            .caption(title, ("sans-serif", 20))
            .margin(16)
            .x_label_area_size(44)
            .y_label_area_size(72)
            .build_cartesian_2d(0.0..count, 0.0..top * 1.2)?;
        chart.configure_mesh().disable_x_mesh().x_desc("server").y_desc(unit).draw()?;
        for (index, (name, values)) in [("before", before), ("after", after)].iter().enumerate() {
            let colour = Palette99::pick(index).to_rgba();
            let bar = |(place, value): (usize, &f64)| {
                let left = place as f64 + 0.1 + 0.4 * index as f64;
                Rectangle::new([(left, 0.0), (left + 0.4, *value)], colour.filled())
            };
            chart
                .draw_series(values.iter().enumerate().map(bar))?
                .label(*name)
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], colour));
        }
        chart.draw_series(LineSeries::new([(0.0, 1.0), (count, 1.0)], BLACK))?;
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperRight)
            .background_style(WHITE)
            .border_style(BLACK)
            .draw()?;
        Ok(())
    })
}

type Area<'a> = plotters::drawing::DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;
type DrawError = Box<dyn std::error::Error>;

fn draw(path: &Path, paint: impl FnOnce(&Area<'_>) -> Result<(), DrawError>) -> Result<()> {
    let area = SVGBackend::new(path, SIZE).into_drawing_area();
    let painted = || -> Result<(), DrawError> {
        area.fill(&WHITE)?;
        paint(&area)?;
        Ok(area.present()?)
    };
    painted().map_err(|error| anyhow!("cannot draw {}: {error}", path.display()))
}

/// The least and the most of some values, a little apart if they are one.
fn span(values: impl Iterator<Item = f64>) -> Result<(f64, f64)> {
    let (low, high) = values
        .fold((f64::INFINITY, 0.0f64), |(low, high), value| (low.min(value), high.max(value)));
    if high <= 0.0 {
        return Err(anyhow!("nothing to draw"));
    }
    Ok((low, if high > low { high } else { low * 1.01 }))
}
