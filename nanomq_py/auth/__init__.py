"""Who may come in: decisions only, no HTTP route and no socket."""
