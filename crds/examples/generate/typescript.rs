//! The TypeScript types of the four kinds, from the same schemas as the YAML beside this crate, for who describes objects in
//! TypeScript (examples/cdk).

use std::fmt::Write as _;

use serde_json::Value;

/// The file, from the root of the repository.
pub(crate) const PATH: &str = "examples/cdk/lib/sotto.ts";

/// Columns of a comment's line.
const WIDTH: usize = 116;

/// The types of these CustomResourceDefinitions.
pub(crate) fn typescript(crds: &[Value]) -> String {
    let mut file = format!(
        "// Generated from the types in crds/src by `cargo run --release -p sotto-crds --example generate`.\n\n\
         /** What every object has. */\n\
         export interface ObjectMeta {{\n  \
           readonly name: string;\n  \
           readonly namespace?: string;\n  \
           readonly labels?: {{ readonly [key: string]: string }};\n  \
           readonly annotations?: {{ readonly [key: string]: string }};\n\
         }}\n\n\
         export const API_VERSION = '{}';\n",
        sotto_crds::API_VERSION
    );
    for crd in crds {
        let schema = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
        let kind = text(&crd["spec"]["names"]["kind"]);
        let function = lower(kind);
        comment(&mut file, "", text(&schema["description"]), &Value::Null);
        let _ = write!(
            file,
            "export interface {kind} {{\n  readonly apiVersion: typeof API_VERSION;\n  readonly kind: '{kind}';\n  \
             readonly metadata: ObjectMeta;\n  readonly spec: {kind}Spec;\n}}\n\n\
             export function {function}(metadata: ObjectMeta, spec: {kind}Spec): {kind} {{\n  \
             return {{ apiVersion: API_VERSION, kind: '{kind}', metadata, spec }};\n}}\n"
        );
        let mut later = vec![(format!("{kind}Spec"), kind.to_owned(), &schema["properties"]["spec"])];
        while let Some((name, stem, schema)) = later.pop() {
            let found = interface(&mut file, &name, &stem, schema);
            later.extend(found.into_iter().rev());
        }
    }
    file
}

/// Writes one interface; gives back those that it names, as (name, stem of the names in it, schema).
fn interface<'a>(file: &mut String, name: &str, stem: &str, schema: &'a Value) -> Vec<(String, String, &'a Value)> {
    let mut later = Vec::new();
    comment(file, "", text(&schema["description"]), &Value::Null);
    let _ = writeln!(file, "export interface {name} {{");
    let required: Vec<&str> = schema["required"].as_array().into_iter().flatten().map(text).collect();
    for (field, schema) in schema["properties"].as_object().into_iter().flatten() {
        comment(file, "  ", text(&schema["description"]), &schema["default"]);
        let optional = if required.contains(&field.as_str()) { "" } else { "?" };
        let kind = value_type(&format!("{stem}{}", upper(field)), schema, &mut later);
        let field = if field.bytes().all(|b| b.is_ascii_alphanumeric()) { field.clone() } else { format!("'{field}'") };
        let _ = writeln!(file, "  readonly {field}{optional}: {kind};");
    }
    file.push_str("}\n");
    later
}

fn value_type<'a>(name: &str, schema: &'a Value, later: &mut Vec<(String, String, &'a Value)>) -> String {
    if schema["x-kubernetes-int-or-string"] == true {
        return "number | string".into();
    }
    if let Some(words) = schema["enum"].as_array() {
        return words.iter().map(|w| format!("'{}'", text(w))).collect::<Vec<_>>().join(" | ");
    }
    match text(&schema["type"]) {
        "object" if schema["properties"].is_object() => {
            later.push((name.to_owned(), name.to_owned(), schema));
            name.to_owned()
        }
        "object" if schema["additionalProperties"].is_object() => {
            let of = value_type(name, &schema["additionalProperties"], later);
            format!("{{ readonly [key: string]: {of} }}")
        }
        "object" => "{ readonly [key: string]: unknown }".into(),
        "array" => {
            let of = value_type(name, &schema["items"], later);
            if of.contains(' ') { format!("readonly ({of})[]") } else { format!("readonly {of}[]") }
        }
        "string" => "string".into(),
        "boolean" => "boolean".into(),
        "integer" | "number" => "number".into(),
        // A new form in the schema: better no file than one that is wrong.
        other => panic!("{name}: no TypeScript is known for the type {other:?} of {schema}"),
    }
}

/// A comment with the description, and the default where it is not said in words.
fn comment(file: &mut String, indent: &str, description: &str, default: &Value) {
    if indent.is_empty() {
        file.push('\n');
    }
    let mut description = description.replace("*/", "*\u{200b}/");
    if !default.is_null() && !default.is_object() && !description.contains("Default: ") {
        let _ = write!(description, " Default: {default}.");
    }
    let mut lines = vec![String::new()];
    for paragraph in description.split("\n\n").filter(|p| !p.trim().is_empty()) {
        for word in paragraph.split_whitespace() {
            let line =
                lines.last_mut().filter(|l| l.is_empty() || indent.len() + 3 + l.len() + 1 + word.len() <= WIDTH);
            match line {
                Some(line) if line.is_empty() => line.push_str(word),
                Some(line) => {
                    line.push(' ');
                    line.push_str(word);
                }
                None => lines.push(word.to_owned()),
            }
        }
    }
    match lines.as_slice() {
        [line] if line.is_empty() => {}
        [line] if indent.len() + line.len() + 7 <= WIDTH => {
            let _ = writeln!(file, "{indent}/** {line} */");
        }
        lines => {
            let _ = writeln!(file, "{indent}/**");
            for line in lines {
                let _ = writeln!(file, "{indent} * {line}");
            }
            let _ = writeln!(file, "{indent} */");
        }
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn upper(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map(|c| c.to_ascii_uppercase()).into_iter().chain(letters).collect()
}

fn lower(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map(|c| c.to_ascii_lowercase()).into_iter().chain(letters).collect()
}
