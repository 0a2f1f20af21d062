#!/usr/bin/env bash
# Compiles the CPython that a JetPack has, for aarch64, into a root made by try.sh:
#   deploy/arm64/cross-python.sh ROOT 3.10|3.12
# The source is the one Ubuntu 22.04 (JetPack 6) and 24.04 (JetPack 7) build theirs from. A Python of the
# same version is needed here too: it runs what the build generates.
set -euo pipefail

usage() { echo "usage: $0 ROOT 3.10|3.12" >&2; exit 2; }
[ $# -eq 2 ] || usage
root=$(realpath -- "$1") version=$2
case $version in
    3.10) release=3.10.12 sha256=afb74bf19130e7a47d10312c8f5e784f24e0527981eab68e20546cfb865830b8 ;;
    3.12) release=3.12.3 sha256=56bfef1fdfc1221ce6720e43a661e3eb41785dd914ce99698d8c7896af4bdaa1 ;;
    *) usage ;;
esac
own=""
for candidate in "python$version" "$HOME/.pyenv/versions/$version".*/bin/python; do
    if "$candidate" -c '' 2>/dev/null; then own=$(command -v "$candidate"); break; fi
done
[ -n "$own" ] || { echo "error: no Python $version here: install one; it runs what the build generates" >&2; exit 1; }

build=$root/../build-$version
archive=$root/../python$version-$release.tar.xz
[ -f "$archive" ] || {
    curl --silent --show-error --fail --location --output "$archive.part" \
        "http://archive.ubuntu.com/ubuntu/pool/main/p/python$version/python${version}_$release.orig.tar.xz"
    mv "$archive.part" "$archive"
}
echo "$sha256  $archive" | sha256sum --check --quiet

# Debian's links to shared libraries are absolute; a linker outside of the root would follow them to here.
find "$root/usr/lib/aarch64-linux-gnu" -type l -lname '/*' -print0 |
    while IFS= read -r -d '' link; do ln -sfr "$root$(readlink "$link")" "$link"; done

# Python 3.10 looks for libffi's headers only where its pkg-config file says.
for header in ffi.h ffitarget.h; do
    ln -sfr "$root/usr/include/aarch64-linux-gnu/$header" "$root/usr/include/$header"
done

rm -rf "$build"
mkdir -p "$build/tools"
ln -s "$own" "$build/tools/python$version" # where 3.10 looks for it
tar -xf "$archive" -C "$build" --strip-components=1
cd "$build"
export PATH=$build/tools:$PATH
with=()
[ "$version" = 3.10 ] || with=(--with-build-python="$own")
./configure --quiet --prefix="/opt/python$version" --build=x86_64-linux-gnu --host=aarch64-linux-gnu "${with[@]}" \
    --with-ensurepip=no --disable-test-modules --with-openssl="$root/usr" \
    CC="aarch64-linux-gnu-gcc --sysroot=$root" CXX="aarch64-linux-gnu-g++ --sysroot=$root" \
    PKG_CONFIG_SYSROOT_DIR="$root" PKG_CONFIG_LIBDIR="$root/usr/lib/aarch64-linux-gnu/pkgconfig:$root/usr/share/pkgconfig" \
    ac_cv_buggy_getaddrinfo=no ac_cv_file__dev_ptmx=yes ac_cv_file__dev_ptc=no
make --silent --jobs="$(nproc)"
make --silent install DESTDIR="$root"
