//! Images: what instances are started from.
//!
//! Invariants:
//! - The built-in image, the host's own file system, is there in every region under stable ids; so are the ids of
//!   Amazon's public images that old templates name.
//! - An id that nobody knows is refused, unless the operator said what it stands for.

mod catalogue;

use api::ec2::*;
use store::{Scan, View};

pub use catalogue::{Image as CatalogueImage, Images, ImagesError, NewImage};

use crate::errors::{self, Refusal};
use crate::filters::Filters;
use crate::listing::{check_id, text, truth};
use crate::paging::Page;
use crate::request::Request;
use crate::rows::*;
use crate::tags;

/// The account that owns Amazon's images.
const AMAZON: &str = "137112412989";

/// Amazon Linux 2015.03 in the regions of its day: templates of that time name these ids.
const AMAZON_LINUX_2015: [(&str, &str); 9] = [
    ("ap-northeast-1", "ami-cbf90ecb"),
    ("ap-southeast-1", "ami-68d8e93a"),
    ("ap-southeast-2", "ami-fd9cecc7"),
    ("eu-central-1", "ami-a8221fb5"),
    ("eu-west-1", "ami-a10897d6"),
    ("sa-east-1", "ami-b52890a8"),
    ("us-east-1", "ami-1ecae776"),
    ("us-west-1", "ami-d114f295"),
    ("us-west-2", "ami-e7527ed7"),
];

/// Names under which the host's file system is offered in every region, so that look-ups by name find something.
const BUILT_IN: [(&str, &str); 3] = [
    ("millpond-host", "2015-03-17T00:00:00.000Z"),
    ("amzn2-ami-hvm-2.0.20240131.0-ARCH-gp2", "2024-01-31T00:00:00.000Z"),
    ("al2023-ami-2023.6.20241010.0-kernel-6.1-ARCH", "2024-10-10T00:00:00.000Z"),
];

/// What an image id that nobody registered stands for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum UnknownImages {
    /// Nothing: it is refused with AWS's error.
    #[default]
    Refused,
    /// The host's own file system.
    Host,
    /// A directory on the host.
    Directory(std::path::PathBuf),
}

/// An image that can be started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) id: String,
    name: String,
    description: String,
    pub(crate) root: RootRow,
    created: String,
    is_amazons: bool,
}

/// The host's processor as EC2 calls it: no image can be of another.
pub(crate) fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "aarch64" => "arm64",
        other => other,
    }
}

/// All images of a place, by id.
fn all(view: &View<'_>, request: &Request) -> Result<Vec<Found>, Refusal> {
    let mut all = built_in(request);
    for row in view.scan(&IMAGES, &Scan::all())? {
        // What the operator registered under an id of Amazon's is meant by it.
        all.retain(|image| image.id != row.key);
        all.push(Found {
            id: row.key,
            name: row.value.name,
            description: row.value.description,
            root: row.value.root,
            created: crate::moments::iso_ms(row.value.created_at_ms),
            is_amazons: false,
        });
    }
    all.sort_by(|a, b| a.id.cmp(&b.id));
    Ok(all)
}

fn built_in(request: &Request) -> Vec<Found> {
    let arch = architecture();
    let host = |id: String, name: String, created: &str| Found {
        id,
        name,
        description: "The host's own file system under an overlay".to_owned(),
        root: RootRow::Host,
        created: created.to_owned(),
        is_amazons: true,
    };
    let everywhere =
        BUILT_IN.iter().map(|(name, at)| host(request.place.derived("ami", name), name.replace("ARCH", arch), at));
    let region = request.place.region.as_str();
    let old = AMAZON_LINUX_2015.iter().filter(|(of, _)| *of == region);
    let old = old.map(|(_, id)| {
        host((*id).to_owned(), format!("amzn-ami-hvm-2015.03.0.{arch}-gp2"), "2015-03-17T22:24:12.000Z")
    });
    everywhere.chain(old).collect()
}

/// The image of an id.
pub(crate) fn find(view: &View<'_>, request: &Request, id: &str) -> Result<Option<Found>, Refusal> {
    Ok(all(view, request)?.into_iter().find(|image| image.id == id))
}

/// The image that an instance is to be started from.
pub(crate) fn to_start(view: &View<'_>, request: &Request, id: &str) -> Result<Found, Refusal> {
    check_id("ami", id)?;
    if let Some(found) = find(view, request, id)? {
        return Ok(found);
    }
    let root = match &request.inner.unknown_images {
        UnknownImages::Refused => return Err(errors::no_such_image(id)),
        UnknownImages::Host => RootRow::Host,
        UnknownImages::Directory(directory) => RootRow::Directory(directory.clone()),
    };
    Ok(Found {
        id: id.to_owned(),
        name: id.to_owned(),
        description: "What the configuration puts in the place of unknown images".to_owned(),
        root,
        created: "2015-03-17T00:00:00.000Z".to_owned(),
        is_amazons: true,
    })
}

const KNOWN: &[&str] = &[
    "architecture",
    "block-device-mapping.delete-on-termination",
    "block-device-mapping.device-name",
    "block-device-mapping.encrypted",
    "block-device-mapping.snapshot-id",
    "block-device-mapping.volume-size",
    "block-device-mapping.volume-type",
    "creation-date",
    "description",
    "ena-support",
    "free-tier-eligible",
    "hypervisor",
    "image-allowed",
    "image-id",
    "image-type",
    "is-public",
    "kernel-id",
    "manifest-location",
    "name",
    "owner-alias",
    "owner-id",
    "platform",
    "product-code",
    "product-code.type",
    "ramdisk-id",
    "root-device-name",
    "root-device-type",
    "source-image-id",
    "source-image-region",
    "source-instance-id",
    "state",
    "state-reason-code",
    "state-reason-message",
    "sriov-net-support",
    "virtualization-type",
];

pub(crate) fn describe(
    view: &View<'_>,
    request: &Request,
    input: DescribeImagesInput,
) -> Result<DescribeImagesOutput, Refusal> {
    let filters = Filters::parse(input.filters, KNOWN)?;
    let page = Page::parse(input.max_results, input.next_token.as_deref())?;
    let found = match input.image_ids.as_slice() {
        [] => all(view, request)?,
        ids => ids.iter().map(|id| to_start(view, request, id)).collect::<Result<Vec<_>, _>>()?,
    };
    let is_owned = |image: &Image| {
        input.owners.is_empty()
            || input.owners.iter().any(|owner| match owner.as_str() {
                "self" => image.owner_id.as_deref() == Some(request.place.account.as_str()),
                owner => image.owner_id.as_deref() == Some(owner) || image.image_owner_alias.as_deref() == Some(owner),
            })
    };
    // Everybody may start Amazon's images, the account its own.
    let may_start = |image: &Image| {
        input.executable_users.is_empty()
            || input.executable_users.iter().any(|user| match user.as_str() {
                "all" => image.public == Some(true),
                _ => true,
            })
    };
    let mut images = Vec::new();
    for found in found {
        let tags = tags::of(view, &request.place, &found.id)?;
        let image = described(request, found, tags);
        if is_owned(&image) && may_start(&image) && filters.pass(&image.tags, |name| values(&image, name)) {
            images.push(image);
        }
    }
    let (images, next_token) = page.of(images.into_iter(), |image| image.image_id.clone().unwrap_or_default());
    Ok(DescribeImagesOutput { images, next_token })
}

fn values(image: &Image, name: &str) -> Vec<String> {
    match name {
        "architecture" => text(&image.architecture),
        "creation-date" => text(&image.creation_date),
        "description" => text(&image.description),
        "ena-support" => truth(image.ena_support),
        "hypervisor" => text(&image.hypervisor),
        "image-id" => text(&image.image_id),
        "image-type" => text(&image.image_type),
        "is-public" => truth(image.public),
        "manifest-location" => text(&image.image_location),
        "name" => text(&image.name),
        "owner-alias" => text(&image.image_owner_alias),
        "owner-id" => text(&image.owner_id),
        "root-device-name" => text(&image.root_device_name),
        "root-device-type" => text(&image.root_device_type),
        "state" => text(&image.state),
        "virtualization-type" => text(&image.virtualization_type),
        _ => Vec::new(),
    }
}

fn described(request: &Request, found: Found, tags: Vec<Tag>) -> Image {
    let owner = if found.is_amazons { AMAZON.to_owned() } else { request.account() };
    let location = if found.is_amazons { "amazon".to_owned() } else { owner.clone() };
    Image {
        architecture: Some(architecture().to_owned()),
        creation_date: Some(found.created),
        description: Some(found.description),
        ena_support: Some(true),
        hypervisor: Some("xen".to_owned()),
        image_id: Some(found.id),
        image_location: Some(format!("{location}/{}", found.name)),
        image_owner_alias: found.is_amazons.then(|| "amazon".to_owned()),
        image_type: Some("machine".to_owned()),
        name: Some(found.name),
        owner_id: Some(owner),
        platform_details: Some("Linux/UNIX".to_owned()),
        public: Some(found.is_amazons),
        root_device_name: Some(crate::instances::ROOT_DEVICE.to_owned()),
        root_device_type: Some("ebs".to_owned()),
        state: Some("available".to_owned()),
        tags,
        usage_operation: Some("RunInstances".to_owned()),
        virtualization_type: Some("hvm".to_owned()),
        ..Image::default()
    }
}
