"""Recipes for rows that have a text and an image."""
