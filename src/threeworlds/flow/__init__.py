"""Probability paths and solvers: the mathematics of flow matching. No networks here."""
