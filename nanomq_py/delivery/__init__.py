"""HTTP requests that must arrive: they wait on the disk until they are answered."""
