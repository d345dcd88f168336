//! Text of encoded values, as Elixir's `inspect/2` writes it.

use std::fmt::Write as _;

use super::cut::Mark;
use super::names::Names;
use super::order::take;
use super::reader::{Malformed, Reader, Token};
use super::writer::FunHead;
use crate::event::AtomId;

/// How much text to make.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Elements of one container, then `...`.
    pub items: usize,
    /// Bytes of one binary, then `...`.
    pub binary_bytes: usize,
    /// Bytes of text in all; past it nothing more is opened.
    pub text_bytes: usize,
    /// How deep containers are shown; then `...`. At most 64.
    pub depth: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            items: 50,
            binary_bytes: 4096,
            text_bytes: 64 * 1024,
            depth: 32,
        }
    }
}

/// Appends the text of the first value in `value` to `out`.
///
/// # Errors
/// [`Malformed`] for what is no value.
pub fn inspect(
    value: &[u8],
    names: &dyn Names,
    limits: Limits,
    out: &mut String,
) -> Result<(), Malformed> {
    let end = out.len().saturating_add(limits.text_bytes);
    let limits = Limits {
        depth: limits.depth.min(64),
        ..limits
    };
    Inspector { names, limits, end }.value(&mut Reader::new(value), 0, out)
}

struct Inspector<'n> {
    names: &'n dyn Names,
    limits: Limits,
    end: usize,
}

/// What stands before the next element.
enum Next {
    Element,
    Tail,
    Missing,
    End,
}

impl Inspector<'_> {
    /// Recursion is as deep as `limits.depth`, 64 at most.
    fn value(
        &self,
        reader: &mut Reader<'_>,
        depth: usize,
        out: &mut String,
    ) -> Result<(), Malformed> {
        let whole = reader.rest();
        let mut ahead = reader.clone();
        let token = ahead.token()?;
        let opens = matches!(token, Token::List | Token::Tuple(1..) | Token::Map(1..));
        if opens && (depth >= self.limits.depth || out.len() >= self.end) {
            take(reader)?;
            out.push_str("...");
            return Ok(());
        }
        match token {
            Token::List => {
                let list = take(reader)?;
                out.push('[');
                self.list(list, depth, out)?;
                out.push(']');
            }
            Token::Tuple(n) => {
                *reader = ahead;
                out.push('{');
                self.elements(reader, n, depth, out)?;
                out.push('}');
            }
            Token::Map(n) => {
                *reader = ahead;
                self.map(whole, reader, n, depth, out)?;
            }
            Token::Fun(head) => {
                take(reader)?;
                self.fun(&head, out);
            }
            _ => {
                *reader = ahead;
                self.scalar(&token, out);
            }
        }
        Ok(())
    }

    fn next(reader: &mut Reader<'_>) -> Result<Next, Malformed> {
        let mut ahead = reader.clone();
        let next = match ahead.token()? {
            Token::End => Next::End,
            Token::Tail => Next::Tail,
            Token::Cut(_) => Next::Missing,
            _ => return Ok(Next::Element),
        };
        *reader = ahead;
        Ok(next)
    }

    fn list(&self, list: &[u8], depth: usize, out: &mut String) -> Result<(), Malformed> {
        let mut reader = Reader::new(list);
        reader.token()?;
        let keywords = self.is_keyword_list(reader.clone())?;
        for index in 0.. {
            let next = Self::next(&mut reader)?;
            match next {
                Next::End => break,
                _ if index == 0 => {}
                Next::Tail => out.push_str(" | "),
                _ => out.push_str(", "),
            }
            if matches!(next, Next::Missing) || index >= self.limits.items || out.len() >= self.end
            {
                out.push_str("...");
                break;
            }
            if keywords && matches!(next, Next::Element) {
                // the tuple, then the key
                reader.token()?;
                self.keyword(&mut reader, out)?;
            }
            self.value(&mut reader, depth + 1, out)?;
            if matches!(next, Next::Tail) {
                break;
            }
        }
        Ok(())
    }

    /// Whether all elements that would be shown are pairs with a name first, and the list is proper so far.
    fn is_keyword_list(&self, mut reader: Reader<'_>) -> Result<bool, Malformed> {
        for _ in 0..self.limits.items {
            match Self::next(&mut reader)? {
                Next::End | Next::Missing => return Ok(true),
                Next::Tail => return Ok(false),
                Next::Element => {
                    let mut element = Reader::new(take(&mut reader)?);
                    let pair = element.token()? == Token::Tuple(2)
                        && matches!(element.token()?, Token::Atom(_));
                    if !pair || matches!(element.clone().token()?, Token::Cut(_)) {
                        return Ok(false);
                    }
                }
            }
        }
        Ok(true)
    }

    fn keyword(&self, reader: &mut Reader<'_>, out: &mut String) -> Result<(), Malformed> {
        if let Token::Atom(atom) = reader.token()? {
            let name = self.name(atom);
            if plain_name(&name) {
                out.push_str(&name);
            } else {
                quoted(&name, out);
            }
            out.push_str(": ");
        }
        Ok(())
    }

    fn elements(
        &self,
        reader: &mut Reader<'_>,
        n: u32,
        depth: usize,
        out: &mut String,
    ) -> Result<(), Malformed> {
        for index in 0..n {
            if index > 0 {
                out.push_str(", ");
            }
            if matches!(Self::next(reader)?, Next::Missing) {
                out.push_str("...");
                break;
            }
            self.value(reader, depth + 1, out)?;
        }
        Ok(())
    }

    fn map(
        &self,
        whole: &[u8],
        reader: &mut Reader<'_>,
        n: u32,
        depth: usize,
        out: &mut String,
    ) -> Result<(), Malformed> {
        out.push('%');
        let mut struct_key = None;
        if n > 0 {
            struct_key = self.struct_name(whole, out)?;
        }
        out.push('{');
        let mut shown = 0;
        for _ in 0..n {
            if shown > 0 {
                out.push_str(", ");
            }
            if matches!(Self::next(reader)?, Next::Missing) {
                out.push_str("...");
                break;
            }
            let mut ahead = reader.clone();
            let key = ahead.token()?;
            if struct_key.is_some() && struct_key == Some(key) {
                take(reader)?;
                take(reader)?;
                if out.ends_with(", ") {
                    out.truncate(out.len() - 2);
                }
                continue;
            }
            shown += 1;
            if shown > self.limits.items || out.len() >= self.end {
                take(reader)?;
                take(reader)?;
                if shown == self.limits.items + 1 || !out.ends_with("..., ") {
                    out.push_str("...");
                } else {
                    out.truncate(out.len() - 2);
                }
                continue;
            }
            if matches!(key, Token::Atom(_)) {
                self.keyword(reader, out)?;
            } else {
                self.value(reader, depth + 1, out)?;
                out.push_str(" => ");
            }
            self.value(reader, depth + 1, out)?;
        }
        out.push('}');
        Ok(())
    }

    /// Writes the module of a struct; the key that need not be shown.
    fn struct_name<'a>(
        &self,
        map: &'a [u8],
        out: &mut String,
    ) -> Result<Option<Token<'a>>, Malformed> {
        let mut reader = Reader::new(map);
        let Token::Map(n) = reader.token()? else {
            return Ok(None);
        };
        for _ in 0..n {
            match reader.token()? {
                key @ Token::Atom(atom) if self.name(atom) == "__struct__" => {
                    if let Token::Atom(module) = reader.token()? {
                        self.atom(module, out);
                        return Ok(Some(key));
                    }
                    return Ok(None);
                }
                // structs are small maps whose keys are names
                Token::Atom(_) => {
                    take(&mut reader)?;
                }
                _ => return Ok(None),
            }
        }
        Ok(None)
    }

    fn scalar(&self, token: &Token<'_>, out: &mut String) {
        match *token {
            Token::Int(value) => write!(out, "{value}").unwrap_or_default(),
            Token::Big(negative, magnitude) => {
                big(negative, magnitude, self.limits.binary_bytes, out)
            }
            Token::Float(value) => float(value, out),
            Token::Atom(atom) => self.atom(atom, out),
            Token::Binary(bytes) => binary(bytes, self.limits, out),
            Token::Bits(bytes, bits) => bit_string(bytes, bits, self.limits, out),
            Token::Nil => out.push_str("[]"),
            Token::Pid(process) => self.names.process_name(process, out),
            Token::Port(port) => self.names.port_name(port, out),
            Token::Ref(words) => {
                out.push_str("#Reference<0");
                for word in words.rchunks_exact(4) {
                    let word = word
                        .iter()
                        .rev()
                        .fold(0, |word, &byte| word << 8 | u32::from(byte));
                    write!(out, ".{word}").unwrap_or_default();
                }
                out.push('>');
            }
            Token::Export(module, function, arity) => {
                out.push('&');
                self.atom(module, out);
                write!(out, ".{}/{arity}", self.name(function)).unwrap_or_default();
            }
            Token::Foreign(_) => out.push_str("#Remote<>"),
            Token::Redacted => out.push_str("#Redacted<>"),
            Token::Truncated(mark) => truncated(&mark, self.limits, out),
            _ => {}
        }
    }

    fn name(&self, atom: AtomId) -> String {
        let mut name = String::new();
        if !self.names.atom_name(atom, &mut name) {
            write!(name, "#{}", atom.0).unwrap_or_default();
        }
        name
    }

    fn atom(&self, atom: AtomId, out: &mut String) {
        let name = self.name(atom);
        match name.as_str() {
            "nil" | "true" | "false" => out.push_str(&name),
            _ => match name.strip_prefix("Elixir.") {
                Some(alias) if alias.split('.').all(plain_alias) => out.push_str(alias),
                _ => {
                    out.push(':');
                    if plain_name(&name) {
                        out.push_str(&name)
                    } else {
                        quoted(&name, out)
                    }
                }
            },
        }
    }

    fn fun(&self, fun: &FunHead, out: &mut String) {
        write!(
            out,
            "#Function<{}.{}/{} in ",
            fun.old_index, fun.old_uniq, fun.arity
        )
        .unwrap_or_default();
        self.atom(fun.module, out);
        out.push('>');
    }
}

fn plain_name(name: &str) -> bool {
    let body = name.strip_suffix(['?', '!']).unwrap_or(name);
    let mut characters = body.chars();
    characters
        .next()
        .is_some_and(|first| first == '_' || first.is_lowercase())
        && characters.all(|c| c == '_' || c == '@' || c.is_alphanumeric())
}

fn plain_alias(part: &str) -> bool {
    let mut characters = part.chars();
    characters
        .next()
        .is_some_and(|first| first.is_ascii_uppercase())
        && characters.all(|c| c == '_' || c.is_ascii_alphanumeric())
}

fn quoted(text: &str, out: &mut String) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\0' => out.push_str("\\0"),
            '\x07' => out.push_str("\\a"),
            '\x08' => out.push_str("\\b"),
            '\x0b' => out.push_str("\\v"),
            '\x0c' => out.push_str("\\f"),
            '\x1b' => out.push_str("\\e"),
            '#' => out.push('#'),
            c => out.push(c),
        }
    }
    out.push('"');
}

/// Text that Elixir prints as a string rather than as bytes.
fn printable(text: &str) -> bool {
    text.chars().all(|c| {
        !c.is_control()
            || matches!(
                c,
                '\n' | '\r' | '\t' | '\x07' | '\x08' | '\x0b' | '\x0c' | '\x1b' | '\0'
            )
    })
}

fn binary(bytes: &[u8], limits: Limits, out: &mut String) {
    let shown = bytes.get(..limits.binary_bytes).unwrap_or(bytes);
    let (text, cut) = match std::str::from_utf8(shown) {
        Ok(text) => (Some(text), shown.len() < bytes.len()),
        // a character cut in two by the limit is no flaw
        Err(error) if error.error_len().is_none() && shown.len() < bytes.len() => (
            shown
                .get(..error.valid_up_to())
                .and_then(|valid| std::str::from_utf8(valid).ok()),
            true,
        ),
        Err(_) => (None, false),
    };
    match text.filter(|text| printable(text)) {
        Some(text) => {
            quoted(text, out);
            if cut {
                out.push_str(" <> ...");
            }
        }
        None => bit_string(bytes, bytes.len() as u64 * 8, limits, out),
    }
}

fn bit_string(bytes: &[u8], bits: u64, limits: Limits, out: &mut String) {
    out.push_str("<<");
    for (index, byte) in bytes.iter().enumerate() {
        if index > 0 {
            out.push_str(", ");
        }
        if index >= limits.items {
            out.push_str("...");
            break;
        }
        match bits - (index as u64 * 8).min(bits) {
            odd @ 1..8 => write!(out, "{}::size({odd})", byte >> (8 - odd)),
            _ => write!(out, "{byte}"),
        }
        .unwrap_or_default();
    }
    out.push_str(">>");
}

/// As Elixir writes floats: the shortest digits that read back as the same, with a point in them.
fn float(value: f64, out: &mut String) {
    let text = format!("{value:?}");
    match text.split_once('e') {
        Some((mantissa, exponent)) if !mantissa.contains('.') => {
            write!(out, "{mantissa}.0e{exponent}").unwrap_or_default();
        }
        _ => out.push_str(&text),
    }
}

/// Decimal digits of a magnitude; of a very large one only its size, for the digits take quadratic time.
fn big(negative: bool, magnitude: &[u8], most: usize, out: &mut String) {
    if negative {
        out.push('-');
    }
    if magnitude.len() > most {
        write!(out, "#Integer<{} bytes>", magnitude.len()).unwrap_or_default();
        return;
    }
    const BILLION: u64 = 1_000_000_000;
    let mut limbs: Vec<u32> = magnitude
        .chunks(4)
        .map(|limb| {
            limb.iter()
                .rev()
                .fold(0, |word, &byte| word << 8 | u32::from(byte))
        })
        .collect();
    let mut groups = Vec::new();
    while limbs.iter().any(|&limb| limb != 0) {
        let mut remainder = 0;
        for limb in limbs.iter_mut().rev() {
            let value = remainder << 32 | u64::from(*limb);
            *limb = (value / BILLION) as u32;
            remainder = value % BILLION;
        }
        while limbs.last() == Some(&0) {
            limbs.pop();
        }
        groups.push(remainder);
    }
    let first = groups.pop().unwrap_or(0);
    write!(out, "{first}").unwrap_or_default();
    for group in groups.iter().rev() {
        write!(out, "{group:09}").unwrap_or_default();
    }
}

fn truncated(mark: &Mark<'_>, limits: Limits, out: &mut String) {
    match mark.cut {
        super::Cut::Binary => {
            let mut text = String::new();
            binary(mark.prefix, limits, &mut text);
            out.push_str(text.strip_suffix(" <> ...").unwrap_or(&text));
            out.push_str(" <> ...");
        }
        super::Cut::FunEnv => out.push_str(&String::from_utf8_lossy(mark.prefix)),
        _ => out.push_str("..."),
    }
}
