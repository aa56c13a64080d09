//! The report, as text and as a table in Markdown.

use crate::rows::lines;
use core::fmt::{self, Write};
use measure::line::Line;
use serde::{Deserialize, Serialize};

/// All that was measured.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) machine: String,
    pub(crate) quick: bool,
    pub(crate) rows: Vec<Measured>,
}

/// A row, and what came of it.
#[derive(Debug, Serialize)]
pub(crate) struct Measured {
    pub(crate) row: String,
    #[serde(flatten)]
    pub(crate) found: Found,
}

/// What came of a row.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Found {
    /// Its figures.
    Lines(Vec<Line>),
    /// It cannot be measured here, and why.
    LeftOut(String),
    /// It should have been measured, and was not.
    Failed(String),
}

impl Report {
    /// Returns whether no row failed.
    pub(crate) fn is_complete(&self) -> bool {
        let failed = |row: &Measured| matches!(row.found, Found::Failed(_));
        !self.rows.iter().any(failed)
    }

    /// The table in Markdown, a line for each target.
    pub(crate) fn markdown(&self) -> String {
        let mut text = String::from(
            "| | target | measured | these crates | floor | without them |\n|---|---|---|---|---|---|\n",
        );
        for line in lines(&self.rows) {
            let floor = line.floor.as_ref().map_or(String::new(), |floor| {
                format!("{}: {}", floor.name, figure(floor.figure))
            });
            let instead = line.instead.iter().filter(|way| is_alternative(&way.name));
            let instead: Vec<String> = instead
                .map(|way| format!("{}: {}", way.name, figure(way.figure)))
                .collect();
            let _ = writeln!(
                text,
                "| {} | {} | {} | {} {} | {floor} | {} |",
                line.what,
                target(line),
                measured(line),
                figure(line.product),
                line.unit,
                instead.join("; ")
            );
        }
        text
    }
}

/// Whether a way is what a runtime would do without the crates, not a part of a figure.
fn is_alternative(name: &str) -> bool {
    name.starts_with("sigaction") || name.starts_with("by hand") || name.starts_with("MIG")
}

impl fmt::Display for Report {
    fn fmt(&self, text: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(text, "machine: {}", self.machine)?;
        if self.quick {
            writeln!(text, "quick: these figures mean nothing")?;
        }
        let width = lines(&self.rows).map(|line| line.what.chars().count());
        let width = width.max().unwrap_or(0);
        writeln!(text, "{:<width$} {:>9} {:>9}", "", "target", "measured")?;
        for row in &self.rows {
            match &row.found {
                Found::Lines(lines) => {
                    for line in lines {
                        write_line(text, line, width)?;
                    }
                }
                Found::LeftOut(reason) => writeln!(text, "{}: left out: {reason}", row.row)?,
                Found::Failed(reason) => writeln!(text, "{}: FAILED: {reason}", row.row)?,
            }
        }
        Ok(())
    }
}

fn write_line(text: &mut fmt::Formatter<'_>, line: &Line, width: usize) -> fmt::Result {
    let met = match line.is_met() {
        Some(true) => "met",
        Some(false) => "MISSED",
        None => "",
    };
    writeln!(
        text,
        "{:<width$} {:>9} {:>9} {}  {met}",
        line.what,
        target(line),
        figure(line.measured),
        line.bounded
    )?;
    let product = figure(line.product);
    writeln!(text, "    {product:>9} {} these crates", line.unit)?;
    for way in line.floor.iter().chain(&line.instead) {
        let ratio = line.product / way.figure;
        let ratio = if ratio.is_finite() {
            format!("{ratio:.2} ×")
        } else {
            String::new()
        };
        let way_figure = figure(way.figure);
        writeln!(text, "    {way_figure:>9} {} {:<40} {ratio:>8}", line.unit, way.name)?;
    }
    Ok(())
}

/// The target of a line, in words.
pub(crate) fn target(line: &Line) -> String {
    match line.target {
        Some(0.0) => "0".to_owned(),
        Some(target) => format!("≤ {target}"),
        None => String::new(),
    }
}

/// What was measured, with what it is over.
pub(crate) fn measured(line: &Line) -> String {
    let measured = figure(line.measured);
    if line.bounded.starts_with('×') {
        format!("{measured} {}", line.bounded)
    } else {
        measured
    }
}

/// A figure with as many digits as say something.
pub(crate) fn figure(figure: f64) -> String {
    if figure == figure.trunc() || figure.abs() >= 100.0 {
        format!("{figure:.0}")
    } else {
        format!("{figure:.2}")
    }
}
