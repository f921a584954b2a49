//! As much DER as is needed to find a certificate's public key, whatever else is in the certificate.
//!
//! Invariants:
//! - Any bytes in, a slice of them or `None` out; nothing is allocated, nothing panics.
//! - Only where things are is looked at: what they mean is up to whoever uses the key.

const SEQUENCE: u8 = 0x30;
const BIT_STRING: u8 = 0x03;
/// `[0] EXPLICIT`, which holds a certificate's version; one of version 1 has none.
const VERSION: u8 = 0xa0;

/// One element: its tag, all of it, and what it holds.
struct Element<'a> {
    tag: u8,
    whole: &'a [u8],
    content: &'a [u8],
}

/// Takes the element that `input` begins with.
fn take<'a>(input: &mut &'a [u8]) -> Option<Element<'a>> {
    let (&tag, rest) = input.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = if first < 0x80 {
        (usize::from(first), rest)
    } else {
        let digits = usize::from(first & 0x7f);
        // Lengths of more than four bytes do not occur; the indefinite form is not DER.
        if digits == 0 || digits > 4 {
            return None;
        }
        let (digits, rest) = rest.split_at_checked(digits)?;
        (digits.iter().fold(0usize, |length, digit| (length << 8) | usize::from(*digit)), rest)
    };
    let (content, after) = rest.split_at_checked(length)?;
    let whole = &input[..input.len() - after.len()];
    *input = after;
    Some(Element { tag, whole, content })
}

fn sequence<'a>(input: &mut &'a [u8]) -> Option<Element<'a>> {
    take(input).filter(|element| element.tag == SEQUENCE)
}

/// A certificate's SubjectPublicKeyInfo, all of it.
pub(super) fn public_key_info(certificate: &[u8]) -> Option<&[u8]> {
    let mut certificate = certificate;
    let mut outer = sequence(&mut certificate)?.content;
    let mut fields = sequence(&mut outer)?.content;
    let first = take(&mut fields)?;
    if first.tag == VERSION {
        take(&mut fields)?; // serial number
    }
    for _signature_issuer_validity_subject in 0..4 {
        sequence(&mut fields)?;
    }
    sequence(&mut fields).map(|info| info.whole)
}

/// What a SubjectPublicKeyInfo holds: the algorithm's identifier without its outer header, and the key's bytes.
pub(super) fn algorithm_and_key(info: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut info = info;
    let mut fields = sequence(&mut info)?.content;
    let algorithm = sequence(&mut fields)?;
    let key = take(&mut fields).filter(|element| element.tag == BIT_STRING)?;
    // The first byte says how many bits of the last are unused: none, in keys.
    match key.content.split_first()? {
        (0, key) => Some((algorithm.content, key)),
        _ => None,
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// The same certificate as before X.509 had extensions. Its signature is void, which nobody checks.
    pub(in crate::tls) fn as_version_1(certificate: &[u8]) -> Vec<u8> {
        let wrap = |content: &[u8]| {
            let length = u16::try_from(content.len()).unwrap().to_be_bytes();
            [&[SEQUENCE, 0x82, length[0], length[1]], content].concat()
        };
        let mut outer = sequence(&mut &*certificate).unwrap().content;
        let mut fields = sequence(&mut outer).unwrap().content;
        take(&mut fields).unwrap();
        let old: Vec<&[u8]> = (0..6).map(|_| take(&mut fields).unwrap().whole).collect();
        wrap(&[&wrap(&old.concat()), outer].concat())
    }

    #[test]
    fn the_key_of_a_certificate_is_what_the_issuer_put_in() {
        let key = rcgen::KeyPair::generate().unwrap();
        let params = rcgen::CertificateParams::new(vec!["example.com".to_owned()]).unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let info = public_key_info(certificate.der()).unwrap();
        assert_eq!(info, rcgen::PublicKeyData::subject_public_key_info(&key));
        assert!(algorithm_and_key(info).is_some());
    }

    #[test]
    fn a_cut_certificate_has_no_key_and_does_no_harm() {
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = rcgen::CertificateParams::new(Vec::new()).unwrap().self_signed(&key).unwrap();
        for length in 0..certificate.der().len() {
            assert_eq!(public_key_info(&certificate.der()[..length]), None);
        }
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_looked_at_without_harm(bytes: Vec<u8>) {
            let _ = public_key_info(&bytes);
            let _ = algorithm_and_key(&bytes);
        }
    }
}
