"""The public log of releases, in four parts: formats, what a client asks of a log, keeping and reading one, watching one.

Whoever judges (``client``) needs the formats alone; ``log`` has no need of judges or watchers (rules R2, R3, R5, R6).
"""
