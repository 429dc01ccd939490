"""Parquet shards that load without this code, their card, and the way to the Hub."""
