//! How a callback ended, with the new state and the answer in front: what ingest takes apart again.

use elixir_scope_engine::record::Preceding;
use elixir_scope_engine::value::{Full, Sink, format};
use elixir_scope_engine::{RecordBuf, StateHead, Window};

use super::{Body, Payload, Values};
use crate::callback::Outcome;
use crate::term::encode::Quick;
use crate::term::{Terms, Word};

/// A callback ended normally.
pub struct Ending<'v> {
    pub state: Option<NewState<'v>>,
    pub reply: Option<Reply>,
    pub normal: Word,
    pub result: Word,
    /// The result, where its state is told by a mark.
    pub marked: Option<Marked<'v>>,
}

/// The state that a process has from here on.
pub struct NewState<'v> {
    pub head: StateHead,
    pub bytes: &'v [u8],
    pub trigger: Word,
}

/// What the process answers, and what it does then.
pub struct Reply {
    pub reply: Option<Word>,
    /// The element of the result that the reply is, as [`Preceding::reply_at`] has it.
    pub at: Option<u8>,
    pub timeout: Option<Word>,
    pub hibernates: bool,
    pub continue_data: Option<Word>,
}

/// A result in the form of a tuple whose element at `state` is the new state, which its timeline knows.
pub struct Marked<'v> {
    pub elements: &'v [Word],
    pub state: usize,
    pub mark: [u8; 4],
}

impl Ending<'_> {
    /// Which events come with that of the end.
    #[inline]
    pub fn preceding(&self) -> Preceding {
        let state = match self.state {
            Some(_) => Preceding::STATE,
            None => Preceding::NOTHING,
        };
        match self.reply {
            Some(_) => state.and(Preceding::REPLY),
            None => state,
        }
    }
}

impl Reply {
    /// What an outcome says, of a result with these elements, of which the one at `state` is not written.
    #[inline]
    pub fn of(outcome: &Outcome, elements: Option<&[Word]>, state: Option<usize>) -> Option<Reply> {
        // What has the same word is the same term.
        let at = outcome.reply.and_then(|reply| {
            let mut places = elements?.iter();
            places.position(|element| *element == reply)
        });
        outcome.answers().then_some(Reply {
            reply: outcome.reply,
            at: at
                .filter(|at| state != Some(*at))
                .and_then(Preceding::reply_at),
            timeout: outcome.timeout,
            hibernates: outcome.hibernates,
            continue_data: outcome.continue_data,
        })
    }

    /// The values that follow, with the byte before them. With `REFERS` the reply does not, where the result has it.
    #[inline(always)]
    fn parts<const REFERS: bool>(&self) -> (u8, [Option<Word>; 3]) {
        let at = self.at.filter(|_| REFERS);
        let reply = self.reply.filter(|_| at.is_none());
        let mut told = at.unwrap_or(0);
        if self.hibernates {
            told |= Preceding::HIBERNATES;
        }
        let values = [reply, self.timeout, self.continue_data];
        let bits = [
            Preceding::REPLY_FOLLOWS,
            Preceding::TIMEOUT_FOLLOWS,
            Preceding::CONTINUE_FOLLOWS,
        ];
        for (value, bit) in values.iter().zip(bits) {
            if value.is_some() {
                told |= bit;
            }
        }
        (told, values)
    }
}

impl<'t> Body<'t> for Ending<'_> {
    const IS_QUICK: bool = true;

    #[inline(always)]
    fn quick<'w, T: Terms<'t>>(
        &self,
        quick: Quick<'_, T>,
        mut window: Window<'w>,
    ) -> Option<Window<'w>> {
        if let Some(NewState {
            head,
            bytes,
            trigger,
        }) = &self.state
        {
            window = window.bytes(&Preceding::length(head.size() + bytes.len()))?;
            window = head.write(window)?.bytes(bytes)?;
            window = quick.term(window, *trigger)?;
        }
        if let Some(reply) = &self.reply {
            let (told, values) = reply.parts::<true>();
            window = window.byte(told)?;
            for value in values.into_iter().flatten() {
                window = quick.term(window, value)?;
            }
        }
        match &self.marked {
            Some(marked) => marked.quick(self.normal, quick, window),
            None => Values(&[self.normal, self.result]).quick(quick, window),
        }
    }

    // Each value has a budget of its own here, and a result that is cut may not have the reply in it.
    fn write(self, payload: &mut Payload<'_, 't, RecordBuf<'_>>) -> Result<(), Full> {
        if let Some(NewState {
            head,
            bytes,
            trigger,
        }) = self.state
        {
            payload.bytes(&Preceding::length(head.size() + bytes.len()))?;
            payload.state_head(head)?;
            payload.bytes(bytes)?;
            payload.word(trigger)?;
        }
        if let Some(reply) = self.reply {
            let (told, values) = reply.parts::<false>();
            payload.bytes(&[told])?;
            for value in values.into_iter().flatten() {
                payload.any_word(value)?;
            }
        }
        match self.marked {
            Some(marked) => marked.write(self.normal, payload),
            None => Values(&[self.normal, self.result]).write(payload),
        }
    }
}

impl Marked<'_> {
    /// Few enough elements that their number takes one byte.
    fn size(&self) -> Option<u8> {
        let size = u8::try_from(self.elements.len()).ok();
        size.filter(|size| *size < 0x80)
    }

    #[inline(always)]
    fn quick<'w, 't, T: Terms<'t>>(
        &self,
        normal: Word,
        quick: Quick<'_, T>,
        window: Window<'w>,
    ) -> Option<Window<'w>> {
        let size = self.size()?;
        let mut window = quick.term(window, normal)?;
        window = window.pair([format::TUPLE, size])?;
        for (at, element) in self.elements.iter().enumerate() {
            window = if at == self.state {
                window.bytes(&self.mark)?
            } else {
                quick.term(window, *element)?
            };
        }
        Some(window)
    }

    fn write(self, normal: Word, payload: &mut Payload<'_, '_, RecordBuf<'_>>) -> Result<(), Full> {
        payload.any_word(normal)?;
        // No callback answers with more.
        payload
            .sink
            .put(&[format::TUPLE, self.size().unwrap_or(0x7f)])?;
        for (at, element) in self.elements.iter().enumerate() {
            if at == self.state {
                payload.sink.put(&self.mark)?;
            } else {
                payload.any_word(*element)?;
            }
        }
        Ok(())
    }
}
