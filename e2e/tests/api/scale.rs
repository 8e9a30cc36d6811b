//! A small run of `make bench-operator`, so that it stays in order; times are not judged here.

use std::time::Duration;

use sotto_e2e::scale::{Goal, Plan, Size, json, measure, table};
use sotto_e2e::{Outcome, ensure};

#[test]
#[ignore = "needs Kubernetes' programs: `make api`"]
fn the_bench_measures_every_figure_and_nothing_is_written_or_read_without_need() -> Outcome {
    let plan = Plan {
        size: Size { networks: 4, namespaces: 2, groups: 2, users: 3 },
        one_namespace: false,
        quiet: Duration::from_secs(3),
        changes: 12,
        // It is built with Go: `make bench-operator` does.
        peer: false,
        growth_only: false,
    };
    let rows = measure(&plan)?;
    println!("{}", table(&rows));
    ensure(rows.len() == 4 + 7, || format!("{} rows", rows.len()))?;
    ensure(rows.iter().all(|row| row.ours.is_finite()), || format!("{rows:?}"))?;
    for row in rows.iter().filter(|row| row.goal == Goal::Zero) {
        ensure(row.met(), || format!("{}: {}", row.workload, row.ours))?;
    }
    ensure(json(&rows).as_array().is_some_and(|rows| rows.iter().all(|row| row["met"].is_boolean())), || {
        "no JSON".into()
    })
}
