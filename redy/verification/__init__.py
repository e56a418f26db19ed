"""Whether two networks, or a network and a bundle, keep a guarantee on a domain."""
