#!/bin/sh
# The command: bids_strip, whatever the entry point, the shell, the user and the environment.
# -I keeps out the working directory and the user's own packages, -B writes no byte code.
set -eu
. /opt/bids_strip/container/environment.sh
exec /opt/bids_strip/venv/bin/python -I -B -m bids_strip "$@"
