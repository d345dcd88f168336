//! The BEAM's door to the engine: decode, call, encode.

mod term;
mod term_nifs;

rustler::init!("Elixir.ElixirScope.Native");
