//! From lines to User objects, checked as the API server would check them.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use sotto_crds::User;
use sotto_crds::admission::{Violation, admit};

use super::names::{is_name, object_name};
use super::table::{Column, Row, Table};
use super::{Refusal, SET};
use crate::output;

/// What holds for all lines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// The network of those whose line names none.
    pub network: Option<String>,
    /// The security group of those whose line names none.
    pub group: Option<String>,
    /// The namespace, where manifests have to say it.
    pub namespace: Option<String>,
    /// The set of people that the table is; for pruning.
    pub set: String,
}

/// One person, as a User object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    /// Where it stands in the table.
    pub line: u64,
    /// The object's name.
    pub name: String,
    /// The network.
    pub network: String,
    /// The part of the address before the @.
    pub username: String,
    /// The security group, where one is named.
    pub group: Option<String>,
    /// The object.
    pub manifest: Manifest,
}

/// A manifest, with its fields in the order in which people write them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    api_version: &'static str,
    kind: &'static str,
    metadata: Metadata,
    spec: Spec,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Metadata {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace: Option<String>,
    labels: BTreeMap<&'static str, String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Spec {
    network_ref: Name,
    #[serde(skip_serializing_if = "Option::is_none")]
    username: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    first_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    security_group_ref: Option<Name>,
    #[serde(skip_serializing_if = "Option::is_none")]
    admin: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    suspended: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    invite: Option<Invite>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Name {
    name: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Invite {
    ttl: String,
}

impl Manifest {
    /// As a value.
    pub fn value(&self) -> Value {
        // A struct of texts and switches always has one.
        serde_json::to_value(self).unwrap_or_default()
    }

    /// As a file.
    pub fn yaml(&self) -> String {
        output::yaml(self).unwrap_or_default()
    }

    /// The same, suspended: for who is not in the table any more.
    #[must_use]
    pub fn suspended(mut self) -> Self {
        self.spec.suspended = Some(true);
        self
    }

    /// Tells one from another.
    pub fn digest(&self) -> String {
        let digest = Sha256::digest(self.value().to_string().as_bytes());
        data_encoding::HEXLOWER.encode(&digest[..16])
    }
}

/// A table that was checked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    /// The people whose lines are good, in the order of their objects' names.
    pub people: Vec<Person>,
    /// The lines that are not.
    pub refused: Vec<Refusal>,
    /// How many lines there are.
    pub lines: usize,
}

/// Checks every line by itself and against the others.
pub fn check(table: &Table, options: &Options) -> Checked {
    let mut refused = table.refused.clone();
    let lines = table.rows.len() + refused.len();
    let mut by_name: BTreeMap<String, Person> = BTreeMap::new();
    let mut addresses: BTreeMap<(String, String), u64> = BTreeMap::new();
    for row in &table.rows {
        let person = match person(row, options) {
            Ok(person) => person,
            Err(found) => {
                refused.extend(found);
                continue;
            }
        };
        let address = (person.network.clone(), person.username.clone());
        if let Some(first) = addresses.get(&address) {
            let message = format!("{} stands in line {first} already", person.username);
            refused.push(Refusal::new(row.line, "username", message, "take one of the two lines out"));
            continue;
        }
        if let Some(other) = by_name.get(&person.name) {
            let message = format!("the object's name {} is that of line {} too", person.name, other.line);
            let remedy = "add a column `name` with another name for one of them";
            refused.push(Refusal::new(row.line, "name", message, remedy));
            continue;
        }
        addresses.insert(address, row.line);
        by_name.insert(person.name.clone(), person);
    }
    refused.sort();
    Checked { people: by_name.into_values().collect(), refused, lines }
}

fn person(row: &Row, options: &Options) -> Result<Person, Vec<Refusal>> {
    let mut refused = Vec::new();
    let cell = |column: Column| row.cells.get(&column).cloned();
    let mut missing = |column: Column, remedy: &str| {
        refused.push(Refusal::new(row.line, column.as_str(), "is empty", remedy));
        String::new()
    };
    let username = cell(Column::Username).unwrap_or_else(|| {
        missing(Column::Username, "give everybody a username: the part of the address before the @")
    });
    let network = cell(Column::Network).or_else(|| options.network.clone()).unwrap_or_else(|| {
        missing(Column::Network, "name the Network in a column `network`, or for all lines with --network")
    });
    let switch = |column: Column, refused: &mut Vec<Refusal>| {
        let text = cell(column)?;
        let read = truth(&text);
        if read.is_none() {
            let message = format!("`{text}` is neither yes nor no");
            refused.push(Refusal::new(row.line, column.as_str(), message, "write true or false"));
        }
        read
    };
    let (admin, suspended) = (switch(Column::Admin, &mut refused), switch(Column::Suspended, &mut refused));
    let name = cell(Column::Name).unwrap_or_else(|| object_name(&username));
    if !username.is_empty() && !is_name(&name) {
        let message = format!("`{name}` is no name for an object");
        let remedy =
            "write 1 to 253 characters of a-z, 0-9, - and ., with a letter or digit at either end of each part";
        refused.push(Refusal::new(row.line, "name", message, remedy));
    }
    if !refused.is_empty() {
        return Err(refused);
    }
    let group = cell(Column::SecurityGroup).or_else(|| options.group.clone());
    let manifest = Manifest {
        api_version: sotto_crds::API_VERSION,
        kind: "User",
        metadata: Metadata {
            name: name.clone(),
            namespace: options.namespace.clone(),
            labels: [(SET, options.set.clone())].into(),
        },
        spec: Spec {
            network_ref: Name { name: network.clone() },
            // The object's name is the default, and the field can never be added later.
            username: (username != name).then(|| username.clone()),
            first_name: cell(Column::FirstName),
            last_name: cell(Column::LastName),
            email: cell(Column::Email),
            security_group_ref: group.clone().map(|name| Name { name }),
            admin,
            suspended,
            invite: cell(Column::InviteTtl).map(|ttl| Invite { ttl }),
        },
    };
    let mut value = manifest.value();
    // The username is checked whether it stands in the object or is its name.
    value["spec"]["username"] = json!(username);
    match admit::<User>(&value, None) {
        Ok(_) => Ok(Person { line: row.line, name, network, username, group, manifest }),
        Err(violations) => Err(violations.iter().map(|v| refusal(row, v, &username)).collect()),
    }
}

/// A column's word for yes and no.
fn truth(text: &str) -> Option<bool> {
    match text.to_lowercase().as_str() {
        "true" | "yes" | "y" | "1" | "x" => Some(true),
        "false" | "no" | "n" | "0" => Some(false),
        _ => None,
    }
}

/// A violation of the object's rules, in words of the table.
fn refusal(row: &Row, violation: &Violation, username: &str) -> Refusal {
    let column = match violation.field.as_str() {
        "spec.username" => Column::Username,
        "spec.firstName" => Column::FirstName,
        "spec.lastName" => Column::LastName,
        "spec.email" => Column::Email,
        "spec.networkRef" | "spec.networkRef.name" => Column::Network,
        "metadata.name" => Column::Name,
        field if field.starts_with("spec.securityGroupRef") => Column::SecurityGroup,
        field if field.starts_with("spec.invite") => Column::InviteTtl,
        field => {
            return Refusal::new(row.line, field, violation.message.clone(), "see `kubectl explain user.spec`");
        }
    };
    let remedy = match column {
        Column::Username if username.contains('@') => {
            "write the part of the address before the @; the rest is the network's domain".to_owned()
        }
        Column::Username if username != username.to_lowercase() => format!("write {}", username.to_lowercase()),
        Column::Username => "write 1 to 64 characters of a-z, 0-9 and . _ + -, with no dot at either end".to_owned(),
        Column::FirstName | Column::LastName => "write at most 100 characters".to_owned(),
        Column::Email => "write an e-mail address, or leave the cell empty".to_owned(),
        Column::InviteTtl => "write 1h to 90d, such as 7d, or leave the cell empty".to_owned(),
        _ => "write the name of an object: a-z, 0-9, - and .".to_owned(),
    };
    // The schema's description of the field follows a full stop; the remedy says it shorter.
    let message = violation.message.split(". ").next().unwrap_or_default().trim_end_matches('.');
    Refusal::new(row.line, column.as_str(), message, remedy)
}

#[cfg(test)]
mod tests {
    use super::super::table::read;
    use super::*;

    fn options() -> Options {
        Options { network: Some("acme".into()), set: "users".into(), ..Options::default() }
    }

    fn checked(text: &str) -> Checked {
        check(&read(text.as_bytes(), &[], None).unwrap(), &options())
    }

    #[test]
    fn a_line_becomes_an_object() {
        let checked = checked(
            "username,firstName,lastName,email,securityGroup,suspended,inviteTtl\n\
             bob_b,Bob,,bob@acme.example,staff,no,30d\nalice,Alice,Adams,,,,\n",
        );
        assert_eq!((checked.refused.len(), checked.lines), (0, 2));
        let names: Vec<&str> = checked.people.iter().map(|p| p.name.as_str()).collect();
        assert_eq!(names[0], "alice");
        assert_eq!(
            checked.people[0].manifest.yaml(),
            "apiVersion: sotto.dev/v1alpha1\nkind: User\nmetadata:\n  name: alice\n  labels:\n    sotto.dev/import: users\n\
             spec:\n  networkRef:\n    name: acme\n  firstName: Alice\n  lastName: Adams\n"
        );
        let bob = checked.people[1].manifest.value();
        assert_eq!(bob["spec"]["username"], "bob_b");
        assert_eq!((&bob["spec"]["suspended"], &bob["spec"]["invite"]["ttl"]), (&json!(false), &json!("30d")));
        assert_eq!(bob["spec"]["securityGroupRef"]["name"], "staff");
        // What it becomes is what the API server takes.
        assert!(admit::<User>(&bob, None).is_ok());
    }

    #[test]
    fn what_is_wrong_is_told_with_line_field_and_remedy() {
        let long = "x".repeat(101);
        let checked = checked(&format!(
            "username,firstName,email,suspended,inviteTtl,name\n\
             Alice,,,,,\n\
             a@b,,,,,\n\
             .dot,,,,,\n\
             bob,{long},no-at,,,\n\
             carol,,,maybe,,\n\
             dave,,,,100d,\n\
             erin,,,,,Erin!\n\
             ,Nobody,,,,\n\
             good,,,,,\n"
        ));
        let told: Vec<(u64, &str)> = checked.refused.iter().map(|r| (r.line, r.field.as_str())).collect();
        assert_eq!(
            told,
            [
                (2, "username"),
                (3, "username"),
                (4, "username"),
                (5, "email"),
                (5, "firstName"),
                (6, "suspended"),
                (7, "inviteTtl"),
                (8, "name"),
                (9, "username"),
            ]
        );
        assert!(checked.refused.iter().all(|r| !r.message.is_empty() && !r.remedy.is_empty()));
        assert_eq!(checked.refused[0].remedy, "write alice");
        assert!(checked.refused[1].remedy.contains("before the @"));
        assert_eq!(checked.people.len(), 1);
        assert_eq!(checked.lines, 9);
    }

    #[test]
    fn who_stands_there_twice_is_refused_the_second_time() {
        let checked = checked("username,network,name\nalice,,\nbob,,\nalice,,\nalice,beta,\ncarol,,bob\n");
        let told: Vec<(u64, &str, bool)> =
            checked.refused.iter().map(|r| (r.line, r.field.as_str(), r.message.contains("line"))).collect();
        // The same username in another network is another address, but would be the same object.
        assert_eq!(told, [(4, "username", true), (5, "name", true), (6, "name", true)]);
        assert_eq!(checked.people.len(), 2);
    }

    #[test]
    fn a_network_is_needed() {
        let table = read(b"username\nalice\n", &[], None).unwrap();
        let refused = check(&table, &Options::default()).refused;
        assert!(refused[0].field == "network" && refused[0].remedy.contains("--network"), "{refused:?}");
    }

    #[test]
    fn the_same_table_gives_the_same_whatever_its_order() {
        let one = checked("username,firstName\nalice,A\nbob,B\n");
        let other = checked("firstName,username\nB,bob\nA,alice\n");
        let files = |c: &Checked| c.people.iter().map(|p| p.manifest.yaml()).collect::<Vec<_>>();
        assert_eq!(files(&one), files(&other));
        assert_eq!(one.people[0].manifest.digest(), other.people[0].manifest.digest());
    }
}
