"""threeworlds: train, play, plan with, score and compare the three routes to a world model.

Importing the package imports nothing heavy; ``threeworlds.worlds`` registers the Gymnasium worlds.
"""

__version__ = "0.1.0"
