"""Recipes that train a backbone before its transfer."""
