//! `ghbk list`: inventory and plan, without doing anything.

use super::{Context, named, open_store, print, print_json, require_owners};
use crate::blocking::on_store;
use crate::config::Config;
use crate::error::{Error, Exit};
use crate::github::http_client;
use crate::names::Wanted;
use crate::outside::{Outside, take_inventory};
use crate::plan::{known, plan};
use crate::report::list;
use crate::secrets::{self, env_var};
use crate::store::{Index, StoreError, host_of};
use crate::typed::Typed;

pub(super) async fn list(context: &Context, repositories: Vec<Typed<Wanted>>) -> Result<Exit, Error> {
    let config = &context.config;
    let selection = named(context, repositories).await?;
    if selection.is_empty() {
        require_owners(config)?;
    }
    let for_store = config.clone();
    // A root that does not exist yet is a store without mirrors.
    let missing = !config.store.requires_mount() && !config.store.root.exists();
    let index = if missing { Index::default() } else { on_store(move || index_for_github(&for_store)).await? };
    let secret = secrets::read(config, &env_var).await.github?;
    let outside = Outside::new(config, &secret, http_client(&config.github, config.limits.stall_timeout)?)?;
    let mut inventory = take_inventory(config, &outside, &selection, &known(&index)).await;
    if selection.is_empty() {
        inventory.compare_with(&index.listed_by_owner);
    }
    let plan = plan(&inventory, &index);
    let entries = list::entries(&plan, &index);
    if context.global.json {
        print_json(&entries)?;
    } else {
        print(&list::text(&entries))?;
    }
    for warning in &inventory.warnings {
        tracing::warn!("{warning}");
    }
    for conflict in &plan.conflicts {
        tracing::error!(repository = %conflict.repository, "{}", conflict.error);
    }
    for failure in &inventory.failures {
        tracing::error!(subject = %failure.subject, hint = %failure.hint, "{}", failure.error);
    }
    Ok(match (inventory.failures.is_empty() && plan.conflicts.is_empty(), inventory.repositories.is_empty()) {
        (true, _) => Exit::Good,
        (false, false) => Exit::Partial,
        (false, true) => Exit::Impossible,
    })
}

/// Reads the index, if the store belongs to the GitHub that is about to be asked.
fn index_for_github(config: &Config) -> Result<Index, StoreError> {
    let store = open_store(config)?;
    store.check_host(&host_of(&config.github.api_url))?;
    Index::current(&store)
}
