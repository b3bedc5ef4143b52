"""The host's web front: an HTTP/1.1 server, ASP.NET style routes, keys, and the conversion of requests and replies."""
