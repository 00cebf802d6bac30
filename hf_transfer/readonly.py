"""A dict inside a value that does not change."""


class ReadOnly(dict):
    """A dict that refuses changes; unlike `MappingProxyType` it can be pickled, deep-copied and written as JSON."""

    def _refuse(self, *args, **kwargs):
        raise TypeError("this value does not change; make another one with dataclasses.replace")

    __setitem__ = __delitem__ = __ior__ = clear = pop = popitem = setdefault = update = _refuse

    def __reduce__(self):
        return (type(self), (dict(self),))
