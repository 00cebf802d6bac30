"""Training and extraction on a CPU: the same sums as anywhere else, computed sooner."""
