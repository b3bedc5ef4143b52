"""Tools for people who work in a checkout: set-up, the local stack, lock files. Nothing here is deployed or imported by the product."""
