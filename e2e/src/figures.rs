//! Headings with times while a long test runs, and the figures that it measured.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::{Outcome, release_folder};

/// Prints the steps of a test with their times.
#[derive(Debug)]
pub struct Steps {
    number: usize,
    begin: Instant,
}

impl Default for Steps {
    fn default() -> Self {
        Self::new()
    }
}

impl Steps {
    /// Nothing done yet.
    pub fn new() -> Self {
        Self { number: 0, begin: Instant::now() }
    }

    /// Runs one step and prints its name and time; an error names the step.
    pub fn step<T>(&mut self, name: &str, action: impl FnOnce() -> Outcome<T>) -> Outcome<T> {
        self.number += 1;
        let begin = Instant::now();
        eprintln!("[{:7.1} s] {:2}. {name}", self.begin.elapsed().as_secs_f64(), self.number);
        let result = action();
        match &result {
            Ok(_) => eprintln!("            … {:.1} s", begin.elapsed().as_secs_f64()),
            Err(error) => eprintln!("            FAILED after {:.1} s: {error}", begin.elapsed().as_secs_f64()),
        }
        result.map_err(|error| crate::Failure(format!("step {} ({name}): {error}", self.number)))
    }
}

/// What was measured, by name. Kept in `e2e/figures.json` below the target folder, where runs add to each other.
#[derive(Debug, Default)]
pub struct Figures {
    values: BTreeMap<String, Value>,
}

impl Figures {
    /// Nothing measured yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Keeps a time, in milliseconds.
    pub fn time(&mut self, name: &str, time: Duration) {
        self.keep(name, "ms", &(time.as_secs_f64() * 1e3).round().into());
    }

    /// Keeps a number of bytes.
    pub fn bytes(&mut self, name: &str, bytes: u64) {
        self.keep(name, "bytes", &bytes.into());
    }

    fn keep(&mut self, name: &str, unit: &str, value: &Value) {
        eprintln!("            figure: {name} = {value} {unit}");
        self.values.insert(name.to_owned(), serde_json::json!({"value": value, "unit": unit}));
    }

    /// The file.
    pub fn path() -> Outcome<PathBuf> {
        let mut folder = release_folder()?;
        folder.pop();
        Ok(folder.join("e2e").join("figures.json"))
    }

    /// Adds what was measured to the file.
    pub fn write(&self) -> Outcome {
        let path = Self::path()?;
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let mut all: BTreeMap<String, Value> =
            std::fs::read(&path).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
        all.extend(self.values.clone());
        std::fs::write(&path, serde_json::to_vec_pretty(&all)?)?;
        eprintln!("figures are in {}", path.display());
        Ok(())
    }
}
