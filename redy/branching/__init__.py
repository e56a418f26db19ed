"""Branch and bound on input boxes: the compiled core that decides phases slice by slice."""
