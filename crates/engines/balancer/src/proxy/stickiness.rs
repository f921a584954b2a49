//! Sticky sessions: the cookie AWSELB, by which a client comes back to its target.
//!
//! Invariants:
//! - The cookie's value says which target without naming it, and means the same on every node and after a restart:
//!   nothing is remembered for a session.
//! - A value that names no target in service counts as none: the session moves, and the client hears of it.
//! - Cookies are read from a head that the parser accepted, and written into one that it wrote; nothing else of either
//!   is touched.
//!
//! As "Configure sticky sessions for your Classic Load Balancer" has it. A load balancer's cookie is given once and not
//! refreshed. An application's session is sticky while the client shows the application's cookie.

use std::hash::{Hash, Hasher};
use std::io::Write;

use siphasher::sip128::{Hasher128, SipHasher13};

use crate::config::Stickiness;
use crate::state::Route;

/// The balancer's cookie.
const COOKIE: &[u8] = b"AWSELB";
/// Its twin for requests across origins, which browsers send only if it says `SameSite=None; Secure`.
const CORS_COOKIE: &[u8] = b"AWSELBCORS";
/// A cookie's value: 128 bits in hexadecimal.
const VALUE_BYTES: usize = 32;
/// Attributes that are copied from the application's cookie, lowercase.
const COPIED: [&[u8]; 11] = [
    b"path",
    b"port",
    b"domain",
    b"secure",
    b"httponly",
    b"discard",
    b"max-age",
    b"expires",
    b"version",
    b"comment",
    b"commenturl",
];
const SAME_SITE: &[u8] = b"samesite";

/// What a request's cookies say of its session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Session {
    /// The target that it belongs to, by its index in the route.
    pub(super) target: Option<usize>,
    /// The client showed a cookie of ours that counts.
    has_cookie: bool,
}

impl Session {
    /// The session of the request with this head. Without stickiness there is none.
    pub(super) fn of(route: &Route, head: &[u8]) -> Self {
        let Some(stickiness) = &route.listener.stickiness else { return Self::default() };
        if let Stickiness::Application { cookie_name } = stickiness
            && find_cookie(head, cookie_name.as_bytes()).is_none()
        {
            return Self::default();
        }
        let shown = find_cookie(head, COOKIE).or_else(|| find_cookie(head, CORS_COOKIE));
        let Some(shown) = shown else { return Self::default() };
        let target = (0..route.targets.len()).find(|&index| value(route, index)[..] == *shown);
        Self { target, has_cookie: true }
    }

    /// Tells the client, in the answer's complete head, that its session is with target `index` from now on, where it
    /// has to be told.
    pub(super) fn tell(self, route: &Route, index: usize, head: &mut Vec<u8>) {
        match &route.listener.stickiness {
            Some(Stickiness::LoadBalancer { expiration_s }) if self.target != Some(index) => {
                let mut attributes = b";PATH=/".to_vec();
                if let Some(seconds) = expiration_s {
                    // A Vec takes everything.
                    let _ = write!(attributes, ";MAX-AGE={seconds}");
                }
                set_both(head, &value(route, index), &attributes);
            }
            Some(Stickiness::Application { cookie_name }) => {
                if let Some(cookie) = find_set_cookie(head, cookie_name.as_bytes()) {
                    let (attributes, names_site) = copied_attributes(cookie);
                    let value = value(route, index);
                    if names_site {
                        set(head, COOKIE, &value, &attributes)
                    } else {
                        set_both(head, &value, &attributes)
                    }
                } else if self.has_cookie && self.target != Some(index) {
                    // Its target is gone: the session stays with the new one, even if the old one comes back.
                    set_both(head, &value(route, index), b";PATH=/");
                }
            }
            _ => {}
        }
    }
}

/// What stands for a target in the cookie.
fn value(route: &Route, index: usize) -> [u8; VALUE_BYTES] {
    let mut hasher = SipHasher13::new_with_keys(route.load_balancer.id.0, u64::from(route.listener.backend.port));
    route.targets[index].id.0.hash(&mut hasher);
    hasher.write_u8(0);
    let hash = hasher.finish128().as_u128();
    let mut value = [0; VALUE_BYTES];
    for (place, digit) in value.iter_mut().enumerate() {
        let nibble = (hash >> (124 - 4 * place)) & 0xf;
        *digit = b"0123456789ABCDEF"[nibble as usize];
    }
    value
}

/// The value of the cookie `name` in a request's head; the first counts.
fn find_cookie<'a>(head: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    header_values(head, b"cookie").find_map(|line| {
        line.split(|&byte| byte == b';').find_map(|pair| {
            let pair = pair.trim_ascii();
            let at = memchr::memchr(b'=', pair)?;
            (pair[..at].trim_ascii() == name).then(|| pair[at + 1..].trim_ascii())
        })
    })
}

/// What an answer sets the cookie `name` to, attributes and all. One that ends in ';' is ignored, as AWS ignores it.
fn find_set_cookie<'a>(head: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    header_values(head, b"set-cookie").find(|line| {
        let is_named = line.starts_with(name) && line.get(name.len()) == Some(&b'=');
        is_named && !line.ends_with(b";")
    })
}

/// The attributes of the application's cookie as ours has them, and whether SameSite is among them.
fn copied_attributes(cookie: &[u8]) -> (Vec<u8>, bool) {
    let mut attributes = Vec::new();
    let mut names_site = false;
    for attribute in cookie.split(|&byte| byte == b';').skip(1).map(<[u8]>::trim_ascii) {
        let name = attribute.split(|&byte| byte == b'=').next().unwrap_or_default().trim_ascii_end();
        let is_site = name.eq_ignore_ascii_case(SAME_SITE);
        if !is_site && !COPIED.iter().any(|copied| name.eq_ignore_ascii_case(copied)) {
            continue;
        }
        names_site |= is_site;
        attributes.push(b';');
        if name.eq_ignore_ascii_case(b"path") {
            attribute.iter().for_each(|&byte| match byte {
                b'_' => attributes.extend_from_slice(b"%5F"),
                _ => attributes.push(byte),
            });
        } else {
            attributes.extend_from_slice(attribute);
        }
    }
    (attributes, names_site)
}

/// The values of a header's lines in a complete head.
fn header_values<'a>(head: &'a [u8], name: &'static [u8]) -> impl Iterator<Item = &'a [u8]> {
    head.split(|&byte| byte == b'\n').skip(1).take_while(|line| !line.trim_ascii().is_empty()).filter_map(move |line| {
        let (found, value) = line.split_at_checked(name.len())?;
        if !found.eq_ignore_ascii_case(name) {
            return None;
        }
        value.strip_prefix(b":").map(<[u8]>::trim_ascii)
    })
}

fn set_both(head: &mut Vec<u8>, value: &[u8], attributes: &[u8]) {
    set(head, COOKIE, value, attributes);
    let with_site = [attributes, b";SECURE;SAMESITE=None"].concat();
    set(head, CORS_COOKIE, value, &with_site);
}

/// Adds a Set-Cookie line before the empty one that ends `head`.
fn set(head: &mut Vec<u8>, cookie: &[u8], value: &[u8], attributes: &[u8]) {
    debug_assert!(head.ends_with(b"\r\n\r\n"));
    head.truncate(head.len().saturating_sub(2));
    for part in [b"Set-Cookie: ", cookie, b"=", value, attributes, b"\r\n\r\n"] {
        head.extend_from_slice(part);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_is_found_among_others_and_not_in_a_longer_name_or_behind_the_head() {
        let head = b"GET / HTTP/1.1\r\nHost: a\r\ncookie: XAWSELB=1; AWSELBCORS=2;AWSELB=3\r\nCookie: z=4\r\n\r\nCookie: q=5\r\n";
        assert_eq!(find_cookie(head, b"AWSELB"), Some(&b"3"[..]));
        assert_eq!(find_cookie(head, b"AWSELBCORS"), Some(&b"2"[..]));
        assert_eq!(find_cookie(head, b"z"), Some(&b"4"[..]));
        assert_eq!(find_cookie(head, b"q"), None);
        assert_eq!(find_cookie(b"Cookie: a=1", b"a"), None, "a request line is no header");
    }

    #[test]
    fn attributes_of_the_applications_cookie_are_copied_as_aws_copies_them() {
        let (attributes, names_site) =
            copied_attributes(b"SID=a=b; Path=/my_app; Priority=High; HttpOnly; Max-Age = 60; SameSite=Lax");
        assert_eq!(attributes, b";Path=/my%5Fapp;HttpOnly;Max-Age = 60;SameSite=Lax");
        assert!(names_site);
        assert_eq!(copied_attributes(b"SID=1"), (Vec::new(), false));
    }

    #[test]
    fn a_set_cookie_that_ends_in_a_semicolon_is_ignored() {
        let head = |line: &str| format!("HTTP/1.1 200 OK\r\nSet-Cookie: {line}\r\n\r\n").into_bytes();
        assert!(find_set_cookie(&head("SID=1; Path=/"), b"SID").is_some());
        assert!(find_set_cookie(&head("SID=1; Path=/;"), b"SID").is_none());
        assert!(find_set_cookie(&head("SIDE=1"), b"SID").is_none());
    }

    #[test]
    fn a_cookie_is_set_before_the_heads_end() {
        let mut head = b"HTTP/1.1 200 OK\r\nServer: x\r\n\r\n".to_vec();
        set(&mut head, b"AWSELB", b"AB", b";PATH=/");
        assert_eq!(head, b"HTTP/1.1 200 OK\r\nServer: x\r\nSet-Cookie: AWSELB=AB;PATH=/\r\n\r\n");
    }
}
