//! What several actions share.

use model::Tags;

use crate::Error;

input! {
    /// A tag as it comes in. A missing value is an empty one.
    TagInput {
        key: String = "Key",
        value: Option<String> = "Value",
    }
}

input! {
    /// Tags for what a call creates (spec 1.4.3).
    TagSpecification {
        resource_type: Option<String> = "ResourceType",
        tags: Vec<TagInput> = "Tag",
    }
}

/// Tags in one resource, and the longest key and value in characters.
pub const TAGS_MAX: usize = 50;
const KEY_MAX: usize = 127;
const VALUE_MAX: usize = 256;

impl TagSpecification {
    /// The tags of a call that creates things of these types (the first is the main one), for the type asked for.
    ///
    /// # Errors
    /// `InvalidParameterValue` for another type, an empty list, a key that comes twice, be it in two specifications; what
    /// [`tags_from`] refuses.
    pub fn tags(specifications: &[TagSpecification], allowed: &[&str], wanted: &str) -> Result<Tags, Error> {
        let mut all = Tags::new();
        for specification in specifications {
            let kind = specification.resource_type.as_deref().unwrap_or_default();
            if !allowed.contains(&kind) {
                let message = format!("'{kind}' is not a valid taggable resource type for this operation.");
                return Err(Error::invalid_value(message));
            }
            if specification.tags.is_empty() {
                return Err(Error::invalid_value("Tag specification must have at least one tag"));
            }
            let tags = tags_from(&specification.tags)?;
            if kind != wanted {
                continue;
            }
            for (key, value) in tags {
                add(&mut all, key, value)?;
            }
        }
        check_count(&all)?;
        Ok(all)
    }
}

/// Checked tags.
///
/// # Errors
/// `InvalidParameterValue` for a duplicate key or a text too long, `InvalidTagKey.Malformed` for the reserved prefix,
/// `TagLimitExceeded`.
pub fn tags_from(input: &[TagInput]) -> Result<Tags, Error> {
    let mut tags = Tags::new();
    for tag in input {
        let value = tag.value.clone().unwrap_or_default();
        if tag.key.is_empty() || tag.key.chars().count() > KEY_MAX {
            let why = format!("A tag key has 1 to {KEY_MAX} characters.");
            return Err(Error::invalid_parameter("Tag.Key", &tag.key, &why));
        }
        if tag.key.to_ascii_lowercase().starts_with("aws:") {
            return Err(Error::new(
                "InvalidTagKey.Malformed",
                format!("The tag key '{}' is reserved: choose one that does not start with aws:", tag.key),
            ));
        }
        if value.chars().count() > VALUE_MAX {
            return Err(Error::invalid_parameter(
                "Tag.Value",
                &value,
                &format!("A tag value has at most {VALUE_MAX} characters."),
            ));
        }
        add(&mut tags, tag.key.clone(), value)?;
    }
    check_count(&tags)?;
    Ok(tags)
}

fn add(tags: &mut Tags, key: String, value: String) -> Result<(), Error> {
    if tags.contains_key(&key) {
        return Err(Error::invalid_value(format!("Duplicate tag key '{key}' specified.")));
    }
    tags.insert(key, value);
    Ok(())
}

fn check_count(tags: &Tags) -> Result<(), Error> {
    if tags.len() <= TAGS_MAX {
        return Ok(());
    }
    let message = format!("The request has {} tags, the limit is {TAGS_MAX} for a resource", tags.len());
    Err(Error::new("TagLimitExceeded", message))
}

output! {
    /// The answer of actions that only say that they succeeded.
    Done {
        result: bool = "return",
    }
}

impl Done {
    pub const TRUE: Done = Done { result: true };
}
