"""From a recipe to a trained run directory: the loop and what it is made of."""
