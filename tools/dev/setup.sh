#!/usr/bin/env bash
# Install the pinned stack and this package into a virtual environment.
#
#   [VENV=.venv] [STACK=stock|onedl] [PYTHON=python3] bash tools/dev/setup.sh
#
# With WHEEL=<a wheel of this package> the environment is a user's: the stack,
# MIM and that wheel, no tools of developers, nothing editable.
#
# Every step may be repeated: it keeps what is whole and redoes what an
# interrupted run left half done. The stamp comes last and is a digest of all
# that decides what gets installed, so an unchanged environment takes no time.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

STACK=${STACK:-stock}
VENV=${VENV:-.venv}
PYTHON=${PYTHON:-python3}
WHEEL=${WHEEL:-}
python=$VENV/bin/python
log=$VENV/setup.log
stamp=$VENV/.mmdistill-stamp

say() { echo "setup: $*"; }

die() {
    say "$*" >&2
    exit 1
}

# step SENTENCE COMMAND...: the command's output goes to the log.
step() {
    say "$1"
    echo "== $1" >>"$log"
    if ! "${@:2}" </dev/null >>"$log" 2>&1; then
        tail -n 30 "$log" >&2
        die "this step failed: $1 (the whole log: $log)"
    fi
}

# With build isolation mmcv would be compiled without torch, that is, without
# ops; debug symbols (no -g0) would double its seven minutes.
install() {
    CFLAGS=-g0 CXXFLAGS=-g0 MAX_JOBS=${MAX_JOBS:-$(nproc)} \
        "$python" -m pip install --disable-pip-version-check \
        -c requirements/constraints.txt "$@"
}

digest() {
    {
        echo "$STACK $PWD"
        "$python" -VV
        [ -z "$WHEEL" ] || sha256sum "$WHEEL"
        cat requirements/*.txt setup.py pyproject.toml \
            mmdistill_dense/version.py tools/dev/setup.sh
    } | sha256sum
}

check_machine() {
    local base=$PYTHON version header
    [ ! -x "$python" ] || base=$python
    version=$("$base" -c 'import sys; print("%d.%d" % sys.version_info[:2])') ||
        die "'$base' does not run. Set PYTHON= to a Python from 3.10 to 3.13" \
            "(and remove '$VENV' if its own Python is gone)."
    case $version in
    3.10 | 3.11 | 3.12 | 3.13) ;;
    *) die "Python 3.10, 3.11, 3.12 or 3.13 is needed, but '$base' is" \
        "$version. Set PYTHON=, for example PYTHON=python3.12." ;;
    esac
    command -v "${CXX:-c++}" >/dev/null ||
        die "no C++ compiler ('${CXX:-c++}'): mmcv's ops are compiled here." \
            "Install g++ (build-essential on Debian), or set CXX=."
    header=$("$base" -c \
        'import sysconfig; print(sysconfig.get_path("include") + "/Python.h")')
    [ -e "$header" ] ||
        die "$header is missing: mmcv's ops are compiled against it." \
            "Install Python's headers (python3-dev on Debian)."
}

check_stack() {
    [ -e "requirements/$STACK.txt" ] && [[ $STACK =~ ^(stock|onedl)$ ]] ||
        die "STACK=$STACK is unknown: it is stock or onedl."
    local there
    there=$(cat "$VENV/.mmdistill-stack" 2>/dev/null || echo "$STACK")
    [ "$there" = "$STACK" ] ||
        die "'$VENV' holds the $there stack, and the two overwrite each" \
            "other's files. Set VENV= to another folder for STACK=$STACK."
}

# pip writes RECORD last: without it a package was cut off while installing,
# but pip would take it for installed.
forget_half_installed() {
    local info
    for info in "$VENV"/lib/python3.*/site-packages/*.dist-info; do
        [ -e "$info/RECORD" ] || rm -rf "$info"
    done
}

make_venv() {
    mkdir -p "$VENV"
    echo "$STACK" >"$VENV/.mmdistill-stack"
    forget_half_installed
    if ! compgen -G "$VENV/lib/python3.*/site-packages/pip-*" >/dev/null ||
        ! "$python" -m pip --version >/dev/null 2>&1; then
        step "make the environment $VENV" "$PYTHON" -m venv "$VENV"
    fi
}

# opencv-python links libGL, which slim machines lack; headless does not.
replace_opencv() {
    local version
    version=$(sed -n 's/^opencv-python==//p' "requirements/$STACK.txt")
    "$python" -m pip uninstall -y opencv-python opencv-python-headless &&
        install --no-deps "opencv-python-headless==$version"
}

compile_mmcv() {
    local mmcv
    mmcv=$(grep -E '^(onedl-)?mmcv==' "requirements/$STACK.txt")
    install --no-build-isolation --no-deps --no-cache-dir --force-reinstall \
        "$mmcv" &&
        "$python" -c 'import mmcv.ops'
}

# mmcv 2.1.0's setup.py reads locals() after exec, which Python 3.13 changed,
# so that pip cannot even ask for its version. Its sources, with that line
# changed, are compiled as they are elsewhere.
install_changed_mmcv() {
    local mmcv folder source
    mmcv=$(grep -E '^(onedl-)?mmcv==' "requirements/$STACK.txt")
    folder=$(cd "$VENV" && pwd)/mmcv-source
    rm -rf "$folder"
    mkdir -p "$folder"
    # It fails when it asks for the version, and leaves what it has unpacked.
    TMPDIR=$folder install --no-build-isolation --no-deps --no-clean \
        --no-binary :all: --target "$folder/unused" "$mmcv" || true
    for source in "$folder"/pip-install-*/*/; do
        sed -i "s/'exec'))$/'exec'), globals())/;
            s/return locals()\[/return globals()[/" "$source/setup.py"
        install --no-build-isolation --no-deps "$source" &&
            rm -rf "$folder"
        return
    done
    return 1
}

check_stack
if [ -e "$stamp" ] && [ "$(cat "$stamp")" = "$(digest 2>/dev/null)" ]; then
    exit
fi
check_machine
make_venv
rm -f "$stamp"
step 'torch and what compiles mmcv' install -r requirements/build.txt
if "$python" -c 'import sys; sys.exit(sys.version_info < (3, 13))' &&
    [ "$STACK" = stock ] &&
    ! "$python" -c 'import mmcv.ops' >>"$log" 2>&1; then
    step 'mmcv for Python 3.13 (compiles it: 7 minutes on two cores)' \
        install_changed_mmcv
fi
step "the $STACK OpenMMLab stack (compiles mmcv: 7 minutes on two cores)" \
    install --no-build-isolation -r "requirements/$STACK.txt"
"$python" -c 'import cv2' >>"$log" 2>&1 ||
    step 'opencv does not load here: the headless build instead' replace_opencv
# Built without torch or against another one: pip's cache may hold such a wheel.
"$python" -c 'import mmcv.ops' >>"$log" 2>&1 ||
    step "mmcv's ops do not load: compile them again" compile_mmcv
step 'MIM' install -r requirements/mim.txt
if [ -n "$WHEEL" ]; then
    step 'the wheel' install --no-deps --force-reinstall "$WHEEL"
else
    step 'tools for tests, checks and docs' \
        install -r requirements/dev.txt -r requirements/docs.txt
    step 'this package' install --no-build-isolation --no-deps -e .
fi
step 'import everything' "$python" -c 'import mmcv.ops, mmdet, mmseg'
digest >"$stamp.part"
mv "$stamp.part" "$stamp"
say "$VENV is ready"
