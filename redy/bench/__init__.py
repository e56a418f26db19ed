"""How fast the original network and its simplified bundle are, measured in one run."""
