//! The chart: each figure as a share of its target, and the time of one fault by each way.
//!
//! It has no background, and its colours stand out from a white page as well as from a dark one.

use crate::report::Report;
use crate::rows::lines;
use core::fmt::Write;
use measure::line::{Line, figure};

const WIDTH: f64 = 940.0;
/// Left and right end of the bars, in pixels.
const LEFT: f64 = 370.0;
const RIGHT: f64 = 680.0;
const STEP: f64 = 24.0;
/// The share of the target at the right end; longer bars are cut there.
const LONGEST: f64 = 1.5;

const GREY: &str = "#767676";
const GREEN: &str = "#3f9c50";
const RED: &str = "#e04f39";
const BLUE: &str = "#2a8fbd";
const OCHRE: &str = "#b07810";

/// Draws the chart.
pub(crate) fn svg(report: &Report) -> String {
    let mut body = String::new();
    let mut y = 20.0;
    targets(&mut body, report, &mut y);
    for line in lines(&report.rows).filter(|line| line.what.starts_with("round trip")) {
        y += STEP;
        ways(&mut body, line, &mut y);
    }
    y += STEP;
    let machine = if report.quick {
        "a quick run: these figures mean nothing"
    } else {
        &report.machine
    };
    text(&mut body, 10.0, y, "start", 12, machine);
    let height = y + 12.0;
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\" \
         font-family=\"sans-serif\" fill=\"{GREY}\">\n{body}</svg>\n"
    )
}

/// Each figure as a share of its target.
fn targets(body: &mut String, report: &Report, y: &mut f64) {
    let title = "measured, as a share of the target (line): shorter is better";
    text(body, 10.0, *y, "start", 15, title);
    let top = *y + 8.0;
    for line in lines(&report.rows) {
        let Some(bound) = line.target else { continue };
        *y += STEP;
        let share = if bound > 0.0 {
            line.measured / bound
        } else if line.measured > 0.0 {
            LONGEST
        } else {
            0.0
        };
        let met = line.is_met() == Some(true);
        let length = share.clamp(0.01, LONGEST) / LONGEST;
        text(body, LEFT - 10.0, *y, "end", 12, &short(&line.what));
        bar(body, *y, length, if met { GREEN } else { RED });
        let cut = if share > LONGEST { " →" } else { "" };
        let unit = if line.is_ratio() {
            ""
        } else {
            line.unit.as_str()
        };
        let figures = format!(
            "{} {unit}{cut} ({})",
            line.measured_text(),
            line.target_text()
        );
        text(body, RIGHT + 10.0, *y, "start", 12, &figures);
    }
    let at = LEFT + (RIGHT - LEFT) / LONGEST;
    let _ = writeln!(
        body,
        "<path d=\"M{at:.1} {top:.1}V{:.1}\" stroke=\"{GREY}\" stroke-width=\"1.5\"/>",
        *y + 6.0
    );
    *y += STEP / 2.0;
}

/// The time of one fault by each way.
fn ways(body: &mut String, line: &Line, y: &mut f64) {
    let title = format!("{}, {}", line.what, line.unit);
    text(body, 10.0, *y, "start", 15, &title);
    let mut bars = vec![("these crates", line.product, GREEN)];
    bars.extend(
        line.floor
            .iter()
            .map(|floor| (floor.name.as_str(), floor.figure, GREY)),
    );
    let instead = line.instead.iter().filter_map(|way| {
        let colour = match way.name.as_str() {
            "sigaction" => BLUE,
            name if name.starts_with("by hand") => OCHRE,
            _ => return None,
        };
        Some((way.name.as_str(), way.figure, colour))
    });
    bars.extend(instead);
    let longest = bars
        .iter()
        .map(|bar| bar.1)
        .fold(f64::MIN_POSITIVE, f64::max);
    for (name, time, colour) in bars {
        *y += STEP;
        text(body, LEFT - 10.0, *y, "end", 12, name);
        bar(body, *y, time / longest, colour);
        text(body, RIGHT + 10.0, *y, "start", 12, &figure(time));
    }
    *y += STEP / 2.0;
}

/// A label that fits before a bar.
fn short(what: &str) -> String {
    const MOST: usize = 52;
    if what.chars().count() <= MOST {
        return what.to_owned();
    }
    let start: String = what.chars().take(MOST - 1).collect();
    format!("{}…", start.trim_end())
}

fn bar(body: &mut String, y: f64, length: f64, colour: &str) {
    let width = length * (RIGHT - LEFT);
    let _ = writeln!(
        body,
        "<rect x=\"{LEFT}\" y=\"{:.1}\" width=\"{width:.1}\" height=\"14\" fill=\"{colour}\"/>",
        y - 11.0
    );
}

fn text(body: &mut String, x: f64, y: f64, anchor: &str, size: u32, text: &str) {
    let text = text
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;");
    let _ = writeln!(
        body,
        "<text x=\"{x}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" font-size=\"{size}\">{text}</text>"
    );
}
