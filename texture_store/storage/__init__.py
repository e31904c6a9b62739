"""Kinds of storage behind `objects`: how each lists, reads and creates, and what is tried again."""
