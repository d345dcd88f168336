//! The BEAM's door to the engine: decode, call, encode.

mod term;
mod term_nifs;

#[rustler::nif]
fn loaded() -> bool {
    true
}

rustler::init!("Elixir.ElixirScope.Native");
