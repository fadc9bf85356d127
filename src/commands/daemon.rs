//! `ghbk daemon`: the schedule, the signals, systemd.

use super::{Context, require_owners};
use crate::daemon::Daemon;
use crate::error::{Error, Exit};

pub(super) async fn daemon(context: Context) -> Result<Exit, Error> {
    require_owners(&context.config)?;
    let Context { config, global, .. } = context;
    let reload = move || {
        let config = super::load_config(&global)?;
        require_owners(&config)?;
        Ok(config)
    };
    Daemon::new(config, Box::new(reload)).stay().await
}
