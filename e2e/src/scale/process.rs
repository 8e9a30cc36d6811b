//! What a process costs, from /proc.

use std::time::{Duration, Instant};

use crate::{Failure, Outcome};

/// Linux counts processor time in hundredths of a second for everybody who asks by /proc.
const TICKS: f64 = 100.0;

/// Seconds of processor time that the process has used.
pub(super) fn cpu(id: u32) -> Outcome<f64> {
    let text = std::fs::read_to_string(format!("/proc/{id}/stat"))?;
    // After the name, which is in brackets and may hold anything, field 3 comes first: user time is 14, system time 15.
    let fields: Vec<&str> = text.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |index: usize| fields.get(index).and_then(|field| field.parse::<f64>().ok());
    match (ticks(11), ticks(12)) {
        (Some(user), Some(system)) => Ok((user + system) / TICKS),
        _ => Err(Failure(format!("/proc/{id}/stat: not as expected"))),
    }
}

/// Resident memory in megabytes (of 10⁶ bytes).
#[derive(Clone, Copy, Debug)]
pub(super) struct Memory {
    /// The most there ever was.
    pub(super) peak: f64,
    pub(super) now: f64,
    /// Of `now`, what is not mapped from the program's file.
    pub(super) own: f64,
}

impl std::fmt::Display for Memory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.1} MB (of its own {:.1}, at most {:.1})", self.now, self.own, self.peak)
    }
}

pub(super) fn memory(id: u32) -> Outcome<Memory> {
    let text = std::fs::read_to_string(format!("/proc/{id}/status"))?;
    let field = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().next()?.parse::<f64>().ok().map(|kib| kib * 1024.0 / 1e6)
    };
    match (field("VmHWM:"), field("VmRSS:"), field("RssAnon:")) {
        (Some(peak), Some(now), Some(own)) => Ok(Memory { peak, now, own }),
        _ => Err(Failure(format!("/proc/{id}/status: not as expected"))),
    }
}

/// Processor time and time of day from one moment on.
pub(super) struct Meter {
    id: u32,
    cpu: f64,
    begin: Instant,
}

impl Meter {
    pub(super) fn start(id: u32) -> Outcome<Self> {
        Ok(Self { id, cpu: cpu(id)?, begin: Instant::now() })
    }

    /// Until now.
    pub(super) fn read(&self) -> Outcome<(Duration, f64)> {
        Ok((self.begin.elapsed(), cpu(self.id)? - self.cpu))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_costs_something() {
        let id = std::process::id();
        let meter = Meter::start(id).unwrap();
        let memory = memory(id).unwrap();
        assert!(memory.peak >= memory.now && memory.now > 0.5, "{memory:?}");
        while meter.read().unwrap().1 < 0.02 {
            std::hint::black_box((0..100_000_u64).sum::<u64>());
        }
    }
}
