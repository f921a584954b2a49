//! ISO 8601 durations as CloudFormation writes them: `PT10M`.
//!
//! Invariant: what is longer than twelve hours is refused, as on AWS.

use std::time::Duration;

/// AWS's limit on waiting for signals.
const MAX: Duration = Duration::from_secs(12 * 60 * 60);

/// `PT#H#M#S`, each part at most once and in this order.
pub(crate) fn parse(text: &str) -> Option<Duration> {
    let mut rest = text.strip_prefix("PT")?;
    let mut seconds = 0u64;
    let mut units = [('H', 3600u64), ('M', 60), ('S', 1)].into_iter();
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).filter(|digits| *digits > 0)?;
        let number: u64 = rest[..digits].parse().ok()?;
        let unit = rest[digits..].chars().next()?;
        let (_, factor) = units.find(|(known, _)| *known == unit)?;
        seconds = seconds.checked_add(number.checked_mul(factor)?)?;
        rest = &rest[digits + 1..];
    }
    Some(Duration::from_secs(seconds)).filter(|duration| *duration <= MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read() {
        let seconds = |text| parse(text).map(|duration| duration.as_secs());
        assert_eq!(seconds("PT10M"), Some(600));
        assert_eq!(seconds("PT1H30M"), Some(5400));
        assert_eq!(seconds("PT0S"), Some(0));
        assert_eq!(seconds("PT1H2M3S"), Some(3723));
        for wrong in ["", "PT", "10M", "PT10", "PTM", "PT1M1H", "PT1M1M", "P1D", "PT13H", "PT99999999999999999999S"] {
            assert_eq!(seconds(wrong), None, "{wrong}");
        }
    }
}
