"""Named arrays in .npz files: read without pickles, written whole or not at all, exact values as text."""

from __future__ import annotations

import os
import tempfile
import zipfile
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from gradproof.usage import UsageError


def read_npz(path: str) -> dict[str, Any]:
    """The arrays of a file, by name."""
    try:
        with np.load(path, allow_pickle=False) as file:
            if not isinstance(file, np.lib.npyio.NpzFile):
                raise UsageError(f"{path}: a single array; np.savez writes arrays with names")
            return {name: file[name] for name in file.files}
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile) as error:
        raise UsageError(f"{path}: can't be read as .npz: {error}") from error


def write_npz(path: str, arrays: Mapping[str, Any]) -> None:
    """Write arrays by name; the file appears only when it is complete."""
    target = Path(path)
    try:
        handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
        try:
            with os.fdopen(handle, "wb") as raw, zipfile.ZipFile(raw, "w") as archive:
                for name, array in arrays.items():
                    with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                        np.lib.format.write_array(member, np.asanyarray(array), allow_pickle=False)
            Path(temporary).chmod(0o644)
            Path(temporary).replace(target)
        finally:
            Path(temporary).unlink(missing_ok=True)
    except OSError as error:
        raise UsageError(f"{path}: can't be written: {error.strerror or error}") from error


def exact(arrays: Mapping[str, Any]) -> dict[str, Any]:
    """The arrays with text (`1/3`) as rationals."""
    return {name: _fractions(name, array) if array.dtype.kind == "U" else array for name, array in arrays.items()}


def rounded(arrays: Mapping[str, Any]) -> dict[str, Any]:
    """The arrays in a form that .npz holds: rationals as text, intervals as [low, high] along a new last axis."""
    return {name: _storable(np.asarray(array)) for name, array in arrays.items()}


def _fractions(name: str, array: Any) -> Any:
    out = np.empty(array.shape, object)
    try:
        for index in np.ndindex(array.shape):
            out[index] = Fraction(str(array[index]))
    except (ValueError, ZeroDivisionError) as error:
        raise UsageError(f"{name}: {error}") from error
    return out


def _storable(array: Any) -> Any:
    if array.dtype.kind != "O":
        return array
    entries = array.reshape(-1).tolist()
    if all(isinstance(entry, Fraction | int) for entry in entries):
        return np.array([str(entry) for entry in entries], dtype=np.str_).reshape(array.shape)
    return np.array([_ends(entry) for entry in entries], dtype=np.float64).reshape(*array.shape, 2)


def _ends(entry: Any) -> tuple[float, float]:
    """Floats that enclose an interval."""
    low, high = float(entry.lower()), float(entry.upper())
    return float(np.nextafter(low, -np.inf)), float(np.nextafter(high, np.inf))
