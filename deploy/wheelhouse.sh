#!/usr/bin/env bash
# Collects dayshift and all that an extra of it needs, or several with commas between, for another platform
# and Python, into one folder from which pip installs without a network. Called by `make wheelhouse`.
set -euo pipefail

if [ $# -ne 5 ]; then
    echo "usage: $0 PYTHON OUT MACHINE PYTHON_VERSION EXTRA, such as .venv/bin/python wheelhouse aarch64 3.10 jetson" >&2
    exit 2
fi
python=$1 out=$2 machine=$3 version=$4 extra=$5
IFS=, read -ra extras <<< "$extra"
case $machine in aarch64 | x86_64) ;; *) echo "error: got MACHINE=$machine, expected aarch64 or x86_64" >&2; exit 2 ;; esac
if [[ ! $version =~ ^3\.1[0-4]$ ]]; then
    echo "error: got PYTHON_VERSION=$version, expected 3.10 to 3.14, as python3 --version says on the device" >&2
    exit 2
fi
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# Ubuntu 22.04, which is JetPack 6's, has glibc 2.35; pip knows no "and all older ones".
glibc=35
platforms=()
for minor in $(seq $glibc -1 17); do platforms+=(--platform "manylinux_2_${minor}_${machine}"); done
platforms+=(--platform "manylinux2014_${machine}")

part=$(mktemp -d)
trap 'rm -rf "$part"' EXIT
# The device's driver decides about its cuda-bindings, and its OpenCV about NumPy.
grep -v -e '^cuda-bindings' -e '^numpy' constraints.txt > "$part/constraints.txt"
"$python" -c 'import uv' 2>/dev/null ||
    "$python" -m pip install --quiet --disable-pip-version-check --constraint constraints.txt uv
# pip takes conditions such as python_version < "3.11" to be about the Python that runs it; uv takes
# them to be about the one that is asked for.
"$python" -m uv pip compile --quiet --no-header --no-annotate --only-binary :all: \
    --python-version "$version" --python-platform "${machine}-manylinux_2_${glibc}" \
    --constraint "$part/constraints.txt" "${extras[@]/#/--extra=}" --output-file "$part/requirements.txt" pyproject.toml
"$python" -m pip download --quiet --disable-pip-version-check --no-deps --only-binary :all: "${platforms[@]}" \
    --python-version "$version" --implementation cp --dest "$part/wheels" --requirement "$part/requirements.txt"
"$python" -m pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir "$part/wheels" .
cp "$part/requirements.txt" "$part/wheels/requirements.txt"
rm -rf "$out"
mkdir -p "$(dirname "$out")"
mv "$part/wheels" "$out"
echo "$out: $(find "$out" -name '*.whl' | wc -l) wheels, $(du -sh "$out" | cut -f1), for Python $version on $machine" >&2
echo "there: pip install --no-index --find-links $(basename "$out") 'dayshift[$extra]'" >&2
