//! Reads a folder of manifests: YAML and JSON files, several documents a file. What cannot be read is reported with its
//! place, and the rest goes on.

use std::fmt;
use std::fs;
use std::io;
use std::path::Path;
use std::time::SystemTime;

use serde::{Deserialize as _, Serialize};
use serde_json::Value;

/// Kinds of ours, as they stand in manifests.
pub const KINDS: [&str; 4] = ["Network", "SecurityGroup", "User", "RetentionPolicy"];

/// Something that is wrong in the manifests: where, what, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, serde::Deserialize)]
pub struct Problem {
    /// The file's name.
    pub file: String,
    /// The line, where known.
    pub line: Option<usize>,
    /// `Kind/name`, where known.
    pub object: Option<String>,
    /// The field, where it is about one.
    pub field: Option<String>,
    /// What is wrong and what would be right.
    pub message: String,
    /// Whether something cannot be done because of it; otherwise it is a remark.
    pub fatal: bool,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        if let Some(object) = &self.object {
            write!(f, ": {object}")?;
        }
        if let Some(field) = &self.field {
            write!(f, ": {field}")?;
        }
        write!(f, ": {}", self.message)
    }
}

/// One document of a file.
#[derive(Clone, Debug, PartialEq)]
pub struct Manifest {
    /// The file's name.
    pub file: String,
    /// The line where it begins.
    pub line: usize,
    /// Its kind, one of [`KINDS`].
    pub kind: &'static str,
    /// `metadata.namespace`, or `default`.
    pub namespace: String,
    /// `metadata.name`.
    pub name: String,
    /// The whole of it.
    pub value: Value,
}

impl Manifest {
    /// `Kind/name`, with the namespace where it is not the default one.
    pub fn title(&self) -> String {
        title(self.kind, &self.namespace, &self.name)
    }
}

/// `Kind/name`, with the namespace where it is not the default one.
pub fn title(kind: &str, namespace: &str, name: &str) -> String {
    if namespace == DEFAULT_NAMESPACE { format!("{kind}/{name}") } else { format!("{kind}/{name} in {namespace}") }
}

/// The namespace of objects that name none.
pub const DEFAULT_NAMESPACE: &str = "default";

/// What a folder holds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reading {
    /// The documents that are objects of ours.
    pub manifests: Vec<Manifest>,
    /// What is wrong.
    pub problems: Vec<Problem>,
    /// Files of which not everything could be read: nothing that came from them before counts as removed.
    pub incomplete: Vec<String>,
}

/// Tells one state of a folder of manifests from another, without reading the files.
pub type Fingerprint = Vec<(String, Option<SystemTime>, u64)>;

/// The state of a folder of manifests; none where it cannot be read.
pub fn fingerprint(dir: &Path) -> Fingerprint {
    let names = manifest_names(dir).unwrap_or_default();
    let of = |name: String| {
        let metadata = fs::metadata(dir.join(&name)).ok();
        (name, metadata.as_ref().and_then(|m| m.modified().ok()), metadata.map_or(0, |m| m.len()))
    };
    names.into_iter().map(of).collect()
}

/// The names of the manifests of a folder, in order.
fn manifest_names(dir: &Path) -> io::Result<Vec<String>> {
    let mut names: Vec<String> = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let wanted = [".yaml", ".yml", ".json"].iter().any(|end| name.ends_with(end)) && !name.starts_with('.');
        if wanted && entry.path().is_file() {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

/// Reads all `.yaml`, `.yml` and `.json` files of `dir`, in the order of their names; not its subfolders.
pub fn read_dir(dir: &Path) -> io::Result<Reading> {
    let names = manifest_names(dir)?;
    let mut reading = Reading::default();
    for name in names {
        match fs::read_to_string(dir.join(&name)) {
            Ok(text) => read_text(&name, &text, &mut reading),
            // Removed since the listing: then it is not there.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                let message = if error.kind() == io::ErrorKind::InvalidData {
                    "is not UTF-8 text; save it as UTF-8".to_owned()
                } else {
                    format!("cannot be read ({error}); check the file's owner and mode")
                };
                reading.problems.push(problem(&name, None, message));
                reading.incomplete.push(name);
            }
        }
    }
    Ok(reading)
}

/// Reads the documents of one file.
pub fn read_text(file: &str, text: &str, reading: &mut Reading) {
    for (line, document) in documents(text) {
        let parsed = Value::deserialize(serde_yaml::Deserializer::from_str(document));
        match parsed {
            Ok(Value::Null) => {}
            Ok(value) => add(file, line, value, reading),
            Err(error) => {
                let at = error.location().map_or(line, |l| line + l.line().saturating_sub(1));
                let message = format!("is no YAML: {}; mend the line, or take the document out", words(&error));
                reading.problems.push(problem(file, Some(at), message));
                incomplete(file, reading);
            }
        }
    }
}

/// Without the place, which is that of the document and not of the file.
fn words(error: &serde_yaml::Error) -> String {
    let text = error.to_string();
    text.split(" at line ").next().unwrap_or(&text).to_owned()
}

/// Splits a file into its documents, each with its first line: one that is broken must not hide the others. A line
/// that begins with `---` is always a boundary in YAML, even within a block of text.
fn documents(text: &str) -> Vec<(usize, &str)> {
    let mut documents = Vec::new();
    let (mut start, mut start_line, mut offset) = (0, 1, 0);
    for (index, line) in text.split_inclusive('\n').enumerate() {
        let boundary = line.strip_prefix("---").is_some_and(|r| r.is_empty() || r.starts_with([' ', '\t', '\r', '\n']));
        if boundary && offset > start {
            documents.push((start_line, &text[start..offset]));
            (start, start_line) = (offset, index + 1);
        }
        offset += line.len();
    }
    documents.push((start_line, &text[start..]));
    documents
}

fn add(file: &str, line: usize, value: Value, reading: &mut Reading) {
    let field = |pointer: &str| value.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
    let (Some(api), Some(kind)) = (field("/apiVersion"), field("/kind")) else {
        let message = "is no Kubernetes object: apiVersion and kind are needed, such as `apiVersion: sotto.dev/v1alpha1` \
                       and `kind: Network`";
        reading.problems.push(problem(file, Some(line), message.into()));
        return incomplete(file, reading);
    };
    if kind == "List" && api == "v1" {
        let items = value.get("items").and_then(Value::as_array).cloned().unwrap_or_default();
        return items.into_iter().for_each(|item| add(file, line, item, reading));
    }
    let name = field("/metadata/name").unwrap_or_default();
    let namespace = field("/metadata/namespace").unwrap_or_else(|| DEFAULT_NAMESPACE.to_owned());
    let mut found =
        Problem { object: Some(title(&kind, &namespace, &name)), ..problem(file, Some(line), String::new()) };
    if api.split('/').next() != Some(sotto_crds::GROUP) {
        found.message = format!("skipped: `sotto up` runs {} of {} only", KINDS.join(", "), sotto_crds::API_VERSION);
        found.fatal = false;
        return reading.problems.push(found);
    }
    let known = KINDS.iter().find(|k| **k == kind);
    let (bad, message) = match known {
        None => ("kind", format!("`{kind}` is not one of {}{}", KINDS.join(", "), did_you_mean(&kind, KINDS))),
        Some(_) if api != sotto_crds::API_VERSION => {
            ("apiVersion", format!("`{api}` is not served; write {}", sotto_crds::API_VERSION))
        }
        Some(_) if name.is_empty() => ("metadata.name", "is required: the name of the object".to_owned()),
        Some(kind) => {
            return reading.manifests.push(Manifest { file: file.to_owned(), line, kind, namespace, name, value });
        }
    };
    found.field = Some(bad.to_owned());
    found.message = message;
    reading.problems.push(found);
    incomplete(file, reading);
}

fn incomplete(file: &str, reading: &mut Reading) {
    if !reading.incomplete.iter().any(|f| f == file) {
        reading.incomplete.push(file.to_owned());
    }
}

fn problem(file: &str, line: Option<usize>, message: String) -> Problem {
    Problem { file: file.to_owned(), line, object: None, field: None, message, fatal: true }
}

/// `; did you mean X?` where one of the known words is close.
pub fn did_you_mean<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let close = known.into_iter().map(|k| (distance(&word.to_lowercase(), &k.to_lowercase()), k)).min();
    match close {
        Some((steps, k)) if steps <= 1 + word.len() / 4 => format!("; did you mean `{k}`?"),
        _ => String::new(),
    }
}

/// Levenshtein's distance.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let step = (diagonal + usize::from(x != *y)).min(row[j] + 1).min(row[j + 1] + 1);
            diagonal = std::mem::replace(&mut row[j + 1], step);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Reading {
        let mut reading = Reading::default();
        read_text("f.yaml", text, &mut reading);
        reading
    }

    const GOOD: &str = "apiVersion: sotto.dev/v1alpha1\nkind: User\nmetadata: {name: alice}\nspec: {}\n";

    #[test]
    fn several_documents_with_their_lines() {
        let reading = read(&format!("# comment\n---\n{GOOD}---\n{}", GOOD.replace("alice", "bob")));
        assert_eq!(reading.problems, []);
        let seen: Vec<_> = reading.manifests.iter().map(|m| (m.name.as_str(), m.line)).collect();
        assert_eq!(seen, [("alice", 2), ("bob", 7)]);
    }

    #[test]
    fn one_broken_document_does_not_hide_the_others() {
        let reading = read(&format!("{GOOD}---\nkind: [\n---\n{}", GOOD.replace("alice", "bob")));
        assert_eq!(reading.manifests.len(), 2);
        assert_eq!(reading.incomplete, ["f.yaml"]);
        let said = reading.problems[0].to_string();
        assert!(said.starts_with("f.yaml:") && said.contains("YAML"), "{said}");
    }

    #[test]
    fn wrong_kind_gets_a_suggestion_and_foreign_ones_a_remark() {
        let reading = read(&GOOD.replace("kind: User", "kind: SecurityGruop"));
        let said = reading.problems[0].to_string();
        assert!(said.contains("SecurityGruop/alice: kind") && said.contains("did you mean `SecurityGroup`?"), "{said}");
        let reading = read("apiVersion: v1\nkind: Namespace\nmetadata: {name: x}\n");
        assert!(!reading.problems[0].fatal && reading.incomplete.is_empty());
        let reading = read("apiVersion: sotto.dev/v1\nkind: User\nmetadata: {name: x}\n");
        assert!(reading.problems[0].to_string().contains("sotto.dev/v1alpha1"));
        assert!(read("a: b").problems[0].message.contains("apiVersion and kind"));
    }

    #[test]
    fn lists_are_taken_apart() {
        let list = "{\"apiVersion\":\"v1\",\"kind\":\"List\",\"items\":[{\"apiVersion\":\"sotto.dev/v1alpha1\",\
                    \"kind\":\"User\",\"metadata\":{\"name\":\"alice\",\"namespace\":\"team\"}}]}";
        let reading = read(list);
        assert_eq!(reading.manifests[0].title(), "User/alice in team");
    }

    #[test]
    fn suggestions_are_close_ones_only() {
        assert_eq!(did_you_mean("displayname", ["displayName", "domain"]), "; did you mean `displayName`?");
        assert_eq!(did_you_mean("zzzz", ["displayName", "domain"]), "");
    }

    proptest::proptest! {
        #[test]
        fn never_panics(text in "(?s).{0,300}") {
            let _ = read(&text);
        }
    }
}
