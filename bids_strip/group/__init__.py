"""Group level: reads OUTPUT_DIR only, one file a stage, in the order of `pipeline`."""
