"""Whether a store is what it says: every file against its checksum, its name, its record and its neighbours.

`inventory` says what each path is, `content` judges one file, `records` reads the commits, `whole` brings them
together, `recomputed` makes some images anew, `set_aside` moves what is damaged out of the way, `unneeded` finds what
can go.
"""
