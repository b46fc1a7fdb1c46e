"""Pictures of a run: slices, surfaces, SVG."""
