#!/usr/bin/env bash
# Installs the wheel into an aarch64 root, runs it there under emulation, and compares its pictures with
# this machine's:
#   sudo deploy/arm64/try.sh WORK [VERSION...]      by default 3.10 (JetPack 6) and 3.12 (JetPack 7)
# Debian 12 with apt-get, once: mmdebstrap qemu-user-static gcc-aarch64-linux-gnu. Also needs `make install`
# to have run. WORK takes 2 GB and is used again; WORK/log-VERSION.txt says what came of it.
# TESTS names the test files; each has TEST_SECONDS. The demo takes FRAMES of its clip.
set -euo pipefail

[ $# -ge 1 ] || { echo "usage: sudo $0 WORK [VERSION...], such as $0 .work/arm64 3.10 3.12" >&2; exit 2; }
[ "$(id -u)" = 0 ] || { echo "error: not root: mounting and chroot need it" >&2; exit 1; }
mkdir -p "$1"
work=$(realpath -- "$1")
shift
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
versions=("$@")
((${#versions[@]})) || versions=(3.10 3.12)
python=$PWD/.venv/bin/python
root=$work/root
tests=${TESTS:-test_bundled test_spec test_image test_model test_backends test_pipeline test_sources test_sinks}
frames=${FRAMES:-4}
qemu=/usr/bin/qemu-aarch64-static
# Orin's cores (A78AE) are this one with little more; they have no SVE either. docs/arm64.md says what SVE does.
export QEMU_CPU=cortex-a76

need() { command -v "$1" >/dev/null || { echo "error: no $1 here: apt-get install $2" >&2; exit 1; }; }
need mmdebstrap mmdebstrap
need "$qemu" qemu-user-static
need aarch64-linux-gnu-gcc gcc-aarch64-linux-gnu
[ -x "$python" ] || { echo "error: no .venv here: run make install first" >&2; exit 1; }

# Let the kernel run aarch64 programs. With F it opens the emulator now, so that the root needs none.
register() {
    local table=/proc/sys/fs/binfmt_misc
    [ -e "$table/register" ] || mount -t binfmt_misc none "$table"
    [ ! -e "$table/qemu-aarch64" ] || return 0
    local magic='\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00'
    local mask='\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff'
    printf '%s' ":qemu-aarch64:M::$magic:$mask:$qemu:F" >"$table/register"
}

# Unpacked, not configured: nothing here runs services, and emulated maintainer scripts take most of the time.
make_root() {
    [ ! -e "$root/etc/debian_version" ] || return 0
    mmdebstrap --mode=root --variant=extract --architectures=arm64 --include="bash,coreutils,ca-certificates,\
libstdc++6,libgomp1,libc6-dev,libssl-dev,zlib1g-dev,libffi-dev,libsqlite3-dev,libbz2-dev,liblzma-dev,uuid-dev,\
python3.11,python3.11-venv" bookworm "$root"
}

# Emulators of this age show this machine's processors; ONNX Runtime reads of them and crashes. In /sys an
# ARM kernel has each core's identity beside what all kernels have; OpenVINO complains where it is absent.
make_cpus() {
    local core of=/sys/devices/system/cpu
    rm -rf "$work/cpus"
    mkdir "$work/cpus"
    cp "$of"/{possible,present,online,kernel_max} "$work/cpus"
    for core in "$of"/cpu[0-9]*; do
        mkdir -p "$work/cpus/${core##*/}/regs/identification"
        cp -r "$core"/{topology,cache} "$work/cpus/${core##*/}"
        echo 0x00000000414fd0b1 >"$work/cpus/${core##*/}/regs/identification/midr_el1"
    done
    for ((core = 0; core < $(nproc); core++)); do
        printf 'processor\t: %d\nBogoMIPS\t: 62.50\nFeatures\t: %s\n' "$core" \
            'fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp'
        printf 'CPU %s\n' $'implementer\t: 0x41' 'architecture: 8' $'variant\t: 0x4' $'part\t: 0xd0b' $'revision\t: 1'
        echo
    done >"$work/cpuinfo"
}

# Run in the root, in a mount namespace of its own, which takes its mounts along when it ends. Without /sys
# OpenVINO finds no cores and crashes.
inside() {
    # shellcheck disable=SC2016 # the inner shell's words
    unshare --mount bash -c 'mount -t proc proc "$0/proc" && mount --bind "$0/../cpuinfo" "$0/proc/cpuinfo" &&
        mount -t sysfs sysfs "$0/sys" && mount --bind "$0/../cpus" "$0/sys/devices/system/cpu" &&
        mount --rbind /dev "$0/dev" &&
        exec chroot "$0" /usr/bin/env --ignore-environment HOME=/root LANG=C.UTF-8 TERM=dumb COLUMNS=100 \
        PATH=/usr/bin:/bin QEMU_CPU='"$QEMU_CPU"' "$@"' "$root" "$@"
}

install() { # version
    local version=$1 own=/usr/bin/python$1 wheels=$work/wheels-$1
    if [ "$version" != 3.11 ]; then # which is Debian 12's own
        own=/opt/python$version/bin/python$version
        [ -x "$root$own" ] || deploy/arm64/cross-python.sh "$root" "$version"
    fi
    deploy/wheelhouse.sh "$python" "$wheels" aarch64 "$version" headless,onnxruntime,test
    rm -rf "$root/try-$version"
    mkdir -p "$root/try-$version"
    cp -r "$wheels" "$root/try-$version/wheels"
    cp -r tests pyproject.toml deploy/arm64/pictures.py "$root/try-$version"
    inside "$own" -m venv "/try-$version/venv"
    inside "/try-$version/venv/bin/pip" install --quiet --no-compile --no-index --find-links "/try-$version/wheels" \
        'dayshift[headless,onnxruntime,test]'
}

# This machine's pictures, from the same wheel: the checkout may have moved on.
# shellcheck disable=SC2329 # `report` calls it
our_pictures() { # version
    local wheel=$work/wheel-$1
    rm -rf "$wheel"
    "$python" -m zipfile -e "$work/wheels-$1"/dayshift-*.whl "$wheel"
    PYTHONPATH=$wheel "$python" deploy/arm64/pictures.py "$root/try-$1/here.npz"
}

report() { # what is said of a command, its words: failing is a finding
    local name=$1 status=0
    shift
    printf '\n== %s\n' "$name"
    "$@" 2>&1 || status=$?
    printf -- '-- exit code %d\n' "$status"
    [ "$status" = 0 ] || failed+=("$name")
}

try() { # version
    local here=/try-$1 test clip backend failed=()
    local dayshift=$here/venv/bin/dayshift
    echo "aarch64 under $("$qemu" --version | head -1), QEMU_CPU=$QEMU_CPU, Debian $(cat "$root/etc/debian_version"); times mean nothing"
    report "python" inside "$here/venv/bin/python" -VV
    report "pip list" inside "$here/venv/bin/pip" list --disable-pip-version-check
    report "dayshift doctor" inside "$dayshift" doctor
    report "dayshift info day2night" inside "$dayshift" info day2night
    report "pictures on this machine, $(uname -m)" our_pictures "$1"
    report "pictures there, compared" inside "$here/venv/bin/python" "$here/pictures.py" "$here/there.npz" --against "$here/here.npz"
    clip=$(cd "$root" && echo "try-$1/venv/lib/python$1/site-packages/dayshift/models/clips"/*.mp4)
    for backend in onnxruntime openvino; do
        report "dayshift run CLIP night.mp4 --backend $backend, for 15 s" inside "$dayshift" run "/$clip" \
            "$here/$backend.mp4" --backend "$backend" --precision fp32 --duration 15
    done
    # All 302 frames of its clip, two pictures wide, take hours.
    report "dayshift demo --frames $frames" inside "$dayshift" demo --frames "$frames" --out "$here/demo"
    for test in $tests; do
        report "pytest tests/runtime/$test.py" inside timeout "${TEST_SECONDS:-1200}" bash -c \
            "cd $here && exec venv/bin/python -m pytest -q -p no:cacheprovider tests/runtime/$test.py"
    done
    printf '\nfailed: %s\n' "${failed[*]:-nothing}"
    ((${#failed[@]} == 0))
}

register
make_root
make_cpus
status=0
for version in "${versions[@]}"; do
    install "$version"
    try "$version" | tee "$work/log-$version.txt" || status=1
done
exit $status
