#!/bin/sh
# Is the installation whole? Writes nothing.
set -eu
. /opt/bids_strip/container/environment.sh
/opt/bids_strip/container/run.sh --version
exec /opt/bids_strip/venv/bin/python -I -B /opt/bids_strip/container/selftest.py "$@"
