//! `make bench-operator`: see `sotto_e2e::scale`. Prints a table and writes `target/bench/operator.json`.

use std::fs;

use sotto_e2e::scale::{Plan, json, measure, table};
use sotto_e2e::{Outcome, repository};

fn main() -> Outcome {
    let rows = measure(&Plan::from_env()?)?;
    println!("\n{}", table(&rows));
    let file = repository().join("target/bench/operator.json");
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(&file, serde_json::to_string_pretty(&json(&rows))? + "\n")?;
    println!("written: target/bench/operator.json");
    Ok(())
}
