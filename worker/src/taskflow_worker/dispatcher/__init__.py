"""The dispatcher: keeps windows filled, ends dead sessions, finds what was lost, says what waits.

Any number of replicas run, one leads. Nothing that it does needs to be done by one alone: two leaders for
a moment only do the same work twice.
"""
