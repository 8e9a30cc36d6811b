//! The shape of the library: which layer may import which, and that no files import each other in a circle. It reads the
//! sources, so that an import that climbs fails here and not in somebody's head.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The layers, from the ground up. Each may import those before it, and itself.
const FLOORS: &[&str] = &[
    "core",
    "store",
    "transport",
    "trust",
    "talk",
    "send",
    "receive",
    "rooms",
    "devices",
    "history",
    "client",
    "enroll",
];

/// A source file, by its module: `send::worker` for `send/worker.rs`.
struct Source {
    module: String,
    code: String,
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if entry.is_dir() {
                // Tests may look at anything.
                if entry.file_name().is_some_and(|name| name != "tests") {
                    folders.push(entry);
                }
            } else if entry.extension().is_some_and(|e| e == "rs") {
                found.extend(source(&root, &entry));
            }
        }
    }
    assert!(found.len() > 50, "the sources are where they were");
    found
}

fn source(root: &Path, path: &PathBuf) -> Option<Source> {
    let name = path.strip_prefix(root).unwrap().with_extension("");
    let module = name.iter().map(|part| part.to_str().unwrap()).collect::<Vec<_>>().join("::");
    if module == "lib" || module.ends_with("tests") {
        return None;
    }
    let text = fs::read_to_string(path).unwrap();
    // Tests stand at the end of a file.
    let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
    let code = code.split("#[cfg(test)]\npub(crate) mod tests {").next().unwrap();
    let code = code.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
    Some(Source { module, code })
}

/// Every path into the crate that stands in a text, as `a::b::c`: of `use` declarations and of paths in the code.
fn paths(source: &Source) -> Vec<String> {
    let mut found = Vec::new();
    for (at, start) in source.code.match_indices("crate::").chain(source.code.match_indices("super::")) {
        let before = source.code[..at].chars().next_back();
        if before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':') {
            continue;
        }
        let mut base: Vec<&str> = if start == "crate::" { Vec::new() } else { source.module.split("::").collect() };
        let mut rest = &source.code[at..];
        while let Some(after) = rest.strip_prefix("super::") {
            base.pop();
            rest = after;
        }
        rest = rest.strip_prefix("crate::").unwrap_or(rest);
        expand(&base.join("::"), rest, &mut found);
    }
    found
}

/// One path, or all paths of a braced list.
fn expand(base: &str, text: &str, found: &mut Vec<String>) {
    let end = text.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':')).unwrap_or(text.len());
    let (path, rest) = text.split_at(end);
    let joined =
        [base, path.trim_end_matches("::")].iter().filter(|p| !p.is_empty()).copied().collect::<Vec<_>>().join("::");
    if (path.ends_with("::") || path.is_empty())
        && let Some(list) = rest.strip_prefix('{')
    {
        let (mut depth, mut part) = (0, String::new());
        for c in list.chars() {
            match c {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' if depth == 0 => {
                    expand(&joined, part.trim(), found);
                    part.clear();
                    continue;
                }
                _ => {}
            }
            part.push(c);
        }
        if !part.trim().is_empty() {
            expand(&joined, part.trim(), found);
        }
        return;
    }
    if !joined.is_empty() {
        found.push(joined);
    }
}

/// The file that a path leads to: the longest part of it that is one.
fn file_of<'a>(path: &'a str, modules: &BTreeSet<&str>) -> Option<&'a str> {
    let mut path = path;
    loop {
        if modules.contains(path) {
            return Some(path);
        }
        path = &path[..path.rfind("::")?];
    }
}

/// Which file imports which.
fn imports(sources: &[Source]) -> BTreeMap<String, BTreeSet<String>> {
    let modules: BTreeSet<&str> = sources.iter().map(|source| source.module.as_str()).collect();
    let mut graph = BTreeMap::new();
    for source in sources {
        let to =
            paths(source).iter().filter_map(|path| file_of(path, &modules).map(str::to_owned)).collect::<BTreeSet<_>>();
        graph.insert(source.module.clone(), to.into_iter().filter(|to| *to != source.module).collect());
    }
    graph
}

fn floor(module: &str) -> usize {
    let layer = module.split("::").next().unwrap();
    FLOORS
        .iter()
        .position(|floor| *floor == layer)
        .unwrap_or_else(|| panic!("{layer} is no layer: give it a floor here"))
}

/// Files that import each other, directly or over others.
fn circles(graph: &BTreeMap<String, BTreeSet<String>>) -> Vec<BTreeSet<String>> {
    let reach = |from: &str| {
        let (mut seen, mut next) = (BTreeSet::new(), vec![from.to_owned()]);
        while let Some(at) = next.pop() {
            for to in graph.get(&at).into_iter().flatten() {
                if seen.insert(to.clone()) {
                    next.push(to.clone());
                }
            }
        }
        seen
    };
    let reached: BTreeMap<&String, BTreeSet<String>> = graph.keys().map(|from| (from, reach(from))).collect();
    let mut circles: Vec<BTreeSet<String>> = graph
        .keys()
        .filter(|from| reached[from].contains(*from))
        .map(|from| {
            reached[from].iter().filter(|to| reached.get(to).is_some_and(|back| back.contains(from))).cloned().collect()
        })
        .collect();
    circles.sort();
    circles.dedup();
    circles
}

#[test]
fn no_import_climbs() {
    let graph = imports(&sources());
    let climbing: Vec<String> = graph
        .iter()
        .flat_map(|(from, to)| to.iter().map(move |to| (from, to)))
        .filter(|(from, to)| floor(to) > floor(from))
        .map(|(from, to)| format!("{from} imports {to}"))
        .collect();
    assert!(climbing.is_empty(), "imports go downwards only:\n{}", climbing.join("\n"));
}

#[test]
fn no_files_import_each_other_in_a_circle() {
    // A folder's own file names its modules and gives out what they have; it imports nothing for itself.
    let mut graph = imports(&sources());
    for file in FLOORS {
        if *file != "client" && *file != "history" {
            graph.remove(*file);
        }
    }
    let found = circles(&graph);
    assert!(found.is_empty(), "these import each other: {found:#?}");
}

#[test]
fn the_reading_of_imports_is_right() {
    let module = "send::worker".to_owned();
    let code =
        "use crate::store::{Tx, talk::{A, B as C}};\nuse super::state::Sending;\nlet x = crate::core::clock::now_ms();";
    let source = Source { module, code: code.to_owned() };
    let mut found = paths(&source);
    found.sort();
    assert_eq!(found, ["core::clock::now_ms", "send::state::Sending", "store::Tx", "store::talk::A", "store::talk::B"]);
    let graph = |edges: &[(&str, &str)]| {
        let mut graph: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (from, to) in edges {
            graph.entry((*from).to_owned()).or_default().insert((*to).to_owned());
        }
        graph
    };
    assert!(circles(&graph(&[("a", "b"), ("b", "c"), ("a", "c")])).is_empty());
    assert_eq!(circles(&graph(&[("a", "b"), ("b", "c"), ("c", "a"), ("c", "d")])).len(), 1);
}
