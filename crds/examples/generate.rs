//! Rewrites the YAML beside this crate from the types.

fn main() -> std::io::Result<()> {
    for (name, text) in sotto_crds::yaml() {
        std::fs::write(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(name), text)?;
    }
    Ok(())
}
