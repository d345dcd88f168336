"""Reads a Perfetto file with the public definitions, and holds it against what is expected on standard input.

usage: decode.py FILE < EXPECTED, which is `name count` a line
"""

import collections
import sys

from google.protobuf.unknown_fields import UnknownFieldSet
from perfetto.protos.perfetto.trace import perfetto_trace_pb2 as perfetto


def unknown(message):
    """How many fields of it, and of what is in it, the definitions do not have."""
    count = len(UnknownFieldSet(message))
    for _field, value in message.ListFields():
        for inner in value if isinstance(value, collections.abc.Sequence) else [value]:
            if hasattr(inner, "ListFields"):
                count += unknown(inner)
    return count


def main(path):
    trace = perfetto.Trace()
    with open(path, "rb") as file:
        trace.ParseFromString(file.read())

    event_type = perfetto.TrackEvent.Type
    found = collections.Counter()
    names, values, categories, tracks, open_slices = {}, {}, {}, {}, collections.Counter()
    for packet in trace.packet:
        assert unknown(packet) == 0, packet
        data = packet.interned_data
        names.update((entry.iid, entry.name) for entry in data.event_names)
        values.update((entry.iid, entry.name) for entry in data.debug_annotation_names)
        categories.update((entry.iid, entry.name) for entry in data.event_categories)
        if packet.HasField("track_descriptor"):
            track = packet.track_descriptor
            assert not track.parent_uuid or track.parent_uuid in tracks, track
            tracks[track.uuid] = track
            found["tracks"] += track.parent_uuid != 0 and not track.HasField("counter")
        if packet.HasField("track_event"):
            event = packet.track_event
            assert event.track_uuid in tracks, event
            assert all(value.name_iid in values for value in event.debug_annotations), event
            assert all(category in categories for category in event.category_iids), event
            if event.type in (event_type.TYPE_SLICE_BEGIN, event_type.TYPE_INSTANT):
                assert event.name_iid in names, event
            found[event_type.Name(event.type)] += 1
            open_slices[event.track_uuid] += {
                event_type.TYPE_SLICE_BEGIN: 1,
                event_type.TYPE_SLICE_END: -1,
            }.get(event.type, 0)
            assert open_slices[event.track_uuid] >= 0, event

    assert set(open_slices.values()) == {0}, open_slices
    assert "worker 1" in " ".join(track.name for track in tracks.values())
    kinds = {
        "tracks": "tracks",
        "begins": "TYPE_SLICE_BEGIN",
        "ends": "TYPE_SLICE_END",
        "instants": "TYPE_INSTANT",
        "counters": "TYPE_COUNTER",
    }
    for line in sys.stdin:
        if line.strip():
            name, count = line.split()
            assert found[kinds[name]] == int(count), f"expected {count} {name}, found {found}"
    print(f"{len(trace.packet)} packets, as expected: {dict(found)}")


main(*sys.argv[1:])
