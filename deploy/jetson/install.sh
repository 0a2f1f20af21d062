#!/usr/bin/env bash
# Installs dayshift on a Jetson, beside JetPack's own OpenCV and TensorRT, as a service from boot on.
# Run it again to update. `--no-service` leaves out all but /opt/dayshift.
set -euo pipefail

usage() {
    echo "usage: sudo $0 [--wheelhouse DIR] [--no-service] [--no-build]" >&2
    echo "  --wheelhouse DIR  install without a network, from what 'make wheelhouse' made" >&2
    echo "  --no-service      no user, unit, rules and log rotation" >&2
    echo "  --no-build        do not build the TensorRT engine now; the stream then starts on the CPU" >&2
    exit 2
}

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
prefix=${DAYSHIFT_PREFIX:-/opt/dayshift}
wheelhouse=""
service=yes
build=yes
while [ $# -gt 0 ]; do
    case $1 in
        --wheelhouse) [ $# -ge 2 ] || usage; wheelhouse=$(realpath -- "$2"); shift 2 ;;
        --no-service) service=no; shift ;;
        --no-build) build=no; shift ;;
        *) usage ;;
    esac
done
if [ "$service" = yes ] && [ "$(id -u)" -ne 0 ]; then
    echo "error: the service needs root: run it with sudo, or with --no-service" >&2
    exit 1
fi

install_python() {
    # The system's Python: JetPack's modules are built for that one.
    [ -x "$prefix/bin/python" ] || python3 -m venv --system-site-packages "$prefix"
    local pip=("$prefix/bin/python" -m pip install --disable-pip-version-check --upgrade)
    if [ -n "$wheelhouse" ]; then
        "${pip[@]}" --no-index --find-links "$wheelhouse" 'dayshift[jetson]'
    else
        "${pip[@]}" "$here/../..[jetson]"
    fi
}

install_service() {
    install -D -m 644 "$here/sysusers.conf" /etc/sysusers.d/dayshift.conf
    systemd-sysusers dayshift.conf
    install -D -m 644 "$here/dayshift.service" /etc/systemd/system/dayshift.service
    install -D -m 644 "$here/70-dayshift-camera.rules" /etc/udev/rules.d/70-dayshift-camera.rules
    install -D -m 644 "$here/logrotate.conf" /etc/logrotate.d/dayshift
    install -D -m 644 "$here/journald.conf" /etc/systemd/journald.conf.d/dayshift.conf
    # What the user wrote there stays.
    [ -e /etc/dayshift/dayshift.env ] || install -D -m 640 -g dayshift "$here/dayshift.env" /etc/dayshift/dayshift.env
    install -d -m 750 -o dayshift -g dayshift /var/lib/dayshift
    install -d -m 700 -o dayshift -g dayshift /var/cache/dayshift
    udevadm control --reload && udevadm trigger --subsystem-match=video4linux
    systemctl daemon-reload
}

build_engine() {
    # Minutes, once. The stream does it by itself otherwise, on the CPU meanwhile.
    runuser -u dayshift -- env DAYSHIFT_CACHE_DIR=/var/cache/dayshift \
        "$prefix/bin/dayshift" build day2night --backend tensorrt --size 1280x720 ||
        echo "note: no engine was built; the stream builds it when it can: $prefix/bin/dayshift doctor" >&2
}

install_python
if [ "$service" = yes ]; then
    install_service
    [ "$build" = no ] || build_engine
    systemctl enable --now dayshift
    echo "dayshift streams: systemctl status dayshift, http://127.0.0.1:8080; settings in /etc/dayshift/dayshift.env"
fi
"$prefix/bin/dayshift" doctor || true
