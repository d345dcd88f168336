//! Binaries and bit strings.

use super::super::layout::{BOXED, Kind};
use super::{Learner, Step, ensure};
use crate::term::{Shape, Word};

impl Learner {
    pub(super) fn heap_binaries(&mut self) -> Step {
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

    pub(super) fn large_binaries(&mut self) -> Step {
        for length in [100, 300, 5000] {
            let content = content(length);
            let binary = self.samples.binary(&content);
            let (header, words) = self.boxed::<5>(binary)?;
            if words.first() == Some(&length) {
                let at = self
                    .points_to(&words, &content)
                    .ok_or("no pointer to the bytes")?;
                self.name_kind(header, Kind::ProcBin)?;
                self.layout.proc_bin_header = header;
                self.layout.proc_bin_bytes = at + 1;
            } else {
                let [base, start, end, original, _] = words;
                ensure!(
                    start & 7 == 0 && end.checked_sub(start) == Some(length * 8),
                    "{length} bytes have another size"
                );
                ensure!(
                    self.points_to(&[(base & !0b11) + start / 8], &content)
                        .is_some(),
                    "no pointer to the bytes"
                );
                let (bin_ref, [binary_at]) = self.boxed(original)?;
                ensure!(
                    base & 0b11 == 0 && binary_at < base && base - binary_at <= 64,
                    "no pointer to the binary"
                );
                self.name_kind(header, Kind::SubBits)?;
                self.layout.sub_bits_header = header;
                self.layout.bin_ref_header = bin_ref;
            }
            self.same_bytes(binary, &content)?;
        }
        Ok(())
    }

    pub(super) fn sub_binaries(&mut self) -> Step {
        for length in [40, 300] {
            let content = content(length);
            let whole = self.samples.binary(&content);
            for (start, end) in [(1, length), (3, 30), (8, 9), (0, length - 1), (5, 5)] {
                let part = self.samples.sub_binary(whole, start, end - start);
                let (header, words) = self.boxed::<4>(part)?;
                let known = |kind| kind == Kind::SubBits || kind == Kind::HeapBits;
                if !known(self.layout.kind(header)) {
                    let [size, offset, _, original] = words;
                    ensure!(
                        (size, offset) == (end - start, start),
                        "a part has another size or offset"
                    );
                    ensure!(original == whole, "a part has another original");
                    self.name_kind(header, Kind::SubBinary)?;
                    self.layout.sub_binary_header = header;
                }
                self.same_bytes(part, content.get(start..end).unwrap_or_default())?;
            }
        }
        Ok(())
    }

    pub(super) fn bit_strings(&mut self) -> Step {
        for (length, last) in [(1, 3), (8, 7), (20, 1), (300, 5)] {
            let mut content = content(length);
            if let Some(byte) = content.last_mut() {
                *byte &= !(0xff >> last);
            }
            let bits = self
                .samples
                .bit_string(&content, last)
                .ok_or("no bit string")?;
            let Some(Shape::Bits(read)) = self.shape(bits) else {
                return Err("not read as bits".into());
            };
            let expected = (content.len() as u64 - 1) * 8 + u64::from(last);
            ensure!(
                read.bits == expected && read.offset == 0,
                "{expected} bits were read as {}",
                read.bits
            );
            ensure!(
                read.shifted(u64::MAX).as_slice() == content,
                "{expected} bits were read wrongly"
            );
        }
        Ok(())
    }

    /// Parts of binaries that start inside of a byte.
    pub(super) fn unaligned(&mut self, given: &[Word]) -> Step {
        self.layout.unaligned = true;
        let mut seen = false;
        for &term in given {
            let Some(Shape::Bits(bits)) = self.shape(term) else {
                continue;
            };
            seen |= bits.offset != 0;
            self.agrees(term)?;
        }
        ensure!(seen, "no sample was given");
        Ok(())
    }

    /// Binaries that grew in place. Nothing is to be learnt where a part always points to a handle that follows its bytes.
    pub(super) fn appended(&mut self, given: &[Word]) -> Step {
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
                    ensure!(
                        bin_ref == self.layout.bin_ref_header,
                        "the original's header is {bin_ref:#x}"
                    );
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

    pub(super) fn same_bytes(&self, term: Word, expected: &[u8]) -> Step {
        let length = expected.len();
        ensure!(
            matches!(self.shape(term), Some(Shape::Binary(read)) if read == expected),
            "{length} bytes were read wrongly"
        );
        Ok(())
    }

    /// The first of `words` that points to `content`.
    pub(super) fn points_to(&mut self, words: &[Word], content: &[u8]) -> Option<usize> {
        let head = content.get(..content.len().min(512))?;
        words
            .iter()
            .position(|word| self.peek.bytes(*word, head.len()).as_deref() == Some(head))
    }
}

fn content(length: usize) -> Vec<u8> {
    (0..length).map(|n| (n * 7 + n / 251 + 1) as u8).collect()
}
