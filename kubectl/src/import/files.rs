//! Manifests in a folder, one file a person, for GitOps: a second run writes the same bytes, and therefore nothing.

use std::fs;
use std::io::{self, Write as _};
use std::path::Path;

use super::check::{Checked, Person};
use super::plan::{Prune, PruneLimit, too_many};
use super::{Refusal, Report};
use crate::error::KubeError;

/// What each file begins with; files without it are somebody else's.
const MARK: &str = "# Written by `sotto users import`: change the table, not this file.\n";

/// All manifests in one text, in the order of their names.
pub fn text(people: &[Person]) -> String {
    let mut text = String::new();
    for person in people {
        text.push_str("---\n");
        text.push_str(&person.manifest.yaml());
    }
    text
}

/// Writes one file a person into a folder, and only those that are new or different.
pub fn write(
    dir: &Path,
    checked: &Checked,
    prune: Option<Prune>,
    limit: PruneLimit,
    dry_run: bool,
) -> Result<Report, KubeError> {
    let mut report = Report { lines: checked.lines, refused: checked.refused.clone(), dry_run, ..Report::default() };
    let names: std::collections::BTreeSet<&str> = checked.people.iter().map(|p| p.name.as_str()).collect();
    let before = ours(dir).map_err(|e| KubeError::file(dir, e))?;
    let gone: Vec<&(String, String)> = before.iter().filter(|(name, _)| !names.contains(name.as_str())).collect();
    // Who is suspended in the folder already needs nothing more.
    let open = |text: &str| prune == Some(Prune::Delete) || !text.contains("\n  suspended: true\n");
    let gone: Vec<&(String, String)> = gone.into_iter().filter(|(_, text)| open(text)).collect();
    let prune = match prune {
        Some(_) if !checked.refused.is_empty() => {
            return Err(KubeError::Usage(format!(
                "--prune with {} refused lines: who stands in them would be taken for missing; mend them first",
                checked.refused.len()
            )));
        }
        Some(_) => {
            too_many(gone.len(), before.len(), limit)?;
            prune
        }
        None => None,
    };
    if !dry_run {
        fs::create_dir_all(dir).map_err(|e| KubeError::file(dir, e))?;
    }
    for person in &checked.people {
        let path = dir.join(format!("{}.yaml", person.name));
        let text = format!("{MARK}{}", person.manifest.yaml());
        match fs::read_to_string(&path) {
            Ok(there) if there == text => {
                report.unchanged += 1;
                continue;
            }
            Ok(there) if !there.starts_with(MARK) => {
                let message = format!("{} is there already and was not written by this command", path.display());
                let remedy = "move it, choose another folder, or another name in a column `name`";
                report.refused.push(Refusal::new(person.line, "name", message, remedy));
                continue;
            }
            Ok(_) => report.changed += 1,
            Err(error) if error.kind() == io::ErrorKind::NotFound => report.created += 1,
            Err(error) => return Err(KubeError::file(&path, error)),
        }
        put(&path, &text, dry_run)?;
    }
    for (name, text) in gone {
        let path = dir.join(format!("{name}.yaml"));
        match prune {
            None => report.missing.push(name.clone()),
            Some(Prune::Suspend) => {
                put(&path, &suspended(text), dry_run)?;
                report.suspended.push(name.clone());
            }
            Some(Prune::Delete) => {
                if !dry_run {
                    fs::remove_file(&path).map_err(|e| KubeError::file(&path, e))?;
                }
                report.deleted.push(name.clone());
            }
        }
    }
    Ok(report)
}

/// The manifests of a folder that this command has written: name and text, by name.
fn ours(dir: &Path) -> io::Result<Vec<(String, String)>> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut found = Vec::new();
    for entry in entries {
        let name = entry?.file_name().to_string_lossy().into_owned();
        let Some(stem) = name.strip_suffix(".yaml") else { continue };
        // What cannot be read as text is not ours.
        let Ok(text) = fs::read_to_string(dir.join(&name)) else { continue };
        if text.starts_with(MARK) {
            found.push((stem.to_owned(), text));
        }
    }
    found.sort();
    Ok(found)
}

/// The same manifest with `suspended: true`: its last field of the spec, or in the place of another value.
fn suspended(text: &str) -> String {
    let mut lines: Vec<&str> = text.lines().filter(|line| !line.starts_with("  suspended:")).collect();
    // The invite, where there is one, stands behind it, as this command writes it.
    let place = lines.iter().position(|line| line.starts_with("  invite:")).unwrap_or(lines.len());
    lines.insert(place, "  suspended: true");
    lines.join("\n") + "\n"
}

/// All of it or nothing: an interrupted run leaves no half file.
fn put(path: &Path, text: &str, dry_run: bool) -> Result<(), KubeError> {
    if dry_run {
        return Ok(());
    }
    let beside = path.with_extension("yaml.new");
    let write = || {
        let mut file = fs::File::create(&beside)?;
        file.write_all(text.as_bytes())?;
        fs::rename(&beside, path)
    };
    write().map_err(|e| KubeError::file(path, e))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::{Options, check, table};
    use super::*;

    fn checked(text: &str) -> Checked {
        let options = Options { network: Some("acme".into()), set: "users".into(), ..Options::default() };
        check(&table::read(text.as_bytes(), &[], None).unwrap(), &options)
    }

    fn folder(dir: &Path) -> BTreeMap<String, Vec<u8>> {
        let entries = fs::read_dir(dir).unwrap().map(|e| e.unwrap());
        entries.map(|e| (e.file_name().into_string().unwrap(), fs::read(e.path()).unwrap())).collect()
    }

    fn run(dir: &Path, text: &str, prune: Option<Prune>) -> Report {
        write(dir, &checked(text), prune, PruneLimit::default(), false).unwrap()
    }

    #[test]
    fn a_second_run_writes_the_same_bytes() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().join("users");
        let first = run(&dir, "username,firstName\nalice,Alice\nb_b,Bob\n", None);
        assert_eq!((first.created, first.unchanged), (2, 0));
        let before = folder(&dir);
        assert!(before.len() == 2 && before.contains_key("alice.yaml"));
        let times = || fs::metadata(dir.join("alice.yaml")).unwrap().modified().unwrap();
        let time = times();
        let second = run(&dir, "username,firstName\nb_b,Bob\nalice,Alice\n", None);
        assert_eq!((second.created, second.changed, second.unchanged), (0, 0, 2));
        assert!(second.nothing_changed() && second.summary().ends_with("nothing has changed"));
        assert_eq!((folder(&dir), times()), (before, time));
        let third = run(&dir, "username,firstName\nalice,Alicia\nb_b,Bob\n", None);
        assert_eq!((third.changed, third.unchanged), (1, 1));
    }

    #[test]
    fn who_is_missing_stays_is_suspended_or_deleted_as_was_asked_for() {
        let dir = tempfile::tempdir().unwrap();
        let table = "username,inviteTtl\nalice,\nbob,30d\ncarol,\n";
        run(dir.path(), table, None);
        let left = run(dir.path(), "username\nalice\ncarol\n", None);
        assert_eq!(left.missing, ["bob"]);
        let pruned = run(dir.path(), "username\nalice\ncarol\n", Some(Prune::Suspend));
        assert_eq!(pruned.suspended, ["bob"]);
        // Whoever is suspended in the file is suspended for the cluster.
        let text = fs::read_to_string(dir.path().join("bob.yaml")).unwrap();
        let value: serde_json::Value = serde_yaml::from_str(&text).unwrap();
        assert_eq!((&value["spec"]["suspended"], &value["spec"]["invite"]["ttl"]), (&true.into(), &"30d".into()));
        let again = run(dir.path(), "username\nalice\ncarol\n", Some(Prune::Suspend));
        assert!(again.nothing_changed(), "{again:?}");
        // And is back when the table has them again.
        assert_eq!(run(dir.path(), table, None).changed, 1);
        let deleted = run(dir.path(), "username\nalice\ncarol\n", Some(Prune::Delete));
        assert_eq!(deleted.deleted, ["bob"]);
        assert_eq!(folder(dir.path()).len(), 2);
    }

    #[test]
    fn files_of_others_are_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("alice.yaml"), "by hand\n").unwrap();
        fs::write(dir.path().join("kustomization.yaml"), "resources: []\n").unwrap();
        let report = run(dir.path(), "username\nalice\nbob\n", Some(Prune::Delete));
        assert_eq!((report.created, report.refused.len()), (1, 1));
        assert!(report.refused[0].line == 2 && report.deleted.is_empty());
        assert_eq!(fs::read_to_string(dir.path().join("alice.yaml")).unwrap(), "by hand\n");
    }

    #[test]
    fn pruning_stops_before_harm_is_done() {
        let dir = tempfile::tempdir().unwrap();
        let many = (0..50).map(|n| format!("u{n}\n")).collect::<Vec<_>>().concat();
        run(dir.path(), &format!("username\n{many}"), None);
        let few = checked("username\nu1\nu2\n");
        let said = write(dir.path(), &few, Some(Prune::Suspend), PruneLimit::default(), false).unwrap_err().to_string();
        assert!(said.contains("48") && said.contains("--prune-limit"), "{said}");
        let bad = checked(&format!("username,email\n{}", many.replace('\n', ",\n").replace("u7,", "u7,x")));
        let said = write(dir.path(), &bad, Some(Prune::Suspend), PruneLimit::default(), false).unwrap_err().to_string();
        assert!(said.contains("refused lines"), "{said}");
        let all = write(dir.path(), &few, Some(Prune::Suspend), PruneLimit(Some(48)), true).unwrap();
        assert!(all.dry_run && all.suspended.len() == 48 && all.summary().contains("48 would be suspended"));
        assert!(!fs::read_to_string(dir.path().join("u9.yaml")).unwrap().contains("suspended"), "a dry run wrote");
    }
}
