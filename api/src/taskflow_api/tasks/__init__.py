"""Tasks over HTTP: create, read, list, change, assign, cancel, delete, and their logs.

Endpoints translate, `service` decides about changes and `reading` about reads, SQL stands in
`statements` and `queries` only.
"""
