from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class LinkError:
    r"""A record that could not be linked; what :meth:`Linker.link_many` yields in its place.

    Args:
        number: Which record it was, from 1.
        record: The record, as it was given.
        error: What is wrong with it.
    """

    number: int
    record: Any
    error: Exception

    def to_dict(self) -> dict:
        """Plain values for JSON; ``"error"`` is what a :class:`Link` does not have."""
        name = self.record.get('id') if isinstance(self.record, dict) else getattr(self.record, 'id', None)
        return {'id': name if isinstance(name, str) else None, 'record': self.number, 'error': str(self.error)}


def check_on_error(on_error: str) -> None:
    r"""Raises ValueError unless it says what to do with a record that cannot be linked."""
    if on_error not in ('raise', 'yield'):
        raise ValueError(f"'on_error' must be 'raise' or 'yield', got {on_error!r}")
