//! Words as such, tuples and numbers.

use super::super::layout::{Kind, NIL, TUPLE};
use super::{Learner, Step, ensure};
use crate::term::{Shape, Word};

impl Learner {
    pub(super) fn base_words(&mut self) -> Step {
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
        ensure!(
            self.samples.empty_list() == NIL,
            "the empty list is {:#x}",
            self.samples.empty_list()
        );
        for pid in [
            self.samples.own_pid(),
            self.samples.pid(1),
            self.samples.pid(0x4321),
        ] {
            let word = pid.ok_or("no pid")?;
            ensure!(
                matches!(self.shape(word), Some(Shape::Pid(_))),
                "a pid is {word:#x}"
            );
        }
        for number in [1, 5, 0x0765_4321] {
            let word = self.samples.port(number).ok_or("no port")?;
            ensure!(
                matches!(self.shape(word), Some(Shape::Port(_))),
                "a port is {word:#x}"
            );
        }
        let (one, ok) = (self.samples.integer(1), self.samples.atom("ok"));
        let mut tail = NIL;
        for head in [one, ok, one] {
            let list = self.samples.cell(head, tail);
            ensure!(list & 0b11 == 0b01, "a list is {list:#x}");
            ensure!(
                self.peek
                    .term(list, 2)
                    .is_some_and(|cell| cell == [head, tail]),
                "a list cell has other words"
            );
            ensure!(
                matches!(self.shape(list), Some(Shape::Cons(h, t)) if (h, t) == (head, tail)),
                "a list cell was read wrongly"
            );
            tail = list;
        }
        Ok(())
    }

    pub(super) fn tuples(&mut self) -> Step {
        for size in [1, 2, 3, 17, 70, 0] {
            let elements: Vec<Word> = (0..size).map(|n| self.samples.integer(n * 3)).collect();
            let tuple = self.samples.tuple(&elements);
            let (header, []) = self.boxed(tuple)?;
            ensure!(
                header == elements.len() << 6 | TUPLE,
                "the header of {size} elements is {header:#x}"
            );
            self.name_kind(header, Kind::Tuple)?;
            ensure!(
                size == 0 || self.peek.term(tuple, elements.len() + 1).is_some(),
                "a tuple is shorter"
            );
            ensure!(
                matches!(self.shape(tuple), Some(Shape::Tuple(read)) if read == elements),
                "{size} elements were read wrongly"
            );
        }
        Ok(())
    }

    pub(super) fn floats(&mut self) -> Step {
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

    pub(super) fn bigs(&mut self) -> Step {
        for value in [1 << 59, i64::MAX, -(1 << 59) - 1, i64::MIN + 1, i64::MIN] {
            let big = self.samples.integer(value);
            let (header, [digit]) = self.boxed(big)?;
            ensure!(
                header >> 6 == 1 && digit as u64 == value.unsigned_abs(),
                "{value} has other digits"
            );
            self.name_kind(
                header,
                if value < 0 {
                    Kind::NegativeBig
                } else {
                    Kind::PositiveBig
                },
            )?;
            ensure!(
                matches!(self.shape(big), Some(Shape::Int(read)) if read == value),
                "{value} was read wrongly"
            );
        }
        let digits: Vec<u8> = (1..=200).collect();
        for (negative, length) in [(false, 9), (true, 9), (false, 16), (true, 24), (false, 200)] {
            let digits = digits.get(..length).unwrap_or_default();
            let big = self.samples.big(negative, digits).ok_or("no big integer")?;
            let (header, []) = self.boxed(big)?;
            ensure!(
                header >> 6 == length.div_ceil(8),
                "{length} bytes of digits have the header {header:#x}"
            );
            let Some(Shape::Big(sign, read)) = self.shape(big) else {
                return Err("not read as big".into());
            };
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
}
