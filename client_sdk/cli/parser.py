"""The parser of every command: argparse's own, which says besides what to type where words went astray."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NoReturn

_TOOK = "took"
_WHY = "an option of several values takes every word up to the next option"


class Parser(argparse.ArgumentParser):
    """Says of what is missing all of it, and which option took it.

    ``needs`` is what a command needs besides, which argparse cannot express. Parsers of subcommands are of this class.
    Options are taken by their whole names: the beginning of one would be another's with the next option that is added.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options | {"formatter_class": _Formatter, "allow_abbrev": False})
        self.register("action", "extend", _Several)

    def error(self, message: str) -> NoReturn:
        """Say what is wrong, and end."""
        head, required, names = message.partition("required: ")
        if not head or not required:
            super().error(message)
        needs, took = self.get_default("needs"), self.get_default(_TOOK)
        alone = [name for name in names.split(", ") if not name.startswith("-")]
        hint = f"; {took}, and {_WHY}: write {' '.join(alone)} before the options" if took and alone else ""
        super().error(f"{message}; and {needs}{hint}" if needs else f"{message}{hint}")


class _Formatter(argparse.RawDescriptionHelpFormatter):
    """Shows what stands by itself before the options, where one of these would take it; argparse shows it last."""

    def _format_usage(
        self,
        usage: str | None,
        actions: Iterable[argparse.Action],
        groups: Iterable[argparse._MutuallyExclusiveGroup],
        prefix: str | None,
    ) -> str:
        options = [action for action in actions if action.option_strings]
        alone = [action for action in actions if not action.option_strings]
        if usage is None and alone and any(option.nargs == "+" for option in options):
            self._prog = " ".join(super()._format_usage(None, alone, (), "").split())
            actions = options
        return super()._format_usage(usage, actions, groups, prefix)


class _Several(argparse.Action):
    """An option of several values, which may be given again: argparse's ``extend``, which remembers what it took.

    Nobody can know where its values end. A word that followed them and was meant to stand by itself is missed
    afterwards, or is refused here, since no file is called like an address.
    """

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        found = [values] if isinstance(values, str) else [*(values or ())]
        address = next((value for value in found if isinstance(value, Path) and _is_address(value)), None)
        if address is not None:
            shown = str(address).replace(":/", "://", 1)  # as it was before it was taken for a path
            raise argparse.ArgumentError(self, f"{shown} is no file, and {_WHY}: write {shown} before the options")
        setattr(namespace, self.dest, [*(getattr(namespace, self.dest) or ()), *found])
        if len(found) > 1:
            parser.set_defaults(**{_TOOK: f"{option_string} took {' '.join(map(str, found))}"})


def _is_address(path: Path) -> bool:
    return path.parts[0] in {"https:", "http:"} if path.parts else False
