"""Pictures of masks: which token of a sample's prompt sees which.

Drawn from the tables that the engine reads (`common.layout`, `common.visibility`), so a picture
always shows the mask that is computed.
"""
