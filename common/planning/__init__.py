"""Planning: which runs a request makes, which of them wait for another, and what is left to send.

plan turns plans and samples into runs, dependents turns the result of one run into the samples of
others, and sharding turns missing rows into messages. The store below imports none of them.
"""
