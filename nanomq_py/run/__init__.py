"""What a process is: its log, pid file, folders, signals, restarts."""
