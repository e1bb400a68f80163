//! Volumes: sandboxes have none (spec 8.6).

use ec2::Error;
use ec2::page::Page;
use ec2::shapes::catalogue::*;

use super::Handle;
use crate::Cloud;

const VOLUME_FILTERS: &[&str] = &[
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
    "operator.managed",
    "operator.principal",
    "size",
    "snapshot-id",
    "status",
    "volume-id",
    "volume-type",
];

impl Handle for DescribeVolumes {
    fn handle(self, _: &mut Cloud<'_>) -> Result<DescribeVolumesResponse, Error> {
        ec2::filter::check(&self.filters, VOLUME_FILTERS)?;
        let page = Page { max_results: self.max_results, next_token: self.next_token.as_deref() };
        match self.volume_ids.first() {
            Some(id) => Err(Error::not_found(*id)),
            None => {
                let (volume_set, next_token) = page.cut(5..=1000, Vec::new(), String::clone)?;
                Ok(DescribeVolumesResponse { volume_set, next_token })
            }
        }
    }
}
