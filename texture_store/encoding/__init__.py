"""Feature maps to vectors: mean, max and Gram, and how a Gram matrix is packed and rounded."""
