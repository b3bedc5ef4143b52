"""What users write: assets, partitions, mappings and policies, and how they are collected into one checked set of definitions."""
