//! Dates as conditions write them: ISO 8601 as the W3C profiles it, or seconds since 1970. Milliseconds since 1970 inside.

const DAY_MS: i64 = 86_400_000;

/// Reads `2013-06-30T00:00:00Z`, any shorter form down to the year, or epoch seconds. `None` if it is no date.
pub(crate) fn parse(text: &str) -> Option<i64> {
    // A year has four digits; epoch seconds with as few would be in January 1970.
    if text.len() != 4 && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.parse::<i64>().ok()?.checked_mul(1000);
    }
    let (date, time) = match text.split_once(['T', 't']) {
        Some((date, time)) => (date, Some(time)),
        None => (text, None),
    };
    let mut parts = date.split('-');
    let year = digits(parts.next()?, 4)?;
    let month = parts.next().map_or(Some(1), |month| digits(month, 2))?;
    let day = parts.next().map_or(Some(1), |day| digits(day, 2))?;
    if parts.next().is_some() || !(1..=12).contains(&month) || !(1..=days_in(year, month)).contains(&day) {
        return None;
    }
    Some(days_from_civil(year, month, day) * DAY_MS + time.map_or(Some(0), time_of_day_ms)?)
}

/// `2013-06-30T00:00:00Z`.
pub(crate) fn format(unix_ms: u64) -> String {
    let seconds = (unix_ms / 1000) as i64;
    let (year, month, day) = civil_from_days(seconds.div_euclid(86_400));
    let of_day = seconds.rem_euclid(86_400);
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// `hh:mm`, `hh:mm:ss` or `hh:mm:ss.fff`, then `Z` or an offset.
fn time_of_day_ms(text: &str) -> Option<i64> {
    let (clock, offset_ms) = match text.find(['Z', 'z', '+', '-']) {
        Some(at) => (&text[..at], offset_ms(&text[at..])?),
        None => (text, 0),
    };
    let mut parts = clock.split(':');
    let hour = digits(parts.next()?, 2)?;
    let minute = digits(parts.next()?, 2)?;
    let (second, fraction_ms) = match parts.next() {
        None => (0, 0),
        Some(seconds) => match seconds.split_once('.') {
            None => (digits(seconds, 2)?, 0),
            Some((seconds, fraction)) => (digits(seconds, 2)?, fraction_ms(fraction)?),
        },
    };
    // 60 is a leap second.
    if parts.next().is_some() || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    Some(((hour * 60 + minute) * 60 + second) * 1000 + fraction_ms - offset_ms)
}

fn offset_ms(text: &str) -> Option<i64> {
    if text.eq_ignore_ascii_case("z") {
        return Some(0);
    }
    let (sign, rest) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+')?),
    };
    let (hours, minutes) = rest.split_once(':')?;
    Some(sign * (digits(hours, 2)? * 60 + digits(minutes, 2)?) * 60_000)
}

fn fraction_ms(text: &str) -> Option<i64> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let padded = text.bytes().chain(*b"000").take(3);
    Some(padded.fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0')))
}

fn digits(text: &str, count: usize) -> Option<i64> {
    let all_digits = text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit());
    if all_digits { text.parse().ok() } else { None }
}

fn days_in(year: i64, month: i64) -> i64 {
    let next = if month == 12 { days_from_civil(year + 1, 1, 1) } else { days_from_civil(year, month + 1, 1) };
    next - days_from_civil(year, month, 1)
}

// Both after Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms": years begin in March, eras have 400 years.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let day_of_year = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + day_of_year - 719_468
}

fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let day_of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_read_in_every_form_that_aws_takes() {
        let midnight = 1_372_550_400_000;
        for text in
            ["2013-06-30", "2013-06-30T00:00Z", "2013-06-30T00:00:00Z", "2013-06-30T02:00:00+02:00", "1372550400"]
        {
            assert_eq!(parse(text), Some(midnight), "{text}");
        }
        assert_eq!(parse("2013-06-30T00:00:00.25Z"), Some(midnight + 250));
        assert_eq!(parse("1970"), Some(0));
        assert_eq!(parse("2000-02-29T23:59:59Z"), Some(951_868_799_000));
    }

    #[test]
    fn what_is_no_date_is_refused() {
        for text in [
            "",
            "soon",
            "2013-13-01",
            "2013-02-29",
            "2013-06-30T25:00Z",
            "2013-06-30T",
            "20-06-30",
            "2013-06-30T00:00+2",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_date_that_is_printed_reads_back() {
        for seconds in [0, 951_782_399, 951_868_799, 1_372_550_400, 4_102_444_800] {
            assert_eq!(parse(&format(seconds * 1000)), Some((seconds * 1000) as i64));
        }
        assert_eq!(format(951_868_799_999), "2000-02-29T23:59:59Z");
    }
}
