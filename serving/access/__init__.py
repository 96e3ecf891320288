"""Who may ask, what, and how much: tokens are verified and counted here, and nothing about a caller is written down."""
