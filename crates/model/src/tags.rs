//! Labels that users hang on resources (spec 1.4).

use alloc::collections::BTreeMap;
use alloc::string::String;

/// Key to value, in order of key. Limits (50 a resource, lengths, the reserved prefix) are checked where tags come in.
pub type Tags = BTreeMap<String, String>;
