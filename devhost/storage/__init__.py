"""Azure Storage over plain HTTP: the few operations the host needs on tables, blobs and queues, and nothing else.

Why not the Azure SDK: a batch of 100 table entities costs its caller about 30 ms of CPU there and about 1 ms here, and storage round
trips are what a task hub spends its time on.
"""
