#!/usr/bin/env bash
# One text, one artifact, every machine: streams written and read with other threads, other instructions and on Arm.
#   dev/portable.sh ARTIFACT TEXT [ARM_FOLDER]     ARM_FOLDER as dev/arm64 makes it; without one Arm is left out
set -eu
artifact=$1 text=$2 arm=${3:-}
here=$(cd "$(dirname "$0")/.." && pwd)
python=${PYTHON:-$here/.venv/bin/python}
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
old="ATEN_CPU_CAPABILITY=default ONEDNN_MAX_CPU_ISA=SSE41 MKL_ENABLE_INSTRUCTIONS=SSE4_2 OPENBLAS_CORETYPE=Nehalem NPY_DISABLE_CPU_FEATURES=AVX2,AVX512F NUMBA_CPU_NAME=generic NUMBA_CPU_FEATURES="
run() {  # NAME ARGS...: regrow on that machine
  name=$1; shift
  case $name in
    one) env OMP_NUM_THREADS=1 "$python" -m regrow "$@" ;;
    two) env OMP_NUM_THREADS=2 "$python" -m regrow "$@" ;;
    old) env $old NUMBA_CACHE_DIR="$work/numba" "$python" -m regrow "$@" ;;
    arm) env NUMBA_CACHE_DIR="$work/arm" "$here/dev/arm64" "$arm" -- -m regrow "$@" ;;
  esac
}
machines="one two old"; [ -n "$arm" ] && machines="$machines arm"
failed=0
for how in "" "--ttt"; do
  for name in $machines; do run "$name" compress "$artifact" "$text" -o "$work/$name$how" $how --quiet --no-cache >/dev/null; done
  for name in $machines; do
    cmp -s "$work/one$how" "$work/$name$how" && same=same || { same=DIFFERENT; failed=1; }
    run "$name" decompress "$artifact" "$work/one$how" -o "$work/back" --quiet --no-cache >/dev/null
    cmp -s "$text" "$work/back" && back=same || { back=DIFFERENT; failed=1; }
    rm -f "$work/back"
    echo "${how:-fixed} $name: stream $same ($(stat -c %s "$work/$name$how") bytes), text $back"
  done
done
exit $failed
