# The environment of the command inside a container; sourced, by sh. Nothing of the user's own
# Python gets in and nothing is written outside OUTPUT_DIR: the command itself sends libraries'
# caches (matplotlib's, XDG's) and temporary files to OUTPUT_DIR/.work.
export PYTHONNOUSERSITE=1
export PYTHONDONTWRITEBYTECODE=1
unset PYTHONPATH PYTHONHOME PYTHONSTARTUP
export ORT_DISABLE_TELEMETRY=1
export LC_ALL=C.UTF-8
# the user's own templates where they are bound into the container, else the image's
if [ ! -d "${TEMPLATEFLOW_HOME-}" ]; then
    TEMPLATEFLOW_HOME=/opt/bids_strip/templateflow
fi
export TEMPLATEFLOW_HOME
export TEMPLATEFLOW_AUTOUPDATE=off
