"""The machine contract for third-party test suites: one stage of verification, JSON in, JSON out."""
