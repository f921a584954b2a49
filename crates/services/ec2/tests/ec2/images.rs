//! Images: built in, registered, and unknown.

use ec2::{ImagesError, NewImage, UnknownImages};

use crate::platform::{open, platform};
use crate::run::IMAGE;

fn new_image(name: &str, id: Option<&str>) -> NewImage {
    NewImage {
        name: name.to_owned(),
        description: "ours".to_owned(),
        directory: Some("/srv/images/web".into()),
        image_id: id.map(str::to_owned),
    }
}

#[tokio::test]
async fn the_ids_of_an_old_template_resolve_in_their_regions() {
    let mut platform = platform();
    let image = platform.ask("DescribeImages", &format!("ImageId.1={IMAGE}")).await;
    assert!(image.text("name").starts_with("amzn-ami-hvm-2015.03.0."), "{}", image.body);
    assert_eq!((image.text("imageOwnerAlias"), image.text("imageState")), ("amazon".into(), "available".into()));
    let by_name = "Filter.1.Name=name&Filter.1.Value.1=amzn-ami-*&Owner.1=amazon";
    assert_eq!(platform.ask("DescribeImages", by_name).await.texts("imageId"), [IMAGE]);
    assert!(platform.ask("DescribeImages", "Owner.1=self").await.texts("imageId").is_empty());
    platform.call = crate::platform::call("123456789012", "eu-west-1");
    assert_eq!(platform.ask("DescribeImages", by_name).await.texts("imageId"), ["ami-a10897d6"]);
    assert_eq!(
        platform.ask("DescribeImages", &format!("ImageId.1={IMAGE}")).await.refusal(),
        format!("InvalidAMIID.NotFound: The image id '[{IMAGE}]' does not exist")
    );
    assert_eq!(platform.ask("DescribeImages", "ImageId.1=web").await.code(), "InvalidAMIID.Malformed");
}

#[tokio::test]
async fn the_operators_images_are_there_under_their_names_and_go_before_built_in_ones() {
    let platform = platform();
    let id = platform.images.add(&new_image("web-1", None)).unwrap();
    let own = platform.ask("DescribeImages", "Owner.1=self").await;
    assert_eq!((own.text("imageId"), own.text("name")), (id.clone(), "web-1".into()));
    platform.ask("CreateTags", &format!("ResourceId.1={id}&Tag.1.Key=a&Tag.1.Value=b")).await.ok();
    platform.images.add(&new_image("web-2", Some(IMAGE))).unwrap();
    let replaced = platform.ask("DescribeImages", &format!("ImageId.1={IMAGE}")).await;
    assert_eq!(replaced.texts("name"), ["web-2"]);
    assert_eq!(platform.images.list().unwrap().len(), 2);
    assert!(platform.images.remove("web-1").unwrap() && !platform.images.remove(&id).unwrap());
    assert_eq!(platform.ask("DescribeImages", &format!("ImageId.1={id}")).await.code(), "InvalidAMIID.NotFound");
}

#[test]
fn an_image_that_can_not_be_is_refused_with_the_reason() {
    let platform = platform();
    platform.images.add(&new_image("web", None)).unwrap();
    let refused = |image: NewImage| platform.images.add(&image).unwrap_err();
    assert!(matches!(refused(new_image("web", None)), ImagesError::Registered { .. }));
    assert!(matches!(refused(new_image("x", None)), ImagesError::Name(_)));
    assert!(matches!(refused(new_image("other", Some("web"))), ImagesError::Id(_)));
    let relative = NewImage { directory: Some("images/web".into()), ..new_image("other", None) };
    assert!(matches!(refused(relative), ImagesError::Relative(_)));
}

#[tokio::test]
async fn an_unknown_id_may_stand_for_what_the_operator_says() {
    let store = store::Store::in_memory().unwrap();
    let platform = open(store, None, UnknownImages::Host);
    let image = platform.ask("DescribeImages", "ImageId.1=ami-12345678").await;
    assert_eq!(image.text("imageId"), "ami-12345678");
    assert!(!platform.ask("DescribeImages", "").await.texts("imageId").contains(&"ami-12345678".to_owned()));
}
