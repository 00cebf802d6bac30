"""Recipes of several recipes, one after the other."""
