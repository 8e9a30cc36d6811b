//! The table.

use std::fmt::Write as _;

use serde_json::{Value, json};

/// What a figure has to be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Goal {
    /// `ours` below this.
    Below(f64),
    /// `ours` exactly zero.
    Zero,
    /// `ours` at most so many times `theirs`.
    Times(f64),
    /// `ours` at least this.
    AtLeast(f64),
    /// Nothing: it is there to be seen.
    Nothing,
}

/// A figure.
#[derive(Clone, Debug)]
pub struct Row {
    /// What was done.
    pub workload: String,
    /// Of both figures.
    pub unit: &'static str,
    /// Sotto's.
    pub ours: f64,
    /// What stands beside it.
    pub beside: String,
    /// Its figure; none when it was not measured.
    pub theirs: Option<f64>,
    /// What is asked for.
    pub goal: Goal,
}

impl Row {
    /// Ours over theirs.
    pub fn ratio(&self) -> Option<f64> {
        self.theirs.filter(|theirs| *theirs > 0.0).map(|theirs| self.ours / theirs)
    }

    /// Whether the goal is met. One that needs a comparison is not met without.
    pub fn met(&self) -> bool {
        match self.goal {
            Goal::Below(limit) => self.ours < limit,
            Goal::Zero => self.ours.abs() < f64::EPSILON,
            Goal::Times(limit) => self.ratio().is_some_and(|ratio| ratio <= limit),
            Goal::AtLeast(limit) => self.ours >= limit,
            Goal::Nothing => true,
        }
    }

    fn goal_text(&self) -> String {
        match self.goal {
            Goal::Below(limit) => format!("< {limit}"),
            Goal::Zero => "0".to_owned(),
            Goal::Times(limit) => format!("<= {limit} times"),
            Goal::AtLeast(limit) => format!(">= {limit}"),
            Goal::Nothing => "-".to_owned(),
        }
    }

    fn json(&self) -> Value {
        let round = |value: f64| (value * 1000.0).round() / 1000.0;
        json!({
            "workload": self.workload, "unit": self.unit, "ours": round(self.ours), "beside": self.beside,
            "theirs": self.theirs.map(round), "ratio": self.ratio().map(round), "goal": self.goal_text(), "met": self.met(),
        })
    }
}

/// For people.
pub fn table(rows: &[Row]) -> String {
    let mut text = format!(
        "{:<100} {:>10} {:>10}  {:<7} {:>7}  {:<11} met\n",
        "workload", "ours", "theirs", "unit", "ratio", "goal"
    );
    let number = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{value:.3}"));
    for row in rows {
        let _ = writeln!(
            text,
            "{:<100} {:>10} {:>10}  {:<7} {:>7}  {:<11} {}\n    beside {}",
            row.workload,
            number(Some(row.ours)),
            number(row.theirs),
            row.unit,
            number(row.ratio()),
            row.goal_text(),
            if row.met() { "yes" } else { "NO" },
            row.beside
        );
    }
    text
}

/// For programs.
pub fn json(rows: &[Row]) -> Value {
    rows.iter().map(Row::json).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(ours: f64, theirs: Option<f64>, goal: Goal) -> Row {
        Row { workload: "w".into(), unit: "s", ours, beside: "b".into(), theirs, goal }
    }

    #[test]
    fn goals_are_computed() {
        assert!(row(0.9, None, Goal::Below(1.0)).met() && !row(1.0, None, Goal::Below(1.0)).met());
        assert!(row(0.0, None, Goal::Zero).met() && !row(1.0, Some(5.0), Goal::Zero).met());
        assert!(row(6.0, Some(2.0), Goal::Times(3.0)).met());
        assert!(row(6.0, None, Goal::AtLeast(6.0)).met() && !row(5.9, Some(1.0), Goal::AtLeast(6.0)).met());
        assert!(row(6.0, None, Goal::Nothing).met());
        assert!(!row(7.0, Some(2.0), Goal::Times(3.0)).met() && !row(7.0, None, Goal::Times(3.0)).met());
    }

    #[test]
    fn programs_read_ratio_and_met() {
        let row = row(6.0, Some(2.0), Goal::Times(3.0));
        let value = json(std::slice::from_ref(&row));
        assert_eq!(
            (&value[0]["ratio"], &value[0]["met"], &value[0]["goal"]),
            (&json!(3.0), &json!(true), &json!("<= 3 times"))
        );
        assert!(table(&[row]).contains("yes"));
    }
}
