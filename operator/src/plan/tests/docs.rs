//! The pages that speak of the operator's words and of tests: that they name all of them, and none that is not there.

use std::collections::BTreeSet;
use std::path::Path;

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

fn page(name: &str) -> String {
    std::fs::read_to_string(root().join("docs").join(name)).unwrap()
}

/// The words of `Reason`, from the source: a list beside the enum could be forgotten as well.
fn reasons() -> BTreeSet<&'static str> {
    let arms = include_str!("../../reasons.rs").lines().filter_map(|line| line.trim().split_once(" => \""));
    arms.filter_map(|(_, word)| word.strip_suffix("\",")).collect()
}

#[test]
fn every_reason_has_its_meaning_and_remedy_in_the_docs() {
    let page = page("operator.md");
    let table = page.split("### Reasons").nth(1).unwrap().split("\n## ").next().unwrap();
    let mut told = BTreeSet::new();
    for line in table.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        assert_eq!(cells.len(), 4, "{line}");
        assert!(cells.iter().all(|cell| !cell.is_empty()), "{line}");
        assert!(told.insert(cells[0].trim_matches('`').to_owned()), "twice: {line}");
    }
    let missing: Vec<_> = reasons().into_iter().filter(|reason| !told.contains(*reason)).collect();
    assert!(missing.is_empty(), "docs/operator.md, table of reasons: no row for {missing:?}");
    assert!(reasons().len() > 20, "the source is written otherwise now: {:?}", reasons());
}

/// A test is named as `path/to/file.rs: name_of_the_test`.
#[test]
fn every_test_that_the_docs_name_is_there() {
    let mut count = 0;
    for name in ["operators.md"] {
        let page = page(name);
        for (path, test) in page.split('`').skip(1).step_by(2).filter_map(|code| code.split_once(".rs: ")) {
            let file = root().join(format!("{path}.rs"));
            let text = std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{name}: {path}.rs: {error}"));
            for test in test.split(", ") {
                assert!(text.contains(&format!("fn {test}(")), "{name}: there is no test {test} in {path}.rs");
                count += 1;
            }
        }
    }
    assert!(count > 30, "only {count} tests are named");
}
