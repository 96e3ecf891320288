"""What runs, which release it is, how it was judged last: ``vitrine status``, and the inventory of nodes."""
