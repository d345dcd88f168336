//! References and funs.

use super::super::layout::{BOXED, FunSizes, Kind};
use super::samples::FunSample;
use super::{Learner, Step, ensure};
use crate::term::{Fun, Shape, Word};

/// A fun no field of which looks like another.
pub(super) const FUN: FunSample = FunSample {
    module: "elixir_scope_probe",
    arity: 3,
    index: 0x0123_4567,
    uniq: *b"the digest of it",
    old_index: 0x0234_5671,
    old_uniq: 0x0345_6712,
    env: 12,
};

impl Learner {
    pub(super) fn references(&mut self) -> Step {
        for _ in 0..3 {
            let reference = self.samples.reference();
            let (header, []) = self.boxed(reference)?;
            self.name_kind(header, Kind::Ref)?;
            ensure!(header >> 6 == 2, "the header is {header:#x}");
            ensure!(
                self.peek.term(reference, 3).is_some(),
                "a reference is shorter"
            );
            self.layout.ref_header = header;
            self.same_numbers(reference)?;
        }
        Ok(())
    }

    /// References of things that the VM collects (atomics, resources), which hold a pointer to their numbers.
    pub(super) fn magic_references(&mut self, given: &[Word]) -> Step {
        ensure!(self.layout.ref_header != 0, "references were not learnt");
        let mut seen = false;
        for &term in given {
            if term & 0b11 != BOXED {
                continue;
            }
            let (header, [binary, _]) = self.boxed(term)?;
            if header != self.layout.ref_header || binary & 0b111 != 0 {
                continue;
            }
            let numbers = self.samples.reference_numbers(term).ok_or("no numbers")?;
            let pattern: Vec<u8> = numbers.iter().flat_map(|n| n.to_ne_bytes()).collect();
            let head = self.peek.bytes(binary, 64).ok_or("a pointer to nowhere")?;
            self.layout.magic_numbers =
                find(&head, &pattern).ok_or("no numbers behind the pointer")?;
            self.same_numbers(term)?;
            seen = true;
        }
        ensure!(seen, "no sample was given");
        Ok(())
    }

    pub(super) fn local_funs(&mut self) -> Step {
        let term = self.samples.fun(&FUN).ok_or("no fun")?;
        // twelve values stand in the fun, so that its first words are its own on any release
        let (header, words) = self.boxed::<15>(term)?;
        let first = self.samples.integer(0);
        let env = words
            .iter()
            .take(5)
            .position(|word| *word == first)
            .ok_or("no environment")?;
        self.name_kind(header, Kind::Fun)?;
        self.layout.fun_env = env + 1;
        let sizes = [FUN.arity, FUN.env];
        let bytes: Vec<u8> = words
            .iter()
            .take(env)
            .flat_map(|word| word.to_ne_bytes())
            .collect();
        let (arity, free) = (usize::from(FUN.arity), usize::from(FUN.env));
        self.layout.fun_sizes = if header >> 8 == arity | (free + 1) << 8 {
            FunSizes::HeaderAndReference
        } else if header >> 8 == arity | free << 8 {
            FunSizes::Header
        } else {
            let at = bytes
                .chunks(8)
                .position(|word| word.starts_with(&sizes))
                .ok_or("no arity")?;
            FunSizes::Thing(8 + at * 8)
        };
        let module = self.samples.atom(FUN.module);
        let entry = words.first().copied().unwrap_or_default();
        let entry = self.peek.bytes(entry, 112).ok_or("no entry")?;
        let at = |pattern: &[u8], what: &str| {
            find(&entry, pattern).ok_or(format!("no {what} in the entry"))
        };
        self.layout.entry_module = at(&module.to_ne_bytes(), "module")?;
        self.layout.entry_index = at(&FUN.index.to_ne_bytes(), "index")?;
        self.layout.entry_uniq = at(&FUN.uniq, "digest")?;
        self.layout.entry_old_index = at(&FUN.old_index.to_ne_bytes(), "old index")?;
        self.layout.entry_old_uniq = at(&FUN.old_uniq.to_ne_bytes(), "old digest")?;
        self.layout.creator = self
            .samples
            .creator_of(term, &FUN)
            .filter(|pid| pid & 0b1111 == 0b0011);
        self.layout.local_funs = true;
        let others = [(0, 0), (1, 1), (2, 0), (7, 5), (255, 200), (0, 12)];
        let others = others.map(|(arity, env)| FunSample {
            arity,
            env,
            index: 9,
            old_index: 70_000,
            ..FUN
        });
        for sample in [FUN].into_iter().chain(others) {
            self.same_fun(&sample)?;
        }
        Ok(())
    }

    pub(super) fn same_fun(&self, sample: &FunSample) -> Step {
        let (arity, env) = (sample.arity, sample.env);
        let term = self.samples.fun(sample).ok_or("no fun")?;
        ensure!(
            matches!(self.shape(term), Some(Shape::Fun)),
            "arity {arity}, {env} values: no fun"
        );
        // SAFETY: as in `shape`.
        let read: Fun<'_> = unsafe { self.layout.fun(term) }.ok_or("no parts of a fun")?;
        let expected = self
            .samples
            .expected(sample, self.samples.creator_of(term, sample));
        ensure!(
            Fun { env: &[], ..read } == expected,
            "arity {arity}, {env} values: read as {read:?}"
        );
        let values: Vec<Word> = (0..env).map(|n| self.samples.integer(n.into())).collect();
        ensure!(
            read.env == values,
            "arity {arity}, {env} values: the environment was read wrongly"
        );
        Ok(())
    }

    pub(super) fn exports(&mut self) -> Step {
        ensure!(self.layout.local_funs, "local funs were not learnt");
        let known = [
            ("erlang", "element", 2),
            ("erlang", "setelement", 3),
            ("lists", "reverse", 1),
        ];
        for (module, function, arity) in known {
            let term = self
                .samples
                .export(module, function, arity)
                .ok_or("no external fun")?;
            let (header, [entry]) = self.boxed(term)?;
            ensure!(
                self.layout.kind(header) == Kind::Fun,
                "the header is {header:#x}"
            );
            let mfa = [
                self.samples.atom(module),
                self.samples.atom(function),
                arity.into(),
            ];
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

    /// References of aliases, which hold a process as well.
    pub(super) fn aliases(&mut self, given: &[Word]) -> Step {
        let mut seen = false;
        for &term in given {
            if term & 0b11 != BOXED {
                continue;
            }
            let (header, []) = self.boxed(term)?;
            if self.layout.kind(header) == Kind::Ref && header != self.layout.ref_header {
                ensure!(header >> 6 == 3, "the header is {header:#x}");
                let numbers = self
                    .samples
                    .reference_numbers(term)
                    .map_or(0, |numbers| numbers.len());
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

    pub(super) fn same_numbers(&self, reference: Word) -> Step {
        let Some(Shape::Ref(read)) = self.shape(reference) else {
            return Err("not read as a reference".into());
        };
        let expected = self
            .samples
            .reference_numbers(reference)
            .ok_or("no numbers")?;
        ensure!(
            read.words.get(..read.count.into()) == Some(&expected[..]),
            "the numbers were read wrongly"
        );
        Ok(())
    }
}

fn find(bytes: &[u8], pattern: &[u8]) -> Option<usize> {
    bytes
        .windows(pattern.len())
        .position(|window| window == pattern)
}
