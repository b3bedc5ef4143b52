"""What makes functions run besides HTTP and the durable engine: timers, queues, blobs; and the storage bindings any function may have."""
