//! Bounded memory: what goes first, and what is carried on.

use super::*;

#[test]
fn thousands_of_processes_stay_within_the_cap_and_the_oldest_go_first() {
    let cap = 256 << 10;
    let mut writer = Writer::new(cap);
    let big = Tree::Binary(vec![7; 200]).bytes();
    for n in 0..3_000 {
        writer.sequence = 0;
        writer.time += 1;
        let process = ProcessId(100 + n);
        writer.put(process, StatePart::WHOLE | StatePart::FIRST, &big);
        for _ in 0..n % 5 {
            writer.put(process, StatePart::DELTA, &[delta_format::SAME]);
        }
        if n % 100 == 0 {
            assert_counted(&writer.timelines);
        }
    }
    assert_counted(&writer.timelines);
    let stats = writer.timelines.stats();
    assert!(
        stats.timelines > 100 && stats.timelines < 1_000,
        "{stats:?}"
    );
    assert_eq!(stats.processes, stats.timelines);
    let state = |n: u64| {
        writer
            .timelines
            .state_at(ProcessId(100 + n), None, When::Last)
    };
    assert!(state(2_999).is_ok());
    assert_eq!(state(2_000), Err(Missing::Evicted));
    assert_eq!(state(3_000), Err(Missing::NoStateRecorded));
    let mut found = 0;
    writer.timelines.all_at(When::Last, &mut |_, _| found += 1);
    assert_eq!(
        (found, writer.timelines.all().len()),
        (stats.timelines, stats.timelines)
    );
    writer.timelines.clear();
    assert_counted(&writer.timelines);
    assert_eq!(writer.timelines.stats().timelines, 0);
}

#[test]
fn an_idle_process_keeps_its_state_while_a_busy_one_pushes_its_history_out() {
    let mut writer = Writer::new(256 << 10);
    let (idle, dead) = (ProcessId(50), ProcessId(51));
    let state = Tree::Tuple(vec![Tree::Int(1), Tree::Binary(vec![7; 500])]).bytes();
    let step = [
        delta_format::TUPLE,
        1,
        delta_format::REPLACE,
        0x85,
        delta_format::TUPLE_END,
    ];
    for process in [idle, dead] {
        writer.sequence = 0;
        writer.time += 10;
        writer.put(process, StatePart::WHOLE | StatePart::FIRST, &state);
        writer.time += 10;
        writer.put(process, StatePart::DELTA, &step);
    }
    writer.timelines.ended(dead);
    writer.sequence = 0;
    writer.put(PROCESS, StatePart::WHOLE | StatePart::FIRST, &state);
    for _ in 0..50_000 {
        writer.time += 1;
        assert_eq!(writer.put(PROCESS, StatePart::DELTA, &step), Asked::No);
    }
    assert_counted(&writer.timelines);
    let timelines = &writer.timelines;
    let found = timelines.state_at(idle, None, When::Last).unwrap();
    assert_eq!((found.recorded_at, found.event), (TimeNs(20), EventId(2)));
    assert_eq!(found.state[2], 0x85);
    let before = timelines.state_at(idle, None, When::At(TimeNs(19)));
    assert_eq!(before, Err(Missing::Evicted));
    assert_eq!(
        timelines.state_at(dead, None, When::Last),
        Err(Missing::Evicted)
    );
    // and by age
    let time = writer.time;
    writer.timelines.retain(TimeNs(time - 5));
    let found = writer
        .timelines
        .state_at(PROCESS, None, When::At(TimeNs(time - 5)));
    assert!(found.is_ok());
    assert!(writer.timelines.state_at(idle, None, When::Last).is_ok());
}

#[test]
fn of_a_timeline_that_was_taken_away_and_begun_anew_the_time_before_is_evicted() {
    let mut writer = Writer::new(64 << 10);
    let state = |n: u8| Tree::Binary(vec![n; 2_000]).bytes();
    let (old, fresh) = (ProcessId(1), ProcessId(2));
    writer.put(old, StatePart::WHOLE | StatePart::FIRST, &state(1));
    writer.time = 10;
    for process in 100..200 {
        writer.sequence = 0;
        writer.put(
            ProcessId(process),
            StatePart::WHOLE | StatePart::FIRST,
            &state(2),
        );
    }
    let at = |writer: &Writer, process, time| {
        let found = writer
            .timelines
            .state_at(process, None, When::At(TimeNs(time)));
        found.map(|found| found.recorded_at.0)
    };
    assert_eq!(at(&writer, old, 5), Err(Missing::Evicted));
    writer.time = 20;
    for (process, flags) in [(old, StatePart::BREAKS), (fresh, StatePart::BREAKS)] {
        writer.sequence = 1;
        writer.put(process, StatePart::WHOLE | flags, &state(3));
    }
    assert_eq!(at(&writer, old, 20), Ok(20));
    assert_eq!(at(&writer, old, 5), Err(Missing::Evicted));
    assert_eq!(at(&writer, fresh, 5), Err(Missing::NoStateRecorded));
    let path = [&Tree::Int(1).bytes()[..]];
    let last = |process, seek| writer.timelines.last_change(process, None, &path, seek);
    assert_eq!(last(old, Seek::Before(TimeNs(20))), Err(Missing::Evicted));
    assert_eq!(last(old, Seek::After(TimeNs(5))), Err(Missing::Evicted));
    assert_eq!(
        last(fresh, Seek::Before(TimeNs(20))),
        Err(Missing::NeverChanged)
    );
    // a new process that has the number of an old one had no state before it began
    let reborn = ProcessId(100);
    assert_eq!(at(&writer, reborn, 10), Err(Missing::Evicted));
    writer.sequence = 0;
    writer.put(reborn, StatePart::WHOLE | StatePart::FIRST, &state(4));
    assert_eq!(at(&writer, reborn, 5), Err(Missing::NoStateRecorded));
}

#[test]
fn a_state_larger_than_is_kept_is_not_asked_for_all_the_time() {
    let mut writer = Writer::new(64 << 10);
    let huge = Tree::Binary(vec![7; 100_000]).bytes();
    let small = Tree::Int(1).bytes();
    let (whole, same) = (StatePart::WHOLE | StatePart::BREAKS, [delta_format::SAME]);
    let mut asked = 0;
    for _ in 0..1_000 {
        if writer.put(PROCESS, StatePart::DELTA, &same) == Asked::Keyframe {
            asked += 1;
            assert_eq!(writer.put(PROCESS, whole, &huge), Asked::No);
        }
        assert_counted(&writer.timelines);
    }
    assert!(asked < 12, "{asked}");
    assert_eq!(writer.put(PROCESS, whole, &small), Asked::No);
    // it grows too large, and is small again
    let mut asked = 0;
    let grow = replace(&huge);
    for _ in 0..1_000 {
        if writer.put(PROCESS, StatePart::DELTA, &grow) == Asked::Keyframe {
            asked += 1;
            writer.put(PROCESS, whole, &huge);
        }
        assert_counted(&writer.timelines);
    }
    assert!(asked < 12, "{asked}");
    let found = writer
        .timelines
        .state_at(PROCESS, None, When::Last)
        .unwrap();
    assert_eq!(found.quality, Quality::Approximate);
    assert_eq!(writer.put(PROCESS, whole, &small), Asked::No);
    assert_eq!(writer.put(PROCESS, StatePart::DELTA, &same), Asked::No);
    let found = writer
        .timelines
        .state_at(PROCESS, None, When::Last)
        .unwrap();
    assert_eq!(found.state, small);
}

#[test]
fn without_room_in_the_store_the_oldest_goes_and_nothing_is_taken_past_it() {
    let mut writer = Writer::new(1 << 20);
    let state = Tree::Binary(vec![7; 500]).bytes();
    writer.put(PROCESS, StatePart::WHOLE | StatePart::FIRST, &state);
    let held = writer.timelines.stats().bytes;
    for n in 2..500u64 {
        let replace = replace(&state);
        let part = StatePart {
            flags: StatePart::DELTA,
            sequence: n as u32,
            body: &replace,
        };
        let id = EventId(n);
        writer
            .timelines
            .change(PROCESS, MODULE, id, TimeNs(n as i64), &part, &mut |_| false);
        assert_counted(&writer.timelines);
    }
    assert!(writer.timelines.stats().bytes <= held + 1_000);
    let found = writer
        .timelines
        .state_at(PROCESS, None, When::Last)
        .unwrap();
    assert_eq!(found.quality, Quality::Approximate);
}
