"""Engines: what computes the answers. Each serves OpenAI's HTTP on a UNIX socket that the gateway alone can reach."""
