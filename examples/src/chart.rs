//! Line charts, drawn in the terminal and as SVG.
//!
//! The SVG has no background, and its colours stand out from a white page as well as from a dark one.

use plotters::coord::Shift;
use plotters::prelude::*;
use std::error::Error;

/// A line of a chart.
#[derive(Clone, Debug, Default)]
pub struct Series {
    /// Its name in the legend.
    pub name: String,
    /// Its points, from left to right.
    pub points: Vec<(f64, f64)>,
}

/// A chart of several lines.
#[derive(Clone, Debug)]
pub struct Chart {
    /// The title.
    pub title: String,
    /// Label of the horizontal axis.
    pub x: String,
    /// The lines; four at most are told apart.
    pub series: Vec<Series>,
}

/// Text, axes and grid.
const GREY: RGBColor = RGBColor(0x76, 0x76, 0x76);
/// Colours of the lines.
const COLOURS: [RGBColor; 4] = [
    RGBColor(0xe0, 0x4f, 0x39),
    RGBColor(0x2a, 0x8f, 0xbd),
    RGBColor(0x3f, 0x9c, 0x50),
    RGBColor(0xb0, 0x78, 0x10),
];
const MARKS: [char; 4] = ['●', '○', '▲', '△'];

impl Chart {
    /// The ends of the axes, which begin at 0.
    fn ends(&self) -> (f64, f64) {
        let points = || self.series.iter().flat_map(|series| &series.points);
        let x = points().map(|point| point.0).fold(1.0, f64::max);
        let y = points().map(|point| point.1).fold(1.0, f64::max);
        (x, y)
    }

    /// Draws the chart with characters, so many columns and rows.
    #[must_use]
    pub fn text(&self, columns: usize, rows: usize) -> String {
        let (columns, rows) = (columns.max(10), rows.max(3));
        let (x_end, y_end) = self.ends();
        let mut grid = vec![vec![' '; columns]; rows];
        for (series, mark) in self.series.iter().zip(MARKS) {
            for &(x, y) in &series.points {
                let column = (x / x_end * (columns - 1) as f64).round() as usize;
                let row = (y.max(0.0) / y_end * (rows - 1) as f64).round() as usize;
                grid[rows - 1 - row][column] = mark;
            }
        }
        let mut text = format!("{:>8} {}\n", "", self.title);
        for (number, row) in grid.iter().enumerate() {
            let label = match number {
                0 => format!("{y_end:.0}"),
                _ if number == rows - 1 => "0".to_owned(),
                _ => String::new(),
            };
            let row: String = row.iter().collect();
            text.push_str(&format!("{label:>8} │{}\n", row.trim_end()));
        }
        text.push_str(&format!("{:>8} └{}\n", "", "─".repeat(columns)));
        let right = format!("{x_end:.0} {}", self.x);
        text.push_str(&format!("{:>10}{right:>width$}\n", 0, width = columns));
        for (series, mark) in self.series.iter().zip(MARKS) {
            text.push_str(&format!("{:>10} {}\n", mark, series.name));
        }
        text
    }
}

/// Draws charts side by side as one SVG picture.
///
/// # Errors
/// The error of the drawing.
pub fn svg(charts: &[Chart]) -> Result<String, Box<dyn Error>> {
    let mut svg = String::new();
    {
        let width = 460 * charts.len().max(1) as u32;
        let root = SVGBackend::with_string(&mut svg, (width, 320)).into_drawing_area();
        for (area, chart) in root
            .split_evenly((1, charts.len().max(1)))
            .iter()
            .zip(charts)
        {
            draw(area, chart)?;
        }
        root.present()?;
    }
    Ok(svg)
}

fn draw(area: &DrawingArea<SVGBackend<'_>, Shift>, chart: &Chart) -> Result<(), Box<dyn Error>> {
    let (x_end, y_end) = chart.ends();
    let text = |size: i32| ("sans-serif", size).into_font().color(&GREY);
    let mut plot = ChartBuilder::on(area)
        .caption(&chart.title, text(17))
        .margin(12)
        .margin_right(30)
        .x_label_area_size(38)
        .y_label_area_size(56)
        .build_cartesian_2d(0.0..x_end, 0.0..y_end * 1.05)?;
    plot.configure_mesh()
        .disable_x_mesh()
        .bold_line_style(GREY.mix(0.3))
        .light_line_style(TRANSPARENT)
        .axis_style(GREY)
        .label_style(text(13))
        .axis_desc_style(text(14))
        .x_desc(&chart.x)
        .x_labels(6)
        .y_labels(6)
        .x_label_formatter(&|x| format!("{x:.0}"))
        .y_label_formatter(&|y| format!("{y:.0}"))
        .draw()?;
    for (series, colour) in chart.series.iter().zip(COLOURS) {
        plot.draw_series(LineSeries::new(
            series.points.iter().copied(),
            colour.stroke_width(3),
        ))?
        .label(&series.name)
        .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], colour.stroke_width(3)));
    }
    plot.configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .label_font(text(14))
        .draw()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart() -> Chart {
        let line = |name: &str, slope: f64| Series {
            name: name.to_owned(),
            points: (0..=10)
                .map(|x| (f64::from(x), slope * f64::from(x)))
                .collect(),
        };
        Chart {
            title: "names".to_owned(),
            x: "threads".to_owned(),
            series: vec![line("rising", 3.0), line("flat", 0.0)],
        }
    }

    #[test]
    fn a_rising_line_ends_in_the_upper_right_corner_and_a_flat_one_stays_below() {
        let text = chart().text(41, 11);
        let lines: Vec<&str> = text.lines().collect();
        assert!(
            lines[1].starts_with("      30 │") && lines[1].ends_with('●'),
            "{text}"
        );
        assert_eq!(lines[11].matches('○').count(), 11, "{text}");
        assert!(
            text.contains("● rising") && text.contains("○ flat"),
            "{text}"
        );
    }

    #[test]
    fn the_svg_has_a_line_for_each_series_and_no_background() {
        let svg = svg(&[chart()]).expect("a picture");
        for (name, colour) in [("rising", "#E04F39"), ("flat", "#2A8FBD")] {
            assert!(svg.contains(name) && svg.contains(colour), "{svg}");
        }
        assert!(!svg.contains("#FFFFFF"), "{svg}");
    }
}
