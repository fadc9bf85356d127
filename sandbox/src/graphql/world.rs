//! What one request can reach, and under which limits.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use apollo_compiler::resolvers::FieldError;

use super::error;
use super::limits::GraphqlLimits;
use super::thing::{ItemRef, Site, Thing};
use crate::repositories::{Catalogue, Found, FullName, Repository};
use crate::rest::{Caller, Permission, parts_of_node_id, refusal};
use crate::server::Origin;
use crate::state::State;
use crate::tracker::parts_of_id;

/// The repositories, the caller and the limits of one request.
pub(super) struct World<'a> {
    pub(super) state: &'a State,
    pub(super) origin: &'a Origin,
    pub(super) caller: Caller,
    pub(super) catalogue: Catalogue,
    /// What the request costs.
    pub(super) points: u32,
    /// How many nodes it asks for.
    pub(super) nodes: u64,
    pub(super) limits: GraphqlLimits,
    /// How many nodes of a list are answered before the resources of the request are used up; none if there is no limit.
    pub(super) complete: Option<usize>,
    pub(super) sites: RefCell<HashMap<u64, Rc<Site>>>,
}

impl World<'_> {
    /// Finds a repository by its full name, present or former.
    pub(super) fn repository(&self, owner: &str, name: &str) -> Result<Thing, FieldError> {
        let full_name = FullName::new(owner, name);
        let found = full_name.and_then(|name| self.catalogue.find(&name));
        let repository = found.map(|found| match found {
            Found::Here(repository) | Found::Moved(repository) => repository,
        });
        match repository.filter(|repository| self.caller.sees(self.state, repository)) {
            Some(repository) => Ok(Thing::Repository(self.site(&repository)?)),
            None => Err(error::typed(
                "NOT_FOUND",
                &format!("Could not resolve to a Repository with the name '{owner}/{name}'."),
            )),
        }
    }

    /// Finds a repository, an issue or a pull request by the identifier that REST shows, too.
    pub(super) fn node(&self, id: &str) -> Result<Thing, FieldError> {
        let absent = || error::typed("NOT_FOUND", &format!("Could not resolve to a node with the global id of '{id}'"));
        let (kind, number) = parts_of_node_id(id).ok_or_else(absent)?;
        let (repository, serial) =
            if kind == "Repository" { (number, None) } else { (parts_of_id(number).0, Some(parts_of_id(number).1)) };
        let repository = self.catalogue.by_id(repository).filter(|found| self.caller.sees(self.state, found));
        let site = self.site(repository.ok_or_else(absent)?)?;
        let Some(serial) = serial else { return Ok(Thing::Repository(site)) };
        let number = site.loaded.number(serial).ok_or_else(absent)?;
        let thing = Thing::Item(ItemRef { site, number });
        // The issue that each pull request also is has no identifier.
        if thing.type_name() != kind {
            return Err(absent());
        }
        self.allow(if kind == "Issue" { Permission::Issues } else { Permission::PullRequests })?;
        Ok(thing)
    }

    /// Fails unless the token has a permission.
    pub(super) fn allow(&self, needed: Permission) -> Result<(), FieldError> {
        if self.state.permissions.allow(needed) {
            return Ok(());
        }
        Err(error::typed("FORBIDDEN", refusal(self.caller)))
    }

    /// Opens what is written in a repository, once for the request.
    fn site(&self, repository: &Repository) -> Result<Rc<Site>, FieldError> {
        if let Some(site) = self.sites.borrow().get(&repository.id) {
            return Ok(Rc::clone(site));
        }
        let loaded =
            self.state.trackers.read(&repository.path).map_err(|error| {
                error::typed("", &format!("the issues of {} cannot be read: {error}", repository.name))
            })?;
        let site = Rc::new(Site { repository: repository.clone(), loaded });
        self.sites.borrow_mut().insert(repository.id, Rc::clone(&site));
        Ok(site)
    }

    /// Returns a thing inside of a list, unless the test has broken it.
    pub(super) fn listed(&self, place: usize, thing: Thing) -> Result<Thing, FieldError> {
        if self.complete.is_some_and(|complete| place >= complete) {
            return Err(error::typed("RESOURCE_LIMITS_EXCEEDED", "Resource limits for this query exceeded."));
        }
        if self.limits.unreadable.is_some() && self.limits.unreadable == thing.id() {
            return Err(error::typed("", "Something went wrong while executing your query."));
        }
        Ok(thing)
    }
}
