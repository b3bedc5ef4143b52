"""The pictures in `docs/concepts`, drawn from real commands on real stores: nothing in them is typed by hand.

`make pictures` draws them all; `python -m tools.pictures --check` says which are not current. Clock, run ids and author are fixed, so that equal code gives equal
pictures, byte for byte.
"""
