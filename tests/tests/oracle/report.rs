//! Result of a replay: cases that agree and cases that differ, counted by class.

use std::collections::BTreeMap;
use std::fmt;

/// An answer that is not the recorded one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Difference {
    pub(crate) field: String,
    pub(crate) recorded: String,
    pub(crate) here: String,
}

impl Difference {
    pub(crate) fn new(field: &str, recorded: &str, here: &str) -> Self {
        Self {
            field: field.to_owned(),
            recorded: recorded.to_owned(),
            here: here.to_owned(),
        }
    }

    pub(crate) fn unless_equal<T: PartialEq + fmt::Display>(
        field: &str,
        recorded: T,
        here: T,
    ) -> Result<(), Self> {
        if recorded == here {
            Ok(())
        } else {
            Err(Self::new(field, &recorded.to_string(), &here.to_string()))
        }
    }
}

pub(crate) type Outcome = Result<(), Difference>;

/// All cases of a file.
#[derive(Debug, Default)]
pub(crate) struct Report {
    cases: usize,
    agree: usize,
    steps: usize,
    /// Class → how often, first example.
    classes: BTreeMap<String, (usize, String)>,
}

impl Report {
    /// One step was compared and agreed.
    pub(crate) fn step(&mut self) {
        self.steps += 1;
    }

    /// One case is over; `class` describes the call that it ended with.
    pub(crate) fn case(&mut self, name: &str, at: usize, class: &str, outcome: &Outcome) {
        self.cases += 1;
        match outcome {
            Ok(()) => self.agree += 1,
            Err(Difference {
                field,
                recorded,
                here,
            }) => {
                let class = format!("{class} | {field}: recorded {recorded}, here {here}");
                let entry = self.classes.entry(class);
                entry.or_insert((0, format!("{name} step {at}"))).0 += 1;
            }
        }
    }

    /// Returns how many cases were replayed.
    pub(crate) fn cases(&self) -> usize {
        self.cases
    }

    /// Fails if a case gave another answer than the recording.
    pub(crate) fn assert_agreement(&self) {
        assert_eq!(self.agree, self.cases, "{self}");
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} cases: {} agree to the end; {} steps agree",
            self.cases, self.agree, self.steps
        )?;
        let mut classes: Vec<_> = self.classes.iter().collect();
        classes.sort_by_key(|(_, (count, _))| std::cmp::Reverse(*count));
        for (class, (count, example)) in classes {
            writeln!(f, "  {count:4}  {class}   [{example}]")?;
        }
        Ok(())
    }
}
