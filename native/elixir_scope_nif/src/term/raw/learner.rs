//! Learns the [`Layout`] of the VM at hand, shape by shape, and tests each before it counts.

use rustler::{Env, Term};

use super::layout::{BOXED, FunSizes, KIND, Kind, Layout, NIL, TUPLE};
use super::peek::Peek;
use super::samples::{self, FunSample, Samples};
use crate::term::{Fun, Shape, Word};

/// The outcome, for the life of the library.
#[derive(Debug)]
pub(super) struct Learnt {
    pub layout: Layout,
    /// Whether words as such are as expected: immediates, list cells, and headers behind boxed words.
    pub base: bool,
    /// Each shape, and why it was not learnt.
    pub shapes: Vec<(&'static str, Option<String>)>,
}

/// Fails a step with a reason.
macro_rules! ensure {
    ($condition:expr, $($reason:tt)+) => {
        if !$condition {
            return Err(format!($($reason)+));
        }
    };
}

type Step = Result<(), String>;

pub(super) fn learn(env: Env<'_>, given: Term<'_>) -> Learnt {
    let mut learner = match Learner::new(env) {
        Ok(learner) => learner,
        Err(reason) => {
            return Learnt { layout: Layout::NONE, base: false, shapes: vec![("words", Some(reason))] };
        }
    };
    let base = learner.step("words", Learner::base_words);
    if base {
        learner.step("tuple", Learner::tuples);
        learner.step("float", Learner::floats);
        learner.step("big_integer", Learner::bigs);
        learner.step("binary", Learner::heap_binaries);
        learner.step("large_binary", Learner::large_binaries);
        learner.step("sub_binary", Learner::sub_binaries);
        learner.step("bit_string", Learner::bit_strings);
        learner.step("map", Learner::flat_maps);
        learner.step("large_map", Learner::large_maps);
        learner.step("colliding_keys", Learner::colliding_keys);
        learner.step("reference", Learner::references);
        learner.step("magic_reference", Learner::magic_references);
        learner.step("fun", Learner::local_funs);
        learner.step("external_fun", Learner::exports);
        let given = samples::list(given);
        learner.step("unaligned_bit_string", |it| it.unaligned(&given));
        learner.step("appended_binary", |it| it.appended(&given));
        learner.step("alias_reference", |it| it.aliases(&given));
        learner.test_given(&given);
    }
    Learnt { layout: learner.layout, base, shapes: learner.shapes }
}

struct Learner {
    samples: Samples,
    peek: Peek,
    layout: Layout,
    shapes: Vec<(&'static str, Option<String>)>,
}

impl Learner {
    fn new(env: Env<'_>) -> Result<Learner, String> {
        ensure!(
            cfg!(all(target_pointer_width = "64", target_endian = "little")),
            "not a 64-bit little-endian machine"
        );
        Ok(Learner {
            samples: Samples::new(env)?,
            peek: Peek::new().ok_or("no pipe to read memory through")?,
            layout: Layout::NONE,
            shapes: Vec::new(),
        })
    }

    /// Takes one step; undoes it if it failed.
    fn step(&mut self, name: &'static str, step: impl FnOnce(&mut Learner) -> Step) -> bool {
        let before = self.layout;
        let failure = step(self).err();
        if failure.is_some() {
            self.layout = before;
        }
        let learnt = failure.is_none();
        self.shapes.push((name, failure));
        learnt
    }

    fn shape(&self, term: Word) -> Option<Shape<'static, super::Hamt>> {
        // SAFETY: the terms are of the environment of the call that loads the library, and no shape outlives it.
        unsafe { self.layout.shape(term) }
    }

    /// The header of a boxed term, and so many words behind it.
    fn boxed<const N: usize>(&mut self, term: Word) -> Result<(Word, [Word; N]), String> {
        ensure!(term & 0b11 == BOXED, "not a boxed word: {term:#x}");
        let words = self.peek.term(term, N + 1).ok_or("a boxed word points nowhere")?;
        let (header, rest) = words.split_first().ok_or("no header")?;
        let rest = rest.first_chunk().ok_or("too short")?;
        Ok((*header, *rest))
    }

    /// Says what headers of this kind mean; each kind has one meaning.
    #[allow(clippy::indexing_slicing, reason = "six bits into 64 entries")]
    fn name_kind(&mut self, header: Word, kind: Kind) -> Step {
        ensure!(header & 0b11 == 0, "not a header: {header:#x}");
        let slot = &mut self.layout.kinds[header & KIND];
        ensure!(*slot == Kind::Unknown || *slot == kind, "headers of {kind:?} and {slot:?} look the same");
        *slot = kind;
        Ok(())
    }

    fn base_words(&mut self) -> Step {
        let integers = [0, 1, -1, 42, -77, (1 << 59) - 1, -(1 << 59)];
        for value in integers {
            let word = self.samples.integer(value);
            ensure!(
                matches!(self.shape(word), Some(Shape::Int(read)) if read == value),
                "the integer {value} is {word:#x}"
            );
        }
        for name in ["ok", "elixir_scope", "elixir_scope_probe", ""] {
            let word = self.samples.atom(name);
            ensure!(
                matches!(self.shape(word), Some(Shape::Atom(id)) if id.0 as usize == word >> 6),
                "an atom is {word:#x}"
            );
        }
        ensure!(self.samples.empty_list() == NIL, "the empty list is {:#x}", self.samples.empty_list());
        for pid in [self.samples.own_pid(), self.samples.pid(1), self.samples.pid(0x4321)] {
            let word = pid.ok_or("no pid")?;
            ensure!(matches!(self.shape(word), Some(Shape::Pid(_))), "a pid is {word:#x}");
        }
        for number in [1, 5, 0x0765_4321] {
            let word = self.samples.port(number).ok_or("no port")?;
            ensure!(matches!(self.shape(word), Some(Shape::Port(_))), "a port is {word:#x}");
        }
        let (one, ok) = (self.samples.integer(1), self.samples.atom("ok"));
        let mut tail = NIL;
        for head in [one, ok, one] {
            let list = self.samples.cell(head, tail);
            ensure!(list & 0b11 == 0b01, "a list is {list:#x}");
            ensure!(self.peek.term(list, 2).is_some_and(|cell| cell == [head, tail]), "a list cell has other words");
            ensure!(
                matches!(self.shape(list), Some(Shape::Cons(h, t)) if (h, t) == (head, tail)),
                "a list cell was read wrongly"
            );
            tail = list;
        }
        Ok(())
    }

    fn tuples(&mut self) -> Step {
        for size in [1, 2, 3, 17, 70, 0] {
            let elements: Vec<Word> = (0..size).map(|n| self.samples.integer(n * 3)).collect();
            let tuple = self.samples.tuple(&elements);
            let (header, []) = self.boxed(tuple)?;
            ensure!(header == elements.len() << 6 | TUPLE, "the header of {size} elements is {header:#x}");
            self.name_kind(header, Kind::Tuple)?;
            ensure!(size == 0 || self.peek.term(tuple, elements.len() + 1).is_some(), "a tuple is shorter");
            ensure!(
                matches!(self.shape(tuple), Some(Shape::Tuple(read)) if read == elements),
                "{size} elements were read wrongly"
            );
        }
        Ok(())
    }

    fn floats(&mut self) -> Step {
        for value in [0.0, -0.0, 1.5, -1e300, f64::MIN_POSITIVE] {
            let float = self.samples.float(value);
            let (header, [bits]) = self.boxed(float)?;
            ensure!(bits as u64 == f64::to_bits(value), "a float has other bits");
            self.name_kind(header, Kind::Float)?;
            self.layout.float_header = header;
            ensure!(
                matches!(self.shape(float), Some(Shape::Float(read)) if read.to_bits() == value.to_bits()),
                "{value} was read wrongly"
            );
        }
        Ok(())
    }

    fn bigs(&mut self) -> Step {
        for value in [1 << 59, i64::MAX, -(1 << 59) - 1, i64::MIN + 1, i64::MIN] {
            let big = self.samples.integer(value);
            let (header, [digit]) = self.boxed(big)?;
            ensure!(header >> 6 == 1 && digit as u64 == value.unsigned_abs(), "{value} has other digits");
            self.name_kind(header, if value < 0 { Kind::NegativeBig } else { Kind::PositiveBig })?;
            ensure!(matches!(self.shape(big), Some(Shape::Int(read)) if read == value), "{value} was read wrongly");
        }
        let digits: Vec<u8> = (1..=200).collect();
        for (negative, length) in [(false, 9), (true, 9), (false, 16), (true, 24), (false, 200)] {
            let digits = digits.get(..length).unwrap_or_default();
            let big = self.samples.big(negative, digits).ok_or("no big integer")?;
            let (header, []) = self.boxed(big)?;
            ensure!(header >> 6 == length.div_ceil(8), "{length} bytes of digits have the header {header:#x}");
            let Some(Shape::Big(sign, read)) = self.shape(big) else { return Err("not read as big".into()) };
            let zeros = read.get(length..).unwrap_or_default();
            ensure!(
                sign == negative && read.starts_with(digits) && zeros.iter().all(|byte| *byte == 0),
                "{length} bytes of digits were read wrongly"
            );
        }
        let unsigned = self.samples.unsigned(u64::MAX);
        ensure!(
            matches!(self.shape(unsigned), Some(Shape::Big(false, read)) if read == [255; 8]),
            "2^64 - 1 was read wrongly"
        );
        Ok(())
    }

    fn heap_binaries(&mut self) -> Step {
        for length in [1, 0, 7, 8, 9, 31, 63, 64] {
            let content = content(length);
            let binary = self.samples.binary(&content);
            let (header, [size]) = self.boxed(binary)?;
            if length > 0 {
                let kind = match size {
                    _ if size == length => Kind::HeapBinary,
                    _ if size == length * 8 => Kind::HeapBits,
                    _ => return Err(format!("{length} bytes have the size {size}")),
                };
                self.name_kind(header, kind)?;
            }
            self.same_bytes(binary, &content)?;
        }
        Ok(())
    }

    fn large_binaries(&mut self) -> Step {
        for length in [100, 300, 5000] {
            let content = content(length);
            let binary = self.samples.binary(&content);
            let (header, words) = self.boxed::<5>(binary)?;
            if words.first() == Some(&length) {
                let at = self.points_to(&words, &content).ok_or("no pointer to the bytes")?;
                self.name_kind(header, Kind::ProcBin)?;
                self.layout.proc_bin_header = header;
                self.layout.proc_bin_bytes = at + 1;
            } else {
                let [base, start, end, original, _] = words;
                ensure!(start & 7 == 0 && end.checked_sub(start) == Some(length * 8), "{length} bytes have another size");
                ensure!(self.points_to(&[(base & !0b11) + start / 8], &content).is_some(), "no pointer to the bytes");
                let (bin_ref, [binary_at]) = self.boxed(original)?;
                ensure!(base & 0b11 == 0 && binary_at < base && base - binary_at <= 64, "no pointer to the binary");
                self.name_kind(header, Kind::SubBits)?;
                self.layout.sub_bits_header = header;
                self.layout.bin_ref_header = bin_ref;
            }
            self.same_bytes(binary, &content)?;
        }
        Ok(())
    }

    fn sub_binaries(&mut self) -> Step {
        for length in [40, 300] {
            let content = content(length);
            let whole = self.samples.binary(&content);
            for (start, end) in [(1, length), (3, 30), (8, 9), (0, length - 1), (5, 5)] {
                let part = self.samples.sub_binary(whole, start, end - start);
                let (header, words) = self.boxed::<4>(part)?;
                let known = |kind| kind == Kind::SubBits || kind == Kind::HeapBits;
                if !known(self.layout.kind(header)) {
                    let [size, offset, _, original] = words;
                    ensure!((size, offset) == (end - start, start), "a part has another size or offset");
                    ensure!(original == whole, "a part has another original");
                    self.name_kind(header, Kind::SubBinary)?;
                    self.layout.sub_binary_header = header;
                }
                self.same_bytes(part, content.get(start..end).unwrap_or_default())?;
            }
        }
        Ok(())
    }

    fn bit_strings(&mut self) -> Step {
        for (length, last) in [(1, 3), (8, 7), (20, 1), (300, 5)] {
            let mut content = content(length);
            if let Some(byte) = content.last_mut() {
                *byte &= !(0xff >> last);
            }
            let bits = self.samples.bit_string(&content, last).ok_or("no bit string")?;
            let Some(Shape::Bits(read)) = self.shape(bits) else { return Err("not read as bits".into()) };
            let expected = (content.len() as u64 - 1) * 8 + u64::from(last);
            ensure!(read.bits == expected && read.offset == 0, "{expected} bits were read as {}", read.bits);
            ensure!(shifted(&read) == content, "{expected} bits were read wrongly");
        }
        Ok(())
    }

    fn flat_maps(&mut self) -> Step {
        for size in [1, 2, 3, 32, 0] {
            let keys: Vec<Word> = (0..size).map(|n| self.samples.integer(n * 5)).collect();
            let values: Vec<Word> = (0..size).map(|n| self.samples.integer(n * 7)).collect();
            let map = self.samples.map(&keys, &values).ok_or("no map")?;
            let (header, [count, _]) = self.boxed(map)?;
            ensure!(count == keys.len() && header >> 6 & 0b11 == 0, "{size} keys have the header {header:#x}");
            self.name_kind(header, Kind::Map)?;
            let Some(Shape::FlatMap(read_keys, read_values)) = self.shape(map) else {
                return Err(format!("{size} keys are no flat map"));
            };
            let read = read_keys.iter().copied().zip(read_values.iter().copied());
            ensure!(self.samples.pairs(map).is_some_and(|pairs| read.eq(pairs)), "{size} keys were read wrongly");
        }
        Ok(())
    }

    fn large_maps(&mut self) -> Step {
        self.layout.hamt = true;
        for size in [33, 34, 65, 300, 1_000, 5_000] {
            let integers: Vec<Word> = (0..size).map(|n| self.samples.integer(n * 7919)).collect();
            let tuples: Vec<Word> = integers.iter().map(|n| self.samples.tuple(&[*n])).collect();
            for keys in [&integers, &tuples] {
                let map = self.samples.map(keys, &integers).ok_or("no map")?;
                let (header, [count]) = self.boxed(map)?;
                ensure!(self.layout.kind(header) == Kind::Map, "{size} keys have the header {header:#x}");
                ensure!(count == keys.len(), "{size} keys have the size {count}");
                self.same_pairs(map)?;
            }
        }
        Ok(())
    }

    /// Funs whose identity differs in what no hash of the VM sees collide in all its bits. Only where keys that collide
    /// in all bits have nodes of their own: earlier releases hash again, without end.
    fn colliding_keys(&mut self) -> Step {
        ensure!(self.layout.hamt, "large maps were not learnt");
        let release = samples::otp_release().ok_or("no release")?;
        ensure!(release >= 27, "OTP {release} has no nodes for them");
        self.layout.collisions = true;
        for colliding in [2, 3, 20] {
            let mut keys: Vec<Word> = (0..40).map(|n| self.samples.integer(n)).collect();
            for n in 0..colliding {
                let fun = FunSample { uniq: [n; 16], ..FUN };
                keys.push(self.samples.fun(&fun).ok_or("no fun")?);
            }
            let map = self.samples.map(&keys, &keys).ok_or("funs of different code are the same key")?;
            self.same_pairs(map)?;
        }
        Ok(())
    }

    fn references(&mut self) -> Step {
        for _ in 0..3 {
            let reference = self.samples.reference();
            let (header, []) = self.boxed(reference)?;
            self.name_kind(header, Kind::Ref)?;
            ensure!(header >> 6 == 2, "the header is {header:#x}");
            ensure!(self.peek.term(reference, 3).is_some(), "a reference is shorter");
            self.layout.ref_header = header;
            self.same_numbers(reference)?;
        }
        Ok(())
    }

    fn magic_references(&mut self) -> Step {
        ensure!(self.layout.ref_header != 0, "references were not learnt");
        for _ in 0..2 {
            let reference = self.samples.resource().ok_or("no resource")?;
            let (header, [binary, _]) = self.boxed(reference)?;
            ensure!(header == self.layout.ref_header, "the header is {header:#x}");
            ensure!(binary & 0b111 == 0, "no pointer");
            let numbers = self.samples.reference_numbers(reference).ok_or("no numbers")?;
            let pattern: Vec<u8> = numbers.iter().flat_map(|n| n.to_ne_bytes()).collect();
            let head = self.peek.bytes(binary, 64).ok_or("a pointer to nowhere")?;
            self.layout.magic_numbers = find(&head, &pattern).ok_or("no numbers behind the pointer")?;
            self.same_numbers(reference)?;
        }
        Ok(())
    }

    fn local_funs(&mut self) -> Step {
        let term = self.samples.fun(&FUN).ok_or("no fun")?;
        // twelve values stand in the fun, so that its first words are its own on any release
        let (header, words) = self.boxed::<15>(term)?;
        let first = self.samples.integer(0);
        let env = words.iter().take(5).position(|word| *word == first).ok_or("no environment")?;
        self.name_kind(header, Kind::Fun)?;
        self.layout.fun_env = env + 1;
        let sizes = [FUN.arity, FUN.env];
        let bytes: Vec<u8> = words.iter().take(env).flat_map(|word| word.to_ne_bytes()).collect();
        let (arity, free) = (usize::from(FUN.arity), usize::from(FUN.env));
        self.layout.fun_sizes = if header >> 8 == arity | (free + 1) << 8 {
            FunSizes::InHeaderWithReference
        } else if header >> 8 == arity | free << 8 {
            FunSizes::InHeader
        } else {
            let at = bytes.chunks(8).position(|word| word.starts_with(&sizes)).ok_or("no arity")?;
            FunSizes::InThing(8 + at * 8)
        };
        let module = self.samples.atom(FUN.module);
        let entry = words.first().copied().unwrap_or_default();
        let entry = self.peek.bytes(entry, 112).ok_or("no entry")?;
        let at = |pattern: &[u8], what: &str| find(&entry, pattern).ok_or(format!("no {what} in the entry"));
        self.layout.entry_module = at(&module.to_ne_bytes(), "module")?;
        self.layout.entry_index = at(&FUN.index.to_ne_bytes(), "index")?;
        self.layout.entry_uniq = at(&FUN.uniq, "digest")?;
        self.layout.entry_old_index = at(&FUN.old_index.to_ne_bytes(), "old index")?;
        self.layout.entry_old_uniq = at(&FUN.old_uniq.to_ne_bytes(), "old digest")?;
        self.layout.creator = self.samples.creator_of(term, &FUN).filter(|pid| pid & 0b1111 == 0b0011);
        self.layout.local_funs = true;
        let others = [(0, 0), (1, 1), (2, 0), (7, 5), (255, 200), (0, 12)];
        let others = others.map(|(arity, env)| FunSample { arity, env, index: 9, old_index: 70_000, ..FUN });
        for sample in [FUN].into_iter().chain(others) {
            self.same_fun(&sample)?;
        }
        Ok(())
    }

    fn same_fun(&self, sample: &FunSample) -> Step {
        let (arity, env) = (sample.arity, sample.env);
        let term = self.samples.fun(sample).ok_or("no fun")?;
        ensure!(matches!(self.shape(term), Some(Shape::Fun)), "arity {arity}, {env} values: no fun");
        // SAFETY: as in `shape`.
        let read: Fun<'_> = unsafe { self.layout.fun(term) }.ok_or("no parts of a fun")?;
        let expected = self.samples.expected(sample, self.samples.creator_of(term, sample));
        ensure!(Fun { env: &[], ..read } == expected, "arity {arity}, {env} values: read as {read:?}");
        let values: Vec<Word> = (0..env).map(|n| self.samples.integer(n.into())).collect();
        ensure!(read.env == values, "arity {arity}, {env} values: the environment was read wrongly");
        Ok(())
    }

    fn exports(&mut self) -> Step {
        ensure!(self.layout.local_funs, "local funs were not learnt");
        let known = [("erlang", "element", 2), ("erlang", "setelement", 3), ("lists", "reverse", 1)];
        for (module, function, arity) in known {
            let term = self.samples.export(module, function, arity).ok_or("no external fun")?;
            let (header, [entry]) = self.boxed(term)?;
            ensure!(self.layout.kind(header) == Kind::Fun, "the header is {header:#x}");
            let mfa = [self.samples.atom(module), self.samples.atom(function), arity.into()];
            let pattern: Vec<u8> = mfa.iter().flat_map(|word| word.to_ne_bytes()).collect();
            let entry = self.peek.bytes(entry, 160).ok_or("no entry")?;
            self.layout.export_mfa = find(&entry, &pattern).ok_or("no function in the entry")?;
            self.layout.exports = true;
            let [module, function, arity] = mfa;
            ensure!(
                matches!(self.shape(term), Some(Shape::Export(m, f, a))
                    if m.0 as usize == module >> 6 && f.0 as usize == function >> 6 && a as usize == arity),
                "an external fun was read wrongly"
            );
        }
        Ok(())
    }

    /// Parts of binaries that start inside of a byte.
    fn unaligned(&mut self, given: &[Word]) -> Step {
        self.layout.unaligned = true;
        let mut seen = false;
        for &term in given {
            let Some(Shape::Bits(bits)) = self.shape(term) else { continue };
            seen |= bits.offset != 0;
            self.agrees(term)?;
        }
        ensure!(seen, "no sample was given");
        Ok(())
    }

    /// Binaries that grew in place. Nothing is to be learnt where a part always points to a handle that follows its bytes.
    fn appended(&mut self, given: &[Word]) -> Step {
        let mut seen = false;
        for &term in given {
            if term & 0b11 != BOXED {
                continue;
            }
            let (header, []) = self.boxed(term)?;
            match self.layout.kind(header) {
                Kind::SubBinary => {
                    let (_, [_, _, flags, _]) = self.boxed(term)?;
                    seen |= flags >> 16 & 0xff == 1;
                }
                Kind::SubBits => {
                    let (_, [base, _, _, original]) = self.boxed(term)?;
                    if base & 0b10 == 0 {
                        continue;
                    }
                    let sample = self.samples.binary(&content(100));
                    let (_, [plain_base, _, _, plain_original]) = self.boxed(sample)?;
                    let (_, [binary]) = self.boxed(plain_original)?;
                    let (bin_ref, []) = self.boxed(original)?;
                    ensure!(bin_ref == self.layout.bin_ref_header, "the original's header is {bin_ref:#x}");
                    self.layout.binary_bytes = plain_base - binary;
                    seen = true;
                }
                _ => continue,
            }
            self.agrees(term)?;
        }
        ensure!(seen, "no sample was given");
        Ok(())
    }

    /// References of aliases, which hold a process as well.
    fn aliases(&mut self, given: &[Word]) -> Step {
        let mut seen = false;
        for &term in given {
            if term & 0b11 != BOXED {
                continue;
            }
            let (header, []) = self.boxed(term)?;
            if self.layout.kind(header) == Kind::Ref && header != self.layout.ref_header {
                ensure!(header >> 6 == 3, "the header is {header:#x}");
                let numbers = self.samples.reference_numbers(term).map_or(0, |numbers| numbers.len());
                ensure!(numbers == 3 || numbers == 5, "{numbers} numbers");
                self.layout.pid_ref_header = header;
                self.layout.pid_ref_numbers = numbers as u8;
                self.same_numbers(term)?;
                seen = true;
            }
        }
        ensure!(seen, "no sample was given");
        Ok(())
    }

    /// Compares all given terms, and unlearns the kind of one that was read wrongly.
    fn test_given(&mut self, given: &[Word]) {
        for &term in given {
            if let Err(reason) = self.agrees(term) {
                if let Ok((header, [])) = self.boxed(term)
                    && let Some(slot) = self.layout.kinds.get_mut(header & KIND)
                {
                    *slot = Kind::Unknown;
                }
                self.shapes.push(("given_sample", Some(reason)));
            }
        }
    }

    /// Compares what was read of `term` with what its external format says.
    fn agrees(&self, term: Word) -> Step {
        match self.shape(term) {
            Some(Shape::Binary(read)) => {
                let read = read.to_vec(); // before the VM may move it
                let length = (read.len() as u32).to_be_bytes();
                let expected = [&[131, 109], &length[..], &read].concat();
                ensure!(self.samples.external(term) == Some(expected), "a binary was read wrongly");
            }
            Some(Shape::Bits(bits)) if bits.bits & 7 != 0 => {
                let (read, last) = (shifted(&bits), (bits.bits & 7) as u8);
                let length = (read.len() as u32).to_be_bytes();
                let expected = [&[131, 77], &length[..], &[last], &read].concat();
                ensure!(self.samples.external(term) == Some(expected), "a bit string was read wrongly");
            }
            Some(Shape::Bits(bits)) => self.same_external_bytes(term, &shifted(&bits))?,
            Some(Shape::Map(_)) => self.same_pairs(term)?,
            Some(Shape::Ref(_)) => self.same_numbers(term)?,
            Some(Shape::Fun) => {
                // SAFETY: as in `shape`.
                let read = unsafe { self.layout.fun(term) }.ok_or("no parts of a fun")?;
                let free = u32::try_from(read.env.len()).unwrap_or(u32::MAX).to_be_bytes();
                let expected = [&[read.arity], &read.uniq[..], &read.index.to_be_bytes(), &free].concat();
                let external = self.samples.external(term).ok_or("a fun has no external format")?;
                ensure!(external.get(6..31) == Some(&expected[..]), "a fun was read wrongly");
            }
            _ => {}
        }
        Ok(())
    }

    fn same_external_bytes(&self, term: Word, read: &[u8]) -> Step {
        let length = (read.len() as u32).to_be_bytes();
        let expected = [&[131, 109], &length[..], read].concat();
        ensure!(self.samples.external(term) == Some(expected), "a binary was read wrongly");
        Ok(())
    }

    fn same_bytes(&self, term: Word, expected: &[u8]) -> Step {
        let length = expected.len();
        ensure!(
            matches!(self.shape(term), Some(Shape::Binary(read)) if read == expected),
            "{length} bytes were read wrongly"
        );
        Ok(())
    }

    fn same_pairs(&self, map: Word) -> Step {
        let Some(Shape::Map(mut hamt)) = self.shape(map) else { return Err("not read as a large map".into()) };
        let expected = self.samples.pairs(map).ok_or("no pairs")?;
        let size = expected.len();
        ensure!(hamt.len() == size, "{size} keys were read as {}", hamt.len());
        for pair in expected {
            ensure!(hamt.next_pair() == Ok(Some(pair)), "{size} keys were read wrongly");
        }
        ensure!(hamt.next_pair() == Ok(None), "{size} keys were read as more");
        Ok(())
    }

    fn same_numbers(&self, reference: Word) -> Step {
        let Some(Shape::Ref(read)) = self.shape(reference) else { return Err("not read as a reference".into()) };
        let expected = self.samples.reference_numbers(reference).ok_or("no numbers")?;
        ensure!(read.words.get(..read.count.into()) == Some(&expected[..]), "the numbers were read wrongly");
        Ok(())
    }

    /// The first of `words` that points to `content`.
    fn points_to(&mut self, words: &[Word], content: &[u8]) -> Option<usize> {
        let head = content.get(..content.len().min(512))?;
        words.iter().position(|word| self.peek.bytes(*word, head.len()).as_deref() == Some(head))
    }
}

/// A fun no field of which looks like another.
const FUN: FunSample = FunSample {
    module: "elixir_scope_probe",
    arity: 3,
    index: 0x0123_4567,
    uniq: *b"the digest of it",
    old_index: 0x0234_5671,
    old_uniq: 0x0345_6712,
    env: 12,
};

fn content(length: usize) -> Vec<u8> {
    (0..length).map(|n| (n * 7 + n / 251 + 1) as u8).collect()
}

/// The bits from the high end of the first byte on, the last byte padded with zeros.
fn shifted(bits: &crate::term::Bits<'_>) -> Vec<u8> {
    let length = bits.bits.div_ceil(8) as usize;
    let byte = |at: usize| bits.bytes.get(at).copied().unwrap_or(0);
    let mut shifted: Vec<u8> = (0..length)
        .map(|at| (u16::from_be_bytes([byte(at), byte(at + 1)]) << bits.offset >> 8) as u8)
        .collect();
    if let Some(last) = shifted.last_mut()
        && bits.bits & 7 != 0
    {
        *last &= !(0xff >> (bits.bits & 7));
    }
    shifted
}

fn find(bytes: &[u8], pattern: &[u8]) -> Option<usize> {
    bytes.windows(pattern.len()).position(|window| window == pattern)
}
