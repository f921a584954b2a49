//! Key pairs.

use crate::asked::escaped;
use crate::platform::platform;

const ED: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHr8uT9qnXUeVbV0gq4nGf0FYlsjBbqg2mTzL9L2uJ6p shop";

pub(crate) fn material() -> String {
    use base64::Engine as _;
    escaped(&base64::engine::general_purpose::STANDARD.encode(ED))
}

#[tokio::test]
async fn a_new_pairs_private_key_is_told_once() {
    let platform = platform();
    for (form, begins, kind) in [
        ("KeyName=mykey", "-----BEGIN RSA PRIVATE KEY-----", "rsa"),
        ("KeyName=other&KeyType=ed25519", "-----BEGIN OPENSSH PRIVATE KEY-----", "ed25519"),
    ] {
        let made = platform.ask("CreateKeyPair", form).await;
        assert!(made.text("keyMaterial").starts_with(begins), "{}", made.body);
        let id = made.text("keyPairId");
        let described = platform.ask("DescribeKeyPairs", &format!("KeyPairId.1={id}")).await;
        assert_eq!(described.text("keyFingerprint"), made.text("keyFingerprint"));
        assert_eq!(described.text("keyType"), kind);
        assert!(!described.body.contains("keyMaterial") && !described.body.contains("publicKey"));
        let public = platform.ask("DescribeKeyPairs", &format!("KeyPairId.1={id}&IncludePublicKey=true")).await;
        assert!(public.text("publicKey").starts_with("ssh-"));
    }
    assert_eq!(
        platform.ask("CreateKeyPair", "KeyName=mykey&KeyType=ed25519").await.refusal(),
        "InvalidKeyPair.Duplicate: The keypair already exists"
    );
    assert_eq!(platform.ask("CreateKeyPair", "KeyName=x&KeyFormat=ppk").await.code(), "UnsupportedOperation");
    assert_eq!(platform.ask("CreateKeyPair", "KeyName=x&KeyType=dsa").await.code(), "InvalidParameterValue");
}

#[tokio::test]
async fn a_public_key_is_imported_tagged_and_deleted() {
    let platform = platform();
    let tags =
        "TagSpecification.1.ResourceType=key-pair&TagSpecification.1.Tag.1.Key=a&TagSpecification.1.Tag.1.Value=b";
    let form = format!("KeyName=mykey&PublicKeyMaterial={}&{tags}", material());
    let made = platform.ask("ImportKeyPair", &form).await;
    let id = made.text("keyPairId");
    let of = "Filter.1.Name=tag:a&Filter.1.Value.1=b";
    assert_eq!(platform.ask("DescribeKeyPairs", of).await.text("keyName"), "mykey");
    platform.ask("CreateTags", &format!("ResourceId.1={id}&Tag.1.Key=c&Tag.1.Value=d")).await.ok();
    assert_eq!(
        platform.ask("ImportKeyPair", "KeyName=bad&PublicKeyMaterial=c3NoLXJzYQ%3D%3D").await.refusal(),
        "InvalidKey.Format: Key is not in valid OpenSSH public key format"
    );
    assert_eq!(platform.ask("DeleteKeyPair", "KeyName=mykey").await.text("keyPairId"), id);
    assert_eq!(platform.ask("DeleteKeyPair", "KeyName=mykey").await.text("return"), "true");
    assert_eq!(
        platform.ask("DescribeKeyPairs", "KeyName.1=mykey").await.refusal(),
        "InvalidKeyPair.NotFound: The key pair 'mykey' does not exist"
    );
    assert_eq!(platform.ask("DeleteKeyPair", "").await.code(), "MissingParameter");
    assert!(platform.ask("DescribeTags", "").await.texts("key").is_empty());
}
