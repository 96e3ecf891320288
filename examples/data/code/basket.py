from prices import with_vat


def total(items: list[tuple[str, int]]) -> int:
    # COMPLETE
