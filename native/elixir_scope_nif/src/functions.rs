//! The native functions of `ElixirScope.Native`, all of them.

use rustler::sys::ErlNifFunc;
use rustler::{Encoder, Env, Term};

use crate::entry::functions;
use crate::term::raw;
use crate::{
    atoms, capture, event_store, export, flow, guard, library, query, recorder, ring_buffer, site,
    subscription, term_tests, timeline, tracer,
};

fn ok(env: Env<'_>) -> Term<'_> {
    atoms::ok().to_term(env)
}

fn no_token(env: Env<'_>) -> Term<'_> {
    raw::small(env, -1)
}

fn nothing(env: Env<'_>) -> Term<'_> {
    atoms::nil().to_term(env)
}

fn no(env: Env<'_>) -> Term<'_> {
    false.encode(env)
}

/// In the order of `native.ex`.
pub const FUNCTIONS: &[ErlNifFunc] = functions! {
    normal c"load_info" / 0 => library::load_info;
    dirty c"raw_learn" / 1 => library::raw_learn;
    capture c"noop_3" / 3 => capture::noop, or ok;

    dirty c"start" / 1 => recorder::start;
    dirty c"stop" / 0 => recorder::stop;
    normal c"pause" / 0 => recorder::pause;
    dirty c"resume" / 0 => recorder::resume;
    normal c"running" / 0 => recorder::running;
    dirty c"status" / 0 => recorder::status;
    normal c"update_config" / 1 => recorder::update_config;
    dirty_io c"guard_level" / 1 => guard::set_level;
    dirty_io c"guard_reading" / 0 => guard::reading;
    normal c"now" / 0 => recorder::now;
    normal c"time_offset" / 0 => recorder::time_offset;

    capture c"recording" / 0 => capture::is_recording, or no;
    mark c"event" / 3 => capture::Fields, or UserEvent;
    mark c"event_map" / 4 => capture::MapFields, or UserEvent;
    mark c"event_map" / 5 => capture::MapFields, or UserEvent;
    mark c"event_map" / 6 => capture::MapFields, or UserEvent;
    mark c"event_map" / 7 => capture::MapFields, or UserEvent;
    mark c"event_map" / 8 => capture::MapFields, or UserEvent;
    mark c"event_map" / 9 => capture::MapFields, or UserEvent;
    mark c"metric" / 5 => capture::Fields, or PerformanceMetric;
    mark c"span_start" / 3 => capture::SpanStart, or SpanStart;
    capture c"span_stop" / 4 => capture::span_stop, or ok;
    mark c"snapshot" / 2 => capture::Fields, or VariableAssignment;
    mark c"enter_0" / 1 => capture::Enter, or FunctionEntry;
    mark c"enter_1" / 2 => capture::Enter, or FunctionEntry;
    mark c"enter_2" / 3 => capture::Enter, or FunctionEntry;
    mark c"enter_3" / 4 => capture::Enter, or FunctionEntry;
    mark c"enter_4" / 5 => capture::Enter, or FunctionEntry;
    mark c"enter_5" / 6 => capture::Enter, or FunctionEntry;
    mark c"enter_6" / 7 => capture::Enter, or FunctionEntry;
    mark c"enter_7" / 8 => capture::Enter, or FunctionEntry;
    mark c"enter_8" / 9 => capture::Enter, or FunctionEntry;
    capture c"enter_n" / 2 => capture::enter_list, or no_token;
    capture c"exit" / 3 => capture::exit, or ok;
    capture c"exit_tail" / 2 => capture::exit_tail, or ok;
    capture c"exit_void" / 2 => capture::exit_void, or ok;
    capture c"exit_error" / 5 => capture::exit_error, or ok;
    capture c"exit_callback" / 5 => capture::exit_callback, or ok;
    capture c"loop_state" / 3 => capture::loop_state, or ok;
    capture c"loop_state" / 4 => capture::loop_next, or ok;
    capture c"state_seen" / 3 => capture::state_seen, or ok;
    capture c"state_of" / 3 => capture::state_of, or ok;
    capture c"message" / 4 => capture::message, or ok;
    capture c"spawned" / 2 => capture::spawned, or ok;
    dirty c"switch" / 1 => site::switch;
    capture c"mute" / 0 => capture::mute, or ok;
    capture c"mute_for_life" / 0 => capture::mute_for_life, or ok;
    capture c"unmute" / 0 => capture::unmute, or ok;

    raw c"enabled" / 3 => tracer::told;
    raw c"trace" / 5 => tracer::told;
    normal c"trace_open" / 1 => tracer::trace_open;
    dirty c"trace_members" / 3 => tracer::trace_members;
    dirty c"trace_leave_out" / 2 => tracer::trace_leave_out;
    normal c"trace_record" / 1 => tracer::trace_record;
    normal c"trace_function" / 4 => tracer::trace_function;
    normal c"trace_end" / 2 => tracer::trace_end;
    dirty c"trace_free" / 1 => tracer::trace_free;
    normal c"trace_status" / 0 => tracer::trace_status;
    capture c"trace_note" / 4 => tracer::trace_note, or ok;
    capture c"crash_state" / 1 => tracer::crash_state, or nothing;
    capture c"crash_note" / 6 => tracer::crash_note, or ok;

    dirty c"get_events" / 1 => query::get_events;
    dirty c"message_flow" / 1 => flow::message_flow;
    dirty c"causes" / 1 => flow::causes;
    dirty c"effects" / 1 => flow::effects;
    dirty c"count_events" / 1 => query::count_events;
    dirty c"explain" / 1 => query::explain;
    dirty c"estimate" / 1 => query::estimate;

    dirty c"export_open" / 2 => export::open;
    dirty c"export_step" / 1 => export::step;

    dirty c"state_at" / 1 => timeline::state_at;
    dirty c"state_diff" / 1 => timeline::state_diff;
    dirty c"last_change" / 1 => timeline::last_change;
    dirty c"states_at" / 1 => timeline::states_at;
    dirty c"stacks_at" / 1 => timeline::stacks_at;
    dirty c"timeline_pids" / 0 => timeline::timeline_pids;

    normal c"subscribe" / 4 => subscription::subscribe;
    dirty c"subscription_take" / 2 => subscription::take;
    normal c"subscription_close" / 1 => subscription::close;

    dirty c"ring_new" / 2 => ring_buffer::new;
    normal c"ring_write" / 2 => ring_buffer::write;
    dirty c"ring_write_large" / 2 => ring_buffer::write_large;
    normal c"ring_refused" / 1 => ring_buffer::refused;
    normal c"ring_read" / 2 => ring_buffer::read;
    dirty c"ring_read_batch" / 3 => ring_buffer::read_batch;
    normal c"ring_stats" / 1 => ring_buffer::stats;
    dirty c"ring_clear" / 1 => ring_buffer::clear;
    dirty c"ring_destroy" / 1 => ring_buffer::destroy;

    dirty c"store_new" / 1 => event_store::new;
    dirty c"store_put" / 2 => event_store::put;
    dirty c"store_query" / 2 => event_store::query;
    dirty c"store_stats" / 1 => event_store::stats;

    dirty c"term_encode" / 2 => term_tests::encode_term;
    dirty c"term_decode" / 1 => term_tests::decode_term;
    normal c"term_delta" / 3 => term_tests::delta_of;
    dirty c"term_patch" / 2 => term_tests::patch;
    normal c"states_told" / 0 => capture::states_told;
    normal c"term_fingerprint" / 2 => term_tests::fingerprint_of;
    normal c"term_shapes" / 0 => library::term_shapes;
    normal c"raw_terms" / 1 => library::raw_terms;
};
