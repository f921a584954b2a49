//! ListObjects and ListObjectsV2.

mod common;

use common::Platform;

async fn with_keys(keys: &[&str]) -> Platform {
    let platform = Platform::with_bucket().await;
    for key in keys {
        platform.put(&format!("/pictures/{key}"), "x").await.expect(200);
    }
    platform
}

#[tokio::test]
async fn keys_come_in_byte_order_with_what_is_known_of_them() {
    let platform = with_keys(&["b", "a", "A", "%C3%A9", "a/b"]).await;
    let list = platform.get("/pictures?list-type=2&fetch-owner=true").await.expect(200);
    assert_eq!(list.tags("Key"), ["A", "a", "a/b", "b", "é"]);
    assert_eq!(list.tags("Size"), ["1"; 5]);
    assert_eq!(list.tag("LastModified"), "2015-10-21T07:28:00.000Z");
    assert_eq!(list.tag("StorageClass"), "STANDARD");
    assert_eq!(list.tag("KeyCount"), "5");
    assert_eq!(list.tag("IsTruncated"), "false");
    assert_eq!(list.tag("ID").len(), 64);
    assert!(platform.get("/pictures?list-type=2").await.tag("ID").is_empty());
    assert_eq!(platform.get("/pictures").await.tag("ID").len(), 64, "version 1 always names the owner");
}

#[tokio::test]
async fn a_delimiter_rolls_keys_up_into_common_prefixes() {
    let platform = with_keys(&["index.html", "photos/1", "photos/2006/1", "photos/2006/2", "videos/1"]).await;
    let top = platform.get("/pictures?list-type=2&delimiter=/").await.expect(200);
    assert_eq!(top.tags("Key"), ["index.html"]);
    let prefixes = |answer: &common::Answer| {
        answer
            .tags("CommonPrefixes")
            .iter()
            .map(|p| p.replace("<Prefix>", "").replace("</Prefix>", ""))
            .collect::<Vec<_>>()
    };
    assert_eq!(prefixes(&top), ["photos/", "videos/"]);
    let photos = platform.get("/pictures?delimiter=/&prefix=photos/").await.expect(200);
    assert_eq!(photos.tags("Key"), ["photos/1"]);
    assert_eq!(prefixes(&photos), ["photos/2006/"]);
}

#[tokio::test]
async fn pages_meet_without_gap_or_overlap() {
    let platform = with_keys(&["a", "b/1", "b/2", "c", "d/1", "e"]).await;
    let mut token = String::new();
    let mut seen = Vec::new();
    for _ in 0..3 {
        let page = platform.get(&format!("/pictures?list-type=2&delimiter=/&max-keys=2{token}")).await.expect(200);
        seen.extend(page.tags("Key"));
        seen.extend(page.tags("CommonPrefixes"));
        assert_eq!(page.tag("KeyCount"), if seen.len() == 5 { "1" } else { "2" });
        token = format!("&continuation-token={}", page.tag("NextContinuationToken"));
    }
    seen.sort();
    assert_eq!(seen, ["<Prefix>b/</Prefix>", "<Prefix>d/</Prefix>", "a", "c", "e"]);
    platform.get("/pictures?list-type=2&continuation-token=nonsense").await.fails(400, "InvalidArgument");
}

#[tokio::test]
async fn version_one_continues_after_its_marker() {
    let platform = with_keys(&["a", "b/1", "b/2", "c"]).await;
    let first = platform.get("/pictures?delimiter=/&max-keys=2").await.expect(200);
    assert_eq!((first.tag("IsTruncated").as_str(), first.tag("NextMarker").as_str()), ("true", "b/"));
    let second = platform.get("/pictures?delimiter=/&marker=b/").await.expect(200);
    assert_eq!((second.tags("Key"), second.tags("CommonPrefixes").len()), (vec!["c".to_owned()], 0));
    let plain = platform.get("/pictures?max-keys=1&marker=b/1").await.expect(200);
    assert_eq!((plain.tag("Key").as_str(), plain.tag("NextMarker").as_str()), ("b/2", ""));
    assert_eq!(platform.get("/pictures?list-type=2&start-after=b/1").await.tags("Key"), ["b/2", "c"]);
}

#[tokio::test]
async fn names_are_encoded_when_asked() {
    let platform = with_keys(&["a%20b%26c", "d+e/%C3%BC"]).await;
    let list = platform.get("/pictures?list-type=2&encoding-type=url").await.expect(200);
    assert_eq!(list.tags("Key"), ["a+b%26c", "d%2Be/%C3%BC"]);
    assert_eq!(list.tag("EncodingType"), "url");
    platform.get("/pictures?encoding-type=rot13").await.fails(400, "InvalidArgument");
}

#[tokio::test]
async fn page_sizes_have_limits() {
    let platform = with_keys(&["a", "b"]).await;
    let none = platform.get("/pictures?max-keys=0").await.expect(200);
    assert_eq!((none.tags("Key").len(), none.tag("IsTruncated").as_str()), (0, "false"));
    assert_eq!(platform.get("/pictures?max-keys=5000").await.tag("MaxKeys"), "1000");
    platform.get("/pictures?max-keys=-1").await.fails(400, "InvalidArgument");
    platform.get("/nowhere?list-type=2").await.fails(404, "NoSuchBucket");
}

#[tokio::test]
async fn a_listing_never_leaves_its_bucket() {
    let platform = with_keys(&["a"]).await;
    platform.put("/pictures2", "").await.expect(200);
    platform.put("/pictures2/b", "x").await.expect(200);
    assert_eq!(platform.get("/pictures").await.tags("Key"), ["a"]);
    assert_eq!(platform.get("/pictures2").await.tags("Key"), ["b"]);
}
