#!/usr/bin/env bash
# Builds the targets as the fuzzing engines ask for it (OSS-Fuzz, ClusterFuzzLite): with $CC, $CXX, $CFLAGS, $CXXFLAGS and
# $LIB_FUZZING_ENGINE, into $OUT. It needs a C compiler and Python, and neither Node nor wasm2c: what they make is in fuzz/generated/,
# or in the folder that $GENERATED names. Each target comes with a corpus of seeds, a dictionary and options.
set -euo pipefail
: "${CC:?}" "${CXX:?}" "${LIB_FUZZING_ENGINE:?}" "${OUT:?}"
cd "$(dirname "$0")/.."
generated=${GENERATED:-fuzz/generated}
work=$(mktemp -d "${WORK:-/tmp}/unix-ancillary.XXXXXX")
trap 'rm -rf "$work"' EXIT

# A trap of the module is a finding: the harness reports it.
include="-I$generated -DWASM_RT_TRAP_HANDLER=on_trap -DWASM_RT_SKIP_SIGNAL_RECOVERY=1"
compile() {
  # shellcheck disable=SC2086
  $CC ${CFLAGS:-} -w "$@"
}

# The macros of every layout: those of the host from its own headers.
while read -r symbol flags; do
  case "$($CC -dumpmachine 2>/dev/null) ${CFLAGS:-} $symbol" in
  *" -m32 "*) ;;
  x86_64*-linux-gnu*" macros_linux_x86_64_glibc") flags="" ;;
  esac
  # shellcheck disable=SC2086
  compile $flags "-DTARGET=$symbol" -c fuzz/macros.c -o "$work/$symbol.o"
done <"$generated/rows"
for source in "$generated"/module.c "$generated"/wasm-rt*.c; do
  # shellcheck disable=SC2086
  compile $include -c "$source" -o "$work/$(basename "$source" .c).o"
done

# The parts of fuzz/core.c that a target runs.
targets="decode=DECODE verdict=VERDICT encode_decode=DECODE|ENCODE|RIGHTS macros=DECODE|ENCODE|RIGHTS|MACROS sequences=SEQUENCES"
for target in $targets; do
  name=${target%%=*}
  # shellcheck disable=SC2086
  compile $include "-DPARTS=(${target#*=})" -c fuzz/core.c -o "$work/$name.main"
  # shellcheck disable=SC2086
  $CXX ${CXXFLAGS:-} "$work/$name.main" "$work"/*.o $LIB_FUZZING_ENGINE -lm -o "$OUT/$name"
  cp "$generated/core.dict" "$OUT/$name.dict"
  printf '[libfuzzer]\nmax_len = 1024\ndict = %s.dict\nuse_value_profile = 1\n' "$name" >"$OUT/$name.options"
done

# One corpus for all: the format of an input is the same.
python3 - "$generated/seeds" "$OUT" $targets <<'PYTHON'
import sys, zipfile
seeds, out, *targets = sys.argv[1:]
for target in targets:
    with zipfile.ZipFile(f"{out}/{target.split('=')[0]}_seed_corpus.zip", "w") as corpus:
        for line in open(seeds):
            name, data = line.split()
            corpus.writestr(zipfile.ZipInfo(name), bytes.fromhex(data))
PYTHON
