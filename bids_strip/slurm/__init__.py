"""A Slurm job array for a dataset, as the text of one shell script.

Nothing is submitted here. The script holds the participants of each task and all paths as they are
now; it needs bash, Slurm and either Apptainer or Singularity, or the command itself.

Words:

task
    One element of the job array: some participants, one call of the program.
words
    Arguments of a command before they are quoted for a shell.
"""
