"""Have Polars give memory back as soon as it is free. Import it before Polars.

Its allocator, jemalloc, keeps for a while what was freed. To store a day of minutes took a process
345 MB so, and takes 222 MB now. Queries of a few hundredths of a second take half as long again,
which is why only what runs assets asks for it.
"""

import os

# Not only where it is unset: Polars sets it too, and processes that it starts inherit that.
os.environ["_RJEM_MALLOC_CONF"] = "dirty_decay_ms:0,muzzy_decay_ms:0"
