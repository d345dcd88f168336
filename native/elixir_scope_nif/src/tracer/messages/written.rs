//! What stands in records of messages each time, encoded once: names of ours, and the fields that only a query fills in.

use elixir_scope_engine::Window;
use elixir_scope_engine::value::{Fit, Writer};
use once_cell::sync::OnceCell;
use rustler::Atom;

use crate::atoms;
use crate::term::{immediate_atom, note_atom, word_of};

/// How a message is sent, as records name it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::tracer) enum Sort {
    Send,
    Call,
    Cast,
    Reply,
    System,
    Timer,
    Down,
    Exit,
}

impl Sort {
    const ALL: [Sort; 8] = [
        Sort::Send,
        Sort::Call,
        Sort::Cast,
        Sort::Reply,
        Sort::System,
        Sort::Timer,
        Sort::Down,
        Sort::Exit,
    ];

    pub(in crate::tracer) fn name(self) -> Atom {
        match self {
            Sort::Send => atoms::send(),
            Sort::Call => atoms::call(),
            Sort::Cast => atoms::cast(),
            Sort::Reply => atoms::reply(),
            Sort::System => atoms::system(),
            Sort::Timer => atoms::timer(),
            Sort::Down => atoms::down(),
            Sort::Exit => atoms::exit(),
        }
    }
}

/// Filled in by [`prepare`], which the first record of a message calls: that is written the long way.
pub(super) static WRITTEN: OnceCell<Written> = OnceCell::new();

/// Encodes what is here, once.
#[cold]
pub(super) fn prepare() {
    if WRITTEN.get().is_none()
        && let Some(written) = Written::new()
    {
        let _ = WRITTEN.set(written);
    }
}

/// Encoded values.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bytes {
    bytes: [u8; Bytes::MOST],
    length: usize,
}

impl Bytes {
    /// An item of a window has room for so many.
    const MOST: usize = 32;
    const NONE: Bytes = Bytes {
        bytes: [0; Bytes::MOST],
        length: 0,
    };

    /// `None` where the numbers of atoms are so high that they take more room: nothing is then written from here.
    fn of(names: &[Atom]) -> Option<Bytes> {
        let mut encoded = Vec::new();
        let mut writer = Writer::new(&mut encoded, usize::MAX);
        for name in names {
            let atom = immediate_atom(word_of(name.as_c_arg()))?;
            note_atom(atom);
            if writer.atom(atom) != Ok(Fit::Written) {
                return None;
            }
        }
        let mut bytes = [0; Bytes::MOST];
        bytes.get_mut(..encoded.len())?.copy_from_slice(&encoded);
        Some(Bytes {
            bytes,
            length: encoded.len(),
        })
    }

    #[inline(always)]
    pub(super) fn put<'w>(&self, window: Window<'w>) -> Option<Window<'w>> {
        window.short(&self.bytes, self.length)
    }
}

/// The parts.
#[derive(Debug)]
pub(super) struct Written {
    nil: Bytes,
    three_nils: Bytes,
    sorts: [Bytes; Sort::ALL.len()],
    behind_sent: [Bytes; Sort::ALL.len()],
    behind_received: [Bytes; Sort::ALL.len()],
}

impl Written {
    fn new() -> Option<Written> {
        let nil = atoms::nil();
        let mut written = Written {
            nil: Bytes::of(&[nil])?,
            three_nils: Bytes::of(&[nil; 3])?,
            sorts: [Bytes::NONE; Sort::ALL.len()],
            behind_sent: [Bytes::NONE; Sort::ALL.len()],
            behind_received: [Bytes::NONE; Sort::ALL.len()],
        };
        for sort in Sort::ALL {
            let name = sort.name();
            let at = sort as usize;
            *written.sorts.get_mut(at)? = Bytes::of(&[name])?;
            *written.behind_sent.get_mut(at)? = Bytes::of(&[nil, name, nil, nil, nil, nil, nil])?;
            *written.behind_received.get_mut(at)? = Bytes::of(&[name, nil])?;
        }
        Some(written)
    }

    #[inline(always)]
    pub(super) fn nil(&self) -> &Bytes {
        &self.nil
    }

    #[inline(always)]
    pub(super) fn three_nils(&self) -> &Bytes {
        &self.three_nils
    }

    #[inline(always)]
    pub(super) fn sort(&self, sort: Sort) -> &Bytes {
        of(&self.sorts, sort)
    }

    /// What stands behind the message in a record of one that was sent without a reference: `message_id`, how, `call_ref`,
    /// `received_at`, `handled_at`, `queue_time_ns`, `to_dead`.
    #[inline(always)]
    pub(super) fn behind_sent(&self, sort: Sort) -> &Bytes {
        of(&self.behind_sent, sort)
    }

    /// What stands behind the message in a record of one that arrived without a reference: how it was sent, and the reference.
    #[inline(always)]
    pub(super) fn behind_received(&self, sort: Sort) -> &Bytes {
        of(&self.behind_received, sort)
    }
}

#[inline(always)]
#[allow(clippy::indexing_slicing, reason = "one part for each sort")]
fn of(parts: &[Bytes; Sort::ALL.len()], sort: Sort) -> &Bytes {
    &parts[sort as usize]
}
