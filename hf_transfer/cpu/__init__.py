"""Gradient descent on a CPU: the same sums as anywhere else, computed sooner."""
