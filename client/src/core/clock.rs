//! The one place where the time is read; everything else is given it.

use super::platform;

/// Milliseconds since the epoch.
pub fn now_ms() -> u64 {
    u64::try_from(platform::since_epoch().as_millis()).unwrap_or(u64::MAX)
}
