//! Rewrites from the types: the YAML beside this crate, and the TypeScript types of examples/cdk.

mod typescript;

fn main() -> std::io::Result<()> {
    let here = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    for (name, text) in sotto_crds::yaml() {
        std::fs::write(here.join(name), text)?;
    }
    std::fs::write(here.join("..").join(typescript::PATH), typescript::typescript(sotto_crds::crds()))
}
