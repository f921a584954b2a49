//! Tags of load balancers.

use ::api::elb::*;
use wire::ApiError;

use super::platform::*;

async fn add(p: &Platform, names: &[&str], tags: Vec<Tag>) -> Result<(), ApiError> {
    let input = AddTagsInput { load_balancer_names: texts(names), tags };
    p.elb.add_tags(&p.call, input).await.map(drop)
}

async fn remove(p: &Platform, names: &[&str], keys: &[&str]) -> Result<(), ApiError> {
    let tags = keys.iter().map(|key| TagKeyOnly { key: Some((*key).into()) }).collect();
    p.elb.remove_tags(&p.call, RemoveTagsInput { load_balancer_names: texts(names), tags }).await.map(drop)
}

async fn tags(p: &Platform, names: &[&str]) -> Result<Vec<TagDescription>, ApiError> {
    let input = DescribeTagsInput { load_balancer_names: texts(names) };
    Ok(p.elb.describe_tags(&p.call, input).await?.tag_descriptions)
}

#[tokio::test(start_paused = true)]
async fn tags_are_added_replaced_and_removed() {
    let p = platform().await;
    let input = CreateLoadBalancerInput {
        load_balancer_name: "web".into(),
        availability_zones: texts(&["us-east-1a"]),
        listeners: vec![http(80, 80)],
        tags: vec![tag("team", "a")],
        ..Default::default()
    };
    p.elb.create_load_balancer(&p.call, input).await.unwrap();
    p.create("api", vec![http(80, 80)]).await.unwrap();
    add(&p, &["web", "api"], vec![tag("team", "b"), tag("Team", "c")]).await.unwrap();
    remove(&p, &["web"], &["team", "absent"]).await.unwrap();
    let told = tags(&p, &["web", "api"]).await.unwrap();
    assert_eq!(told[0], TagDescription { load_balancer_name: Some("web".into()), tags: vec![tag("Team", "c")] });
    assert_eq!(told[1].tags, [tag("Team", "c"), tag("team", "b")]);
}

#[tokio::test(start_paused = true)]
async fn all_named_load_balancers_change_or_none() {
    let p = platform().await;
    p.web().await;
    refused_with(add(&p, &["web", "absent"], vec![tag("a", "b")]).await, "LoadBalancerNotFound", "'absent'");
    refused_with(remove(&p, &["absent"], &["a"]).await, "LoadBalancerNotFound", "'absent'");
    refused_with(tags(&p, &["absent"]).await, "LoadBalancerNotFound", "'absent'");
    assert_eq!(tags(&p, &["web"]).await.unwrap()[0].tags, []);
}

#[tokio::test(start_paused = true)]
async fn tags_have_aws_s_limits() {
    let p = platform().await;
    p.web().await;
    refused_with(add(&p, &["web"], vec![tag("a", "1"), tag("a", "2")]).await, "DuplicateTagKeys", "'a'");
    refused_with(remove(&p, &["web"], &["a", "a"]).await, "DuplicateTagKeys", "'a'");
    refused_with(add(&p, &["web"], vec![tag("aws:x", "1")]).await, "ValidationError", "reserved");
    add(&p, &["web"], (0..50).map(|number| tag(&format!("k{number}"), "v")).collect()).await.unwrap();
    add(&p, &["web"], vec![tag("k0", "another value")]).await.unwrap();
    refused_with(add(&p, &["web"], vec![tag("more", "v")]).await, "TooManyTags", "quota of 50");
    assert_eq!(tags(&p, &["web"]).await.unwrap()[0].tags.len(), 50);
    refused_with(tags(&p, &["web"; 21]).await, "ValidationError", "Between 1 and 20");
}
