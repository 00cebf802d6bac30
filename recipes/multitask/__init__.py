"""Recipes with several tasks in one model."""
