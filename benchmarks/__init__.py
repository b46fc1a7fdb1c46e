"""Every claim about speed, memory and accuracy, as commands that anyone can run."""
