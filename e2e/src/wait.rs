//! Waiting for a condition, with a deadline and a reason.

use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::{Failure, Outcome};

/// How long between two looks: short at first, so that short times are measured well, then longer.
const FIRST_PAUSE: Duration = Duration::from_millis(2);
const LONGEST_PAUSE: Duration = Duration::from_millis(200);

/// Asks `condition` again and again until it gives a value or `limit` is over. The last reason that it gave is in the error.
pub fn wait_until<T>(what: &str, limit: Duration, mut condition: impl FnMut() -> Outcome<T>) -> Outcome<T> {
    let begin = Instant::now();
    let mut pause = FIRST_PAUSE;
    loop {
        match condition() {
            Ok(value) => return Ok(value),
            Err(Failure(reason)) if begin.elapsed() >= limit => {
                return Err(Failure(format!("{what}: not within {} s; at last: {reason}", limit.as_secs())));
            }
            Err(_) => sleep(pause),
        }
        pause = (pause * 5 / 4).min(LONGEST_PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_the_value_once_it_is_there() {
        let mut left = 3;
        let value = wait_until("three looks", Duration::from_secs(5), || {
            left -= 1;
            if left == 0 { Ok("there") } else { Err(Failure("not yet".into())) }
        });
        assert_eq!(value.unwrap(), "there");
    }

    #[test]
    fn says_what_and_why_when_the_time_is_over() {
        let error = wait_until::<()>("the moon", Duration::ZERO, || Err(Failure("it is day".into()))).unwrap_err();
        assert_eq!(error.0, "the moon: not within 0 s; at last: it is day");
    }
}
