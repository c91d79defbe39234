"""HTTP requests to other servers: sockets and HTTP only, no rule about what is asked."""
