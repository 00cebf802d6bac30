"""The one error a user is meant to read."""


class UserError(ValueError):
    """A mistake the user can mend, told in one line: where it is, what was found, what is allowed.

    The command line prints it and exits with status 2; a library caller catches it as a `ValueError`.
    """
