// Results: stores, resumption and shards.
