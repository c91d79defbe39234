"""What outlives the process in one SQLite file: users of MQTT, and who is banned."""
