//! SecureStrings.

use serde_json::json;
use store::Scan;

use super::platform::{Platform, open};
use crate::rows::{Kept, VERSIONS};

#[tokio::test]
async fn a_secret_is_shown_to_who_asks_for_it_decrypted_and_stands_nowhere_else() {
    let platform = Platform::new();
    platform.ok("PutParameter", json!({"Name": "/s", "Value": "hunter2", "Type": "SecureString"})).await;
    let sealed = platform.value("/s").await;
    assert!(sealed.is_string() && !sealed.to_string().contains("hunter2"), "{sealed}");
    for (operation, input) in [
        ("GetParameter", json!({"Name": "/s", "WithDecryption": true})),
        ("GetParameters", json!({"Names": ["/s"], "WithDecryption": true})),
        ("GetParametersByPath", json!({"Path": "/", "WithDecryption": true})),
        ("GetParameterHistory", json!({"Name": "/s", "WithDecryption": true})),
    ] {
        assert!(platform.ok(operation, input.clone()).await.to_string().contains("hunter2"), "{operation}");
        let mut without = input;
        without.as_object_mut().unwrap().remove("WithDecryption");
        assert!(!platform.ok(operation, without).await.to_string().contains("hunter2"), "{operation}");
    }
    let described = platform.ok("DescribeParameters", json!({})).await;
    assert_eq!(described["Parameters"][0]["KeyId"], "alias/aws/ssm");
    let rows = platform.store.read(|view| view.scan(&VERSIONS, &Scan::all())).unwrap();
    assert!(rows.iter().all(|row| matches!(row.value.value, Kept::Sealed(_))));
}

#[tokio::test]
async fn a_secret_that_was_moved_does_not_open() {
    let platform = Platform::new();
    for name in ["/a", "/b"] {
        platform.ok("PutParameter", json!({"Name": name, "Value": "secret", "Type": "SecureString"})).await;
    }
    let moved = |tx: &mut store::Transaction<'_>| -> Result<(), store::StoreError> {
        let rows = tx.scan(&VERSIONS, &Scan::all())?;
        tx.put(&VERSIONS, &rows[1].key, &rows[0].value).map(drop)
    };
    platform.store.write(moved).unwrap();
    let refused = platform.refused("GetParameter", json!({"Name": "/b", "WithDecryption": true})).await;
    assert_eq!(refused.0, "InternalServerError");
}

#[tokio::test]
async fn another_master_key_does_not_start() {
    let platform = Platform::new();
    assert!(open(&platform.store, "other").is_ok());
    platform.ok("PutParameter", json!({"Name": "/s", "Value": "x", "Type": "SecureString"})).await;
    assert!(open(&platform.store, "key").is_ok());
    let sentence = open(&platform.store, "other").unwrap_err().to_string();
    assert!(sentence.contains("/s was sealed under another master key"), "{sentence}");
}
