"""The one exception that means "you can fix this": the command line prints it as one line and exits 2."""


class UserError(Exception):
    """A mistake in a flag, a configuration, a path or a file; its message says what is wrong and what is right."""


def first_line(error: BaseException) -> str:
    """What an exception of somebody else's says, cut for a one-line message; its type where it says nothing."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{lines[0]:.160}" if lines else type(error).__name__


def listed(names: list[str], limit: int = 5) -> str:
    """Joins `names` for a one-line message, cutting a long list: `a, b, c and 17 more`."""
    names = [str(name) for name in names]
    if len(names) <= limit:
        return ", ".join(names)
    return f"{', '.join(names[:limit])} and {len(names) - limit} more"
