"""What `bench.compare` is made of: servers side by side, load, rows, targets, reports.

Rules: processes are started and ended here by process id, listen on 127.0.0.1 on free ports
and work in a temporary directory. Nothing is counted that was not checked: statuses in every
measurement, digests of the bytes at least once per server and row.
"""
