//! AWS's own parameters: the newest of Amazon's images, by the names that templates ask for them.
//!
//! Invariants:
//! - A public parameter is there exactly if EC2 has an image for it; its value is that image's id.
//! - Nobody can write, tag or delete one.

use ::api::Call;
use ::api::ec2::{DescribeImagesInput, Filter, Image};
use ::api::ssm::Parameter;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use wire::ApiError;
use wire::value::EpochMs;

use crate::errors;
use crate::names::Wanted;
use crate::service::Ssm;

/// Where Amazon's images stand.
const IMAGES: &str = "/aws/service/ami-amazon-linux-latest";

/// Names below [`IMAGES`], with the processor's place, and the pattern of the images' names: al2023 is Amazon Linux
/// 2023, amzn2 is Amazon Linux 2, amzn the first.
const NAMES: &[(&str, &str)] = &[
    ("al2023-ami-kernel-6.1-ARCH", "al2023-ami-*"),
    ("al2023-ami-kernel-6.12-ARCH", "al2023-ami-*"),
    ("al2023-ami-kernel-default-ARCH", "al2023-ami-*"),
    ("al2023-ami-minimal-kernel-6.1-ARCH", "al2023-ami-*"),
    ("al2023-ami-minimal-kernel-default-ARCH", "al2023-ami-*"),
    ("amzn-ami-hvm-ARCH-ebs", "amzn-ami-hvm-*"),
    ("amzn-ami-hvm-ARCH-gp2", "amzn-ami-hvm-*"),
    ("amzn2-ami-hvm-ARCH-ebs", "amzn2-ami-hvm-*"),
    ("amzn2-ami-hvm-ARCH-gp2", "amzn2-ami-hvm-*"),
    ("amzn2-ami-kernel-5.10-hvm-ARCH-ebs", "amzn2-ami-hvm-*"),
    ("amzn2-ami-kernel-5.10-hvm-ARCH-gp2", "amzn2-ami-hvm-*"),
    ("amzn2-ami-minimal-hvm-ARCH-ebs", "amzn2-ami-hvm-*"),
];
const ARCHITECTURES: [&str; 2] = ["arm64", "x86_64"];

/// Whether the path is AWS's own.
pub(crate) fn is_public(path: &str) -> bool {
    path.get(..5).is_some_and(|start| start.eq_ignore_ascii_case("/aws/")) || path.eq_ignore_ascii_case("/aws")
}

/// Every public name, the processor that it is for, and the pattern of its images' names.
fn known() -> impl Iterator<Item = (String, &'static str, &'static str)> {
    NAMES.iter().flat_map(|(name, pattern)| {
        ARCHITECTURES.iter().map(move |arch| (format!("{IMAGES}/{}", name.replace("ARCH", arch)), *arch, *pattern))
    })
}

impl Ssm {
    /// The public parameter of this name.
    pub(crate) async fn public(&self, call: &Call, wanted: &Wanted) -> Result<Parameter, ApiError> {
        let missing = || errors::not_found(&wanted.asked);
        let (path, arch, pattern) = known().find(|(path, ..)| *path == wanted.path).ok_or_else(missing)?;
        // There is one version: the image that is newest.
        if wanted.selector.as_deref().is_some_and(|selector| selector != "1") {
            return Err(errors::version_not_found(&path, wanted.selector.as_deref().unwrap_or_default()));
        }
        let image = self.newest(call, arch, pattern).await?.ok_or_else(missing)?;
        let mut parameter = answered(call, path, &image);
        parameter.selector = wanted.selector.as_ref().map(|selector| format!(":{selector}"));
        Ok(parameter)
    }

    /// The public parameters below a path.
    pub(crate) async fn public_below(
        &self,
        call: &Call,
        path: &str,
        recursive: bool,
    ) -> Result<Vec<Parameter>, ApiError> {
        let mut below = Vec::new();
        for (name, arch, pattern) in known() {
            let Some(rest) = name.strip_prefix(path).and_then(|rest| rest.strip_prefix('/')) else { continue };
            if !recursive && rest.contains('/') {
                continue;
            }
            if let Some(image) = self.newest(call, arch, pattern).await? {
                below.push(answered(call, name, &image));
            }
        }
        below.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(below)
    }

    /// Amazon's newest image of such a name.
    async fn newest(&self, call: &Call, arch: &str, pattern: &str) -> Result<Option<Image>, ApiError> {
        let filter = |name: &str, value: &str| Filter { name: Some(name.into()), values: vec![value.into()] };
        let input = DescribeImagesInput {
            owners: vec!["amazon".to_owned()],
            filters: vec![filter("name", pattern), filter("architecture", arch)],
            ..DescribeImagesInput::default()
        };
        let found = self.inner.images.describe(call, input).await.map_err(|error| {
            tracing::error!(%error, "EC2 does not tell its images");
            errors::internal()
        })?;
        Ok(found.into_iter().max_by(|a, b| a.creation_date.cmp(&b.creation_date)))
    }
}

fn answered(call: &Call, path: String, image: &Image) -> Parameter {
    let created = image.creation_date.as_deref().and_then(|text| OffsetDateTime::parse(text, &Rfc3339).ok());
    let created = created.map(|at| EpochMs(at.unix_timestamp() * 1000));
    Parameter {
        arn: Some(format!("arn:aws:ssm:{}::parameter{path}", call.region)),
        name: Some(path),
        r#type: Some("String".to_owned()),
        value: image.image_id.clone(),
        version: Some(1),
        selector: None,
        source_result: None,
        last_modified_date: created,
        data_type: Some("text".to_owned()),
    }
}
