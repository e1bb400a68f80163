//! What all Describe actions share: ids, filters, pages (spec 1.3.9-1.3.11).

use std::sync::Arc;

use ec2::page::Page;
use ec2::{Error, Filter, IdCodes};
use model::*;

use crate::Cloud;

/// A kind that can be described.
pub trait Describe: Entity + 'static {
    /// The names of its filters, without `tag:<key>` and `tag-key`, which all have.
    const FILTERS: &'static [&'static str];

    /// The caller may see it.
    fn is_visible(&self, cloud: &Cloud<'_>) -> bool;

    fn tags<'t>(&'t self, cloud: &Cloud<'_>) -> &'t Tags;

    /// What a filter of that name is held against: every value that it has there.
    fn values(&self, cloud: &Cloud<'_>, filter: &str) -> Vec<String>;
}

/// What a Describe request asks for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Query<'q, Id> {
    pub ids: &'q [Id],
    pub filters: &'q [Filter],
    pub page: Page<'q>,
}

impl Cloud<'_> {
    /// The things asked for, in order of id, and the token of the next page.
    ///
    /// # Errors
    /// NotFound for the first id that is unknown or not visible; `InvalidParameterCombination` for ids with MaxResults;
    /// `InvalidNextToken` for a token of another kind; what filters and pages refuse.
    pub fn select<E: Describe>(
        &self,
        query: Query<'_, E::Id>,
        allowed: std::ops::RangeInclusive<i32>,
    ) -> Result<(Vec<Arc<E>>, Option<String>), Error>
    where
        E::Id: IdCodes,
    {
        query.check(E::FILTERS)?;
        query.page.check::<E::Id>()?;
        for id in query.ids {
            let found = self.world().find::<E>(id).is_some_and(|found| found.is_visible(self));
            if !found {
                return Err(Error::not_found(*id));
            }
        }
        let wanted = |found: &Arc<E>| {
            (query.ids.is_empty() || query.ids.contains(&found.id()))
                && found.is_visible(self)
                && self.passes(&**found, query.filters)
        };
        let items = self.world().all::<E>().filter(|found| wanted(found)).cloned();
        query.page.cut(allowed, items, |found| found.id().to_string())
    }

    fn passes<E: Describe>(&self, found: &E, filters: &[Filter]) -> bool {
        passes(filters, found.tags(self), |name| found.values(self, name))
    }
}

impl<Id> Query<'_, Id> {
    /// What is wrong with a question whatever there is.
    ///
    /// # Errors
    /// `InvalidParameterCombination` for ids with MaxResults, `InvalidParameterValue` for a filter that is not `known`.
    pub fn check(&self, known: &[&str]) -> Result<(), Error> {
        if !self.ids.is_empty() && self.page.max_results.is_some() {
            let message = "MaxResults cannot be used together with a list of ids; leave one of them out";
            return Err(Error::invalid_combination(message));
        }
        ec2::filter::check(self.filters, known)
    }
}

/// Every filter is passed by one of the thing's tags, or of the values that it has under the filter's name.
pub fn passes(filters: &[Filter], tags: &Tags, values: impl Fn(&str) -> Vec<String>) -> bool {
    filters.iter().all(|filter| match filter.name.as_str() {
        "tag-key" => ec2::filter::any_matches(&filter.values, tags.keys().map(String::as_str)),
        "tag-value" => ec2::filter::any_matches(&filter.values, tags.values().map(String::as_str)),
        name => match name.strip_prefix("tag:") {
            Some(key) => ec2::filter::any_matches(&filter.values, tags.get(key).map(String::as_str)),
            None => ec2::filter::any_matches(&filter.values, values(name).iter().map(String::as_str)),
        },
    })
}
