//! Volumes: there are none. An instance's disk is part of it, and goes with it.
//!
//! Invariant: what is asked for by id is not there, and says so.

use api::ec2::*;
use store::View;

use crate::errors;
use crate::errors::Refusal;
use crate::filters::Filters;
use crate::paging::Page;
use crate::request::Request;

const KNOWN: &[&str] = &[
    "attachment.attach-time",
    "attachment.delete-on-termination",
    "attachment.device",
    "attachment.instance-id",
    "attachment.status",
    "availability-zone",
    "availability-zone-id",
    "create-time",
    "encrypted",
    "fast-restored",
    "multi-attach-enabled",
    "size",
    "snapshot-id",
    "status",
    "volume-id",
    "volume-type",
];

pub(crate) fn describe(
    _: &View<'_>,
    _: &Request,
    input: DescribeVolumesInput,
) -> Result<DescribeVolumesOutput, Refusal> {
    Filters::parse(input.filters, KNOWN)?;
    Page::parse(input.max_results, input.next_token.as_deref())?;
    match input.volume_ids.first() {
        Some(id) => Err(errors::not_found("vol", id)),
        None => Ok(DescribeVolumesOutput::default()),
    }
}
