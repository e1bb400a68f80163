//! The way between hosts: super-frames are cut to fit, and joined again.

mod build;
mod coalesce;
mod segment;
