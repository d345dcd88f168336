//! Recordings with losses, replaced states and damage: nothing that is called exact is wrong.

use proptest::prelude::*;

use super::*;

/// What happens to a recording.
#[derive(Clone, Copy, Debug)]
enum Harm {
    None,
    /// The record is lost.
    Lost,
    /// Something replaces the state unseen, before the change.
    Replaced,
    /// A part of the delta is not known.
    Unknown,
    /// A part of the state is left out.
    Cut,
    /// The record is damaged.
    Damaged,
}

fn harm() -> impl Strategy<Value = Harm> {
    prop_oneof![
        30 => Just(Harm::None),
        1 => Just(Harm::Lost),
        1 => Just(Harm::Replaced),
        1 => Just(Harm::Unknown),
        1 => Just(Harm::Cut),
        1 => Just(Harm::Damaged),
    ]
}

/// How the next state is recorded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Form {
    Delta,
    /// A delta that puts another value in the place of the whole state.
    Replace,
    Check,
    Whole,
    Breaks,
}

/// A process whose state is one number in each of four places, and its recording under all sorts of harm: what it held since
/// when, and when its last record came.
fn harmed(story: &[(usize, i64, Harm, Form, i64)]) -> (Writer, Vec<(i64, Vec<u8>)>, i64) {
    let mut writer = Writer::new(64 << 20);
    let mut held = [0i64; 4];
    let bytes = |held: &[i64; 4]| {
        let places = held.iter().map(|&value| Tree::Int(value)).collect();
        Tree::Tuple(vec![Tree::Tuple(places), Tree::Binary(vec![7; 100])]).bytes()
    };
    // what the process recorded last, and what it held when
    let mut seen = bytes(&held);
    let mut truth = vec![(100, seen.clone())];
    let mut told = 100;
    writer.time = 100;
    writer.put(PROCESS, StatePart::WHOLE | StatePart::FIRST, &seen);
    for &(place, value, harm, form, pause) in story {
        writer.time += 1 + pause;
        let mut unseen = false;
        if let Harm::Replaced = harm {
            held[(place + 1) % 4] = value + 1;
            truth.push((writer.time, bytes(&held)));
            writer.time += 1 + pause;
            unseen = true;
        }
        held[place % 4] = value;
        let state = bytes(&held);
        truth.push((writer.time, state.clone()));
        told = if matches!(harm, Harm::Lost) {
            told
        } else {
            writer.time
        };
        let mut delta = Vec::new();
        diff(&seen, &state, &mut delta).unwrap();
        // replaced states are told by the fingerprint: the whole state is recorded, and that it breaks
        let form = if unseen { Form::Breaks } else { form };
        let (mut flags, mut body) = match form {
            Form::Delta => (StatePart::DELTA, delta),
            Form::Replace => (StatePart::DELTA, replace(&state)),
            Form::Check => (StatePart::CHECK, [delta, state.clone()].concat()),
            Form::Whole => (StatePart::WHOLE, state.clone()),
            Form::Breaks => (StatePart::WHOLE | StatePart::BREAKS, state.clone()),
        };
        seen = state;
        match harm {
            Harm::Lost => {
                writer.sequence += 1;
                writer.id += 1;
                continue;
            }
            Harm::Unknown if form == Form::Delta => body = vec![delta_format::UNKNOWN],
            Harm::Cut if form != Form::Check => {
                flags |= StatePart::CUT;
                // the number is there, the text is not
                let places = held.iter().map(|&value| Tree::Int(value)).collect();
                let mut cut = vec![crate::value::format::TUPLE, 2];
                cut.extend(Tree::Tuple(places).bytes());
                cut.extend([crate::value::format::TRUNCATED, 8, 0, 0]);
                body = match form {
                    Form::Delta | Form::Replace => replace(&cut),
                    _ => cut,
                };
            }
            Harm::Damaged => body = vec![0x77; 3],
            _ => {}
        }
        writer.put(PROCESS, flags, &body);
        assert_counted(&writer.timelines);
    }
    (writer, truth, told)
}

fn form() -> impl Strategy<Value = Form> {
    prop_oneof![
        20 => Just(Form::Delta),
        2 => Just(Form::Replace),
        2 => Just(Form::Check),
        1 => Just(Form::Whole),
        1 => Just(Form::Breaks),
    ]
}

proptest! {
    #[test]
    fn with_losses_and_replaced_states_nothing_that_is_called_exact_is_wrong(
        story in prop::collection::vec((0..4usize, 0..9i64, harm(), form(), 0..3i64), 1..300),
    ) {
        let (writer, truth, told) = harmed(&story);
        let timelines = &writer.timelines;
        prop_assert_eq!(timelines.stats().mismatches, 0);
        let held_at = |time: i64| {
            let at = truth.partition_point(|(since, _)| *since <= time);
            at.checked_sub(1).map(|at| &truth[at].1)
        };
        let harmed = story.iter().any(|(_, _, harm, ..)| !matches!(harm, Harm::None));
        for time in 99..=truth[truth.len() - 1].0 + 1 {
            let found = timelines.state_at(PROCESS, None, When::At(TimeNs(time)));
            let Some(held) = held_at(time) else {
                prop_assert_eq!(found, Err(Missing::NoStateRecorded));
                continue;
            };
            let found = found.unwrap();
            let right = equal(&found.state, held).unwrap();
            // that something is missing is known when the next record comes
            let least = if time < told { Quality::Approximate } else { Quality::Unverified };
            prop_assert!(right || found.quality >= least, "at {}: {:?}", time, found.quality);
            // a whole state that differs from the one before it tells that something is missing
            let tells = harmed || story.iter().any(|(.., form, _)| matches!(form, Form::Whole | Form::Breaks));
            prop_assert!(tells || found.quality != Quality::Approximate);
        }
        let view = timelines.view(PROCESS, MODULE, EventId(0)..=EventId(u64::MAX)).unwrap();
        let mut walk = view.walk();
        for id in 1..=writer.id {
            let Some(stride) = walk.seek(EventId(id)) else { continue };
            let quality = stride.quality();
            let (mut old, mut new) = (Vec::new(), Vec::new());
            let had = stride.old_state(&mut old);
            stride.new_state(&mut new);
            if quality == Quality::Exact {
                let is_held = |state: &[u8]| truth.iter().any(|(_, held)| equal(held, state).unwrap());
                prop_assert!(is_held(&new) && (!had || is_held(&old)));
            }
        }
    }
}

proptest! {
    #[test]
    fn damaged_records_never_panic_and_are_counted(
        records in prop::collection::vec(
            (any::<u8>(), 0..4u32, 0..3u64, prop::collection::vec(0..40u8, 0..30)),
            1..200,
        ),
    ) {
        let mut writer = Writer::new(32 << 10);
        for (flags, skip, process, body) in &records {
            writer.sequence += skip;
            writer.time += 1;
            writer.put(ProcessId(*process), *flags, body);
            assert_counted(&writer.timelines);
        }
        for process in 0..3 {
            let process = ProcessId(process);
            for time in 0..=writer.time {
                let _ = writer.timelines.state_at(process, None, When::At(TimeNs(time)));
            }
            let _ = writer.timelines.last_change(process, None, &[&[0x81]], Seek::Before(TimeNs(99)));
            let _ = writer.timelines.last_change(process, None, &[&[0x77]], Seek::After(TimeNs(0)));
            let _ = writer.timelines.diff(process, None, When::At(TimeNs(5)), When::Last, &mut |_| {});
        }
    }
}
