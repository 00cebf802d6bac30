"""A linear head on recorded features is a convex problem: L-BFGS solves it, and gradient descent need not."""
