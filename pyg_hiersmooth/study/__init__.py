r"""Many experiments: methods compared over datasets, models and seeds, in tables and charts."""
