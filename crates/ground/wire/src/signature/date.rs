//! [`AmzDate`]: the time a request was signed, in the one form that goes into a signature.

use time::format_description::well_known::{Rfc2822, Rfc3339};
use time::{Date, Month, OffsetDateTime, Time, UtcOffset};

/// A time as SigV4 writes it, `20150830T123600Z`, in whole seconds, UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AmzDate {
    text: [u8; 16],
    unix_s: u64,
}

impl AmzDate {
    /// Parses the basic ISO 8601 form, `20150830T123600Z`; `None` for anything else and for times before 1970.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes: [u8; 16] = text.as_bytes().try_into().ok()?;
        if bytes[8] != b'T' || bytes[15] != b'Z' {
            return None;
        }
        let number = |from: usize, to: usize| -> Option<u16> {
            bytes[from..to].iter().try_fold(0_u16, |sum, b| {
                b.is_ascii_digit().then(|| sum.wrapping_mul(10).wrapping_add(u16::from(b - b'0')))
            })
        };
        let small = |from| number(from, from + 2).and_then(|n| u8::try_from(n).ok());
        let month = Month::try_from(small(4)?).ok()?;
        let date = Date::from_calendar_date(i32::from(number(0, 4)?), month, small(6)?).ok()?;
        let time = Time::from_hms(small(9)?, small(11)?, small(13)?).ok()?;
        let unix_s = u64::try_from(date.with_time(time).assume_utc().unix_timestamp()).ok()?;
        Some(Self { text: bytes, unix_s })
    }

    /// Parses what clients put into a `Date` or `x-amz-date` header: the basic form, RFC 1123
    /// (`Tue, 27 Mar 2007 19:36:42 +0000`, also with `GMT`) or RFC 3339.
    pub fn parse_lenient(text: &str) -> Option<Self> {
        let text = text.trim();
        Self::parse(text).or_else(|| {
            let moment =
                OffsetDateTime::parse(text, &Rfc2822).or_else(|_| OffsetDateTime::parse(text, &Rfc3339)).ok()?;
            Self::from_unix(u64::try_from(moment.unix_timestamp()).ok()?)
        })
    }

    /// From seconds since the Unix epoch; `None` beyond the year 9999.
    pub fn from_unix(unix_s: u64) -> Option<Self> {
        let moment = OffsetDateTime::from_unix_timestamp(i64::try_from(unix_s).ok()?).ok()?.to_offset(UtcOffset::UTC);
        let (year, month, day) = moment.to_calendar_date();
        let (hour, minute, second) = moment.to_hms();
        let text = format!("{year:04}{:02}{day:02}T{hour:02}{minute:02}{second:02}Z", u8::from(month));
        Some(Self { text: text.as_bytes().try_into().ok()?, unix_s })
    }

    /// `20150830T123600Z`.
    pub fn as_str(&self) -> &str {
        // Only ASCII gets past the two constructors.
        std::str::from_utf8(&self.text).unwrap_or_default()
    }

    /// `20150830`, as the credential's scope has it.
    pub fn day(&self) -> &str {
        &self.as_str()[..8]
    }

    /// Seconds since the Unix epoch.
    pub fn unix_s(&self) -> u64 {
        self.unix_s
    }

    /// `2015-08-30T12:36:00Z`, as S3's error documents have it.
    pub fn extended(&self) -> String {
        let t = self.as_str();
        format!("{}-{}-{}T{}:{}:{}Z", &t[..4], &t[4..6], &t[6..8], &t[9..11], &t[11..13], &t[13..15])
    }
}

impl std::fmt::Display for AmzDate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_forms_that_clients_send_name_the_same_second() {
        let expected = AmzDate::parse("20070327T193642Z").unwrap();
        assert_eq!(expected.unix_s(), 1_175_024_202);
        assert_eq!(expected.day(), "20070327");
        assert_eq!(expected.extended(), "2007-03-27T19:36:42Z");
        for text in [
            "Tue, 27 Mar 2007 19:36:42 +0000",
            "Tue, 27 Mar 2007 19:36:42 GMT",
            "Tue, 27 Mar 2007 21:36:42 +0200",
            "2007-03-27T19:36:42Z",
            " 20070327T193642Z ",
        ] {
            assert_eq!(AmzDate::parse_lenient(text), Some(expected), "{text}");
        }
        assert_eq!(AmzDate::from_unix(1_175_024_202), Some(expected));
    }

    #[test]
    fn what_is_no_date_is_refused() {
        for text in [
            "",
            "2007",
            "20070327T193642",
            "20071327T193642Z",
            "20070327T253642Z",
            "20070230T000000Z",
            "2007032xT193642Z",
        ] {
            assert_eq!(AmzDate::parse(text), None, "{text}");
        }
        assert_eq!(AmzDate::parse("19691231T235959Z"), None);
        assert_eq!(AmzDate::from_unix(u64::MAX), None);
    }

    proptest! {
        #[test]
        fn any_text_is_parsed_without_a_panic(text in "\\PC{0,24}") {
            let _ = AmzDate::parse(&text);
            let _ = AmzDate::parse_lenient(&text);
        }

        #[test]
        fn a_time_survives_its_text(unix_s in 0_u64..253_402_300_799) {
            let date = AmzDate::from_unix(unix_s).unwrap();
            prop_assert_eq!(AmzDate::parse(date.as_str()), Some(date));
        }
    }
}
