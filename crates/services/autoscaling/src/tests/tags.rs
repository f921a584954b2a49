//! Tags of groups.

use ::api::autoscaling::{Autoscaling as _, *};

use super::platform::{code, group, platform, refused, texts};

fn tag(key: &str, value: &str) -> Tag {
    Tag {
        key: key.into(),
        value: Some(value.into()),
        propagate_at_launch: Some(true),
        resource_id: Some("g".into()),
        resource_type: Some("auto-scaling-group".into()),
    }
}

fn filter(name: &str, values: &[&str]) -> Filter {
    Filter { name: Some(name.into()), values: texts(values) }
}

#[tokio::test]
async fn tags_are_put_found_and_taken_off() {
    let platform = platform().await;
    platform.create(group(0, 1, 0)).await;
    platform.create(CreateAutoScalingGroupInput { auto_scaling_group_name: "h".into(), ..group(0, 1, 0) }).await;
    let put = |tags| CreateOrUpdateTagsInput { tags };
    let of_h = Tag { resource_id: Some("h".into()), ..tag("team", "mail") };
    let three = put(vec![tag("team", "shop"), tag("stage", "test"), of_h]);
    platform.autoscaling.create_or_update_tags(&platform.call, three).await.unwrap();
    platform.autoscaling.create_or_update_tags(&platform.call, put(vec![tag("stage", "live")])).await.unwrap();
    let describe = |filters| DescribeTagsInput { filters, ..Default::default() };
    let tags = async |filters| -> Vec<(String, String)> {
        let tags = platform.autoscaling.describe_tags(&platform.call, describe(filters)).await.unwrap().tags;
        tags.into_iter().map(|tag| (tag.resource_id.unwrap(), tag.value.unwrap())).collect()
    };
    let pairs = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
        pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect()
    };
    assert_eq!(tags(vec![]).await, pairs(&[("g", "live"), ("g", "shop"), ("h", "mail")]));
    assert_eq!(tags(vec![filter("key", &["team"])]).await, pairs(&[("g", "shop"), ("h", "mail")]));
    let both = vec![filter("auto-scaling-group", &["h"]), filter("value", &["mail", "shop"])];
    assert_eq!(tags(both).await, pairs(&[("h", "mail")]));
    let groups = |filters| DescribeAutoScalingGroupsInput { filters, ..Default::default() };
    let shop = groups(vec![filter("tag:team", &["shop"]), filter("tag-key", &["stage"])]);
    let shop = platform.autoscaling.describe_auto_scaling_groups(&platform.call, shop).await.unwrap();
    assert_eq!(shop.auto_scaling_groups.len(), 1);
    let wrong = groups(vec![filter("colour", &["red"])]);
    assert_eq!(code(platform.autoscaling.describe_auto_scaling_groups(&platform.call, wrong).await), "ValidationError");
    let other = DeleteTagsInput { tags: vec![tag("team", "another value"), Tag { value: None, ..tag("stage", "") }] };
    platform.autoscaling.delete_tags(&platform.call, other).await.unwrap();
    assert_eq!(tags(vec![]).await, pairs(&[("g", "shop"), ("h", "mail")]));
}

#[tokio::test]
async fn tags_that_can_not_be_are_refused_and_none_of_the_request_is_kept() {
    let platform = platform().await;
    platform.create(group(0, 1, 0)).await;
    let put = |tags| CreateOrUpdateTagsInput { tags };
    let elsewhere = put(vec![tag("a", "1"), Tag { resource_id: Some("none".into()), ..tag("a", "1") }]);
    assert_eq!(
        refused(platform.autoscaling.create_or_update_tags(&platform.call, elsewhere).await),
        "ValidationError: AutoScalingGroup not found - AutoScaling Group none not found"
    );
    for wrong in [
        put(vec![tag("aws:x", "1")]),
        put(vec![tag("k", "1"), tag("k", "2")]),
        put(vec![tag("k", &"v".repeat(257))]),
        put(vec![Tag { resource_type: Some("instance".into()), ..tag("k", "1") }]),
    ] {
        assert_eq!(code(platform.autoscaling.create_or_update_tags(&platform.call, wrong).await), "ValidationError");
    }
    let many = put((0..51).map(|n| tag(&n.to_string(), "")).collect());
    assert_eq!(code(platform.autoscaling.create_or_update_tags(&platform.call, many).await), "LimitExceeded");
    assert!(platform.describe().await.tags.is_empty());
}
