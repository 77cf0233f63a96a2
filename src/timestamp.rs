//! Times as the API and webhooks write them.

use std::time::SystemTime;

use time::OffsetDateTime;
use time::macros::format_description;

/// RFC 3339 in UTC with milliseconds, e.g. `2023-10-01T00:01:01.000Z`.
pub fn timestamp(at: SystemTime) -> String {
    let format = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");
    OffsetDateTime::from(at).format(format).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    #[test]
    fn timestamps_have_milliseconds_and_end_with_z() {
        assert_eq!(timestamp(UNIX_EPOCH + Duration::from_millis(1_696_118_461_007)), "2023-10-01T00:01:01.007Z");
    }
}
