"""The nouns: keys, facts and versions. Pure values; nothing here reads, waits or knows what runs it."""
