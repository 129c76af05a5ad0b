"""Pictures of masks: which token of one sample's prompt sees which.

Drawn from the tables the engine reads (`common.layout`, `common.visibility`), so a picture
cannot show another mask than the one that is computed.
"""
