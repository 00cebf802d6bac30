"""A frozen backbone runs once: its outputs go to disk, and every epoch, head and later run reads them from there.

`splits` is the way in. `cache` is where recordings lie, `key` what names one, `recording` its files, `sources` what is
read, `extractor`, `fast_copy` and `folding` what is computed, `extraction` how it is shared out, `dataset` how a head
reads it.
"""
