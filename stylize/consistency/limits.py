"""What a set of photos must keep to count as one look."""

from dataclasses import dataclass

from stylize.settings import Settings, option


@dataclass(frozen=True)
class AuditLimits(Settings):
    """The limits that a set of photos must keep; None is no limit."""

    max_spread: float | None = option(
        None, "Exit with 1 if the spread of the set is larger.", least=0
    )
    max_outliers: int | None = option(None, "Exit with 1 if there are more outliers.", least=0)

    def broken(self, spread: float, outliers: int) -> list[str]:
        """The limits that are broken, in words."""
        found = []
        if self.max_spread is not None and spread > self.max_spread:
            found.append(f"spread {spread:.3f}, more than {self.max_spread:g}")
        if self.max_outliers is not None and outliers > self.max_outliers:
            found.append(f"{outliers} outliers, more than {self.max_outliers}")
        return found
