"""Which columns a feature matrix has, by name and order."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from data.errors import UserError


@dataclass(frozen=True, slots=True)
class FeatureSchema:
    """Names of the rows of ``X[F, T]`` in order."""

    names: tuple[str, ...]

    def index(self, name: str) -> int:
        """Row of ``name``.

        Raises:
            UserError: no such feature in this schema.
        """
        try:
            return self.names.index(name)
        except ValueError:
            raise UserError(f"Unknown feature '{name}': 'features list' shows the registry.") from None

    def __len__(self) -> int:
        return len(self.names)

    @property
    def digest(self) -> str:
        """Short hash of the names in order; a model file carries it."""
        return hashlib.blake2b("\n".join(self.names).encode(), digest_size=8).hexdigest()
