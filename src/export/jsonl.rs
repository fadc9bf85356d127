//! Lines of JSON, for scripts.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;

use serde_json::Value;

use super::{Exported, Rest, Writer};
use crate::metadata::read::item::Item;

/// Writes `issues.jsonl`, `labels.jsonl` and `milestones.jsonl`.
pub(super) struct Lines {
    folder: PathBuf,
    issues: BufWriter<File>,
}

impl Lines {
    pub(super) fn begin(folder: PathBuf) -> io::Result<Self> {
        let issues = BufWriter::new(File::create_new(folder.join("issues.jsonl"))?);
        Ok(Self { folder, issues })
    }
}

impl Writer for Lines {
    fn add(&mut self, item: &Item<'_>) -> io::Result<()> {
        write_line(&mut self.issues, item.file)
    }

    fn finish(mut self: Box<Self>, _: &Exported, rest: &Rest) -> io::Result<()> {
        self.issues.flush()?;
        for (name, values) in [("labels.jsonl", &rest.labels), ("milestones.jsonl", &rest.milestones)] {
            let mut file = BufWriter::new(File::create_new(self.folder.join(name))?);
            for value in values.iter().filter_map(Value::as_array).flatten() {
                write_line(&mut file, value)?;
            }
            file.flush()?;
        }
        Ok(())
    }
}

/// Writes a value on one line; its keys are sorted, as they are where it is stored.
fn write_line(file: &mut impl Write, value: &Value) -> io::Result<()> {
    serde_json::to_writer(&mut *file, value)?;
    file.write_all(b"\n")
}
