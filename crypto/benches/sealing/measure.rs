//! Time of the thread, in turns.

/// Rounds of a comparison.
pub const ROUNDS: usize = 11;

/// Microseconds of processor time that a round gives each side at least.
const ROUND_MICROS: u64 = 60_000;

pub enum Goal {
    AtMost(f64),
    AtLeast(f64),
}

pub struct Row {
    pub workload: String,
    pub unit: &'static str,
    pub ours: f64,
    pub beside: String,
    pub theirs: f64,
    pub ratio: f64,
    pub goal: Goal,
}

impl Row {
    pub fn met(&self) -> bool {
        match self.goal {
            Goal::AtMost(limit) => self.ratio <= limit,
            Goal::AtLeast(limit) => self.ratio >= limit,
        }
    }

    pub fn goal_text(&self) -> String {
        match self.goal {
            Goal::AtMost(limit) => format!("<= {limit}"),
            Goal::AtLeast(limit) => format!(">= {limit}"),
        }
    }
}

/// How often the sides take turns in a round.
pub struct Turn(u64);

impl Turn {
    /// For something that takes about so many microseconds.
    pub fn of(micros: u64) -> Self {
        Self((ROUND_MICROS / micros.max(1)).max(3))
    }
}

/// Processor time of this thread, in microseconds.
fn now() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    time.tv_sec as f64 * 1e6 + time.tv_nsec as f64 / 1e3
}

fn timed(work: &mut dyn FnMut()) -> f64 {
    let start = now();
    work();
    now() - start
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Medians of both sides in microseconds, and the median of the rounds' ratios.
pub fn compare(turn: &Turn, ours: &mut dyn FnMut(), theirs: &mut dyn FnMut()) -> (f64, f64, f64) {
    ours();
    theirs();
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        let (mut sum_ours, mut sum_theirs) = (0.0, 0.0);
        for number in 0..turn.0 {
            // Who begins changes, so that neither always finds the other's memory in the caches.
            if number % 2 == 0 {
                sum_ours += timed(ours);
                sum_theirs += timed(theirs);
            } else {
                sum_theirs += timed(theirs);
                sum_ours += timed(ours);
            }
        }
        rounds.push((sum_ours / turn.0 as f64, sum_theirs / turn.0 as f64));
    }
    (
        median(rounds.iter().map(|round| round.0).collect()),
        median(rounds.iter().map(|round| round.1).collect()),
        median(rounds.iter().map(|round| round.0 / round.1).collect()),
    )
}
