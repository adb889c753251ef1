"""Workers that train rpojax and its peers on the same work, one process each.

`common.py` holds the work and the protocol; `benchmarks/throughput.py` starts the workers.
"""
