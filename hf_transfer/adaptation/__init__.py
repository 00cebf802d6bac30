"""Domain adaptation: learn from labelled source rows for a target that has few labels or none."""
