//! Events that take time: calls, spans, and garbage collections.

use super::super::fields::event;
use super::super::packets::{Around, Category, Mark, cached, end_all, write};
use super::super::payload::integer;
use super::super::texts;
use super::super::tracks::End;
use super::Perfetto;
use crate::event::{EventKind, SiteId};
use crate::store::EventHead;

impl Perfetto {
    pub(super) fn begins(
        &mut self,
        mut mark: Mark,
        head: &EventHead,
        payload: &[u8],
        around: &Around<'_>,
        out: &mut Vec<u8>,
    ) {
        self.name_call(&mut mark, head, payload, around, out);
        if self.tracks.begin(head.process, head.id) {
            mark.sort = event::BEGIN;
        }
        self.write(mark, head.kind, payload, around, out);
    }

    /// The name of a call is that of its site, and of a span what it was called.
    fn name_call(
        &mut self,
        mark: &mut Mark,
        head: &EventHead,
        payload: &[u8],
        around: &Around<'_>,
        out: &mut Vec<u8>,
    ) {
        if matches!(head.kind, EventKind::SpanStart | EventKind::SpanStop) {
            mark.category = Some(Category::Span);
            mark.name = Some(self.name_value(payload, around, out));
        } else {
            mark.category = Some(Category::Call);
            mark.source = head.site;
            mark.name = Some(self.name_site(head.site, around, out));
        }
    }

    pub(super) fn ends(
        &mut self,
        mut mark: Mark,
        head: &EventHead,
        payload: &[u8],
        around: &Around<'_>,
        out: &mut Vec<u8>,
    ) {
        match self.tracks.end(head.process, head.call) {
            End::Of(before) => {
                end_all(before, mark.track, mark.time, around, out);
                mark.sort = event::END;
            }
            End::Unknown => {
                self.name_call(&mut mark, head, payload, around, out);
                let place = if head.kind == EventKind::SpanStop {
                    3
                } else {
                    2
                };
                if let Some(duration) = integer(payload, place) {
                    // All that was written of its inside began later, so it stands around that.
                    let mut begin = Mark::new(event::BEGIN, mark.track, mark.time - duration);
                    (begin.name, begin.category) = (mark.name, mark.category);
                    begin.source = mark.source;
                    begin.correlation = mark.correlation;
                    write(out, begin, &self.text, around, |_| {});
                    mark = Mark { name: None, ..mark };
                    mark.sort = event::END;
                }
            }
        }
        if mark.sort == event::END {
            // The beginning has told them.
            (mark.category, mark.source, mark.correlation) = (None, SiteId::NONE, 0);
        }
        self.write(mark, head.kind, payload, around, out);
    }

    /// A collection is told of at its end.
    pub(super) fn collected(
        &mut self,
        mut mark: Mark,
        head: &EventHead,
        payload: &[u8],
        around: &Around<'_>,
        out: &mut Vec<u8>,
    ) {
        let duration = integer(payload, 3).unwrap_or(0);
        texts::of_value(payload, &cached(&self.atoms, around), &mut self.text);
        self.text.insert_str(0, "gc ");
        mark.name = Some(self.number(out));
        mark.category = Some(Category::Memory);
        mark.sort = event::BEGIN;
        mark.time -= duration;
        self.write(mark, head.kind, payload, around, out);
        let end = Mark::new(event::END, mark.track, head.time.0);
        write(out, end, "", around, |_| {});
    }
}
