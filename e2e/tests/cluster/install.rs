//! Installing the operator.

use std::fs;
use std::time::{Duration, Instant};

use serde_json::json;
use sotto_e2e::{Aws, Outcome, ensure, release_folder, repository};

use crate::{CHAT, KINDS, PATIENCE, SYSTEM, Scene};

pub(crate) fn namespaces(scene: &mut Scene) -> Outcome {
    for name in [SYSTEM, CHAT] {
        scene.cluster.apply(&json!({
            "apiVersion": "v1", "kind": "Namespace",
            "metadata": {"name": name, "labels": {
                "pod-security.kubernetes.io/enforce": "restricted",
                "pod-security.kubernetes.io/enforce-version": "latest",
            }},
        }))?;
    }
    Ok(())
}

/// The size of the image under test, as `e2e/tools/image.sh` has written it: what is pulled, and what it takes unpacked.
pub(crate) fn image_size(scene: &mut Scene) -> Outcome {
    let folder = release_folder()?.join("../image");
    let archive = folder.join("sotto.tar");
    if let Ok(metadata) = fs::metadata(&archive) {
        scene.figures.bytes("image_compressed", metadata.len());
        scene.figures.bytes("image_program", fs::metadata(folder.join("root/sotto"))?.len());
    }
    Ok(())
}

pub(crate) fn helm_install(scene: &mut Scene) -> Outcome {
    let image = std::env::var("SOTTO_E2E_IMAGE").unwrap_or_else(|_| "localhost/sotto:e2e".into());
    let (repository_name, tag) = image.rsplit_once(':').unwrap_or((&image, "latest"));
    let mut values =
        json!({"image": {"repository": repository_name, "tag": tag}, "metrics": {"service": {"enabled": true}}});
    if scene.state().is_some() {
        let [(id, id_value), (key, key_value)] = Aws::credentials();
        values["operator"] = json!({"extraEnv": [
            {"name": "AWS_ENDPOINT_URL", "value": Aws::ENDPOINT},
            {"name": "AWS_REGION", "value": Aws::REGION},
            {"name": id, "value": id_value},
            {"name": key, "value": key_value},
        ]});
    }
    let begin = Instant::now();
    scene
        .cluster
        .helm()
        .args(["upgrade", "--install", "sotto"])
        .arg(repository().join("charts/sotto"))
        .args(["--namespace", SYSTEM, "--values", "-", "--wait", "--timeout", "120s"])
        .input(values.to_string())
        .limit(PATIENCE)
        .output()?;
    scene.figures.time("helm_install_until_operator_ready", begin.elapsed());
    let definitions: Vec<String> = KINDS.iter().map(|kind| format!("crd/{kind}.sotto.dev")).collect();
    let mut arguments = vec!["--for=condition=Established"];
    arguments.extend(definitions.iter().map(String::as_str));
    scene.cluster.wait(Duration::from_secs(30), &arguments)?;
    Ok(())
}

pub(crate) fn explain(scene: &mut Scene) -> Outcome {
    for path in KINDS.iter().flat_map(|kind| [format!("{kind}.spec"), format!("{kind}.status")]) {
        let text =
            scene.cluster.kubectl().arg("explain").arg(&path).args(["--api-version", "sotto.dev/v1alpha1"]).output()?;
        // A field is a line of its name and type; its description is indented below it.
        let lines: Vec<&str> = text.lines().skip_while(|line| !line.starts_with("FIELDS:")).skip(1).collect();
        ensure(!lines.is_empty(), || format!("kubectl explain {path} lists no fields:\n{text}"))?;
        ensure(!text.contains("<no description>") && !text.contains("<empty>"), || {
            format!("kubectl explain {path} shows a field without description:\n{text}")
        })?;
    }
    Ok(())
}
