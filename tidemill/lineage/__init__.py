"""Lineage: which versions were made from which, which columns from which, and both as OpenLineage events.

Nothing here writes or keeps anything: every answer is read from records that are there anyway. Versions come from the inputs that each
materialization names (`versions`), columns from the text of queries (`columns`, `sql_columns`), events from what is on record about a run
(`openlineage`).
"""
