"""Recipes: a file's path is its name, and the folder is the registry."""
