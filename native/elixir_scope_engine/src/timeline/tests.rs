//! Timelines: by subject, what each shall say.

mod harm;
mod memory;
mod trust;
mod twin;

use super::*;
use crate::event::{EventId, TimeNs};
use crate::memory::Memory;
use crate::value::tree::Tree;
use crate::value::{delta_format, diff, equal};

const MODULE: AtomId = AtomId(7);
const PROCESS: ProcessId = ProcessId(3);

fn all(_: usize) -> bool {
    true
}

/// Writes changes as a process does.
struct Writer {
    timelines: Timelines,
    sequence: u32,
    id: u64,
    time: i64,
}

impl Writer {
    fn new(cap: usize) -> Writer {
        let memory = std::sync::Arc::new(Memory::default());
        Writer {
            timelines: Timelines::new(&memory, cap),
            sequence: 0,
            id: 0,
            time: 0,
        }
    }

    fn put(&mut self, process: ProcessId, flags: u8, body: &[u8]) -> Asked {
        self.sequence += 1;
        let part = StatePart {
            flags,
            sequence: self.sequence,
            body,
        };
        self.id += 1;
        self.timelines.change(
            process,
            MODULE,
            EventId(self.id),
            TimeNs(self.time),
            &part,
            &mut all,
        )
    }
}

/// The most a timeline's account may hold, and what it does hold, are the same.
fn assert_counted(timelines: &Timelines) {
    let lines: usize = timelines
        .lines
        .iter()
        .flatten()
        .map(|line| {
            let sealed = line.sealed.iter().map(|block| block.allocated());
            sealed.sum::<usize>() + line.bytes()
        })
        .sum();
    assert_eq!(
        timelines.memory.of(Use::Timelines),
        lines + timelines.tables_bytes()
    );
    assert!(timelines.memory.of(Use::Timelines) <= timelines.cap);
    let bases: usize = timelines
        .bases
        .iter()
        .map(|&(_, at)| timelines.line(at).unwrap().counted())
        .sum();
    assert_eq!(bases, timelines.bases_bytes);
    let kept = timelines.lines.iter().flatten().count();
    assert_eq!(kept, timelines.bases.len() + timelines.queue.len());
}

/// The delta that puts a value in the place of the whole state.
fn replace(value: &[u8]) -> Vec<u8> {
    [&[delta_format::REPLACE], value].concat()
}
