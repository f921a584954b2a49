//! Moments as EC2 writes them.
//!
//! Invariant: all are in UTC.

use time::OffsetDateTime;

fn moment(ms: u64) -> OffsetDateTime {
    let nanos = i128::from(ms) * 1_000_000;
    OffsetDateTime::from_unix_timestamp_nanos(nanos).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

/// `2026-01-01T00:00:00.000Z`.
pub(crate) fn iso_ms(ms: u64) -> String {
    let at = moment(ms);
    format!("{}.{:03}Z", date_time(at, 'T'), at.millisecond())
}

/// `2026-01-01T00:00:00Z`.
pub(crate) fn iso(ms: u64) -> String {
    format!("{}Z", date_time(moment(ms), 'T'))
}

/// `2026-01-01 00:00:00 GMT`.
pub(crate) fn gmt(ms: u64) -> String {
    format!("{} GMT", date_time(moment(ms), ' '))
}

fn date_time(at: OffsetDateTime, between: char) -> String {
    let (year, month, day) = (at.year(), u8::from(at.month()), at.day());
    let (hour, minute, second) = (at.hour(), at.minute(), at.second());
    format!("{year:04}-{month:02}-{day:02}{between}{hour:02}:{minute:02}:{second:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_has_each_of_ec2s_forms() {
        assert_eq!(iso_ms(1_767_225_600_007), "2026-01-01T00:00:00.007Z");
        assert_eq!(iso(1_767_225_600_007), "2026-01-01T00:00:00Z");
        assert_eq!(gmt(1_426_018_356_000), "2015-03-10 20:12:36 GMT");
    }
}
