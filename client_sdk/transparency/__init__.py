"""The public log of releases, in four parts: formats, a client's judgement and memory, a log, and who watches one.

Whoever judges (``client``) needs the formats alone; ``log`` has no need of judges or watchers (rules R2, R3, R5, R6).
"""
