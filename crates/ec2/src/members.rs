//! What a shape reads and writes, as data: the names that stand in its declaration, without a request at hand. The check of
//! parameters, the conformance table and generators of requests look here, so none of them can say other than the shapes do.

/// What a type reads from a parameter, or writes as an element.
pub enum Members {
    /// A value of this type; or something that says no more about itself.
    Whole(&'static str),
    /// A list of these.
    List(fn() -> Members),
    Structure(Vec<Member>),
}

/// A member of a structure.
#[derive(Clone, Copy)]
pub struct Member {
    /// As it stands in the request or in the document.
    pub name: &'static str,
    pub members: fn() -> Members,
    /// A request without it is refused.
    pub is_required: bool,
}

impl Members {
    /// A value of that type.
    pub fn whole<T>() -> Members {
        Members::Whole(std::any::type_name::<T>())
    }

    /// This structure's members and those, at the same level.
    #[must_use]
    pub fn and(self, more: Members) -> Members {
        match (self, more) {
            (Members::Structure(mut all), Members::Structure(more)) => {
                all.extend(more);
                Members::Structure(all)
            }
            (one, _) => one,
        }
    }
}
