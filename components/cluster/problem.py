"""One reason for which the cluster would refuse the stack."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Problem:
    """A reason for which the cluster would refuse the stack."""

    where: str
    """The key of the configuration with its value, or the object of the cluster."""

    lines: tuple[str, ...]
    """The error and what is allowed, then the commands that fix it."""

    def __str__(self) -> str:
        return "\n".join([f"  {self.where}", *(f"    {line}" for line in self.lines)])
