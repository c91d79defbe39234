"""What the broker tells of itself."""
