//! All targets in one program: `SOTTO_FUZZ_TARGET` chooses. `SOTTO_FUZZ_LIST` prints their names, `SOTTO_FUZZ_SEEDS` writes the seeds of
//! the chosen one into a folder.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use sotto_fuzz::{TARGETS, Target, target};

static CHOSEN: LazyLock<&'static Target> = LazyLock::new(|| {
    if std::env::var_os("SOTTO_FUZZ_LIST").is_some() {
        TARGETS.iter().for_each(|target| println!("{}", target.name));
        std::process::exit(0);
    }
    let name = std::env::var("SOTTO_FUZZ_TARGET").expect("SOTTO_FUZZ_TARGET names the target");
    let target = target(&name).unwrap_or_else(|| panic!("there is no target {name}"));
    if let Some(folder) = std::env::var_os("SOTTO_FUZZ_SEEDS") {
        for (number, seed) in target.seeds.iter().enumerate() {
            std::fs::write(std::path::Path::new(&folder).join(format!("seed-{number}")), seed).expect("could not write a seed");
        }
        std::process::exit(0);
    }
    target
});

fuzz_target!(init: { LazyLock::force(&CHOSEN); }, |data: &[u8]| (CHOSEN.run)(data));
