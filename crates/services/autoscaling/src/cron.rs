//! Recurring schedules: five fields of cron, in a time zone.
//!
//! Invariants:
//! - A schedule is checked when it is given; one that was taken has its next moment computed from any moment on.
//! - A time that daylight saving skips happens right after the gap; one that comes twice happens once (croner does this).

use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use host::Timestamp;
use jiff::tz::TimeZone;
use wire::ApiError;

use crate::errors;

/// When something happens again and again.
pub(crate) struct Schedule {
    cron: Cron,
    zone: TimeZone,
}

impl Schedule {
    /// `0 9 * * MON-FRI` in a zone of the IANA's database; UTC when none is given.
    pub(crate) fn parse(recurrence: &str, zone: Option<&str>) -> Result<Self, ApiError> {
        let invalid = || errors::recurrence_invalid(recurrence);
        if recurrence.split_whitespace().count() != 5 {
            return Err(invalid());
        }
        let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
        let cron = parser.parse(recurrence).map_err(|_| invalid())?;
        let zone = match zone {
            None => TimeZone::UTC,
            Some(name) => jiff::tz::db().get(name).map_err(|_| errors::time_zone_unknown(name))?,
        };
        Ok(Self { cron, zone })
    }

    /// The first moment after this one.
    pub(crate) fn next(&self, after: Timestamp) -> Option<Timestamp> {
        let after = jiff::Timestamp::from_millisecond(i64::try_from(after.as_millis()).ok()?).ok()?;
        let next = self.cron.find_next_occurrence(&after.to_zoned(self.zone.clone()), false).ok()?;
        u64::try_from(next.timestamp().as_millisecond()).ok().map(Timestamp)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::causes::time;

    fn at(text: &str) -> Timestamp {
        let moment: jiff::Timestamp = text.parse().unwrap();
        Timestamp(u64::try_from(moment.as_millisecond()).unwrap())
    }

    fn next(recurrence: &str, zone: Option<&str>, after: &str) -> String {
        time(Schedule::parse(recurrence, zone).unwrap().next(at(after)).unwrap())
    }

    #[test]
    fn schedules_follow_the_clock_of_their_zone() {
        assert_eq!(next("0 9 * * *", None, "2026-03-01T09:00:00Z"), "2026-03-02T09:00:00Z");
        assert_eq!(next("30 0 1 1,6,12 *", None, "2026-03-01T00:00:00Z"), "2026-06-01T00:30:00Z");
        assert_eq!(next("0 9 * * MON-FRI", None, "2026-11-28T02:00:00Z"), "2026-11-30T09:00:00Z");
        let berlin = Some("Europe/Berlin");
        assert_eq!(next("0 9 * * *", berlin, "2026-01-10T00:00:00Z"), "2026-01-10T08:00:00Z");
        assert_eq!(next("0 9 * * *", berlin, "2026-07-10T00:00:00Z"), "2026-07-10T07:00:00Z");
        // 02:30 does not exist on this day.
        assert_eq!(next("30 2 * * *", berlin, "2026-03-28T23:00:00Z"), "2026-03-29T01:00:00Z");
    }

    #[test]
    fn what_is_no_schedule_is_refused() {
        for wrong in ["", "* * * *", "* * * * * *", "60 * * * *", "0 9 * * FOO", "@daily"] {
            assert!(Schedule::parse(wrong, None).is_err(), "{wrong}");
        }
        assert!(Schedule::parse("0 9 * * *", Some("Mars/Olympus")).is_err());
        assert!(Schedule::parse("0 9 * * *", Some("../../etc/passwd")).is_err());
    }
}
