#!/bin/bash
# written by bids_strip @VERSION@: @SUBJECTS@ participants in @TASKS@ tasks, then the group level
#
#   bash FILE          submit the array, and the group job that waits for it
#   sbatch FILE        the same: the first task submits the group job
#   bash FILE group    submit the group job alone
#
# The participants stand below. Runs that are done are skipped, so FILE may be submitted again after
# a failure; print it anew for participants that came later.
@ARRAY_DIRECTIVES@

bids=@BIDS@
out=@OUT@

tasks() { # participants, one line a task
    cat <<'END_OF_TASKS'
@LABELS@
END_OF_TASKS
}

group_job() {
    cat <<'END_OF_GROUP_JOB'
@JOB@END_OF_GROUP_JOB
}

stop() {
    printf 'bids_strip: %s\n' "$*" >&2
    exit 1
}

run() {
    @RUN@
}

submit_group() { # [ARRAY_JOB_ID]
    local job
    job=$(group_job | sbatch --parsable ${1:+"--dependency=afterany:$1"}) || return
    printf 'group level: job %s\n' "${job%%;*}"
}

submit_both() {
    local job
    [[ -f $0 ]] || stop 'save this script as a file, then: bash FILE'
    mkdir -p "$out/logs" || stop "$out/logs: cannot be made"
    job=$(sbatch --parsable "$0" both) || stop 'sbatch refused the array; if it has too many' \
        'tasks (scontrol show config | grep MaxArraySize), print it with more --subjects-per-task'
    job=${job%%;*}
    printf 'participant level: job array %s, @TASKS@ tasks; logs in %s\n' "$job" "$out/logs"
    submit_group "$job" || stop "sbatch refused the group job; later: bash $0 group"
}

work_through() {
    local label labels=() absent=() status=0
    for label in $(tasks | sed -n "${SLURM_ARRAY_TASK_ID}p"); do
        if [[ -d $bids/sub-$label ]]; then labels+=("$label"); else absent+=("$label"); fi
    done
    [[ -d $bids ]] || stop "$bids: no such folder on $(hostname)"
    if ((${#labels[@]})); then
        work=$out/.work/slurm-$SLURM_JOB_ID
        mkdir -p "$work" || mkdir -p "$work" || stop "$work: cannot be made on $(hostname)"
        trap 'rm -rf -- "$work"; rmdir -- "$out/.work" 2>/dev/null' EXIT
        run "$bids" "$out" participant --participant-label "${labels[@]}"@OPTIONS@
        status=$?
    fi
    if ((${#absent[@]})); then
        printf 'bids_strip: %s: no longer in %s; the others were done\n' "${absent[*]}" "$bids" >&2
        ((status)) || status=18
    fi
    return "$status"
}

if [[ ${1-} == group ]]; then
    submit_group
elif [[ -z ${SLURM_ARRAY_TASK_ID-} ]]; then
    submit_both
else
    if [[ ${1-} != both && $SLURM_ARRAY_TASK_ID == "$SLURM_ARRAY_TASK_MIN" &&
        ${SLURM_RESTART_COUNT:-0} == 0 ]]; then
        submit_group "$SLURM_ARRAY_JOB_ID" ||
            echo 'bids_strip: no job can be submitted from here; later: bash FILE group' >&2
    fi
    @SETUP@
    work_through
fi
