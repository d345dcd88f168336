//! What tracks and events are called; the descriptions of tracks.

use super::fields::{descriptor, interned, packet};
use super::packets::{Around, Track, cached, named, packet};
use super::perfetto::Perfetto;
use super::proto::{message, text, uint};
use super::texts::{self, Name};
use crate::event::{ProcessId, SiteId};
use crate::store::EventHead;

/// How far parents of a process are described before it.
const ANCESTORS: usize = 64;

impl Perfetto {
    // -- Tracks -----------------------------------------------------------------------------------------------------------

    /// Describes the track of the process of an event, and before it those of its parents.
    pub(super) fn describe(&mut self, head: &EventHead, around: &Around<'_>, out: &mut Vec<u8>) {
        let mut line = vec![head.process];
        while let Some(parent) = line.last().and_then(|&last| self.tracks.birth(last).parent) {
            if line.len() > ANCESTORS || line.contains(&parent) {
                break;
            }
            line.push(parent);
            if self.tracks.is_described(parent) {
                break;
            }
        }
        while let Some(process) = line.pop() {
            if self.tracks.is_described(process) {
                continue;
            }
            self.label(
                process,
                (process == head.process).then_some(head.site),
                around,
            );
            let parent = self.tracks.birth(process).parent;
            let parent = parent.filter(|parent| self.tracks.is_described(*parent));
            self.tracks.describe(process);
            packet(out, packet::NEEDS_STATE, |out| {
                message(out, packet::TRACK_DESCRIPTOR, |out| {
                    uint(out, descriptor::UUID, Track::Process(process).number());
                    let parent = parent.map_or(Track::Node, Track::Process);
                    uint(out, descriptor::PARENT, parent.number());
                    text(out, descriptor::NAME, &self.text);
                });
            });
        }
    }

    /// What a process is called: its name, or how it began, or the module of the callback that it is first seen in.
    pub(super) fn label(&mut self, process: ProcessId, first: Option<SiteId>, around: &Around<'_>) {
        let birth = self.tracks.birth(process);
        let names = cached(&self.atoms, around);
        let text = &mut self.text;
        text.clear();
        if let Some(name) = self.given.get(&process) {
            text.push_str(name);
        } else if let Some(name) = birth.name {
            texts::function((name, None, 0), &names, text);
        } else if let Some((module, function, arity)) = birth.function {
            texts::function((module, Some(function), arity), &names, text);
        } else if let Some(facts) = first.and_then(|site| around.sites.site(site))
            && facts.behaviour.is_some()
        {
            texts::function((facts.module, None, 0), &names, text);
        }
        if !text.is_empty() {
            text.push(' ');
        }
        around.names.process_name(process.0, text);
    }

    // -- Names ------------------------------------------------------------------------------------------------------------

    /// How to write the name that stands in `text`; what has to be written before it is.
    pub(super) fn number(&mut self, out: &mut Vec<u8>) -> Name {
        let name = self.names.of(&self.text);
        if let Name::New(number) = name {
            packet(out, packet::NEEDS_STATE, |out| {
                message(out, packet::INTERNED_DATA, |out| {
                    named(out, interned::EVENT_NAMES, number, &self.text);
                });
            });
            return Name::Known(number);
        }
        name
    }

    pub(super) fn name_value(
        &mut self,
        value: &[u8],
        around: &Around<'_>,
        out: &mut Vec<u8>,
    ) -> Name {
        texts::of_value(value, &cached(&self.atoms, around), &mut self.text);
        self.number(out)
    }

    pub(super) fn name_site(
        &mut self,
        site: SiteId,
        around: &Around<'_>,
        out: &mut Vec<u8>,
    ) -> Name {
        let place = site.0 as usize;
        if let Some(Some(name @ Name::Known(_))) = self.sites.get(place) {
            return *name;
        }
        self.text.clear();
        let facts = around.sites.site(site);
        match facts {
            Some(facts) => {
                let function = (facts.module, facts.function, facts.arity);
                texts::function(function, &cached(&self.atoms, around), &mut self.text);
            }
            None => self.text.push_str("unknown"),
        }
        let name = self.number(out);
        if let Some(facts) = facts.filter(|_| matches!(self.sites.get(place), None | Some(None))) {
            packet(out, packet::NEEDS_STATE, |out| {
                message(out, packet::INTERNED_DATA, |out| {
                    message(out, interned::SOURCES, |out| {
                        uint(out, interned::IID, u64::from(site.0));
                        text(out, interned::FILE, facts.file);
                        text(out, interned::FUNCTION, &self.text);
                        uint(out, interned::LINE, u64::from(facts.line));
                    });
                });
            });
        }
        self.sites.resize(self.sites.len().max(place + 1), None);
        if let Some(entry) = self.sites.get_mut(place) {
            *entry = Some(name);
        }
        name
    }
}
