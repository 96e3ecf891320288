"""The gateway: the one process that faces the network. TLS ends here; nothing about a request is ever written down."""
