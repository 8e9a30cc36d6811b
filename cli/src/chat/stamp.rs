//! Times for people, in the zone of their machine. Pure.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

fn at(ms: u64, zone: &TimeZone) -> Option<jiff::Zoned> {
    let ms = i64::try_from(ms).ok()?;
    Some(Timestamp::from_millisecond(ms).ok()?.to_zoned(zone.clone()))
}

/// The day that a time is on.
pub(crate) fn day(ms: u64, zone: &TimeZone) -> Option<Date> {
    at(ms, zone).map(|t| t.date())
}

/// `14:02`.
pub(crate) fn clock(ms: u64, zone: &TimeZone) -> String {
    at(ms, zone).map_or_else(|| "--:--".to_owned(), |t| t.strftime("%H:%M").to_string())
}

/// `Today`, `Yesterday`, or `Monday 23 November 2026`.
pub(crate) fn day_name(ms: u64, now_ms: u64, zone: &TimeZone) -> String {
    let (Some(day), Some(today)) = (day(ms, zone), day(now_ms, zone)) else { return "an unknown day".to_owned() };
    if day == today {
        "Today".to_owned()
    } else if day.tomorrow().is_ok_and(|next| next == today) {
        "Yesterday".to_owned()
    } else {
        day.strftime("%A %-d %B %Y").to_string()
    }
}

/// For a narrow column: `14:02` today, `Mon` within the week, `23 Nov` within the year, `2025-11-23` before.
pub(crate) fn short(ms: u64, now_ms: u64, zone: &TimeZone) -> String {
    let (Some(t), Some(today)) = (at(ms, zone), day(now_ms, zone)) else { return String::new() };
    let days = today.since(t.date()).map_or(0, |span| span.get_days());
    let form = match days {
        _ if t.date() == today => "%H:%M",
        1..=6 => "%a",
        _ if t.date().year() == today.year() => "%-d %b",
        _ => "%Y-%m-%d",
    };
    t.strftime(form).to_string()
}

/// `23 November 2026 14:02:03`.
pub(crate) fn whole(ms: u64, zone: &TimeZone) -> String {
    at(ms, zone).map_or_else(|| "unknown".to_owned(), |t| t.strftime("%-d %B %Y %H:%M:%S").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_795_435_200_000; // 2026-11-23 12:00 UTC

    #[test]
    fn times_are_near_or_far() {
        let utc = TimeZone::UTC;
        let hour = 3_600_000;
        assert_eq!(clock(NOW, &utc), "12:00");
        assert_eq!(short(NOW - hour, NOW, &utc), "11:00");
        assert_eq!(short(NOW - 24 * hour, NOW, &utc), "Sun");
        assert_eq!(short(NOW - 24 * 20 * hour, NOW, &utc), "3 Nov");
        assert_eq!(short(NOW - 24 * 400 * hour, NOW, &utc), "2025-10-19");
        assert_eq!(day_name(NOW, NOW, &utc), "Today");
        assert_eq!(day_name(NOW - 24 * hour, NOW, &utc), "Yesterday");
        assert_eq!(day_name(NOW - 48 * hour, NOW, &utc), "Saturday 21 November 2026");
        assert_eq!(whole(NOW, &utc), "23 November 2026 12:00:00");
        // Another zone, another day.
        assert_eq!(day_name(NOW - 11 * hour, NOW, &TimeZone::fixed(jiff::tz::offset(-5))), "Yesterday");
        assert_eq!(clock(u64::MAX, &utc), "--:--");
    }
}
