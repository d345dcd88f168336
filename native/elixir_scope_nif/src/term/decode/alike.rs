//! What stands in two values alike becomes one term: of a state and the next one, most is the same.
//!
//! While the first value is decoded, each value in it is noted with its bytes and its word, in the order in which they begin. The
//! second one is then read beside the first: where the same bytes stand, the same word is taken, and nothing is decoded. An
//! encoded value ends by itself, so bytes that begin with all of another value's are that value.

use elixir_scope_engine::value::Token;

use crate::term::Word;

/// No entry.
const NONE: u32 = u32::MAX;

/// One value in the first one.
struct Seen {
    start: u32,
    end: u32,
    /// The entry behind it and all that is in it.
    after: u32,
    word: Word,
}

/// Where in the first value the elements of an open container of the second one are looked for.
struct Level {
    kind: Kind,
    /// The entry that comes next, and the end of the entries of this container.
    next: u32,
    end: u32,
    /// In a list, an entry that was passed over: others were put before it. In a map, the value of the key that was just found.
    held: u32,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    List,
    Tuple,
    Key,
    Value,
    /// A fun is made anew: its parts may not stand where other values do.
    Fun,
}

#[derive(Default)]
pub(super) struct Trail {
    seen: Vec<Seen>,
    /// Entries of the first value's open containers.
    open: Vec<u32>,
    levels: Vec<Level>,
    noting: bool,
    comparing: bool,
    /// Where the item stands that is being decoded.
    pub(super) from: usize,
    pub(super) to: usize,
    /// Bytes that may still be compared: parts of parts are, again and again.
    budget: usize,
}

impl Trail {
    /// Begins to note.
    pub(super) fn note(&mut self) {
        self.seen.clear();
        self.open.clear();
        self.noting = true;
    }

    /// Begins to compare with what was noted.
    pub(super) fn compare(&mut self) {
        self.noting = false;
        self.comparing = true;
        self.levels.clear();
        let size = self.seen.first().map_or(0, |whole| whole.end - whole.start);
        self.budget = 8 * size as usize + 64;
    }

    pub(super) fn end(&mut self) {
        self.noting = false;
        self.comparing = false;
    }

    // -- The first value ------------------------------------------------------------------------------------------------

    #[inline]
    pub(super) fn scalar(&mut self, word: Word) {
        if self.noting {
            self.push(word);
        } else if self.comparing {
            self.pass();
        }
    }

    #[inline]
    pub(super) fn opened(&mut self, token: &Token<'_>) {
        if self.noting {
            self.open.push(self.seen.len() as u32);
            self.push(0);
        } else if self.comparing {
            self.descend(token);
        }
    }

    #[inline]
    pub(super) fn closed(&mut self, word: Word) {
        if self.noting {
            let after = self.seen.len() as u32;
            let open = self.open.pop().unwrap_or(NONE);
            if let Some(entry) = self.seen.get_mut(open as usize) {
                (entry.end, entry.after, entry.word) = (self.to as u32, after, word);
            }
        } else if self.comparing {
            self.levels.pop();
        }
    }

    fn push(&mut self, word: Word) {
        let (Ok(start), Ok(end)) = (u32::try_from(self.from), u32::try_from(self.to)) else {
            // what is so large is not compared
            self.seen.clear();
            self.noting = false;
            return;
        };
        let after = self.seen.len() as u32 + 1;
        self.seen.push(Seen {
            start,
            end,
            after,
            word,
        });
    }

    // -- The second one -------------------------------------------------------------------------------------------------

    /// The word of what stands at the front of `rest`, and its size, if it stands in the first value, in `bytes`, too.
    #[inline]
    pub(super) fn find(&mut self, bytes: &[u8], rest: &[u8]) -> Option<(Word, usize)> {
        let Some(level) = self.levels.last() else {
            return self.same(0, bytes, rest);
        };
        let (kind, next, end, held) = (level.kind, level.next, level.end, level.held);
        let (found, step) = match kind {
            Kind::Fun => return None,
            Kind::Value => (self.same(held, bytes, rest)?, (next, NONE, Kind::Key)),
            Kind::Tuple => {
                let found = self.same(next, bytes, rest)?;
                (found, (self.behind(next, end), NONE, kind))
            }
            Kind::Key => {
                // the pair that comes next, or the one behind it
                let pair = |trail: &Self, key| trail.behind(trail.behind(key, end), end);
                let mut key = next;
                let mut found = self.same(key, bytes, rest);
                if found.is_none() {
                    key = pair(self, next);
                    found = self.same(key, bytes, rest);
                }
                (
                    found?,
                    (pair(self, key), self.behind(key, end), Kind::Value),
                )
            }
            Kind::List => {
                // the one that comes next; the one behind it, where one was taken away; or one that others were put before
                let candidates = [(next, held), (self.behind(next, end), held), (held, NONE)];
                let mut found = None;
                for (at, left) in candidates {
                    if let Some(same) = self.same(at, bytes, rest) {
                        found = Some((same, (self.behind(at, end), left, kind)));
                        break;
                    }
                }
                found?
            }
        };
        if let Some(level) = self.levels.last_mut() {
            (level.next, level.held, level.kind) = step;
        }
        Some(found)
    }

    fn same(&mut self, at: u32, bytes: &[u8], rest: &[u8]) -> Option<(Word, usize)> {
        let entry = self.seen.get(at as usize)?;
        let value = bytes.get(entry.start as usize..entry.end as usize)?;
        if rest.starts_with(value) {
            return Some((entry.word, value.len()));
        }
        if value.first() == rest.first() {
            self.budget = self.budget.saturating_sub(value.len());
            if self.budget == 0 {
                self.seen.clear();
            }
        }
        None
    }

    /// The entry behind another one, in the same container.
    fn behind(&self, at: u32, end: u32) -> u32 {
        let entry = self.seen.get(at as usize);
        entry.map_or(NONE, |entry| entry.after).min(end)
    }

    /// Goes over a value that was not found; answers which one stood in its place.
    fn pass(&mut self) -> u32 {
        let Some(level) = self.levels.last() else {
            return 0;
        };
        let behind = self.behind(level.next, level.end);
        let Some(level) = self.levels.last_mut() else {
            return 0;
        };
        match level.kind {
            Kind::Fun => NONE,
            Kind::Key => {
                (level.kind, level.held) = (Kind::Value, NONE);
                NONE
            }
            Kind::Value => {
                level.kind = Kind::Key;
                std::mem::replace(&mut level.held, NONE)
            }
            Kind::Tuple => std::mem::replace(&mut level.next, behind),
            Kind::List => {
                let at = std::mem::replace(&mut level.next, behind);
                if level.held == NONE {
                    level.held = at;
                }
                at
            }
        }
    }

    fn descend(&mut self, token: &Token<'_>) {
        let at = self.pass();
        let end = self.seen.get(at as usize).map_or(NONE, |entry| entry.after);
        let first = at.saturating_add(1);
        let kind = match token {
            Token::List => Kind::List,
            Token::Tuple(_) => Kind::Tuple,
            Token::Map(_) => Kind::Key,
            _ => Kind::Fun,
        };
        self.levels.push(Level {
            kind,
            next: if first < end { first } else { NONE },
            end,
            held: NONE,
        });
    }
}
