"""What the machine gives: processors, memory, and what of it a run may take."""
