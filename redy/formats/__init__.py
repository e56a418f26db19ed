"""Files: networks, domains and properties. The only code, beside runs, that touches the disk."""
