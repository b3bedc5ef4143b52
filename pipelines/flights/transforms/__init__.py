"""The work itself: plain functions from Arrow tables to Arrow tables. Nothing here knows what runs it, and every result has one order."""
