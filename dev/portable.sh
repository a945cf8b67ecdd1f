#!/usr/bin/env bash
# One text, one artifact, every machine: streams written and read here, with the oldest instructions, and on Arm.
#   dev/portable.sh FOLDER [ARM_FOLDER]     FOLDER as tests/portable.py has it; ARM_FOLDER as dev/arm64 makes it
set -u
folder=$1 arm=${2:-}
here=$(cd "$(dirname "$0")/.." && pwd)
python=${PYTHON:-$here/.venv/bin/python}
export PYTHONPATH="$here/src${PYTHONPATH:+:$PYTHONPATH}"
# numpy ignores names that it does not know, so it is asked for its own.
every=$("$python" -c "from numpy._core._multiarray_umath import __cpu_dispatch__ as d; print(*d)")
old="ATEN_CPU_CAPABILITY=default ONEDNN_MAX_CPU_ISA=SSE41 MKL_ENABLE_INSTRUCTIONS=SSE4_2 OPENBLAS_CORETYPE=Nehalem \
  NUMBA_CPU_NAME=generic NUMBA_CPU_FEATURES="
failed=0
"$python" "$here/tests/portable.py" "$folder" || failed=1
env $old NPY_DISABLE_CPU_FEATURES="$every" "$python" "$here/tests/portable.py" "$folder" || failed=1
[ -z "$arm" ] || "$here/dev/arm64" "$arm" -- "$here/tests/portable.py" "$folder" || failed=1
exit $failed
