//! Certificates made for the occasion, and everything that can be wrong with them.

use proptest::prelude::*;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};

use super::*;

/// 2026-01-01.
const NOW: Timestamp = Timestamp(1_767_225_600_000);

/// A certificate authority, or a server: its certificate and what signs with it.
struct Signed {
    pem: String,
    params: CertificateParams,
    key: KeyPair,
}

fn params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(vec!["shop.example.com".to_owned()]).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = date_time_ymd(2025, 1, 1);
    params.not_after = date_time_ymd(2030, 1, 1);
    params
}

fn authority(name: &str, issuer: Option<&Signed>) -> Signed {
    let mut params = params(name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    signed(params, KeyPair::generate().unwrap(), issuer)
}

fn signed(params: CertificateParams, key: KeyPair, issuer: Option<&Signed>) -> Signed {
    let certificate = match issuer {
        Some(issuer) => params.signed_by(&key, &Issuer::from_params(&issuer.params, &issuer.key)).unwrap(),
        None => params.self_signed(&key).unwrap(),
    };
    Signed { pem: certificate.pem(), params, key }
}

fn server(issuer: Option<&Signed>) -> Signed {
    signed(params("server"), KeyPair::generate().unwrap(), issuer)
}

fn check(server: &Signed, chain: Option<&str>) -> Result<CheckedCertificate, Unfit> {
    CheckedCertificate::check(&server.pem, chain, &server.key.serialize_pem(), NOW)
}

#[test]
fn a_certificate_that_signed_itself_needs_no_chain() {
    let server = server(None);
    let checked = check(&server, None).unwrap();
    assert_eq!(checked.chain_der.len(), 1);
    assert_eq!(checked.private_key_der, server.key.serialized_der());
    assert_eq!(checked.expires_at, Timestamp::from_secs(1_893_456_000), "2030-01-01");
}

#[test]
fn a_chain_is_kept_in_order_and_its_root_may_be_left_out() {
    let root = authority("root", None);
    let middle = authority("middle", Some(&root));
    let server = server(Some(&middle));
    let checked = check(&server, Some(&format!("{}{}", middle.pem, root.pem))).unwrap();
    let expected: Vec<_> =
        [&server, &middle, &root].map(|one| certificates(&one.pem, 9).unwrap().remove(0)).into_iter().collect();
    assert_eq!(checked.chain_der, expected);
    assert_eq!(check(&server, Some(&middle.pem)).unwrap().chain_der.len(), 2);
    let stored = CheckedCertificate::chain_der(&server.pem, Some(&format!("{}{}", middle.pem, root.pem)));
    assert_eq!(stored, Some(expected));
}

#[test]
fn a_chain_out_of_order_is_refused_with_the_index_of_the_certificate_that_does_not_fit() {
    let root = authority("root", None);
    let middle = authority("middle", Some(&root));
    let server = server(Some(&middle));
    let reversed = format!("{}{}", root.pem, middle.pem);
    assert_eq!(check(&server, Some(&reversed)), Err(Unfit::ChainOrder { index: -1 }));
    let twice = format!("{}{}", middle.pem, middle.pem);
    assert_eq!(check(&server, Some(&twice)), Err(Unfit::ChainOrder { index: 0 }));
}

#[test]
fn a_name_alone_does_not_make_an_issuer() {
    let real = authority("middle", None);
    let impostor = authority("middle", None);
    let server = server(Some(&real));
    assert_eq!(check(&server, Some(&impostor.pem)), Err(Unfit::ChainOrder { index: -1 }));
}

#[test]
fn a_chain_that_is_none_or_too_long_is_refused() {
    let root = authority("root", None);
    let server = server(Some(&root));
    assert_eq!(check(&server, Some("no certificate")), Err(Unfit::Chain));
    assert_eq!(check(&server, Some(&"x".repeat(100_000))), Err(Unfit::Chain));
    assert_eq!(check(&server, Some(&root.pem.repeat(CHAIN_MAX))).map(|one| one.chain_der.len()), Ok(CHAIN_MAX + 1));
    assert_eq!(check(&server, Some(&root.pem.repeat(CHAIN_MAX + 1))), Err(Unfit::ChainTooLong));
    let broken = root.pem.replace("\nMII", "\nM!I");
    assert_eq!(check(&server, Some(&broken)), Err(Unfit::Chain));
}

#[test]
fn the_body_is_one_certificate_and_nothing_else() {
    let server = server(None);
    let key = server.key.serialize_pem();
    let check = |body: &str| CheckedCertificate::check(body, None, &key, NOW).unwrap_err();
    assert_eq!(check(""), Unfit::Certificate);
    assert_eq!(check("certificate"), Unfit::Certificate);
    assert_eq!(check(&server.pem.repeat(2)), Unfit::SeveralCertificates);
    let garbage = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    assert_eq!(check(garbage), Unfit::Certificate);
}

#[test]
fn a_certificate_out_of_its_time_is_refused() {
    let mut expired = params("server");
    expired.not_after = date_time_ymd(2025, 12, 31);
    let mut early = params("server");
    early.not_before = date_time_ymd(2026, 1, 2);
    let of = |params| check(&signed(params, KeyPair::generate().unwrap(), None), None);
    assert_eq!(of(expired), Err(Unfit::Expired));
    assert_eq!(of(early), Err(Unfit::NotYetValid));
}

#[test]
fn a_key_of_another_certificate_is_a_mismatch() {
    let (server, other) = (server(None), server(None));
    let check = CheckedCertificate::check(&server.pem, None, &other.key.serialize_pem(), NOW);
    assert_eq!(check, Err(Unfit::KeyMismatch));
}

#[test]
fn a_key_that_is_none_is_refused_and_a_locked_one_by_its_name() {
    let server = server(None);
    let check = |key: &str| CheckedCertificate::check(&server.pem, None, key, NOW).unwrap_err();
    assert_eq!(check("key"), Unfit::Key);
    assert_eq!(check(&server.pem), Unfit::Key);
    let pem = server.key.serialize_pem();
    assert_eq!(check(&pem.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY")), Unfit::EncryptedKey);
    let old = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nAAAA\n\
               -----END RSA PRIVATE KEY-----\n";
    assert_eq!(check(old), Unfit::EncryptedKey);
    assert_eq!(check(&pem_of("PRIVATE KEY", &[0, 0, 0])), Unfit::Key);
    assert_eq!(check(&pem_of("PRIVATE KEY", &[0x30, 3, 2, 1, 0])), Unfit::KeyKind);
}

#[test]
fn rsa_keys_may_come_in_either_format_and_small_ones_are_refused() {
    let key = KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, rcgen::RsaKeySize::_2048).unwrap();
    let server = signed(params("server"), key, None);
    assert!(check(&server, None).is_ok());
    // Of a PKCS #8 key of 2048 bits the first 26 bytes say that it is RSA; the rest is PKCS #1.
    let pkcs1 = &server.key.serialized_der()[26..];
    assert_eq!(pkcs1[..2], [0x30, 0x82]);
    let pem = pem_of("RSA PRIVATE KEY", pkcs1);
    let checked = CheckedCertificate::check(&server.pem, None, &pem, NOW).unwrap();
    assert_eq!(checked.private_key_der, pkcs1);
    let small = "-----BEGIN RSA PRIVATE KEY-----\n\
        MIIBOgIBAAJBAKj34GkxFhD90vcNLYLInFEX6Ppy1tPf9Cnzj4p4WGeKLs1Pt8QuKUpRKfFLfRYC9AIKjbJTWit+CqvjWYzvQwEC\n\
        AwEAAQJAIJLixBy2qpFoS4DSmoEmo3qGy0t6z09AIJtH+5OeRV1be+N4cDYJKffGzDa88vQENZiRm0GRq6a+HPGQMd2kTQIhAKMS\n\
        vzIBnni7ot/OSie2TmJLY4SwTQAevXysE2RbFDYdAiEBCUEaRQnMnbp79mxDXDf6AU0cN/RPBjb9qSHDcWZHGzUCIG2Es59z8ugG\n\
        rDY+pxLQnwfotadxd+Uyv/Ow5T0q5gIJAiEAyS4RaI9YG8EWx/2w0T67ZUVAw8eOMB6BIUg0Xcu+3okCIBOs/5OiPgoTdSy7bcF9\n\
        IGpSE8ZgGKzgYQVZeN97YE00\n-----END RSA PRIVATE KEY-----\n";
    assert_eq!(CheckedCertificate::check(&server.pem, None, small, NOW), Err(Unfit::KeyKind), "512 bits");
}

fn pem_of(label: &str, der: &[u8]) -> String {
    use base64::Engine;
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    format!("-----BEGIN {label}-----\n{text}\n-----END {label}-----\n")
}

#[test]
fn what_passes_shows_no_key() {
    let server = server(None);
    let shown = format!("{:?}", check(&server, None).unwrap());
    let byte = format!("{:?}", &server.key.serialized_der()[40..44]);
    assert!(!shown.contains(byte.trim_matches(['[', ']'])), "{shown}");
}

proptest! {
    #[test]
    fn no_bytes_make_the_check_panic(
        body in prop::collection::vec(any::<u8>(), 0..200),
        chain in prop::collection::vec(any::<u8>(), 0..200),
        key in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let (body, chain) = (pem_of("CERTIFICATE", &body), pem_of("CERTIFICATE", &chain));
        let refused = CheckedCertificate::check(&body, Some(&chain), &pem_of("PRIVATE KEY", &key), NOW);
        prop_assert!(refused.is_err());
    }

    #[test]
    fn no_flipped_byte_makes_the_check_panic_or_another_key_pass(at in any::<prop::sample::Index>(), flip in 1..=255u8) {
        let server = server(None);
        let mut der = certificates(&server.pem, 1).unwrap().remove(0);
        let at = at.index(der.len());
        der[at] ^= flip;
        let checked = CheckedCertificate::check(&pem_of("CERTIFICATE", &der), None, &server.key.serialize_pem(), NOW);
        if let Ok(checked) = checked {
            prop_assert_eq!(&checked.private_key_der, &server.key.serialized_der());
        }
    }
}
