//! Dates and durations as ISO 8601 writes them, from nanoseconds.

/// `2026-01-31T12:00:00.250Z`, rounded down to a millisecond. `ns` counts from 1970.
pub fn date_time(ns: u64) -> String {
    let (seconds, ms) = (ns / 1_000_000_000, ns / 1_000_000 % 1_000);
    let (year, month, day) = civil(seconds / 86_400);
    let (h, m, s) = (seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{h:02}:{m:02}:{s:02}.{ms:03}Z")
}

/// `PT1.600S`, rounded down to a millisecond.
pub fn duration(ns: u64) -> String {
    format!("PT{}.{:03}S", ns / 1_000_000_000, ns / 1_000_000 % 1_000)
}

/// Year, month and day of a day counted from 1970-01-01, in the Gregorian calendar. Years are counted from March, so
/// that the leap day is a year's last.
fn civil(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468; // days since 0000-03-01
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    (year, month, day_of_year - (153 * march_month + 2) / 5 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400, "2000-02-29T00:00:00.000Z"),
            (1_709_251_199, "2024-02-29T23:59:59.000Z"),
            (1_798_761_600, "2027-01-01T00:00:00.000Z"),
        ] {
            assert_eq!(date_time(seconds * 1_000_000_000), text);
        }
        assert_eq!(date_time(1_999_999_999), "1970-01-01T00:00:01.999Z");
    }

    #[test]
    fn durations_keep_their_milliseconds() {
        assert_eq!(duration(1_600_000_000), "PT1.600S");
        assert_eq!(duration(61_005_999_999), "PT61.005S");
    }
}
