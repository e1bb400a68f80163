//! A World as records in a store, and back.

pub(crate) use store::world::{load, transaction};
