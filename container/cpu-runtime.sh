#!/bin/sh
# Puts onnxruntime in the place of onnxruntime-gpu (20 times as large) among a pyproject.toml's
# dependencies:   cpu-runtime.sh PYPROJECT
set -eu
sed -i -e '/"onnxruntime-gpu[>=<]/d' -e 's/\("onnxruntime[>=<][^;"]*\);[^"]*"/\1"/' "$1"
grep -q '"onnxruntime[>=<]' "$1"
