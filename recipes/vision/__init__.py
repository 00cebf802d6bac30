"""Recipes for image classification and regression."""
