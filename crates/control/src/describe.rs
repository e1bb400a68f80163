//! What all Describe actions share: ids, filters, pages (spec 1.3.9-1.3.11).
//!
//! What is asked for is looked for where it must stand ([`model::lookup`]): under a named id, an exact tag, what a filter names, or else the
//! caller's account. Every filter is then held against all that was found there.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::ops::Bound;
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

    /// Where all stand that have that value under that filter; `None`: they must be looked for everywhere.
    fn place(_cloud: &Cloud<'_>, _filter: &str, _value: &str) -> Option<Place<Self::Id>> {
        None
    }
}

/// Where things are looked for.
pub enum Place<Id> {
    /// Among these, which may not exist.
    At(Vec<Id>),
    /// Among all that stand there.
    Under(By),
}

impl<Id: ResourceId> Place<Id> {
    /// The one of that id; none for a text that is no id.
    pub fn of_id(text: &str) -> Option<Place<Id>> {
        Some(Place::At(text.parse().into_iter().collect()))
    }

    /// Those that name that id; `None` for a text that is no id.
    pub fn naming<Named: ResourceId>(text: &str) -> Option<Place<Id>> {
        text.parse::<Named>().ok().map(|id| Place::Under(By::id(id)))
    }

    /// Those that have that address.
    pub fn of_address(text: &str) -> Option<Place<Id>> {
        text.parse::<IpAddr>().ok().map(|address| Place::Under(By::address(address)))
    }

    /// Those that have that block.
    pub fn of_block(text: &str) -> Option<Place<Id>> {
        text.split_once('/').and_then(|(first, _)| Place::of_address(first))
    }

    /// Those that are called so, or of which one thing is.
    pub fn of_name(text: &str) -> Option<Place<Id>> {
        (!text.is_empty()).then(|| Place::Under(By::name(text)))
    }
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
        self.select_where(query, E::FILTERS, allowed, |found: &E| self.passes(found, query.filters))
    }

    /// The same for who has filters of its own: `known`, and what passes them and is asked for beside them.
    ///
    /// # Errors
    /// As [`Cloud::select`].
    pub(crate) fn select_where<E: Describe>(
        &self,
        query: Query<'_, E::Id>,
        known: &[&str],
        allowed: std::ops::RangeInclusive<i32>,
        is_wanted: impl Fn(&E) -> bool,
    ) -> Result<(Vec<Arc<E>>, Option<String>), Error>
    where
        E::Id: IdCodes,
    {
        query.check(known)?;
        query.page.check::<E::Id>()?;
        for id in query.ids {
            let found = self.world().find::<E>(id).is_some_and(|found| found.is_visible(self));
            if !found {
                return Err(Error::not_found(*id));
            }
        }
        let is_wanted = |found: &&Arc<E>| found.is_visible(self) && is_wanted(found);
        let places = self.places::<E>(&query);
        // Ids are made in the long form only, so they lie in the order of their texts.
        let after = query.page.after().and_then(|key| key.parse::<E::Id>().ok());
        let items = self.candidates::<E>(&places, after);
        let (page, token) = query.page.sift(allowed, items, |found| found.id().to_string(), is_wanted)?;
        Ok((page.into_iter().cloned().collect(), token))
    }

    fn passes<E: Describe>(&self, found: &E, filters: &[Filter]) -> bool {
        passes(filters, found.tags(self), |name| found.values(self, name))
    }

    /// Where all stand that the caller may see and that pass the filters: the places with the fewest. `None`: look everywhere.
    fn places<E: Describe>(&self, query: &Query<'_, E::Id>) -> Option<Vec<Place<E::Id>>>
    where
        E::Id: ResourceId,
    {
        if !query.ids.is_empty() {
            return Some(vec![Place::At(query.ids.to_vec())]);
        }
        let own = vec![Place::Under(By::account(self.caller.account))];
        self.fewest::<E>(query.filters.iter().filter_map(|filter| self.places_of::<E>(filter)).chain([own]))
    }

    /// The places with the fewest things in them; `None`: look everywhere.
    pub(crate) fn fewest<E: Entity>(
        &self,
        places: impl Iterator<Item = Vec<Place<E::Id>>>,
    ) -> Option<Vec<Place<E::Id>>> {
        let places = places.map(|places| (self.how_many::<E>(&places), places));
        let (least, places) = places.min_by_key(|(count, _)| *count)?;
        // To go from place to place costs more than to pass by what is not wanted.
        (least <= E::map(self.world()).size() / 4).then_some(places)
    }

    /// Where all stand that pass the filter.
    fn places_of<E: Describe>(&self, filter: &Filter) -> Option<Vec<Place<E::Id>>> {
        let under = |by| Some(Place::Under(by));
        let place = |value: &String| match filter.name.as_str() {
            _ if !ec2::filter::is_exact(value) => None,
            "tag-key" => under(By::tag_key(value)),
            "tag-value" => under(By::tag_value(value)),
            name => match name.strip_prefix("tag:") {
                Some(key) => under(By::tag(key, value)),
                None => E::place(self, name, value),
            },
        };
        filter.values.iter().map(place).collect()
    }

    fn how_many<E: Entity>(&self, places: &[Place<E::Id>]) -> usize {
        let count = |place: &Place<E::Id>| match place {
            Place::At(ids) => ids.len(),
            Place::Under(by) => self.world().count_by::<E>(*by),
        };
        places.iter().map(count).sum()
    }

    /// Everything in these places after that one, in order of id.
    pub(crate) fn candidates<E: Entity + 'static>(
        &self,
        places: &Option<Vec<Place<E::Id>>>,
        after: Option<E::Id>,
    ) -> Box<dyn Iterator<Item = &Arc<E>> + '_>
    where
        E::Id: ResourceId,
    {
        let world = self.world();
        match places.as_deref() {
            None => {
                let from = after.map_or(Bound::Unbounded, Bound::Excluded);
                Box::new(E::map(world).range((from, Bound::Unbounded)).map(|(_, found)| found))
            }
            Some([Place::Under(by)]) => Box::new(world.by_after::<E>(*by, after)),
            Some(places) => {
                let ids: BTreeSet<E::Id> = places.iter().flat_map(|place| self.ids_in::<E>(place)).collect();
                let rest = ids.into_iter().filter(move |id| after.is_none_or(|after| *id > after));
                Box::new(rest.filter_map(|id| world.find::<E>(&id)))
            }
        }
    }

    fn ids_in<E: Entity + 'static>(&self, place: &Place<E::Id>) -> Vec<E::Id>
    where
        E::Id: ResourceId,
    {
        match place {
            Place::At(ids) => ids.clone(),
            Place::Under(by) => self.world().by::<E>(*by).map(|found| found.id()).collect(),
        }
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
