"""The basis of colours of Song et al. 2021, Appendix I.3: the first column is grey, the others are colour."""

import numpy as np


def colour_basis():
    """[3, 3], orthogonal; its first column is (1, 1, 1) / sqrt(3)."""
    columns = np.array([[1.0, 1.0, 1.0], [-2.0, 1.0, 1.0], [0.0, 1.0, -1.0]])
    return (columns / np.linalg.norm(columns, axis=1, keepdims=True)).T
