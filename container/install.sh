#!/bin/sh
# Installs bids_strip into /opt/bids_strip and its command into /usr/local/bin, on Debian 12, as
# root: the one way for Dockerfile and Singularity.def. Nothing of the build stays behind.
#   install.sh cpu|gpu [TEMPLATES]
# TEMPLATES is where the MNI template comes from: `fetch` (templateflow, from the internet), a folder
# laid out like TEMPLATEFLOW_HOME, relative to the sources, or nothing for none.
set -eu
umask 022

variant=$1
templates=${2-}
sources=$(cd "$(dirname "$0")/.." && pwd)
prefix=/opt/bids_strip
python=$prefix/venv/bin/python

install_python() {
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq
    apt-get install -qq -y --no-install-recommends python3 python3-venv
    python3 -m venv "$prefix/venv"
}

install_package() { # the versions of constraints.txt; one onnxruntime, for the processor or the GPU
    scratch=$(mktemp -d)
    cp -R "$sources/bids_strip" "$sources/pyproject.toml" "$sources/constraints.txt" \
        "$sources/README.md" "$sources/LICENSE" "$scratch"
    set -- "$scratch"
    case $variant in
    cpu) sh "$sources/container/cpu-runtime.sh" "$scratch/pyproject.toml" ;;
    gpu) set -- "${scratch}[gpu]" ;;
    *) echo "install.sh: cpu or gpu, not '$variant'" >&2 && exit 64 ;;
    esac
    "$python" -m pip install --disable-pip-version-check --quiet --no-cache-dir --no-compile \
        --constraint "$sources/constraints.txt" "$@"
    "$python" -m pip check
    rm -rf "$scratch"
}

install_templates() { # the two files, and never an empty folder: templateflow would write into it
    mkdir -p "$prefix/templateflow"
    echo "MNI152NLin2009cAsym, 1 mm; empty otherwise" >"$prefix/templateflow/README"
    from=$sources/$templates
    case $templates in
    '') return ;;
    fetch)
        from=$(mktemp -d)
        TEMPLATEFLOW_HOME=$from "$python" -W ignore -c 'from templateflow.api import get
for desc, suffix in ((None, "T1w"), ("brain", "mask")):
    get("MNI152NLin2009cAsym", resolution=1, desc=desc, suffix=suffix, raise_empty=True)'
        ;;
    esac
    space=tpl-MNI152NLin2009cAsym
    mkdir -p "$prefix/templateflow/$space"
    for file in T1w desc-brain_mask; do
        install -m 644 "$from/$space/${space}_res-01_$file.nii.gz" "$prefix/templateflow/$space/"
        gzip -t "$prefix/templateflow/$space/${space}_res-01_$file.nii.gz"
    done
    if [ "$templates" = fetch ]; then rm -rf "$from"; fi
}

install_command() {
    mkdir -p "$prefix/container" /data /out
    for script in environment.sh labels.sh run.sh selftest.sh selftest.py; do
        install -m 755 "$sources/container/$script" "$prefix/container/$script"
    done
    ln -sf "$prefix/container/run.sh" /usr/local/bin/bids_strip
    ln -sf bids_strip /usr/local/bin/bids-strip
}

tidy() { # byte code is made here and never checked again: at run time the root is read-only
    "$python" -m pip uninstall --quiet --yes setuptools pip
    apt-get purge -qq -y --auto-remove python3-venv
    rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/cache/debconf/* /var/log/apt /var/log/*.log
    # numpy.testing needs one file of numpy's tests
    find "$prefix/venv" -type d -name tests ! -path '*/numpy/_core/tests' -prune -exec rm -rf {} +
    find "$prefix/venv" -path '*/numpy/_core/tests/*' ! -name _natype.py ! -name __init__.py -delete
    python3 -m compileall -q -j 0 --invalidation-mode unchecked-hash "$prefix/venv/lib" \
        "$prefix/container"
}

install_python
install_package
install_templates
install_command
tidy
sh "$prefix/container/selftest.sh" "$variant"
du -sm "$prefix" | awk '{ print "install.sh: " $2 " is " $1 " MB" }'
