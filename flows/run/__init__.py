"""What a run is made of: its engine, its journal, its shards and its folder."""
