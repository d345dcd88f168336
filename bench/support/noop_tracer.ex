defmodule Bench.NoopTracer do
  @moduledoc false

  # A tracer in native code that does nothing: what the VM itself takes to tell one. Built from a few lines of Rust, which wants no
  # crate, into a temporary folder.

  @source ~S"""
  use std::ffi::{c_char, c_int, c_uint, c_void};
  use std::sync::atomic::{AtomicUsize, Ordering};

  type Term = usize;
  type Nif = unsafe extern "C" fn(*mut c_void, c_int, *const Term) -> Term;
  type Load = unsafe extern "C" fn(*mut c_void, *mut *mut c_void, Term) -> c_int;

  #[repr(C)]
  struct Func { name: *const c_char, arity: c_uint, function: Nif, flags: c_uint }

  #[repr(C)]
  struct Entry {
      major: c_int, minor: c_int, name: *const c_char, count: c_int, functions: *const Func,
      load: Option<Load>, reload: usize, upgrade: usize, unload: usize,
      variant: *const c_char, options: c_uint, size_of_resource_init: usize, least: *const c_char,
  }

  extern "C" { fn enif_make_atom(env: *mut c_void, name: *const c_char) -> Term; }

  static TRACE: AtomicUsize = AtomicUsize::new(0);
  static OK: AtomicUsize = AtomicUsize::new(0);

  unsafe extern "C" fn load(env: *mut c_void, _: *mut *mut c_void, _: Term) -> c_int {
      TRACE.store(unsafe { enif_make_atom(env, c"trace".as_ptr()) }, Ordering::Relaxed);
      OK.store(unsafe { enif_make_atom(env, c"ok".as_ptr()) }, Ordering::Relaxed);
      0
  }

  unsafe extern "C" fn enabled(_: *mut c_void, _: c_int, _: *const Term) -> Term { TRACE.load(Ordering::Relaxed) }
  unsafe extern "C" fn trace(_: *mut c_void, _: c_int, _: *const Term) -> Term { OK.load(Ordering::Relaxed) }

  #[no_mangle]
  pub extern "C" fn nif_init() -> *const Entry {
      let functions = Box::leak(Box::new([
          Func { name: c"enabled".as_ptr(), arity: 3, function: enabled, flags: 0 },
          Func { name: c"trace".as_ptr(), arity: 5, function: trace, flags: 0 },
      ]));
      Box::leak(Box::new(Entry {
          major: 2, minor: 15, name: c"Elixir.Bench.NoopTracer".as_ptr(), count: 2, functions: functions.as_ptr(),
          load: Some(load), reload: 0, upgrade: 0, unload: 0,
          variant: c"beam.vanilla".as_ptr(), options: 1, size_of_resource_init: 24, least: c"erts-12.0".as_ptr(),
      }))
  }
  """

  @doc "Builds and loads it; ends the benchmark where that cannot be."
  @spec build!() :: :ok
  def build! do
    folder = Path.join(System.tmp_dir!(), "elixir_scope_bench_#{System.os_time()}")
    File.mkdir_p!(folder)

    try do
      source = Path.join(folder, "noop_tracer.rs")
      File.write!(source, @source)

      arguments =
        ~w(--edition 2021 --crate-type cdylib -O -o) ++ [Path.join(folder, "noop_tracer.so"), source]

      case System.cmd("rustc", arguments, stderr_to_stdout: true) do
        {_, 0} -> :ok
        {said, _} -> Bench.abort("rustc does not build the tracer that does nothing:\n#{said}")
      end

      case :erlang.load_nif(String.to_charlist(Path.join(folder, "noop_tracer")), 0) do
        :ok -> :ok
        {:error, why} -> Bench.abort("the tracer that does nothing is not loaded: #{inspect(why)}")
      end

      # The answers that make the VM tell it.
      Bench.check!(
        {enabled(:send, 0, self()), trace(:send, 0, self(), :x, %{})} == {:trace, :ok},
        "the tracer answers"
      )
    after
      # A library that is mapped needs its file no more.
      File.rm_rf!(folder)
    end
  end

  def enabled(_tag, _state, _tracee), do: :erlang.nif_error(:not_built)
  def trace(_tag, _state, _tracee, _first, _opts), do: :erlang.nif_error(:not_built)
end
