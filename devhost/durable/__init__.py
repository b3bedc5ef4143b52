"""The Durable Task engine: orchestrations, activities, entities and their management API on Azure Storage.

`replay` and `episode` decide, purely; `store` remembers; `dispatcher` and its neighbours act; `http_api` and `client` let the outside ask.
`extension` puts them together. What upstream does, the awkward parts included, is reproduced; where an app is about to be surprised by
it, one log line says so.
"""
