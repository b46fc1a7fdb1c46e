"""Pages that people look at: HTML that is whole in one file and opens from ``file://``."""
