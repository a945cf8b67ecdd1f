"""parameter-golf's token shards: their format, the hub, and a data folder from them."""
