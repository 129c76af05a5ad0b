"""Planning: which runs are made of a request, which wait for which, and what is left to send.

plan turns plans and samples into runs; dependents makes runs of another run's result; sharding
lists the rows that are missing as messages. The store below knows none of it.
"""
