"""Learning on rows of a source domain for a target domain that has few labels or none."""
