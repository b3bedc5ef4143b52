"""Shipped to users: what you need to test pipelines and orchestrators without a host. Kept honest by the contract suites."""
