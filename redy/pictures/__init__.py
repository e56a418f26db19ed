"""Pictures of a bundle: what is left where, how much of it, in which layers, and two networks.

Each figure is one file with the numbers it shows, computed by functions of arrays, and what draws
them. :mod:`~redy.pictures.sheet` puts them on one sheet, :mod:`~redy.pictures.page` on a page.
"""
