//! Writes the files that are made from the chart: `values.schema.json`, and with Helm the Kustomize base.

use sotto_e2e::{Outcome, Run, kustomize_base, repository, tool, values_schema_file};

fn main() -> Outcome {
    let chart = repository().join("charts/sotto");
    let schema = values_schema_file(&std::fs::read_to_string(chart.join("values.yaml"))?)?;
    std::fs::write(chart.join("values.schema.json"), schema)?;
    if Run::new(tool("helm")).arg("version").output().is_err() {
        eprintln!("deploy/kustomize/base is left as it is: no Helm here (`make tools` builds it)");
        return Ok(());
    }
    let folder = repository().join("deploy/kustomize/base");
    std::fs::create_dir_all(&folder)?;
    for (name, text) in kustomize_base()? {
        std::fs::write(folder.join(name), text)?;
    }
    Ok(())
}
