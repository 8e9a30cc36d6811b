//! Every target on its seeds and on mutations of them, for a few seconds, on the stable toolchain.
//!
//! `SOTTO_FUZZ_SECONDS` for all targets together (default 8), `SOTTO_FUZZ_SEED` to repeat a run, `SOTTO_FUZZ_INPUT` (hexadecimal)
//! with `SOTTO_FUZZ_TARGET` to repeat one input.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use data_encoding::HEXLOWER;
use sotto_fuzz::mutate::{Dice, mutated};
use sotto_fuzz::{TARGETS, Target, target};

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

fn run(target: &Target, data: &[u8]) {
    let result = catch_unwind(AssertUnwindSafe(|| (target.run)(data)));
    assert!(
        result.is_ok(),
        "repeat with SOTTO_FUZZ_TARGET='{}' SOTTO_FUZZ_INPUT={} cargo test --release -p sotto-fuzz",
        target.name,
        HEXLOWER.encode(data)
    );
}

#[test]
fn every_target_holds() {
    if let (Ok(name), Ok(input)) = (std::env::var("SOTTO_FUZZ_TARGET"), std::env::var("SOTTO_FUZZ_INPUT")) {
        return run(target(&name).unwrap(), &HEXLOWER.decode(input.as_bytes()).unwrap());
    }
    let clock =
        || SystemTime::now().duration_since(UNIX_EPOCH).ok().and_then(|time| u64::try_from(time.as_nanos()).ok());
    let seed = number("SOTTO_FUZZ_SEED").or_else(clock).unwrap_or_default();
    let seconds = number("SOTTO_FUZZ_SECONDS").unwrap_or(8);
    println!("{} targets, {seconds} s, SOTTO_FUZZ_SEED={seed}", TARGETS.len());
    let each = Duration::from_secs(seconds) / u32::try_from(TARGETS.len()).unwrap();
    let mut dice = Dice::new(seed);
    for target in TARGETS.iter() {
        target.seeds.iter().for_each(|seed| run(target, seed));
        let (start, mut count) = (Instant::now(), 0_u64);
        while start.elapsed() < each {
            run(target, &mutated(&mut dice, &target.seeds));
            count += 1;
        }
        println!("{:<32} {count:>8} inputs", target.name);
    }
}

#[test]
fn targets_have_names_and_seeds_of_their_own() {
    let mut names: Vec<_> = TARGETS.iter().map(|target| &target.name).collect();
    assert!(TARGETS.iter().all(|target| !target.seeds.is_empty()));
    names.sort();
    names.dedup();
    assert_eq!(names.len(), TARGETS.len());
}
