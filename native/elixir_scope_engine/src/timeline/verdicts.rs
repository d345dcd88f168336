//! What is known of how far the states of a timeline can be trusted, stretch by stretch.

use std::collections::VecDeque;

use super::answer::Quality;

/// Changes up to an id, all of one quality.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Span {
    /// The id behind the last one.
    until: u64,
    quality: Quality,
}

/// The judged part of a timeline. What comes behind it is open: a later whole state may prove it.
#[derive(Clone, Debug, Default)]
pub(super) struct Verdicts {
    spans: VecDeque<Span>,
    /// In the open part something was lost or cut: nothing will prove it.
    doubt: bool,
}

impl Verdicts {
    /// The id from which on nothing is judged.
    pub(super) fn end(&self) -> u64 {
        self.spans.back().map_or(0, |span| span.until)
    }

    /// Whether the open part is approximate.
    pub(super) fn doubt(&self) -> bool {
        self.doubt
    }

    /// From the change `id` on, all is approximate, up to a whole state.
    pub(super) fn begin_doubt(&mut self, id: u64) {
        if !self.doubt {
            self.close(id, Quality::Unverified);
            self.doubt = true;
        }
    }

    /// A whole state came with the change `id`. What lies open before it is of the quality `before`, unless it is approximate
    /// already; with `doubt`, a part of the whole state is missing.
    pub(super) fn settle(&mut self, id: u64, before: Quality, doubt: bool) {
        let quality = if self.doubt {
            Quality::Approximate
        } else {
            before
        };
        self.close(id, quality);
        self.doubt = doubt;
    }

    /// The change `id` did not fit what was there: the state before it was another one, nobody knows since when, and what
    /// follows may be wrong elsewhere. All of it is approximate, from the last whole state up to the next one.
    pub(super) fn unfit(&mut self, id: u64) {
        if self.doubt && id >= self.end() {
            return;
        }
        if id >= self.end() {
            self.close(id, Quality::Approximate);
            self.doubt = true;
        } else {
            self.spoil(id);
        }
    }

    /// How far the state after the change `id` can be trusted; `unfit` is the newest change up to there that did not fit.
    pub(super) fn quality(&self, id: u64, unfit: Option<u64>) -> Quality {
        let (start, quality) = self.of(id);
        let open = if self.doubt {
            Quality::Approximate
        } else {
            Quality::Unverified
        };
        match unfit {
            Some(unfit) if unfit >= start => Quality::Approximate,
            _ => quality.unwrap_or(open),
        }
    }

    /// Where the span begins to which `id` belongs, and its quality; none in the open part.
    fn of(&self, id: u64) -> (u64, Option<Quality>) {
        let at = self.spans.partition_point(|span| span.until <= id);
        let start = at
            .checked_sub(1)
            .and_then(|before| self.spans.get(before))
            .map_or(0, |span| span.until);
        (start, self.spans.get(at).map(|span| span.quality))
    }

    /// Judges all from the end on up to `until`.
    fn close(&mut self, until: u64, quality: Quality) {
        match self.spans.back_mut() {
            Some(last) if last.until >= until => {}
            Some(last) if last.quality == quality => last.until = until,
            _ => {
                if self.spans.len() == self.spans.capacity() {
                    self.spans.reserve_exact(self.spans.capacity() / 4 + 2);
                }
                self.spans.push_back(Span { until, quality });
            }
        }
    }

    /// From the change `id` to the end of its span, all is approximate, if that is judged.
    fn spoil(&mut self, id: u64) {
        let at = self.spans.partition_point(|span| span.until <= id);
        let Some(span) = self.spans.get_mut(at) else {
            return;
        };
        let before = Span {
            until: id,
            quality: std::mem::replace(&mut span.quality, Quality::Approximate),
        };
        if before.quality != Quality::Approximate {
            self.spans.insert(at, before);
        }
    }

    /// Forgets what lies before the change `id`.
    pub(super) fn forget(&mut self, id: u64) {
        while self.spans.len() > 1 && self.spans.front().is_some_and(|span| span.until <= id) {
            self.spans.pop_front();
        }
    }

    /// Bytes allocated.
    pub(super) fn bytes(&self) -> usize {
        self.spans.capacity() * size_of::<Span>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_id_has_the_verdict_of_its_stretch() {
        let mut verdicts = Verdicts::default();
        assert_eq!(verdicts.of(1), (0, None));
        verdicts.close(10, Quality::Exact);
        verdicts.close(20, Quality::Exact);
        verdicts.close(30, Quality::Unverified);
        assert_eq!(verdicts.of(5), (0, Some(Quality::Exact)));
        assert_eq!(verdicts.of(19), (0, Some(Quality::Exact)));
        assert_eq!(verdicts.of(20), (20, Some(Quality::Unverified)));
        assert_eq!(verdicts.of(30), (30, None));
        verdicts.spoil(25);
        assert_eq!(verdicts.of(24), (20, Some(Quality::Unverified)));
        assert_eq!(verdicts.of(25), (25, Some(Quality::Approximate)));
        verdicts.forget(21);
        assert_eq!(verdicts.of(24), (0, Some(Quality::Unverified)));
        assert_eq!(verdicts.end(), 30);
    }
}
