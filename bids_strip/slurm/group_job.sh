#!/bin/bash
# written by bids_strip @VERSION@: the group level, once the array has ended
@GROUP_DIRECTIVES@

out=@OUT@

stop() {
    printf 'bids_strip: %s\n' "$*" >&2
    exit 1
}

run() {
    @RUN_GROUP@
}

@SETUP@
work=$out/.work/slurm-$SLURM_JOB_ID
mkdir -p "$work" || mkdir -p "$work" || stop "$work: cannot be made on $(hostname)"
trap 'rm -rf -- "$work"; rmdir -- "$out/.work" 2>/dev/null' EXIT
run @BIDS@ "$out" group@GROUP_OPTIONS@
