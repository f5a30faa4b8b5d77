"""A contract for import-linter that names what a module may import, rather than what it may not."""

from __future__ import annotations

import sys
from fnmatch import fnmatchcase
from typing import cast

from grimp import ImportGraph
from importlinter import Contract, ContractCheck, fields, output


def matches(module: str, pattern: str) -> bool:
    """Whether ``module`` is ``pattern`` (``*`` for one or more parts of a name) or stands inside it."""
    return fnmatchcase(module, pattern) or fnmatchcase(module, f"{pattern}.*")


class OnlyContract(Contract):
    """``modules`` (and what stands inside them) import nothing but ``allowed``, of this project or outside it.

    The standard library is free. A pattern in ``modules`` that names no module breaks the contract: a rule over a
    name that does not exist holds nothing.
    """

    type_name = "only"

    modules = fields.ListField(subfield=fields.StringField())
    allowed = fields.ListField(subfield=fields.StringField())

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:
        """Hold every direct import of the modules against the allowed ones."""
        modules, rights = cast("list[str]", self.modules), cast("list[str]", self.allowed)
        unknown: list[str] = []
        broken: list[tuple[str, str, int]] = []
        for pattern in modules:
            sources = sorted(m for m in graph.modules if matches(m, pattern))
            if not sources:
                unknown.append(pattern)
            for source in sources:
                for target in sorted(graph.find_modules_directly_imported_by(source)):
                    if target.partition(".")[0] in sys.stdlib_module_names:
                        continue
                    if not any(matches(target, right) for right in rights):
                        details = graph.get_import_details(importer=source, imported=target)
                        broken.append((source, target, int(details[0]["line_number"])))
        return ContractCheck(kept=not unknown and not broken, metadata={"unknown": unknown, "broken": broken})

    def render_broken_contract(self, check: ContractCheck) -> None:
        """Say which module imports what, and where."""
        for pattern in check.metadata["unknown"]:
            output.print_error(f"{pattern} names no module: correct the contract.")
        rights = ", ".join(cast("list[str]", self.allowed))
        for source, target, line in check.metadata["broken"]:
            output.print_error(f"{source} may not import {target} (l.{line}); allowed: {rights}.")
