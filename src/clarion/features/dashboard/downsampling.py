"""Fewer points that look like all of them, for a screen that has no room for more. Pure."""

from collections.abc import Sequence

from clarion.features.dashboard.rolls import Columns, Number


def lttb(t: Sequence[int], v: Sequence[Number], most: int) -> list[int]:
    """Places of at most `most` points (3 or more) that keep the shape of a line: the first, the last, and of each stretch between the one that sticks out.

    A point sticks out as far as the triangle is large that it makes with the point chosen before it and the middle of the stretch behind it. Where
    a stretch has no numbers, its first point stays: a gap is part of the shape.

    Source: S. Steinarsson, "Downsampling Time Series for Visual Representation" (2013), largest triangle three buckets.
    """
    count = len(t)
    if count <= most:
        return list(range(count))
    width = (count - 2) / (most - 2)
    chosen, before = [0], 0
    for bucket in range(most - 2):
        begin, end = int(bucket * width) + 1, int((bucket + 1) * width) + 1
        behind = range(end, min(int((bucket + 2) * width) + 1, count))
        middle_t = sum(t[i] for i in behind) / len(behind)
        numbers = [number for i in behind if (number := v[i]) is not None]
        middle_v = sum(numbers) / len(numbers) if numbers else 0.0
        from_t, from_v = t[before], v[before] or 0.0
        best, largest = begin, -1.0
        for i in range(begin, end):
            number = v[i]
            if number is None:
                continue
            area = abs(
                (from_t - middle_t) * (number - from_v) - (from_t - t[i]) * (middle_v - from_v)
            )
            if area > largest:
                best, largest = i, area
        chosen.append(best)
        before = best
    return [*chosen, count - 1]


def fewer(t: Sequence[int], v: Columns, most: int) -> tuple[list[int], list[list[Number]]]:
    """At most `most` points of columns, chosen for each line in turn, so that all lines have the same times."""
    if len(t) <= most:
        return [*t], [[*column] for column in v]
    share = max(3, most // max(1, len(v)))
    places = sorted({place for column in v for place in lttb(t, column, share)})
    if len(places) > most:  # as few as there are to be, and more lines than that
        places = [places[i * (len(places) - 1) // (most - 1)] for i in range(most)]
    return [t[i] for i in places], [[column[i] for i in places] for column in v]
