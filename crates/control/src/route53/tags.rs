//! Tags of zones; Route 53 counts and names them by itself.

use ec2::Error;
use ec2::route53::*;
use model::HostedZone;

use super::Desk;

/// Tags of one zone, and of one call (Route 53's quotas).
const TAGS_MAX: usize = 50;
const TAGS_OF_CALL_MAX: usize = 10;
const KEY_MAX: usize = 128;
const VALUE_MAX: usize = 256;
const IDS_OF_CALL_MAX: usize = 10;

impl Desk<'_> {
    pub(super) fn change_tags(
        &mut self,
        id: &str,
        add: Vec<(String, String)>,
        remove: &[String],
    ) -> Result<Nothing, Error> {
        let mut zone = self.zone(id)?.clone();
        if add.is_empty() && remove.is_empty() {
            return Err(invalid_input("The request must contain AddTags or RemoveTagKeys"));
        }
        if add.len() > TAGS_OF_CALL_MAX || remove.len() > TAGS_OF_CALL_MAX {
            return Err(invalid_input(format!("One request adds and removes at most {TAGS_OF_CALL_MAX} tags each")));
        }
        for (key, value) in &add {
            let is_right = (1..=KEY_MAX).contains(&key.chars().count()) && value.chars().count() <= VALUE_MAX;
            if !is_right || key.to_ascii_lowercase().starts_with("aws:") {
                return Err(invalid_input(format!(
                    "The tag '{key}' is not valid: a key has 1 to {KEY_MAX} characters and does not begin with aws:, a value has at most {VALUE_MAX}"
                )));
            }
        }
        zone.tags.retain(|key, _| !remove.contains(key));
        zone.tags.extend(add);
        if zone.tags.len() > TAGS_MAX {
            return Err(invalid_input(format!("The hosted zone {id} would have more than {TAGS_MAX} tags")));
        }
        self.put(zone);
        Ok(Nothing {})
    }

    pub(super) fn tags(&self, id: &str) -> Result<TagsResponse, Error> {
        Ok(TagsResponse { set: tag_set(self.zone(id)?) })
    }

    pub(super) fn tags_of_several(&self, ids: &[String]) -> Result<TagsOfSeveralResponse, Error> {
        if ids.is_empty() || ids.len() > IDS_OF_CALL_MAX {
            return Err(invalid_input(format!("One request names 1 to {IDS_OF_CALL_MAX} hosted zones")));
        }
        let sets = ids.iter().map(|id| self.zone(id).map(tag_set)).collect::<Result<_, Error>>()?;
        Ok(TagsOfSeveralResponse { sets: List::new("ResourceTagSet", sets) })
    }
}

fn tag_set(zone: &HostedZone) -> ResourceTagSet {
    let tags = zone.tags.iter().map(|(key, value)| TagItem { key: key.clone(), value: value.clone() });
    ResourceTagSet { resource_type: "hostedzone", resource_id: zone.id.clone(), tags: List::new("Tag", tags.collect()) }
}
