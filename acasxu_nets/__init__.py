"""A network of the ACAS Xu shape that redy trains itself; see README.md."""
