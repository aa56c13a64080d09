//! One line of the report.

use core::fmt;
use serde::{Deserialize, Serialize};

/// A way of doing the same thing, and its figure.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Way {
    /// Name of the way.
    pub name: String,
    /// Its figure, in the unit of the line.
    pub figure: f64,
}

impl Way {
    /// Creates a way with its figure.
    #[must_use]
    pub fn new(name: &str, figure: f64) -> Self {
        Self {
            name: name.to_owned(),
            figure,
        }
    }
}

/// A figure with its target.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Line {
    /// The measured quantity.
    pub what: String,
    /// The unit of the ways' figures.
    pub unit: String,
    /// The figure of these crates.
    pub product: f64,
    /// The least that it can take.
    pub floor: Option<Way>,
    /// The ways of a runtime without these crates.
    pub instead: Vec<Way>,
    /// The bounded quantity, in words.
    pub bounded: String,
    /// The figure that the target bounds: a ratio, or the product's own.
    pub measured: f64,
    /// The target: at most this. `None` reports only.
    pub target: Option<f64>,
}

impl Line {
    /// Makes a line whose target bounds the product's own figure.
    #[must_use]
    pub fn of(what: &str, unit: &str, product: f64, target: f64) -> Self {
        Self {
            what: what.to_owned(),
            unit: unit.to_owned(),
            product,
            floor: None,
            instead: Vec::new(),
            bounded: unit.to_owned(),
            measured: product,
            target: Some(target),
        }
    }

    /// Makes a line whose target bounds the ratio of the product's figure over the floor's.
    #[must_use]
    pub fn over_floor(what: &str, unit: &str, product: f64, floor: Way, target: f64) -> Self {
        Self {
            bounded: format!("× {}", floor.name),
            measured: product / floor.figure,
            floor: Some(floor),
            ..Self::of(what, unit, product, target)
        }
    }

    /// Adds the floor to a line whose target bounds something else.
    #[must_use]
    pub fn with_floor(mut self, floor: Way) -> Self {
        self.floor = Some(floor);
        self
    }

    /// Adds what a runtime would do instead.
    #[must_use]
    pub fn or(mut self, name: &str, figure: f64) -> Self {
        self.instead.push(Way::new(name, figure));
        self
    }

    /// Returns whether the target is met; `None` without a target.
    #[must_use]
    pub fn is_met(&self) -> Option<bool> {
        self.target.map(|target| self.measured <= target)
    }

    /// Returns the target in words, empty without one.
    #[must_use]
    pub fn target_text(&self) -> String {
        match self.target {
            Some(0.0) => "0".to_owned(),
            Some(target) => format!("≤ {target}"),
            None => String::new(),
        }
    }

    /// Returns the figure that the target bounds, with what it is over if it is a ratio.
    #[must_use]
    pub fn measured_text(&self) -> String {
        let measured = figure(self.measured);
        if self.is_ratio() {
            format!("{measured} {}", self.bounded)
        } else {
            measured
        }
    }

    /// Returns whether the target bounds a ratio.
    #[must_use]
    pub fn is_ratio(&self) -> bool {
        self.bounded.starts_with('×')
    }

    /// Returns the line over lines that are printed with a first column of this width.
    #[must_use]
    pub fn header(width: usize) -> String {
        format!("{:<width$} {:>9} {:>9}", "", "target", "measured")
    }
}

/// Prints the target and the measured figure, and below all figures with the product's ratio over each. The format's width is that of
/// the first column.
impl fmt::Display for Line {
    fn fmt(&self, text: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = text.width().unwrap_or(0);
        let met = match self.is_met() {
            Some(true) => "met",
            Some(false) => "MISSED",
            None => "",
        };
        let (target, measured) = (self.target_text(), figure(self.measured));
        let (what, bounded) = (&self.what, &self.bounded);
        writeln!(
            text,
            "{what:<width$} {target:>9} {measured:>9} {bounded}  {met}"
        )?;
        let product = figure(self.product);
        writeln!(text, "    {product:>9} {} these crates", self.unit)?;
        for way in self.floor.iter().chain(&self.instead) {
            let ratio = self.product / way.figure;
            let ratio = if self.target != Some(0.0) && ratio.is_finite() {
                format!("{ratio:.2} ×")
            } else {
                String::new()
            };
            let time = figure(way.figure);
            let (unit, name) = (&self.unit, &way.name);
            writeln!(text, "    {time:>9} {unit} {name:<40} {ratio:>8}")?;
        }
        Ok(())
    }
}

/// Writes a figure with as many digits as say something.
#[must_use]
pub fn figure(figure: f64) -> String {
    if figure == figure.trunc() || figure.abs() >= 100.0 {
        format!("{figure:.0}")
    } else {
        format!("{figure:.2}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_over_the_floor_is_held_against_the_target() {
        let line = |product| {
            Line::over_floor("round trip", "µs", product, Way::new("floor", 2.0), 1.1).is_met()
        };
        assert_eq!([line(2.2), line(2.3)], [Some(true), Some(false)]);
        assert_eq!(Line::of("leaks", "names", 0.0, 0.0).is_met(), Some(true));
        assert_eq!(Line::of("leaks", "names", 1.0, 0.0).is_met(), Some(false));
    }
}
