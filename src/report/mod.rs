//! Turns outcomes into words: for the terminal, for scripts, for Slack. Pure except for the progress bars.

pub mod diff;
pub mod health;
pub mod list;
pub mod log;
mod parts;
pub mod progress;
pub mod repository;
pub mod restore;
pub mod restore_all;
pub mod show;
pub mod slack;
pub mod snapshots;
pub mod status;
pub mod summary;
pub mod verify;

use chrono::{DateTime, TimeDelta, Utc};

pub(crate) use crate::text::{count, size};

/// Formats a length of time in the two units that matter.
fn duration(time: TimeDelta) -> String {
    let seconds = time.num_seconds().max(0);
    match (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60, seconds % 60) {
        (0, 0, 0, 0) => format!("{} ms", time.num_milliseconds().max(0)),
        (0, 0, 0, s) => format!("{s} s"),
        (0, 0, m, s) => format!("{m} min {s} s"),
        (0, h, m, _) => format!("{h} h {m} min"),
        (d, 0, _, _) => format!("{d} d"),
        (d, h, _, _) => format!("{d} d {h} h"),
    }
}

/// Counts the hours between two times, to a tenth; 0 if the clock was set back.
pub(crate) fn hours_between(earlier: DateTime<Utc>, later: DateTime<Utc>) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "minutes since a backup fit")]
    let minutes = (later - earlier).num_minutes().max(0) as f64;
    (minutes / 6.0).round() / 10.0
}

#[cfg(test)]
pub(crate) mod samples {
    //! A run with something of everything, for the snapshot tests.

    use std::collections::BTreeMap;

    use crate::names::RunId;
    use crate::outcome::*;

    fn large_files() -> PartSums {
        let counts = |counts: &[(&str, u64)]| counts.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect();
        PartSums {
            states: BTreeMap::from([(PartState::Updated, 2), (PartState::Absent, 1)]),
            counts: counts(&[
                ("downloaded", 12),
                ("downloaded_bytes", 31_457_280),
                ("linked", 2),
                ("linked_bytes", 2_048),
            ]),
            totals: counts(&[("stored", 40), ("stored_bytes", 99_999_999), ("absent", 3), ("accepted", 2)]),
        }
    }

    pub(crate) fn eventful() -> RunSummary {
        let started_at = "2026-11-28T20:00:00Z".parse().unwrap();
        let run = RunHeader {
            run_id: RunId::at(started_at),
            trigger: Trigger::Schedule,
            selection: vec![],
            is_narrowed: false,
            started_at,
        };
        let finished_at = "2026-11-28T20:03:25Z".parse().unwrap();
        RunSummary {
            status: RunStatus::Partial,
            counts: Counts {
                listed: 203,
                created: 2,
                updated: 11,
                unchanged: 188,
                renamed: 1,
                gone: 1,
                failed: 2,
                failures: 3,
                not_reached: 0,
            },
            parts: BTreeMap::from([
                (Kind::Refs, PartSums { states: BTreeMap::from([(PartState::Unchanged, 188)]), ..PartSums::default() }),
                (Kind::LargeFiles, large_files()),
            ]),
            bytes_received: 48_123_456,
            retryable: vec![],
            failures: vec![
                Failure {
                    repository: "acme/<!channel>".to_owned(),
                    stage: Stage::Stage,
                    error: "the git server answered 502 Bad Gateway".to_owned(),
                    hint: "run again; if it persists, see githubstatus.com".to_owned(),
                },
                Failure {
                    repository: "acme/site.wiki".to_owned(),
                    stage: Stage::Publish,
                    error: "cannot write /mnt/efs/acme/site.wiki.git/packed-refs: Input/output error".to_owned(),
                    hint: "check its file system and the mount".to_owned(),
                },
                Failure {
                    repository: "acme/left".to_owned(),
                    stage: Stage::Verify,
                    error: "the mirror is damaged: the checksum of pack-1.pack is wrong".to_owned(),
                    hint: "GitHub no longer has it; `ghbk restore 7 DEST` saves what can be read".to_owned(),
                },
            ],
            warnings: vec!["acme: GitHub lists 203 repositories, 240 at the last run".to_owned()],
            created: vec!["acme/api".parse().unwrap(), "acme/new".parse().unwrap()],
            renamed: vec![Renamed { from: "acme/old".parse().unwrap(), to: "acme/better".parse().unwrap() }],
            gone: vec!["acme/left".parse().unwrap()],
            newly_gone: vec!["acme/left".parse().unwrap()],
            stored: Holdings { repositories: 212, bytes: 19_800_000_000 },
            moved_away: Vec::new(),
            force_pushed: vec![ForcePushed {
                repository: "acme/api".parse().unwrap(),
                refs: vec!["refs/heads/main".to_owned(), "refs/tags/v1".to_owned()],
            }],
            deleted: vec![ForcePushed {
                repository: "acme/new".parse().unwrap(),
                refs: vec!["refs/heads/feature/one".to_owned()],
            }],
            dropped: vec![DroppedFrom {
                repository: "acme/api".parse().unwrap(),
                dropped: Dropped { snapshots: 12, tips: 1 },
            }],
            proof: Proof {
                large_files_verified: 40,
                mirrors_verified: 17,
                objects_verified: 1_234_567,
                bytes_verified: 812_345_678,
                damaged: vec!["acme/left".to_owned()],
                restored: Some(RestoreProof {
                    repository: "acme/api".parse().unwrap(),
                    snapshot_time: "2026-11-21T20:00:12Z".parse().unwrap(),
                    refs: 12,
                    objects: 12_345,
                    duration_milliseconds: 3_210,
                }),
            },
            listed_by_owner: BTreeMap::from([("acme".to_owned(), 203)]),
            ..RunSummary::new(run, RunEnd::Finished, finished_at, Happened::default())
        }
    }

    /// A run that was told to stop midway.
    pub(crate) fn cut_off() -> RunSummary {
        RunSummary {
            status: RunStatus::Cancelled,
            counts: Counts { listed: 203, unchanged: 150, updated: 1, not_reached: 52, ..Counts::default() },
            ..quiet()
        }
    }

    pub(crate) fn quiet() -> RunSummary {
        RunSummary {
            status: RunStatus::Ok,
            counts: Counts { listed: 203, unchanged: 203, ..Counts::default() },
            parts: BTreeMap::new(),
            bytes_received: 0,
            failures: vec![],
            warnings: vec![],
            created: vec![],
            renamed: vec![],
            gone: vec![],
            newly_gone: vec![],
            stored: Holdings { repositories: 212, bytes: 19_800_000_000 },
            moved_away: Vec::new(),
            force_pushed: vec![],
            deleted: vec![],
            dropped: vec![],
            unmerged: vec![],
            proof: Proof { damaged: vec![], ..eventful().proof },
            ..eventful()
        }
    }
}
