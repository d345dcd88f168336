#!/usr/bin/env bash
# How long a user waits for the first `mix compile` of a clean clone: nothing compiled, crates already downloaded.
#
#     bench/build.sh [RUNS]        (3 runs unless told; each takes all cores)
set -euo pipefail

runs=${1:-3}
case $runs in *[!0-9]* | 0 | "") echo "bench/build.sh: RUNS is a number from 1, got: $runs" >&2; exit 2 ;; esac

top=$(git -C "$(dirname "${BASH_SOURCE[0]}")" rev-parse --show-toplevel)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# A build of our own: neither a shared target folder nor a prebuilt library.
unset CARGO_TARGET_DIR ELIXIR_SCOPE_LIBRARY MIX_BUILD_PATH MIX_ENV

model=$(sed -n 's/^model name[[:space:]]*: //p' /proc/cpuinfo 2>/dev/null | head -n 1)
echo "# Build: mix compile from a clean clone"
echo "machine: ${model:-$(uname -m)}, $(getconf _NPROCESSORS_ONLN) cores"
echo "system: $(uname -s), $(cargo --version), $(elixir --version | tail -n 1)"
echo "commit: $(git -C "$top" rev-parse --short HEAD)"

seconds=()
for run in $(seq "$runs"); do
  clone=$work/clone-$run
  git clone --quiet --no-hardlinks "$top" "$clone"
  (cd "$clone" && cargo fetch --locked --quiet)
  started=$(date +%s.%N)
  (cd "$clone" && mix compile) >"$work/log" 2>&1 || { cat "$work/log" >&2; exit 1; }
  ended=$(date +%s.%N)
  # the answer: what was built loads, and is a release build
  (cd "$clone" && mix run --no-compile -e '"release" = ElixirScope.Native.load_info().profile')
  seconds+=("$(echo "$ended $started" | awk '{printf "%.1f", $1 - $2}')")
  echo "run $run: ${seconds[-1]} s"
  rm -rf "$clone"
done

printf '%s\n' "${seconds[@]}" | sort -n | awk '
  { s[NR] = $1 }
  END {
    verdict = s[NR] <= 180 ? "met" : "MISSED"
    printf "min %.1f s, median %.1f s, max %.1f s; aim at most 180 s: %s\n", s[1], s[int((NR + 1) / 2)], s[NR], verdict
  }'
