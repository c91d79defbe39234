"""Messages to HTTP servers of others: kept on the disk until they were taken."""
