//! Encoded values as text, where a term would be made only to be printed.

use std::fmt::Write as _;

use elixir_scope_engine::event::{AtomId, ProcessId};
use elixir_scope_engine::value::{Limits, Malformed, Names, Reader, Token, inspect, split_first};
use rustler::{Encoder, Env, Term};

use crate::entry::Raise;
use crate::fields::{count, get};
use crate::term::Word;
use crate::term::decode::Decoder;
use crate::{atoms, host, library, term};

/// Names as the emulator writes them.
pub struct Spoken<'a>(pub Env<'a>);

impl Spoken<'_> {
    fn word(&self, kind: &str, word: u64, out: &mut String) {
        let term = term::term(self.0, host::pid_word(ProcessId(word)));
        let _ = write!(out, "{kind}{term:?}");
    }
}

impl Names for Spoken<'_> {
    fn atom_name(&self, atom: AtomId, out: &mut String) -> bool {
        term::atom_text(atom, out)
    }

    fn process_name(&self, process: u64, out: &mut String) {
        if term::is_local_pid(process) {
            self.word("#PID", process, out);
        }
    }

    fn port_name(&self, port: u64, out: &mut String) {
        if term::is_local_port(port) {
            self.word("", port, out);
        }
    }
}

/// Which values are wanted as text.
#[derive(Clone, Copy, Debug)]
pub struct Texts {
    /// Those of more bytes than this.
    above: usize,
    limits: Limits,
}

impl Texts {
    /// `%{text: %{above: bytes, items: count, bytes: of_text}}`; `None` without it.
    ///
    /// # Errors
    /// For what is no such map.
    pub fn wanted(query: Term<'_>) -> Result<Option<Texts>, Raise> {
        let Some(map) = get(query, atoms::text()) else {
            return Ok(None);
        };
        let bytes = count(map, atoms::bytes())?;
        Ok(Some(Texts {
            above: count(map, atoms::above())?,
            limits: Limits {
                items: count(map, atoms::items())?,
                binary_bytes: bytes,
                text_bytes: bytes,
                ..Limits::default()
            },
        }))
    }

    /// The term of the value that `reader` stands before, or its text if it is large; moves past it.
    ///
    /// # Errors
    /// [`Malformed`] for what is no value.
    pub fn value<'e>(
        self,
        env: Env<'e>,
        decoder: &mut Decoder<'e>,
        reader: &mut Reader<'_>,
    ) -> Result<Term<'e>, Malformed> {
        let (value, _) = split_first(reader.rest())?;
        if value.len() <= self.above {
            return decoder.next(reader);
        }
        reader.advance(value.len());
        self.text(env, value)
    }

    /// The same of a list of changes: maps whose values are taken one by one. What is no list is a value.
    ///
    /// # Errors
    /// [`Malformed`] for what is neither.
    pub fn changes<'e>(
        self,
        env: Env<'e>,
        decoder: &mut Decoder<'e>,
        reader: &mut Reader<'_>,
    ) -> Result<Term<'e>, Malformed> {
        let mut ahead = reader.clone();
        if ahead.token()? != Token::List {
            return decoder.next(reader);
        }
        let mut changes = Vec::new();
        loop {
            match ahead.token()? {
                Token::Map(pairs) => {
                    let (mut keys, mut values) = (Vec::<Word>::new(), Vec::<Word>::new());
                    for _ in 0..pairs {
                        keys.push(term::word(decoder.next(&mut ahead)?));
                        values.push(term::word(self.value(env, decoder, &mut ahead)?));
                    }
                    let map = term::map(env, &keys, &values);
                    changes.push(map.unwrap_or_else(|| atoms::nil().encode(env)));
                }
                _ => {
                    *reader = ahead;
                    return Ok(changes.encode(env));
                }
            }
        }
    }

    /// `%ElixirScope.Replay.Text{}`
    fn text<'e>(self, env: Env<'e>, value: &[u8]) -> Result<Term<'e>, Malformed> {
        let mut text = String::new();
        inspect(value, &Spoken(env), self.limits, &mut text)?;
        let (mut masked, mut cut) = (0_u64, 0_u64);
        let mut reader = Reader::new(value);
        while !reader.rest().is_empty() {
            match reader.token()? {
                Token::Redacted => masked += 1,
                Token::Truncated(_) | Token::Cut(_) => cut += 1,
                _ => {}
            }
        }
        let fields = [
            (atoms::__struct__(), atoms::replay_text().encode(env)),
            (atoms::text(), text.encode(env)),
            (atoms::bytes(), value.len().encode(env)),
            (atoms::masked(), masked.encode(env)),
            (atoms::cut(), cut.encode(env)),
        ];
        let map = library::map(env, &fields);
        Ok(map.unwrap_or_else(|_| atoms::nil().encode(env)))
    }
}
