"""Metrics: how close drawn images are to real ones. NumPy and scikit-learn in float64, on the host; LPIPS in JAX."""
