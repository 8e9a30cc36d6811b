//! Fuzz targets: for everything that decodes what comes from outside, a plain function of some bytes that panics when
//! something is wrong. Two things run them: a bounded run on the stable toolchain (`tests/bounded.rs`, part of `make
//! test`), and libFuzzer (`libfuzzer/`, `make fuzz`).
//!
//! What every target checks: nothing panics, and a decoder takes nothing but the one form that the encoder makes.

#![allow(clippy::unwrap_used, clippy::missing_panics_doc, reason = "panicking is what a fuzz target does")]

use std::sync::LazyLock;

mod crypto;
mod devices;
pub mod mutate;
#[allow(
    dead_code,
    missing_docs,
    unreachable_pub,
    clippy::struct_field_names,
    reason = "the vectors' sender, of which a part is used"
)]
#[path = "../../crypto/examples/vectors/reference.rs"]
mod reference;
mod seeds;
mod wire;
#[allow(missing_docs, unreachable_pub, clippy::wildcard_imports, reason = "shared with the tests of sotto-wire")]
#[path = "../../wire/tests/samples/mod.rs"]
mod wire_samples;

/// What is run on some bytes.
pub type Run = Box<dyn Fn(&[u8]) + Send + Sync>;

/// A target.
pub struct Target {
    /// Its name: the crate and what is decoded.
    pub name: String,
    /// Good inputs to start from.
    pub seeds: Vec<Vec<u8>>,
    /// Panics when something is wrong.
    pub run: Run,
}

impl Target {
    fn new(name: impl Into<String>, seeds: Vec<Vec<u8>>, run: impl Fn(&[u8]) + Send + Sync + 'static) -> Self {
        Self { name: name.into(), seeds, run: Box::new(run) }
    }
}

/// All targets.
pub static TARGETS: LazyLock<Vec<Target>> = LazyLock::new(|| {
    let mut targets = crypto::targets();
    targets.extend(devices::targets());
    targets.extend(wire::targets());
    targets
});

/// The target of a name.
pub fn target(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}
