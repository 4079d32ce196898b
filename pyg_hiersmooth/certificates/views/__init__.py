r"""What a certificate says: as tables, curves, grids and words."""
