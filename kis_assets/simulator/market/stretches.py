"""Divides a stretch of trading into consecutive ones that add up to it, and joins stretches."""

from __future__ import annotations

import math
from collections.abc import Sequence
from random import Random

from kis_assets.simulator.market.market import Piece

LEAST = 4
"""The fewest shares for a stretch with separate open, high, low and close."""


def join(pieces: Sequence[Piece]) -> Piece:
    """Several stretches as one."""
    return Piece(
        pieces[0].open,
        max(piece.high for piece in pieces),
        min(piece.low for piece in pieces),
        pieces[-1].close,
        sum(piece.volume for piece in pieces),
        sum(piece.value for piece in pieces),
    )


def divide(
    chance: Random, whole: Piece, weights: Sequence[float], tick: int, *, exact: bool = True
) -> list[Piece]:
    """Divide a stretch into consecutive ones with exactly its open, high, low, close and volume.

    The values add up as well; each is between volume times low and volume times high if possible.
    If not `exact`, the sum is only as close as these bounds allow.
    """
    count = len(weights)
    if count == 1:
        return [whole]
    volumes = _volumes(whole.volume, weights)
    start, high, low, end = whole[:4]
    if low == high:
        values = [volume * low for volume in volumes]
        if exact:
            values[volumes.index(max(volumes))] += whole.value - sum(values)
        return [
            Piece(low, low, low, low, volume, value)
            for volume, value in zip(volumes, values, strict=True)
        ]
    draw = chance.random
    step = (high - low) * 1.7 / math.sqrt(count)
    wick = step * 0.4 / tick
    wander = [(draw() - 0.5) * step for _ in range(count)]
    drift = (end - start - sum(wander)) / count
    pieces: list[list[int]] = []
    place, price, highest, lowest = float(start), start, 0, 0
    for number, move in enumerate(wander, start=1):
        place += move + drift
        after = end
        if number < count:
            after = int(place / tick) * tick
            after = low if after < low else high if after > high else after
        top, bottom = (after, price) if after > price else (price, after)
        top += int(draw() * wick) * tick
        bottom -= int(draw() * wick) * tick
        top = high if top > high else top
        bottom = low if bottom < low else bottom
        if not pieces or top > pieces[highest][1]:
            highest = number - 1
        if not pieces or bottom < pieces[lowest][2]:
            lowest = number - 1
        volume = volumes[number - 1]
        pieces.append([price, top, bottom, after, volume, 0])
        price = after
    pieces[highest][1], pieces[lowest][2] = high, low
    _add_values(pieces, whole.value, exact=exact)
    return [Piece(*piece) for piece in pieces]


def _volumes(total: int, weights: Sequence[float]) -> list[int]:
    volumes = _in_proportion(total, weights, 1)
    if min(volumes) < LEAST <= total // len(weights):
        return _in_proportion(total, weights, LEAST)
    return volumes


def _in_proportion(total: int, weights: Sequence[float], least: int) -> list[int]:
    scale = (total - least * len(weights)) / sum(weights)
    volumes = [least + int(weight * scale) for weight in weights]
    volumes[0] += total - sum(volumes)
    return volumes


def _add_values(pieces: list[list[int]], total: int, *, exact: bool) -> None:
    """Fill in values with the sum `total`; move each towards its high or low as needed."""
    missing = _natural_values(pieces, total)
    bound = 1 if missing > 0 else 2
    room = sum(piece[bound] * piece[4] - piece[5] for piece in pieces)
    if exact and abs(missing) > abs(room):
        _shift_volume(pieces, missing - room)
        missing = _natural_values(pieces, total)
        bound = 1 if missing > 0 else 2
        room = sum(piece[bound] * piece[4] - piece[5] for piece in pieces)
    if room:
        part = min(1.0 if exact or missing < 0 else 0.35, missing / room)
        for piece in pieces:
            share = int((piece[bound] * piece[4] - piece[5]) * part)
            piece[5] += share
            missing -= share
    # The rest from rounding goes to a stretch with room for it.
    for piece in pieces:
        if missing and abs(piece[bound] * piece[4] - piece[5]) >= abs(missing):
            piece[5] += missing
            return
    if exact:
        max(pieces, key=lambda piece: piece[4])[5] += missing


def _natural_values(pieces: list[list[int]], total: int) -> int:
    """Value every stretch at the middle of its prices; return the difference to the total."""
    for piece in pieces:
        piece[5] = piece[4] * (piece[0] + piece[1] + piece[2] + piece[3]) // 4
        total -= piece[5]
    return total


def _shift_volume(pieces: list[list[int]], missing: int) -> None:
    """Move volume to higher (or lower) prices until the values can add up."""
    ordered = sorted(pieces, key=lambda piece: sum(piece[:4]), reverse=missing < 0)
    first, last = 0, len(ordered) - 1
    while missing and first < last:
        giver, taker = ordered[first], ordered[last]
        gain = (taker[0] + taker[1] + taker[2] + taker[3]) // 4
        gain -= (giver[0] + giver[1] + giver[2] + giver[3]) // 4
        if not gain or (gain > 0) != (missing > 0):
            return
        moved = max(0, min(giver[4] * 3 // 4, giver[4] - LEAST, missing // gain + 1))
        giver[4] -= moved
        taker[4] += moved
        missing -= moved * gain
        first += 1
        if (missing > 0) != (gain > 0):
            return
