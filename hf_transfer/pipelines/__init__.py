"""Recipes one after the other: source first, then target, and the target without the source beside it."""
