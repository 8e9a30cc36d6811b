//! The clock that leadership is measured with.

use std::fmt::Debug;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// A clock that only goes forward. Its zero means nothing.
pub(crate) trait Clock: Debug + Send + Sync {
    /// The time now.
    fn now(&self) -> Duration;
}

/// The time since the machine was started, with the time that it was suspended: the clock of `Instant` stands still then, and a
/// machine that sleeps for an hour would go on as leader.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct BootClock;

impl Clock for BootClock {
    fn now(&self) -> Duration {
        let time = clock_gettime(ClockId::Boottime);
        // Neither is ever negative.
        Duration::new(time.tv_sec.try_into().unwrap_or_default(), time.tv_nsec.try_into().unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_goes_forward() {
        let begin = BootClock.now();
        std::thread::sleep(Duration::from_millis(20));
        let passed = BootClock.now().saturating_sub(begin);
        assert!(passed >= Duration::from_millis(20) && passed < Duration::from_mins(5), "{passed:?}");
    }
}
