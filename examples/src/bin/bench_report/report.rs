//! The report, as text and as a table in Markdown.

use crate::rows::lines;
use core::fmt::{self, Write};
use measure::line::{Line, figure};
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

/// Result of a row.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Found {
    /// The row's figures.
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
                line.target_text(),
                line.measured_text(),
                figure(line.product),
                line.unit,
                instead.join("; ")
            );
        }
        text
    }
}

/// Returns whether a way is what a runtime would do without the crates, not a part of a figure.
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
        writeln!(text, "{}", Line::header(width))?;
        for row in &self.rows {
            match &row.found {
                Found::Lines(lines) => {
                    for line in lines {
                        write!(text, "{line:width$}")?;
                    }
                }
                Found::LeftOut(reason) => writeln!(text, "{}: left out: {reason}", row.row)?,
                Found::Failed(reason) => writeln!(text, "{}: FAILED: {reason}", row.row)?,
            }
        }
        Ok(())
    }
}
