//! Everything that works on bytes, against the tree that they stand for.

use proptest::prelude::*;

use super::tree::{TestNames, Tree, any_tree, fun_head, pack};
use super::*;
use crate::event::AtomId;

/// Reads a value back as a tree, by recursion. Marks are refused.
fn read(reader: &mut Reader<'_>) -> Tree {
    let token = reader.token().unwrap();
    read_after(token, reader)
}

fn read_after(token: Token<'_>, reader: &mut Reader<'_>) -> Tree {
    match token {
        Token::Int(value) => Tree::Int(value),
        Token::Big(negative, magnitude) => Tree::Big(negative, magnitude.to_vec()),
        Token::Float(value) => Tree::Float(value),
        Token::Atom(atom) => Tree::Atom(atom.0),
        Token::Binary(bytes) => Tree::Binary(bytes.to_vec()),
        Token::Bits(bytes, bits) => {
            let unpacked: Vec<bool> = (0..bits as usize)
                .map(|at| bytes[at / 8] >> (7 - at % 8) & 1 == 1)
                .collect();
            assert_eq!(pack(&unpacked), bytes, "padded with zeros");
            Tree::Bits(unpacked)
        }
        Token::Nil => Tree::List(vec![], None),
        Token::List => {
            let mut elements = Vec::new();
            loop {
                match reader.token().unwrap() {
                    Token::End => return Tree::List(elements, None),
                    Token::Tail => return Tree::List(elements, Some(Box::new(read(reader)))),
                    token => elements.push(read_after(token, reader)),
                }
            }
        }
        Token::Tuple(n) => Tree::Tuple((0..n).map(|_| read(reader)).collect()),
        Token::Map(n) => Tree::Map((0..n).map(|_| (read(reader), read(reader))).collect()),
        Token::Pid(pid) => Tree::Pid(pid),
        Token::Port(port) => Tree::Port(port),
        Token::Ref(words) => Tree::Ref(
            words
                .chunks(4)
                .map(|word| u32::from_le_bytes(word.try_into().unwrap()))
                .collect(),
        ),
        Token::Fun(head) => {
            assert_eq!(
                head,
                fun_head(head.module.0, head.arity, head.free as usize)
            );
            assert_eq!(reader.token().unwrap(), Token::Pid(0x123));
            Tree::Fun(
                head.module.0,
                head.arity,
                (0..head.free).map(|_| read(reader)).collect(),
            )
        }
        Token::Export(module, function, arity) => Tree::Export(module.0, function.0, arity as u8),
        Token::Foreign(bytes) => Tree::Foreign(bytes.to_vec()),
        Token::Redacted => Tree::Redacted,
        Token::End | Token::Tail | Token::Truncated(_) | Token::Cut(_) => panic!("{token:?}"),
    }
}

/// Runs every algorithm over bytes of any kind: none may panic or fail to end.
fn survives(bytes: &[u8], other: &[u8]) {
    let valid = skip(bytes);
    if let Ok(size) = valid {
        assert!(size <= bytes.len() && size > 0);
    }
    let _ = validate(bytes);
    let _ = is_whole(bytes);
    let _ = compare(bytes, other, &TestNames);
    let _ = compare(other, bytes, &TestNames);
    let _ = equal(bytes, bytes);
    let _ = find_step(bytes, other);
    let _ = find_step(other, bytes);
    let _ = contains(bytes, other);
    let _ = inspect(bytes, &TestNames, Limits::default(), &mut String::new());
}

fn inspected(tree: &Tree) -> String {
    let mut out = String::new();
    inspect(&tree.bytes(), &TestNames, Limits::default(), &mut out).unwrap();
    out
}

proptest! {
    #[test]
    fn any_value_reads_back_as_it_was_written(tree in any_tree(), after in any::<[u8; 3]>()) {
        let bytes = tree.bytes();
        let mut reader = Reader::new(&bytes);
        prop_assert_eq!(&read(&mut reader), &tree);
        prop_assert!(reader.rest().is_empty());
        let followed = [bytes.as_slice(), &after].concat();
        prop_assert_eq!(skip(&followed), Ok(bytes.len()));
        prop_assert_eq!(split_first(&followed), Ok((bytes.as_slice(), after.as_slice())));
        prop_assert_eq!(validate(&[bytes.as_slice(), &bytes].concat()), Ok(2));
    }

    #[test]
    fn compare_matches_naive(a in any_tree(), b in any_tree()) {
        let (x, y) = (a.bytes(), b.bytes());
        prop_assert_eq!(compare(&x, &y, &TestNames), Ok(a.compare(&b, false)), "{:?} to {:?}", a, b);
        prop_assert_eq!(compare_exact(&x, &y, &TestNames), Ok(a.compare(&b, true)));
        prop_assert_eq!(equal(&x, &y), Ok(a.compare(&b, true).is_eq()));
        prop_assert_eq!(equal_numeric(&x, &y), Ok(a.compare(&b, false).is_eq()));
        prop_assert_eq!(equal(&x, &x), Ok(true));
    }

    #[test]
    fn equality_does_not_see_the_order_of_pairs(tree in any_tree()) {
        fn turned(tree: &Tree) -> Tree {
            match tree {
                Tree::Map(pairs) => Tree::Map(pairs.iter().rev().map(|(k, v)| (turned(k), turned(v))).collect()),
                Tree::List(elements, tail) => {
                    Tree::List(elements.iter().map(turned).collect(), tail.as_ref().map(|t| Box::new(turned(t))))
                }
                Tree::Tuple(elements) => Tree::Tuple(elements.iter().map(turned).collect()),
                other => other.clone(),
            }
        }
        prop_assert_eq!(equal(&tree.bytes(), &turned(&tree).bytes()), Ok(true));
    }

    #[test]
    fn find_step_and_contains_match_naive(tree in any_tree(), step in any_tree(), pick in any::<prop::sample::Index>()) {
        let mut steps = vec![step];
        match &tree {
            Tree::Map(pairs) if !pairs.is_empty() => steps.push(pairs[pick.index(pairs.len())].0.clone()),
            Tree::Tuple(elements) | Tree::List(elements, _) if !elements.is_empty() => {
                let at = pick.index(elements.len());
                steps.push(Tree::Int(at as i64));
                steps.push(elements[at].clone());
                if let Tree::Tuple(pair) = &elements[at] {
                    steps.extend(pair.first().cloned());
                }
            }
            Tree::Binary(bytes) if !bytes.is_empty() => steps.push(Tree::Binary(bytes[pick.index(bytes.len())..].to_vec())),
            _ => {}
        }
        let bytes = tree.bytes();
        for step in steps {
            let found = tree.step(&step).map(Tree::bytes);
            prop_assert_eq!(find_step(&bytes, &step.bytes()), Ok(found.as_deref()), "{:?} in {:?}", step, tree);
            prop_assert_eq!(contains(&bytes, &step.bytes()), Ok(tree.contains(&step)), "{:?} in {:?}", step, tree);
        }
    }

    #[test]
    fn a_budget_is_kept_and_leaves_a_value(tree in any_tree(), bytes in 0usize..300, depth in 0u32..6, length in prop::option::of(0u32..5)) {
        let budget = Budget { bytes, depth, length };
        let cut = tree.bytes_within(&budget);
        prop_assert!(cut.len() <= bytes + Writer::<Vec<u8>>::SLACK, "{} bytes of {}", cut.len(), bytes);
        prop_assert_eq!(skip(&cut), Ok(cut.len()));
        prop_assert_eq!(equal(&cut, &cut), Ok(true));
        let whole = tree.bytes();
        let roomy = tree.bytes_within(&Budget { bytes: whole.len() * 13 + 100, depth: 99, length: None });
        prop_assert_eq!(roomy, whole);
        survives(&cut, &tree.bytes());
    }

    #[test]
    fn rubbish_is_survived(bytes in prop::collection::vec(prop_oneof![0u8..0x18, any::<u8>()], 0..60), other in any_tree()) {
        survives(&bytes, &other.bytes());
    }
}

proptest! {
    // each case is hundreds of corruptions
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn corruption_at_every_byte_is_survived(tree in any_tree(), flip in 1u8..=255) {
        let whole = tree.bytes();
        let mut bytes = whole.clone();
        for at in 0..bytes.len() {
            bytes[at] ^= flip;
            survives(&bytes, &whole);
            survives(&bytes[..at], &whole);
            bytes[at] ^= flip;
        }
    }
}

#[test]
fn every_mark_reads_back() {
    for &cut in Cut::ALL {
        assert_eq!(Cut::from_u8(cut as u8), Some(cut));
        let mut out = Vec::new();
        let fit = Writer::new(&mut out, 100).truncated(cut, 300, Some(u64::from(u32::MAX)), b"ab");
        assert_eq!(fit, Ok(Fit::Written));
        let prefix: &[u8] = if cut.has_prefix() { b"ab" } else { b"" };
        let mark = Mark {
            cut,
            kept: 300,
            total: Some(u64::from(u32::MAX)),
            prefix,
        };
        assert_eq!(Reader::new(&out).token(), Ok(Token::Truncated(mark)));
        assert_eq!(skip(&out), Ok(out.len()));
        assert_eq!(is_whole(&out), Ok(false));
    }
}

#[test]
fn a_fun_that_was_cut_before_its_creator_is_compared() {
    let fun = Tree::Fun(1, 0, vec![Tree::Int(1)]);
    // a mark takes as much room as the creator and the one value
    let cut = fun.bytes_within(&Budget {
        bytes: fun.bytes().len(),
        depth: 9,
        length: None,
    });
    assert_eq!(
        cut.last_chunk(),
        Some(&[format::CUT, Cut::FunEnv as u8, 0, 2])
    );
    assert_eq!(equal(&cut, &cut), Ok(true));
    assert_eq!(
        compare(&cut, &fun.bytes(), &TestNames),
        Ok(std::cmp::Ordering::Greater)
    );
    assert_eq!(
        compare(&fun.bytes(), &cut, &TestNames),
        Ok(std::cmp::Ordering::Less)
    );
    let mut out = String::new();
    inspect(&cut, &TestNames, Limits::default(), &mut out).unwrap();
}

#[test]
fn depth_is_no_danger() {
    let mut bytes = vec![format::LIST; 50_000];
    bytes.push(format::NIL);
    bytes.extend(vec![format::END; 50_000]);
    assert_eq!(skip(&bytes), Ok(bytes.len()));
    assert_eq!(equal(&bytes, &bytes), Ok(true));
    let mut out = String::new();
    inspect(&bytes, &TestNames, Limits::default(), &mut out).unwrap();
    assert!(out.contains("..."));

    let mut maps = [format::MAP, 1, format::NIL].repeat(2_000);
    maps.push(format::NIL);
    survives(&maps, &maps);
}

#[test]
fn a_binary_is_cut_between_characters_and_says_its_size() {
    let text = "ä".repeat(200);
    for bytes in 60..64 {
        let mut out = Vec::new();
        assert_eq!(
            Writer::new(&mut out, bytes).binary(text.as_bytes()),
            Ok(Fit::Written)
        );
        let Ok(Token::Truncated(mark)) = Reader::new(&out).token() else {
            panic!("{out:?}")
        };
        assert!(std::str::from_utf8(mark.prefix).is_ok() && mark.prefix.len() > 20);
        assert_eq!(
            (mark.cut, mark.kept, mark.total),
            (Cut::Binary, mark.prefix.len() as u64, Some(400))
        );
    }
}

#[test]
fn text_is_what_elixir_would_print() {
    let atom = Tree::Atom;
    let text = |text: &str| Tree::Binary(text.into());
    let list = |elements| Tree::List(elements, None);
    let pair = |a, b| Tree::Tuple(vec![a, b]);
    for (tree, expected) in [
        (Tree::Int(-5), "-5"),
        (
            Tree::Big(true, vec![0, 0, 0, 0, 0, 0, 0, 0, 1]),
            "-18446744073709551616",
        ),
        (
            Tree::Big(false, vec![0xff; 20]),
            "1461501637330902918203684832716283019655932542975",
        ),
        (Tree::Float(1.0), "1.0"),
        (Tree::Float(1e22), "1.0e22"),
        (Tree::Float(1.5e-7), "1.5e-7"),
        (atom(2), "nil"),
        (atom(3), ":\"hello world\""),
        (atom(1), "My.Struct"),
        (atom(4), ":v4"),
        (text("a\"b\n"), "\"a\\\"b\\n\""),
        (Tree::Binary(vec![0xff, 1]), "<<255, 1>>"),
        (Tree::Bits(vec![true, false, true]), "<<5::size(3)>>"),
        (list(vec![]), "[]"),
        (list(vec![Tree::Int(1), Tree::Int(2)]), "[1, 2]"),
        (
            Tree::List(vec![Tree::Int(1)], Some(Box::new(Tree::Int(2)))),
            "[1 | 2]",
        ),
        (
            list(vec![
                pair(atom(4), Tree::Int(1)),
                pair(atom(3), Tree::Int(2)),
            ]),
            "[v4: 1, \"hello world\": 2]",
        ),
        (
            list(vec![pair(atom(4), Tree::Int(1)), Tree::Int(2)]),
            "[{:v4, 1}, 2]",
        ),
        (Tree::Map(vec![]), "%{}"),
        (
            Tree::Map(vec![(atom(4), Tree::Int(1)), (text("b"), Tree::Redacted)]),
            "%{v4: 1, \"b\" => #Redacted<>}",
        ),
        (
            Tree::Map(vec![(atom(5), Tree::Int(1)), (atom(0), atom(1))]),
            "%My.Struct{u5: 1}",
        ),
        (
            Tree::Map(vec![(atom(0), atom(1)), (atom(5), Tree::Int(1))]),
            "%My.Struct{u5: 1}",
        ),
        (Tree::Ref(vec![1, 2, 3]), "#Reference<0.3.2.1>"),
        (Tree::Export(1, 4, 2), "&My.Struct.v4/2"),
        (
            Tree::Fun(1, 2, vec![Tree::Int(1)]),
            "#Function<3.4294967295/2 in My.Struct>",
        ),
        (Tree::Tuple(vec![]), "{}"),
        (
            list((0..60).map(Tree::Int).collect()),
            &format!(
                "[{}, ...]",
                (0..50)
                    .map(|n| n.to_string())
                    .collect::<Vec<_>>()
                    .join(", ")
            ),
        ),
        (
            Tree::Map((0..60).map(|n| (Tree::Int(n), Tree::Int(n))).collect()),
            &format!(
                "%{{{}, ...}}",
                (0..50)
                    .map(|n| format!("{n} => {n}"))
                    .collect::<Vec<_>>()
                    .join(", ")
            ),
        ),
    ] {
        assert_eq!(inspected(&tree), expected);
    }
}

#[test]
fn malformed_bytes_say_what_and_where() {
    for (bytes, at, flaw) in [
        (&[][..], 0, Flaw::Ended),
        (&[0x7f], 0, Flaw::Tag(0x7f)),
        (&[format::END], 0, Flaw::Place),
        (&[format::LIST, format::END], 1, Flaw::Place),
        (
            &[format::LIST, 0x80, format::TAIL, format::NIL],
            3,
            Flaw::Place,
        ),
        (&[format::TUPLE, 2, 0x80], 3, Flaw::Ended),
        (
            &[format::MAP, 1, format::NIL, format::CUT, 4, 0, 0],
            3,
            Flaw::Place,
        ),
        (&[format::TUPLE, 1, format::CUT, 4, 0, 0], 2, Flaw::Place),
        (&[format::BINARY, 9, 1], 2, Flaw::Ended),
        (
            &[format::FLOAT, 0, 0, 0, 0, 0, 0, 0xf0, 0x7f],
            9,
            Flaw::Number,
        ),
        (
            &[format::ATOM, 0xff, 0xff, 0xff, 0xff, 0xff, 1],
            1,
            Flaw::Number,
        ),
    ] {
        let malformed = Malformed { at, flaw };
        assert_eq!(skip(bytes), Err(malformed), "{bytes:?}");
        assert!(malformed.to_string().contains(&format!("byte {at}")));
    }
}

#[test]
fn an_atom_is_found_by_its_number() {
    let tree = Tree::Map(vec![(Tree::Atom(300), Tree::Int(1))]);
    let mut key = Vec::new();
    assert_eq!(Writer::new(&mut key, 9).atom(AtomId(300)), Ok(Fit::Written));
    assert_eq!(find_step(&tree.bytes(), &key), Ok(Some(&[0x81][..])));
}

#[test]
fn a_negative_step_into_a_list_is_an_index_of_nothing_and_no_key() {
    let pair = Tree::Tuple(vec![Tree::Int(-1), Tree::Int(7)]);
    let list = Tree::List(vec![pair], None);
    assert_eq!(find_step(&list.bytes(), &Tree::Int(-1).bytes()), Ok(None));
}
