//! The BEAM's door to the engine: decode, call, encode.

mod atoms;
mod callback;
mod capture;
mod cost;
mod entry;
mod event_store;
mod events;
mod faults;
mod fields;
mod functions;
mod gate;
mod handle;
mod host;
mod init;
mod library;
mod payload;
mod query;
mod recorder;
mod ring_buffer;
mod runtime;
mod settings;
mod site;
mod subscription;
mod term;
mod term_tests;
mod thread;
