//! The executor's view of a thing: one callback for each field.

use apollo_compiler::resolvers::{FieldError, ObjectValue, ResolveInfo, ResolvedValue};

use super::connection::Connection;
use super::thing::{Found, Thing};
use super::world::World;
use super::{fields_item, fields_repository, fields_small, neutral};

/// A thing in its world.
pub(super) struct Object<'a> {
    pub(super) world: &'a World<'a>,
    pub(super) thing: Thing,
}

impl ObjectValue for Object<'_> {
    fn type_name(&self) -> &str {
        self.thing.type_name()
    }

    fn resolve_field<'a>(&'a self, info: &'a ResolveInfo<'a>) -> Result<ResolvedValue<'a>, FieldError> {
        let found = match self.known(info)? {
            Found::Unknown => neutral::value(info.schema(), &info.field_definition().ty),
            known => known,
        };
        match found {
            Found::Leaf(value) => Ok(ResolvedValue::leaf(value)),
            Found::Thing(thing) => Ok(self.object(thing)),
            Found::Items(items) => Ok(self.object(Thing::Connection(Connection::cut(info, items, None)?))),
            Found::Counted(items, total) => {
                Ok(self.object(Thing::Connection(Connection::cut(info, items, Some(total))?)))
            }
            Found::List(things) => {
                let listed = |(place, thing): (usize, Result<Thing, FieldError>)| {
                    let thing = thing.and_then(|thing| self.world.listed(place, thing));
                    self.object(thing.unwrap_or_else(|error| Thing::Failed(error.message)))
                };
                Ok(ResolvedValue::list(things.into_iter().enumerate().map(listed)))
            }
            Found::Unknown => Ok(ResolvedValue::null()),
        }
    }
}

impl Object<'_> {
    fn object(&self, thing: Thing) -> ResolvedValue<'_> {
        ResolvedValue::object(Object { world: self.world, thing })
    }

    /// Returns what the model knows of a field.
    fn known(&self, info: &ResolveInfo<'_>) -> Result<Found, FieldError> {
        let (world, name) = (self.world, info.field_name());
        if name == "id"
            && let Some(id) = self.thing.id()
        {
            return Ok(Found::leaf(id));
        }
        match &self.thing {
            Thing::Query => fields_repository::of_query(world, info),
            Thing::Repository(site) => fields_repository::of_repository(world, site, info),
            Thing::Owner(site) => Ok(fields_small::of_account(world, &site.repository.owner, name)),
            Thing::Label(site, label) => Ok(fields_repository::of_label(world, site, label, name)),
            Thing::Milestone(site, number) => fields_repository::of_milestone(world, site, *number, info),
            Thing::Item(item) => Ok(fields_item::of_item(world, item, info)),
            Thing::Comment(item, position) => Ok(fields_small::of_comment(world, item, *position, name)),
            Thing::Review(item, position) => Ok(fields_small::of_review(world, item, *position, name)),
            Thing::LineComment(item, position) => Ok(fields_small::of_line_comment(world, item, *position, name)),
            Thing::Thread(item, position) => Ok(fields_small::of_thread(item, *position, name)),
            Thing::Event(item, position) => Ok(fields_small::of_event(world, item, *position, name)),
            Thing::Connection(connection) => Ok(connection.field(name)),
            Thing::PageInfo(connection) => Ok(connection.page_field(name)),
            Thing::Edge(connection, place) => Ok(connection.edge_field(*place, name)),
            Thing::RateLimit => Ok(fields_small::of_rate_limit(world, name)),
            Thing::Person(login) => Ok(fields_small::of_person(world, login, name)),
            Thing::Branch(site, branch) => Ok(fields_small::of_branch(site, branch, name)),
            Thing::Commit(site, oid) => Ok(fields_small::of_commit(site, oid, name)),
            Thing::PullCommit(item) => Ok(fields_small::of_pull_commit(item, name)),
            Thing::Reactions(content, count) => Ok(fields_small::of_reactions(content, *count, name)),
            Thing::Neutral(_) | Thing::Failed(_) => Ok(Found::Unknown),
        }
    }
}
