//! The tape as a file, written step by step.

use std::time::Duration;

use super::{Answered, HostNames, Recorder};
use crate::export::{Export, ExportOptions, Progress};
use crate::query::Query;
use crate::value::Names;

impl Recorder {
    /// Begins to export the events that `query` asks for, all that were recorded before this call among them.
    #[must_use]
    pub fn export(
        &self,
        query: Query,
        options: ExportOptions,
        timeout: Duration,
    ) -> Answered<Export> {
        let (answer, complete) = self.synced(timeout, |context| {
            Export::new(&self.store, query, options, context)
        });
        Answered { answer, complete }
    }

    /// Goes on with an export: appends to `out` what is to be written next, a megabyte or so.
    pub fn export_step(
        &self,
        export: &mut Export,
        names: &dyn Names,
        out: &mut Vec<u8>,
    ) -> Progress {
        let host = HostNames(self.host.as_ref());
        let states = self.states();
        export.step(&self.store, &self.context(&host, &states), names, out)
    }
}
