//! Users by the thousand: a table of people becomes manifests, or User objects in a cluster.
//!
//! ```text
//! bytes ──table::read──▶ rows ──check──▶ people (sorted by name) + refusals
//! people ──files::write──▶ one manifest a person
//! people + what the cluster has ──plan──▶ steps ──run──▶ the cluster
//! ```
//!
//! Every line is checked as the API server would check it before anything is written.

mod check;
pub mod files;
mod names;
mod plan;
pub mod run;
pub mod table;

use serde::Serialize;

pub use check::{Checked, Options, Person, check};
pub use names::object_name;
pub use plan::{Existing, Plan, Prune, PruneLimit, Step, Surroundings, plan};

/// The field manager under which users are applied.
pub const MANAGER: &str = "sotto-import";
/// The field manager that suspends those who are missing; apart, so that it can let go again.
pub const PRUNER: &str = "sotto-import-prune";
/// The label that says from which set of people an object comes.
pub const SET: &str = "sotto.dev/import";
/// The annotation with the digest of what was applied last.
pub const DIGEST: &str = "sotto.dev/import-digest";

/// A line that is not taken over: where, what, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Refusal {
    /// The line of the file where it begins.
    pub line: u64,
    /// The column, or what it is about.
    pub field: String,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub remedy: String,
}

impl Refusal {
    pub(crate) fn new(line: u64, field: &str, message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { line, field: field.to_owned(), message: message.into(), remedy: remedy.into() }
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "line {}: {}: {}; {}", self.line, self.field, self.message, self.remedy)
    }
}

/// What became of an import.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// How many people the table has.
    pub lines: usize,
    /// New ones.
    pub created: usize,
    /// Those that were different.
    pub changed: usize,
    /// Those that are as the table says already.
    pub unchanged: usize,
    /// Who is not in the table any more and was suspended.
    pub suspended: Vec<String>,
    /// Who is not in the table any more and was deleted.
    pub deleted: Vec<String>,
    /// Who is not in the table any more and was left alone.
    pub missing: Vec<String>,
    /// Lines that were not taken over.
    pub refused: Vec<Refusal>,
    /// What was not reached: run it again, and it goes on there.
    pub left: usize,
    /// Why it was not reached.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stopped: Option<String>,
    /// Nothing was written.
    pub dry_run: bool,
}

impl Report {
    /// Whether everything is as it was.
    pub fn nothing_changed(&self) -> bool {
        self.created + self.changed + self.suspended.len() + self.deleted.len() == 0
    }

    /// In one line.
    pub fn summary(&self) -> String {
        let mut words = vec![format!("{} lines", self.lines)];
        let would = if self.dry_run { "would be " } else { "" };
        let mut add = |n: usize, what: &str, conditional: bool| {
            if n > 0 {
                words.push(format!("{n} {}{what}", if conditional { would } else { "" }));
            }
        };
        add(self.created, "created", true);
        add(self.changed, "changed", true);
        add(self.suspended.len(), "suspended", true);
        add(self.deleted.len(), "deleted", true);
        add(self.unchanged, "unchanged", false);
        add(self.refused.len(), "refused", false);
        add(self.missing.len(), "not in the table any more and left alone (--prune suspends them)", false);
        add(self.left, "not reached", false);
        let mut text = words.join(", ");
        if self.nothing_changed() && self.left == 0 {
            text.push_str("; nothing has changed");
        }
        text
    }
}
