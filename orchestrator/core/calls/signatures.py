"""Signatures and annotations of callables, read the same way on every Python.

Since Python 3.14 annotations are evaluated when they are read, so a name that only type checkers can find fails there
and no longer where the function is defined. Both functions give a `ForwardRef` for such a name.
"""

import inspect
import sys
from collections.abc import Callable
from typing import Any

if sys.version_info >= (3, 14):
    from annotationlib import Format

    def signature_of(call: Callable[..., Any]) -> inspect.Signature:
        """The signature of a callable. Raises `ValueError` or `TypeError` where Python cannot tell it."""
        return inspect.signature(call, annotation_format=Format.FORWARDREF)  # noqa: TID251

    def annotations_of(target: Any) -> dict[str, Any]:
        """The annotations of a function or class as they are written, not resolved."""
        return inspect.get_annotations(target, format=Format.FORWARDREF)  # noqa: TID251

else:

    def signature_of(call: Callable[..., Any]) -> inspect.Signature:
        """The signature of a callable. Raises `ValueError` or `TypeError` where Python cannot tell it."""
        return inspect.signature(call)  # noqa: TID251

    def annotations_of(target: Any) -> dict[str, Any]:
        """The annotations of a function or class as they are written, not resolved."""
        return inspect.get_annotations(target)  # noqa: TID251
