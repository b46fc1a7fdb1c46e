#!/bin/sh
# What Singularity is to know of the image beyond %labels: one line each, name and value.
set -eu
/opt/bids_strip/container/run.sh --version | sed 's/^bids_strip /org.opencontainers.image.version /'
