//! The custom resource definitions in the chart.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use sotto_e2e::{Outcome, ensure, repository};

use crate::{chart, place, variants};

#[test]
#[ignore = "needs Helm: `make chart`"]
fn definitions_are_those_of_the_code_and_stay() -> Outcome {
    let generated = repository().join("crds");
    let names = |folder: &Path| -> Outcome<BTreeSet<String>> {
        let mut names = BTreeSet::new();
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "yaml") {
                names.extend(path.file_name().map(|name| name.to_string_lossy().into_owned()));
            }
        }
        Ok(names)
    };
    let copies = chart().join("files/crds");
    let files = names(&generated)?;
    ensure(!files.is_empty() && files == names(&copies)?, || {
        "crds/ and charts/sotto/files/crds hold different files: make generate".into()
    })?;
    for file in &files {
        ensure(fs::read(generated.join(file))? == fs::read(copies.join(file))?, || {
            format!("{file} differs: make generate")
        })?;
    }
    let mut kept = BTreeSet::new();
    for variant in variants()? {
        let values = &variant.values["crds"];
        let definitions = variant.of_kind("CustomResourceDefinition");
        // In templates and not in crds/: Helm never upgrades what is there.
        let wanted = if values["enabled"] == true { files.len() } else { 0 };
        variant.ensure(definitions.len() == wanted, || format!("{} definitions", definitions.len()))?;
        for definition in definitions {
            let keep = definition["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep";
            variant.ensure(values["keep"] == keep, || format!("{} kept: {keep}", place(definition)))?;
            kept.insert(keep);
            variant.ensure(definition["spec"]["group"] == "sotto.dev", || "another group".into())?;
        }
    }
    ensure(kept.len() == 2, || "no file of values has crds.keep the other way round".into())
}
