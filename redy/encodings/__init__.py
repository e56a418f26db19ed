"""Networks as mixed-integer linear problems: a single one, and two compared on the same input."""
