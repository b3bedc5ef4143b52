"""The HTTP API: routes over the catalog and the runs, with requests and replies as values. No framework, no state of its own."""
