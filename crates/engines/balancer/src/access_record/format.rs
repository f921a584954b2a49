//! A record's line, byte by byte.
//!
//! Invariants:
//! - Pure: a line depends on its record only.
//! - A line has 15 fields between single spaces, two of them quoted; within quotes `"` and `\` stand behind a `\`, and
//!   control characters and what is not ASCII as `\xHH`. So no client can end a field or a line.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::{Record, RequestLine};

/// What is kept of a user agent.
const USER_AGENT_BYTES_MAX: usize = 8 << 10;

/// `2015-05-13T23:39:43.`, for as long as the second lasts.
pub(super) struct DateCache {
    second: u64,
    text: [u8; 20],
}

impl Default for DateCache {
    fn default() -> Self {
        Self { second: u64::MAX, text: [0; 20] }
    }
}

impl DateCache {
    fn of(&mut self, second: u64) -> &[u8; 20] {
        if self.second != second {
            self.second = second;
            self.text = date(second);
        }
        &self.text
    }
}

/// Appends the record's line, with its line feed.
pub(super) fn line(out: &mut Vec<u8>, dates: &mut DateCache, load_balancer: &str, record: &Record<'_>) {
    out.extend_from_slice(dates.of(record.received_us / 1_000_000));
    six_digits(out, record.received_us % 1_000_000);
    out.extend_from_slice(b"Z ");
    out.extend_from_slice(load_balancer.as_bytes());
    out.push(b' ');
    socket_address(out, record.client);
    out.push(b' ');
    match record.target {
        Some(target) => socket_address(out, target),
        None => out.push(b'-'),
    }
    for time in [record.request_processing, record.backend_processing, record.response_processing] {
        out.push(b' ');
        seconds(out, time);
    }
    statuses(out, record);
    out.push(b' ');
    number(out, record.received_bytes);
    out.push(b' ');
    number(out, record.sent_bytes);
    out.extend_from_slice(b" \"");
    match &record.request {
        Some(request) => request_line(out, request),
        None => out.extend_from_slice(b"- - - "),
    }
    out.extend_from_slice(b"\" \"");
    match record.user_agent {
        None | Some([]) => out.push(b'-'),
        Some(agent) => escaped(out, &agent[..agent.len().min(USER_AGENT_BYTES_MAX)]),
    }
    let (cipher, protocol) = record.tls.map_or(("-", "-"), |tls| (tls.cipher, tls.protocol));
    out.extend_from_slice(b"\" ");
    out.extend_from_slice(cipher.as_bytes());
    out.push(b' ');
    out.extend_from_slice(protocol.as_bytes());
    out.push(b'\n');
}

/// When a line's request came, in microseconds since the Unix epoch; `None` if that is no line of ours.
pub(super) fn received_us(line: &[u8]) -> Option<u64> {
    let text: &[u8; 28] = line.first_chunk()?;
    let shape = b"0000-00-00T00:00:00.000000Z ";
    let fits = text.iter().zip(shape).all(|(byte, shape)| match shape {
        b'0' => byte.is_ascii_digit(),
        _ => byte == shape,
    });
    let digits = |from: usize, to: usize| text[from..to].iter().fold(0, |sum, digit| sum * 10 + u64::from(digit & 15));
    if !fits {
        return None;
    }
    let days = days_of(digits(0, 4), digits(5, 7), digits(8, 10))?;
    let second = days * 86_400 + digits(11, 13) * 3600 + digits(14, 16) * 60 + digits(17, 19);
    Some(second * 1_000_000 + digits(20, 26))
}

fn request_line(out: &mut Vec<u8>, request: &RequestLine<'_>) {
    escaped(out, request.method);
    out.push(b' ');
    out.extend_from_slice(request.scheme.as_bytes());
    out.extend_from_slice(b"://");
    escaped(out, request.host);
    out.push(b':');
    number(out, u64::from(request.port));
    escaped(out, request.target);
    out.push(b' ');
    out.extend_from_slice(request.version.as_bytes());
}

fn statuses(out: &mut Vec<u8>, record: &Record<'_>) {
    match record.elb_status {
        None => out.extend_from_slice(b" - -"),
        Some(status) => {
            out.push(b' ');
            number(out, u64::from(status));
            out.push(b' ');
            number(out, u64::from(record.backend_status.unwrap_or(0)));
        }
    }
}

fn number(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

fn six_digits(out: &mut Vec<u8>, number: u64) {
    let mut digits = [b'0'; 6];
    let mut left = number;
    for digit in digits.iter_mut().rev() {
        *digit += (left % 10) as u8;
        left /= 10;
    }
    out.extend_from_slice(&digits);
}

/// Seconds with six decimals, or -1.
fn seconds(out: &mut Vec<u8>, time: Option<Duration>) {
    let Some(time) = time else {
        return out.extend_from_slice(b"-1");
    };
    number(out, time.as_secs());
    out.push(b'.');
    six_digits(out, u64::from(time.subsec_micros()));
}

/// `address:port`, an IPv6 address without brackets, as X-Forwarded-For has it.
fn socket_address(out: &mut Vec<u8>, address: SocketAddr) {
    match address.ip() {
        IpAddr::V4(ip) => {
            for (index, octet) in ip.octets().into_iter().enumerate() {
                if index > 0 {
                    out.push(b'.');
                }
                number(out, u64::from(octet));
            }
        }
        IpAddr::V6(ip) => {
            use std::io::Write;
            // Writing to a vector cannot fail.
            let _ = write!(out, "{ip}");
        }
    }
    out.push(b':');
    number(out, u64::from(address.port()));
}

/// Whether a byte may not stand as it is.
fn is_special(byte: u8) -> bool {
    !(b' '..=b'~').contains(&byte) || byte == b'"' || byte == b'\\'
}

fn escaped(out: &mut Vec<u8>, mut bytes: &[u8]) {
    while let Some(at) = bytes.iter().position(|byte| is_special(*byte)) {
        out.extend_from_slice(&bytes[..at]);
        escape(out, bytes[at]);
        bytes = &bytes[at + 1..];
    }
    out.extend_from_slice(bytes);
}

#[cold]
fn escape(out: &mut Vec<u8>, byte: u8) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    match byte {
        b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
        _ => out.extend_from_slice(&[b'\\', b'x', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]),
    }
}

/// The date and time of a second since the Unix epoch.
fn date(second: u64) -> [u8; 20] {
    let (days, of_day) = (second / 86_400, second % 86_400);
    let (year, month, day) = civil(days);
    let mut text = *b"0000-00-00T00:00:00.";
    let mut put = |at: usize, digits: usize, mut number: u64| {
        for place in (at..at + digits).rev() {
            text[place] += (number % 10) as u8;
            number /= 10;
        }
    };
    put(0, 4, year);
    put(5, 2, month);
    put(8, 2, day);
    put(11, 2, of_day / 3600);
    put(14, 2, of_day / 60 % 60);
    put(17, 2, of_day % 60);
    text
}

/// Year, month and day of a day since the Unix epoch (Howard Hinnant, "chrono-compatible low-level date algorithms").
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let era = days / 146_097;
    let of_era = days % 146_097;
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day)
}

/// The inverse of [`civil`]; `None` before 1970 and for what is no month or day.
fn days_of(year: u64, month: u64, day: u64) -> Option<u64> {
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let year = year.checked_sub(u64::from(month <= 2))?;
    let (era, year_of_era) = (year / 400, year % 400);
    let shifted_month = if month > 2 { month - 3 } else { month + 9 };
    let of_year = (153 * shifted_month + 2) / 5 + day - 1;
    let of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + of_year;
    (era * 146_097 + of_era).checked_sub(719_468)
}

#[cfg(test)]
mod tests;
