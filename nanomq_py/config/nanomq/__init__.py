"""What NanoMQ's files say, in the names and shapes of all its versions, as our keys."""
