"""Recipes for text classification and regression."""
